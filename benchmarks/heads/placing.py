"""Where a predicted head lies: from its landmarks, or found without any.

Then as all of facekit's benchmarks align: to the scored face, point to plane, robustly.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.spatial.transform import Rotation

from ...core.arrays import Floats
from ...core.errors import InputError
from ...core.geometry.closest import SurfaceQuery
from ...core.geometry.mesh import Mesh
from ...core.geometry.transform import Similarity, align_similarity
from ..evaluation.units import landmark_remark, size_remark, spread
from ..face_distance import (
    SurfaceError,
    TrueFace,
    aligned_from,
    start_at_landmarks,
    surface_error_from,
    unit_face_normals,
)
from .found import FoundHead
from .settings import Scale

_LOST_MM = 12.0  # half of the face farther off than this: not this face, or not aligned
_N_COARSE = 300  # points of the search
_ROUNDS = ((3, 24), (6, 4), (25, 1))
"""Steps of the search, and how many of the nearest places are followed farther."""
_HEAD_MM = 70.0  # spread of vertices: 50 of a face alone, 100 of a head, 130 of a bust
_FORWARD = (0.0, 0.5)  # parts of the mesh's extent
_SIZES = (1.0, 0.7, 0.5)  # of the true face in the extent of the mesh: a face alone, a head, a bust
_MIRROR_GAIN = 2.0  # a mirror image that fits the landmarks so many times better is one


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A predicted head where it fits the true face."""

    error: SurfaceError
    """`found_from_true` leads from the true head frame into the prediction's."""
    searched: bool
    """It had no landmarks."""


def place(true: TrueFace, found: FoundHead, *, scale: Scale, unit_mm: float = 1.0) -> Placed:
    """Align the true face with a prediction and measure from it.

    Parameters
    ----------
    scale : Scale
        Whether the prediction may be scaled.
    unit_mm : float
        Of a metric prediction.

    Raises
    ------
    InputError
        The prediction is mirrored, in another unit, its landmarks are in another order, or it
        lies nowhere near a face.
    """
    with_scale = scale is Scale.FREE
    if found.landmarks is None:
        start = _searched(true, found.mesh, unit_mm=None if with_scale else unit_mm)
    else:
        _check_landmarks(true.landmarks, found.landmarks, unit_mm=None if with_scale else unit_mm)
        start = start_at_landmarks(true, unit_mm * found.landmarks, with_scale=with_scale)
        start = Similarity(scale=start.scale / unit_mm, R=start.R, t=start.t / unit_mm)
    error = surface_error_from(true, found.mesh, start, with_scale=with_scale)
    if not error.median_mm < _LOST_MM:
        raise InputError(
            f"the prediction lies {error.median_mm:.0f} mm from the true face (median) after "
            "alignment: it is no face, or give its 68 landmarks beside it"
        )
    return Placed(error=error, searched=found.landmarks is None)


def _check_landmarks(true: Floats, found: Floats, *, unit_mm: float | None) -> None:
    """Tell a mirrored prediction, another unit and another order of landmarks."""
    if unit_mm is not None:
        _check_size(spread(found) * unit_mm, spread(true))
    off = _misfit(true, found)
    if _misfit(true * np.array([-1.0, 1.0, 1.0]), found) * _MIRROR_GAIN < off:
        raise InputError(
            "predictions look mirrored: an axis with the wrong sign, or left and right exchanged?"
        )
    pose = align_similarity(true, found)
    remark = landmark_remark(pose(true), found)
    if remark:
        raise InputError(remark)


def _check_size(found_mm: float, expected_mm: float) -> None:
    """Tell another unit."""
    remark = size_remark(found_mm, expected_mm)
    if remark:
        raise InputError(f"{remark} give --set unit=..., or --set scale=free")


def _misfit(true: Floats, found: Floats) -> float:
    pose = align_similarity(true, found)
    return float(np.sqrt(((pose(true) - found) ** 2).mean()))


def _searched(true: TrueFace, mesh: Mesh, *, unit_mm: float | None) -> Similarity:
    """Return where the face lies in a mesh without landmarks: the best of many starts.

    Parameters
    ----------
    unit_mm : float, optional
        Of the mesh; None: of any size.
    """
    vertices = np.asarray(mesh.vertices, np.float64)
    used = vertices[np.unique(mesh.faces)]
    middle, reach = np.median(used, axis=0), spread(used)
    if unit_mm is not None:
        _check_size(reach * unit_mm, _HEAD_MM)
    true_points = true.points()
    points = true_points[:: max(1, len(true_points) // _N_COARSE)]
    center = points.mean(axis=0)
    query, normals = SurfaceQuery(vertices, mesh.faces), unit_face_normals(vertices, mesh)
    free = unit_mm is None
    sizes = [s * reach / spread(points) for s in _SIZES] if unit_mm is None else [1 / unit_mm]
    starts = []
    for R in _rotations():
        for size in sizes:
            for forward in _FORWARD:
                # before the middle of the mesh, where the face of a whole head is
                t = middle - size * R @ center + forward * reach * R[:, 2]
                starts.append(Similarity(scale=size, R=R, t=t))
    for n_steps, n_kept in _ROUNDS:
        moved = [
            aligned_from(pose, points, query, normals, with_scale=free, most_steps=n_steps)
            for pose in starts
        ]
        far = [_far(pose, points, query) for pose in moved]
        starts = [moved[i] for i in np.argsort(far, kind="stable")[:n_kept]]
    return starts[0]


def _far(pose: Similarity, points: Floats, query: SurfaceQuery) -> float:
    """Return how far points lie from a surface, mm of the true face: a mean that caps the worst."""
    if not (np.isfinite(pose.scale) and pose.scale > 0):
        return np.inf
    distance = query.closest(pose(points)).distance / pose.scale
    return float(np.minimum(distance, _LOST_MM).mean())


@cache
def _rotations() -> tuple[Floats, ...]:
    """Return the 24 turns of a cube, as meshes are written with any axis up."""
    return tuple(np.asarray(R) for R in Rotation.create_group("O").as_matrix())
