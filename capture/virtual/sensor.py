"""The sensor: exposure, read and shot noise, sRGB with eight bits."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from ...core.arrays import Bytes, Floats32
from ...core.imaging.color import srgb_from_linear
from .noise import normal_deviate

BACKDROP = 0.045
"""Linear grey of the studio's backdrop."""
_LEVELS = 1 << 16  # of linear light in the sRGB table: at least 19 to each of the 256 values


@dataclass(frozen=True, kw_only=True)
class Optics:
    """What lens and sensor do to light."""

    supersampling: int = 2  # n x n rays a pixel
    blur_px: float = 0.5  # sd of lens and colour-filter blur
    exposure: float = 1.0
    read_noise: float = 0.0015  # sd, linear, full scale 1
    shot_noise: float = 0.0045  # sd at full scale
    lens_radius_mm: float = 0.0
    """Radius of the entrance pupil, for depth-of-field blur; 0: everything is sharp."""


def develop(radiance: Floats32, optics: Optics, *, rng: np.random.Generator) -> Bytes:
    """Expose (height, width, C) linear light: add noise, encode as sRGB uint8."""
    out = np.zeros(radiance.shape, np.uint8)
    seed = np.uint64(rng.integers(1 << 63))
    _expose(
        radiance.reshape(-1), optics.exposure, optics.read_noise, optics.shot_noise, seed,
        _srgb_table(), out.reshape(-1),
    )  # fmt: skip
    return out


def _srgb_table() -> Bytes:
    linear = np.linspace(0, 1, _LEVELS, dtype=np.float32)
    return np.rint(srgb_from_linear(linear) * 255).astype(np.uint8)


@njit(nogil=True, cache=True)
def _expose(light, exposure, read_noise, shot_noise, seed, table, out):  # type: ignore[no-untyped-def]
    """Noise is a function of seed and place alone."""
    read2, shot2 = read_noise * read_noise, shot_noise * shot_noise
    last = len(table) - 1
    for i in range(len(light)):
        signal = exposure * light[i]
        sd = np.sqrt(read2 + shot2 * min(1.0, max(0.0, signal)))
        signal += sd * normal_deviate(i, seed)
        out[i] = table[int(min(1.0, max(0.0, signal)) * last + 0.5)]
