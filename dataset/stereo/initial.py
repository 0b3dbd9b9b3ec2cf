"""The first depths of a take: PatchMatch from a very small scale up, confirmed between views."""

import numpy as np

from ...core.arrays import Floats
from ...core.console import track
from ...core.errors import EstimationError
from .consistency import CheckedDepth, check_consistency
from .patchmatch import BLIND, GUIDED, DepthMap, Matcher, match_view
from .views import View, converging, depth_range, focus_point, neighbours

MOST_SOURCES = 4
"""Views that each view is matched with: more cost time and add grazing ones."""

_LEAST_CONFIRMED = 0.002  # of the pixels of a view; fewer and the search range is not narrowed


def first_depths(
    views: list[View], *, seed: int = 0, match: Matcher = match_view
) -> list[CheckedDepth]:
    """Find the confirmed depth of every view, in maps of half the views' size.

    A blind search at half the scale finds the surface within a range that is guessed from
    the cameras alone; the result then guides the search at full scale. Work and memory grow
    linearly with the views: each is matched with `MOST_SOURCES` others.

    Parameters
    ----------
    match : Matcher
        Does the search of one view: numba's loops, or torch's.

    Returns
    -------
    list of CheckedDepth
        Of the sizes and cameras of the views halved once.

    Raises
    ------
    EstimationError
        No two views confirm one another anywhere.
    """
    cameras = [view.camera for view in views]
    subject, known = focus_point(cameras), converging(cameras)
    partners = neighbours(cameras, subject, most=MOST_SOURCES)
    coarse = [view.halved(1) for view in views]
    limits = [depth_range(camera, subject, known=known) for camera in cameras]
    blind: list[DepthMap] = [
        match(coarse, i, partners[i], limits[i], search=BLIND, seed=seed)
        for i in track(range(len(views)), "stereo, coarse")
    ]
    grid = [view.halved(1) for view in coarse]
    limits = [
        _narrowed(check_consistency(grid, blind, i, partners[i]), limits[i])
        for i in range(len(views))
    ]
    found = [
        match(
            views, i, partners[i], limits[i], start=blind[i], search=GUIDED, seed=seed + 1
        )
        for i in track(range(len(views)), "stereo")
    ]  # fmt: skip
    checked = [check_consistency(coarse, found, i, partners[i]) for i in range(len(views))]
    if not any(np.isfinite(one.depth).any() for one in checked):
        raise EstimationError(
            "stereo confirmed no depth at all: check that the rig belongs to these photographs, "
            "that they overlap and are sharp, and the masks"
        )
    return checked


def _narrowed(found: CheckedDepth, limits: tuple[float, float]) -> tuple[float, float]:
    """Return the range that confirmed depths span, with a margin; the old one if too few."""
    depth: Floats = found.depth[np.isfinite(found.depth)].astype(np.float64)
    if len(depth) < _LEAST_CONFIRMED * found.depth.size:
        return limits
    near, far = np.percentile(depth, [0.5, 99.5])
    margin = 0.15 * (far - near)
    return max(limits[0], float(near - margin)), min(limits[1], float(far + margin))
