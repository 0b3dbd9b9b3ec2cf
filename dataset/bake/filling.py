"""Holes of a map filled by a membrane: coarse to fine, each texel the mean of its neighbours."""

import numpy as np
from numba import njit

from ...core.arrays import Bools, Floats32

_SWEEPS = 12
_SMALLEST = 4


def filled(values: Floats32, known: Bools, inside: Bools) -> Floats32:
    """Return `values` (n, n) with the texels inside but not known filled; outside 0.

    The filling is smooth and meets the known values at the hole's rim: almost the solution of
    Laplace's equation, found on a pyramid.
    """
    start = _coarse_guess(values, known, inside) if len(values) > _SMALLEST else None
    out = np.where(known, values, np.float32(0))
    hole = np.flatnonzero(inside & ~known)
    if start is None:
        mean = values[known].mean() if known.any() else 0.0
        out.ravel()[hole] = mean
        return out
    out.ravel()[hole] = start.ravel()[hole]
    _relax(out, inside, hole, _SWEEPS)
    return out


def _coarse_guess(values: Floats32, known: Bools, inside: Bools) -> Floats32:
    """Return (n, n) the filling of the map at half its size, each texel for four."""
    n = len(values) // 2 * 2
    pad = len(values) - n
    weight = _by_twos(np.pad(known, ((0, pad), (0, pad))).astype(np.float32))
    total = _by_twos(np.pad(np.where(known, values, 0), ((0, pad), (0, pad))))
    within = _by_twos(np.pad(inside, ((0, pad), (0, pad))).astype(np.float32)) > 0
    mean = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    coarse = filled(mean.astype(np.float32), weight > 0, within)
    return np.repeat(np.repeat(coarse, 2, axis=0), 2, axis=1)[: len(values), : len(values)]


def _by_twos(image: Floats32) -> Floats32:
    """Return the sums of blocks of 2 x 2."""
    rows = image[0::2] + image[1::2]
    return np.asarray(rows[:, 0::2] + rows[:, 1::2], dtype=np.float32)


@njit(nogil=True, cache=True)
def _relax(values, inside, hole, n_sweeps):  # type: ignore[no-untyped-def]
    """Replace each hole texel by the mean of its neighbours inside, `n_sweeps` times."""
    height, width = values.shape
    for sweep in range(n_sweeps):
        for i in range(len(hole)):
            t = hole[i] if sweep % 2 == 0 else hole[len(hole) - 1 - i]
            r, c = t // width, t % width
            total, n = 0.0, 0
            if r > 0 and inside[r - 1, c]:
                total += values[r - 1, c]
                n += 1
            if r + 1 < height and inside[r + 1, c]:
                total += values[r + 1, c]
                n += 1
            if c > 0 and inside[r, c - 1]:
                total += values[r, c - 1]
                n += 1
            if c + 1 < width and inside[r, c + 1]:
                total += values[r, c + 1]
                n += 1
            if n:
                values[r, c] = total / n
