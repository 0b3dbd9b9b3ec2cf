"""Compiled loops of `numba_backend.py`: triangles to pixels, and the gradient back to vertices.

Vertices are rounded to a grid of 2^bits steps a pixel, counted from the middle of the image;
edge functions are whole numbers, so that neighbours leave neither gap nor overlap. A pixel
centre on an edge belongs to the triangle whose left or top edge it is (y up). Depth is compared
in 32 bits; of equal depths the later triangle wins: one signed key of 64 bits holds both.

Triangles that reach behind the camera have no place on that grid; their pixels are found from
homogeneous edge functions.

Source
------
M. Olano, T. Greer, "Triangle scan conversion using 2D homogeneous coordinates", 1997.
"""

import math

import numpy as np
from numba import njit

ON_GRID, OFF_GRID, NOT_FINITE = 0, 1, 2
GRID_LIMIT = 1 << 25  # products of two differences stay whole in float64 (the torch backend's)
EMPTY = np.int64(0x7FFFFFFFFFFFFFFF)
LOW_32 = 0xFFFFFFFF
DEPTH_STEPS = 4294967295.0
KEEP_ALL, DROP_BACK, DROP_FRONT = 0, 1, 2


@njit(nogil=True, cache=True)
def place_vertices(pos, half_width, half_height, place, depth, kind):  # type: ignore[no-untyped-def]
    """Round vertices to the grid.

    `pos` (V, 4) clip space; `half_width`, `half_height` of the image in grid steps; out:
    `place` (V, 2) int32, `depth` (V,) z/w as [0, DEPTH_STEPS], `kind` (V,).
    """
    for i in range(len(pos)):
        x, y = np.float64(pos[i, 0]), np.float64(pos[i, 1])
        z, w = np.float64(pos[i, 2]), np.float64(pos[i, 3])
        if not math.isfinite(x + y + z + w):
            kind[i] = NOT_FINITE
            continue
        kind[i] = OFF_GRID
        if w <= 0.0:
            continue
        column, row = np.rint(x / w * half_width), np.rint(y / w * half_height)
        if abs(column) < GRID_LIMIT and abs(row) < GRID_LIMIT:
            kind[i] = ON_GRID
            place[i, 0], place[i, 1] = np.int32(column), np.int32(row)
            depth[i] = (z / w * 0.5 + 0.5) * DEPTH_STEPS


@njit(nogil=True, cache=True)
def find_rows(tri, pos, place, depth, kind, size, bits, cull, start, end, rows):  # type: ignore[no-untyped-def]
    """Find the first and last pixel row that a triangle can cover; first > last: none.

    Triangles that cover no pixel centre at all are mostly dropped here.
    """
    height, width = size
    for t in range(start, end):
        rows[t, 0], rows[t, 1] = 1, 0
        a, b, c = tri[t, 0], tri[t, 1], tri[t, 2]
        most = max(kind[a], kind[b], kind[c])
        if most == NOT_FINITE:
            continue
        if most == OFF_GRID:
            _homogeneous_rows(pos, a, b, c, height, rows[t])
            continue
        if min(depth[a], depth[b], depth[c]) > DEPTH_STEPS or max(depth[a], depth[b], depth[c]) < 0:
            continue
        ax, ay = np.int64(place[a, 0]), np.int64(place[a, 1])
        bx, by = np.int64(place[b, 0]), np.int64(place[b, 1])
        cx, cy = np.int64(place[c, 0]), np.int64(place[c, 1])
        first_row, last_row = _centres(min(ay, by, cy), max(ay, by, cy), height, bits)
        first, last = _centres(min(ax, bx, cx), max(ax, bx, cx), width, bits)
        if first_row > last_row or first > last:
            continue
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0 or (cull == DROP_BACK and area < 0) or (cull == DROP_FRONT and area > 0):
            continue
        rows[t, 0], rows[t, 1] = first_row, last_row


@njit(nogil=True, cache=True, inline="always")
def _centres(low, high, n_pixels, bits):  # type: ignore[no-untyped-def]
    """Return the first and last pixel with its centre in [low, high], grid steps."""
    half = 1 << (bits - 1)
    offset = n_pixels * half - half
    first = (low + offset + (1 << bits) - 1) >> bits
    last = (high + offset) >> bits
    return max(first, 0), min(last, n_pixels - 1)


