"""Signed distances of simple solids and their smooth unions, for sculpting in code.

All take points (N, 3) in mm and return (N,) approximate signed distances, negative inside.

Source
------
Bounds and blends after Inigo Quilez, "distance functions" and "smooth minimum"
(iquilezles.org/articles), written anew for arrays.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats

Field = Callable[[Floats], Floats]
"""Points (N, 3) -> signed distance (N,), mm."""


def ellipsoid(p: Floats, center: ArrayLike, radii: ArrayLike, *, tilt_deg: float = 0.0) -> Floats:
    """Return the distance to an ellipsoid; `tilt_deg` turns it about x (y towards z)."""
    q = p - np.asarray(center, dtype=np.float64)
    if tilt_deg:
        c, s = np.cos(np.radians(tilt_deg)), np.sin(np.radians(tilt_deg))
        q = q @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    r = np.asarray(radii, dtype=np.float64)
    k0 = np.sqrt((q * q / (r * r)).sum(1))
    k1 = np.sqrt((q * q / r**4).sum(1))
    return np.asarray(k0 * (k0 - 1.0) / np.maximum(k1, 1e-9))


def chain(p: Floats, points: ArrayLike, radii: ArrayLike) -> Floats:
    """Return the distance to a tube along a polyline (M, 3) whose radius (M,) varies linearly."""
    line, r = np.asarray(points, dtype=np.float64), np.asarray(radii, dtype=np.float64)
    best = np.full(len(p), np.inf)
    for k in range(len(line) - 1):
        a, ab = line[k], line[k + 1] - line[k]
        t = np.clip((p - a) @ ab / (ab @ ab), 0.0, 1.0)
        q = p - a - t[:, None] * ab
        d = np.sqrt((q * q).sum(1)) - (r[k] + t * (r[k + 1] - r[k]))
        best = np.minimum(best, d)
    return best


def smooth_min(a: Floats, b: Floats, k: float | Floats) -> Floats:
    """Return the union of two solids, blended over `k` mm."""
    h = np.maximum(k - np.abs(a - b), 0.0) / k
    return np.asarray(np.minimum(a, b) - h * h * k * 0.25)


def smooth_max(a: Floats, b: Floats, k: float | Floats) -> Floats:
    """Return the intersection of two solids, blended over `k` mm."""
    return -smooth_min(-a, -b, k)


def smooth_curve(points: ArrayLike, *, n: int = 12) -> Floats:
    """Return (n, D) points along the Catmull-Rom curve through `points` (M, D)."""
    knots = np.asarray(points, dtype=np.float64)
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    at = np.linspace(0, len(knots) - 1, n)
    k = np.minimum(at.astype(int), len(knots) - 2)
    t = (at - k)[:, None]
    a, b, c, d = (padded[k + i] for i in range(4))
    return np.asarray(
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2
               + (3 * b - a - 3 * c + d) * t**3)
    )  # fmt: skip


def gradient(field: Field, p: Floats, *, step: float = 0.05) -> Floats:
    """Return (N, 3) the gradient by tetrahedral differences."""
    corners = np.array([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], dtype=np.float64)
    stacked = field((p[None] + step * corners[:, None]).reshape(-1, 3)).reshape(4, -1)
    return np.asarray(stacked.T @ corners / (4 * step))


def cast_inward(
    field: Field, origins: Floats, directions: Floats, *, start: float, n_steps: int = 32
) -> Floats:
    """Return (N, 3) where rays that come in from `origins + start * directions` meet the solid."""
    t = np.full(max(len(origins), len(directions)), start)
    for _ in range(n_steps):
        t -= 0.85 * field(origins + t[:, None] * directions)
    return np.asarray(origins + t[:, None] * directions)


def project(field: Field, p: Floats, *, n_steps: int = 2) -> Floats:
    """Return (N, 3) `p` moved onto the surface along the gradient (Newton steps)."""
    for _ in range(n_steps):
        g = gradient(field, p)
        scale = field(p) / np.maximum((g * g).sum(1), 0.25)
        p = p - np.clip(scale, -6, 6)[:, None] * g
    return p
