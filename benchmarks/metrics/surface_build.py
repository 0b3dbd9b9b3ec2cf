"""Build the bounding-volume tree of `surface.py`, and a plane frame for each triangle.

Source
------
Wald, On fast construction of SAH-based bounding volume hierarchies, 2007: binned splits.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from ...core.arrays import Floats, Ints

_N_BINS = 8
_LEAF = 4
"""A leaf holds no more triangles than this, except where their centres coincide."""


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A binary tree of boxes; the two children of a node are neighbours in memory."""

    boxes: Floats
    """(M, 6): lower and upper corner."""
    links: Ints
    """(M, 2): first child and 0, or first triangle and the number of triangles of a leaf."""
    frames: Floats
    """(F, 16) in the order of the leaves: see `_frame`."""
    order: Ints
    """(F,) the face of each row of `frames`."""
    place: Ints
    """(F,) the row of `frames` of each face."""
    depth: int
    """Most steps from the root to a leaf."""


def build_tree(corners: Floats) -> Tree:
    """Build the tree of triangles (F, 3, 3), F >= 1, all finite."""
    n = len(corners)
    lower, upper = corners.min(axis=1), corners.max(axis=1)
    order = np.arange(n, dtype=np.int32)
    boxes = np.zeros((2 * n, 6))
    links = np.zeros((2 * n, 2), np.int32)
    n_nodes, depth = _split(lower, upper, order, boxes, links)
    frames = np.empty((n, 16))
    _frames(corners, order, frames)
    place = np.empty(n, np.int32)
    place[order] = np.arange(n, dtype=np.int32)
    return Tree(
        boxes=boxes[:n_nodes].copy(),
        links=links[:n_nodes].copy(),
        frames=frames,
        order=order,
        place=place,
        depth=int(depth),
    )


@njit(nogil=True, cache=True)
def _split(lower, upper, order, boxes, links):  # type: ignore[no-untyped-def]
    """Split until leaves are small; return the number of nodes and the depth."""
    n = order.shape[0]
    centre = (lower + upper) * 0.5
    stack = np.empty((2 * n + 2, 4), np.int64)  # node, start, stop, depth
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = 0, 0, n, 0
    top, n_nodes, deepest = 1, 1, 0
    while top > 0:
        top -= 1
        node, start, stop, depth = stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3]
        deepest = max(deepest, depth)
        for k in range(3):
            low, high = np.inf, -np.inf
            for i in range(start, stop):
                low = min(low, lower[order[i], k])
                high = max(high, upper[order[i], k])
            boxes[node, k], boxes[node, 3 + k] = low, high
        links[node, 0], links[node, 1] = start, stop - start
        if stop - start <= _LEAF:
            continue
        middle = _partition(lower, upper, centre, order, start, stop)
        if middle in (start, stop):
            middle = (start + stop) // 2  # centres coincide, or nearly: any halves will do
        links[node, 0], links[node, 1] = n_nodes, 0
        for child in range(2):
            stack[top, 0] = n_nodes + child
            stack[top, 1] = start if child == 0 else middle
            stack[top, 2] = middle if child == 0 else stop
            stack[top, 3] = depth + 1
            top += 1
        n_nodes += 2
    return n_nodes, deepest


@njit(nogil=True, cache=True)
def _partition(lower, upper, centre, order, start, stop):  # type: ignore[no-untyped-def]
    """Put triangles on their side of the cheapest cut along the longest axis of the centres."""
    axis, base, extent = 0, 0.0, -1.0
    for k in range(3):
        low, high = np.inf, -np.inf
        for i in range(start, stop):
            low = min(low, centre[order[i], k])
            high = max(high, centre[order[i], k])
        if high - low > extent:
            axis, base, extent = k, low, high - low
    if not extent > 0.0:
        return start
    to_bin = _N_BINS / extent
    cut = _cheapest_cut(lower, upper, centre, order, start, stop, axis, base, to_bin)
    left, right = start, stop - 1
    while left <= right:
        if min(int((centre[order[left], axis] - base) * to_bin), _N_BINS - 1) <= cut:
            left += 1
        else:
            order[left], order[right] = order[right], order[left]
            right -= 1
    return left


