"""The estimate of a take's cost agrees with what was measured."""

import pytest

from facekit.dataset.cost import expected_cost


@pytest.mark.parametrize(
    ("megapixels", "sweeps_s", "gb"), [(0.5, 6.0, 0.68), (1.5, 22.0, 1.18), (6.0, 86.0, 2.92)]
)
def test_as_measured_with_nine_views(megapixels, sweeps_s, gb):
    cost = expected_cost(9, megapixels)
    assert cost.cpu_s - 9.0 == pytest.approx(sweeps_s, rel=0.25)  # but for the first depths
    assert cost.gb == pytest.approx(gb, rel=0.25)


def test_grows_linearly_with_the_pixels():
    one, two, four = (expected_cost(16, size) for size in (10.0, 20.0, 40.0))
    assert four.cpu_s - two.cpu_s == pytest.approx(2 * (two.cpu_s - one.cpu_s))
    assert four.gb - two.gb == pytest.approx(2 * (two.gb - one.gb))


def test_large_photographs_fit_an_ordinary_computer():
    assert expected_cost(9, 24.0).gb < 12
