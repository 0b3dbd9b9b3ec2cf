"""Pose, identity and expression from 68 landmarks: Gauss-Newton with priors, milliseconds."""

from dataclasses import dataclass, replace

import numpy as np

from ..core.arrays import AnyFloats, Bools, Floats
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
    known = np.isfinite(target.points).all(axis=1) & ~far_jaw(float(state.pose.angles[1]))
    at = model.landmarks[known]
    modes = model.modes[:, at].astype(np.float64)
    posed = state.pose(model.mean[at] + np.tensordot(state.coefficients, modes, axes=1))
    gap = target.points[known] - camera.project(posed)
    J = pixel_rows(camera.slope(posed), state.pose.R, modes, pose_slope(posed, state.pose))
    add_pixels(J, gap, robust_weights(gap, target.sigma[known]), H=H, g=g)


def far_jaw(yaw: float) -> Bools:
    """Return (68,) which points a head turned by `yaw` to the image's right hides: far jaw."""
    points = np.arange(68)
    if abs(yaw) <= _TURNED:
        return np.zeros(68, bool)
    return (points < N_JAW) & ((points > 8) if yaw > 0 else (points < 8))


def pixel_rows(slope: Floats, turn: Floats, modes: AnyFloats, pose_columns: Floats) -> Floats:
    """Return (N, 2, n_modes + k): how N pixels move with coefficients and pose.

    Parameters
    ----------
    slope : (N, 2, 3)
        px by the posed point.
    turn : (3, 3)
        Posed directions from the model's, scale included.
    modes : (n_modes, N, 3)
    pose_columns : (N, 3, k)
        The posed point by the k unknowns of the pose.
    """
    by_modes = np.einsum("nij,jk,mnk->nim", slope, turn, modes, optimize=True)
    return np.concatenate([by_modes, slope @ pose_columns], axis=2)


def robust_weights(gap: Floats, sigma: Floats) -> Floats:
    """Return (N,) Cauchy's weights of offsets (N, 2) px: gross errors lose their pull."""
    return np.asarray(1 / (sigma**2 + (gap**2).sum(axis=1) / 9))


def add_pixels(J: Floats, gap: Floats, weight: Floats, *, H: Floats, g: Floats) -> None:
    """Add the normal equations of rows (N, 2, n) to the first n unknowns, in place."""
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
    prior = Prior(sigma=model.sigma, low=model.low, high=model.high)
    return prior_step(prior, state.coefficients, H, g, moves=moves)


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What is known of n values beforehand: normal round zero, within a box."""

    sigma: Floats
    low: Floats
    high: Floats
    """(n,) each."""


def prior_step(prior: Prior, values: Floats, H: Floats, g: Floats, *, moves: np.ndarray) -> Floats:
    """Return the step of all unknowns, of which the first n have `values` and a prior."""
    n = len(values)
    H, g = H.copy(), g.copy()
    diagonal = np.arange(len(g))
    H[diagonal[:n], diagonal[:n]] += 1 / prior.sigma**2
    g[:n] -= values / prior.sigma**2
    H[diagonal, diagonal] += 1e-9
    low, high = np.full(len(g), -np.inf), np.full(len(g), np.inf)
    low[:n], high[:n] = prior.low - values, prior.high - values
    return box_step(H, g, moves=moves, low=low, high=high)
