"""Pose, identity and expression from 68 landmarks: Gauss-Newton with priors, milliseconds."""

from dataclasses import dataclass, replace

import numpy as np

from ..core.arrays import AnyFloats, Floats
from ..core.errors import EstimationError
from ..dataset.register.morphable import box_step
from .fit_camera import CropCamera, RigidPose, pose_of_landmarks, pose_slope
from .fit_model import FitModel

N_JAW = 17
_RIGID = np.r_[17:60]  # the jaw may lie on the hidden contour, the inner lips open
_TURNED = np.radians(15.0)  # beyond it the far half of the jaw is not the model's jaw line
_LEAST_KNOWN = 12
_LEAST_RIGID = 6


@dataclass(frozen=True, kw_only=True)
class FitState:
    """Coefficients and pose of one face."""

    coefficients: Floats
    """(n_modes,) identity, then expression."""
    pose: RigidPose


@dataclass(frozen=True, kw_only=True)
class LandmarkTarget:
    """Landmarks of a crop."""

    points: Floats
    """(68, 2) px, y down; NaN where unknown."""
    sigma: Floats
    """(68,) px."""


def landmark_target(
    points: AnyFloats, camera: CropCamera, *, sigma_px: float, jaw_sigma_px: float
) -> LandmarkTarget:
    """Give landmarks of a crop their uncertainties, told in px of a 224 px crop.

    Raises
    ------
    EstimationError
        Fewer than twelve are known.
    """
    known = np.asarray(np.isfinite(points).all(axis=1))
    if known.sum() < _LEAST_KNOWN:
        raise EstimationError(
            f"the fit needs {_LEAST_KNOWN} of the 68 landmarks, and fewer are finite"
        )
    sigma = np.full(68, sigma_px)
    sigma[:N_JAW] = jaw_sigma_px
    return LandmarkTarget(points=np.array(points, np.float64), sigma=sigma * camera.size / 224.0)


def start_state(model: FitModel, target: LandmarkTarget, camera: CropCamera) -> FitState:
    """Return the mean face posed in closed form."""
    known = np.flatnonzero(np.isfinite(target.points).all(axis=1))
    rows = np.intersect1d(_RIGID, known)
    if len(rows) < _LEAST_RIGID:
        rows = known
    pose = pose_of_landmarks(model.mean[model.landmarks[rows]], target.points[rows], camera)
    return FitState(coefficients=np.zeros(len(model.modes)), pose=pose)


def fit_landmarks(
    model: FitModel,
    target: LandmarkTarget,
    camera: CropCamera,
    start: FitState,
    *,
    n_rigid: int = 8,
    n_steps: int = 12,
) -> FitState:
    """Fit the pose, then pose and coefficients together, to the landmarks."""
    state = start
    n = len(model.modes)
    for step in range(n_rigid + n_steps):
        moves = np.ones(n + 6, bool)
        moves[:n] = step >= n_rigid
        H, g = np.zeros((n + 6, n + 6)), np.zeros(n + 6)
        add_landmarks(model, target, camera, state, H=H, g=g)
        state = advanced(model, state, H, g, moves=moves)
    return state


def add_landmarks(
    model: FitModel,
    target: LandmarkTarget,
    camera: CropCamera,
    state: FitState,
    *,
    H: Floats,
    g: Floats,
) -> None:
    """Add the landmarks' normal equations to those of coefficients and pose, in place."""
    known = np.flatnonzero(np.isfinite(target.points).all(axis=1))
    yaw = float(state.pose.angles[1])
    if abs(yaw) > _TURNED:  # turned to the image's right (yaw > 0), the right half is far
        far = np.arange(N_JAW) > 8 if yaw > 0 else np.arange(N_JAW) < 8
        known = known[~np.isin(known, np.flatnonzero(far))]
    at = model.landmarks[known]
    modes = model.modes[:, at].astype(np.float64)
    posed = state.pose(model.mean[at] + np.tensordot(state.coefficients, modes, axes=1))
    slope = camera.slope(posed)
    gap = target.points[known] - camera.project(posed)
    J = np.concatenate(
        [
            np.einsum("nij,jk,mnk->nim", slope, state.pose.R, modes, optimize=True),
            slope @ pose_slope(posed, state.pose),
        ],
        axis=2,
    )
    sigma2 = target.sigma[known] ** 2
    weight = 1 / (sigma2 + (gap**2).sum(axis=1) / 9)  # Cauchy: gross errors lose their pull
    n = J.shape[2]
    H[:n, :n] += np.einsum("nia,n,nib->ab", J, weight, J, optimize=True)
    g[:n] += np.einsum("nia,n,ni->a", J, weight, gap, optimize=True)


def advanced(
    model: FitModel, state: FitState, H: Floats, g: Floats, *, moves: np.ndarray
) -> FitState:
    """Add the priors, take the step, keep coefficients within their bounds."""
    step = solved(model, state, H, g, moves=moves)
    n = len(model.modes)
    return replace(
        state,
        coefficients=state.coefficients + step[:n],
        pose=state.pose.stepped(step[n : n + 6]),
    )


def solved(model: FitModel, state: FitState, H: Floats, g: Floats, *, moves: np.ndarray) -> Floats:
    """Return the step of (coefficients, pose, whatever follows), priors and bounds kept."""
    n = len(model.modes)
    H, g = H.copy(), g.copy()
    diagonal = np.arange(len(g))
    H[diagonal[:n], diagonal[:n]] += 1 / model.sigma**2
    g[:n] -= state.coefficients / model.sigma**2
    H[diagonal, diagonal] += 1e-9
    low, high = np.full(len(g), -np.inf), np.full(len(g), np.inf)
    low[:n], high[:n] = model.low - state.coefficients, model.high - state.coefficients
    return box_step(H, g, moves=moves, low=low, high=high)
