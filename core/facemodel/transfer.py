"""Landmarks carried over from the built-in head, for face models that come without any.

The built-in head is laid on the other model's mean face: alternately its position and size,
and its identity modes, are fitted to the nearest points of the surface. Landmarks then are the
nearest vertices. Measured on ICT-FaceKit's mean, whose landmarks are known, nose, eyes and
mouth end up 2 to 4 mm off, brows 10 and the jaw line 13, along which two models' authors put
landmarks differently anyway: good enough to place regions and to begin a registration, not to
measure by.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..arrays import Bools, Floats, Ints
from ..errors import EstimationError
from ..geometry.closest import SurfaceQuery
from ..geometry.mesh import vertex_normals
from ..geometry.transform import Similarity, align_similarity
from .procedural import procedural_head

TRANSFER_SIGMA_MM = 6.0

_N_ROUNDS = 24
_KEPT = 0.85  # of the points, nearest first
_PRIOR = 4.0  # mm²: weight of identity coefficients against squared distances, a point
_MOST_RESIDUAL_MM = 6.0
_EVERY = 16  # point takes part in the fit of the identity


@dataclass(frozen=True, kw_only=True)
class _BuiltInFace:
    """The part of the built-in head that is laid on other faces."""

    mean: Floats
    faces: Ints
    modes: Floats
    """(n, V, 3) mm per standard deviation."""
    landmarks: Ints

    def fitted(self, chosen: NDArray[np.intp], wanted: Floats) -> Floats:
        """Return the vertices whose identity fits `wanted` (N, 3) best at `chosen` (N,)."""
        A = self.modes[:, chosen].reshape(len(self.modes), -1)
        ridge = _PRIOR * len(chosen) / len(A) * np.eye(len(A))
        identity = np.linalg.solve(A @ A.T + ridge, A @ (wanted - self.mean[chosen]).ravel())
        return np.asarray(self.mean + np.tensordot(identity, self.modes, axes=1))


def transferred_landmarks(vertices: Floats, faces: Ints, skin: Bools) -> Ints:
    """Return the 68 vertices nearest to where the built-in head has its landmarks.

    Parameters
    ----------
    vertices : (V, 3) float64, mm, axes of the head frame
        A mean face at about the size of an adult's; its origin may lie anywhere.
    faces : (F, 3) int32
    skin : (V,) bool
        Vertices that a landmark may be.

    Raises
    ------
    EstimationError
        The surface is no face in this frame and unit.
    """
    face = _built_in_face()
    skin_faces = faces[skin[faces].all(axis=1)]
    surface = SurfaceQuery(vertices, skin_faces)
    normals = vertex_normals(vertices, skin_faces)
    shape = face.mean
    there = Similarity(scale=1.0, R=np.eye(3), t=_nose(vertices[skin]) - _nose(face.mean))
    residual = np.inf
    for k in range(_N_ROUNDS):
        nearest = surface.closest(there(shape))
        turned = vertex_normals(shape, face.faces) @ there.R.T
        facing = (turned * normals[skin_faces[nearest.face, 0]]).sum(axis=1) > 0.5
        if facing.sum() < len(face.landmarks):
            break
        near = facing & (nearest.distance <= np.quantile(nearest.distance[facing], _KEPT))
        residual = float(np.median(nearest.distance[near]))
        there = align_similarity(shape[near], nearest.points[near])
        if k >= _N_ROUNDS // 4:
            chosen = np.flatnonzero(near)[::_EVERY]
            wanted = (nearest.points[chosen] - there.t) @ there.R / there.scale
            shape = face.fitted(chosen, wanted)
    if not (residual < _MOST_RESIDUAL_MM and 0.8 < there.scale < 1.25):
        raise EstimationError(
            f"the built-in face fits only to {residual:.1f} mm, at {there.scale:.2f} times its size"
        )
    candidates = np.flatnonzero(skin)
    _, nearest_vertex = cKDTree(vertices[candidates]).query(there(shape[face.landmarks]))
    return candidates[nearest_vertex].astype(np.int32)


def _built_in_face() -> _BuiltInFace:
    head = procedural_head()
    face = head.regions["face"].copy()
    face[head.landmarks68] = True
    kept = head.faces[face[head.faces].all(axis=1) & head.regions["skin"][head.faces].all(axis=1)]
    used = np.union1d(kept, head.landmarks68)
    new_index = np.zeros(head.n_vertices, np.int32)
    new_index[used] = np.arange(len(used), dtype=np.int32)
    modes = head.identity[:, used].astype(np.float64) * head.identity_sigma[:, None, None]
    return _BuiltInFace(
        mean=head.mean[used],
        faces=new_index[kept],
        modes=modes,
        landmarks=new_index[head.landmarks68],
    )


def _nose(vertices: Floats) -> Floats:
    """Return the tip of the nose: what lies foremost."""
    return np.asarray(vertices[np.argmax(vertices[:, 2])])
