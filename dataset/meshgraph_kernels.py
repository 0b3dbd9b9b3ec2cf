"""The compiled loops of `meshgraph.py`: serial, since threads would wait longer than they work."""

import math

import numpy as np
from numba import njit

from .kernels import FAST


@njit(cache=True)
def count_corners(faces, starts):  # type: ignore[no-untyped-def]
    """Fill `starts` (V + 1,) so that a vertex has two places for each face at it."""
    for f in range(len(faces)):
        for corner in range(3):
            starts[faces[f, corner] + 1] += 2
    for v in range(len(starts) - 1):
        starts[v + 1] += starts[v]


@njit(cache=True)
def fill_neighbours(faces, starts, used, places):  # type: ignore[no-untyped-def]
    """Enter the two other corners of each face at each of its corners."""
    for f in range(len(faces)):
        for corner in range(3):
            v = faces[f, corner]
            at = starts[v] + used[v]
            places[at] = faces[f, (corner + 1) % 3]
            places[at + 1] = faces[f, (corner + 2) % 3]
            used[v] += 2


@njit(cache=True)
def drop_repeats(starts, places, single):  # type: ignore[no-untyped-def]
    """Sort each vertex's neighbours, keep each once, and close the gaps.

    `single` becomes true where a neighbour came once: the edge belongs to one face alone.
    Return how many remain.
    """
    kept, begin = 0, 0
    for v in range(len(starts) - 1):
        end = starts[v + 1]
        for i in range(begin + 1, end):
            value, k = places[i], i
            while k > begin and places[k - 1] > value:
                places[k] = places[k - 1]
                k -= 1
            places[k] = value
        first = kept
        for i in range(begin, end):
            if places[i] == v:  # of a face that has a vertex twice
                continue
            if kept > first and places[kept - 1] == places[i]:
                single[kept - 1] = False
            else:
                places[kept] = places[i]
                single[kept] = True
                kept += 1
        starts[v + 1] = kept
        begin = end
    return kept


@njit(cache=True, fastmath=FAST)
def mean_around(starts, neighbours, values, out):  # type: ignore[no-untyped-def]
    """Fill `out` (V, C) with the mean of the neighbours' rows; the own row where there are none."""
    n_columns = values.shape[1]
    for v in range(len(values)):
        begin, end = starts[v], starts[v + 1]
        for k in range(n_columns):
            if end == begin:
                out[v, k] = values[v, k]
                continue
            total = 0.0
            for i in range(begin, end):
                total += values[neighbours[i], k]
            out[v, k] = total / (end - begin)


@njit(cache=True, fastmath=FAST)
def sum_normals(vertices, faces, normals):  # type: ignore[no-untyped-def]
    """Fill `normals` (V, 3) with unit normals, area-weighted; zero for unused vertices."""
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        p0 = vertices[b, 0] - vertices[a, 0]
        p1 = vertices[b, 1] - vertices[a, 1]
        p2 = vertices[b, 2] - vertices[a, 2]
        q0 = vertices[c, 0] - vertices[a, 0]
        q1 = vertices[c, 1] - vertices[a, 1]
        q2 = vertices[c, 2] - vertices[a, 2]
        n0, n1, n2 = p1 * q2 - p2 * q1, p2 * q0 - p0 * q2, p0 * q1 - p1 * q0
        for v in (a, b, c):
            normals[v, 0] += n0
            normals[v, 1] += n1
            normals[v, 2] += n2
    for v in range(len(normals)):
        _unit(normals, v)


@njit(cache=True, fastmath=FAST, inline="always")
def _unit(normals, v):  # type: ignore[no-untyped-def]
    x, y, z = normals[v, 0], normals[v, 1], normals[v, 2]
    square = x * x + y * y + z * z
    scale = 1 / math.sqrt(square) if square > 0 else 0.0
    normals[v, 0], normals[v, 1], normals[v, 2] = x * scale, y * scale, z * scale


