"""Joint adjustment of intrinsics, rig, board poses and the board's shape.

The board's corners are free points: a printed board is never flat to the micrometre, and a
bow of 0.1 mm that the model does not know moves cameras by millimetres. The frame during the
solve is held by the first camera, the first take and one coordinate of one camera; the size
is set afterwards, by a similarity to the measured board.

Levenberg-Marquardt on the normal equations, the corners eliminated (Schur complement): rigs
have few hundred parameters, so that dense algebra is fast, the same on every machine, and
gives the covariance for nothing. (Ceres' models offer k3 only along with k4 to k6, which
portrait lenses do not determine; wide ones need k3.)
"""

import logging
from dataclasses import dataclass

import numpy as np

from ..core.arrays import Bools, Floats
from ..core.errors import CalibrationError
from .cholesky import solve_positive
from .rigstate import (
    N_CAMERA,
    N_INTRINSICS,
    N_POSE,
    Observations,
    RigState,
    in_rig,
    jacobians,
    residuals,
    rows_by_view,
)

log = logging.getLogger(__name__)

MIN_SIGHTINGS = 3  # a free corner needs at least this many
MIN_VIEWS_INTRINSICS = 3  # cameras with fewer keep principal point and distortion
K3_RADIUS = 0.45  # tan of the field angle from which k3 is determined and needed
MAX_ITERATIONS = 100
RELATIVE_DECREASE = 1e-8  # of the cost: where the solver stops


@dataclass(frozen=True, kw_only=True)
class Freedom:
    """Which parameters the adjustment may move."""

    camera_side: Bools
    """(n_camera_side,)."""
    points: Bools
    """(n_corners,)."""


@dataclass(frozen=True, kw_only=True)
class NormalEquations:
    """JᵀWJ and JᵀWr, split into the camera side and 3x3 blocks of corners."""

    H_cc: Floats
    H_cp: Floats
    """(n_camera_side, 3 n_points)."""
    H_pp: Floats
    """(n_points, 3, 3)."""
    g_c: Floats
    g_p: Floats
    """(n_points, 3)."""


def freedom(state: RigState, seen: Observations, *, free_points: bool) -> Freedom:
    """Return what `seen` determines, the frame and size of the result held.

    Parameters
    ----------
    free_points : bool
        False keeps the board as it is; it then holds frame and size.
    """
    cameras = np.ones((len(state.cameras), N_CAMERA), dtype=bool)
    cameras[0, N_INTRINSICS:] = False
    in_frame = in_rig(state, seen)
    for index, camera in enumerate(state.cameras):
        rows = seen.camera == index
        n_views = len(np.unique(seen.take[rows]))
        if n_views < MIN_VIEWS_INTRINSICS:
            cameras[index, 2:N_INTRINSICS] = False
            if n_views < 2:
                cameras[index, :2] = False
            if n_views < 1:
                cameras[index] = False
            continue
        in_cam = in_frame[rows] @ camera.cam_from_world[:, :3].T + camera.cam_from_world[:, 3]
        radius = np.linalg.norm(in_cam[:, :2], axis=1) / in_cam[:, 2]
        cameras[index, 8] = np.percentile(radius, 99) > K3_RADIUS
    takes = np.ones((len(state.rig_from_board), N_POSE), dtype=bool)
    takes[np.bincount(seen.take, minlength=len(takes)) == 0] = False
    enough: Bools = np.bincount(seen.corner, minlength=len(state.points)) >= MIN_SIGHTINGS
    if free_points:
        takes[seen.take.min()] = False
        arms = np.abs([camera.cam_from_world[:, 3] for camera in state.cameras])
        longest, axis = np.unravel_index(int(np.argmax(arms)), arms.shape)
        cameras[longest, N_INTRINSICS + 3 + axis] = False
    else:
        enough[:] = False
    return Freedom(camera_side=np.concatenate([cameras.ravel(), takes.ravel()]), points=enough)


def adjust(state: RigState, seen: Observations, *, free_points: bool, loss_px: float) -> RigState:
    """Minimise the reprojection error over all of the state, with a Cauchy loss.

    Parameters
    ----------
    free_points : bool
        False keeps the board as it is.
    loss_px : float
        Scale of the loss: residuals far beyond it hardly count.

    Returns
    -------
    RigState
        Up to a similarity of the board when its corners are free; corners that fewer than
        three views saw, and takes that nothing saw, stay as they were.

    Raises
    ------
    CalibrationError
        The solver gives no finite result.
    """
    free = freedom(state, seen, free_points=free_points)
    if free_points:
        seen = seen[free.points[seen.corner]]
    damping, growth = 1e-4, 2.0
    errors = residuals(state, seen)
    cost = _cost(errors, loss_px)
    n_steps = 0
    while n_steps < MAX_ITERATIONS:
        n_steps += 1
        system = normal_equations(state, seen, errors, free=free, loss_px=loss_px)
        while True:
            step = _solve(system, free, damping)
            if step is not None:
                trial = state.stepped(*step)
                trial_errors = residuals(trial, seen)
                trial_cost = _cost(trial_errors, loss_px)
                if trial_cost < cost:
                    break
            damping, growth = damping * growth, growth * 2
            if damping > 1e8:
                return _checked(state, cost)
        decrease = (cost - trial_cost) / cost
        state, errors, cost = trial, trial_errors, trial_cost
        damping, growth = max(damping / 5, 1e-12), 2.0
        if decrease < RELATIVE_DECREASE:
            break
    log.debug("adjusted in %d steps, cost %.6g", n_steps, cost)
    return _checked(state, cost)


