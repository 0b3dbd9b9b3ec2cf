"""Whether a photograph shows a board: its markers, counted at reduced size."""

import cv2
import numpy as np

from ..core.arrays import Bytes, Image
from .patterns import TAG_BORDER, dictionary_of, marker_ids
from .session import BoardPattern, BoardSpec
from .targets import check_board, faces

MEGAPIXELS = 3.0  # enough for markers of 1/200 of the picture's width

MIN_MARKERS = 4  # of one board: a pattern in the scene may look like one marker, not like four


def count_markers(image: Image, spec: BoardSpec) -> int:
    """Return how many different markers of the board are seen, on whichever face.

    A checkerboard has none: its corners are counted, all or none of them.

    Parameters
    ----------
    image : (H, W) or (H, W, 3), uint8 or uint16
    """
    check_board(spec)
    grey = _small_grey(image)
    grey = np.asarray(255 - grey, np.uint8) if spec.inverted else grey
    if spec.pattern is BoardPattern.CHECKERBOARD:
        size = (spec.squares_x - 1, spec.squares_y - 1)
        found, _ = cv2.findChessboardCornersSB(grey, size, flags=cv2.CALIB_CB_NORMALIZE_IMAGE)
        return size[0] * size[1] if found else 0
    parameters = cv2.aruco.DetectorParameters()
    if spec.pattern is BoardPattern.APRILGRID:
        parameters.markerBorderBits = TAG_BORDER
    detector = cv2.aruco.ArucoDetector(dictionary_of(spec), parameters)
    _, ids, _ = detector.detectMarkers(grey)
    known = np.concatenate([marker_ids(face) for face in faces(spec)])
    return 0 if ids is None else len(np.intersect1d(ids, known))


def shows_board(n_markers: int, spec: BoardSpec) -> bool:
    """Whether so many markers mean that the board is there."""
    return n_markers >= min(MIN_MARKERS, max(1, spec.squares_x * spec.squares_y // 4))


def _small_grey(image: Image) -> Bytes:
    factor = min(1.0, float(np.sqrt(MEGAPIXELS * 1e6 / (image.shape[0] * image.shape[1]))))
    size = [max(1, round(n * factor)) for n in image.shape[1::-1]]
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if factor < 1 else image
    if small.dtype == np.uint16:
        small = cv2.convertScaleAbs(small, alpha=1 / 257)
    return np.asarray(small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
