"""OpenCV's multi-camera calibration on the benchmark's corners, treated as kindly as may be.

`calibrateMultiviewExtended` of OpenCV 5.0 wants metres (lengths in millimetres are refused as
collinear), goes astray with views of part of the board and with a second face at another
depth, and does not refine the intrinsics jointly: it is given full views of the front alone,
no steep ones, and intrinsics that `calibrateCamera` found for each camera from its lens data.
"""

import time
from collections.abc import Sequence

import cv2
import numpy as np

from ..calibration.solve.intrinsics import first_matrix
from ..calibration.target.detect import BoardView
from ..capture.session import BoardSpec, CameraInfo
from ..capture.targets import faces, object_points
from ..core.arrays import Bools, Floats
from ..core.errors import CalibrationError
from ..core.geometry.camera import Camera, Rig
from .peer import PeerResult

_MM_PER_M = 1000.0
_FLAGS = cv2.CALIB_USE_INTRINSIC_GUESS | cv2.CALIB_FIX_K3
_LARGEST_RMS_PX = 0.3  # of a view in its own camera's calibration; others are left out


def calibrate_multiview(
    cameras: Sequence[CameraInfo],
    views: Sequence[BoardView],
    spec: BoardSpec,
    *,
    steep: frozenset[str] = frozenset(),
) -> PeerResult:
    """Calibrate with OpenCV's `calibrateMultiviewExtended`.

    Parameters
    ----------
    steep : frozenset[str]
        Names of views that are not to be used: seen too much from the side.

    Raises
    ------
    CalibrationError
        It gives up, or a camera has no full view of the front.
    """
    start, start_cpu = time.perf_counter(), time.process_time()
    front = object_points(faces(spec)[0])
    full = [
        view
        for view in views
        if len(view.ids) == len(front) and view.ids[-1] < len(front) and view.name not in steep
    ]
    K, distortion, good = _intrinsics(cameras, full, front)
    ready = time.process_time()
    takes = sorted({view.take for view in good})
    names = [camera.id for camera in cameras]
    mask = np.zeros((len(names), len(takes)), np.uint8)
    nowhere = np.full((len(front), 2), -1, np.float32)
    images = [[nowhere for _ in takes] for _ in names]
    for view in good:
        row, column = names.index(view.camera), takes.index(view.take)
        mask[row, column] = 1
        images[row][column] = (view.xy - 0.5).astype(np.float32)  # OpenCV's pixel centres
    try:
        rms, Ks, distortions, Rs, Ts, *_ = cv2.calibrateMultiviewExtended(
            [(front / _MM_PER_M).astype(np.float32)] * len(takes), images,
            [(camera.width, camera.height) for camera in cameras], mask,
            np.full(len(names), cv2.CALIB_MODEL_PINHOLE, np.uint8), K, distortion,
            [np.eye(3) for _ in names], [np.zeros((3, 1)) for _ in names],
            flagsForIntrinsics=np.full(len(names), _FLAGS, np.int32),
            flags=cv2.CALIB_USE_INTRINSIC_GUESS,
        )  # fmt: skip
    except cv2.error as error:
        raise CalibrationError(f"OpenCV's calibrateMultiview gives up: {error.err}") from error
    rig = Rig(
        cameras=tuple(
            _camera(info, *(np.asarray(part[i], np.float64) for part in (Ks, distortions, Rs, Ts)))
            for i, info in enumerate(cameras)
        )
    )
    return PeerResult(
        rig=rig,
        rms_px=float(rms),
        seconds=time.perf_counter() - start,
        cpu_s=time.process_time() - start_cpu,
        adjust_cpu_s=time.process_time() - ready,
        n_views=len(good),
        n_corners=len(good) * len(front),
        given="metres, full views of the front, none steep, intrinsics of calibrateCamera",
    )


def _intrinsics(
    cameras: Sequence[CameraInfo], views: Sequence[BoardView], front: Floats
) -> tuple[list[Floats], list[Floats], list[BoardView]]:
    """Calibrate every camera by itself; return K, distortion and the views that fit."""
    Ks, distortions, good = [], [], []
    for camera in cameras:
        own = [view for view in views if view.camera == camera.id]
        if len(own) < 3:
            raise CalibrationError(
                f"{camera.id}: {len(own)} full views of the front, calibrateCamera needs three"
            )
        K = first_matrix(camera) - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
        distortion: Floats = np.zeros(5)
        fits: Bools = np.ones(len(own), bool)
        for _ in range(2):
            kept = [view for view, fit in zip(own, fits, strict=True) if fit]
            _, found_K, found_lens, _, _, _, _, errors = cv2.calibrateCameraExtended(
                [(front / _MM_PER_M).astype(np.float32)] * len(kept),
                [(view.xy - 0.5).astype(np.float32) for view in kept],
                (camera.width, camera.height), K, distortion, flags=_FLAGS,
            )  # fmt: skip
            K = np.asarray(found_K, np.float64)
            distortion = np.ravel(found_lens)[:5].astype(np.float64)
            own, fits = kept, np.ravel(errors) < _LARGEST_RMS_PX
            if fits.sum() < 3:
                break
        Ks.append(K)
        distortions.append(np.asarray(distortion, np.float64))
        good += kept
    return Ks, distortions, good


def _camera(info: CameraInfo, K: Floats, distortion: Floats, R: Floats, t: Floats) -> Camera:
    """Take a camera of OpenCV's to ours: the half pixel, metres to millimetres."""
    R = np.asarray(cv2.Rodrigues(R)[0]) if np.size(R) == 3 else R
    shifted = K + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    lens = np.zeros(5)
    lens[: min(5, np.size(distortion))] = np.ravel(distortion)[:5]
    return Camera(
        name=info.id,
        width=info.width,
        height=info.height,
        K=shifted,
        distortion=lens,
        cam_from_world=np.column_stack([R, _MM_PER_M * np.ravel(t)]),
    )