def normal_equations(
    state: RigState, seen: Observations, errors: Floats, *, free: Freedom, loss_px: float
) -> NormalEquations:
    """Return the weighted normal equations; what is not free has zero rows and columns."""
    J, J_point = jacobians(state, seen)
    weight = 1 / (1 + (errors**2).sum(axis=1) / loss_px**2)  # of Cauchy's loss
    J_point = J_point * free.points[seen.corner][:, None, None]
    n_points = len(state.points)
    H_cc = np.zeros((state.n_camera_side, state.n_camera_side))
    H_cp = np.zeros((state.n_camera_side, n_points, 3))
    g_c = np.zeros(state.n_camera_side)
    H_pp = np.zeros((n_points, 3, 3))
    g_p = np.zeros((n_points, 3))
    for rows in rows_by_view(seen):
        columns = state.columns(int(seen.camera[rows[0]]), int(seen.take[rows[0]]))
        own = J[rows] * free.camera_side[columns]
        weighted = (own * weight[rows, None, None]).reshape(-1, len(columns))
        H_cc[np.ix_(columns, columns)] += weighted.T @ own.reshape(-1, len(columns))
        g_c[columns] += weighted.T @ errors[rows].ravel()
        corners = seen.corner[rows]  # each at most once in a photograph
        point = J_point[rows]
        weighted_point = point * weight[rows, None, None]
        H_pp[corners] += np.swapaxes(weighted_point, 1, 2) @ point
        g_p[corners] += (np.swapaxes(weighted_point, 1, 2) @ errors[rows][..., None])[..., 0]
        cross = np.swapaxes(own, 1, 2) @ weighted_point
        H_cp[columns[:, None], corners] += np.swapaxes(cross, 0, 1)
    return NormalEquations(H_cc=H_cc, H_cp=H_cp.reshape(len(g_c), -1), H_pp=H_pp, g_c=g_c, g_p=g_p)


def _solve(system: NormalEquations, free: Freedom, damping: float) -> tuple[Floats, Floats] | None:
    """Return the damped steps of camera side and corners, None where there is none."""
    rows = np.flatnonzero(free.camera_side)
    H = system.H_cc[np.ix_(rows, rows)]
    H = H + damping * np.diag(np.diag(H))
    g = system.g_c[rows]
    points = np.zeros_like(system.g_p)
    used = np.flatnonzero(free.points)
    try:
        if len(used):
            H_pp = system.H_pp[used]
            H_pp = H_pp + damping * H_pp * np.eye(3)
            columns = (3 * used[:, None] + np.arange(3)).ravel()
            H_cp = system.H_cp[np.ix_(rows, columns)]
            back = np.linalg.inv(H_pp)
            eliminated = np.einsum("rpi,pij->rpj", H_cp.reshape(len(rows), -1, 3), back)
            eliminated = eliminated.reshape(len(rows), -1)
            H = H - eliminated @ H_cp.T
            g = g - eliminated @ system.g_p[used].ravel()
    except np.linalg.LinAlgError:
        return None
    solution = solve_positive(H, g)  # only a descent direction will do
    if solution is None:
        return None
    step = -solution
    cameras = np.zeros(len(free.camera_side))
    cameras[rows] = step
    if len(used):
        rest = system.g_p[used] + (H_cp.T @ step).reshape(-1, 3)
        points[used] = -np.einsum("pij,pj->pi", back, rest)
    if not (np.isfinite(cameras).all() and np.isfinite(points).all()):
        return None
    return cameras, points


def _cost(errors: Floats, loss_px: float) -> float:
    """Return Cauchy's loss, summed."""
    squared = (errors**2).sum(axis=1)
    return float(loss_px**2 * np.log1p(squared / loss_px**2).sum())


def _checked(state: RigState, cost: float) -> RigState:
    sound = all(np.isfinite(c.K).all() and c.K[0, 0] > 0 < c.K[1, 1] for c in state.cameras)
    if not sound or not np.isfinite(cost):
        raise CalibrationError(
            "the joint adjustment of the rig diverges: check that the board is the one named in "
            "the session and that each camera sees it from several sides"
        )
    return state
