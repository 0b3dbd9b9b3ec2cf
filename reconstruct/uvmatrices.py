"""The constant sparse matrices between a face model's vertices, faces and map texels.

Texels follow facekit's chart (row 0 is v = 1, centres at halves); HRN's own sampler, which puts
texel (r, c) at u = c / size, v = 1 - r / size, is kept for its released weights.
"""

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from ..core.arrays import Bools, Floats, Ints
from ..core.facemodel.model import FaceModel
from ..dataset.bake.chart import chart, covered_faces
from ..dataset.bake.deformation import HRN, OURS, Samples, bilinear_weights

_NEAREST = 6  # vertices of the chart that one off it follows
_REACH_MM = 15.0  # how far off the chart it still follows them


def canonical_uv(model: FaceModel) -> tuple[Floats, Bools]:
    """Return a UV for each vertex (V, 2) and whether it lies in the chart (V,).

    At a seam, the first among the chart's faces; off the chart, the first of all.
    """
    uv = np.zeros((model.n_vertices, 2))
    known = np.zeros(model.n_vertices, bool)
    in_chart = np.zeros(model.n_vertices, bool)
    for faces in (covered_faces(model), np.arange(len(model.faces))):
        vertices, first = np.unique(model.faces[faces].ravel(), return_index=True)
        rows = model.faces_uv[faces].ravel()[first]
        fresh = ~known[vertices]
        uv[vertices[fresh]] = model.uv[rows[fresh]]
        if not known.any():
            in_chart[vertices] = True
        known[vertices] = True
    return uv, in_chart


def texels_from_vertices(model: FaceModel, size: int) -> sparse.csr_array:
    """Return (size², V): interpolation over the chart's texels, rows of zeros outside."""
    texels = chart(model, size)
    inside = np.flatnonzero(texels.face.ravel() >= 0)
    corners = model.faces[texels.face.ravel()[inside]]
    w = texels.weights.reshape(-1, 2)[inside].astype(np.float64)
    weights = np.column_stack([1 - w.sum(axis=1), w])
    rows = np.repeat(inside, 3)
    shape = (size * size, model.n_vertices)
    return sparse.csr_array((weights.ravel(), (rows, corners.ravel())), shape=shape)


def vertices_from_texels(model: FaceModel, size: int, *, compat: bool) -> sparse.csr_array:
    """Return (V, size²): a map sampled at the vertices.

    Bilinear, clamped; the mean of both sides at a seam. A vertex off the chart (eyes, mouth,
    what folds in UV) follows the nearest of the chart, less the farther it is. With `compat` as
    HRN samples: every vertex at its one UV, half a texel aside.
    """
    if compat:
        return bilinear_weights(canonical_uv(model)[0], size, place=HRN)
    samples = Samples.of(model, size, place=OURS)
    return sparse.csr_array(_followed(model, samples.known) @ samples.at_vertices)


def edges_from_vertices(faces: Ints, n_vertices: int) -> sparse.csr_array:
    """Return (2 F, V): v0 - v1 of all faces, then v1 - v2."""
    n = len(faces)
    rows = np.concatenate([np.arange(2 * n)] * 2)
    columns = np.concatenate([faces[:, 0], faces[:, 1], faces[:, 1], faces[:, 2]])
    values = np.repeat([1.0, -1.0], 2 * n)
    return sparse.csr_array((values, (rows, columns)), shape=(2 * n, n_vertices))


def vertices_from_faces(faces: Ints, n_vertices: int) -> sparse.csr_array:
    """Return (V, F): the sum over the faces round each vertex."""
    columns = np.repeat(np.arange(len(faces)), 3)
    values = np.ones(faces.size)
    shape = (n_vertices, len(faces))
    return sparse.csr_array((values, (faces.ravel(), columns)), shape=shape)


def _followed(model: FaceModel, known: Bools) -> sparse.csr_array:
    """Return (V, V): vertices of the chart as they are, the others after their neighbours."""
    there, others = np.flatnonzero(known), np.flatnonzero(~known)
    k = min(_NEAREST, len(there))
    found = cKDTree(model.mean[there]).query(model.mean[others], k=k)
    distance, nearest = (np.asarray(part).reshape(len(others), k) for part in found)
    weight = 1 / np.maximum(distance, 1e-6)
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    weight *= np.exp(-((distance[:, :1] / _REACH_MM) ** 2))
    rows = np.concatenate([there, np.repeat(others, k)])
    columns = np.concatenate([there, there[nearest.ravel()]])
    values = np.concatenate([np.ones(len(there)), weight.ravel()])
    return sparse.csr_array((values, (rows, columns)), shape=(len(known), len(known)))
