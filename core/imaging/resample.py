"""Undistortion and scaling of an image together with its camera, half pixels handled once.

A photograph of a distorted camera is resampled once, from its own pixels to the final grid.
"""

from collections.abc import Iterator

import cv2
import numpy as np

from ..arrays import Floats, Floats32, Image
from ..chunks import over_chunks
from ..geometry.camera import Camera, distort

NEAR_ENOUGH = 0.1
"""Of the pixels."""

_STRIP_ROWS = 1024  # at 8192 pixels a row: 100 MB
_THREAD_ROWS = 64


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
    pixels = np.asarray(image, dtype=np.float32)
    if image.dtype.kind == "u":
        pixels = pixels * np.float32(1 / _white(image))
    if pixels.shape[:2] == (height, width):
        return pixels
    smaller = width <= pixels.shape[1] and height <= pixels.shape[0]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=method))


def undistorted_strips(image: Image, camera: Camera) -> Iterator[tuple[slice, Floats32]]:
    """Resample an image to `camera.undistorted()`, some rows at a time; 0 outside of the image.

    Parameters
    ----------
    image : (H, W) or (H, W, C), unsigned or float in [0, 1]
        Of the camera's shape and any size.

    Yields
    ------
    rows : slice
    pixels : (rows, width) or (rows, width, C) float32 in [0, 1]
        Cubic convolution, of as many samples a pixel as it has pixels of the image in it. Of a
        camera without distortion: as `scale_image` does it.

    Source
    ------
    Keys, Cubic convolution interpolation for digital image processing, IEEE TASSP 29(6), 1981,
    with a = -1/2, which alone is exact for parabolas; OpenCV's is not even for ramps.
    """
    every = [slice(r, min(r + _STRIP_ROWS, camera.height)) for r in _starts(camera.height)]
    if not camera.is_distorted:
        same = image.shape[:2] == (camera.height, camera.width)
        whole = image if same else scale_image(image, camera.width, camera.height)
        for rows in every:
            part = whole[rows]
            yield rows, scale_image(part, part.shape[1], part.shape[0])
        return
    from .resample_kernels import resample_rows  # numba: only where lenses distort

    nodes = _nodes(camera, width=image.shape[1], height=image.shape[0])
    ratio = max(image.shape[1] / camera.width, image.shape[0] / camera.height)
    n_sub = max(1, int(np.ceil(ratio - 0.05)))
    deep = np.ascontiguousarray(image if image.ndim == 3 else image[..., None])
    for rows in every:
        out = np.zeros((rows.stop - rows.start, camera.width, deep.shape[2]), np.float32)

        def fill(start: int, stop: int, out: Floats32 = out, first: int = rows.start) -> None:
            resample_rows(deep, nodes, first + start, n_sub, _white(image), out[start:stop])

        over_chunks(fill, len(out), chunk=_THREAD_ROWS)
        yield rows, out if image.ndim == 3 else out[..., 0]


def _starts(height: int) -> range:
    return range(0, height, _STRIP_ROWS)


def _white(image: Image) -> float:
    return float(np.iinfo(image.dtype).max) if image.dtype.kind == "u" else 1.0


def _nodes(camera: Camera, *, width: int, height: int) -> Floats:
    """Return (gh, gw, 2): where corners of the ideal pixels lie in an image of that size."""
    from .resample_kernels import STEP

    source = camera.scaled(width, height)
    x, y = (STEP * np.arange(n // STEP + 2.0) for n in (camera.width, camera.height))
    ideal = camera.normalise(np.stack(np.meshgrid(x, y), axis=-1))
    return np.asarray(distort(ideal, camera.distortion) @ source.K[:2, :2].T + source.K[:2, 2])
