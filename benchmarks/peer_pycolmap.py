"""COLMAP's rig bundle adjustment on the benchmark's corners.

From the same first poses as our own solver: the cameras are one rig, each take a frame of it,
all corners of the board free points seen by Cauchy's loss; two cameras fix the gauge, the
measured board the size. Views and corners are rejected by the rule of our own solver.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pycolmap

from ..calibration.solve.graph import pose_views
from ..calibration.solve.intrinsics import all_first_intrinsics
from ..calibration.solve.mounting import board_of, first_state, one_face
from ..calibration.solve.rigstate import Observations, RigState, residuals, rows_by_view
from ..calibration.target.detect import BoardView, usable
from ..capture.session import BoardSpec, CameraInfo
from ..core.arrays import Bools, Floats
from ..core.geometry.camera import Camera, Rig
from ..core.geometry.transform import align_similarity, compose, invert
from .peer import PeerResult

N_ROUNDS = 2  # of the loss' scale following the residuals, before anything is rejected
LOSS_MEDIANS, LOSS_FLOOR_PX = 2.0, 0.02
VIEW_MEDIANS, VIEW_FLOOR_PX = 5.0, 0.3
CORNER_MEDIANS, CORNER_FLOOR_PX = 10.0, 1.0
FUNCTION_TOLERANCE = 1e-7  # COLMAP runs to 0: threefold time, the same rig to 1e-4 mm


MAX_INCIDENCE_DEG = 70.0


@dataclass(frozen=True, kw_only=True)
class RigAdjustment:
    """What bundle adjustment made of a first state."""

    rig: Rig
    rms_px: float
    """Of the corners kept, per corner."""
    rejected: tuple[tuple[int, int], ...]
    """(take, camera) rows of the views that contradict the others."""
    n_views: int
    n_corners: int
    """Kept."""


def calibrate_rig(
    cameras: Sequence[CameraInfo], views: Sequence[BoardView], spec: BoardSpec
) -> PeerResult:
    """Calibrate with pycolmap, from the first intrinsics and poses of our own solver.

    Raises
    ------
    CalibrationError
        The views do not join all cameras.
    """
    start, start_cpu = time.perf_counter(), time.process_time()
    board = board_of(spec)
    good = usable(one_face(views, board), min_corners=6, spec=spec)
    intrinsics = all_first_intrinsics(cameras, good, board.on_face)
    first = {
        info.id: Camera(
            name=info.id,
            width=info.width,
            height=info.height,
            K=intrinsics[info.id][0],
            distortion=intrinsics[info.id][1],
            cam_from_world=np.eye(3, 4),
        )
        for info in cameras
    }
    posed = pose_views(good, first, board.on_face, n_face=board.n_face)
    posed = [entry for entry in posed if entry.incidence_deg <= MAX_INCIDENCE_DEG]
    state, seen, takes, _ = first_state(posed, first, board)
    nominal = board.corners.copy()
    nominal[board.n_face :] = np.nan  # where the back is mounted nobody knows
    ready = time.process_time()
    found = adjust_by_pycolmap(state, seen, nominal)
    return PeerResult(
        rig=found.rig,
        rms_px=found.rms_px,
        seconds=time.perf_counter() - start,
        cpu_s=time.process_time() - start_cpu,
        adjust_cpu_s=time.process_time() - ready,
        n_views=found.n_views,
        n_corners=found.n_corners,
        given="our first intrinsics and poses, both faces, corners free, Cauchy's loss",
        rejected=tuple(f"{takes[take]}/{cameras[row].id}" for take, row in found.rejected),
    )


def adjust_by_pycolmap(state: RigState, seen: Observations, nominal: Floats) -> RigAdjustment:
    """Adjust a first state by pycolmap.

    Parameters
    ----------
    state : RigState
        First guess.
    nominal : (n_corners, 3) float64, mm
        What the front of the board is to measure; NaN for corners without a say.
    """
    state = _from_first_camera(state)
    kept: Bools = np.ones(len(seen), bool)
    rejected: tuple[tuple[int, int], ...] = ()
    for n in range(N_ROUNDS + 1):
        if n == N_ROUNDS:
            kept, rejected = _reject(state, seen)
        error = np.linalg.norm(residuals(state, seen[kept]), axis=1)
        loss_px = max(LOSS_MEDIANS * float(np.median(error)), LOSS_FLOOR_PX)
        state = _adjusted(state, seen[kept], loss_px=loss_px)
    kept, _ = _reject(state, seen)
    sighted = np.bincount(seen.corner[kept], minlength=len(nominal)) >= 2
    fit = align_similarity(state.points[sighted], nominal[sighted])
    state = state.scaled(fit.scale)
    error = np.linalg.norm(residuals(state, seen[kept]), axis=1)
    return RigAdjustment(
        rig=Rig(cameras=state.cameras),
        rms_px=float(np.sqrt((error**2).mean())),
        rejected=rejected,
        n_views=len(rows_by_view(seen[kept])),
        n_corners=int(kept.sum()),
    )


def _from_first_camera(state: RigState) -> RigState:
    """Return the state in the frame of the first camera, COLMAP's reference sensor."""
    first = state.cameras[0].cam_from_world
    return replace(
        state,
        cameras=tuple(
            replace(c, cam_from_world=compose(c.cam_from_world, invert(first)))
            for c in state.cameras
        ),
        rig_from_board=compose(first, state.rig_from_board),
    )


