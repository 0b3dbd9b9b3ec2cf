"""The unknowns of a head in several views, how they step, and how pixels depend on them.

Frames: the head frame, mm; `posed` is what a head pose leads to: the world of calibrated
cameras, or each uncalibrated camera's own axes (OpenCV's), mm.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ...core.arrays import Bools, Floats, Ints
from ...core.geometry.camera import Camera
from ...core.geometry.transform import Similarity
from ..align import MODEL_UNIT_MM
from ..fit_camera import RigidPose, pose_slope
from ..fit_landmarks import Prior, pixel_rows, prior_step
from ..fit_model import FitModel

N_POSE = 7
"""Rotation vector and shift, as `RigidPose.stepped` takes them; logarithm of the scale."""

_GL_FROM_CV = np.array([1.0, -1.0, -1.0])


@dataclass(frozen=True, kw_only=True)
class PointBasis:
    """Points of the face model that move with its coefficients, head frame, mm."""

    mean: Floats
    """(N, 3)."""
    modes: Floats
    """(n_modes, N, 3)."""

    def at(self, coefficients: Floats) -> Floats:
        """Return (N, 3) of coefficients (n_modes,)."""
        return np.asarray(self.mean + np.tensordot(coefficients, self.modes, axes=1))


def basis_at(model: FitModel, corners: Ints, weights: Floats) -> PointBasis:
    """Return the basis of points on triangles: vertices `corners` (N, k), `weights` (N, k)."""
    mean = np.einsum("nk,nkd->nd", weights, model.mean[corners])
    modes = np.einsum("nk,mnkd->mnd", weights, model.modes[:, corners], optimize=True)
    return PointBasis(
        mean=MODEL_UNIT_MM * mean + model.centre_mm,
        modes=MODEL_UNIT_MM * np.asarray(modes, np.float64),
    )


def landmark_basis(model: FitModel) -> PointBasis:
    """Return the basis of the 68 landmarks."""
    return basis_at(model, model.landmarks[:, None], np.ones((68, 1)))


def head_vertices(model: FitModel, coefficients: Floats) -> Floats:
    """Return (V, 3) mm, head frame."""
    return np.asarray(MODEL_UNIT_MM * model.shape(coefficients) + model.centre_mm)


@dataclass(frozen=True, kw_only=True)
class CoarseState:
    """One face in J views."""

    identity: Floats
    """(n_identity,)."""
    expressions: Floats
    """(1, n_expression) of all views, or (J, n_expression)."""
    poses: tuple[Similarity, ...]
    """posed_from_head: one for all views (calibrated), or J."""
    log_focal: float = 0.0
    """Logarithm of what all focal lengths are multiplied by."""

    def coefficients(self, view: int) -> Floats:
        """Return (n_modes,) of the face that a view shows."""
        return np.concatenate([self.identity, self.expressions[self._own(self.expressions, view)]])

    @property
    def mean_coefficients(self) -> Floats:
        """(n_modes,) with the mean expression."""
        return np.concatenate([self.identity, self.expressions.mean(axis=0)])

    def pose(self, view: int) -> Similarity:
        """Return posed_from_head of a view."""
        return self.poses[self._own(self.poses, view)]

    @staticmethod
    def _own(values: "Floats | tuple[Similarity, ...]", view: int) -> int:
        return view if len(values) > 1 else 0

    def camera(self, camera: Camera) -> Camera:
        """Return a given camera with the focal length as found."""
        if self.log_focal == 0.0:
            return camera
        K = camera.K.copy()
        K[:2, :2] *= np.exp(self.log_focal)
        return replace(camera, K=K)

    def view_camera(self, camera: Camera, view: int) -> Camera:
        """Return the camera whose world is the head frame."""
        pose, camera = self.pose(view), self.camera(camera)
        R = camera.cam_from_world[:, :3] @ pose.R
        t = camera.cam_from_world[:, :3] @ pose.t + camera.cam_from_world[:, 3]
        return replace(camera, cam_from_world=np.column_stack([R, t / pose.scale]))

    def columns(self, view: int) -> NDArray[np.intp]:
        """Return which unknowns a view depends on: coefficients, pose, focal length."""
        n_id, n_exp = len(self.identity), self.expressions.shape[1]
        expression = n_id + n_exp * self._own(self.expressions, view)
        pose = self.first_pose + N_POSE * self._own(self.poses, view)
        return np.r_[0:n_id, expression : expression + n_exp, pose : pose + N_POSE, self.n - 1]

    def own(self, views: Bools) -> Bools:
        """Return (n,) the unknowns that belong to some of the views (J,) alone, scales apart."""
        own = np.zeros(self.n, bool)
        n_id, n_exp = len(self.identity), self.expressions.shape[1]
        for view in np.flatnonzero(views):
            if len(self.expressions) > 1:
                own[n_id + n_exp * view : n_id + n_exp * (view + 1)] = True
            if len(self.poses) > 1:
                first = self.first_pose + N_POSE * view
                own[first : first + N_POSE - 1] = True
        return own

    @property
    def first_pose(self) -> int:
        """Where the poses begin among the unknowns."""
        return len(self.identity) + self.expressions.size

    @property
    def n(self) -> int:
        """Number of unknowns; the last is the focal length."""
        return self.first_pose + N_POSE * len(self.poses) + 1

    def stepped(self, step: Floats) -> "CoarseState":
        """Return the state after a step (n,) of all unknowns."""
        n_id, first = len(self.identity), self.first_pose
        of_poses = step[first:-1].reshape(len(self.poses), N_POSE)
        return CoarseState(
            identity=self.identity + step[:n_id],
            expressions=self.expressions + step[n_id:first].reshape(self.expressions.shape),
            poses=tuple(_stepped(p, s) for p, s in zip(self.poses, of_poses, strict=True)),
            log_focal=self.log_focal + float(step[-1]),
        )


def _stepped(pose: Similarity, step: Floats) -> Similarity:
    """Turn and grow round where the head's origin is, then move."""
    turn = Rotation.from_rotvec(step[:3]).as_matrix()
    scale = pose.scale * float(np.exp(step[6]))
    return Similarity(scale=scale, R=turn @ pose.R, t=pose.t + step[3:6])


