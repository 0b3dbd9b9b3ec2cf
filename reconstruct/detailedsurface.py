"""M1 + displacement as a mesh: the model's own triangles, cut finer, watertight, with its UVs.

Triangles are cut into four; a new vertex lies where the curved surface over its edge does
(`dataset.bake.curved`: flat triangles would show). The first V vertices are the model's own.
Where a seam of the chart passes through a vertex, it is moved by the mean of both sides, so
that no crack opens; what lies off the chart (eyes, teeth) is cut, but not moved.

Source
------
Boubekeur and Alexa, Phong Tessellation, SIGGRAPH Asia 2008, eq. (1), at the middles of edges,
with the share 1/2.
"""

import threading
from dataclasses import dataclass

import numpy as np

from ..core.arrays import AnyFloats, Bools, Floats, Floats32, Ints
from ..core.errors import InputError
from ..core.facemodel.model import FaceModel
from ..core.geometry.mesh import Mesh, edges_of, subdivide_loop, vertex_normals
from ..dataset.bake.chart import chart, covered_faces
from ..dataset.bake.deformation import OURS, bilinear_weights

_MOST_LEVELS = 3
_MOST_VERTICES = 400_000  # a denser mesh serves no program better than its displacement map
_GUTTER = 4
_KEPT = 3  # cuts, of the models and levels that are at hand


def detailed_surface(
    model: FaceModel, mid: AnyFloats, displacement: Floats32, *, n_levels: int | None = None
) -> Mesh:
    """Return the displaced mesh, head frame; `faces_uv` as the model has it.

    Parameters
    ----------
    mid : (V, 3) mm
    displacement : (n, n) mm
        Along the smooth vertex normals of `mid`, in the model's chart.
    n_levels : int, optional
        How often triangles are cut into four, up to 3; by default until their edges on the
        chart are no longer than texels.

    Raises
    ------
    InputError
        Too many levels.
    """
    levels = _levels(model, len(displacement)) if n_levels is None else n_levels
    if not 0 <= levels <= _MOST_LEVELS:
        raise InputError(f"detailed mesh: {levels} levels; give 0 to {_MOST_LEVELS}")
    vertices = np.asarray(mid, np.float64)
    normals = vertex_normals(vertices, model.faces)
    cut = _cut(model, levels)
    for edges in cut.edges:
        vertices, normals = _halved(vertices, normals, edges)
    mesh = Mesh(vertices=vertices, faces=cut.faces, uv=cut.uv, faces_uv=cut.faces_uv)
    texels = chart(model, len(displacement))
    dilated = np.asarray(texels.dilated(displacement, n_texels=_GUTTER), np.float32)
    covered = on_chart(model, mesh)
    moved = vertices + at_vertices(dilated, mesh, covered)[:, None] * normals
    return Mesh(vertices=moved, faces=mesh.faces, uv=mesh.uv, faces_uv=mesh.faces_uv)


def on_chart(model: FaceModel, mesh: Mesh) -> Bools:
    """Return (F,) the faces of a cut mesh that come of the model's chart."""
    covered = np.zeros(len(model.faces), bool)
    covered[covered_faces(model)] = True
    # those that a face becomes follow each other
    return np.repeat(covered, 4 ** _levels_of(model, mesh))


def carried(model: FaceModel, values: AnyFloats, mesh: Mesh) -> Floats32:
    """Return (N, ...) values (V, ...) of the model's vertices at those of its mesh cut finer."""
    out = np.asarray(values, np.float32)
    for edges in _cut(model, _levels_of(model, mesh)).edges:
        a, b = out[edges.T].astype(np.float64)
        out = np.concatenate([out, ((a + b) / 2).astype(np.float32)])
    return out


def at_vertices(values: AnyFloats, mesh: Mesh, covered: Bools) -> Floats:
    """Return a map's values at the vertices, the mean over a vertex's UVs; 0 where none is on it.

    Parameters
    ----------
    values : (n, n) or (n, n, k)
    covered : (F,)
        The faces that the map is of.

    Returns
    -------
    (N,) or (N, k)
    """
    assert mesh.uv is not None and mesh.faces_uv is not None
    n, n_vertices = len(values), len(mesh.vertices)
    uv_row = mesh.faces_uv[covered].ravel().astype(np.int64)
    pairs = np.unique(uv_row * n_vertices + mesh.faces[covered].ravel())
    uv_row, vertex = np.divmod(pairs, n_vertices)
    sampled = bilinear_weights(mesh.uv[uv_row], n, place=OURS) @ values.reshape(n * n, -1)
    count = np.maximum(np.bincount(vertex, minlength=n_vertices), 1)
    total = [np.bincount(vertex, weights=column, minlength=n_vertices) for column in sampled.T]
    return np.stack([column / count for column in total], axis=1).reshape(-1, *values.shape[2:])


def _levels(model: FaceModel, size: int) -> int:
    """Return how often to cut, so that edges on the chart are no longer than texels."""
    corners = model.uv[model.faces_uv[covered_faces(model)]]
    edge = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    wanted = round(float(np.log2(max(np.median(edge) * size, 1.0))))
    room = int(np.log(_MOST_VERTICES / model.n_vertices) / np.log(4))
    return max(0, min(wanted, room, _MOST_LEVELS))


@dataclass(frozen=True, kw_only=True)
class _Cut:
    """A model's triangles, each cut into four, so many times."""

    model: FaceModel
    levels: int
    edges: tuple[Ints, ...]
    """(E, 2) of the mesh before each cut: their middles are the new vertices."""
    faces: Ints
    uv: AnyFloats
    faces_uv: Ints


_cuts: list[_Cut] = []
_lock = threading.Lock()


def _cut(model: FaceModel, levels: int) -> _Cut:
    """Return a model's triangles cut finer, once for the same model and number of times."""
    with _lock:
        for known in _cuts:
            if known.model is model and known.levels == levels:
                return known
        mesh = Mesh(vertices=model.mean, faces=model.faces, uv=model.uv, faces_uv=model.faces_uv)
        edges = []
        for _ in range(levels):
            edges.append(edges_of(mesh.faces))  # in the order of `subdivide_loop`
            mesh = subdivide_loop(mesh)
        assert mesh.uv is not None and mesh.faces_uv is not None
        made = _Cut(model=model, levels=levels, edges=tuple(edges),
                    faces=mesh.faces, uv=mesh.uv, faces_uv=mesh.faces_uv)  # fmt: skip
        _cuts.insert(0, made)
        del _cuts[_KEPT:]
        return made


def _levels_of(model: FaceModel, mesh: Mesh) -> int:
    """Return how often a mesh of a model's triangles was cut."""
    return round(float(np.log2(len(mesh.faces) / len(model.faces)) / 2))


def _halved(vertices: Floats, normals: Floats, edges: Ints) -> tuple[Floats, Floats]:
    """Return vertices and unit normals with those of the edges' middles after them."""
    a, b = edges.T
    half = (vertices[b] - vertices[a]) / 2
    # the middle, projected onto the tangent planes of both ends: half of their mean
    off_a = (half * normals[a]).sum(axis=1, keepdims=True) * normals[a]
    off_b = (-half * normals[b]).sum(axis=1, keepdims=True) * normals[b]
    middle = (vertices[a] + vertices[b]) / 2 - (off_a + off_b) / 4
    normal = normals[a] + normals[b]
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    normal = np.divide(normal, length, out=np.zeros_like(normal), where=length > 1e-9)
    return np.concatenate([vertices, middle]), np.concatenate([normals, normal])
