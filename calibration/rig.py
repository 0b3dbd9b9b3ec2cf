"""From board views to a rig: first guess, robust joint adjustment, rejection, size, frame."""

import logging
from collections import Counter
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
from .detect import LAYOUT_MARKERS, BoardView, usable
from .frame import upright
from .graph import PosedView, check_connected, initialise, pose_views
from .intrinsics import MIN_VIEWS, all_first_intrinsics, focal_guess
from .rigstate import Observations, RigState, residuals
from .uncertainty import Uncertainty, uncertainty

log = logging.getLogger(__name__)

MIN_TAKES_FREE = 5  # fewer poses do not tell the board's shape from the cameras' distortion
N_ROUNDS = 3  # of the loss' scale following the residuals
LOSS_MEDIANS = 2.0  # Cauchy's scale, in medians of the residuals
LOSS_FLOOR_PX = 0.02
VIEW_MEDIANS, VIEW_FLOOR_PX = 5.0, 0.3  # a view is rejected whose median residual is beyond
CORNER_MEDIANS, CORNER_FLOOR_PX = 10.0, 1.0  # likewise a corner
ABSURD_PX, ABSURD_SHARE = 3.0, 0.0015  # rms of a camera beyond both, the latter of its diagonal
N_WORST = 3  # views named of a camera that contradicts the others


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
    unregistered: Mapping[str, int]
    """Cameras left out, with their number of views: too few, and no lens data."""


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
        The views do not determine the rig, or contradict each other; the message names what
        is missing or wrong.
    """
    if len(cameras) < 2:
        raise CalibrationError("a rig has at least two cameras")
    points = object_points(spec)
    good = usable(views, min_corners=min_corners, spec=spec)
    _check_found(views, good, needed=max(min_corners, 4))
    unregistered = _undetermined(cameras, good)
    good = [view for view in good if view.camera not in unregistered]
    cameras = [camera for camera in cameras if camera.id not in unregistered]
    check_connected(good, [camera.id for camera in cameras])
    start = _first_cameras(cameras, good, points)
    posed = pose_views(good, start, points)
    straight = [entry for entry in posed if entry.incidence_deg <= max_incidence_deg]
    n_steep = len(posed) - len(straight)
    steep = _undetermined(cameras, [entry.view for entry in straight])
    unregistered |= steep
    straight = [entry for entry in straight if entry.view.camera not in steep]
    start = {name: camera for name, camera in start.items() if name not in steep}
    names = list(start)
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
    _check_not_guessed([camera for camera in cameras if camera.id in start], still)
    state = _adjusted(state, seen[kept], free_points=free, n_rounds=1)
    kept, _ = _reject(state, seen, names, takes)
    _check_plausible(state, seen, kept, takes)

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
        n_steep=n_steep,
        board=board,
        sigma=sigma,
        world_from_board=np.array([compose(world_from_rig, p) for p in state.rig_from_board]),
        unregistered=unregistered,
    )


def _check_found(views: Sequence[BoardView], good: Sequence[BoardView], *, needed: int) -> None:
    """Raise when hardly any photograph shows the board, saying why.

    Corners are better evidence than what the detector says of photographs without any: one
    that is found with a few is the right board, seen too small.
    """
    if good:
        return
    if not views:
        raise CalibrationError(
            "the session has no takes of kind `target`: ingest photographs of the board, or "
            "calibrate from the subject itself with `facekit calibrate --self`"
        )
    n_found = [len(view.ids) for view in views if len(view.ids)]
    problems = [view.problem for view in views if view.problem and view.n_markers]
    many = [v for v in views if not len(v.ids) and v.n_markers >= LAYOUT_MARKERS]
    if n_found and len(many) <= len(n_found):
        found = f"the board is found in {len(n_found)} of {len(views)} photographs, but "
        if max(n_found) >= needed:
            raise CalibrationError(f"{found}only a row of its corners: show more of the board")
        raise CalibrationError(
            f"{found}with at most {max(n_found)} corners, {needed} are needed: go closer, or "
            "photograph with more pixels"
        )
    problem = max(sorted(set(problems)), key=problems.count) if problems else "no board is seen"
    raise CalibrationError(f"no usable board in {len(views)} photographs: {problem}")


def _undetermined(cameras: Sequence[CameraInfo], views: Sequence[BoardView]) -> dict[str, int]:
    """Return the cameras, with their number of views, whose lens remains unknown.

    Few views and no lens data leave a camera's focal length to a guess. Cameras without any
    view are not among them: those have an error of their own.

    Raises
    ------
    CalibrationError
        Fewer than two others are left.
    """
    count = Counter(view.camera for view in views)
    few = {
        camera.id: count[camera.id]
        for camera in cameras
        if 0 < count[camera.id] < MIN_VIEWS and focal_guess(camera) is None
    }
    if few and len(cameras) - len(few) < 2:
        listed = ", ".join(f"{name} ({n} of {MIN_VIEWS} views)" for name, n in few.items())
        raise CalibrationError(
            f"too few usable views of the board, and no lens data, of {listed}: photograph the "
            f"board so that each camera sees it in {MIN_VIEWS} poses or more; fewer than two "
            "cameras are determined, and a rig has at least two"
        )
    return few


def _check_not_guessed(cameras: Sequence[CameraInfo], views: Sequence[BoardView]) -> None:
    """Raise for cameras without lens data that the rejection has left a single view."""
    count = Counter(view.camera for view in views)
    single = [c.id for c in cameras if count[c.id] == 1 and focal_guess(c) is None]
    if single:
        raise CalibrationError(
            f"{', '.join(single)}: all views of the board but one contradict the other cameras, "
            "and there are no lens data: look for photographs of another take, or leave the "
            "camera out of the session"
        )


def _check_plausible(
    state: RigState, seen: Observations, kept: Bools, takes: Sequence[str]
) -> None:
    """Raise when the adjusted rig misses a camera's corners by more than any lens or board."""
    squared = (residuals(state, seen) ** 2).sum(axis=1)
    absurd = []
    for index, camera in enumerate(state.cameras):
        own = kept & (seen.camera == index)
        limit = max(ABSURD_PX, ABSURD_SHARE * float(np.hypot(camera.width, camera.height)))
        if not own.any() or (rms := float(np.sqrt(squared[own].mean()))) <= limit:
            continue
        by_view = {}
        for take in np.unique(seen.take[own]):
            mean = float(squared[own & (seen.take == take)].mean())
            by_view[f"{takes[take]}/{camera.name}"] = float(np.sqrt(mean))
        worst = sorted(by_view, key=lambda name: -by_view[name])[:N_WORST]
        listed = ", ".join(f"{name} {by_view[name]:.1f} px" for name in worst)
        absurd.append((rms, f"{camera.name} ({rms:.1f} px rms; worst {listed})"))
    if absurd:
        absurd.sort(key=lambda entry: -entry[0])
        raise CalibrationError(
            "the photographs of the board contradict each other, most in "
            f"{', '.join(words for _, words in absurd)}: look for photographs of another take, "
            "a board that moved between cameras, or a wrong board file; correct these "
            "photographs or leave them out"
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
