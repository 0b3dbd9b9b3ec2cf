"""Place a patch of one photograph in another to a few hundredths of a pixel.

The patch is carried over by an affine map, which the local surface gives as a start and the
pixels refine, together with place, contrast and brightness.

Source
------
Gruen, Adaptive least squares correlation, S. Afr. J. of Photogrammetry 14(3), 1985: Gauss-
Newton over eight unknowns. Keys, IEEE TASSP 29(6), 1981, eq. (15): the cubic interpolation.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from ...core.arrays import Floats, Floats32

N_STEPS = 10
STILL_PX = 0.004  # a step smaller than this ends the search


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Where patches were found."""

    xy: Floats
    """(N, 2) px in the other photograph, NaN where the search left it or did not end."""
    ncc: Floats
    """(N,) agreement of the patches, -1..1."""
    sigma: Floats
    """(N,) px: standard deviation of the place in its worst direction that the pixels give."""


def place_patches(
    reference: Floats32,
    other: Floats32,
    centers: Floats,
    starts: Floats,
    *,
    warps: Floats,
    half: int,
) -> Placed:
    """Find patches of `reference` in `other`, from starts some pixels off.

    Parameters
    ----------
    reference, other : (H, W) float32
        Grey.
    centers, starts : (N, 2), px
        Middle of the patch, and about where it is in `other`; top-left pixel at (0.5, 0.5).
    warps : (N, 2, 2)
        Derivative of the place in `other` by that in `reference`.
    half : int
        The patch reaches so many pixels to either side, weighted by a Gaussian.
    """
    xy, ncc, sigma = _place(
        np.ascontiguousarray(reference, np.float32),
        np.ascontiguousarray(other, np.float32),
        np.ascontiguousarray(centers, np.float64),
        np.ascontiguousarray(starts, np.float64),
        np.ascontiguousarray(warps, np.float64),
        half,
    )
    return Placed(xy=xy, ncc=ncc, sigma=sigma)


@njit(cache=True)
def _cubic(f):  # type: ignore[no-untyped-def]
    """Return the four weights of Keys' cubic and their derivatives at offset f in [0, 1)."""
    f2, f3 = f * f, f * f * f
    w0, w1 = -0.5 * f + f2 - 0.5 * f3, 1 - 2.5 * f2 + 1.5 * f3
    w2, w3 = 0.5 * f + 2 * f2 - 1.5 * f3, -0.5 * f2 + 0.5 * f3
    d0, d1 = -0.5 + 2 * f - 1.5 * f2, -5 * f + 4.5 * f2
    d2, d3 = 0.5 + 4 * f - 4.5 * f2, -f + 1.5 * f2
    return (w0, w1, w2, w3), (d0, d1, d2, d3)


@njit(cache=True)
def _sample(image, x, y):  # type: ignore[no-untyped-def]
    """Return value and gradient at pixel (x, y); NaN at the border."""
    x, y = x - 0.5, y - 0.5
    column, row = int(np.floor(x)), int(np.floor(y))
    if column < 1 or row < 1 or column + 2 >= image.shape[1] or row + 2 >= image.shape[0]:
        return np.nan, np.nan, np.nan
    wx, dx = _cubic(x - column)
    wy, dy = _cubic(y - row)
    value, along_x, along_y = 0.0, 0.0, 0.0
    for i in range(4):
        line, slope = 0.0, 0.0
        for j in range(4):
            pixel = image[row - 1 + i, column - 1 + j]
            line += wx[j] * pixel
            slope += dx[j] * pixel
        value += wy[i] * line
        along_x += wy[i] * slope
        along_y += dy[i] * line
    return value, along_x, along_y


@njit(cache=True)
def _solve(A, b):  # type: ignore[no-untyped-def]
    """Solve A x = b (positive definite) in place of b by Gauss-Jordan; False where singular."""
    n = len(b)
    for i in range(n):
        if not A[i, i] > 1e-12:
            return False
        pivot = 1.0 / A[i, i]
        for k in range(n):
            A[i, k] *= pivot
        b[i] *= pivot
        for j in range(n):
            if j != i:
                factor = A[j, i]
                for k in range(n):
                    A[j, k] -= factor * A[i, k]
                b[j] -= factor * b[i]
    return True