def _adjusted(state: RigState, seen: Observations, *, loss_px: float) -> RigState:
    model, config, corner_of = _model(state, seen)
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_focal_length = options.refine_principal_point = True
    options.refine_extra_params = True
    options.refine_rig_from_world = options.refine_sensor_from_rig = True
    options.refine_points3D = True
    options.print_summary = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = loss_px
    options.ceres.solver_options.function_tolerance = FUNCTION_TOLERANCE
    pycolmap.create_default_ceres_bundle_adjuster(options, config, model).solve()
    return _read(state, model, corner_of)


def _model(state: RigState, seen: Observations) -> tuple[Any, Any, dict[int, int]]:
    """Return a reconstruction that holds the state, what to adjust, and point id -> corner."""
    model, config = pycolmap.Reconstruction(), pycolmap.BundleAdjustmentConfig()
    rig = pycolmap.Rig(rig_id=1)
    for index, camera in enumerate(state.cameras):
        K, lens = camera.K, camera.distortion
        params = [K[0, 0], K[1, 1], K[0, 2], K[1, 2], *lens[:4]]
        sensor = pycolmap.Camera(
            camera_id=index + 1, model="OPENCV", width=camera.width, height=camera.height,
            params=params,
        )  # fmt: skip
        model.add_camera(sensor)
        if index == 0:
            rig.add_ref_sensor(sensor.sensor_id)
        else:
            rig.add_sensor(sensor.sensor_id, _rigid(camera.cam_from_world))
    model.add_rig(rig)
    images: list[Any] = []
    frames: dict[int, Any] = {}
    tracks: dict[int, Any] = {int(c): pycolmap.Track() for c in np.unique(seen.corner)}
    for number, rows in enumerate(rows_by_view(seen), start=1):
        index, take = int(seen.camera[rows[0]]), int(seen.take[rows[0]])
        image = pycolmap.Image(
            image_id=number, name=f"{take}/{index}", camera_id=index + 1, keypoints=seen.xy[rows]
        )
        image.frame_id = take + 1
        frame = frames.setdefault(take, pycolmap.Frame(frame_id=take + 1, rig_id=1))
        frame.add_data_id(image.data_id)
        images.append(image)
        for place, corner in enumerate(seen.corner[rows]):
            tracks[int(corner)].add_element(number, place)
    for take, frame in frames.items():
        frame.rig_from_world = _rigid(state.rig_from_board[take])
        frame.finalize_data_ids()
        model.add_frame(frame)
    for image in images:
        model.add_image(image)
        config.add_image(image.image_id)
    for take in frames:
        model.register_frame(take + 1)
    corner_of = {
        int(model.add_point3D(state.points[corner], tracks[corner])): corner
        for corner in sorted(tracks)
        if tracks[corner].length() >= 2
    }
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    return model, config, corner_of


def _read(state: RigState, model: Any, corner_of: dict[int, int]) -> RigState:
    """Return the state that a reconstruction holds."""
    rig = model.rigs[1]
    cameras = []
    for index, camera in enumerate(state.cameras):
        sensor = model.cameras[index + 1]
        fx, fy, cx, cy, *lens = sensor.params
        pose = np.eye(3, 4) if index == 0 else rig.sensor_from_rig(sensor.sensor_id).matrix()
        cameras.append(
            replace(
                camera,
                K=np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]),
                distortion=np.array([*lens, 0.0]),
                cam_from_world=np.asarray(pose, np.float64),
            )
        )
    boards = state.rig_from_board.copy()
    for frame_id, frame in model.frames.items():
        boards[frame_id - 1] = frame.rig_from_world.matrix()
    points = state.points.copy()
    for point_id, point in model.points3D.items():
        points[corner_of[point_id]] = point.xyz
    return RigState(cameras=tuple(cameras), rig_from_board=boards, points=points)


def _rigid(a_from_b: Floats) -> Any:
    return pycolmap.Rigid3d(np.ascontiguousarray(a_from_b))


def _reject(state: RigState, seen: Observations) -> tuple[Bools, tuple[tuple[int, int], ...]]:
    """Return which corners to keep, and the (take, camera) of views that contradict the rest."""
    error = np.linalg.norm(residuals(state, seen), axis=1)
    views = rows_by_view(seen)
    medians = np.array([np.median(error[rows]) for rows in views])
    usual = float(np.median(medians))
    kept = error <= max(CORNER_MEDIANS * usual, CORNER_FLOOR_PX)
    bad = []
    for rows, median in zip(views, medians, strict=True):
        if median > max(VIEW_MEDIANS * usual, VIEW_FLOOR_PX):
            kept[rows] = False
            bad.append((int(seen.take[rows[0]]), int(seen.camera[rows[0]])))
    return kept, tuple(bad)
