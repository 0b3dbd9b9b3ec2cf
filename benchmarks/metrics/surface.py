"""Closest points on a triangle mesh in float64, exact to rounding, from a tree built once.

Benchmarks compare surfaces to micrometres and stop iterations at thresholds, so float32 answers
(`core.geometry.closest`) will not do. The tree is our own: libigl's is as exact and slower for
queries that move little, and its wheel carries GPL and AGPL parts.
"""

from dataclasses import dataclass

import numpy as np

from ...core.arrays import AnyFloats, Floats, Ints
from ...core.errors import InputError
from .surface_build import build_tree
from .surface_query import closest_on_tree


@dataclass(frozen=True, kw_only=True)
class ClosestExact:
    """Nearest surface points."""

    points: Floats
    """(N, 3), in the mesh's unit; NaN for queries that are not finite."""
    face: Ints
    """(N,) int32; of several as near (a shared edge or vertex) one; -1 for queries not finite."""
    distance: Floats
    """(N,) unsigned; NaN for queries that are not finite."""


class ExactSurface:
    """A triangle mesh that can be asked for its closest points, again and again.

    Faces of no area count as the segment or point that they are. To query a mesh under a
    similarity, take the queries back into its frame and scale the distances.

    Parameters
    ----------
    vertices : (V, 3), finite where a face uses them
    faces : (F, 3) int, F >= 1

    Raises
    ------
    InputError
        No face, a face that names an absent vertex, or one with a vertex that is not finite.
    """

    def __init__(self, vertices: AnyFloats, faces: Ints) -> None:
        corners = _corners(vertices, faces)
        self.n_faces = len(corners)
        self._tree = build_tree(corners)

    def closest(self, points: AnyFloats, *, hint: Ints | None = None) -> ClosestExact:
        """Find the nearest surface point of each of `points` (N, 3).

        `hint` (N,), faces thought to be near (the answer for nearly the same points; -1: none),
        makes the search faster and changes no distance.
        """
        query = np.ascontiguousarray(points, dtype=np.float64)
        if query.ndim != 2 or query.shape[1] != 3:
            raise InputError(f"points have the shape {query.shape}; (N, 3) is needed")
        if hint is None:
            hint = np.full(len(query), -1, np.int32)
        nearest = np.empty((len(query), 3))
        face = np.empty(len(query), np.int32)
        distance = np.empty(len(query))
        tree = self._tree
        hint = np.ascontiguousarray(hint, dtype=np.int32)
        closest_on_tree(
            query, hint, tree.boxes, tree.links, tree.frames, tree.order, tree.place, tree.depth,
            nearest, face, distance,
        )  # fmt: skip
        return ClosestExact(points=nearest, face=face, distance=distance)


def _corners(vertices: AnyFloats, faces: Ints) -> Floats:
    """Return (F, 3, 3) corner positions."""
    vertices = np.asarray(vertices, dtype=np.float64)
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise InputError(f"vertices have the shape {vertices.shape}; (V, 3) is needed")
    faces = np.asarray(faces)
    if faces.ndim != 2 or faces.shape[1] != 3 or len(faces) == 0:
        raise InputError(f"faces have the shape {faces.shape}; a mesh of triangles is needed")
    if faces.dtype.kind not in "iu":
        raise InputError(f"faces are of type {faces.dtype}; whole numbers are needed")
    if np.min(faces) < 0 or np.max(faces) >= len(vertices):
        raise InputError(
            f"a face names vertex {int(np.max(faces))} or {int(np.min(faces))}, "
            f"but there are {len(vertices)} vertices"
        )
    corners = vertices[faces]
    broken = ~np.isfinite(corners).all(axis=(1, 2))
    if broken.any():
        raise InputError(f"{int(broken.sum())} faces have a vertex that is not finite")
    return np.ascontiguousarray(corners)
