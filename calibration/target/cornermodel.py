"""The last word on a corner: a blurred corner fitted to its pixels, by least squares.

Where a corner has room, all that its surroundings show is modelled: two edges that cross at the
corner, each blurred by a Gaussian of its own (defocus, motion), between two levels of light,
under a slope of illumination. On rendered boards of known geometry this leaves a third of the
error of OpenCV's `cornerSubPix`, whose weights follow the gradients' squares and so the noise.

Coordinates count OpenCV's way, the centre of the top-left pixel as (0, 0).
"""

import math

import numpy as np
from numba import njit

from ...capture.patterns import TAG_BORDER, face_corners, falling_dark
from ...capture.session import BoardSpec
from ...core.arrays import Bytes, Floats, Ints
from ...core.imaging.color import linear_from_srgb
from .cornerfit import half_windows, homography, jacobian

WINDOW_SHARE = 0.7  # of the distance to the nearest other feature: blur reaches beyond the rest
LEAST_HALF_PX = 6  # of the window: smaller ones do not tell eight numbers apart
MAX_MOVE_PX = 1.0  # from where `cornerSubPix` has it: farther, and the model fits something else
MAX_MISFIT = 0.2  # rms of the rest, in contrasts: a finger or a highlight is in the window
_N_STEPS = 8
_DONE_PX = 2e-4
_N = 10  # x, y, direction and blur of both edges, contrast, level, and its slope in x and y


def modelled(
    grey: Bytes, spec: BoardSpec, ids: Ints, xy: Floats, *, tag_border: int = TAG_BORDER
) -> Floats:
    """Return the corners (N, 2) px of a face where the model puts them.

    Corners without room, and those that the model does not fit, stay where they are.

    Parameters
    ----------
    grey : (H, W) uint8
        Encoded as sRGB, dark on white.
    xy : (N, 2) px
        To a fraction of a pixel.
    """
    H = homography(spec, ids, xy, grey.shape)
    if H is None:
        return xy
    halves = half_windows(spec, ids, H, tag_border=tag_border, share=WINDOW_SHARE)
    if halves.max(initial=0) < LEAST_HALF_PX:
        return xy
    across = jacobian(H, face_corners(spec)[ids, :2])
    signs = np.where(falling_dark(spec)[ids], -1.0, 1.0)
    fitted = np.array(xy, np.float64)
    _fit(grey, _linear(inverted=spec.inverted), halves, across, signs, fitted)
    return fitted


def _linear(*, inverted: bool) -> Floats:
    """Return the (256,) light behind each level: edges blur in light, not in its encoding."""
    light = linear_from_srgb(np.linspace(0, 1, 256))
    return np.asarray(1 - light[::-1] if inverted else light, np.float64)


@njit(cache=True, nogil=True)
def _fit(grey, light, halves, across, signs, xy):  # type: ignore[no-untyped-def]
    """Move each corner of `xy` (N, 2) to the model's; `across` (N, 2, 2) is d px / d board."""
    H, g, j = np.zeros((_N, _N)), np.zeros(_N), np.zeros(_N)
    p = np.zeros(_N)
    for n in range(len(xy)):
        half = halves[n]
        left, top = math.floor(xy[n, 0] + 0.5) - half, math.floor(xy[n, 1] + 0.5) - half
        right, bottom = left + 2 * half, top + 2 * half
        if half < LEAST_HALF_PX or left < 0 or top < 0:
            continue
        if right >= grey.shape[1] or bottom >= grey.shape[0]:
            continue
        low, high = 1.0, 0.0
        for row in range(top, bottom + 1):
            for col in range(left, right + 1):
                low, high = min(low, light[grey[row, col]]), max(high, light[grey[row, col]])
        p[0], p[1] = xy[n]
        p[2] = math.atan2(across[n, 1, 0], across[n, 0, 0])
        p[3] = math.atan2(across[n, 1, 1], across[n, 0, 1])
        p[4], p[5] = 2.0, 2.0
        p[6], p[7], p[8], p[9] = (high - low) / 2 * signs[n], (high + low) / 2, 0.0, 0.0
        sound, misfit = True, 0.0
        for _ in range(_N_STEPS):
            misfit = _normal_equations(grey, light, (left, top, right, bottom), half, p, H, g, j)
            for k in range(_N):
                H[k, k] += 1e-6 * H[k, k] + 1e-12
            step = np.linalg.solve(H, g)
            p += step
            p[4], p[5] = min(max(p[4], 0.4), half), min(max(p[5], 0.4), half)
            if not abs(p[0] - xy[n, 0]) + abs(p[1] - xy[n, 1]) < MAX_MOVE_PX:
                sound = False
                break
            if abs(step[0]) + abs(step[1]) < _DONE_PX:
                break
        if sound and misfit < MAX_MISFIT * abs(p[6]):
            xy[n] = p[:2]


@njit(cache=True, nogil=True)
def _normal_equations(grey, light, window, half, p, H, g, j):  # type: ignore[no-untyped-def]
    """Fill in JᵀJ and Jᵀr over the disc in the window; return the rms of r."""
    left, top, right, bottom = window
    H[:], g[:] = 0.0, 0.0
    c1, s1, c2, s2 = math.cos(p[2]), math.sin(p[2]), math.cos(p[3]), math.sin(p[3])
    steep1, steep2 = 1 / (math.sqrt(2.0) * p[4]), 1 / (math.sqrt(2.0) * p[5])
    square, count = 0.0, 0
    for row in range(top, bottom + 1):
        for col in range(left, right + 1):
            dx, dy = col - p[0], row - p[1]
            if dx * dx + dy * dy > (half + 0.5) ** 2:
                continue
            far1, far2 = c1 * dy - s1 * dx, s2 * dx - c2 * dy  # from either edge
            edge1, slope1 = _edge(far1 * steep1)
            edge2, slope2 = _edge(far2 * steep2)
            r = light[grey[row, col]] - (p[7] + p[8] * dx + p[9] * dy + p[6] * edge1 * edge2)
            by1, by2 = p[6] * edge2 * slope1 * steep1, p[6] * edge1 * slope2 * steep2
            j[0], j[1] = by1 * s1 - by2 * s2, by2 * c2 - by1 * c1
            j[2], j[3] = -by1 * (c1 * dx + s1 * dy), by2 * (c2 * dx + s2 * dy)
            j[4], j[5] = -by1 * far1 / p[4], -by2 * far2 / p[5]
            j[6], j[7], j[8], j[9] = edge1 * edge2, 1.0, dx, dy
            for a in range(_N):
                g[a] += j[a] * r
                for b in range(a + 1):
                    H[a, b] += j[a] * j[b]
            square += r * r
            count += 1
    for a in range(_N):
        for b in range(a):
            H[b, a] = H[a, b]
    return math.sqrt(square / count)


@njit(cache=True, nogil=True)
def _edge(t):  # type: ignore[no-untyped-def]
    """Return erf(t) and its derivative."""
    if t > 3.2:
        return 1.0, 0.0
    if t < -3.2:
        return -1.0, 0.0
    return math.erf(t), 2 / math.sqrt(math.pi) * math.exp(-t * t)