@njit(cache=True, fastmath=FAST)
def blend_normals(starts, neighbours, normals, out):  # type: ignore[no-untyped-def]
    """Fill `out` with the unit sum of each normal and its neighbours'."""
    for v in range(len(normals)):
        x, y, z = normals[v, 0], normals[v, 1], normals[v, 2]
        for i in range(starts[v], starts[v + 1]):
            j = neighbours[i]
            x += normals[j, 0]
            y += normals[j, 1]
            z += normals[j, 2]
        out[v, 0], out[v, 1], out[v, 2] = x, y, z
        _unit(out, v)


@njit(cache=True, fastmath=FAST)
def slide(starts, neighbours, fixed, normals, vertices, out):  # type: ignore[no-untyped-def]
    """Move vertices half-way to their neighbours' mean, within the tangent plane."""
    for v in range(len(vertices)):
        begin, end = starts[v], starts[v + 1]
        x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
        out[v, 0], out[v, 1], out[v, 2] = x, y, z
        if fixed[v] or end == begin:
            continue
        dx, dy, dz = 0.0, 0.0, 0.0
        for i in range(begin, end):
            j = neighbours[i]
            dx += vertices[j, 0] - x
            dy += vertices[j, 1] - y
            dz += vertices[j, 2] - z
        count = end - begin
        n0, n1, n2 = normals[v, 0], normals[v, 1], normals[v, 2]
        along = dx * n0 + dy * n1 + dz * n2
        out[v, 0] += 0.5 * (dx - along * n0) / count
        out[v, 1] += 0.5 * (dy - along * n1) / count
        out[v, 2] += 0.5 * (dz - along * n2) / count


@njit(cache=True, fastmath=FAST, inline="always")
def counts_for(border, single, v, i):  # type: ignore[no-untyped-def]
    """Tell whether edge `i` of vertex `v` counts in its umbrella: on a border, those along it."""
    return single[i] or not border[v]


@njit(cache=True, fastmath=FAST)
def umbrella_degrees(starts, neighbours, border, single, inverse, inner):  # type: ignore[no-untyped-def]
    """Fill (V,) `inverse` of the number of neighbours that count, 0 of none, and `inner`.

    A vertex is inner where neither it nor a neighbour lies on a border: all count for all.
    """
    for v in range(len(inverse)):
        count = 0
        inner[v] = not border[v]
        for i in range(starts[v], starts[v + 1]):
            if counts_for(border, single, v, i):
                count += 1
            if border[neighbours[i]]:
                inner[v] = False
        inverse[v] = 1.0 / count if count > 0 else 0.0


@njit(cache=True, fastmath=FAST)
def bend_along(starts, neighbours, border, single, inverse, inner, vertices, normals, out):  # type: ignore[no-untyped-def]
    """Fill `out` (V,) with the umbrella of the vertices, along each vertex's normal."""
    for v in range(len(out)):
        dx, dy, dz = 0.0, 0.0, 0.0
        for i in range(starts[v], starts[v + 1]):
            if inner[v] or counts_for(border, single, v, i):
                j = neighbours[i]
                dx += vertices[v, 0] - vertices[j, 0]
                dy += vertices[v, 1] - vertices[j, 1]
                dz += vertices[v, 2] - vertices[j, 2]
        total = dx * normals[v, 0] + dy * normals[v, 1] + dz * normals[v, 2]
        out[v] = total * inverse[v]


@njit(cache=True, fastmath=FAST)
def umbrella_times(starts, neighbours, border, single, inverse, inner, x, out):  # type: ignore[no-untyped-def]
    """Fill `out` (V,) with L x: each value less the mean of those that count."""
    for v in range(len(out)):
        total = np.float32(0)
        if inner[v]:
            for i in range(starts[v], starts[v + 1]):
                total += x[neighbours[i]]
        else:
            for i in range(starts[v], starts[v + 1]):
                if counts_for(border, single, v, i):
                    total += x[neighbours[i]]
        out[v] = x[v] - total * inverse[v] if inverse[v] > 0 else np.float32(0)


@njit(cache=True, fastmath=FAST)
def transposed_times(starts, neighbours, border, single, inverse, inner, x, out):  # type: ignore[no-untyped-def]
    """Fill `out` (V,) with the transpose of L times x; x becomes x / degree."""
    for v in range(len(out)):
        out[v] = x[v] if inverse[v] > 0 else np.float32(0)
        x[v] *= inverse[v]
    for v in range(len(out)):
        total = np.float32(0)
        if inner[v]:
            for i in range(starts[v], starts[v + 1]):
                total += x[neighbours[i]]
        else:
            for i in range(starts[v], starts[v + 1]):
                if counts_for(border, single, neighbours[i], i):
                    total += x[neighbours[i]]
        out[v] -= total


