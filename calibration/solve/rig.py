"""From board views to a rig: first guess, robust joint adjustment, rejection, size, frame."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...capture.session import BoardSpec, CameraInfo
from ...core.arrays import Bools, Floats
from ...core.errors import CalibrationError
from ...core.geometry.camera import Camera, Rig
from ...core.geometry.transform import compose
from ..frame import upright
from ..target.detect import BoardView, usable
from .adjust import RELATIVE_DECREASE, adjust, freedom
from .boardshape import BoardShape, check_lengths, size_gradient, sized
from .defocus import pupil_and_focus, with_defocus
from .exchange import Misplaced, foreign_cameras, misplaced_views
from .graph import PosedView, check_connected, pose_views
from .headpoints import HeadUncertainty, head_uncertainty
from .heldout import HeldOut, held_out
from .intrinsics import all_first_intrinsics
from .misfiled import explain
from .mounting import Board, board_of, first_state, one_face, settled
from .noise import loss_scale, view_noise
from .rejection import RejectedView, Rejection, reject
from .rigstate import Observations, RigState, residuals
from .sufficiency import (
    absurd_cameras,
    check_found,
    check_not_guessed,
    contradiction,
    undetermined,
)
from .uncertainty import Uncertainty, covariance, uncertainty

log = logging.getLogger(__name__)

MIN_TAKES_FREE = 5  # fewer poses do not tell the board's shape from the cameras' distortion
N_ROUNDS = 8  # of the loss' scale following the residuals, at most
LOSS_SETTLED = 0.03  # relative change of the scale below which it is final
ROUGH = 1e-2  # relative decrease of the cost that ends a round before the last
MOSTLY = 0.5  # of a camera's views rejected: its photographs are looked at as a whole


@dataclass(frozen=True, kw_only=True)
class RigEstimate:
    """A calibrated rig and what supports it."""

    rig: Rig
    takes: tuple[str, ...]
    seen: Observations
    """All corners that went into the adjustment, rejected ones too."""
    kept: Bools
    """(N,) which of them determined the result."""
    residuals: Floats
    """(N, 2) projected minus seen, px."""
    rejected: tuple[RejectedView, ...]
    misplaced: tuple[Misplaced, ...]
    """Rejected views that fit another take or camera."""
    n_steep: int
    """Views left out because they see the board too much from the side."""
    board: BoardShape
    sigma: Uncertainty
    head: HeadUncertainty
    held_out: HeldOut | None
    """None: too few takes to keep some apart."""
    world_from_board: Floats
    """(n_takes, 3, 4), mm."""
    pupil_and_focus_mm: Floats
    """(n_cameras, 2) diameter of the entrance pupil and depth in focus, where what is out of
    focus was seen to be displaced; else NaN."""
    unregistered: Mapping[str, int]
    """Cameras left out, with their number of views: too few, and no lens data."""


@dataclass(frozen=True, kw_only=True)
class _Input:
    """What goes into the adjustment."""

    cameras: tuple[CameraInfo, ...]
    start: Mapping[str, Camera]
    """Camera -> first intrinsics."""
    posed: tuple[PosedView, ...]
    n_steep: int
    unregistered: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class _Solution:
    """The adjusted rig, up to its size where the board's corners were free."""

    state: RigState
    seen: Observations
    rejection: Rejection
    kept: Bools
    takes: tuple[str, ...]
    free: bool
    loss_px: float


