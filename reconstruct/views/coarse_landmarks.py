"""The landmarks of all views: their tolerances, how a face fits them, where a fit starts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...core.arrays import Bools, Floats
from ...core.errors import EstimationError
from ...core.facemodel.landmark_schemes import Scheme
from ...core.facemodel.landmarks import Detection
from ...core.geometry.camera import Camera, Rig
from ...core.geometry.transform import Similarity, align_similarity
from ...dataset.register.landmarks import triangulate_landmarks
from ...dataset.register.pose import product
from ..fit_camera import CropCamera, pose_of_landmarks
from ..fit_landmarks import N_JAW, add_pixels, far_jaw, robust_weights
from ..fit_model import FitModel
from .coarse_state import CoarseState, PointBasis, gl_rotation, head_yaw, view_rows
from .faceview import FaceViews

_RIGID = np.r_[17:60]  # the jaw may lie on the hidden contour, the inner lips open
_LEAST_POINTS = 12
_JAW_FACTOR = 1.7  # the jaw has no corners
_FRONTAL_DEG, _DOUBLES_DEG, _MOST = 35.0, 30.0, 4.0  # detectors know faces from the front best
_GROSS = 6.0  # tolerances beyond which an offset is no worse


@dataclass(frozen=True, kw_only=True)
class SeenLandmarks:
    """Landmarks of J views and the cameras that show posed points there."""

    names: tuple[str, ...]
    cameras: tuple[Camera, ...]
    """Calibrated: in their world. Else at the origin of their own axes."""
    points: Floats
    """(J, 68, 2) px; NaN where unknown."""
    sigma: Floats
    """(J, 68) px."""
    basis: PointBasis
    one_pose: bool

    @property
    def usable(self) -> Bools:
        """(J,) views with enough landmarks."""
        return np.asarray(np.isfinite(self.points).all(axis=2).sum(axis=1) >= _LEAST_POINTS)


def seen_landmarks(views: FaceViews, basis: PointBasis) -> SeenLandmarks:
    """Collect the landmarks of all views."""
    cameras = [replace(view.camera, name=view.name) for view in views.views]
    if not views.calibrated:
        cameras = [replace(camera, cam_from_world=np.eye(3, 4)) for camera in cameras]
    sigma = np.array([np.full(68, view.sigma_px) for view in views.views])
    sigma[:, :N_JAW] *= _JAW_FACTOR
    return SeenLandmarks(
        names=tuple(view.name for view in views.views),
        cameras=tuple(cameras),
        points=np.array([np.asarray(view.landmarks, np.float64) for view in views.views]),
        sigma=sigma,
        basis=basis,
        one_pose=views.calibrated,
    )


def add_landmarks(
    seen: SeenLandmarks, weight: Floats, state: CoarseState, H: Floats, g: Floats
) -> None:
    """Add the normal equations of all views' landmarks, each view at its weight, in place."""
    for view in np.flatnonzero((weight > 0) & seen.usable).tolist():
        known = known_points(seen, state, view)
        points = seen.basis.at(state.coefficients(view))[known]
        modes = seen.basis.modes[:, known]
        xy, J = view_rows(state, view, seen.cameras[view], points, modes)
        gap = seen.points[view, known] - xy
        sigma = tolerances(seen, state, view)[known]
        at = state.columns(view)
        part, pull = np.zeros((len(at), len(at))), np.zeros(len(at))
        add_pixels(J, gap, weight[view] * robust_weights(gap, sigma), H=part, g=pull)
        H[np.ix_(at, at)] += part
        g[at] += pull


def known_points(seen: SeenLandmarks, state: CoarseState, view: int) -> Bools:
    """Return (68,) the landmarks that are known and not the far side of a jaw."""
    yaw = head_yaw(state, view, seen.cameras[view])
    return np.asarray(np.isfinite(seen.points[view]).all(axis=1) & ~far_jaw(yaw))


def tolerances(seen: SeenLandmarks, state: CoarseState, view: int) -> Floats:
    """Return (68,) px: landmarks of turned heads are found less well."""
    aside = np.degrees(abs(head_yaw(state, view, seen.cameras[view]))) - _FRONTAL_DEG
    return np.asarray(seen.sigma[view] * min(2.0 ** max(0.0, aside / _DOUBLES_DEG), _MOST))


