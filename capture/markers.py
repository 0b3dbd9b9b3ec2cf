"""Whether a photograph shows a board: its markers, counted at reduced size."""

import cv2
import numpy as np

from ..core.arrays import Bytes, Image
from .session import BoardSpec
from .targets import charuco_board

MEGAPIXELS = 3.0  # enough for markers of 1/200 of the picture's width

MIN_MARKERS = 4  # of one board: a pattern in the scene may look like one marker, not like four


def count_markers(image: Image, spec: BoardSpec) -> int:
    """Return how many different markers of the board are seen.

    Parameters
    ----------
    image : (H, W) or (H, W, 3), uint8 or uint16
    """
    grey = _small_grey(image)
    board = charuco_board(spec)
    detector = cv2.aruco.ArucoDetector(board.getDictionary())
    _, ids, _ = detector.detectMarkers(255 - grey if spec.inverted else grey)
    return 0 if ids is None else len(np.intersect1d(ids, board.getIds()))


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