def estimate_rig(
    cameras: Sequence[CameraInfo],
    views: Sequence[BoardView],
    spec: BoardSpec,
    *,
    min_corners: int = 6,
    max_incidence_deg: float = 70.0,
    free_board: bool = True,
    orientation: Mapping[str, int] | None = None,
) -> RigEstimate:
    """Calibrate a rig from views of one board.

    Parameters
    ----------
    spec : BoardSpec
        Two-sided boards may be mounted in any way; measured lengths win over the nominal size.
    min_corners : int
        Views with fewer are left out.
    max_incidence_deg : float
        Views steeper than this are left out: their corners are not reliable.
    free_board : bool
        Let the board's shape follow the photographs, where they are enough.
    orientation : Mapping[str, int], optional
        EXIF orientation of each camera, to know what is up.

    Raises
    ------
    CalibrationError
        The views do not determine the rig, or contradict each other; the message names what
        is missing or wrong.
    """
    if len(cameras) < 2:
        raise CalibrationError("a rig has at least two cameras")
    board = board_of(spec)
    given = _input(
        cameras,
        one_face(views, board),
        board,
        spec,
        min_corners=min_corners,
        max_incidence_deg=max_incidence_deg,
    )
    found = _solved(given, board, free_board=free_board, spec=spec)
    return _estimate(given, found, board, spec, orientation=orientation)


def _estimate(
    given: _Input,
    found: _Solution,
    board: Board,
    spec: BoardSpec,
    *,
    orientation: Mapping[str, int] | None,
) -> RigEstimate:
    """Give the adjusted rig its size and frame, and find out how good it is."""
    kept_seen = found.seen[found.kept]
    state, shape = sized(
        found.state, kept_seen, nominal=board, lengths=spec.lengths, free=found.free
    )
    misplaced = misplaced_views(
        state,
        [entry.view for entry in given.posed],
        found.rejection.views,
        takes=found.takes,
        limits_px=found.rejection.limits_px,
    )
    _check_own_photographs(given, found, misplaced, board)
    gradient = _size_gradient(state, kept_seen, board, spec, free=found.free)
    of = covariance(state, kept_seen, free_points=found.free, size_gradient=gradient)
    world = upright(state.cameras, orientation=orientation)
    world_from_rig = np.column_stack([world.R, world.t])
    return RigEstimate(
        rig=Rig(cameras=state.cameras).moved(world),
        takes=found.takes,
        seen=found.seen,
        kept=found.kept,
        residuals=residuals(state, found.seen),
        rejected=found.rejection.views,
        misplaced=misplaced,
        n_steep=given.n_steep,
        board=shape,
        sigma=uncertainty(state, of),
        head=head_uncertainty(state, of),
        held_out=held_out(state, kept_seen, free_points=found.free, loss_px=found.loss_px),
        world_from_board=np.array([compose(world_from_rig, p) for p in state.rig_from_board]),
        pupil_and_focus_mm=pupil_and_focus(state),
        unregistered=given.unregistered,
    )


def _input(
    cameras: Sequence[CameraInfo],
    views: Sequence[BoardView],
    board: Board,
    spec: BoardSpec,
    *,
    min_corners: int,
    max_incidence_deg: float,
) -> _Input:
    """Choose views and cameras, and find first intrinsics and poses of each by itself."""
    good = usable(views, min_corners=min_corners, spec=spec)
    check_found(views, good, needed=max(min_corners, 4))
    unregistered = undetermined(cameras, good)
    good = [view for view in good if view.camera not in unregistered]
    cameras = [camera for camera in cameras if camera.id not in unregistered]
    check_connected(good, [camera.id for camera in cameras])
    start = _first_cameras(cameras, good, board.on_face)
    posed = pose_views(good, start, board.on_face, n_face=board.n_face)
    straight = [entry for entry in posed if entry.incidence_deg <= max_incidence_deg]
    steep = undetermined(cameras, [entry.view for entry in straight])
    return _Input(
        cameras=tuple(camera for camera in cameras if camera.id not in steep),
        start={name: camera for name, camera in start.items() if name not in steep},
        posed=tuple(entry for entry in straight if entry.view.camera not in steep),
        n_steep=len(posed) - len(straight),
        unregistered=unregistered | steep,
    )


def _first_cameras(
    cameras: Sequence[CameraInfo], views: Sequence[BoardView], points: Floats
) -> dict[str, Camera]:
    start = {}
    intrinsics = all_first_intrinsics(cameras, views, points)
    for camera in cameras:
        K, distortion = intrinsics[camera.id]
        start[camera.id] = Camera(
            name=camera.id,
            width=camera.width,
            height=camera.height,
            K=K,
            distortion=distortion,
            cam_from_world=np.eye(3, 4),
        )
    return start


