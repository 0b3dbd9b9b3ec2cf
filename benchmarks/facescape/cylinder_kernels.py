"""Rays from a vertical axis through a mesh, hit after hit, as Embree 2 finds them in float32.

Embree's triangle test (Moeller-Trumbore, fused multiply-adds) is done operation by operation:
whether a ray that restarts just behind a triangle hits it again is decided by the last bits.
All rays start on the axis and keep to their line, so that a table of the triangles that can
meet each line takes the place of a tree.

Source: Moeller & Trumbore, Fast, minimum storage ray/triangle intersection, 1997.
"""

import math

import numpy as np
from numba import njit

_MARGIN_MM = 0.01  # around a triangle: float32 at the scene's size errs by 1e-4 mm
_NEAR_AXIS_MM = 2.0  # triangles that come closer are listed for every angle


@njit(nogil=True, cache=True)
def list_candidates(vertices, faces, size, half_height, turn, ends):  # type: ignore[no-untyped-def]
    """List for each ray the triangles that it may meet.

    Parameters
    ----------
    vertices : (V, 3) float64, mm
    size : int
        Rows and columns of rays; ray `row * size + column`.
    half_height : float
        mm; rows go from this to its negative.
    turn : int
        Columns that make a full turn: size - 1 (the last column repeats the first) or size.
    ends : (size * size,) int64, written
        Where each ray's list ends; it starts where the one before ends.

    Returns
    -------
    (n,) int32
        The lists, one after another.
    """
    spans = np.empty((len(faces), 4), np.int32)
    places = np.empty(len(vertices))
    radii = np.empty(len(vertices))
    step = 2.0 * math.pi / turn
    for v in range(len(vertices)):
        x, z = vertices[v, 0], vertices[v, 2]
        places[v] = math.atan2(-x, -z) / step
        radii[v] = math.sqrt(x * x + z * z)
    ends[:] = 0
    for t in range(len(faces)):
        _span(vertices, faces[t], places, radii, size, half_height, turn, spans[t])
        for row in range(spans[t, 0], spans[t, 1] + 1):
            for column in range(spans[t, 2], spans[t, 3] + 1):
                wrapped = column % turn
                ends[row * size + wrapped] += 1
                if wrapped == 0 and turn < size:
                    ends[row * size + turn] += 1
    total = 0
    for ray in range(len(ends)):
        count = ends[ray]
        ends[ray] = total
        total += count
    lists = np.empty(total, np.int32)
    for t in range(len(faces)):
        for row in range(spans[t, 0], spans[t, 1] + 1):
            for column in range(spans[t, 2], spans[t, 3] + 1):
                wrapped = column % turn
                ray = row * size + wrapped
                lists[ends[ray]] = t
                ends[ray] += 1
                if wrapped == 0 and turn < size:
                    ray = row * size + turn
                    lists[ends[ray]] = t
                    ends[ray] += 1
    return lists


@njit(nogil=True, cache=True)
def _span(vertices, face, places, radii, size, half_height, turn, span):  # type: ignore[no-untyped-def]
    """Write the first and last row and column that can meet a triangle; first > last: none."""
    a, b, c = face[0], face[1], face[2]
    ya, yb, yc = vertices[a, 1], vertices[b, 1], vertices[c, 1]
    rows = (size - 1) / (2.0 * half_height)
    first = math.ceil((half_height - max(ya, yb, yc) - _MARGIN_MM) * rows)
    last = math.floor((half_height - min(ya, yb, yc) + _MARGIN_MM) * rows)
    span[0], span[1] = max(first, 0), min(last, size - 1)
    near = min(radii[a], radii[b], radii[c])
    pa = places[a]
    pb = pa + _turned(places[b] - pa, turn)
    pc = pa + _turned(places[c] - pa, turn)
    low, high = min(pa, pb, pc), max(pa, pb, pc)
    if near < _NEAR_AXIS_MM or high - low > turn / 4:
        span[2], span[3] = 0, turn - 1
        return
    margin = _MARGIN_MM / near * turn / (2.0 * math.pi)
    span[2], span[3] = math.ceil(low - margin), math.floor(high + margin)


