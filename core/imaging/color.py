"""sRGB and linear light."""

import numpy as np

from ..arrays import AnyFloats, Bytes, Floats32, Image


def linear_from_srgb(encoded: Image) -> Floats32:
    """Take sRGB uint8, uint16 or float in [0, 1] to linear light float32 in [0, 1].

    Source
    ------
    IEC 61966-2-1.
    """
    if encoded.dtype == np.uint8:
        table = _decode(np.arange(256) / 255)
        return table[encoded]
    if encoded.dtype == np.uint16:
        return _decode(encoded.astype(np.float32) / np.float32(65535))
    return _decode(encoded.astype(np.float32))


def srgb_from_linear(linear: AnyFloats) -> Floats32:
    """Take linear light to sRGB-encoded float32 in [0, 1]; what lies outside is clipped."""
    x = np.clip(linear, 0, 1).astype(np.float32)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055).astype(np.float32)


def as_bytes(values: AnyFloats) -> Bytes:
    """Take values in [0, 1] to uint8, encoded as they are; what lies outside is clipped."""
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _decode(x: AnyFloats) -> Floats32:
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4).astype(np.float32)