def _solved(given: _Input, board: Board, *, free_board: bool, spec: BoardSpec) -> _Solution:
    """Adjust, reject what contradicts the rest, and adjust again."""
    state, seen, takes, mounted = first_state(given.posed, given.start, board)
    check_lengths(spec.lengths, seen, len(board.corners))
    names = list(given.start)
    free = free_board and len(takes) >= MIN_TAKES_FREE
    if not free:
        state, loss_px = _round(state, seen, free_points=False, tolerance=ROUGH)
        state, _ = settled(state, seen, mounted, loss_px=loss_px)
    state, loss_px = _adjusted(state, seen, free_points=free)
    rejection = reject(state, seen, names, takes)
    gone = {(view.take, view.camera) for view in rejection.views}
    still = [e.view for e in given.posed if (e.view.take, e.view.camera) not in gone]
    check_connected(still, names)
    check_not_guessed(given.cameras, still)
    if free:
        seen = replace(seen, noise=view_noise(state, seen, rejection.kept))
    used = seen[rejection.kept]
    state, loss_px = _round(state, used, free_points=free, tolerance=RELATIVE_DECREASE)
    if free and not absurd_cameras(state, seen, rejection.kept, takes):
        state = with_defocus(state, used, loss_px=loss_px)
    kept = reject(state, seen, names, takes).kept
    absurd = absurd_cameras(state, seen, kept, takes)
    if absurd:
        worst = Counter(view.camera for view in rejection.views).most_common()
        suspects = [*absurd, *(name for name, _ in worst if name not in absurd)]
        raise contradiction(absurd, advice=explain(suspects, given.posed, given.start, board))
    return _Solution(
        state=state, seen=seen, rejection=rejection, kept=kept, takes=tuple(takes), free=free,
        loss_px=loss_px,
    )  # fmt: skip


def _adjusted(state: RigState, seen: Observations, *, free_points: bool) -> tuple[RigState, float]:
    """Adjust until the loss' scale, which follows the residuals, stays; return it too."""
    before = 0.0
    for n in range(N_ROUNDS):
        loss_px = loss_scale(state, seen)
        if n == N_ROUNDS - 1 or abs(loss_px - before) <= LOSS_SETTLED * loss_px:
            break
        before = loss_px
        state = adjust(state, seen, free_points=free_points, loss_px=loss_px, tolerance=ROUGH)
    return adjust(state, seen, free_points=free_points, loss_px=loss_px), loss_px


def _round(
    state: RigState, seen: Observations, *, free_points: bool, tolerance: float
) -> tuple[RigState, float]:
    loss_px = loss_scale(state, seen)
    state = adjust(state, seen, free_points=free_points, loss_px=loss_px, tolerance=tolerance)
    return state, loss_px


def _size_gradient(
    state: RigState, seen: Observations, board: Board, spec: BoardSpec, *, free: bool
) -> Floats | None:
    if not free:
        return None
    sighted = freedom(state, seen, free_points=True).points
    return size_gradient(state, sighted, nominal=board, lengths=spec.lengths)


def _check_own_photographs(
    given: _Input, found: _Solution, misplaced: Sequence[Misplaced], board: Board
) -> None:
    """Raise when most photographs of a camera are rejected and belong elsewhere."""
    n_views = Counter(entry.view.camera for entry in given.posed)
    foreign = foreign_cameras(misplaced, n_views)
    if foreign:
        listed = ", ".join(f"those of {a} are {b}'s" for a, b in foreign.items())
        raise CalibrationError(
            f"most photographs of {', '.join(foreign)} belong to other cameras: {listed}; "
            "exchange the files, or correct the names of the folders"
        )
    n_rejected = Counter(view.camera for view in found.rejection.views)
    mostly = [name for name, n in n_rejected.items() if n > MOSTLY * n_views[name]]
    words = explain(mostly, given.posed, given.start, board) if mostly else ""
    if words:
        raise CalibrationError(f"most photographs of {', '.join(mostly)} are rejected: {words}")
