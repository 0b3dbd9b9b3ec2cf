"""Smooth displacement fields of which the built-in head's modes are made."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats

Displacement = Callable[[Floats], Floats]
"""Points (N, 3), mm -> displacement (N, 3), mm."""


def bell(points: Floats, center: ArrayLike, radii: ArrayLike, *, both: bool = True) -> Floats:
    """Return (N,) a Gaussian bell, 1 at `center`, 0.37 at `radii`; `both`: on both sides of x = 0.

    Where the two bells of both sides overlap they are joined smoothly and stay below 1.
    """
    r = np.broadcast_to(np.asarray(radii, dtype=np.float64), 3)
    c = np.asarray(center, dtype=np.float64)
    left = np.exp(-(((points - c) / r) ** 2).sum(1))
    if not both:
        return np.asarray(left)
    right = np.exp(-(((points - c * (-1, 1, 1)) / r) ** 2).sum(1))
    return np.asarray(left + right - left * right)


def side(points: Floats, *, width: float = 8.0) -> Floats:
    """Return (N,) a smooth sign of x."""
    return np.asarray(np.tanh(points[:, 0] / width))


def step(x: Floats, low: float, high: float) -> Floats:
    """Return a smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t))


@dataclass(frozen=True, kw_only=True)
class Push:
    """Move what lies round `center` by `vector`; its x is mirrored on the other side."""

    center: tuple[float, float, float]
    radii: tuple[float, float, float]
    vector: tuple[float, float, float]
    both: bool = True

    def __call__(self, points: Floats) -> Floats:
        """Return the displacement (N, 3) at `points`."""
        w = bell(points, self.center, self.radii, both=self.both)
        vx, vy, vz = self.vector
        sx = side(points) if self.both else np.ones(len(points))
        return np.stack([w * vx * sx, w * vy, w * vz], axis=1)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Scale round `center` along each axis by `factors` within `radii`."""

    center: tuple[float, float, float]
    radii: tuple[float, float, float]
    factors: tuple[float, float, float]
    both: bool = True

    def __call__(self, points: Floats) -> Floats:
        """Return the displacement (N, 3) at `points`."""
        w = bell(points, self.center, self.radii, both=self.both)
        c = np.asarray(self.center) * np.ones((len(points), 3))
        if self.both and self.center[0] != 0:
            c[:, 0] *= side(points)
        return np.asarray(w[:, None] * (points - c) * np.asarray(self.factors))


def total(*fields: Displacement) -> Displacement:
    """Return the sum of fields."""

    def summed(points: Floats) -> Floats:
        return np.asarray(sum(f(points) for f in fields))

    return summed
