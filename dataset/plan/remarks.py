"""What is wrong with a rig that is planned, in words, and what to change."""

from collections.abc import Mapping

import numpy as np

from ...core.arrays import Ints
from ...core.geometry.camera import Camera, Rig
from ...core.wording import listed
from .heads import HeadPlan
from .regionplan import RegionPlan
from .regions import FACE, REGIONS, Region

LEAST_SEEN = 0.8
"""Share of a part that two cameras should see."""
_LEAST_SEEN_ASIDE = 0.5  # of ears and neck, which fold
WIDEST_NEIGHBOURS_DEG = 35.0
NARROWEST_PAIR_DEG = 12.0
_MOST_BLUR_PX = 0.75  # where stereo loses a third of its pixels
_MOST_DIM = 1.5  # times the sigma of fair skin in full light
_COARSEST_MM = 0.4  # of a pixel: relief below 2 mm goes
_MOST_CUT = 0.02  # of the face
_LEAST_FILLED = 0.35  # of the frame's tighter side


def remarks_on(
    regions: Mapping[Region, RegionPlan], rig: Rig, mean: HeadPlan, owner: Ints
) -> list[str]:
    """Return sentences, the gravest first; none for a rig without fault."""
    return [
        *_unseen(regions),
        *_cut_off(rig, mean, owner),
        *_baselines(regions),
        *_focus(regions),
        *_light_enough(mean, owner),
        *_fine_enough(regions),
        *_small_in_frame(rig, mean),
    ]


def _unseen(regions: Mapping[Region, RegionPlan]) -> list[str]:
    said = []
    for region, plan in regions.items():
        aside = region in (Region.EARS, Region.NECK)
        least = _LEAST_SEEN_ASIDE if aside else LEAST_SEEN
        if plan.seen_by_two >= least:
            continue
        missing, one = 1 - plan.seen_by_two, plan.seen_by_one - plan.seen_by_two
        if one > 0.5 * missing:
            said.append(
                f"{region}: {one:.0%} of it is seen by one camera only, and stereo needs two; "
                "add a camera beside the one that sees it"
            )
        else:
            said.append(
                f"{region}: {1 - plan.seen_by_one:.0%} of it is seen by no camera at a usable "
                "angle; add two that face it"
            )
    return said


def _cut_off(rig: Rig, mean: HeadPlan, owner: Ints) -> list[str]:
    """Tell which cameras' frames do not hold the face that they look at."""
    face = np.isin(owner, [REGIONS.index(region) for region in FACE])
    cut: dict[str, set[Region]] = {}
    for k, camera in enumerate(rig):
        wanted = mean.facing[k] & face & (mean.area > 0)
        lost = wanted & ~mean.in_frame[k]
        if mean.area[lost].sum() > _MOST_CUT * max(mean.area[wanted].sum(), 1e-9):
            cut[camera.name] = {REGIONS[i] for i in np.unique(owner[lost])}
    if not cut:
        return []
    regions = sorted(set().union(*cut.values()), key=REGIONS.index)
    return [
        f"the face does not fit in the frame of {listed(list(cut))}: {listed(list(regions))} cut "
        "off; go farther away, take a shorter lens, or turn the camera upright"
    ]


def _baselines(regions: Mapping[Region, RegionPlan]) -> list[str]:
    said = []
    wide = [r for r, p in regions.items() if p.angle_deg > WIDEST_NEIGHBOURS_DEG]
    if wide:
        most = max(regions[r].angle_deg for r in wide)
        said.append(
            f"baseline too wide for {listed(list(wide))}: the nearest two cameras that see it "
            f"stand up to {most:.0f} degrees apart, where patches look too different to match "
            f"(stay below {WIDEST_NEIGHBOURS_DEG:.0f}); put a camera between"
        )
    narrow = [r for r, p in regions.items() if p.widest_deg < NARROWEST_PAIR_DEG]
    if narrow:
        most = max(regions[r].widest_deg for r in narrow)
        said.append(
            f"baseline too narrow for {listed(list(narrow))}: no two cameras that see it stand "
            f"more than {most:.0f} degrees apart, so that depth is weak; aim for 15 to 30"
        )
    return said


def _focus(regions: Mapping[Region, RegionPlan]) -> list[str]:
    soft = [r for r, p in regions.items() if p.blur_px > _MOST_BLUR_PX]
    if not soft:
        return []
    most = max(regions[r].blur_px for r in soft)
    return [
        f"out of focus: {listed(list(soft))} blurred by up to {most:.1f} px (standard deviation) "
        "even in the second sharpest view; stop down, or work at fewer megapixels"
    ]


def _light_enough(mean: HeadPlan, owner: Ints) -> list[str]:
    """Tell where noise is what makes most of sigma."""
    face = np.isin(owner, [REGIONS.index(region) for region in FACE]) & (mean.area > 0)
    factor = float(np.sqrt(np.average(mean.dimness[face], weights=mean.area[face])))
    if factor < _MOST_DIM:
        return []
    return [
        f"little light comes from this skin: sensor noise makes sigma {factor:.1f} times what it "
        "is on fair skin in full light; more light or a longer exposure, as far as the brightest "
        "skin does not saturate"
    ]


def _fine_enough(regions: Mapping[Region, RegionPlan]) -> list[str]:
    coarse = [r for r in FACE if regions[r].gsd_mm > _COARSEST_MM]
    if not coarse:
        return []
    most = max(regions[r].gsd_mm for r in coarse)
    return [
        f"a pixel covers up to {most:.2f} mm of {listed(list(coarse))}: wrinkles and pores will "
        "be lost; more megapixels, a longer lens, or nearer"
    ]


def _small_in_frame(rig: Rig, mean: HeadPlan) -> list[str]:
    """Tell which cameras waste most of their frame."""
    small = [camera.name for camera in rig if _filled(camera, mean) < _LEAST_FILLED]
    if not small:
        return []
    return [
        f"the head fills little of the frame of {listed(list(small))}: a longer lens or a shorter "
        "distance gives finer pixels for nothing"
    ]


def _filled(camera: Camera, mean: HeadPlan) -> float:
    """Return the share of the frame's tighter side that the head takes; 1 where it is unknown."""
    xy, _ = camera.project(mean.mesh.vertices)
    if not np.isfinite(xy).all():
        return 1.0
    return float((np.ptp(xy, axis=0) / (camera.width, camera.height)).max())
