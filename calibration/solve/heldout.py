"""Views that the rig has not seen: how well it predicts them.

The rig is adjusted again without every fifth take; in those, only the board's pose is then
found, cameras and board as they came out. What remains is an honest error: the adjustment could
not bend the rig to these photographs.
"""

from dataclasses import dataclass

import numpy as np

from ...core.arrays import Bools, Floats, Ints
from .adjust import adjust, adjust_free, freedom
from .intrinsics import MIN_VIEWS
from .normal import Freedom
from .rigstate import N_CAMERA, N_POSE, Observations, RigState, residuals

MIN_TAKES = 8  # fewer: each is needed
EVERY = 5  # a take of so many is held out
TOLERANCE = 1e-4  # of the cost: the start is the finished rig, a few takes change it little


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Residuals of views that had no say in the rig."""

    n_takes: int
    rms_px: float
    by_camera_px: Floats
    """(n_cameras,) RMS; NaN for cameras that no held-out take shows."""


def held_out(
    state: RigState, seen: Observations, *, free_points: bool, loss_px: float
) -> HeldOut | None:
    """Return the residuals of every fifth take; None where too little would be left.

    Parameters
    ----------
    state : RigState
        The finished one, as start.
    seen : Observations
        The corners that were kept.
    """
    for first in range(EVERY):
        apart = _apart(seen, first)
        if apart is not None and _is_enough(state, seen, ~apart):
            break
    else:
        return None
    rest = seen[~apart]
    used = freedom(state, rest, free_points=free_points).points
    rig = adjust(state, rest, free_points=free_points, loss_px=loss_px, tolerance=TOLERANCE)
    test = seen[apart]
    if free_points:  # corners that are not known without these takes predict nothing
        test = test[used[test.corner]]
    takes = np.unique(test.take)
    if not len(takes):
        return None
    rig = adjust_free(rig, test, free=_poses_of(rig, takes), loss_px=loss_px, tolerance=TOLERANCE)
    squared = (residuals(rig, test) ** 2).sum(axis=1)
    by_camera = np.full(len(state.cameras), np.nan)
    for index in np.unique(test.camera):
        by_camera[index] = np.sqrt(squared[test.camera == index].mean())
    return HeldOut(
        n_takes=len(takes), rms_px=float(np.sqrt(squared.mean())), by_camera_px=by_camera
    )


def _apart(seen: Observations, first: int) -> Bools | None:
    takes = np.unique(seen.take)
    if len(takes) < MIN_TAKES:
        return None
    return np.isin(seen.take, takes[first::EVERY])


def _is_enough(state: RigState, seen: Observations, rows: Bools) -> bool:
    """Whether the rest still determines each camera, and joins them."""
    rest = seen[rows]
    views = np.unique(np.stack([rest.camera, rest.take], axis=1), axis=0)
    before = np.unique(np.stack([seen.camera, seen.take], axis=1), axis=0)
    n_views = np.bincount(views[:, 0], minlength=len(state.cameras))
    had = np.bincount(before[:, 0], minlength=len(state.cameras))
    if (n_views < np.minimum(had, MIN_VIEWS)).any() or rest.corner.size == 0:
        return False
    joined = {int(views[0, 0])}
    while True:  # cameras that share a take with what is joined already
        takes = views[np.isin(views[:, 0], list(joined)), 1]
        more = set(views[np.isin(views[:, 1], takes), 0].tolist())
        if more <= joined:
            return len(joined) == int((had > 0).sum())
        joined |= more


def _poses_of(state: RigState, takes: Ints) -> Freedom:
    side: Bools = np.zeros(state.n_camera_side, dtype=bool)
    for take in takes:
        start = N_CAMERA * len(state.cameras) + N_POSE * int(take)
        side[start : start + N_POSE] = True
    return Freedom(camera_side=side, points=np.zeros(len(state.points), dtype=bool))