@njit(nogil=True, cache=True)
def _homogeneous_rows(pos, a, b, c, height, rows):  # type: ignore[no-untyped-def]
    """Bound a triangle that reaches behind the camera: its part before the near plane."""
    corner = np.empty((3, 4))
    for k in range(4):
        corner[0, k], corner[1, k], corner[2, k] = pos[a, k], pos[b, k], pos[c, k]
    for k in range(3):  # wholly outside one plane of the view volume
        if (corner[:, k] > corner[:, 3]).all() or (corner[:, k] < -corner[:, 3]).all():
            return
    low, high = np.inf, -np.inf
    for i in range(3):
        j = (i + 1) % 3
        here = corner[i, 2] + corner[i, 3]
        there = corner[j, 2] + corner[j, 3]
        if here >= 0.0:
            y, w = corner[i, 1], corner[i, 3]
            if w <= 0.0:
                low, high = -np.inf, np.inf
            else:
                low, high = min(low, y / w), max(high, y / w)
        if (here >= 0.0) != (there >= 0.0):
            s = here / (here - there)
            y = corner[i, 1] + s * (corner[j, 1] - corner[i, 1])
            w = corner[i, 3] + s * (corner[j, 3] - corner[i, 3])
            if w <= 0.0:
                low, high = -np.inf, np.inf
            else:
                low, high = min(low, y / w), max(high, y / w)
    if low > high:
        return
    low, high = max(min(low, 2.0), -2.0), max(min(high, 2.0), -2.0)
    rows[0] = max(math.floor((low + 1.0) * 0.5 * height - 0.5) - 1, 0)
    rows[1] = min(math.ceil((high + 1.0) * 0.5 * height - 0.5) + 1, height - 1)


@njit(nogil=True, cache=True)
def fill_rows(tri, pos, place, depth, kind, rows, width, height, bits, cull, top, keys):  # type: ignore[no-untyped-def]
    """Draw all triangles into the image rows [top, top + len(keys))."""
    bottom = top + len(keys) - 1
    for t in range(len(tri)):
        first_row, last_row = max(rows[t, 0], top), min(rows[t, 1], bottom)
        if first_row > last_row:
            continue
        a, b, c = tri[t, 0], tri[t, 1], tri[t, 2]
        if max(kind[a], kind[b], kind[c]) == ON_GRID:
            _fill(place, depth, a, b, c, t, first_row, last_row, top, width, height, bits, keys)
        else:
            _fill_homogeneous(pos, a, b, c, t, first_row, last_row, top, width, height, cull, keys)


@njit(nogil=True, cache=True)
def _fill(place, depth, a, b, c, t, first_row, last_row, top, width, height, bits, keys):  # type: ignore[no-untyped-def]
    ax, ay = np.int64(place[a, 0]), np.int64(place[a, 1])
    bx, by = np.int64(place[b, 0]), np.int64(place[b, 1])
    cx, cy = np.int64(place[c, 0]), np.int64(place[c, 1])
    za, zb, zc = depth[a], depth[b], depth[c]
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if area < 0:
        bx, by, zb, cx, cy, zc = cx, cy, zc, bx, by, zb
        area = -area
    first, last = _centres(min(ax, bx, cx), max(ax, bx, cx), width, bits)
    zx = ((zb - za) * (cy - ay) - (zc - za) * (by - ay)) / area
    zy = ((zc - za) * (bx - ax) - (zb - za) * (cx - ax)) / area
    beyond = max(za, zb, zc) > DEPTH_STEPS or min(za, zb, zc) < 0.0
    step, half = np.int64(1 << bits), np.int64(1 << (bits - 1))
    # an edge function is positive inside; on the edge itself it counts for left and top edges.
    # whole numbers below 2^53, in floating point: its division is the faster one, and as exact
    x_first = np.float64(half - width * half)
    y_first = np.float64(first_row * step + half - height * half)
    a_dx, a_dy = np.float64(bx - ax), np.float64(by - ay)
    b_dx, b_dy = np.float64(cx - bx), np.float64(cy - by)
    c_dx, c_dy = np.float64(ax - cx), np.float64(ay - cy)
    e_a = a_dx * (y_first - ay) - a_dy * (x_first - ax) - _tie(a_dx, a_dy)
    e_b = b_dx * (y_first - by) - b_dy * (x_first - bx) - _tie(b_dx, b_dy)
    e_c = c_dx * (y_first - cy) - c_dy * (x_first - cx) - _tie(c_dx, c_dy)
    number = np.int64(LOW_32 - t)
    y_row, z_step = y_first, zx * step
    for row in range(first_row, last_row + 1):
        z_row = za + zy * (y_row - ay) + zx * (x_first - ax)
        y_row += step
        low, high = np.float64(first), np.float64(last)
        low, high = _ends(e_a, a_dy * step, low, high)
        low, high = _ends(e_b, b_dy * step, low, high)
        low, high = _ends(e_c, c_dy * step, low, high)
        for column in range(np.int64(low), np.int64(high) + 1):
            z = z_row + z_step * column
            if not beyond or (z >= 0.0 and z <= DEPTH_STEPS):
                steps = np.int64(min(max(z, 0.0), DEPTH_STEPS))
                key = ((steps - 2147483648) << 32) | number
                keys[row - top, column] = min(key, keys[row - top, column])
        e_a += a_dx * step
        e_b += b_dx * step
        e_c += c_dx * step


