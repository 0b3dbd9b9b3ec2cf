"""Which photographs agree with the rig at all, before places are measured finely.

Features alone show cameras that were moved by many pixels, photographs that hang on the wrong
camera and those of something else; only then is it known where to look for patches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...core.arrays import Bools, Floats
from ...core.geometry.camera import Camera, Rig
from ..frame import nearest_to_axes
from .relocate import landmarks_of, place_of, relocate
from .repair import repair_pose
from .stability import stability_from_ties
from .stabilityreport import StabilityReport, Verdict
from .tiefit import cameras_of, count_of, fit_ties, triangulate
from .ties import TakePhotos, Ties, TieSettings
from .tracks import find_tracks

NEAR = 0.002  # of the longer side: features on one point agree within, 3 px of 1500
LOST_SHARE = 0.5  # of the usual share of features that agree with their points; lost below
FAR = 0.03  # of the longer side: a motion beyond is not believed from matches near lines
MIN_SEEN = 20  # features of a camera on points of three cameras, to be judged
MIN_FEATURES = 200  # of a photograph that should agree with others
COARSE_SCALE = 1 / 3  # of NEAR, Cauchy's


@dataclass(frozen=True, kw_only=True)
class Coarse:
    """Photographs in the places that their features want, and what agrees there."""

    view: TakePhotos
    """Its cameras only tell where to look."""
    tracks: Ties
    """Of features, wrong ones left out."""
    points: Floats
    """(n_points, 3) of the tracks."""
    strangers: dict[str, Verdict]
    """Cameras left out: `foreign` or `too few ties`."""
    exchanged: tuple[tuple[str, str], ...] = ()
    """(camera, the camera whose place its photograph was taken from)."""


def look(photos: TakePhotos, settings: TieSettings) -> Coarse:
    """Find what agrees, where each photograph was taken, and which ones agree with none."""
    view, tracks, lost = _look(photos, settings, without=())
    strangers: dict[str, Verdict] = {}
    exchanged: tuple[tuple[str, str], ...] = ()
    if lost:
        view, exchanged, strangers = _placed(view, photos, tracks, lost)
        without = [view.names.index(name) for name in strangers]
        view, tracks, still = _look(view, settings, without=without)
        strangers |= {view.names[row]: _stranger(view, row) for row in still}
    points = _points(tracks, view)
    # cameras in one place, turned about their axis: what only they see has no place of its own
    known: Bools = np.asarray(np.isfinite(points).all(axis=1))
    tracks, points = tracks.selected(known[tracks.point_of]), points[known]
    return Coarse(view=view, tracks=tracks, points=points, strangers=strangers, exchanged=exchanged)


def _look(
    photos: TakePhotos, settings: TieSettings, *, without: Sequence[int]
) -> tuple[TakePhotos, Ties, list[int]]:
    """Return the photographs in better places, the tracks that agree, and cameras that do not."""
    lost: list[int] = []
    view = photos
    while True:
        aside = [*without, *lost]
        tracks = find_tracks(view, settings, without=aside)
        report = stability_from_ties(_firm(tracks), Rig(cameras=view.cameras), clean=False)
        worst = _lost(tracks, report, view)
        if worst is None or len(view.names) - len(aside) <= 3:
            break
        lost.append(worst)  # and again without what it spoils in the others' tracks
    if report.moved and not report.whole_rig:
        view = _let_go(report, view)
        tracks = find_tracks(view, settings, without=aside)
    return view, tracks.selected(_agreeing(tracks, view)), lost


def _let_go(report: StabilityReport, view: TakePhotos) -> TakePhotos:
    """Return the photographs with moved cameras where the ties want them, as far as these tell."""
    moved = {name: report.of(name).verdict for name in report.moved}
    if not moved or report.ties is None or len(view.names) - len(moved) < 2:
        return view
    return view.seen_by(repair_pose(report.ties, Rig(cameras=view.cameras), moved).rig)


def _firm(tracks: Ties) -> Ties:
    """Return the points that three cameras see: two agree on anything near an epipolar line."""
    count = np.bincount(tracks.point_of, minlength=tracks.n_points)
    return tracks.selected(count[tracks.point_of] >= 3)


def _lost(tracks: Ties, report: StabilityReport, view: TakePhotos) -> int | None:
    """Return the camera whose features agree least even when it is let go, if too little."""
    firm = _firm(tracks)
    count, agreeing = count_of(firm), count_of(firm, _agreeing(firm, _let_go(report, view)))
    share = agreeing / np.maximum(count, 1)
    known = count >= MIN_SEEN
    if not known.any():
        return None
    usual = float(np.median(share[known]))
    worst = int(np.where(known, share, np.inf).argmin())
    poor = share[worst] < LOST_SHARE * usual
    moved = _too_far(report, view)
    if not poor and moved is not None:
        return moved
    return worst if poor else None


def _too_far(report: StabilityReport, view: TakePhotos) -> int | None:
    """Return a camera said to have moved further than matches near lines can tell."""
    for row, name in enumerate(view.names):
        if name in report.moved and (report.of(name).motion_px or 0) > FAR * max(view.sizes[row]):
            return row
    return None


def _agreeing(tracks: Ties, view: TakePhotos) -> Bools:
    """Return which sightings (N,) lie near their point, placed so that most do."""
    if not len(tracks.xy):
        return np.zeros(0, dtype=bool)
    cameras = cameras_of(tracks, Rig(cameras=view.cameras))
    near = NEAR * max(max(size) for size in tracks.sizes)
    points = triangulate(tracks, cameras)
    known: Bools = np.asarray(np.isfinite(points).all(axis=1))
    points = np.where(known[:, None], points, 0.0)
    fit = fit_ties(tracks, cameras, points, scale_px=COARSE_SCALE * near)
    return (fit.distance < near) & known[tracks.point_of]


def _points(tracks: Ties, view: TakePhotos) -> Floats:
    return triangulate(tracks, cameras_of(tracks, Rig(cameras=view.cameras)))


def _placed(
    view: TakePhotos, photos: TakePhotos, tracks: Ties, lost: Sequence[int]
) -> tuple[TakePhotos, tuple[tuple[str, str], ...], dict[str, Verdict]]:
    """Look for the places of lost photographs among the points that the others agree on."""
    points, firm = _points(tracks, view), tracks
    assert firm.feature_of is not None
    rows = [
        (row, firm.feature_of[firm.camera_of == row])
        for row in range(len(view.names))
        if (firm.camera_of == row).any()
    ]
    places = [points[firm.point_of[firm.camera_of == row]] for row, _ in rows]
    if not rows:
        return view, (), {view.names[row]: Verdict.TOO_FEW for row in lost}
    landmarks = landmarks_of(view, rows, places)
    middle = nearest_to_axes(view.cameras)
    poses = {row: relocate(photos, row, landmarks) for row in lost}
    slots = {row: place_of(pose, photos.cameras, middle) for row, pose in poses.items()
             if pose is not None}  # fmt: skip
    order = list(range(len(view.names)))
    taken = {slot: row for row, slot in slots.items() if slot is not None and slot != row}
    swaps = {s: r for s, r in taken.items() if s in lost}
    if swaps and set(swaps) != set(swaps.values()):
        swaps = _closed(swaps, lost)
    for slot, row in swaps.items():
        order[slot] = row
    exchanged = tuple((view.names[row], view.names[slot]) for slot, row in sorted(swaps.items()))
    strangers, cameras = {}, [*view.cameras]
    for row in lost:
        if row in swaps.values():
            continue
        pose = poses[row]
        if pose is None:
            strangers[view.names[row]] = _stranger(view, row)
        else:
            cameras[row] = replace(cameras[row], cam_from_world=pose)
    moved = replace(view, cameras=tuple(cameras))
    return moved.reordered(order), exchanged, strangers


def _closed(swaps: dict[int, int], lost: Sequence[int]) -> dict[int, int]:
    """Complete exchanges of which one half was found: the photograph left fills the place left."""
    free = [slot for slot in swaps.values() if slot not in swaps]
    left = [row for row in swaps if row not in swaps.values() and row in lost]
    return {**swaps, **dict(zip(free, left, strict=False))} if len(free) == len(left) else {}


def _stranger(view: TakePhotos, row: int) -> Verdict:
    """Tell a photograph of something else from one that can hardly agree with any other."""
    middle = nearest_to_axes(view.cameras)
    rays = np.array([_towards(camera, middle) for camera in view.cameras])
    near = np.flatnonzero(rays @ rays[row] > np.cos(np.radians(35.0)))
    if len(view.features[row]) < MIN_FEATURES or len(near) < 2:
        return Verdict.TOO_FEW
    return Verdict.FOREIGN


def _towards(camera: Camera, middle: Floats) -> Floats:
    ray = camera.center - middle
    return np.asarray(ray / np.linalg.norm(ray))
