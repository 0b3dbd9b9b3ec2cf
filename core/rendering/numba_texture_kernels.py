"""Compiled loops of `numba_backend.py`: textures at pixels, and their gradient.

A texture and its smaller levels lie one after another in one array (texels, C); `shape`
(levels, 3) gives each level's first texel, height and width. Texel (row, col) of a level has
its centre at v = (row + 0.5) / height, u = (col + 0.5) / width.

In the gradient by the texture a thread owns a piece of the texels and reads all pixels, so that
sums run in one order whatever the number of threads.
"""

import math

import numpy as np
from numba import njit

WRAP, CLAMP, ZERO = 0, 1, 2


@njit(nogil=True, cache=True, inline="always")
def _place(coordinate, n_texels, wrap):  # type: ignore[no-untyped-def]
    """Return the texel before a place, the one after, the share of the latter, its slope.

    A texel of -1 is outside and counts as zero.
    """
    if wrap == WRAP:
        x = (coordinate - math.floor(coordinate)) * n_texels - 0.5
        low = math.floor(x)
        share = x - low
        high = low + 1
        if low < 0:
            low += n_texels
        if high >= n_texels:
            high -= n_texels
        return min(low, n_texels - 1), high, share, float(n_texels)
    x = coordinate * n_texels - 0.5
    if wrap == CLAMP:
        slope = float(n_texels)
        if not x > 0.0:
            x, slope = 0.0, 0.0
        elif x >= n_texels - 1.0:
            x, slope = n_texels - 1.0, 0.0
        low = int(x)
        return low, min(low + 1, n_texels - 1), x - low, slope
    x = min(max(x, -2.0), n_texels + 1.0)
    low = math.floor(x)
    share = x - low
    high = low + 1
    if low < 0 or low >= n_texels:
        low = -1
    if high < 0 or high >= n_texels:
        high = -1
    return low, high, share, float(n_texels)


@njit(nogil=True, cache=True)
def sample(texels, shape, level, uv, wrap, start, end, out):  # type: ignore[no-untyped-def]
    """Fill `out` (N, C) from pixel `start` to `end`, bilinear; `level` (N,), or empty for 0."""
    n_channels = texels.shape[1]
    for i in range(start, end):
        at = level[i] if len(level) else 0
        first, height, width = shape[at, 0], shape[at, 1], shape[at, 2]
        u, v = np.float64(uv[i, 0]), np.float64(uv[i, 1])
        if not math.isfinite(u + v):
            out[i] = np.nan
            continue
        x0, x1, right, _ = _place(u, width, wrap)
        y0, y1, down, _ = _place(v, height, wrap)
        w00, w01 = np.float32((1 - down) * (1 - right)), np.float32((1 - down) * right)
        w10, w11 = np.float32(down * (1 - right)), np.float32(down * right)
        if min(x0, x1, y0, y1) < 0:
            w00 = np.float32(0.0) if x0 < 0 or y0 < 0 else w00
            w01 = np.float32(0.0) if x1 < 0 or y0 < 0 else w01
            w10 = np.float32(0.0) if x0 < 0 or y1 < 0 else w10
            w11 = np.float32(0.0) if x1 < 0 or y1 < 0 else w11
            x0, x1, y0, y1 = max(x0, 0), max(x1, 0), max(y0, 0), max(y1, 0)
        above, below = first + y0 * width, first + y1 * width
        for k in range(n_channels):
            out[i, k] = (
                w00 * texels[above + x0, k]
                + w01 * texels[above + x1, k]
                + w10 * texels[below + x0, k]
                + w11 * texels[below + x1, k]
            )


@njit(nogil=True, cache=True)
def gradient_to_uv(texels, shape, level, uv, wrap, gradient, start, end, out):  # type: ignore[no-untyped-def]
    """Fill `out` (N, 2) from pixel `start` to `end`."""
    for i in range(start, end):
        at = level[i] if len(level) else 0
        first, height, width = shape[at, 0], shape[at, 1], shape[at, 2]
        u, v = np.float64(uv[i, 0]), np.float64(uv[i, 1])
        g_right, g_down = 0.0, 0.0
        if math.isfinite(u + v):
            x0, x1, right, slope_x = _place(u, width, wrap)
            y0, y1, down, slope_y = _place(v, height, wrap)
            above, below = first + max(y0, 0) * width, first + max(y1, 0) * width
            left_ok, right_ok, x0, x1 = x0 >= 0, x1 >= 0, max(x0, 0), max(x1, 0)
            for k in range(texels.shape[1]):
                g = gradient[i, k]
                if g == 0.0:
                    continue
                t00 = texels[above + x0, k] if y0 >= 0 and left_ok else np.float32(0.0)
                t01 = texels[above + x1, k] if y0 >= 0 and right_ok else np.float32(0.0)
                t10 = texels[below + x0, k] if y1 >= 0 and left_ok else np.float32(0.0)
                t11 = texels[below + x1, k] if y1 >= 0 and right_ok else np.float32(0.0)
                g_right += g * ((t01 - t00) * (1 - down) + (t11 - t10) * down)
                g_down += g * ((t10 - t00) * (1 - right) + (t11 - t01) * right)
            g_right *= slope_x
            g_down *= slope_y
        out[i, 0], out[i, 1] = g_right, g_down


@njit(nogil=True, cache=True)
def rows_touched(shape, level, uv, wrap, gradient, start, end, out):  # type: ignore[no-untyped-def]
    """Fill `out` (N, 2) with the first texels of the two rows that a pixel reads.

    Both are -1 for a pixel without gradient.
    """
    for i in range(start, end):
        out[i, 0], out[i, 1] = -1, -1
        silent = True
        for k in range(gradient.shape[1]):
            silent = silent and gradient[i, k] == 0.0
        if silent or not math.isfinite(uv[i, 0] + uv[i, 1]):
            continue
        at = level[i] if len(level) else 0
        first, height, width = shape[at, 0], shape[at, 1], shape[at, 2]
        y0, y1, _, _ = _place(np.float64(uv[i, 1]), height, wrap)
        out[i, 0] = first + y0 * width if y0 >= 0 else -1
        out[i, 1] = first + y1 * width if y1 >= 0 else -1


@njit(nogil=True, cache=True)
def gradient_to_texels(shape, level, uv, wrap, gradient, touched, start, end, out):  # type: ignore[no-untyped-def]
    """Add all pixels' gradient to the rows of `out` (texels, C) that begin in [start, end)."""
    for i in range(len(uv)):
        above, below = touched[i, 0], touched[i, 1]
        upper, lower = above >= start and above < end, below >= start and below < end
        if not (upper or lower):
            continue
        at = level[i] if len(level) else 0
        x0, x1, right, _ = _place(np.float64(uv[i, 0]), shape[at, 2], wrap)
        _, _, down, _ = _place(np.float64(uv[i, 1]), shape[at, 1], wrap)
        for side in range(2):
            if (side == 0 and not upper) or (side == 1 and not lower):
                continue
            row = above if side == 0 else below
            weight = 1 - down if side == 0 else down
            left, other = np.float32(weight * (1 - right)), np.float32(weight * right)
            for k in range(gradient.shape[1]):
                g = gradient[i, k]
                if x0 >= 0:
                    out[row + x0, k] += left * g
                if x1 >= 0:
                    out[row + x1, k] += other * g