@njit(nogil=True, cache=True, inline="always")
def _turned(difference, turn):  # type: ignore[no-untyped-def]
    """Bring a difference of columns into (-turn / 2, turn / 2]."""
    if difference > turn / 2:
        return difference - turn
    if difference < -turn / 2:
        return difference + turn
    return difference


@njit(nogil=True, cache=True)
def set_up(scaled, faces, out):  # type: ignore[no-untyped-def]
    """Write Embree's (F, 12) float32 of each triangle: corner, two edges, their product."""
    for t in range(len(faces)):
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        for k in range(3):
            out[t, k] = scaled[a, k]
            out[t, 3 + k] = scaled[a, k] - scaled[b, k]
            out[t, 6 + k] = scaled[c, k] - scaled[a, k]
        for k in range(3):
            i, j = (k + 1) % 3, (k + 2) % 3
            out[t, 9 + k] = _fused_difference(
                out[t, 3 + i], out[t, 6 + j], out[t, 3 + j] * out[t, 6 + i]
            )


@njit(nogil=True, cache=True)
def follow(  # type: ignore[no-untyped-def]
    vertices, faces, triangles, lists, ends, heights, directions, low, scale, step, most,
    face, radius, hits,
):  # fmt: skip
    """Follow each ray from hit to hit; keep its last.

    Parameters
    ----------
    triangles : (F, 12) float32
        Of `set_up`.
    heights : (size,) float64, mm
        Of the rows' rays, which start on the axis.
    directions : (size, 3) float64
        Unit vectors of the columns.
    low : (3,) float64, mm
    scale : float
        A point is (p - low) scale in Embree's float32.
    step : float
        mm; a ray restarts this far behind its hit.
    most : int
        Hits, after which a ray is given up.
    face, radius, hits : (size * size,), written
        Last triangle or -1, distance from the axis of its hit, number of hits.
    """
    size = len(heights)
    for ray in range(len(ends)):
        start = ends[ray - 1] if ray > 0 else 0
        face[ray], radius[ray], hits[ray] = -1, 0.0, 0
        if start == ends[ray]:
            continue
        direction = directions[ray % size]
        dx, dy, dz = direction[0], direction[1], direction[2]
        ox, oy, oz = 0.0, heights[ray // size], 0.0
        for _ in range(most):
            best = _nearest(
                triangles, lists, start, ends[ray],
                np.float32((ox - low[0]) * scale), np.float32((oy - low[1]) * scale),
                np.float32((oz - low[2]) * scale),
                np.float32(dx), np.float32(dy), np.float32(dz),
            )  # fmt: skip
            if best < 0:
                break
            found, along = _plane_hit(vertices, faces[best], ox, oy, oz, dx, dy, dz)
            if not found:
                break
            ox, oy, oz = dx * along + ox, dy * along + oy, dz * along + oz
            face[ray] = best
            radius[ray] = math.sqrt(ox * ox + oz * oz)
            hits[ray] += 1
            ox, oy, oz = ox + dx * step, oy + dy * step, oz + dz * step


@njit(nogil=True, cache=True, inline="always")
def _nearest(triangles, lists, start, end, ox, oy, oz, dx, dy, dz):  # type: ignore[no-untyped-def]
    """Return the listed triangle that the float32 ray meets first, or -1."""
    best, nearest = -1, np.float32(np.inf)
    for k in range(start, end):
        t = lists[k]
        nx, ny, nz = triangles[t, 9], triangles[t, 10], triangles[t, 11]
        cx, cy, cz = triangles[t, 0] - ox, triangles[t, 1] - oy, triangles[t, 2] - oz
        slope = _dot(nx, ny, nz, dx, dy, dz)
        if slope == 0.0:
            continue
        rx = _fused_difference(dy, cz, dz * cy)
        ry = _fused_difference(dz, cx, dx * cz)
        rz = _fused_difference(dx, cy, dy * cx)
        u = _dot(rx, ry, rz, triangles[t, 6], triangles[t, 7], triangles[t, 8])
        v = _dot(rx, ry, rz, triangles[t, 3], triangles[t, 4], triangles[t, 5])
        far = _dot(nx, ny, nz, cx, cy, cz)
        if slope < 0.0:
            slope, u, v, far = -slope, -u, -v, -far
        if u >= 0.0 and v >= 0.0 and u + v <= slope and far > 0.0:
            distance = far / slope
            if distance < nearest:
                best, nearest = t, distance
    return best


@njit(nogil=True, cache=True, inline="always")
def _plane_hit(vertices, corners, ox, oy, oz, dx, dy, dz):  # type: ignore[no-untyped-def]
    """Meet a triangle's plane in float64, as trimesh does; return whether, and how far."""
    a, b, c = corners[0], corners[1], corners[2]
    ux, uy, uz = (
        vertices[b, 0] - vertices[a, 0],
        vertices[b, 1] - vertices[a, 1],
        vertices[b, 2] - vertices[a, 2],
    )
    wx, wy, wz = (
        vertices[c, 0] - vertices[b, 0],
        vertices[c, 1] - vertices[b, 1],
        vertices[c, 2] - vertices[b, 2],
    )
    nx, ny, nz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
    length = math.sqrt(nx * nx + ny * ny + nz * nz)
    if not length > 1e-13:
        return False, 0.0
    inverse = 1.0 / length
    nx, ny, nz = nx * inverse, ny * inverse, nz * inverse
    slope = dx * nx + dy * ny + dz * nz
    if not abs(slope) > 1e-5:
        return False, 0.0
    ahead = (vertices[a, 0] - ox) * nx + (vertices[a, 1] - oy) * ny + (vertices[a, 2] - oz) * nz
    return True, ahead / slope


@njit(nogil=True, cache=True)
def meet(vertices, faces, lists, ends, heights, directions, outermost, face, radius):  # type: ignore[no-untyped-def]
    """Meet each ray with its triangles in float64; keep the outermost hit, or the first."""
    size = len(heights)
    for ray in range(len(ends)):
        start = ends[ray - 1] if ray > 0 else 0
        face[ray], radius[ray] = -1, 0.0
        dx, dz = directions[ray % size, 0], directions[ray % size, 2]
        y = heights[ray // size]
        for k in range(start, ends[ray]):
            corners = faces[lists[k]]
            distance = _axis_hit(vertices, corners, y, dx, dz)
            if distance <= 0.0:
                continue
            if face[ray] < 0 or (distance > radius[ray]) == outermost:
                face[ray], radius[ray] = lists[k], distance


@njit(nogil=True, cache=True, inline="always")
def _axis_hit(vertices, corners, y, dx, dz):  # type: ignore[no-untyped-def]
    """Return how far a horizontal ray from the axis goes to a triangle; -1: it passes it."""
    a, b, c = corners[0], corners[1], corners[2]
    # across the ray, and up: the ray is the origin of this plane
    ax, ay = vertices[a, 0] * dz - vertices[a, 2] * dx, vertices[a, 1] - y
    bx, by = vertices[b, 0] * dz - vertices[b, 2] * dx, vertices[b, 1] - y
    cx, cy = vertices[c, 0] * dz - vertices[c, 2] * dx, vertices[c, 1] - y
    wa, wb, wc = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
    total = wa + wb + wc
    if total == 0.0 or min(wa / total, wb / total, wc / total) < -1e-9:  # none slips between two
        return -1.0
    x = (wa * vertices[a, 0] + wb * vertices[b, 0] + wc * vertices[c, 0]) / total
    z = (wa * vertices[a, 2] + wb * vertices[b, 2] + wc * vertices[c, 2]) / total
    return x * dx + z * dz


@njit(nogil=True, cache=True, inline="always")
def _fused_difference(a, b, c):  # type: ignore[no-untyped-def]
    """Return a b - c of float32, rounded once."""
    return np.float32(np.float64(a) * np.float64(b) - np.float64(c))


@njit(nogil=True, cache=True, inline="always")
def _dot(ax, ay, az, bx, by, bz):  # type: ignore[no-untyped-def]
    """Fused float32 scalar product, from the last term on."""
    last = np.float64(np.float32(az * bz))
    middle = np.float64(np.float32(np.float64(ay) * np.float64(by) + last))
    return np.float32(np.float64(ax) * np.float64(bx) + middle)
