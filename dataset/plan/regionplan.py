"""The figures of one part of the face, from those of the vertices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...core.arrays import Bools, Floats, Ints
from .heads import HeadPlan
from .precision import within_68
from .regions import REGIONS, Region


@dataclass(frozen=True, kw_only=True)
class RegionPlan:
    """What a rig will make of a part of the face; over all heads that were looked at."""

    seen_by_one: float
    """Share of the surface, 0-1, that one camera or more sees at a usable angle."""
    seen_by_two: float
    seen_by_three: float
    least_seen_by_two: float
    """Of the head where it is worst."""
    views: float
    """Cameras that see a place, on average."""
    gsd_mm: float
    """Ground sample distance: a pixel in the best view, median where two cameras see."""
    sigma_mm: float
    """68 % of the surface that two cameras see errs by less, along its normal."""
    worst_sigma_mm: float
    """Of the head where it is worst."""
    blur_px: float
    """Median standard deviation of defocus and diffraction in the second sharpest view."""
    angle_deg: float
    """Median angle between the two cameras that stand nearest to each other."""
    widest_deg: float
    """Median angle between the two that stand farthest apart."""


def region_plans(heads: Sequence[HeadPlan], owner: Ints) -> dict[Region, RegionPlan]:
    """Return the figures of every part; `owner` (V,) says which one a vertex belongs to.

    Figures without any surface that two cameras see are NaN.
    """
    return {region: _of(heads, owner == i) for i, region in enumerate(REGIONS)}


def _of(heads: Sequence[HeadPlan], part: Bools) -> RegionPlan:
    area = np.concatenate([head.area[part] for head in heads])
    views = np.concatenate([head.n_views[part] for head in heads])
    two = views >= 2

    def share(least: int) -> float:
        return float(area[views >= least].sum() / max(area.sum(), 1e-9))

    def median(name: str) -> float:
        values = np.concatenate([getattr(head, name)[part] for head in heads])
        return weighted_median(values[two], area[two])

    each = [within_68(head.sigma_mm[part], head.area[part]) for head in heads]
    finite = [value for value in each if np.isfinite(value)]
    return RegionPlan(
        seen_by_one=share(1),
        seen_by_two=share(2),
        seen_by_three=share(3),
        least_seen_by_two=min(
            float(h.area[part & (h.n_views >= 2)].sum() / max(h.area[part].sum(), 1e-9))
            for h in heads
        ),
        views=float((area * views).sum() / max(area.sum(), 1e-9)),
        gsd_mm=median("gsd_mm"),
        sigma_mm=within_68(np.concatenate([head.sigma_mm[part] for head in heads]), area),
        worst_sigma_mm=max(finite, default=float("nan")),
        blur_px=median("blur_px"),
        angle_deg=median("angle_deg"),
        widest_deg=median("widest_deg"),
    )


def weighted_median(values: Floats, weight: Floats) -> float:
    """Return the value that half of the weight lies below; NaN without any weight."""
    known = np.isfinite(values) & (weight > 0)
    if not known.any():
        return float("nan")
    order = np.argsort(values[known])
    total = np.cumsum(weight[known][order])
    return float(values[known][order][np.searchsorted(total, total[-1] / 2)])


def overall(regions: Mapping[Region, RegionPlan], wanted: Sequence[Region]) -> dict[str, float]:
    """Return the plain means, over the wanted parts, of what they have in common."""
    names = ("seen_by_two", "seen_by_three", "gsd_mm", "sigma_mm")
    return {
        name: float(np.mean([getattr(regions[region], name) for region in wanted]))
        for name in names
    }
