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
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...core.arrays import Bools, Floats, Ints
from ...core.errors import CalibrationError
from .cholesky import gram, solve_positive, times_blocks
from .gauge import joined_takes, open_motions
from .normal import Freedom, NormalEquations, cost, normal_equations, sort_by_view
from .rigstate import N_CAMERA, N_DEFOCUS, N_INTRINSICS, N_POSE, Observations, RigState

log = logging.getLogger(__name__)

MIN_SIGHTINGS = 3  # a free corner needs at least this many
MIN_VIEWS_INTRINSICS = 3  # cameras with fewer keep principal point and distortion,
MIN_VIEWS_IN_RIG = 2  # but this many do where others tell where the board is
RIG_TAKES, RIG_CAMERAS = 5, 3  # so many of each
K3_RADIUS = 0.45  # tan of the field angle from which k3 is determined and needed
MAX_ITERATIONS = 100
RELATIVE_DECREASE = 1e-7  # of the cost: where the solver stops
FIRST_DAMPING, MAX_DAMPING = 1e-6, 1e8


def freedom(
    state: RigState, seen: Observations, *, free_points: bool, held: bool = True
) -> Freedom:
    """Return what `seen` determines.

    Parameters
    ----------
    free_points : bool
        False keeps the board as it is; it then holds the size.
    held : bool
        Hold the first camera, a take and a distance, so that nothing is left open.
    """
    cameras = np.ones((len(state.cameras), N_CAMERA), dtype=bool)
    if held or not free_points:
        cameras[0, N_INTRINSICS:] = False
    firm = len(np.unique(seen.take)) >= RIG_TAKES and len(state.cameras) >= RIG_CAMERAS
    needed = MIN_VIEWS_IN_RIG if firm else MIN_VIEWS_INTRINSICS
    for index, camera in enumerate(state.cameras):
        rows = seen.camera == index
        n_views = len(np.unique(seen.take[rows]))
        if n_views < needed:
            cameras[index, 2:N_INTRINSICS] = False
            if n_views < 2:
                cameras[index, :2] = False
            if n_views < 1:
                cameras[index] = False
            continue
        radius = np.linalg.norm(camera.normalise(seen.xy[rows]), axis=1)
        cameras[index, 8] = np.percentile(radius, 99) > K3_RADIUS
    takes = np.ones((len(state.rig_from_board), N_POSE), dtype=bool)
    takes[np.bincount(seen.take, minlength=len(takes)) == 0] = False
    enough: Bools = np.bincount(seen.corner, minlength=len(state.points)) >= MIN_SIGHTINGS
    if free_points and held:
        takes[[group[0] for group in joined_takes(state, seen)]] = False
        arms = np.abs([camera.cam_from_world[:, 3] for camera in state.cameras])
        longest, axis = np.unravel_index(int(np.argmax(arms)), arms.shape)
        cameras[longest, N_INTRINSICS + 3 + axis] = False
    if not free_points:
        enough[:] = False
    defocus = np.repeat(cameras[:, 2] & (state.defocus is not None), N_DEFOCUS)
    side = np.concatenate([cameras.ravel(), takes.ravel(), defocus])
    return Freedom(camera_side=side, points=enough)


@dataclass(frozen=True, kw_only=True)
class Explained:
    """What an adjusted state leaves of the observations."""

    loss: float
    """px²."""
    variance: float
    """Loss that a degree of freedom of the noise leaves, px²."""


def explained(state: RigState, seen: Observations, *, loss_px: float) -> Explained:
    """Return how well a state with free corners explains `seen`, for comparison with others."""
    loss = cost(state, sort_by_view(seen), loss_px=loss_px)
    free = freedom(state, seen, free_points=True)
    n_unknown = int(free.camera_side.sum()) + 3 * int(free.points.sum())
    return Explained(loss=loss, variance=loss / max(2 * len(seen) - n_unknown, 1))


