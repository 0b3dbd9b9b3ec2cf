"""How far a found face lies from the true one: from points of the true surface to the found."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from ..core.arrays import Floats
from ..core.facemodel.model import FaceModel
from ..core.geometry.closest import SurfaceQuery
from ..core.geometry.mesh import Mesh, face_normals, sample_surface
from ..core.geometry.transform import Similarity, align_similarity

_N_POINTS = 6000
_MOST_STEPS = 25
_STILL_MM = 1e-3  # a step that moves no point by more is the last
_REACH_MM = 8.0  # of the alignment; beyond it a point is another thing than the face
_CAUCHY = 2.385 * 1.4826
"""Cauchy's constant for 95 % efficiency under normal noise, times median to standard deviation."""
_SOFT_MM = (0.1, 3.0)
_GROWTH = (0.5, 2.0)  # of the scale in a step: a surface that is no face draws it to nothing
EYES_NOSE_MOUTH = [36, 39, 42, 45, 30, 48, 54]
"""Of the 68 landmarks, those where an alignment starts."""


@dataclass(frozen=True, kw_only=True)
class TrueFace:
    """A true face, mm."""

    mesh: Mesh
    """The region that is scored, relief included."""
    landmarks: Floats
    """(68, 3): where the alignment starts."""

    def points(self) -> Floats:
        """Return (n, 3) points, evenly over the region, the same each time."""
        rng = np.random.default_rng(0)
        return sample_surface(self.mesh.vertices, self.mesh.faces, _N_POINTS, rng=rng)[0]


@dataclass(frozen=True, kw_only=True)
class SurfaceError:
    """From points of the true face to a found surface."""

    distance: Floats
    """(n,) mm of the true face."""
    found_from_true: Similarity
    """The alignment."""

    @property
    def median_mm(self) -> float:
        """Half of the points lie nearer."""
        return float(np.median(self.distance))

    @property
    def p90_mm(self) -> float:
        """Nine in ten lie nearer."""
        return float(np.percentile(self.distance, 90))


def surface_error(
    true: TrueFace, found: Mesh, model: FaceModel, *, with_scale: bool = False
) -> SurfaceError:
    """Align the true face with a found surface and measure from it.

    The alignment starts at the landmarks and minimises the point-to-plane distance, robustly
    (Cauchy's weights, of a scale that follows the distances): a part of the face that is far off
    does not drag the rest along. The scale stays as found, unless `with_scale`.

    Parameters
    ----------
    found : Mesh
        Its first vertices are those of `model`; more may follow.
    """
    marks = np.asarray(found.vertices, np.float64)[model.landmarks68]
    start = start_at_landmarks(true, marks, with_scale=with_scale)
    return surface_error_from(true, found, start, with_scale=with_scale)


def start_at_landmarks(true: TrueFace, marks: Floats, *, with_scale: bool = False) -> Similarity:
    """Return where an alignment starts by the corners of eyes and mouth and the tip of the nose.

    Parameters
    ----------
    marks : (68, 3)
        Of the found surface.
    """
    return align_similarity(
        true.landmarks[EYES_NOSE_MOUTH], marks[EYES_NOSE_MOUTH], with_scale=with_scale
    )


def surface_error_from(
    true: TrueFace, found: Mesh, start: Similarity, *, with_scale: bool = False
) -> SurfaceError:
    """Align as `surface_error` does, from `start` on (found from true), and measure."""
    vertices = np.asarray(found.vertices, np.float64)
    points = true.points()
    query = SurfaceQuery(vertices, found.faces)
    pose = aligned_from(
        start, points, query, unit_face_normals(vertices, found), with_scale=with_scale
    )
    return _error(pose, points, query)


def aligned_from(
    start: Similarity,
    points: Floats,
    query: SurfaceQuery,
    normals: Floats,
    *,
    with_scale: bool,
    most_steps: int = _MOST_STEPS,
) -> Similarity:
    """Return the pose that brings true points (n, 3) to a found surface, from `start` on.

    Parameters
    ----------
    normals : (F, 3)
        Unit normals of the found surface's triangles; zero where one has no area.
    """
    pose = start
    for _ in range(most_steps):
        before = pose(points)
        pose = _closer(pose, points, query, normals, with_scale=with_scale)
        if np.abs(pose(points) - before).max() < _STILL_MM * pose.scale:
            break
    return pose


def surface_error_at(true: TrueFace, found: Mesh, found_from_true: Similarity) -> SurfaceError:
    """Measure where the found surface is said to lie, without any alignment."""
    return _error(found_from_true, true.points(), SurfaceQuery(found.vertices, found.faces))


def _error(pose: Similarity, points: Floats, query: SurfaceQuery) -> SurfaceError:
    distance = query.closest(pose(points)).distance / pose.scale
    return SurfaceError(distance=np.asarray(distance, np.float64), found_from_true=pose)


def unit_face_normals(vertices: Floats, found: Mesh) -> Floats:
    """Return (F, 3) unit normals of triangles; zero where one has no area."""
    normals = face_normals(vertices, found.faces)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)


def _closer(
    pose: Similarity,
    points: Floats,
    query: SurfaceQuery,
    normals: Floats,
    *,
    with_scale: bool,
) -> Similarity:
    """Return the pose after one Gauss-Newton step towards the surface."""
    moved = pose(points)
    near = query.closest(moved)
    n = normals[near.face]
    gap = ((moved - near.points) * n).sum(axis=1)
    gap_mm = gap / pose.scale  # the found surface may have another unit
    near_enough = np.abs(gap_mm) < _REACH_MM
    spread = float(np.median(np.abs(gap_mm[near_enough]))) if near_enough.any() else np.inf
    soft_mm = np.clip(_CAUCHY * spread, *_SOFT_MM)
    weight = np.sqrt(near_enough / (1 + (gap_mm / soft_mm) ** 2))
    middle = moved.mean(axis=0)
    arm = moved - middle
    columns = [np.cross(arm, n), n]
    if with_scale:
        columns.append((arm * n).sum(axis=1, keepdims=True))
    rows = np.hstack(columns) * weight[:, None]
    step = np.linalg.lstsq(rows, -gap * weight, rcond=None)[0]
    turn = Rotation.from_rotvec(step[:3]).as_matrix()
    growth = float(np.clip(1 + step[6], *_GROWTH)) if with_scale else 1.0
    t = growth * turn @ (pose.t - middle) + middle + step[3:6]
    return replace(pose, scale=growth * pose.scale, R=turn @ pose.R, t=t)
