"""EXIF orientation: photographs turned upright for a look, and points taken back.

Sessions keep photographs in the sensor's frame; people, viewers and face detectors want them
upright.
"""

import numpy as np

from ..arrays import AnyFloats, Floats, Image

_TURNS = {1: (0, False), 2: (0, True), 3: (2, False), 4: (2, True), 5: (1, True), 6: (3, False),
          7: (3, True), 8: (1, False)}  # fmt: skip
# orientation -> quarter turns to the left, and whether to mirror left to right before


def turned_upright(image: Image, orientation: int) -> Image:
    """Return an image as its EXIF orientation (1-8) wants it seen."""
    n_quarters, mirrored = _TURNS[orientation]
    if mirrored:
        image = image[:, ::-1]
    return np.ascontiguousarray(np.rot90(image, n_quarters))


def to_sensor(points: AnyFloats, orientation: int, *, width: int, height: int) -> Floats:
    """Take points (..., 2) px of the upright image to the image as stored.

    Parameters
    ----------
    width, height : int
        Of the image as stored.
    """
    n_quarters, mirrored = _TURNS[orientation]
    x, y = np.asarray(points[..., 0], np.float64), np.asarray(points[..., 1], np.float64)
    if n_quarters == 1:
        x, y = width - y, x
    elif n_quarters == 2:
        x, y = width - x, height - y
    elif n_quarters == 3:
        x, y = y, height - x
    if mirrored:
        x = width - x
    return np.stack([x, y], axis=-1)


def to_upright(points: AnyFloats, orientation: int, *, width: int, height: int) -> Floats:
    """Take points (..., 2) px of the image as stored (width, height) to the upright one."""
    n_quarters, mirrored = _TURNS[orientation]
    x, y = np.asarray(points[..., 0], np.float64), np.asarray(points[..., 1], np.float64)
    if mirrored:
        x = width - x
    if n_quarters == 1:
        x, y = y, width - x
    elif n_quarters == 2:
        x, y = width - x, height - y
    elif n_quarters == 3:
        x, y = height - y, x
    return np.stack([x, y], axis=-1)


def quarter_turns(orientation: int) -> int:
    """Return the quarter turns to the left after which an image stands upright, unmirrored.

    For photographs with a camera: a mirrored picture has none.
    """
    n_quarters, mirrored = _TURNS[orientation]
    return -n_quarters % 4 if mirrored else n_quarters