def adjust(
    state: RigState,
    seen: Observations,
    *,
    free_points: bool,
    loss_px: float,
    tolerance: float = RELATIVE_DECREASE,
) -> RigState:
    """Minimise the reprojection error over all of the state, with a Cauchy loss.

    Parameters
    ----------
    free_points : bool
        False keeps the board as it is.
    loss_px : float
        Scale of the loss: residuals far beyond it hardly count.
    tolerance : float
        Relative decrease of the cost below which it stops.

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
    free = freedom(state, seen, free_points=free_points, held=False)
    if not free_points:
        return adjust_free(state, seen, free=free, loss_px=loss_px, tolerance=tolerance)
    seen = seen[free.points[seen.corner]]
    groups = joined_takes(state, seen)
    return adjust_free(state, seen, free=free, loss_px=loss_px, tolerance=tolerance, groups=groups)


def adjust_free(
    state: RigState,
    seen: Observations,
    *,
    free: Freedom,
    loss_px: float,
    tolerance: float = RELATIVE_DECREASE,
    groups: Sequence[Ints] = (),
) -> RigState:
    """Minimise the reprojection error over what is free.

    See `adjust`, which finds out what is free by itself.

    Parameters
    ----------
    groups : Sequence[Ints]
        Takes of which nothing else holds the frame, see `gauge`; where there are none, `seen`
        must determine all that is free.
    """
    rows = sort_by_view(seen)
    damping, growth = FIRST_DAMPING, 2.0
    now = cost(state, rows, loss_px=loss_px)
    n_steps = 0
    while n_steps < MAX_ITERATIONS:
        n_steps += 1
        system = normal_equations(state, rows, free=free, loss_px=loss_px)
        if groups:
            system = _held(system, open_motions(state, groups))
        while True:
            step = _solve(system, free, damping)
            if step is not None:
                trial = state.stepped(*step)
                after = cost(trial, rows, loss_px=loss_px)
                if after < now:
                    break
            damping, growth = damping * growth, growth * 2
            if damping > MAX_DAMPING:
                return _checked(state, now)
        decrease = (now - after) / now
        state, now = trial, after
        damping, growth = max(damping / 10, 1e-12), 2.0
        if decrease < tolerance:
            break
    log.debug("adjusted in %d steps, cost %.6g", n_steps, now)
    return _checked(state, now)


def _held(system: NormalEquations, motions: Floats) -> NormalEquations:
    """Return the system with steps along the open motions made costly.

    Parameters count by their own curvature, which brings px, radians and mm together.
    """
    size = np.sqrt(np.diag(system.H_cc))
    costly = size[:, None] * motions
    costly *= size[:, None] / np.linalg.norm(costly, axis=0)
    return replace(system, H_cc=system.H_cc + gram(costly))


def _solve(system: NormalEquations, free: Freedom, damping: float) -> tuple[Floats, Floats] | None:
    """Return the damped steps of camera side and corners, None where there is none."""
    rows = np.flatnonzero(free.camera_side)
    H = system.H_cc[np.ix_(rows, rows)]
    H[np.diag_indices(len(rows))] *= 1 + damping
    g = system.g_c[rows]
    points = np.zeros_like(system.g_p)
    used = np.flatnonzero(free.points)
    if len(used):
        H_pp = system.H_pp[used] * (1 + damping * np.eye(3))
        try:
            root = np.linalg.inv(np.linalg.cholesky(H_pp))  # root^T root = H_pp^-1
        except np.linalg.LinAlgError:
            return None
        columns = (3 * used[:, None] + np.arange(3)).ravel()
        rooted = times_blocks(system.H_cp[np.ix_(rows, columns)], root)
        pulled = np.einsum("pij,pj->pi", root, system.g_p[used])
        H -= gram(rooted)
        g = g - rooted @ pulled.ravel()
    solution = solve_positive(H, g)  # only a descent direction will do
    if solution is None:
        return None
    cameras = np.zeros(len(free.camera_side))
    cameras[rows] = -solution
    if len(used):
        rest = pulled - (solution @ rooted).reshape(-1, 3)
        points[used] = -np.einsum("pji,pj->pi", root, rest)
    if not (np.isfinite(cameras).all() and np.isfinite(points).all()):
        return None
    return cameras, points


def _checked(state: RigState, final: float) -> RigState:
    sound = all(np.isfinite(c.K).all() and c.K[0, 0] > 0 < c.K[1, 1] for c in state.cameras)
    if not sound or not np.isfinite(final):
        raise CalibrationError(
            "the joint adjustment of the rig diverges: check that the board is the one named in "
            "the session and that each camera sees it from several sides"
        )
    return state
