"""Maps and photographs as the bytes of images, without anything but pixels in them.

Files are made from pixels, never copied: no EXIF, no preview, no name or serial number of the
photograph comes along. What is stored as whole numbers:

    displacement   uint16, see `displacementcode`
    normals        uint16, 65535 (n + 1) / 2
    colour         uint8, sRGB
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from ...core.arrays import AnyFloats, Bytes, Image
from ...core.errors import InputError
from ...core.imaging.color import srgb_from_linear

JPEG_QUALITY = 95
TEXTURE_QUALITY = 98


def coded_normals(normals: AnyFloats) -> NDArray[np.uint16]:
    """Code unit normals (n, n, 3) in 16 bits; where there is none (zeros) mid grey stands."""
    return np.rint(np.clip((normals + 1) / 2, 0, 1) * 65535).astype(np.uint16)


def normals_of(values: NDArray[np.uint16]) -> AnyFloats:
    """Return the normals (n, n, 3) float32 of their code; not made unit again."""
    return (values.astype(np.float32) / 65535 * 2 - 1).astype(np.float32)


def tangent_bytes(normals: AnyFloats) -> Bytes:
    """Code tangent-space normals (n, n, 3) in 8 bits for viewers; none (zeros): straight out."""
    coded = np.rint((normals + 1) * 127.5).clip(0, 255).astype(np.uint8)
    coded[(normals == 0).all(axis=2)] = (128, 128, 255)
    return coded


def coded_color(linear: AnyFloats) -> Bytes:
    """Code linear RGB (n, n, 3) as 8-bit sRGB."""
    return np.rint(srgb_from_linear(linear) * 255).astype(np.uint8)


def png(image: Image) -> bytes:
    """Encode uint8 or uint16, grey or RGB, as PNG, without loss."""
    return _encoded(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def jpeg(image: Image, *, quality: int = JPEG_QUALITY) -> bytes:
    """Encode uint8, grey or RGB, as JPEG with full colour resolution."""
    # fmt: off
    options = [
        cv2.IMWRITE_JPEG_QUALITY, quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        cv2.IMWRITE_JPEG_OPTIMIZE, 1,
    ]
    # fmt: on
    return _encoded(".jpg", image, options)


def as_array(content: bytes) -> Bytes:
    """Return the bytes of a file as the (n,) uint8 that HDF5 keeps."""
    return np.frombuffer(content, np.uint8)


def smaller(image: Image, most: int) -> Bytes:
    """Return a photograph as 8-bit RGB whose longer side is at most `most` px, by area averaging.

    Parameters
    ----------
    image : (H, W) or (H, W, 3), uint8 or uint16
    """
    height, width = image.shape[:2]
    scale = min(1.0, most / max(height, width))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    if image.dtype == np.uint16:
        image = np.rint(image * (255 / 65535)).astype(np.uint8)
    return np.ascontiguousarray(image if image.ndim == 3 else np.repeat(image[..., None], 3, 2))


def _encoded(suffix: str, image: Image, options: list[int]) -> bytes:
    bgr = image if image.ndim == 2 else image[..., ::-1]
    done, content = cv2.imencode(suffix, np.ascontiguousarray(bgr), options)
    if not done:
        raise InputError(f"an image of {image.shape[1]}x{image.shape[0]} px cannot be encoded")
    return content.tobytes()
