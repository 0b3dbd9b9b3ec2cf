"""Holes are filled by what surrounds them, smoothly."""

import numpy as np

from facekit.dataset.bake.filling import filled


def test_a_linear_map_goes_on_through_a_hole() -> None:
    row, col = np.mgrid[:64, :64]
    true = (0.02 * row - 0.01 * col).astype(np.float32)  # harmonic: the membrane's own solution
    known = ((row - 30) ** 2 + (col - 33) ** 2) > 10**2
    out = filled(np.where(known, true, 7), known, np.ones_like(known))
    np.testing.assert_array_equal(out[known], true[known])
    assert np.abs(out - true).max() < 0.05  # of a fall by 0.6 over the hole


def test_holes_never_leave_the_range_of_what_is_known(rng: np.random.Generator) -> None:
    values = rng.normal(size=(50, 61)).astype(np.float32)[:50, :50]
    known = rng.random((50, 50)) > 0.6
    inside = np.ones((50, 50), bool)
    inside[:10] = False
    known &= inside
    out = filled(values, known, inside)
    assert out[inside].min() >= values[known].min()
    assert out[inside].max() <= values[known].max()
    assert (out[:10] == 0).all()


def test_nothing_known_is_zero() -> None:
    nothing = np.zeros((16, 16), bool)
    assert (filled(np.ones((16, 16), np.float32), nothing, ~nothing) == 0).all()
