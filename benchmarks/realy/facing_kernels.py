"""How much a face looks towards a query, to the last bit of trimesh's arithmetic.

In a crease the query can have its foot inside both of two faces. Seen from behind, both cosines
are then -1 but for their last bits, and those decide which foot trimesh returns: the operations
and their order are kept as they are there. None of this may be compiled with fast maths.
"""

import math

import numpy as np
from numba import njit

_ZERO = 1e-13  # trimesh's tol.zero


@njit(cache=True, nogil=True)
def facing(point, vertices, corners, foot):  # type: ignore[no-untyped-def]
    """Return the cosine between a face's normal and the way from its closest point to `point`.

    Parameters
    ----------
    point : (3,) float64
    vertices : (V, 3)
    corners : (3,)
        Vertices of the face.
    foot : (3,) float64
        Room to work in.
    """
    a, b, c = np.empty(3), np.empty(3), np.empty(3)
    for k in range(3):
        a[k] = vertices[corners[0], k]
        b[k] = vertices[corners[1], k]
        c[k] = vertices[corners[2], k]
    _closest_point(point, a, b, c, foot)
    way = point - foot
    distance = math.sqrt(_dot(way, way))
    first, then = b - a, c - b
    normal = np.empty(3)
    for k in range(3):
        j, m = (k + 1) % 3, (k + 2) % 3
        normal[k] = first[j] * then[m] - first[m] * then[j]
    length = math.sqrt(_dot(normal, normal))
    if not length > _ZERO:
        return 0.0  # trimesh gives a face of no area no normal
    scale = 1.0 / length
    cosine = 0.0
    for k in range(3):
        cosine += (normal[k] * scale) * (way[k] / distance)
    return cosine


@njit(cache=True, nogil=True)
def _dot(a, b):  # type: ignore[no-untyped-def]
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit(cache=True, nogil=True)
def _closest_point(p, a, b, c, foot):  # type: ignore[no-untyped-def]
    """Fill in the point of a triangle that is closest to p.

    Source
    ------
    Ericson, Real-Time Collision Detection, 2005, section 5.1.5, with trimesh's tolerances.
    """
    ab, ac, ap, bp, cp = b - a, c - a, p - a, p - b, p - c
    d1, d2 = _dot(ab, ap), _dot(ac, ap)
    if d1 < _ZERO and d2 < _ZERO:
        foot[:] = a
        return
    d3, d4 = _dot(ab, bp), _dot(ac, bp)
    if d3 > -_ZERO and d4 <= d3:
        foot[:] = b
        return
    vc = d1 * d4 - d3 * d2
    if vc < _ZERO and d1 > -_ZERO and d3 < _ZERO:
        foot[:] = a + (d1 / (d1 - d3)) * ab
        return
    d5, d6 = _dot(ab, cp), _dot(ac, cp)
    if d6 > -_ZERO and d5 <= d6:
        foot[:] = c
        return
    vb = d5 * d2 - d1 * d6
    if vb < _ZERO and d2 > -_ZERO and d6 < _ZERO:
        foot[:] = a + (d2 / (d2 - d6)) * ac
        return
    va = d3 * d6 - d5 * d4
    if va < _ZERO and d4 - d3 > -_ZERO and d5 - d6 > -_ZERO:
        d43 = d4 - d3
        foot[:] = b + (d43 / (d43 + (d5 - d6))) * (c - b)
        return
    part = 1.0 / (va + vb + vc)
    foot[:] = a + ab * (vb * part) + ac * (vc * part)
