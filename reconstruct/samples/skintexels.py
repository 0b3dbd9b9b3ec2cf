"""Skin in the chart of a face model: its albedo and its relief's slopes at each texel.

A texel takes what a camera sees of the skin at its centre: the mean over a small round spot, not
over the texel, for photographs are often sharper than maps.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from ...capture.virtual.complexion import albedo_at
from ...capture.virtual.skin import N_PAINT, PAINT, Skin, SkinValues, relief, skin_values
from ...core.arrays import Floats, Floats32, Ints
from ...core.chunks import over_chunks
from ...core.facemodel.model import FaceModel
from ...core.geometry.mesh import vertex_normals
from ...dataset.bake.chart import chart
from ...dataset.bake.normals import face_derivatives

_SPOT = ((0.0, 0.0), (1.3, 0.2), (-0.4, 1.25), (-1.1, -0.75), (0.5, -1.2), (0.65, 0.7))
"""Places of a round spot, in standard deviations: one each way is the spread."""
_CHUNK = 1 << 12


class SkinTexels(NamedTuple):
    """Where the texels of a chart lie on the mean face; one row for each inside of the chart."""

    rows: Ints
    """(N,) places in the flattened map."""
    anchor: Floats
    """(N, 3) mm."""
    along: Floats
    """(2, N, 3) unit tangents of the mean face: towards growing u, and square to it."""
    paint: Floats
    """(N, N_PAINT)."""


def skin_texels(model: FaceModel, size: int) -> SkinTexels:
    """Lay out a chart of `size` texels a side."""
    texels = chart(model, size)
    rows = np.flatnonzero(texels.inside.ravel())
    paint = np.stack([model.weights.get(name, np.zeros(model.n_vertices)) for name in PAINT], 1)
    normals = vertex_normals(model.mean, model.faces)

    def inside(values: Floats) -> Floats:
        flat = texels.interpolated(values).reshape(size * size, -1)[rows]
        return np.asarray(flat, np.float64)

    return SkinTexels(
        rows=rows.astype(np.int32),
        anchor=inside(model.mean),
        along=tangents(model, model.mean, inside(normals), texels.face.ravel()[rows]),
        paint=inside(paint),
    )


def tangents(model: FaceModel, vertices: Floats, normals: Floats, face: Ints) -> Floats:
    """Return (2, N, 3): unit vectors along u on faces (N,), square to `normals`, and across."""
    along_u = face_derivatives(model, vertices)[0][face]
    normals = _unit(normals)
    first = _unit(along_u - (along_u * normals).sum(axis=1, keepdims=True) * normals)
    return np.stack([first, np.cross(normals, first)])


def values_of(model: FaceModel, skin: Skin) -> SkinValues:
    """Put a skin on a face model."""
    return skin_values(
        skin, model.mean, weights=model.weights,
        eye_corners=model.mean[model.landmarks68[[36, 45]]],
    )  # fmt: skip


def albedo_texels(texels: SkinTexels, skin: SkinValues, *, spread_mm: float) -> Floats32:
    """Return the linear albedo (N, 3) of a skin, seen with a blur of sd `spread_mm`."""
    out = np.zeros((len(texels.rows), 3), np.float32)
    spot = spread_mm * np.array(_SPOT)
    over_chunks(
        lambda start, end: _albedo(start, end, *texels[1:], skin, spot, out),
        len(out),
        chunk=_CHUNK,
    )
    return out


def slope_texels(texels: SkinTexels, skin: SkinValues, *, spread_mm: float) -> Floats32:
    """Return (N, 2) the relief's mean slopes along the two tangents, over 4 `spread_mm`."""
    reach = 2.0 * spread_mm
    slopes = [
        relief(texels.anchor + reach * along, texels.paint, skin=skin, edge_mm=spread_mm)
        - relief(texels.anchor - reach * along, texels.paint, skin=skin, edge_mm=spread_mm)
        for along in texels.along
    ]
    return np.asarray(np.stack(slopes, axis=1) / (2.0 * reach), np.float32)


@njit(nogil=True, cache=True)
def _albedo(start, end, anchor, along, paint, skin, spot, out):  # type: ignore[no-untyped-def]
    p = np.zeros(N_PAINT)
    for i in range(start, end):
        for k in range(N_PAINT):
            p[k] = paint[i, k]
        for s in range(len(spot)):
            a, b = spot[s, 0], spot[s, 1]
            color = albedo_at(
                anchor[i, 0] + a * along[0, i, 0] + b * along[1, i, 0],
                anchor[i, 1] + a * along[0, i, 1] + b * along[1, i, 1],
                anchor[i, 2] + a * along[0, i, 2] + b * along[1, i, 2],
                p,
                skin,
            )
            for c in range(3):
                out[i, c] += color[c] / len(spot)


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12))
