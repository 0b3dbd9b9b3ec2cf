"""Geometric consistency: keep what other views' depth maps confirm."""

from dataclasses import dataclass

import numpy as np

from ...core.arrays import Floats32, Ints
from .patchmatch import DepthMap
from .views import View

MOST_COST = 0.55
"""1 - NCC above which a match says nothing."""


@dataclass(frozen=True, kw_only=True)
class CheckedDepth:
    """A view's depth that other views confirm."""

    depth: Floats32
    """(height, width) along z; NaN where unconfirmed."""
    normal: Floats32
    """(height, width, 3) unit, world frame, towards the camera."""
    confidence: Floats32
    """(height, width) in [0, 1]: NCC times the share of views that confirm; 0 where NaN."""
    n_confirming: Ints
    """(height, width): views that agree."""


def check_consistency(
    views: list[View], maps: list[DepthMap], reference: int, sources: Ints, *,
    most_px: float = 1.5, most_relative: float = 0.01, least_views: int = 1,
) -> CheckedDepth:  # fmt: skip
    """Confirm a view's depths by going to each source's depth and back.

    A source confirms a pixel when its own depth there differs by less than `most_relative`
    and leads back to within `most_px` of where the trip began.
    """
    view, found = views[reference], maps[reference]
    camera = view.camera
    shape = found.depth.shape
    candidate = np.isfinite(found.depth) & (found.cost < MOST_COST) & view.mask
    xy = camera.pixel_centers()[candidate]
    points = camera.center + found.depth[candidate, None] * camera.unproject(xy)
    count = np.zeros(len(xy), np.int32)
    for source in sources:
        other = views[source].camera
        there, depth = other.project(points)
        with np.errstate(invalid="ignore"):
            inside = (depth > 0) & (there >= 0).all(1) & (there[:, 0] < other.width)
            inside &= there[:, 1] < other.height
        cell = np.where(inside[:, None], there, 0).astype(int)
        seen = np.where(inside, maps[source].depth[cell[:, 1], cell[:, 0]], np.nan)
        with np.errstate(invalid="ignore"):
            agrees = np.abs(seen - depth) < most_relative * depth
            back, _ = camera.project(other.center + seen[:, None] * other.unproject(there))
            agrees &= np.linalg.norm(back - xy, axis=1) < most_px
        count += agrees
    n_confirming = np.zeros(shape, np.int32)
    n_confirming[candidate] = count
    keep = n_confirming >= min(least_views, len(sources))
    normal = found.normal @ camera.cam_from_world[:, :3].astype(np.float32)
    length = np.linalg.norm(normal, axis=2, keepdims=True)
    normal = np.divide(normal, length, out=np.zeros_like(normal), where=length > 0)
    share = np.clip(n_confirming / min(2, len(sources)), 0, 1)
    return CheckedDepth(
        depth=np.where(keep, found.depth, np.nan).astype(np.float32),
        normal=normal.astype(np.float32),
        confidence=np.where(keep, np.clip(1 - found.cost, 0, 1) * share, 0).astype(np.float32),
        n_confirming=n_confirming,
    )