Term = Callable[[CoarseState, Floats, Floats], None]
"""Adds normal equations (H, g) of a state's unknowns, in place."""


def minimised(
    model: FitModel,
    state: CoarseState,
    terms: Sequence[Term],
    *,
    moves: Bools,
    n_steps: int,
    focal_sigma: float = 0.15,
) -> CoarseState:
    """Take Gauss-Newton steps under the model's priors.

    Parameters
    ----------
    moves : (n,) bool
        Which unknowns may change.
    focal_sigma : float
        Prior of the logarithm of the focal lengths' factor.
    """
    prior = _prior(model, len(state.expressions))
    for _ in range(n_steps):
        H, g = np.zeros((state.n, state.n)), np.zeros(state.n)
        for term in terms:
            term(state, H, g)
        H[-1, -1] += 1 / focal_sigma**2
        g[-1] -= state.log_focal / focal_sigma**2
        values = np.concatenate([state.identity, state.expressions.ravel()])
        step = prior_step(prior, values, H, g, moves=moves)
        state = state.stepped(step)
        if np.abs(step).max() < 1e-4:
            break
    return state


def free(state: CoarseState, *, scales: bool, coefficients: bool, focal: bool = False) -> Bools:
    """Return (n,) which unknowns may change: poses always, of their scale and the rest as told."""
    moves = np.full(state.n, coefficients)
    moves[state.first_pose : -1] = True
    if not scales:
        moves[state.first_pose + N_POSE - 1 : -1 : N_POSE] = False
    moves[-1] = focal
    return moves


def _prior(model: FitModel, n_expressions: int) -> Prior:
    n = model.n_identity
    rows = np.r_[0:n, np.tile(np.arange(n, len(model.modes)), n_expressions)]
    return Prior(sigma=model.sigma[rows], low=model.low[rows], high=model.high[rows])


def view_rows(
    state: CoarseState, view: int, camera: Camera, points: Floats, modes: Floats
) -> tuple[Floats, Floats]:
    """Return where points (N, 3) of the head are seen, and how that depends on the unknowns.

    Parameters
    ----------
    camera : Camera
        As given, of posed points.
    modes : (n_modes, N, 3)
        How the points move with the coefficients.

    Returns
    -------
    xy : (N, 2) px
    J : (N, 2, n_modes + 8)
        In the order of `CoarseState.columns`.
    """
    pose, camera = state.pose(view), state.camera(camera)
    posed = pose(points)
    xy, _depth = camera.project(posed)
    in_cam = posed @ camera.cam_from_world[:, :3].T + camera.cam_from_world[:, 3]
    slope = pixel_slope(camera, in_cam) @ camera.cam_from_world[:, :3]
    arm = (posed - pose.t)[..., None]
    of_pose = np.concatenate([pose_slope(posed, RigidPose(R=pose.R, t=pose.t)), arm], axis=2)
    J = pixel_rows(slope, pose.scale * pose.R, modes, of_pose)
    return xy, np.concatenate([J, (xy - camera.K[:2, 2])[..., None]], axis=2)


def pixel_slope(camera: Camera, in_cam: Floats) -> Floats:
    """Return (N, 2, 3): pixels by points in the camera's axes."""
    z = in_cam[:, 2:]
    xy = in_cam[:, :2] / z
    by_normalised = np.concatenate(
        [np.broadcast_to(np.eye(2), (len(z), 2, 2)), -xy[..., None]], axis=2
    )
    return np.asarray(camera.K[:2, :2] @ by_normalised / z[..., None])


def gl_rotation(cam_from_head: Floats) -> Floats:
    """Return a rotation with y up and z towards the camera, from OpenCV's axes."""
    return np.asarray(_GL_FROM_CV[:, None] * cam_from_head)


def head_yaw(state: CoarseState, view: int, camera: Camera) -> float:
    """Return by how much the head is turned to the image's right, radians."""
    R = camera.cam_from_world[:, :3] @ state.pose(view).R
    return float(RigidPose(R=gl_rotation(R), t=np.zeros(3)).angles[1])
