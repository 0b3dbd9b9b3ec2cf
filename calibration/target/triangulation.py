"""A point from the rays of several cameras, some of which may be wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ...core.arrays import Floats
from ...core.geometry.camera import Camera

AGREE_PX = 3.0  # of a 4000 px image; larger images have more of it
IMAGE_PX = 4000.0
LEAST_ANGLE_DEG = 1.0  # between two rays, for a depth to be told
NOISE_PX = 0.03  # residuals of few views may be small by chance; no centre is better than this


@dataclass(frozen=True, kw_only=True)
class Ray:
    """Where one photograph shows the point."""

    camera: Camera
    normalised: Floats
    """(2,) undistorted."""

    @property
    def focal_px(self) -> float:
        """Turns normalised lengths into px."""
        return float(np.sqrt(self.camera.K[0, 0] * self.camera.K[1, 1]))

    @property
    def tolerance_px(self) -> float:
        """How far off the point's image may be."""
        longer = max(self.camera.width, self.camera.height)
        return float(AGREE_PX * max(1.0, longer / IMAGE_PX))


@dataclass(frozen=True, kw_only=True)
class Triangulated:
    """A point in the world."""

    point: Floats
    """(3,)."""
    covariance: Floats
    """(3, 3), from its residuals."""
    n_views: int
    """Photographs that agree on it."""
    rms_px: float
    """Root mean square distance in these."""


def triangulate(rays: Sequence[Ray]) -> Triangulated | None:
    """Return the point on which most cameras agree.

    Every pair of rays proposes a point; the one with most others near it is refined by least
    squares in the images. Several rays of one camera are alternatives: at most one counts.

    Returns
    -------
    Triangulated, optional
        None where no two cameras agree, or only such that look along one line.
    """
    best: list[Ray] = []
    best_score = (0, -np.inf)
    for a, b in combinations(rays, 2):
        if a.camera.name == b.camera.name:
            continue
        proposed = _meeting(a, b)
        if proposed is None:
            continue
        near, misses = _agreeing(rays, proposed)
        score = (len(near), -float(np.sum(misses)))
        if len(near) >= 2 and score > best_score:
            best, best_score = near, score
    return _refined(best) if best else None


def _meeting(a: Ray, b: Ray) -> Floats | None:
    """Return the point nearest to two rays; None where they are parallel or meet behind."""
    (origin_a, along_a), (origin_b, along_b) = _line(a), _line(b)
    if np.linalg.norm(np.cross(along_a, along_b)) < np.sin(np.radians(LEAST_ANGLE_DEG)):
        return None
    system = np.column_stack([along_a, -along_b])
    (s, t), *_ = np.linalg.lstsq(system, origin_b - origin_a, rcond=None)
    if s <= 0 or t <= 0:
        return None
    return np.asarray((origin_a + s * along_a + origin_b + t * along_b) / 2, dtype=np.float64)


def _line(ray: Ray) -> tuple[Floats, Floats]:
    R = ray.camera.cam_from_world[:, :3]
    along = R.T @ np.append(ray.normalised, 1.0)
    return ray.camera.center, along / np.linalg.norm(along)


def _agreeing(rays: Sequence[Ray], point: Floats) -> tuple[list[Ray], list[float]]:
    """Return the nearest ray of each camera that agrees with the point, and its distance, px."""
    nearest: dict[str, tuple[float, Ray]] = {}
    for ray in rays:
        off, _ = _miss(ray, point)
        distance = float(np.linalg.norm(off))
        if distance <= ray.tolerance_px and (
            ray.camera.name not in nearest or distance < nearest[ray.camera.name][0]
        ):
            nearest[ray.camera.name] = (distance, ray)
    return [ray for _, ray in nearest.values()], [distance for distance, _ in nearest.values()]


def _miss(ray: Ray, point: Floats) -> tuple[Floats, Floats]:
    """Return projected minus seen, (2,) px, and its derivative by the point, (2, 3)."""
    R, t = ray.camera.cam_from_world[:, :3], ray.camera.cam_from_world[:, 3]
    x, y, z = R @ point + t
    if z <= 0:
        return np.full(2, np.inf), np.zeros((2, 3))
    projected = np.array([x / z, y / z])
    slope = np.array([[1 / z, 0, -x / z**2], [0, 1 / z, -y / z**2]]) @ R
    f = ray.focal_px
    return f * (projected - ray.normalised), f * slope


def _refined(rays: Sequence[Ray], *, n_steps: int = 10) -> Triangulated | None:
    """Return the least-squares point of these rays, by Gauss and Newton."""
    lines = [_line(ray) for ray in rays]
    # start: nearest to all lines
    across = [np.eye(3) - np.outer(along, along) for _, along in lines]
    pulled = sum(m @ origin for m, (origin, _) in zip(across, lines, strict=True))
    point = np.linalg.solve(np.sum(across, axis=0), pulled)
    for _ in range(n_steps):
        parts = [_miss(ray, point) for ray in rays]
        off = np.concatenate([part[0] for part in parts])
        slope = np.concatenate([part[1] for part in parts])
        if not np.isfinite(off).all():
            return None
        step = np.linalg.lstsq(slope, -off, rcond=None)[0]
        point = point + step
        if np.linalg.norm(step) <= 1e-10 * np.linalg.norm(point - rays[0].camera.center):
            break
    off = np.concatenate([_miss(ray, point)[0] for ray in rays])
    variance = max(float(off @ off) / max(len(off) - 3, 1), NOISE_PX**2)
    return Triangulated(
        point=point,
        covariance=variance * np.linalg.inv(slope.T @ slope),
        n_views=len(rays),
        rms_px=float(np.sqrt(off @ off / len(rays))),
    )
