"""Exact distances from cells of one cylinder map to the surface of another.

Both surfaces are lattices over the same rows and columns, so that rows, angles and radii bound
the distance to a cell from below: cells are visited from a point's own outwards until no
nearer one is possible. No tree is built.

The official code measures after turning both surfaces to the camera by R, which is rounded in
its data: lengths change by 1e-7. Distances are therefore those of `metric` = R^T R.
"""

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def cell_radii(points, joined, turn, low, high):  # type: ignore[no-untyped-def]
    """Write the least and most radius of each joined cell's triangles.

    `points` (H, W, 3) mm, `joined` (H, W) bool, `low` and `high` (H, W).
    """
    height, width = joined.shape
    chord = math.cos(math.pi / turn)  # the middle of a chord lies nearer to the axis than its ends
    for row in range(height - 1):
        for column in range(width):
            if not joined[row, column]:
                continue
            low[row, column], high[row, column] = np.inf, 0.0
            for which in range(2):
                ok, a, b, c = _corners(row, column, which, height, width, turn)
                if not ok:
                    continue
                for cell in (a, b, c):
                    x, z = (
                        points[cell // width, cell % width, 0],
                        points[cell // width, cell % width, 2],
                    )
                    r = math.sqrt(x * x + z * z)
                    low[row, column] = min(low[row, column], r * chord)
                    high[row, column] = max(high[row, column], r)


@njit(nogil=True, cache=True)
def distances(  # type: ignore[no-untyped-def]
    sources, used, points, joined, low, high, turn, row_height, metric, out
):
    """Write the distance of each used cell's point, in order, to the other surface.

    Parameters
    ----------
    sources : (H, W, 3) mm
    used : (H, W) bool
        Which of them are asked for.
    points, joined, low, high
        The other surface; `low` and `high` of `cell_radii`.
    turn : int
        Columns of a full turn.
    row_height : float
        mm between rows.
    metric : (3, 3)
        Of the distances; close to one.
    out : (number of used cells,), written
    """
    height, width = joined.shape
    sines = np.empty(turn)
    for k in range(turn):
        angle = 2.0 * math.pi * k / turn
        sines[k] = math.sin(angle) if angle < math.pi / 2 else 1.0
    seam = False  # triangles of the repeated column: they stand at angle 0, up to two rows down
    if turn < width:
        for row in range(height):
            seam = seam or joined[row, turn]
    last, n = -1, 0
    for row in range(height):
        for column in range(width):
            if not used[row, column]:
                continue
            x, y, z = sources[row, column, 0], sources[row, column, 1], sources[row, column, 2]
            radius = math.sqrt(x * x + z * z)
            best = np.inf
            if last >= 0:  # the neighbour's cell is a good start
                best = _to_cell(x, y, z, points, last // width, last % width, turn, best)
            best, last = _search(
                x, y, z, radius, row, column % turn, points, joined, low, high, sines, turn,
                row_height, best, last,
            )  # fmt: skip
            if seam:
                best, last = _search_seam(
                    x, y, z, row, points, joined, turn, row_height, best, last
                )
            out[n] = _measured(x, y, z, points, last, turn, metric) if last >= 0 else np.inf
            n += 1


@njit(nogil=True, cache=True)
def _search(  # type: ignore[no-untyped-def]
    x, y, z, radius, row, column, points, joined, low, high, sines, turn, row_height, best, last
):
    """Return the least squared distance and the cell that has it; from the own cell outwards."""
    height = len(joined) - 1
    for k in range(height):
        up = k * row_height
        if up * up >= best:
            break
        for side in range(2):
            i = row + k if side == 0 else row - 1 - k
            if i < 0 or i >= height:
                continue
            for m in range(turn // 2 + 1):
                across = radius * sines[m]
                if up * up + across * across >= best:
                    break
                for turned in range(2):
                    j = column + m if turned == 0 else column - 1 - m
                    j = j % turn
                    if not joined[i, j]:
                        continue
                    inwards = max(low[i, j] - radius, radius - high[i, j], 0.0)
                    if up * up + inwards * inwards >= best:
                        continue
                    distance = _to_cell(x, y, z, points, i, j, turn, best)
                    if distance < best:
                        best, last = distance, i * points.shape[1] + j
    return best, last


@njit(nogil=True, cache=True)
def _search_seam(x, y, z, row, points, joined, turn, row_height, best, last):  # type: ignore[no-untyped-def]
    """Search the triangles of the repeated column as well."""
    for i in range(len(joined)):
        up = max(i - row, row - i - 2, 0) * row_height
        if joined[i, turn] and up * up < best:
            distance = _to_cell(x, y, z, points, i, turn, turn, best)
            if distance < best:
                best, last = distance, i * points.shape[1] + turn
    return best, last


@njit(nogil=True, cache=True, inline="always")
def _corners(row, column, which, height, width, turn):  # type: ignore[no-untyped-def]
    """Return whether a cell's first or second triangle is there, and its corner cells.

    With 255 columns a turn the cell to the right of the last is, officially, the first of the
    next row.
    """
    cell = row * width + column
    right = cell + 1
    if turn == width and column == width - 1:
        right -= width
    if which == 0:
        return max(right, cell + width) < height * width, cell, right, cell + width
    return right + width < height * width, right + width, cell + width, right


@njit(nogil=True, cache=True)
def _to_cell(x, y, z, points, row, column, turn, best):  # type: ignore[no-untyped-def]
    """Lower `best`, a squared distance, by a cell's two triangles."""
    height, width = points.shape[0], points.shape[1]
    for which in range(2):
        ok, a, b, c = _corners(row, column, which, height, width, turn)
        if ok:
            dx, dy, dz = _from_triangle(x, y, z, _at(points, a), _at(points, b), _at(points, c))
            best = min(best, dx * dx + dy * dy + dz * dz)
    return best


@njit(nogil=True, cache=True)
def _measured(x, y, z, points, cell, turn, metric):  # type: ignore[no-untyped-def]
    """Return the distance to a cell's surface by `metric`."""
    height, width = points.shape[0], points.shape[1]
    best = np.inf
    for which in range(2):
        ok, a, b, c = _corners(cell // width, cell % width, which, height, width, turn)
        if ok:
            d = _from_triangle(x, y, z, _at(points, a), _at(points, b), _at(points, c))
            squared = 0.0
            for i in range(3):
                for j in range(3):
                    squared += d[i] * metric[i, j] * d[j]
            best = min(best, squared)
    return math.sqrt(max(best, 0.0))


@njit(nogil=True, cache=True, inline="always")
def _at(points, cell):  # type: ignore[no-untyped-def]
    row, column = cell // points.shape[1], cell % points.shape[1]
    return points[row, column, 0], points[row, column, 1], points[row, column, 2]


@njit(nogil=True, cache=True)
def _from_triangle(x, y, z, a, b, c):  # type: ignore[no-untyped-def]
    """Return the offset of a point from a triangle, degenerate or not.

    Source: Ericson, Real-time collision detection, 2005, section 5.1.5.
    """
    ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    px, py, pz = x - a[0], y - a[1], z - a[2]
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    area = nx * nx + ny * ny + nz * nz
    uu, vv = ux * ux + uy * uy + uz * uz, vx * vx + vy * vy + vz * vz
    if area > 1e-20 * uu * vv:
        # weights of b and c of the foot on the plane
        s = (py * vz - pz * vy) * nx + (pz * vx - px * vz) * ny + (px * vy - py * vx) * nz
        t = (uy * pz - uz * py) * nx + (uz * px - ux * pz) * ny + (ux * py - uy * px) * nz
        if s >= 0.0 and t >= 0.0 and s + t <= area:
            along = (px * nx + py * ny + pz * nz) / area
            return along * nx, along * ny, along * nz
    best = _from_segment(px, py, pz, ux, uy, uz)
    other = _from_segment(px, py, pz, vx, vy, vz)
    if _squared(other) < _squared(best):
        best = other
    other = _from_segment(px - ux, py - uy, pz - uz, vx - ux, vy - uy, vz - uz)
    return other if _squared(other) < _squared(best) else best


@njit(nogil=True, cache=True, inline="always")
def _squared(d):  # type: ignore[no-untyped-def]
    return d[0] * d[0] + d[1] * d[1] + d[2] * d[2]


@njit(nogil=True, cache=True, inline="always")
def _from_segment(px, py, pz, ux, uy, uz):  # type: ignore[no-untyped-def]
    length = ux * ux + uy * uy + uz * uz
    t = (px * ux + py * uy + pz * uz) / length if length > 0.0 else 0.0
    t = min(max(t, 0.0), 1.0)
    return px - t * ux, py - t * uy, pz - t * uz
