"""Search the tree of `surface.py` for the closest point of each query."""

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def closest_on_tree(  # type: ignore[no-untyped-def]
    query, hint, boxes, links, frames, order, place, depth, nearest, face, distance
):
    """Fill `nearest` (N, 3), `face` (N,), `distance` (N,) for `query` (N, 3)."""
    nodes = np.empty(depth + 2, np.int32)
    squares = np.empty(depth + 2)
    foot = np.empty(2)
    last = 0  # the row found last: neighbours in the list are mostly neighbours in space
    for i in range(query.shape[0]):
        px, py, pz = query[i, 0], query[i, 1], query[i, 2]
        if not math.isfinite(px + py + pz):
            nearest[i], face[i], distance[i] = np.nan, -1, np.nan
            continue
        row = place[hint[i]] if 0 <= hint[i] < place.shape[0] else last
        best = _square(frames, row, px, py, pz)
        row = _search(px, py, pz, row, best, boxes, links, frames, nodes, squares)
        _foot(frames, row, px, py, pz, foot)
        last = row
        for k in range(3):
            nearest[i, k] = frames[row, k] + foot[0] * frames[row, 3 + k]
            nearest[i, k] += foot[1] * frames[row, 6 + k]
        face[i] = order[row]
        distance[i] = math.sqrt(_square(frames, row, px, py, pz))


@njit(nogil=True, cache=True)
def _search(px, py, pz, row, best, boxes, links, frames, nodes, squares):  # type: ignore[no-untyped-def]
    """Go down the nearer child first; leave out what is farther than the best so far."""
    nodes[0], squares[0] = 0, 0.0
    top = 1
    while top > 0:
        top -= 1
        if squares[top] >= best:
            continue
        node = nodes[top]
        while links[node, 1] == 0:
            near = links[node, 0]
            far = near + 1
            d_near = _box_square(boxes, near, px, py, pz)
            d_far = _box_square(boxes, far, px, py, pz)
            if d_far < d_near:
                near, far, d_near, d_far = far, near, d_far, d_near
            if d_far < best:
                nodes[top], squares[top] = far, d_far
                top += 1
            if not d_near < best:
                node = -1
                break
            node = near
        if node >= 0:
            start = links[node, 0]
            for j in range(start, start + links[node, 1]):
                square = _square(frames, j, px, py, pz)
                if square < best:
                    best, row = square, j
    return row


@njit(nogil=True, cache=True, inline="always")
def _box_square(boxes, node, px, py, pz):  # type: ignore[no-untyped-def]
    dx = max(max(boxes[node, 0] - px, px - boxes[node, 3]), 0.0)
    dy = max(max(boxes[node, 1] - py, py - boxes[node, 4]), 0.0)
    dz = max(max(boxes[node, 2] - pz, pz - boxes[node, 5]), 0.0)
    return dx * dx + dy * dy + dz * dz


@njit(nogil=True, cache=True)
def _square(f, row, px, py, pz):  # type: ignore[no-untyped-def]
    """Return the squared distance of a point to a triangle laid out by `surface_build._frame`."""
    ax, ay, az = px - f[row, 0], py - f[row, 1], pz - f[row, 2]
    x = ax * f[row, 3] + ay * f[row, 4] + az * f[row, 5]
    y = ax * f[row, 6] + ay * f[row, 7] + az * f[row, 8]
    z = ax * f[row, 9] + ay * f[row, 10] + az * f[row, 11]
    if y <= 0.0:
        dx = x - min(max(x, 0.0), f[row, 12])
        return dx * dx + y * y + z * z
    square = np.inf
    if f[row, 13] * y >= f[row, 14] * x:  # equality: a face of one point is nowhere inside
        square = _segment_square(x, y, f[row, 13], f[row, 14])
    bx, from_b = f[row, 12] - f[row, 13], f[row, 12] - x
    if bx * y >= f[row, 14] * from_b:
        square = min(square, _segment_square(from_b, y, bx, f[row, 14]))
    return z * z + (0.0 if square == np.inf else square)


@njit(nogil=True, cache=True, inline="always")
def _segment_square(x, y, bx, by):  # type: ignore[no-untyped-def]
    """Return the squared distance of (x, y) to the segment from the origin to (bx, by)."""
    part = _part(x, y, bx, by)
    dx, dy = x - part * bx, y - part * by
    return dx * dx + dy * dy


@njit(nogil=True, cache=True, inline="always")
def _part(x, y, bx, by):  # type: ignore[no-untyped-def]
    length = bx * bx + by * by
    return min(max((x * bx + y * by) / length, 0.0), 1.0) if length > 0.0 else 0.0


@njit(nogil=True, cache=True)
def _foot(f, row, px, py, pz, foot):  # type: ignore[no-untyped-def]
    """Fill in the closest point of the triangle, in its plane; the cases are those of `_square`."""
    ax, ay, az = px - f[row, 0], py - f[row, 1], pz - f[row, 2]
    x = ax * f[row, 3] + ay * f[row, 4] + az * f[row, 5]
    y = ax * f[row, 6] + ay * f[row, 7] + az * f[row, 8]
    if y <= 0.0:
        foot[0], foot[1] = min(max(x, 0.0), f[row, 12]), 0.0
        return
    foot[0], foot[1] = x, y
    square = np.inf
    if f[row, 13] * y >= f[row, 14] * x:
        part = _part(x, y, f[row, 13], f[row, 14])
        foot[0], foot[1] = part * f[row, 13], part * f[row, 14]
        square = _segment_square(x, y, f[row, 13], f[row, 14])
    bx, from_b = f[row, 12] - f[row, 13], f[row, 12] - x
    if bx * y >= f[row, 14] * from_b and _segment_square(from_b, y, bx, f[row, 14]) < square:
        part = _part(from_b, y, bx, f[row, 14])
        foot[0], foot[1] = f[row, 12] - part * bx, part * f[row, 14]
