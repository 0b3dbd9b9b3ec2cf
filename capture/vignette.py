"""Fall-off of light towards the corners of a camera's picture, from a picture of a plain field."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..core.arrays import Floats, Floats32

BLOCKS = 48  # along the longer side; noise averages out, the fall-off stays
MAX_LOSS = 0.8  # of the light in the corners; more is a hood or a finger
MAX_UNEVENNESS = 0.03  # robust, relative: a field with things in it is no flat field
MIN_LEVEL = 0.004  # linear; noise and rounding to 8 bits rule below
MAX_LEVEL = 0.97


@dataclass(frozen=True, kw_only=True)
class Vignette:
    """Light that reaches the sensor: `1 + k1 r^2 + k2 r^4`, r = 1 in the corners."""

    k1: float = 0.0
    k2: float = 0.0

    def gain(self, width: int, height: int) -> Floats32:
        """Return (height, width) of the share of light that is left; 1 at the centre."""
        x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / np.hypot(width, height) * 2
        y = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / np.hypot(width, height) * 2
        r2 = (x**2)[None] + (y**2)[:, None]
        return np.asarray(1 + r2 * (np.float32(self.k1) + np.float32(self.k2) * r2))


def fit_vignette(linear: Floats32) -> tuple[Vignette, str]:
    """Fit the fall-off to a picture of a plain, evenly lit field.

    Parameters
    ----------
    linear : (height, width, 3) or (height, width) float32
        Linear light.

    Returns
    -------
    vignette
        No fall-off where the field tells none.
    remark
        Why it was not fitted; empty where it was.
    """
    grey = linear.mean(axis=2) if linear.ndim == 3 else linear
    height, width = grey.shape
    factor = BLOCKS / max(height, width)
    size = (max(4, round(width * factor)), max(4, round(height * factor)))
    blocks = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.float64)
    middle = float(np.median(blocks))
    if not MIN_LEVEL < middle < MAX_LEVEL:
        return Vignette(), f"the field is too {'dark' if middle <= MIN_LEVEL else 'bright'}"
    light, unevenness = _fit(blocks / middle)
    if unevenness > MAX_UNEVENNESS:
        return Vignette(), f"the field is not plain ({unevenness:.1%} off a smooth fall-off)"
    k1, k2 = float(light[1] / light[0]), float(light[2] / light[0])
    found = Vignette(k1=k1, k2=k2)
    radius = np.linspace(0, 1, 50)
    along = 1 + k1 * radius**2 + k2 * radius**4
    if along.min() < 1 - MAX_LOSS or along.max() > 1.05:
        return Vignette(), "the field gets brighter towards its corners, or dark at once"
    return found, ""


def _fit(blocks: Floats) -> tuple[Floats, float]:
    """Fit constant, r^2, r^4 and a slope of the lighting (x, y), robustly.

    The slope is the lamps', not the lens's: fitted so that it does not bend the fall-off.
    """
    rows, cols = blocks.shape
    y, x = np.mgrid[:rows, :cols] + 0.5
    diagonal = np.hypot(rows, cols) / 2
    x, y = (x - cols / 2) / diagonal, (y - rows / 2) / diagonal
    r2 = x**2 + y**2
    design = np.stack([np.ones_like(x), r2, r2**2, x, y], axis=-1).reshape(-1, 5)
    values = blocks.ravel()
    weight = np.ones_like(values)
    light, spread = np.zeros(5), 0.0
    for _ in range(10):
        root = np.sqrt(weight)
        light = np.linalg.lstsq(design * root[:, None], values * root, rcond=None)[0]
        residual = values - design @ light
        spread = 1.4826 * float(np.median(np.abs(residual)))
        weight = 1 / (1 + (residual / (3 * spread + 1e-6)) ** 2) ** 2
    return light, spread
