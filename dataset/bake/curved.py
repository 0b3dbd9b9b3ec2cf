"""Displacement from a curved M1: the same surface, without the pattern of M1's flat triangles.

Between vertices 3 to 5 mm apart a face bends away from its triangle by some hundredths of a
millimetre, two tenths on a nose: as much as skin has relief, at the same wavelengths. A map
measured from M1's triangles as they are (`Base.FLAT`, how HRN exports a mesh) holds that too. One
measured from the curved surface (`Base.CURVED`) does not. It is the map for whoever subdivides
M1 before displacing it, trains a network that should not learn a tessellation, or changes the
smooth normals of M1 by it, as HRN's shading does: they are the curved surface's already.

`curved_displacement` and `flat_displacement` turn maps of either kind into the one wanted.

Source
------
Boubekeur and Alexa, Phong Tessellation, SIGGRAPH Asia 2008, eq. (1); with the share 1/2, which
is exact for constant curvature to second order, in place of their 3/4.
"""

import math

import numpy as np
from numba import njit

from ...core.arrays import AnyFloats, Floats32
from ...core.geometry.mesh import vertex_normals
from ..register.registered import Registered
from .chart import Chart, by_rows, chart
from .deformation import deformed
from .maps import Base, Maps

_SHARE = 0.5


def curved_displacement(registered: Registered, maps: Maps) -> Floats32:
    """Return (n, n) mm along M1's smooth unit normal from the curved M1; 0 outside the chart."""
    if maps.base is Base.CURVED:
        return maps.displacement
    texels = chart(registered.model, len(maps.displacement))
    return maps.displacement - sagitta(texels, deformed(registered, maps))


def flat_displacement(registered: Registered, maps: Maps) -> Floats32:
    """Return (n, n) mm along M1's smooth unit normal from M1's triangles; 0 outside the chart."""
    if maps.base is Base.FLAT:
        return maps.displacement
    texels = chart(registered.model, len(maps.displacement))
    return maps.displacement + sagitta(texels, deformed(registered, maps))


def sagitta(texels: Chart, vertices: AnyFloats) -> Floats32:
    """Return (n, n) mm: how far the curved surface stands out of the flat triangles.

    Along the smooth unit normal of the vertices (V, 3), + outward; 0 outside the chart.
    """
    out = np.zeros((texels.size, texels.size), np.float32)
    faces, table = texels.model.faces, np.asarray(vertices, np.float64)
    normals = vertex_normals(vertices, faces)
    by_rows(
        lambda a, b: _sagitta_rows(a, b, texels.face, texels.weights, faces, table, normals, out),
        texels.size,
    )
    return out


@njit(nogil=True, cache=True)
def _sagitta_rows(start, stop, face, weights, faces, vertices, normals, out):  # type: ignore[no-untyped-def]
    """Fill rows of `out`: the weighted mean of the projections onto the corners' tangent planes."""
    point, smooth, weight = np.empty(3), np.empty(3), np.empty(3)
    for r in range(start, stop):
        for c in range(face.shape[1]):
            f = face[r, c]
            if f < 0:
                continue
            weight[1], weight[2] = weights[r, c, 0], weights[r, c, 1]
            weight[0] = 1 - weight[1] - weight[2]
            square = 0.0
            for k in range(3):
                point[k], smooth[k] = 0.0, 0.0
                for i in range(3):
                    point[k] += weight[i] * vertices[faces[f, i], k]
                    smooth[k] += weight[i] * normals[faces[f, i], k]
                square += smooth[k] ** 2
            total = 0.0
            for i in range(3):
                v = faces[f, i]
                height, along = 0.0, 0.0
                for k in range(3):
                    height += (point[k] - vertices[v, k]) * normals[v, k]
                    along += smooth[k] * normals[v, k]
                total -= weight[i] * height * along
            out[r, c] = _SHARE * total / max(math.sqrt(square), 1e-12)
