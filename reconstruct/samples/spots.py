"""Spots painted on pictures of skin: freckles, moles and pimples where no pairs exist.

A spot darkens the linear colour by a factor of each channel, so it takes the light of its place;
its outline is a bent ellipse, its edge soft or sharp. The picture without it is the retouched
one.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from ...capture.virtual.noise import smooth_step
from ...core.arrays import Bools, Bytes, Floats, Ints
from ...core.errors import ConfigError
from ...core.imaging.color import linear_from_srgb, srgb_from_linear


class _Kind(NamedTuple):
    """Of spots: ranges."""

    radius_mm: tuple[float, float]
    darkening: tuple[float, float]
    """Of green, at the centre: 1 is black."""
    red: tuple[float, float]
    """Darkening of red, relative to green's."""
    blue: tuple[float, float]
    softness: tuple[float, float]
    """Share of the radius over which the edge fades."""


_FRECKLE = _Kind((0.4, 1.3), (0.08, 0.45), (0.5, 0.75), (1.0, 1.25), (0.7, 1.0))
_MOLE = _Kind((0.7, 3.2), (0.35, 0.88), (0.6, 1.0), (0.95, 1.1), (0.2, 0.8))
_PIMPLE = _Kind((0.8, 3.0), (0.12, 0.5), (0.0, 0.35), (0.7, 1.0), (0.6, 1.0))
_N_BENDS, _MOST_BEND = 3, 0.12  # waves round an outline, and their size, of the radius
_N_NUMBERS = 7 + 2 * _N_BENDS


@dataclass(frozen=True, kw_only=True)
class SpotsConfig:
    """How many spots, of which kind.

    Raises
    ------
    ConfigError
        A number is out of its range.
    """

    density: float = 2.0  # most spots a square centimetre; drawn anew for each picture
    freckles: float = 0.5  # share of the kinds, in pictures where all are
    moles: float = 0.35
    pimples: float = 0.15
    mm: tuple[float, float] = (0.9, 1.9)  # of a pixel, where it is not known

    def __post_init__(self) -> None:
        shares = (self.freckles, self.moles, self.pimples)
        if min(self.density, *shares) < 0 or sum(shares) <= 0:
            raise ConfigError("spots: density and shares are not below 0, and not all of them 0")
        if not 0 < self.mm[0] <= self.mm[1]:
            raise ConfigError(f"spots: mm = {self.mm}: two sizes of a pixel, above 0")


def with_spots(
    picture: Bytes,
    where: Bools,
    config: SpotsConfig,
    rng: np.random.Generator,
    *,
    pixel_mm: float | None = None,
) -> Bytes:
    """Return the picture with spots painted on.

    Parameters
    ----------
    picture : (H, W, 3) sRGB
    where : (H, W)
        Where a spot's centre may be, and what it may cover.
    pixel_mm : float, optional
        Size of a pixel on the skin; drawn by default.
    """
    mm = float(rng.uniform(*config.mm)) if pixel_mm is None else pixel_mm
    places = np.flatnonzero(where.ravel())
    mean = config.density * float(rng.uniform()) ** 2 * len(places) * (mm / 10) ** 2
    n = min(int(rng.poisson(mean)), len(places))
    if n == 0:
        return picture
    shares = rng.dirichlet(1e-6 + 2 * np.array([config.freckles, config.moles, config.pimples]))
    centres = np.column_stack(np.divmod(rng.choice(places, n), picture.shape[1])).astype(float)
    drawn = _drawn(rng.choice(3, size=n, p=shares).astype(np.int32), rng)
    passed = np.ones(picture.shape, np.float32)
    _darken(passed, centres + rng.uniform(0, 1, (n, 2)), drawn / [mm, *[1.0] * (_N_NUMBERS - 1)])
    changed = where & (passed < 1).any(axis=2)
    if not changed.any():
        return picture
    out = picture.copy()
    lit = linear_from_srgb(picture[changed][None]) * passed[changed][None]
    out[changed] = np.rint(srgb_from_linear(lit)[0] * 255).astype(np.uint8)
    return out


def _drawn(kinds: Ints, rng: np.random.Generator) -> Floats:
    """Return the numbers (n, _N_NUMBERS) of spots of given kinds.

    Radius in mm, softness, what red, green and blue lose, turn and squeeze of the ellipse, then
    size and phase of each wave round the outline.
    """
    low, high = np.array([_FRECKLE, _MOLE, _PIMPLE]).transpose(2, 1, 0)[..., kinds]
    share = rng.uniform(size=low.shape)
    _, green, red, blue, softness = low + share * (high - low)
    radius = low[0] * (high[0] / low[0]) ** share[0]  # small ones are more frequent
    n = len(kinds)
    return np.column_stack([
        radius, softness, green * red, green, green * blue,
        rng.uniform(0, np.pi, n), rng.uniform(0.7, 1.0, n),
        rng.uniform(0, _MOST_BEND, (n, _N_BENDS)), rng.uniform(0, 2 * np.pi, (n, _N_BENDS)),
    ])  # fmt: skip


@njit(cache=True)
def _darken(passed, centres, drawn):  # type: ignore[no-untyped-def]
    """Multiply what is passed of the light (H, W, 3) by spots; radii in pixels."""
    height, width = passed.shape[:2]
    for i in range(len(centres)):
        radius, soft, turn, squeeze = drawn[i, 0], drawn[i, 1], drawn[i, 5], drawn[i, 6]
        reach = radius * (1 + _N_BENDS * _MOST_BEND) + 1
        c, s = math.cos(turn), math.sin(turn)
        row, column = centres[i, 0], centres[i, 1]
        for y in range(max(0, int(row - reach)), min(height, int(row + reach) + 1)):
            for x in range(max(0, int(column - reach)), min(width, int(column + reach) + 1)):
                dy, dx = y + 0.5 - row, x + 0.5 - column
                along, across = c * dx + s * dy, (c * dy - s * dx) / squeeze
                angle, outline = math.atan2(across, along), 1.0
                for k in range(_N_BENDS):
                    outline += drawn[i, 7 + k] * math.cos((k + 2) * angle + drawn[i, 10 + k])
                # a pixel's own width blurs the edge of the smallest spots
                inward = 1 - math.hypot(along, across) / (radius * outline)
                share = smooth_step(inward, 0.0, max(soft, 0.5 / radius))
                for channel in range(3):
                    passed[y, x, channel] *= 1 - min(drawn[i, 2 + channel], 0.95) * share
