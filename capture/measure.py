"""What one photograph measures: sharpness, light, clipping, colour, a thumbnail to compare."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..core.arrays import Bools, Floats32, Image
from ..core.imaging.color import linear_from_srgb

MEASURE_VERSION = 1
"""Raise it when a figure changes: cached figures of another version are not used."""

LONGEST_SIDE_PX = 4200  # larger photographs are halved: their finest pixels are lens blur and noise
TILE_PX = 32
FINE_PX, COARSE_PX = 0.7, 2.8  # sd of the two scales whose gradients are compared
MIN_TEXTURE = 4.0  # of a tile's coarse gradient energy over that of noise
MIN_TILES = 6
CLIPPED, DARK = 0.985, 0.02  # encoded, of full scale
THUMBNAIL_PX = 64


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Figures of one photograph; those of light are of the subject's pixels."""

    sharpness: float | None
    """Ratio of fine to coarse gradient energy, noise taken off: 1 is very blurred, an edge that
    is sharp to the pixel 3, fine texture more. None without texture."""
    level: float
    """Mean linear light, 0 to 1."""
    surround: float | None
    """Median linear light beside the subject; None where the region is not known."""
    clipped: float
    """Share of pixels with a channel at the upper end."""
    dark: float
    """Share of pixels with all channels at the lower end."""
    red_green: float | None
    """Natural logarithm of red over green light; None for grey pictures."""
    blue_green: float | None
    share: float
    """Of the picture that the region covers."""
    subject_known: bool
    """Whether the region is the subject rather than the middle of the picture."""
    noise: float
    """Standard deviation of the finest detail where the picture is flat, encoded."""


def measure(image: Image, mask: Bools | None) -> Measure:
    """Measure a photograph.

    Parameters
    ----------
    image : (height, width, 3) or (height, width), uint8 or uint16
        sRGB-encoded.
    mask : (height, width) bool, optional
        The subject; the middle of the picture where it is not known.
    """
    region = _middle(image.shape[0], image.shape[1]) if mask is None else mask
    small, inside = _reduced(image, region)
    encoded = small if small.ndim == 2 else small.mean(axis=2)
    noise = _noise(encoded)
    values = small[inside]
    linear = linear_from_srgb(values)
    red_green = blue_green = None
    if values.ndim == 2:
        red, green, blue = np.maximum(linear.mean(axis=0), 1e-5)
        red_green, blue_green = float(np.log(red / green)), float(np.log(blue / green))
    outside = ~cv2.dilate(inside.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    surround = None
    if mask is not None and outside.any():
        surround = float(np.median(linear_from_srgb(encoded[outside])))
    channels = values if values.ndim == 2 else values[:, None]
    return Measure(
        sharpness=_sharpness(encoded, inside, noise),
        level=float(linear.mean()),
        surround=surround,
        clipped=float((channels >= CLIPPED).any(axis=1).mean()),
        dark=float((channels <= DARK).all(axis=1).mean()),
        red_green=red_green,
        blue_green=blue_green,
        share=float(inside.mean()),
        subject_known=mask is not None,
        noise=noise,
    )


def thumbnail(image: Image) -> Floats32:
    """Return the grey picture with `THUMBNAIL_PX` along its longer side, encoded, in [0, 1]."""
    grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    factor = THUMBNAIL_PX / max(grey.shape)
    size = (max(1, round(grey.shape[1] * factor)), max(1, round(grey.shape[0] * factor)))
    small = cv2.resize(grey.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(small / np.float32(np.iinfo(image.dtype).max))


def _middle(height: int, width: int) -> Bools:
    """Return an ellipse over the middle: half the height, half the width."""
    y = (np.arange(height) + 0.5) / height - 0.5
    x = (np.arange(width) + 0.5) / width - 0.5
    return np.asarray((x**2)[None] + (y**2)[:, None] < 0.25**2)


def _reduced(image: Image, region: Bools) -> tuple[Floats32, Bools]:
    """Return the picture in [0, 1], halved until it is no larger than needed, and its region."""
    picture, inside = image, region.astype(np.uint8)
    while max(picture.shape[:2]) > LONGEST_SIDE_PX:
        size = (picture.shape[1] // 2, picture.shape[0] // 2)
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
        inside = np.asarray(cv2.resize(inside, size, interpolation=cv2.INTER_NEAREST))
    full = np.float32(np.iinfo(image.dtype).max)
    if not inside.any():
        inside = np.ones_like(inside)
    return picture.astype(np.float32) / full, inside.astype(bool)


def _noise(grey: Floats32) -> float:
    """Estimate the noise from the flattest tenth of the tiles.

    Source
    ------
    The operator: Immerkær, Computer Vision and Image Understanding 64(2), 1996; on flat tiles
    alone, since skin and print are no noise.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
    tiles = _tiles(np.asarray(cv2.filter2D(grey, -1, kernel) ** 2, dtype=np.float32))
    return float(np.sqrt(np.percentile(tiles, 10))) if tiles.size else 0.0


def _sharpness(grey: Floats32, inside: Bools, noise: float) -> float | None:
    """Return the median ratio of gradient energies over tiles of the subject with texture."""
    fine, coarse = _gradient_energy(grey, FINE_PX), _gradient_energy(grey, COARSE_PX)
    core = cv2.erode(inside.astype(np.uint8), np.ones((15, 15), np.uint8))  # without its rim
    full = _tiles(core.astype(np.float32)) > 0.9
    fine_noise, coarse_noise = (noise**2 * _noise_gain(sd) for sd in (FINE_PX, COARSE_PX))
    e_fine, e_coarse = _tiles(fine) - fine_noise, _tiles(coarse) - coarse_noise
    textured = full & (e_coarse > MIN_TEXTURE * coarse_noise + 1e-9)
    if textured.sum() < MIN_TILES:
        return None
    ratio = e_fine[textured] / e_coarse[textured]
    # the sharper part: a face is never in focus as a whole
    return float(np.percentile(ratio, 75))


def _gradient_energy(grey: Floats32, sd: float) -> Floats32:
    smooth = cv2.GaussianBlur(grey, (0, 0), sd)
    x = cv2.filter2D(smooth, -1, np.array([[-0.5, 0, 0.5]], np.float32))
    y = cv2.filter2D(smooth, -1, np.array([[-0.5], [0], [0.5]], np.float32))
    return np.asarray(x * x + y * y)


def _noise_gain(sd: float) -> float:
    """Return the gradient energy that white noise of variance 1 leaves at a scale."""
    impulse = np.zeros((41, 41), np.float32)
    impulse[20, 20] = 1
    return float(_gradient_energy(impulse, sd).sum())


def _tiles(values: Floats32) -> Floats32:
    """Return the means of whole tiles."""
    rows, cols = values.shape[0] // TILE_PX, values.shape[1] // TILE_PX
    cut = values[: rows * TILE_PX, : cols * TILE_PX]
    return np.asarray(cut.reshape(rows, TILE_PX, cols, TILE_PX).mean(axis=(1, 3)))
