"""Which cameras of a rig see which points of a head, from what angle and how finely."""

from dataclasses import dataclass

import numpy as np

from ...core.arrays import Bools, Floats, Floats32, Ints
from ...core.geometry.camera import Rig
from ...core.geometry.closest import SurfaceQuery
from ..stereo.sweep import SweepConfig

MARGIN_PX = 2.0 * SweepConfig.radius + 3.0
"""Nearer to the frame, stereo's patches would leave the image."""
_LIFT_MM = 0.3  # off the surface, so that it does not hide itself


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What the cameras of a rig see of N points."""

    seen: Bools
    """(n_views, N): inside the frame, nothing in between, steeper than stereo's limit."""
    cosine: Floats
    """(n_views, N) of the angle between the normal and the direction to the camera."""
    pixel_mm: Floats
    """(n_views, N): size of a pixel at the point, square to the line of sight."""
    depth_mm: Floats
    """(n_views, N): along the optical axis."""
    slide: Floats
    """(n_views, N, 3): how far, and which way, a point that moves by 1 along its normal slides
    over the surface as that camera sees it; the tangent of the viewing angle."""
    in_frame: Bools
    """(n_views, N): whether it would be in the picture, hidden or not."""
    facing: Bools
    """(n_views, N): whether it would be seen if the frame were large enough."""

    def within(self, least_cosine: float) -> Bools:
        """Return (n_views, N) which of `seen` are seen at least so squarely."""
        return self.seen & (self.cosine > least_cosine)


def sight_of(rig: Rig, points: Floats, normals: Floats, surface: SurfaceQuery) -> Sight:
    """Find what `rig` sees of `points` (N, 3) with unit `normals` on `surface`."""
    shape = (len(rig), len(points))
    in_frame, facing = np.zeros((2, *shape), bool)
    cosine, pixel, depth = np.zeros((3, *shape))
    slide = np.zeros((*shape, 3))
    start = points + _LIFT_MM * normals
    for k, camera in enumerate(rig):
        away = camera.center - points
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        cosine[k] = (away * normals).sum(axis=1)
        xy, depth[k] = camera.project(points)
        pixel[k] = depth[k] / camera.K[0, 0]
        inside = (xy > MARGIN_PX).all(axis=1) & (
            xy < (camera.width - MARGIN_PX, camera.height - MARGIN_PX)
        ).all(axis=1)
        in_frame[k] = inside & (depth[k] > 0)
        rows = np.flatnonzero((depth[k] > 0) & (cosine[k] > SweepConfig.least_cosine))
        facing[k, rows] = ~surface.occluded(start[rows], away[rows])
        slide[k] = away / np.maximum(cosine[k], 0.2)[:, None] - normals
    return Sight(
        seen=facing & in_frame, cosine=cosine, pixel_mm=pixel, depth_mm=depth, slide=slide,
        in_frame=in_frame, facing=facing,
    )  # fmt: skip


def best_views(sight: Sight, *, most: int = SweepConfig.most_views) -> Ints:
    """Return (most, N) the views that stereo judges each point by, best first; -1 fills up."""
    n_views, n = sight.seen.shape
    facing = np.where(sight.seen, sight.cosine, -1.0)
    order = np.argsort(-facing, axis=0, kind="stable")[:most]
    chosen = np.full((most, n), -1, np.int32)
    known = np.take_along_axis(facing, order, axis=0) > 0
    chosen[: min(most, n_views)] = np.where(known, order, -1)
    return chosen


def footprint_of(sight: Sight, chosen: Ints) -> Floats32:
    """Return (N,) the size, mm, of the smallest pixel among the `chosen` views; NaN of none."""
    pixel = np.where(chosen >= 0, np.take_along_axis(sight.pixel_mm, chosen, axis=0), np.inf)
    smallest = pixel.min(axis=0)
    return np.where(np.isfinite(smallest), smallest, np.nan).astype(np.float32)
