"""Compiled loops of `normals.py`, over the rows [start, stop) of a map."""

import math

import numpy as np
from numba import njit

_ELSEWHERE = 4.0  # a neighbour farther than so many texels' sides (and 1 mm) lies across a seam
_SLACK_MM = 1.0


@njit(nogil=True, cache=True, inline="always")
def _mixed(table, corners, f, w1, w2, out):  # type: ignore[no-untyped-def]
    for k in range(3):
        out[k] = (
            (1 - w1 - w2) * table[corners[f, 0], k]
            + w1 * table[corners[f, 1], k]
            + w2 * table[corners[f, 2], k]
        )


@njit(nogil=True, cache=True, inline="always")
def _unit(v):  # type: ignore[no-untyped-def]
    length = max(math.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]), 1e-12)
    v[0] /= length
    v[1] /= length
    v[2] /= length


@njit(nogil=True, cache=True)
def detailed_rows(  # type: ignore[no-untyped-def]
    start, stop, face, weights, faces, vertices, normals, displacement, out
):
    """Fill `out` with M1 + displacement * unit normal."""
    point, normal = np.empty(3), np.empty(3)
    for r in range(start, stop):
        for c in range(face.shape[1]):
            f = face[r, c]
            if f < 0:
                continue
            w1, w2 = weights[r, c, 0], weights[r, c, 1]
            _mixed(vertices, faces, f, w1, w2, point)
            _mixed(normals, faces, f, w1, w2, normal)
            _unit(normal)
            for k in range(3):
                out[r, c, k] = point[k] + displacement[r, c] * normal[k]


@njit(nogil=True, cache=True)
def normal_rows(start, stop, face, weights, faces, normals, side, points, out):  # type: ignore[no-untyped-def]
    """Fill `out` with the unit normals of `points`, a surface over the map."""
    along_c, along_r, smooth = np.empty(3), np.empty(3), np.empty(3)
    for r in range(start, stop):
        for c in range(face.shape[1]):
            f = face[r, c]
            if f < 0:
                continue
            _mixed(normals, faces, f, weights[r, c, 0], weights[r, c, 1], smooth)
            _unit(smooth)
            far = _ELSEWHERE * side[f] + _SLACK_MM
            n_c = _derivative(face, points, r, c, 0, 1, far, along_c)
            n_r = _derivative(face, points, r, c, 1, 0, far, along_r)
            n0 = along_c[1] * along_r[2] - along_c[2] * along_r[1]
            n1 = along_c[2] * along_r[0] - along_c[0] * along_r[2]
            n2 = along_c[0] * along_r[1] - along_c[1] * along_r[0]
            length = math.sqrt(n0 * n0 + n1 * n1 + n2 * n2)
            if not (n_c and n_r and length > 1e-12):  # a lone texel
                out[r, c, 0], out[r, c, 1], out[r, c, 2] = smooth[0], smooth[1], smooth[2]
                continue
            if n0 * smooth[0] + n1 * smooth[1] + n2 * smooth[2] < 0:
                length = -length
            out[r, c, 0], out[r, c, 1], out[r, c, 2] = n0 / length, n1 / length, n2 / length


@njit(nogil=True, cache=True)
def _derivative(face, points, r, c, dr, dc, far, out):  # type: ignore[no-untyped-def]
    """Fill `out` with the derivative along an axis, from the usable neighbours; tell their number.

    Its length does not matter, but for being positive.
    """
    n = 0
    out[:] = 0.0
    for way in (-1, 1):
        y, x = r + way * dr, c + way * dc
        if y < 0 or y >= face.shape[0] or x < 0 or x >= face.shape[1] or face[y, x] < 0:
            continue
        square = 0.0
        for k in range(3):
            square += (points[y, x, k] - points[r, c, k]) ** 2
        if square > far * far:
            continue
        for k in range(3):
            out[k] += way * (points[y, x, k] - points[r, c, k])
        n += 1
    return n


@njit(nogil=True, cache=True)
def _frame(f, w1, w2, faces, faces_uv, normals, tangents, sign, frame):  # type: ignore[no-untyped-def]
    """Fill the rows of `frame` (3, 3): tangent, bitangent, normal of a texel."""
    t, b, n = frame[0], frame[1], frame[2]
    _mixed(normals, faces, f, w1, w2, n)
    _unit(n)
    _mixed(tangents, faces_uv, f, w1, w2, t)
    along = t[0] * n[0] + t[1] * n[1] + t[2] * n[2]
    for k in range(3):
        t[k] -= along * n[k]
    _unit(t)
    b[0] = sign[f] * (n[1] * t[2] - n[2] * t[1])
    b[1] = sign[f] * (n[2] * t[0] - n[0] * t[2])
    b[2] = sign[f] * (n[0] * t[1] - n[1] * t[0])


@njit(nogil=True, cache=True)
def turned_rows(  # type: ignore[no-untyped-def]
    start, stop, face, weights, faces, faces_uv, normals, tangents, sign, back, given, out
):
    """Fill `out` with `given`, object space, in the texels' frames; `back`: the reverse."""
    frame = np.empty((3, 3))
    for r in range(start, stop):
        for c in range(face.shape[1]):
            f = face[r, c]
            if f < 0:
                continue
            w1, w2 = weights[r, c, 0], weights[r, c, 1]
            _frame(f, w1, w2, faces, faces_uv, normals, tangents, sign, frame)
            g = given[r, c]
            for k in range(3):
                if back:
                    out[r, c, k] = frame[0, k] * g[0] + frame[1, k] * g[1] + frame[2, k] * g[2]
                else:
                    out[r, c, k] = frame[k, 0] * g[0] + frame[k, 1] * g[1] + frame[k, 2] * g[2]
