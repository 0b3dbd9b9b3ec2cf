"""From board views to a rig: first guess, robust joint adjustment, rejection, size, frame."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..capture.session import BoardSpec, CameraInfo
from ..capture.targets import object_points
from ..core.arrays import Bools, Floats
from ..core.errors import CalibrationError
from ..core.geometry.camera import Camera, Rig
from ..core.geometry.transform import Similarity, align_similarity, compose
from .adjust import MIN_SIGHTINGS, adjust
from .detect import BoardView, usable
from .frame import upright
from .graph import PosedView, check_connected, initialise, pose_views
from .intrinsics import first_intrinsics
from .rigstate import Observations, RigState, residuals
from .uncertainty import Uncertainty, uncertainty

log = logging.getLogger(__name__)

MIN_TAKES_FREE = 5  # fewer poses do not tell the board's shape from the cameras' distortion
N_ROUNDS = 3  # of the loss' scale following the residuals
LOSS_MEDIANS = 2.0  # Cauchy's scale, in medians of the residuals
LOSS_FLOOR_PX = 0.02
VIEW_MEDIANS, VIEW_FLOOR_PX = 5.0, 0.3  # a view is rejected whose median residual is beyond
CORNER_MEDIANS, CORNER_FLOOR_PX = 10.0, 1.0  # likewise a corner


@dataclass(frozen=True, kw_only=True)
class RejectedView:
    """A photograph that contradicts the others."""

    take: str
    camera: str
    median_px: float
    n_corners: int


@dataclass(frozen=True, kw_only=True)
class BoardShape:
    """The board as the photographs show it, against the flat one of equal squares."""

    corners: Floats
    """(n_corners, 3) mm, in the board's frame; the nominal place where nothing was seen."""
    free: bool
    """False: too few poses, the board was taken as flat and exact."""
    rms_mm: float
    """Of the differences."""
    warp_mm: float
    """Largest minus smallest height."""


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
    n_steep: int
    """Views left out because they see the board too much from the side."""
    board: BoardShape
    sigma: Uncertainty
    world_from_board: Floats
    """(n_takes, 3, 4), mm."""


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
        The views do not determine the rig; the message names what is missing.
    """
    names = [camera.id for camera in cameras]
    if len(names) < 2:
        raise CalibrationError("a rig has at least two cameras")
    points = object_points(spec)
    good = usable(views, min_corners=min_corners, spec=spec)
    _check_found(views, good)
    check_connected(good, names)
    start = _first_cameras(cameras, good, points)
    posed = pose_views(good, start, points)
    straight = [entry for entry in posed if entry.incidence_deg <= max_incidence_deg]
    state, seen, takes = _first_state(straight, start, points)

    free = free_board and len(takes) >= MIN_TAKES_FREE
    state = _adjusted(state, seen, free_points=False, n_rounds=1)
    state = _adjusted(state, seen, free_points=free, n_rounds=N_ROUNDS)
    kept, rejected = _reject(state, seen, names, takes)
    still = [
        entry.view
        for entry in straight
        if (entry.view.take, entry.view.camera) not in {(r.take, r.camera) for r in rejected}
    ]
    check_connected(still, names)
    state = _adjusted(state, seen[kept], free_points=free, n_rounds=1)
    kept, _ = _reject(state, seen, names, takes)

    state, board = _sized(state, seen[kept], points, free=free)
    sigma = uncertainty(state, seen[kept], free_points=free)
    world = upright(state.cameras, orientation=orientation)
    rig = Rig(cameras=state.cameras).moved(world)
    world_from_rig = np.column_stack([world.R, world.t])
    return RigEstimate(
        rig=rig,
        takes=tuple(takes),
        seen=seen,
        kept=kept,
        residuals=residuals(state, seen),
        rejected=rejected,
        n_steep=len(posed) - len(straight),
        board=board,
        sigma=sigma,
        world_from_board=np.array([compose(world_from_rig, p) for p in state.rig_from_board]),
    )


def _check_found(views: Sequence[BoardView], good: Sequence[BoardView]) -> None:
    """Raise when hardly any photograph shows the board, repeating what the detector says."""
    if good:
        return
    if not views:
        raise CalibrationError(
            "the session has no takes of kind `target`: ingest photographs of the board, or "
            "calibrate from the subject itself with `facekit calibrate --self`"
        )
    problems = [view.problem for view in views if view.problem and view.n_markers]
    problem = max(sorted(set(problems)), key=problems.count) if problems else "no board is seen"
    raise CalibrationError(f"no usable board in {len(views)} photographs: {problem}")


def _first_cameras(
    cameras: Sequence[CameraInfo], views: Sequence[BoardView], points: Floats
) -> dict[str, Camera]:
    start = {}
    for camera in cameras:
        own = [view for view in views if view.camera == camera.id]
        K, distortion = first_intrinsics(camera, own, points)
        start[camera.id] = Camera(
            name=camera.id,
            width=camera.width,
            height=camera.height,
            K=K,
            distortion=distortion,
            cam_from_world=np.eye(3, 4),
        )
    return start


def _first_state(
    posed: Sequence[PosedView], start: Mapping[str, Camera], points: Floats
) -> tuple[RigState, Observations, list[str]]:
    names = list(start)
    poses = initialise(posed, names)
    takes = sorted(poses.rig_from_board)
    views = [entry.view for entry in posed]
    sizes = [len(view.ids) for view in views]
    seen = Observations(
        camera=np.repeat([names.index(v.camera) for v in views], sizes).astype(np.int32),
        take=np.repeat([takes.index(v.take) for v in views], sizes).astype(np.int32),
        corner=np.concatenate([view.ids for view in views]),
        xy=np.concatenate([view.xy for view in views]),
    )
    state = RigState(
        cameras=tuple(replace(start[n], cam_from_world=poses.cam_from_rig[n]) for n in names),
        rig_from_board=np.array([poses.rig_from_board[take] for take in takes]),
        points=points,
    )
    return state, seen, takes


def _adjusted(state: RigState, seen: Observations, *, free_points: bool, n_rounds: int) -> RigState:
    for _ in range(n_rounds):
        median = float(np.median(np.linalg.norm(residuals(state, seen), axis=1)))
        loss_px = max(LOSS_MEDIANS * median, LOSS_FLOOR_PX)
        state = adjust(state, seen, free_points=free_points, loss_px=loss_px)
    return state


def _reject(
    state: RigState, seen: Observations, names: Sequence[str], takes: Sequence[str]
) -> tuple[Bools, tuple[RejectedView, ...]]:
    """Return which corners to keep, and the views that contradict the others.

    A view's median is held against the usual one of all views and of its own camera, so that
    neither a single wrong corner nor a less sharp camera condemns it.
    """
    error = np.linalg.norm(residuals(state, seen), axis=1)
    views, which = np.unique(np.stack([seen.take, seen.camera], 1), axis=0, return_inverse=True)
    which = which.ravel()
    medians = np.array([np.median(error[which == index]) for index in range(len(views))])
    usual = {
        camera: max(float(np.median(medians)), float(np.median(medians[views[:, 1] == camera])))
        for camera in np.unique(views[:, 1])
    }
    limits = np.array([max(VIEW_MEDIANS * usual[c], VIEW_FLOOR_PX) for c in views[:, 1]])
    bad = medians > limits
    rejected = tuple(
        RejectedView(
            take=takes[views[index, 0]],
            camera=names[views[index, 1]],
            median_px=float(medians[index]),
            n_corners=int((which == index).sum()),
        )
        for index in np.flatnonzero(bad)
    )
    good = ~bad[which]
    by_camera = np.array([usual.get(camera, 0.0) for camera in range(len(names))])[seen.camera]
    kept = good & (error <= np.maximum(CORNER_MEDIANS * by_camera, CORNER_FLOOR_PX))
    return kept, rejected


def _sized(
    state: RigState, seen: Observations, points: Floats, *, free: bool
) -> tuple[RigState, BoardShape]:
    """Give the rig the board's size; return the board's shape too."""
    if not free:
        shape = BoardShape(corners=points, free=False, rms_mm=0.0, warp_mm=0.0)
        return state, shape
    sighted = np.bincount(seen.corner, minlength=len(points)) >= MIN_SIGHTINGS
    fit: Similarity = align_similarity(state.points[sighted], points[sighted])
    sized = state.scaled(fit.scale)
    corners = points.copy()
    corners[sighted] = fit(state.points[sighted])
    difference = corners[sighted] - points[sighted]
    return sized, BoardShape(
        corners=corners,
        free=True,
        rms_mm=float(np.sqrt((difference**2).sum(axis=1).mean())),
        warp_mm=float(np.ptp(difference[:, 2])),
    )
