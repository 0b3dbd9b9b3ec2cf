"""What photographs suffer: things before the face, blur, colour, noise, compression.

All chance comes from the generator handed in. Images are (S, S, 3) uint8 sRGB; lengths are
shares of S or px of a crop of 224 px's field, so that a stored crop's size does not matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from ...core.arrays import Bytes, Floats, Floats32

LUMA = (0.299, 0.587, 0.114)
"""How bright red, green and blue look: Rec. 601."""
_NOISE_STEP = 32.0  # of the noise field's bytes, to one standard deviation
_NOISE_ROOM = 96  # px that the field is larger than an image, to be cut anywhere from


@dataclass(frozen=True, kw_only=True)
class DegradationConfig:
    """How far photographs are changed; all of it random."""

    brightness: float = 0.15  # most that is added or taken, of white
    contrast: float = 0.25  # most relative change about the image's mean
    gamma: float = 0.2  # most change of the exponent
    cast: float = 0.08  # most relative change of a colour channel
    saturation: float = 0.4  # most relative change
    grey_share: float = 0.03  # of images that lose their colours
    blur_share: float = 0.3  # of images that are blurred
    blur_px: float = 1.0  # most standard deviation, px of 224
    coarse_share: float = 0.15  # of images that were small once
    coarse_times: float = 2.5  # most, of an image's side over the small one's, at 224 px
    noise_share: float = 0.5  # of images with noise
    noise: float = 0.04  # most standard deviation, of white
    jpeg_share: float = 0.4  # of images compressed
    jpeg_quality: int = 35  # least
    occluder_share: float = 0.3  # of images with things before the face
    occluders: int = 2  # most of them
    occluder_size: float = 0.35  # longest, of the image's side


def degraded(
    image: Bytes,
    mask: Bytes,
    config: DegradationConfig,
    rng: np.random.Generator,
    *,
    others: Sequence[Bytes] = (),
) -> tuple[Bytes, Bytes]:
    """Return a photograph as a worse camera in a fuller room takes it, and its mask (S, S).

    Parameters
    ----------
    others : sequence of (S', S', 3)
        Images that pieces are cut out of, to hide parts of this one.
    """
    if rng.uniform() < config.occluder_share:
        for _ in range(int(rng.integers(1, config.occluders + 1))):
            image, mask = _occluded(image, mask, config, rng, others)
    image = _blurred(image, config, rng)
    image = _recoloured(image, config, rng)
    if rng.uniform() < config.noise_share:
        image = _noisy(image, config.noise * float(rng.uniform()) ** 2, rng)
    if rng.uniform() < config.jpeg_share:
        image = _compressed(image, int(rng.integers(config.jpeg_quality, 96)))
    return image, mask


def _blurred(image: Bytes, config: DegradationConfig, rng: np.random.Generator) -> Bytes:
    unit = len(image) / 224
    if rng.uniform() < config.blur_share:
        sigma = float(rng.uniform(0.2, 1.0)) * config.blur_px * unit
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
    if rng.uniform() < config.coarse_share:
        times = float(rng.uniform(1.0, max(1.0, config.coarse_times)))
        side = max(8, round(224 / times))
        if side < len(image):
            small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
            back = image.shape[1::-1]
            image = np.asarray(cv2.resize(small, back, interpolation=cv2.INTER_LINEAR), np.uint8)
    return image


def _recoloured(image: Bytes, config: DegradationConfig, rng: np.random.Generator) -> Bytes:
    brightness, contrast, gamma, saturation, *cast = rng.uniform(-1.0, 1.0, 7)
    levels = np.linspace(0.0, 1.0, 256)[:, None] ** np.exp(gamma * config.gamma)
    middle = float(image[::8, ::8].mean()) / 255
    levels = (levels - middle) * (1 + contrast * config.contrast) + middle
    levels = levels * (1 + config.cast * np.array(cast)) + brightness * config.brightness
    table = np.rint(255 * np.clip(levels, 0, 1)).astype(np.uint8)
    image = np.asarray(cv2.LUT(image, np.ascontiguousarray(table[None])), np.uint8)
    keep = 0.0 if rng.uniform() < config.grey_share else 1 + saturation * config.saturation
    mix = keep * np.eye(3) + (1 - keep) * np.tile(LUMA, (3, 1))
    return np.asarray(cv2.transform(image, mix), np.uint8)


def _noisy(image: Bytes, sigma: float, rng: np.random.Generator) -> Bytes:
    """Add noise of standard deviation `sigma`, of white."""
    size = image.shape[0]
    field = _noise_field(size + _NOISE_ROOM)
    x, y = rng.integers(0, _NOISE_ROOM, 2)
    piece = field[y : y + size, x : x + size]
    if rng.uniform() < 0.5:
        piece = piece[:, ::-1]
    by = 255 * sigma / _NOISE_STEP
    piece = np.ascontiguousarray(piece)
    return np.asarray(cv2.addWeighted(image, 1.0, piece, by, -128 * by), np.uint8)


@lru_cache(maxsize=4)
def _noise_field(size: int) -> Bytes:
    """Return (size, size, 3) noise of `_NOISE_STEP` about 128; drawn once, cut from anywhere."""
    noise = np.random.default_rng(size).standard_normal((size, size, 3), np.float32)
    return np.clip(np.rint(128 + _NOISE_STEP * noise), 0, 255).astype(np.uint8)


def _compressed(image: Bytes, quality: int) -> Bytes:
    """Return an image as JPEG leaves it."""
    _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)


def _occluded(
    image: Bytes,
    mask: Bytes,
    config: DegradationConfig,
    rng: np.random.Generator,
    others: Sequence[Bytes],
) -> tuple[Bytes, Bytes]:
    """Hide a part of the image behind something; the mask loses it."""
    size = len(image)
    longest = 0.5 * size * config.occluder_size
    half = np.maximum(rng.uniform(0.2, 1.0, 2) * longest, 2.0)
    centre = rng.uniform(0.1, 0.9, 2) * size
    low = np.clip(np.floor(centre - longest - 2).astype(int), 0, size)
    high = np.clip(np.ceil(centre + longest + 2).astype(int), 0, size)
    (x0, y0), (x1, y1) = low, high
    if x1 - x0 < 4 or y1 - y0 < 4:
        return image, mask
    cover = _shape(rng, (y1 - y0, x1 - x0), centre - low, half)
    fill = _filling(rng, (y1 - y0, x1 - x0), others)
    share = cover.astype(np.float32)[..., None] / 255
    image, mask = image.copy(), mask.copy()
    image[y0:y1, x0:x1] = np.rint(image[y0:y1, x0:x1] * (1 - share) + fill * share)
    mask[y0:y1, x0:x1] = np.rint(mask[y0:y1, x0:x1] * (1 - share[..., 0]))
    return image, mask


def _shape(rng: np.random.Generator, shape: tuple[int, int], centre: Floats, half: Floats) -> Bytes:
    """Draw a filled ellipse, box or rounded corner figure, white, with soft edges."""
    cover = np.zeros(shape, np.uint8)
    kind, angle = int(rng.integers(3)), float(rng.uniform(0, 180))
    if kind == 0:
        cv2.ellipse(
            cover, (tuple(map(float, centre)), tuple(map(float, 2 * half)), angle), 255, -1,
            cv2.LINE_AA,
        )  # fmt: skip
    else:
        n = 4 if kind == 1 else int(rng.integers(5, 9))
        turn = 2 * np.pi * (np.arange(n) + (0.5 if n == 4 else rng.uniform(0, 0.7, n))) / n
        reach = 1.0 if n == 4 else rng.uniform(0.5, 1.0, (n, 1))
        points = reach * half * np.column_stack([np.cos(turn), np.sin(turn)])
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        corners = np.rint(points @ np.array([[c, s], [-s, c]]) + centre).astype(np.int32)
        cv2.fillPoly(cover, [corners], 255, cv2.LINE_AA)
    return cover


def _filling(rng: np.random.Generator, shape: tuple[int, int], others: Sequence[Bytes]) -> Floats32:
    """Return (h, w, 3) of what hides a face: a piece of another picture, or a shaded colour."""
    height, width = shape
    if others and rng.uniform() < 0.5:
        other = others[int(rng.integers(len(others)))]
        if other.shape[0] > height and other.shape[1] > width:
            y = int(rng.integers(other.shape[0] - height))
            x = int(rng.integers(other.shape[1] - width))
            return other[y : y + height, x : x + width].astype(np.float32)
    colour = rng.uniform(10, 245, 3)
    slope = rng.uniform(-0.4, 0.4, 2)
    y, x = np.mgrid[0:height, 0:width]
    light = 1 + slope[0] * (x / width - 0.5) + slope[1] * (y / height - 0.5)
    return np.clip(light[..., None] * colour, 0, 255).astype(np.float32)