@njit(nogil=True, cache=True, inline="always")
def _tie(dx, dy):  # type: ignore[no-untyped-def]
    """Return 0 for a left or top edge of a counter-clockwise triangle (y up), else 1."""
    return 0 if dy < 0 or (dy == 0 and dx < 0) else 1


@njit(nogil=True, cache=True, inline="always")
def _ends(e, fall, start, stop):  # type: ignore[no-untyped-def]
    """Narrow [start, stop] to the columns where e - fall * column >= 0."""
    if fall > 0.0:
        return start, min(stop, math.floor(e / fall))
    if fall < 0.0:
        return max(start, math.ceil(e / fall)), stop
    return start, stop if e >= 0.0 else start - 1.0


@njit(nogil=True, cache=True)
def _fill_homogeneous(  # type: ignore[no-untyped-def]
    pos, a, b, c, t, first_row, last_row, top, width, height, cull, keys
):
    number = np.int64(LOW_32 - t)
    wa, wb, wc = np.float64(pos[a, 3]), np.float64(pos[b, 3]), np.float64(pos[c, 3])
    za, zb, zc = np.float64(pos[a, 2]), np.float64(pos[b, 2]), np.float64(pos[c, 2])
    for row in range(first_row, last_row + 1):
        y = (2 * row + 1) / height - 1.0
        for column in range(width):
            x = (2 * column + 1) / width - 1.0
            ax, ay = pos[a, 0] - x * wa, pos[a, 1] - y * wa
            bx, by = pos[b, 0] - x * wb, pos[b, 1] - y * wb
            cx, cy = pos[c, 0] - x * wc, pos[c, 1] - y * wc
            u, v, r = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
            total = u + v + r
            if not (total > 0.0 and min(u, v, r) >= 0.0) and not (
                total < 0.0 and max(u, v, r) <= 0.0
            ):
                continue
            w = (u * wa + v * wb + r * wc) / total
            z = (u * za + v * zb + r * zc) / total
            if not w > 0.0 or z > w or z < -w:
                continue
            if (cull == DROP_BACK and total < 0.0) or (cull == DROP_FRONT and total > 0.0):
                continue
            steps = np.int64(min(max(z / w * 0.5 + 0.5, 0.0), 1.0) * DEPTH_STEPS)
            key = ((steps - 2147483648) << 32) | number
            if key < keys[row - top, column]:
                keys[row - top, column] = key


@njit(nogil=True, cache=True)
def read_keys(keys, top, ids, depth):  # type: ignore[no-untyped-def]
    """Split keys: `ids` (H, W) int32, -1 empty; `depth` (H, W) float32 z/w, inf empty."""
    for row in range(len(keys)):
        for column in range(keys.shape[1]):
            key = keys[row, column]
            if key == EMPTY:
                ids[top + row, column], depth[top + row, column] = -1, np.inf
            else:
                ids[top + row, column] = LOW_32 - (key & LOW_32)
                steps = (key >> 32) + 2147483648
                depth[top + row, column] = steps / DEPTH_STEPS * 2.0 - 1.0