def misfit(seen: SeenLandmarks, state: CoarseState, view: int) -> float:
    """Return a view's rms offset in tolerances, 1 for errors as expected, each at most six.

    Gross errors of a few landmarks are of the detector, of many of another face.
    """
    known = known_points(seen, state, view)
    points = seen.basis.at(state.coefficients(view))[known]
    xy, _ = state.camera(seen.cameras[view]).project(state.pose(view)(points))
    off = np.linalg.norm(seen.points[view, known] - xy, axis=1)
    off = off / tolerances(seen, state, view)[known]
    clipped = np.minimum(np.nan_to_num(off, nan=np.inf), _GROSS)
    return float(np.sqrt((clipped**2).mean() / 2)) if known.any() else _GROSS


def start_state(
    model: FitModel, seen: SeenLandmarks, rows: Bools, *, metric: bool, per_view: bool
) -> CoarseState:
    """Return the mean face posed in closed form by the views of `rows` (J,).

    Raises
    ------
    EstimationError
        No view with enough landmarks, or views whose landmarks meet nowhere.
    """
    n_views, n_exp = len(seen.names), len(model.modes) - model.n_identity
    used = np.flatnonzero(rows & seen.usable).tolist()
    if len(used) == 0:
        raise EstimationError(
            f"no view shows a face with {_LEAST_POINTS} of its 68 landmarks; give photographs "
            "in which the face can be seen"
        )
    poses: tuple[Similarity, ...]
    if seen.one_pose:
        poses = (_pose_in_world(seen, used, metric=metric),)
    else:
        poses = tuple(
            _pose_in_view(seen, view) if seen.usable[view] else _IDENTITY for view in range(n_views)
        )
    return CoarseState(
        identity=np.zeros(model.n_identity),
        expressions=np.zeros((n_views if per_view else 1, n_exp)),
        poses=poses,
    )


_IDENTITY = Similarity(scale=1.0, R=np.eye(3), t=np.array([0.0, 0.0, 1000.0]))


def _pose_in_view(seen: SeenLandmarks, view: int) -> Similarity:
    """Return cam_from_head by scaled orthography."""
    camera = seen.cameras[view]
    known = np.flatnonzero(np.isfinite(seen.points[view]).all(axis=1))
    rows = np.intersect1d(_RIGID, known)
    rows = rows if len(rows) >= _LEAST_POINTS else known
    K = camera.K
    pinhole = CropCamera(
        focal=float(np.sqrt(K[0, 0] * K[1, 1])),
        centre=(float(K[0, 2]), float(K[1, 2])),
        distance=0.0,
    )
    pose = pose_of_landmarks(seen.basis.mean[rows], seen.points[view, rows], pinhole)
    return Similarity(scale=1.0, R=gl_rotation(pose.R), t=gl_rotation(pose.t[:, None])[:, 0])


def _pose_in_world(seen: SeenLandmarks, used: Sequence[int], *, metric: bool) -> Similarity:
    """Return world_from_head: of triangulated landmarks; of one view alone, by its own pose."""
    if len(used) == 1:
        camera = seen.cameras[used[0]]
        R, t = camera.cam_from_world[:, :3], camera.cam_from_world[:, 3]
        in_cam = _pose_in_view(seen, used[0])
        return product(Similarity(scale=1.0, R=R.T, t=-R.T @ t), in_cam)
    rig = Rig(cameras=tuple(seen.cameras[view] for view in used), metric=metric)
    found = triangulate_landmarks({seen.names[view]: _detection(seen, view) for view in used}, rig)
    points = found.points.copy()
    points[:N_JAW] = np.nan
    return align_similarity(seen.basis.mean, points, with_scale=not metric)


def _detection(seen: SeenLandmarks, view: int) -> Detection:
    points = seen.points[view]
    known = np.isfinite(points).all(axis=1)
    low, high = points[known].min(axis=0), points[known].max(axis=0)
    return Detection(
        points=points,
        scheme=Scheme.IBUG68,
        score=1.0,
        box=np.concatenate([low, high - low]),
        confidence=known.astype(np.float64),
        sigma_px=seen.sigma[view],
    )
