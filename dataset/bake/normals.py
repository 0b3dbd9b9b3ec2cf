"""Normals of the detailed surface, in object space and in tangent space.

The detailed surface is M1 + displacement at every texel; its normal is the cross product of its
derivatives along the map's two axes, turned outward. Neighbours that lie elsewhere on the head,
across a seam, are not asked.

Tangent space is MikkTSpace-like: at every UV vertex the faces' directions of rising u are
averaged and made orthogonal to the smooth vertex normal; over a texel both are interpolated and
made orthonormal, and the bitangent is sign * (normal x tangent), the sign that of the face in
the UV square. So x runs along +u, y along +v, z outward ("OpenGL" green).

Source
------
Mikkelsen, Simulation of Wrinkled Surfaces Revisited, 2008 (MikkTSpace). Ours weighs faces by
area, not by angle, and normalises what it interpolates.
"""

from typing import NamedTuple

import numpy as np

from ...core.arrays import AnyFloats, Floats, Floats32
from ...core.facemodel.model import FaceModel
from ...core.geometry.mesh import face_normals, vertex_normals
from .chart import Chart, by_rows, uv_sign
from .normals_kernels import detailed_rows, normal_rows, turned_rows


class Frames(NamedTuple):
    """What the texels' tangent frames are interpolated from."""

    normals: Floats32
    """(V, 3) unit, smooth, of M1."""
    tangents: Floats32
    """(T, 3) unit, per UV vertex."""
    sign: Floats32
    """(F,)."""


def tangent_frames(model: FaceModel, vertices: AnyFloats) -> Frames:
    """Return the frames of M1 (V, 3)."""
    normals = vertex_normals(vertices, model.faces)
    along_u, _ = face_derivatives(model, vertices)
    area = np.linalg.norm(face_normals(vertices, model.faces), axis=1, keepdims=True)
    length = np.linalg.norm(along_u, axis=1, keepdims=True)
    per_face = along_u / np.maximum(length, 1e-12) * area
    summed = np.zeros((len(model.uv), 3))
    normal_there = np.zeros_like(summed)
    normal_there[model.faces_uv] = normals[model.faces]
    for corner in range(3):
        for k in range(3):
            rows = model.faces_uv[:, corner]
            summed[:, k] += np.bincount(rows, per_face[:, k], len(summed))
    summed -= (summed * normal_there).sum(axis=1, keepdims=True) * normal_there
    summed /= np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12)
    return Frames(normals.astype(np.float32), summed.astype(np.float32), uv_sign(model))


def face_derivatives(model: FaceModel, vertices: AnyFloats) -> tuple[Floats, Floats]:
    """Return (F, 3) each: mm per unit of u and of v; 0 where a face has no area in UV."""
    a, b, c = (vertices[model.faces[:, k]] for k in range(3))
    ta, tb, tc = (model.uv[model.faces_uv[:, k]] for k in range(3))
    (u1, v1), (u2, v2) = (tb - ta).T, (tc - ta).T
    twice = u1 * v2 - v1 * u2
    scale = np.divide(1, twice, out=np.zeros_like(twice), where=np.abs(twice) > 1e-14)
    along_u = (v2[:, None] * (b - a) - v1[:, None] * (c - a)) * scale[:, None]
    along_v = (u1[:, None] * (c - a) - u2[:, None] * (b - a)) * scale[:, None]
    return along_u, along_v


def detailed_points(texels: Chart, vertices: AnyFloats, displacement: Floats32) -> Floats32:
    """Return (n, n, 3) mm, head frame: M1 + displacement * normal; 0 outside the chart."""
    out = np.zeros((texels.size, texels.size, 3), np.float32)
    faces, table = texels.model.faces, np.asarray(vertices, np.float32)
    normals = vertex_normals(vertices, faces).astype(np.float32)
    by_rows(
        lambda a, b: detailed_rows(a, b, texels.face, texels.weights, faces, table, normals,
                                   displacement, out),
        texels.size,
    )  # fmt: skip
    return out


def detailed_normals(texels: Chart, vertices: AnyFloats, displacement: Floats32) -> Floats32:
    """Return (n, n, 3) unit object-space normals of the detailed surface; 0 outside."""
    points = detailed_points(texels, vertices, displacement)
    along_u, along_v = face_derivatives(texels.model, vertices)
    side = np.maximum(np.linalg.norm(along_u, axis=1), np.linalg.norm(along_v, axis=1))
    table = vertex_normals(vertices, texels.model.faces).astype(np.float32)
    out = np.zeros_like(points)
    by_rows(
        lambda a, b: normal_rows(a, b, texels.face, texels.weights, texels.model.faces, table,
                                 (side / texels.size).astype(np.float32), points, out),
        texels.size,
    )  # fmt: skip
    return out


def tangent_from_object(texels: Chart, frames: Frames, normal: Floats32) -> Floats32:
    """Return (n, n, 3) `normal` in the texels' tangent frames; 0 outside."""
    return _turned(texels, frames, normal, back=False)


def object_from_tangent(texels: Chart, frames: Frames, tangent_normal: Floats32) -> Floats32:
    """Return (n, n, 3) in object space what is given in the texels' tangent frames; 0 outside."""
    return _turned(texels, frames, tangent_normal, back=True)


def _turned(texels: Chart, frames: Frames, given: Floats32, *, back: bool) -> Floats32:
    out = np.zeros_like(given)
    model = texels.model
    by_rows(
        lambda a, b: turned_rows(a, b, texels.face, texels.weights, model.faces, model.faces_uv,
                                 *frames, back, given, out),
        texels.size,
    )  # fmt: skip
    return out
