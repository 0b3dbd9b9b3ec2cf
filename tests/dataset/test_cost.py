"""The forecasts of a take's cost agree with what was measured."""

import numpy as np
import pytest

from facekit.core.geometry.camera import Camera
from facekit.core.geometry.transform import look_at
from facekit.dataset.cost import (
    Cost,
    expected_cost,
    expected_vertices,
    finest_cost,
    free_gb,
    shortage,
    vertices_per_pixel,
)


def ring(*yaw_deg: float) -> list[Camera]:
    """Return upright cameras of 1.5 megapixels, a metre from the head, at these yaws."""
    K = np.array([[2400.0, 0, 500], [0, 2400, 750], [0, 0, 1]])
    places = [1000 * np.array([np.sin(a), 0, np.cos(a)]) for a in np.radians(yaw_deg)]
    return [
        Camera(
            name=str(i), width=1000, height=1500, K=K,
            cam_from_world=look_at(place, np.zeros(3), up=np.array([0.0, 1.0, 0.0])),
        )
        for i, place in enumerate(places)
    ]  # fmt: skip


NINE = ring(*np.linspace(-90, 90, 9))
SEVEN = ring(*np.linspace(-75, 75, 7))


@pytest.mark.parametrize(
    ("cameras", "share", "vertices"),
    [(NINE, 0.401, 1.009e6), (SEVEN, 0.414, 0.865e6), (SEVEN, 0.486, 1.048e6)],
)
def test_vertices_as_measured_by_the_subject_s_share(cameras, share, vertices):
    expected = expected_vertices(cameras, [share * 1.5e6] * len(cameras))
    assert expected == pytest.approx(vertices, rel=0.1)


def test_cameras_farther_round_see_more_of_the_head():
    pair, five, nine = (
        vertices_per_pixel(r) for r in (ring(-10, 10), ring(-45, -22, 0, 22, 45), NINE)
    )
    assert 0 < pair < five < nine
    # both cameras of a pair at 10 degrees look less steeply than 72.5 at 125 degrees of a cylinder
    assert pair == pytest.approx(np.radians(62.5) / (1.3**2 * 0.866), rel=0.01)


def test_without_a_mask_part_of_the_picture_is_taken_to_be_the_subject():
    whole = expected_vertices(NINE, [1.5e6] * 9)
    assert whole == pytest.approx(1.44e6 / 1.573 * 1.5, rel=0.1)  # measured, no mask found


@pytest.mark.parametrize(
    ("cameras", "megapixels", "vertices", "cpu_s", "gb"),
    [
        (NINE, 1.57, 1.44e6, 34.3, 0.99),
        (NINE, 6.3, 5.71e6, 117.7, 2.3),
        (SEVEN, 1.5, 0.865e6, 22.8, 0.85),
    ],
)
def test_cost_as_measured(cameras, megapixels, vertices, cpu_s, gb):
    cost = expected_cost(cameras, megapixels, vertices=vertices)
    assert cost.cpu_s == pytest.approx(cpu_s, rel=0.25)
    assert cost.gb == pytest.approx(gb, rel=0.25)


@pytest.mark.parametrize(
    ("cameras", "megapixels", "before_s", "before", "cpu_s", "vertices"),
    [
        (NINE, 1.57, 3.71, 364_507, 20.4, 1.44e6),
        (NINE, 6.3, 15.5, 1_437_653, 85.3, 5.71e6),
        (NINE, 1.5, 2.88, 250_700, 12.6, 0.989e6),
        (SEVEN, 1.5, 2.45, 220_712, 10.3, 0.865e6),
    ],
)
def test_the_finest_sweep_as_measured(cameras, megapixels, before_s, before, cpu_s, vertices):
    cost = finest_cost(
        cameras, len(cameras) * megapixels * 1e6, kept=True,
        seconds_before=before_s, vertices_before=before,
    )  # fmt: skip
    assert cost.cpu_s == pytest.approx(cpu_s, rel=0.25)
    assert cost.vertices == pytest.approx(vertices, rel=0.05)


def test_the_finest_sweep_of_large_photographs_as_measured():
    """Nine of 24 megapixels, then not kept: 276 s with the photographs read again."""
    cost = finest_cost(
        NINE, 216e6, kept=False, seconds_before=44.3, vertices_before=3_994_297
    )  # fmt: skip
    assert cost.cpu_s == pytest.approx(276, rel=0.25)
    assert cost.gb == pytest.approx(5.32, rel=0.25)
    assert cost.vertices == pytest.approx(15.87e6, rel=0.05)


def test_grows_linearly_with_the_pixels():
    one, two, four = (expected_cost(NINE, size) for size in (10.0, 20.0, 40.0))
    assert four.cpu_s - two.cpu_s == pytest.approx(2 * (two.cpu_s - one.cpu_s))
    assert four.gb - two.gb == pytest.approx(2 * (two.gb - one.gb))


def test_large_photographs_fit_an_ordinary_computer():
    assert expected_cost(NINE, 24.0, most_kept=250e6).gb < 9
    assert expected_cost(NINE, 45.0, most_kept=250e6).gb < 12


def test_a_shortage_is_told_with_what_would_fit():
    cost = Cost(cpu_s=100, gb=12.5, vertices=1000)
    assert shortage(cost, 45.0, 16.0) is None
    assert shortage(cost, 45.0, None) is None
    told = shortage(cost, 45.0, 8.5)
    assert told is not None and "12.5 GB" in told and "8.5 GB are free" in told
    assert "30 would fit" in told  # (8.5 - 0.5) / (12.5 - 0.5) of 45
    free = free_gb()
    assert free is None or 0.05 < free < 10_000
