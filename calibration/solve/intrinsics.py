"""Each camera by itself: first K and distortion, from its lens data and its board views."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from ...capture.session import CameraInfo, Session, Take
from ...core.arrays import Floats
from ...core.errors import InputError
from ..target.detect import BoardView, one_opencv_thread

log = logging.getLogger(__name__)

UNKNOWN_FOCAL = 1.2  # x the longer side: between a wide and a portrait lens, as COLMAP assumes
DIAGONAL_35MM = 43.2666  # mm, of 36 x 24
MIN_VIEWS = 3  # fewer do not determine focal length and distortion of a camera by themselves
HELD_AT_FIRST = (
    cv2.CALIB_FIX_PRINCIPAL_POINT
    | cv2.CALIB_ZERO_TANGENT_DIST
    | cv2.CALIB_FIX_ASPECT_RATIO
    | cv2.CALIB_FIX_K3
)
"""What a camera by itself does not tell well: on a board that is a little bent, it puts its
principal point hundreds of pixels off, from where the joint adjustment is slow to return."""
MAX_VIEWS = 12  # more do not better a first guess, and cost time
MAX_CORNERS = 64  # of a view, likewise


def as_photographed(session: Session, takes: Sequence[Take]) -> tuple[CameraInfo, ...]:
    """Return the session's cameras with the image size that they have in `takes`.

    Targets may be photographed larger than the subject; a rig holds for the size in which
    it was calibrated, and `Camera.scaled` takes it to others.

    Raises
    ------
    InputError
        A camera's photographs differ in size.
    """
    cameras = []
    for camera in session.cameras:
        shots = [shot for take in takes for shot in take.shots if shot.camera == camera.id]
        sizes = Counter((shot.width, shot.height) for shot in shots)
        if len(sizes) > 1:
            usual, rare = (sizes.most_common()[place][0] for place in (0, -1))
            odd = next(shot for shot in shots if (shot.width, shot.height) == rare)
            raise InputError(
                f"{session.path(odd)}: {rare[0]}x{rare[1]} px, but other photographs of "
                f"{camera.id} have {usual[0]}x{usual[1]}; leave it out, or take it again"
            )
        width, height = next(iter(sizes), (camera.width, camera.height))
        cameras.append(replace(camera, width=width, height=height))
    return tuple(cameras)


def focal_guess(camera: CameraInfo) -> float | None:
    """Return the focal length of the camera's lens in px, None where its files do not tell."""
    if camera.focal_35mm:
        return float(camera.focal_35mm / DIAGONAL_35MM * np.hypot(camera.width, camera.height))
    return None


def first_matrix(camera: CameraInfo, *, usual_focal: float = UNKNOWN_FOCAL) -> Floats:
    """Return K (3, 3) from the lens data, the principal point in the middle.

    `usual_focal`, in units of the longer side, is taken where there are no lens data.
    """
    focal = focal_guess(camera) or usual_focal * max(camera.width, camera.height)
    return np.array([[focal, 0, camera.width / 2], [0, focal, camera.height / 2], [0, 0, 1.0]])


def all_first_intrinsics(
    cameras: Sequence[CameraInfo], views: Sequence[BoardView], points: Floats
) -> dict[str, tuple[Floats, Floats]]:
    """Calibrate each camera from its own board views, see `first_intrinsics`.

    A camera that has neither lens data nor a calibration of its own starts with the median
    focal length of the calibrated ones, in units of the image's longer side: the cameras of
    one rig mostly have like lenses.
    """
    found = {
        camera.id: first_intrinsics(camera, [v for v in views if v.camera == camera.id], points)
        for camera in cameras
    }
    focals = [
        found[camera.id][0][0, 0] / max(camera.width, camera.height)
        for camera in cameras
        if found[camera.id][1].any()  # distortion is zero only where nothing was calibrated
    ]
    if focals:
        usual = float(np.median(focals))
        for camera in cameras:
            if not found[camera.id][1].any():
                found[camera.id] = (first_matrix(camera, usual_focal=usual), np.zeros(5))
    return found


def first_intrinsics(
    camera: CameraInfo, views: Sequence[BoardView], points: Floats
) -> tuple[Floats, Floats]:
    """Calibrate one camera from its own board views, as the start of the joint adjustment.

    Parameters
    ----------
    points : (n_corners, 3) float64, mm
        The board's corners, each in the frame of its face (z = 0).

    Returns
    -------
    K : (3, 3) float64, px
    distortion : (5,) float64
        k3 stays zero: boards do not determine it on portrait lenses.

    Notes
    -----
    Cameras with fewer than three views keep the guess of their lens data. Views with gross
    errors are left out of a second round.
    """
    K = first_matrix(camera)
    if len(views) < MIN_VIEWS:
        return K, np.zeros(5)
    richest = _richest(views)
    found = _calibrate(camera, richest, points, K)
    if found is None:
        return K, np.zeros(5)
    K_found, distortion, errors = found
    good = errors <= max(5 * float(np.median(errors)), 0.3)
    if not good.all() and good.sum() >= MIN_VIEWS:
        kept = [view for view, keep in zip(richest, good, strict=True) if keep]
        found = _calibrate(camera, kept, points, K_found)
        if found is not None:
            K_found, distortion, _ = found
    log.debug("%s: f %.1f px from its own %d views", camera.id, K_found[0, 0], len(richest))
    return K_found, distortion


def _richest(views: Sequence[BoardView]) -> list[BoardView]:
    """Return some views with many corners, each thinned evenly, from all over the session."""
    by_take = sorted(views, key=lambda view: view.take)
    step = max(len(by_take) // MAX_VIEWS, 1)
    # of equal views every step-th one first: neighbouring takes are alike
    order = sorted(
        range(len(by_take)), key=lambda n: (-min(len(by_take[n].ids), MAX_CORNERS), n % step, n)
    )
    chosen = [by_take[n] for n in order[:MAX_VIEWS]]
    return [thinned(view, MAX_CORNERS) for view in chosen]


def thinned(view: BoardView, n: int) -> BoardView:
    """Return the view with at most `n` of its corners, evenly chosen."""
    if len(view.ids) <= n:
        return view
    rows = np.linspace(0, len(view.ids) - 1, n).round().astype(int)
    return replace(view, ids=view.ids[rows], xy=view.xy[rows])


def _calibrate(
    camera: CameraInfo, views: Sequence[BoardView], points: Floats, K: Floats
) -> tuple[Floats, Floats, Floats] | None:
    """Return K, distortion and each view's RMS; None where the result is no camera."""
    on_board = [points[view.ids].astype(np.float32) for view in views]
    in_image = [view.xy.astype(np.float32).reshape(-1, 1, 2) for view in views]
    flags = cv2.CALIB_USE_INTRINSIC_GUESS | HELD_AT_FIRST
    size = (camera.width, camera.height)
    try:
        with one_opencv_thread():  # its threads add up in the order in which they end
            answer = cv2.calibrateCameraExtended(
                on_board, in_image, size, K.copy(), np.zeros(5), flags=flags
            )
    except cv2.error as error:
        log.debug("%s: cv2.calibrateCamera: %s", camera.id, error)
        return None
    K_found, distortion = answer[1], np.asarray(answer[2]).ravel()[:5]
    per_view = np.asarray(answer[7]).ravel()
    focal = K_found[0, 0] / max(size)
    sound = np.isfinite(K_found).all() and np.isfinite(distortion).all() and 0.2 < focal < 50
    if not sound or abs(distortion[0]) > 5:
        return None
    return (
        np.asarray(K_found, np.float64),
        np.asarray(distortion, np.float64),
        np.asarray(per_view, np.float64),
    )