@njit(nogil=True, cache=True)
def locate(tri, pos, keys, top, height, rast, bits, db):  # type: ignore[no-untyped-def]
    """Fill `rast` (H, W, 4), its bits `bits` as int32, and `db` (H, W, 4) unless empty."""
    width = keys.shape[1]
    for i in range(len(keys)):
        row = top + i
        y = (2 * row + 1) / height - 1.0
        for column in range(width):
            key = keys[i, column]
            if key == EMPTY:
                continue
            t = LOW_32 - (key & LOW_32)
            x = (2 * column + 1) / width - 1.0
            a, b, c = tri[t, 0], tri[t, 1], tri[t, 2]
            wa, wb, wc = np.float64(pos[a, 3]), np.float64(pos[b, 3]), np.float64(pos[c, 3])
            ax, ay = pos[a, 0] - x * wa, pos[a, 1] - y * wa
            bx, by = pos[b, 0] - x * wb, pos[b, 1] - y * wb
            cx, cy = pos[c, 0] - x * wc, pos[c, 1] - y * wc
            p, q, r = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
            total = p + q + r
            inverse = 1.0 / total if total != 0.0 else 0.0
            u, v = p * inverse, q * inverse
            if len(db):
                px, qx = by * wc - wb * cy, cy * wa - wc * ay
                py, qy = wb * cx - bx * wc, wc * ax - cx * wa
                tx, ty = px + qx + (ay * wb - wa * by), py + qy + (wa * bx - ax * wb)
                to_x, to_y = 2.0 / width * inverse, 2.0 / height * inverse
                db[row, column, 0] = (px - u * tx) * to_x
                db[row, column, 1] = (py - u * ty) * to_y
                db[row, column, 2] = (qx - v * tx) * to_x
                db[row, column, 3] = (qy - v * ty) * to_y
            u, v = min(max(u, 0.0), 1.0), min(max(v, 0.0), 1.0)
            over = max(u + v, 1.0)
            u, v = u / over, v / over
            rest = 1.0 - u - v
            z = u * pos[a, 2] + v * pos[b, 2] + rest * pos[c, 2]
            rast[row, column, 0], rast[row, column, 1] = u, v
            rast[row, column, 2] = z / (u * wa + v * wb + rest * wc)
            if t + 1 <= 16777216:
                rast[row, column, 3] = t + 1
            else:
                bits[row, column, 3] = t + 1 + 0x4A800000


@njit(nogil=True, cache=True, inline="always")
def triangle_at(rast, bits, row, column):  # type: ignore[no-untyped-def]
    """Decode a pixel's triangle, -1 for none; `bits` is `rast` read as int32."""
    code = rast[row, column, 3]
    if code <= 16777216.0:
        return np.int64(code) - 1
    return np.int64(bits[row, column, 3]) - 0x4A800000 - 1


@njit(nogil=True, cache=True)
def locate_gradient(tri, pos, rast, bits, gradient, top, end, out):  # type: ignore[no-untyped-def]
    """Add the gradient by u, v (`gradient` (H, W, 4)) of rows [top, end) to `out` (V, 3).

    `out` is by x, y and w.
    """
    height, width = rast.shape[:2]
    for row in range(top, end):
        y = (2 * row + 1) / height - 1.0
        for column in range(width):
            t = triangle_at(rast, bits, row, column)
            g_u, g_v = np.float64(gradient[row, column, 0]), np.float64(gradient[row, column, 1])
            if t < 0 or (g_u == 0.0 and g_v == 0.0):
                continue
            x = (2 * column + 1) / width - 1.0
            a, b, c = tri[t, 0], tri[t, 1], tri[t, 2]
            wa, wb, wc = np.float64(pos[a, 3]), np.float64(pos[b, 3]), np.float64(pos[c, 3])
            ax, ay = pos[a, 0] - x * wa, pos[a, 1] - y * wa
            bx, by = pos[b, 0] - x * wb, pos[b, 1] - y * wb
            cx, cy = pos[c, 0] - x * wc, pos[c, 1] - y * wc
            p, q, r = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
            total = p + q + r
            if total == 0.0:
                continue
            mean = (g_u * p + g_v * q) / total
            g_p, g_q, g_r = (g_u - mean) / total, (g_v - mean) / total, -mean / total
            g_ax, g_ay = g_r * by - g_q * cy, g_q * cx - g_r * bx
            g_bx, g_by = g_p * cy - g_r * ay, g_r * ax - g_p * cx
            g_cx, g_cy = g_q * ay - g_p * by, g_p * bx - g_q * ax
            out[a, 0] += g_ax
            out[a, 1] += g_ay
            out[a, 2] -= x * g_ax + y * g_ay
            out[b, 0] += g_bx
            out[b, 1] += g_by
            out[b, 2] -= x * g_bx + y * g_by
            out[c, 0] += g_cx
            out[c, 1] += g_cy
            out[c, 2] -= x * g_cx + y * g_cy