@njit(cache=True)
def _place(reference, other, centers, starts, warps, half):  # type: ignore[no-untyped-def]
    n, side = len(centers), 2 * half + 1
    xy, ncc, sigma = np.full((n, 2), np.nan), np.full(n, -1.0), np.full(n, np.inf)
    wanted, weight = np.empty(side * side), np.empty(side * side)
    for p in range(n):
        inside = True
        for r in range(side):
            for c in range(side):
                v, _, _ = _sample(reference, centers[p, 0] + c - half, centers[p, 1] + r - half)
                wanted[r * side + c] = v
                weight[r * side + c] = np.exp(
                    -2.0 * ((c - half) ** 2 + (r - half) ** 2) / (half + 0.5) ** 2
                )
                inside &= not np.isnan(v)
        if inside and np.isfinite(starts[p]).all() and np.isfinite(warps[p]).all():
            x, y, ncc[p], sigma[p] = _place_one(other, wanted, weight, starts[p], warps[p], half)
            xy[p, 0], xy[p, 1] = x, y
    return xy, ncc, sigma


@njit(cache=True)
def _place_one(other, wanted, weight, start, warp, half):  # type: ignore[no-untyped-def]
    """Return x, y, NCC and sigma of one patch; NaN where the search fails."""
    side = 2 * half + 1
    x, y = start
    a = warp.copy()
    gain, offset = 1.0, 0.0
    A, b, J = np.empty((8, 8)), np.empty(8), np.empty(8)
    values = np.empty(side * side)
    for step in range(N_STEPS):
        A[:] = 0.0
        b[:] = 0.0
        for r in range(side):
            for c in range(side):
                i = r * side + c
                dx, dy = c - half, r - half
                value, gx, gy = _sample(
                    other, x + a[0, 0] * dx + a[0, 1] * dy, y + a[1, 0] * dx + a[1, 1] * dy
                )
                if np.isnan(value):
                    return np.nan, np.nan, -1.0, np.inf
                values[i] = value
                J[0], J[1] = gain * gx, gain * gy
                J[2], J[3] = J[0] * dx / half, J[0] * dy / half
                J[4], J[5] = J[1] * dx / half, J[1] * dy / half
                J[6], J[7] = value, 1.0
                miss = wanted[i] - gain * value - offset
                for k in range(8):
                    b[k] += weight[i] * J[k] * miss
                    for m in range(8):
                        A[k, m] += weight[i] * J[k] * J[m]
        if step == 0:  # contrast and brightness first: the rest depends on them
            det = A[6, 6] * A[7, 7] - A[6, 7] * A[6, 7]
            if not det > 1e-12:
                return np.nan, np.nan, -1.0, np.inf
            gain += (A[7, 7] * b[6] - A[6, 7] * b[7]) / det
            offset += (A[6, 6] * b[7] - A[6, 7] * b[6]) / det
            if not gain > 0.05:
                return np.nan, np.nan, -1.0, np.inf
            continue
        for k in range(2, 6):
            A[k, k] += 0.02 * (A[0, 0] + A[1, 1])  # the surface knows the warp well
        full = A.copy()
        if not _solve(A, b):
            return np.nan, np.nan, -1.0, np.inf
        length = np.sqrt(b[0] * b[0] + b[1] * b[1])
        short = min(1.0, 1.5 / max(length, 1e-12))
        x, y = x + short * b[0], y + short * b[1]
        a[0, 0] += short * b[2] / half
        a[0, 1] += short * b[3] / half
        a[1, 0] += short * b[4] / half
        a[1, 1] += short * b[5] / half
        gain, offset = gain + short * b[6], offset + short * b[7]
        if not gain > 0.05:
            return np.nan, np.nan, -1.0, np.inf
        if length < STILL_PX:
            agreement, noise = _agreement(wanted, values, weight, gain, offset)
            return x, y, agreement, noise * _spread(full)
    return np.nan, np.nan, -1.0, np.inf


@njit(cache=True)
def _agreement(wanted, values, weight, gain, offset):  # type: ignore[no-untyped-def]
    """Return the weighted NCC of two patches and the noise of a pixel that is left."""
    total = weight.sum()
    mean_w, mean_v = (weight * wanted).sum() / total, (weight * values).sum() / total
    w, v = wanted - mean_w, values - mean_v
    ncc = (weight * w * v).sum() / np.sqrt((weight * w * w).sum() * (weight * v * v).sum() + 1e-24)
    left = wanted - gain * values - offset
    return ncc, np.sqrt((weight * left * left).sum() / total)


@njit(cache=True)
def _spread(A):  # type: ignore[no-untyped-def]
    """Return the root of the larger variance of the place, of pixels with noise 1."""
    trace, det = A[0, 0] + A[1, 1], A[0, 0] * A[1, 1] - A[0, 1] * A[0, 1]
    smaller = trace / 2 - np.sqrt(max(trace * trace / 4 - det, 0.0))
    return 1.0 / np.sqrt(max(smaller, 1e-12))
