"""Undistortion and scaling of an image together with its camera, half pixels handled once."""

import cv2
import numpy as np

from ..arrays import Floats32, Image
from ..geometry.camera import Camera

NEAR_ENOUGH = 0.1
"""Of the pixels."""


def scaled_to(camera: Camera, megapixels: float) -> Camera:
    """Return `camera` at about this image size; never larger than it is.

    A size within `NEAR_ENOUGH` stays: resampling by some per cent costs fine detail and saves
    hardly anything.
    """
    factor = min(1.0, float(np.sqrt(megapixels * 1e6 / (camera.width * camera.height))))
    if factor**2 > 1 - NEAR_ENOUGH:
        return camera
    return camera.scaled(
        max(1, round(camera.width * factor)), max(1, round(camera.height * factor))
    )


def scale_image(image: Image, width: int, height: int) -> Floats32:
    """Resize to float32 in [0, 1] by area averaging (bilinear when enlarging).

    The image keeps spanning [0, width] x [0, height], so that `Camera.scaled` fits exactly.
    """
    full = float(np.iinfo(image.dtype).max) if image.dtype.kind == "u" else 1.0
    pixels = np.asarray(image, dtype=np.float32) / np.float32(full)
    if pixels.shape[:2] == (height, width):
        return pixels
    smaller = width <= pixels.shape[1] and height <= pixels.shape[0]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=method))


def undistort_image(image: Floats32, camera: Camera, *, border: float = 0.0) -> Floats32:
    """Resample an image of `camera` to `camera.undistorted()` (same K and size), bilinear."""
    if not camera.is_distorted:
        return image
    ideal = camera.undistorted()
    directions = ideal.unproject(ideal.pixel_centers())
    xy, _ = camera.project(camera.center + directions)
    # remap counts from the centre of the top-left pixel
    maps = (xy - 0.5).astype(np.float32)
    return np.asarray(
        cv2.remap(
            image, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT, borderValue=(border,) * 4,
        )
    )  # fmt: skip