@njit(cache=True, fastmath=FAST)
def transposed_squares(starts, neighbours, border, single, inverse, inner, out):  # type: ignore[no-untyped-def]
    """Fill `out` (V,) with the sums of squares of L's columns: the diagonal of L^T L."""
    for v in range(len(out)):
        total = np.float32(1) if inverse[v] > 0 else np.float32(0)
        for i in range(starts[v], starts[v + 1]):
            j = neighbours[i]
            if counts_for(border, single, j, i):
                total += inverse[j] * inverse[j]
        out[v] = total


@njit(cache=True, fastmath=FAST)
def dot(a, b):  # type: ignore[no-untyped-def]
    """Return the sum of products, in float64."""
    total = 0.0
    for k in range(len(a)):
        total += np.float64(a[k]) * np.float64(b[k])
    return total


@njit(cache=True, fastmath=FAST)
def advance(alpha, p, q, inverse, x, r):  # type: ignore[no-untyped-def]
    """Go `alpha` along `p`, A p being `q`; return the remainder's r . r and r . (inverse r)."""
    square, rho = 0.0, 0.0
    for k in range(len(x)):
        x[k] += alpha * p[k]
        r[k] -= alpha * q[k]
        value = np.float64(r[k]) * np.float64(r[k])
        square += value
        rho += value * inverse[k]
    return square, rho


@njit(cache=True, fastmath=FAST)
def turn(beta, r, inverse, p):  # type: ignore[no-untyped-def]
    """Make `p` the next direction."""
    for k in range(len(p)):
        p[k] = inverse[k] * r[k] + beta * p[k]


@njit(cache=True)
def label_parts(faces, kept, labels):  # type: ignore[no-untyped-def]
    """Fill `labels` (V,) with the lowest vertex joined to each by edges of `kept` faces."""
    for v in range(len(labels)):
        labels[v] = v
    for f in range(len(faces)):
        if not kept[f]:
            continue
        a = _root(labels, faces[f, 0])
        for corner in range(1, 3):
            b = _root(labels, faces[f, corner])
            if a < b:
                labels[b] = a
            elif b < a:
                labels[a] = b
                a = b
    for v in range(len(labels)):
        labels[v] = _root(labels, v)


@njit(cache=True)
def _root(labels, v):  # type: ignore[no-untyped-def]
    while labels[v] != v:
        labels[v] = labels[labels[v]]
        v = labels[v]
    return v


@njit(cache=True)
def count_edges(starts, neighbours, first):  # type: ignore[no-untyped-def]
    """Fill `first` (V + 1,) with the number of edges before those that rise from each vertex."""
    for v in range(len(starts) - 1):
        count = 0
        for i in range(starts[v], starts[v + 1]):
            if neighbours[i] > v:
                count += 1
        first[v + 1] = first[v] + count


@njit(cache=True)
def cut_into_four(faces, starts, neighbours, first, finer, ends):  # type: ignore[no-untyped-def]
    """Fill `finer` (4 F, 3), and the rows of `ends` (V + E, 2) that the middles of edges take."""
    n = len(starts) - 1
    middle = np.zeros(3, np.int64)
    for f in range(len(faces)):
        for corner in range(3):
            a, b = faces[f, corner], faces[f, (corner + 1) % 3]
            if a > b:
                a, b = b, a
            i = starts[a + 1] - 1
            rank = first[a + 1] - 1
            while neighbours[i] != b:
                i -= 1
                rank -= 1
            middle[corner] = n + rank
            ends[n + rank, 0], ends[n + rank, 1] = a, b
        for corner in range(3):
            finer[4 * f + corner, 0] = faces[f, corner]
            finer[4 * f + corner, 1] = middle[corner]
            finer[4 * f + corner, 2] = middle[(corner + 2) % 3]
            finer[4 * f + 3, corner] = middle[corner]
