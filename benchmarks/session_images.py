"""Photographs and per-view maps of a session as small upright pictures."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage

from ..core.arrays import AnyFloats, Bytes, Image
from ..core.errors import InputError
from ..core.imaging.imageio import read_image
from ..core.imaging.orientation import turned_upright
from ..core.rendering.colormap import AMOUNT


def thumbnail(path: Path, *, orientation: int, max_size: int) -> Bytes | None:
    """Return a photograph upright with its longer side `max_size` px; None: not readable.

    JPEGs are decoded at an eighth of their size where that is enough.
    """
    try:
        pixels = _small_jpeg(path, max_size) if path.suffix.lower() in (".jpg", ".jpeg") else None
        if pixels is None:
            pixels = _to_bytes(read_image(path))
    except (InputError, OSError):
        return None
    return turned_upright(reduced(pixels, max_size), orientation)


def reduced(image: Bytes, max_size: int) -> Bytes:
    """Return the image with its longer side at most `max_size` px, by area averaging."""
    factor = max_size / max(image.shape[:2])
    if factor >= 1:
        return image
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def depth_picture(depth: AnyFloats) -> tuple[Bytes, float, float]:
    """Return (colours of a depth map with near in yellow, nearest, farthest); mm.

    The range leaves out two per cent at either end; where there is no depth: light grey.
    """
    known = depth[np.isfinite(depth) & (depth > 0)]
    if len(known) == 0:
        return np.full((*depth.shape, 3), 232, np.uint8), float("nan"), float("nan")
    low, high = (float(v) for v in np.percentile(known, [2, 98]))
    high = max(high, low + 1e-6)
    shown = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan)
    return _on_grey(AMOUNT(-shown, -high, -low), ~np.isfinite(shown)), low, high


def normal_picture(normal: AnyFloats, cam_from_world: AnyFloats | None = None) -> Bytes:
    """Return the usual colours of unit normals: right red, up green, towards the viewer blue.

    Parameters
    ----------
    normal : (H, W, 3)
        In the world when `cam_from_world` is given, else in the camera's axes; zero or NaN
        where there is none.
    """
    n = np.nan_to_num(np.asarray(normal, dtype=np.float32))
    empty = np.linalg.norm(n, axis=2) < 0.5
    if cam_from_world is not None:
        n = n @ np.asarray(cam_from_world[:, :3], dtype=np.float32).T
    colors = np.rint(np.clip((n * (1, -1, -1) + 1) / 2, 0, 1) * 255).astype(np.uint8)
    return _on_grey(colors, empty)


def amount_picture(values: AnyFloats, *, high: float = 1.0) -> Bytes:
    """Return the colours of values from 0 (dark) to `high` (yellow); NaN and 0 light grey."""
    empty = ~np.isfinite(values) | (values == 0)
    return _on_grey(AMOUNT(np.nan_to_num(values), 0.0, high), empty)


def _on_grey(colors: Bytes, empty: AnyFloats) -> Bytes:
    return np.where(empty[..., None], np.uint8(238), colors)


def _small_jpeg(path: Path, max_size: int) -> Bytes | None:
    with PillowImage.open(path) as opened:
        if opened.mode not in ("RGB", "L"):
            return None
        opened.draft(opened.mode, (2 * max_size, 2 * max_size))
        return np.asarray(opened, dtype=np.uint8)


def _to_bytes(image: Image) -> Bytes:
    return image if image.dtype == np.uint8 else np.asarray(image >> 8, dtype=np.uint8)
