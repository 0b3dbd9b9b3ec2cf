"""Compiled loops of `chart.py`: triangles to texels, values at texels, the nearest texel."""

import math

import numpy as np
from numba import njit

from ...core.arrays import Bools, Ints

_INSIDE = 1e-9  # barycentric: an edge belongs to both its faces, the first of which wins
_WELL_INSIDE = 1e-3


@njit(nogil=True, cache=True)
def rasterise(places, index, face, weights, overlapping):  # type: ignore[no-untyped-def]
    """Find each texel's face.

    `places` (F, 3, 2): x to the right, y down, in texels from the map's corner; `index` (F,)
    what is written into `face`.
    """
    height, width = face.shape
    for f in range(len(places)):
        ax, ay = places[f, 0, 0], places[f, 0, 1]
        bx, by = places[f, 1, 0] - ax, places[f, 1, 1] - ay
        cx, cy = places[f, 2, 0] - ax, places[f, 2, 1] - ay
        twice = bx * cy - by * cx
        if abs(twice) < 1e-12:
            continue
        left, right = ax + min(0.0, bx, cx), ax + max(0.0, bx, cx)
        top, bottom = ay + min(0.0, by, cy), ay + max(0.0, by, cy)
        for r in range(max(0, math.ceil(top - 0.5)), min(height, math.floor(bottom - 0.5) + 1)):
            y = r + 0.5 - ay
            for c in range(max(0, math.ceil(left - 0.5)), min(width, math.floor(right - 0.5) + 1)):
                x = c + 0.5 - ax
                w1 = (x * cy - y * cx) / twice
                w2 = (bx * y - by * x) / twice
                low = min(w1, w2, 1 - w1 - w2)
                if low < -_INSIDE:
                    continue
                if face[r, c] < 0:
                    face[r, c] = index[f]
                    weights[r, c, 0] = w1
                    weights[r, c, 1] = w2
                elif low > _WELL_INSIDE:
                    u, v = weights[r, c, 0], weights[r, c, 1]
                    if min(u, v, 1 - u - v) > _WELL_INSIDE:
                        overlapping[r, c] = True


@njit(nogil=True, cache=True)
def interpolate(face, weights, corners, table, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows, n, k) with `table` (V, k) at the texels; outside stays as it is."""
    for r in range(face.shape[0]):
        for c in range(face.shape[1]):
            f = face[r, c]
            if f < 0:
                continue
            a, b, d = corners[f, 0], corners[f, 1], corners[f, 2]
            w1, w2 = weights[r, c, 0], weights[r, c, 1]
            w0 = 1 - w1 - w2
            for k in range(table.shape[1]):
                out[r, c, k] = w0 * table[a, k] + w1 * table[b, k] + w2 * table[d, k]


def nearest_texel(inside: Bools, n_texels: int) -> tuple[Ints, Ints, Bools]:
    """Return row and column (n, n) of the nearest texel inside, and where it is within reach."""
    height, width = inside.shape
    row = np.repeat(np.arange(height, dtype=np.int32)[:, None], width, axis=1)
    col = np.repeat(np.arange(width, dtype=np.int32)[None], height, axis=0)
    row[~inside] = -1
    _sweep(row, col, True)
    _sweep(row, col, False)
    known = row >= 0
    square = (row - np.arange(height)[:, None]) ** 2 + (col - np.arange(width)[None]) ** 2
    return row, col, known & ~inside & (square <= n_texels**2)


@njit(nogil=True, cache=True)
def _sweep(row, col, forward):  # type: ignore[no-untyped-def]
    """Hand the nearest known texel on (Danielsson's 8SSED), down or up the map."""
    height, width = row.shape
    for i in range(height):
        r = i if forward else height - 1 - i
        before = -1 if forward else 1
        for way in range(2):
            for j in range(width):
                c = j if way == 0 else width - 1 - j
                side = -1 if way == 0 else 1
                for dr, dc in ((0, side), (before, side), (before, 0), (before, -side)):
                    y, x = r + dr, c + dc
                    if y < 0 or y >= height or x < 0 or x >= width or row[y, x] < 0:
                        continue
                    new = (row[y, x] - r) ** 2 + (col[y, x] - c) ** 2
                    if row[r, c] < 0 or new < (row[r, c] - r) ** 2 + (col[r, c] - c) ** 2:
                        row[r, c], col[r, c] = row[y, x], col[y, x]
