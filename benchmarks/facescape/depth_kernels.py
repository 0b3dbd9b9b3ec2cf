"""Triangles into depth images, as the software rasterizer behind the official figures does it.

Window coordinates have x to the right and y up, in pixels; depth grows away from the camera.
"""

import math

import numpy as np
from numba import njit

_GRID = 256.0  # steps a pixel: corners are rounded to 1/256 px before coverage is decided
_FAR_OFF = 1e6  # px: triangles beyond are clipped away, not drawn


@njit(nogil=True, cache=True)
def draw_single(window, faces, at_x, at_y, depth):  # type: ignore[no-untyped-def]
    """Draw front faces in float32, operation by operation as Mesa's llvmpipe draws them.

    Parameters
    ----------
    window : (V, 3) float32
        Window x, y and depth in [0, 1]; NaN where the vertex is behind the camera.
    faces : (F, 3) int
    at_x, at_y : float32
        Where in a pixel the sample lies.
    depth : (H, W) float32, written
        Row 0 at the bottom; what is there already counts as the background.
    """
    height, width = depth.shape
    for t in range(len(faces)):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        ax, ay = _snap(window[a, 0]), _snap(window[a, 1])
        bx, by = _snap(window[b, 0]), _snap(window[b, 1])
        cx, cy = _snap(window[c, 0]), _snap(window[c, 1])
        if not (bx - ax) * (cy - ay) - (by - ay) * (cx - ax) > 0.0:  # back faces are culled
            continue
        left, right = _span(min(ax, bx, cx), max(ax, bx, cx), at_x, width)
        low, high = _span(min(ay, by, cy), max(ay, by, cy), at_y, height)
        if left > right or low > high:
            continue
        # the plane of depth is set up from the second corner, as for the front side of triangles
        x0, y0, z0 = window[b, 0], window[b, 1], window[b, 2]
        x01, y01, z01 = x0 - window[a, 0], y0 - window[a, 1], z0 - window[a, 2]
        x20, y20, z20 = window[c, 0] - x0, window[c, 1] - y0, window[c, 2] - z0
        area = x01 * y20 - x20 * y01
        if area == 0.0:
            continue
        inverse = np.float32(1.0) / area
        by_x = z01 * (y20 * inverse) - z20 * (y01 * inverse)
        by_y = z20 * (x01 * inverse) - z01 * (x20 * inverse)
        origin = z0 - (by_x * x0 + by_y * y0)
        for row in range(low, high + 1):
            y = np.float32(row) + at_y
            for column in range(left, right + 1):
                x = np.float32(column) + at_x
                if not _covers(ax, ay, bx, by, cx, cy, x * _GRID, y * _GRID):
                    continue
                z = _fused(by_y, y, _fused(by_x, x, origin))
                if z >= 0.0 and z < depth[row, column]:
                    depth[row, column] = z


@njit(nogil=True, cache=True)
def draw_double(window, faces, depth):  # type: ignore[no-untyped-def]
    """Draw faces of either side in float64, sampled at the pixels' centres.

    `window` (V, 3) float64: window x, y and what is linear in the window (depth, or its inverse,
    negated); `depth` (H, W) float64, row 0 at the bottom.
    """
    height, width = depth.shape
    for t in range(len(faces)):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        ax, ay, bx, by = window[a, 0], window[a, 1], window[b, 0], window[b, 1]
        cx, cy = window[c, 0], window[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if not abs(area) > 0.0:
            continue
        grid = _GRID
        left, right = _span(min(ax, bx, cx) * grid, max(ax, bx, cx) * grid, 0.5, width)
        low, high = _span(min(ay, by, cy) * grid, max(ay, by, cy) * grid, 0.5, height)
        for row in range(low, high + 1):
            y = row + 0.5
            for column in range(left, right + 1):
                x = column + 0.5
                u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                if u < 0.0 or v < 0.0 or u + v > 1.0:
                    continue
                z = u * window[a, 2] + v * window[b, 2] + (1.0 - u - v) * window[c, 2]
                if z < depth[row, column]:
                    depth[row, column] = z


@njit(nogil=True, cache=True, inline="always")
def _snap(x):  # type: ignore[no-untyped-def]
    return np.rint(np.float64(x) * _GRID)


@njit(nogil=True, cache=True, inline="always")
def _fused(a, b, c):  # type: ignore[no-untyped-def]
    """Return a b + c of float32, rounded once."""
    return np.float32(np.float64(a) * np.float64(b) + np.float64(c))


@njit(nogil=True, cache=True, inline="always")
def _span(low, high, at, n):  # type: ignore[no-untyped-def]
    """Return the first and last pixel whose sample lies in [low, high], grid steps."""
    if not (low > -_FAR_OFF * _GRID and high < _FAR_OFF * _GRID):
        return 1, 0
    return max(0, math.ceil(low / _GRID - at)), min(n - 1, math.floor(high / _GRID - at))


@njit(nogil=True, cache=True, inline="always")
def _covers(ax, ay, bx, by, cx, cy, x, y):  # type: ignore[no-untyped-def]
    """Tell whether a counter-clockwise triangle covers (x, y); on an edge: left and bottom only."""
    return (
        _inside(ax, ay, bx, by, x, y)
        and _inside(bx, by, cx, cy, x, y)
        and _inside(cx, cy, ax, ay, x, y)
    )


@njit(nogil=True, cache=True, inline="always")
def _inside(ax, ay, bx, by, x, y):  # type: ignore[no-untyped-def]
    e = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
    return e > 0.0 or (e == 0.0 and (by < ay or (by == ay and bx > ax)))