@njit(nogil=True, cache=True)
def _cheapest_cut(lower, upper, centre, order, start, stop, axis, base, to_bin):  # type: ignore[no-untyped-def]
    """Find the last bin of the left side with the least area times count, both sides added."""
    count = np.zeros(_N_BINS, np.int64)
    box = np.empty((_N_BINS, 6))
    box[:, :3], box[:, 3:] = np.inf, -np.inf
    for i in range(start, stop):
        face = order[i]
        b = min(int((centre[face, axis] - base) * to_bin), _N_BINS - 1)
        count[b] += 1
        for k in range(3):
            box[b, k] = min(box[b, k], lower[face, k])
            box[b, 3 + k] = max(box[b, 3 + k], upper[face, k])
    cost = np.zeros(_N_BINS)
    grown = np.empty(6)
    grown[:3], grown[3:] = np.inf, -np.inf
    n = 0
    for b in range(_N_BINS - 1):
        n += count[b]
        cost[b] += n * _grow(grown, box[b], count[b]) if n > 0 else 0.0
    grown[:3], grown[3:] = np.inf, -np.inf
    n = 0
    for b in range(_N_BINS - 1, 0, -1):
        n += count[b]
        cost[b - 1] += n * _grow(grown, box[b], count[b]) if n > 0 else 0.0
    best = 0
    for b in range(1, _N_BINS - 1):
        if cost[b] < cost[best]:
            best = b
    return best


@njit(nogil=True, cache=True)
def _grow(grown, box, count):  # type: ignore[no-untyped-def]
    """Take a box into another; return half of the area of the sum."""
    if count > 0:
        for k in range(3):
            grown[k] = min(grown[k], box[k])
            grown[3 + k] = max(grown[3 + k], box[3 + k])
    x, y, z = grown[3] - grown[0], grown[4] - grown[1], grown[5] - grown[2]
    return x * y + y * z + z * x


@njit(nogil=True, cache=True)
def _frames(corners, order, frames):  # type: ignore[no-untyped-def]
    for i in range(order.shape[0]):
        _frame(corners[order[i]], frames[i])


@njit(nogil=True, cache=True)
def _frame(corner, out):  # type: ignore[no-untyped-def]
    """Lay the triangle in a plane: origin, x axis, y axis, normal, then b = (L, 0), c = (x, y).

    The x axis is the longest side, so both angles on it are acute and the case analysis of a
    query is short; axes are unit whatever the area, so a flat triangle is its longest side.
    """
    first, longest = 0, -1.0
    for k in range(3):
        length = 0.0
        for j in range(3):
            length += (corner[(k + 1) % 3, j] - corner[k, j]) ** 2
        if length > longest:
            first, longest = k, length
    length = math.sqrt(longest)
    x, y, c = np.zeros(3), np.zeros(3), np.empty(3)
    for j in range(3):
        out[j] = corner[first, j]
        x[j] = corner[(first + 1) % 3, j] - corner[first, j]
        c[j] = corner[(first + 2) % 3, j] - corner[first, j]
    if length > 0.0:
        x /= length
    else:
        x[0] = 1.0
    x /= math.sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2])
    along = c[0] * x[0] + c[1] * x[1] + c[2] * x[2]
    y[:] = c - along * x
    height = math.sqrt(y[0] * y[0] + y[1] * y[1] + y[2] * y[2])
    if not height > 1e-14 * length:  # a segment: any direction across it
        axis = np.argmin(np.abs(x))
        y[:] = 0.0
        y[axis] = 1.0
    for _ in range(2):  # again: what rounding left along x
        y -= (y[0] * x[0] + y[1] * x[1] + y[2] * x[2]) * x
        y /= math.sqrt(y[0] * y[0] + y[1] * y[1] + y[2] * y[2])
    out[3:6], out[6:9] = x, y
    out[9] = x[1] * y[2] - x[2] * y[1]
    out[10] = x[2] * y[0] - x[0] * y[2]
    out[11] = x[0] * y[1] - x[1] * y[0]
    out[12], out[13] = length, min(max(along, 0.0), length)
    out[14], out[15] = max(c[0] * y[0] + c[1] * y[1] + c[2] * y[2], 0.0), 0.0
