"""Closest points on the faces around one that is known, by the rule of trimesh.

REALY takes closest points from trimesh. That does not always return the closest one: where the
squared distances of the two best faces differ by less than 1e-8 (and both are above 1e-8), it
takes the face whose normal points more towards the query. Behind the surface this is the worse
of the two; points within 1e-4 of an edge jump onto that edge. The shift is small, but without it
alignments end in other roundings to float32, and the official digits are not met.

Source
------
trimesh 3.12 (MIT), behaviour of `trimesh.proximity.closest_point`; closest points of a triangle:
Ericson, Real-Time Collision Detection, 2005, section 5.1.5.
"""

import numpy as np
from numba import njit

from ...core.arrays import AnyFloats, Floats, Ints
from .facing_kernels import facing

_TIE = 1e-8  # of squared distances, in the mesh's unit; trimesh's tol.merge


class Rings:
    """For each face those that share a corner with it, by position.

    Parameters
    ----------
    vertices : (V, 3)
        Vertices in one place (seams of texture, for example) count as one.
    faces : (F, 3)
    """

    def __init__(self, vertices: AnyFloats, faces: Ints) -> None:
        self._faces = np.ascontiguousarray(faces, dtype=np.int32)
        keys = np.ascontiguousarray(vertices).view([("row", np.void, vertices.dtype.itemsize * 3)])
        _, place = np.unique(keys.reshape(-1), return_inverse=True)
        self._corners = place.reshape(-1)[self._faces].astype(np.int32)
        flat = self._corners.reshape(-1)
        order = np.argsort(flat, kind="stable")
        self._around = (order // 3).astype(np.int32)  # faces, those of a corner in a row
        self._start = np.searchsorted(flat[order], np.arange(int(flat.max()) + 2))

    def closest(
        self,
        points: Floats,
        vertices: AnyFloats,
        face: Ints,
        *,
        by_normal: bool,
    ) -> Floats:
        """Return the (N, 3) points that are closest to `points`, of each `face` and its ring.

        Parameters
        ----------
        vertices : (V, 3), float32 or float64
            Of the mesh, moved rigidly from where the rings were found; computed with in float64.
        face : (N,)
            The closest face, or one that shares a corner with it.
        by_normal : bool
            Follow trimesh's rule for near ties; otherwise the closest point is the answer.
        """
        out = np.empty((len(points), 3))
        _closest(
            points, vertices, self._faces, face, self._corners, self._start, self._around,
            by_normal, out,
        )  # fmt: skip
        return out


@njit(cache=True, nogil=True)
def _closest(points, vertices, faces, face, corners, start, around, by_normal, out):  # type: ignore[no-untyped-def]
    foot, best, second = np.empty(3), np.empty(3), np.empty(3)
    for i in range(len(points)):
        best_face, second_face = -1, -1
        best_square, second_square = np.inf, np.inf
        for corner in range(3):
            place = corners[face[i], corner]
            for p in range(start[place], start[place + 1]):
                f = around[p]
                if f in (best_face, second_face):
                    continue
                square = _foot(points, i, vertices, faces, f, foot)
                if square < best_square:
                    second_face, second_square = best_face, best_square
                    second[:] = best
                    best_face, best_square = f, square
                    best[:] = foot
                elif square < second_square:
                    second_face, second_square = f, square
                    second[:] = foot
        near = second_square - best_square < _TIE and best_square > _TIE
        if by_normal and near:
            towards = facing(points[i], vertices, faces[best_face], foot)
            if facing(points[i], vertices, faces[second_face], foot) > towards:
                best[:] = second
        out[i] = best


@njit(cache=True, nogil=True)
def _foot(points, i, vertices, faces, face, foot):  # type: ignore[no-untyped-def]
    """Fill in the point of a triangle that is closest to a query; return the distance squared."""
    i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
    d1 = d2 = aa = bb = cc = 0.0
    for k in range(3):
        a = np.float64(vertices[i0, k])
        ab, ac = np.float64(vertices[i1, k]) - a, np.float64(vertices[i2, k]) - a
        ap = points[i, k] - a
        d1 += ab * ap
        d2 += ac * ap
        aa += ab * ab
        bb += ab * ac
        cc += ac * ac
    # the same products from the second corner are d1 - aa, d2 - bb; from the third d1 - bb, d2 - cc
    v, w = _weights(d1, d2, d1 - aa, d2 - bb, d1 - bb, d2 - cc)
    square = 0.0
    for k in range(3):
        a = np.float64(vertices[i0, k])
        foot[k] = a + v * (np.float64(vertices[i1, k]) - a) + w * (np.float64(vertices[i2, k]) - a)
        square += (points[i, k] - foot[k]) ** 2
    return square


@njit(cache=True, nogil=True)
def _weights(d1, d2, d3, d4, d5, d6):  # type: ignore[no-untyped-def]
    """Return the weights of the second and third corner."""
    if d1 <= 0.0 and d2 <= 0.0:
        return 0.0, 0.0
    if d3 >= 0.0 and d4 <= d3:
        return 1.0, 0.0
    vc = d1 * d4 - d3 * d2
    if vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0 and d1 > d3:
        return d1 / (d1 - d3), 0.0
    if d6 >= 0.0 and d5 <= d6:
        return 0.0, 1.0
    vb = d5 * d2 - d1 * d6
    if vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0 and d2 > d6:
        return 0.0, d2 / (d2 - d6)
    va = d3 * d6 - d5 * d4
    if va <= 0.0 and d4 >= d3 and d5 >= d6 and (d4 - d3) + (d5 - d6) > 0.0:
        w = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        return 1.0 - w, w
    total = va + vb + vc
    if not total > 0.0:  # a triangle of no area and the point beyond it: its first corner
        return 0.0, 0.0
    return vb / total, vc / total
