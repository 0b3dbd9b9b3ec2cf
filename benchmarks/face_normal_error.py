"""How far a found face's normals turn from the true ones."""

import numpy as np

from ..core.arrays import Floats, Ints
from ..core.geometry.closest import SurfaceQuery
from ..core.geometry.mesh import Mesh, face_normals, sample_surface, vertex_normals
from ..core.geometry.transform import Similarity
from ..dataset.register.surface import barycentric
from .face_distance import TrueFace

_N_NORMALS = 6000


def normal_error_deg(
    true: TrueFace, found: Mesh, found_from_true: Similarity, *, smooth: bool = False
) -> float:
    """Return the mean angle, degrees, between true normals and those of the surface found.

    At points evenly over the true face, and where the found surface lies nearest to them; its
    normals are interpolated between its vertices, and the true ones are those of triangles.

    Parameters
    ----------
    smooth : bool
        The true normals are interpolated, too, so that the true surface has no error itself.
    """
    rng = np.random.default_rng(0)
    mesh = true.mesh
    points, face = sample_surface(mesh.vertices, mesh.faces, _N_NORMALS, rng=rng)
    if smooth:
        true_normals = _interpolated(mesh, points, face)
    else:
        true_normals = _unit(face_normals(mesh.vertices, mesh.faces)[face])
    near = SurfaceQuery(found.vertices, found.faces).closest(found_from_true(points))
    normals = _interpolated(found, near.points, near.face)
    cosine = np.clip((normals * (true_normals @ found_from_true.R.T)).sum(axis=1), -1, 1)
    return float(np.degrees(np.arccos(cosine)).mean())


def _interpolated(mesh: Mesh, points: Floats, face: Ints) -> Floats:
    """Return (N, 3) unit normals at points of triangles, from those of the vertices."""
    corners = mesh.faces[face]
    weights = barycentric(points, *np.asarray(mesh.vertices, np.float64)[corners.T])
    at_vertices = vertex_normals(mesh.vertices, mesh.faces)[corners]
    return _unit(np.einsum("nk,nkc->nc", weights, at_vertices))


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
