"""Whether a camera that was knocked after the calibration is noticed, and brought back.

A head is photographed once. Each camera in turn is taken to have been turned since the
calibration, by as much as a knock does; ties are found in the photographs with the wrong rig.
Whether sound rigs are left in peace is told by many takes drawn anew: other places on the same
surface, errors of sightings as the photographs really had them, wrong matches among them.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from ..calibration.check import TakeCheck, check_photos
from ..calibration.stability.coarse import look
from ..calibration.stability.stability import stability_from_ties
from ..calibration.stability.tiefit import cameras_of, fit_ties, triangulate
from ..calibration.stability.ties import (
    STEEPEST,
    TakePhotos,
    Ties,
    TieSettings,
    load_photos,
    refine_ties,
)
from ..capture.session import TakeKind
from ..capture.virtual.studio import StudioConfig, make_session, rng_of
from ..capture.virtual.truth import Truth, load_truth
from ..core.arrays import Bools, Floats, Ints
from ..core.geometry.camera import Camera, Rig
from ..core.geometry.closest import SurfaceQuery
from ..core.geometry.mesh import face_normals
from .calibration_bench_stage import of_size
from .rig_accuracy import calibration_error, inside_image

TURN_DEG = 0.02
_POOL = 30_000  # places on the surface from which takes are drawn
_FIT_PX = 0.1  # scale of the loss by which ties are triangulated


@dataclass(frozen=True, kw_only=True)
class BumpConfig:
    """What to photograph, and how often to draw."""

    seed: int = 0  # another subject; the rig is the benchmark's
    layout: str = "arc30"  # as calibrated
    megapixels: float = 3.0  # of the subject's photographs
    n_clean: int = 100  # takes of an unmoved rig
    n_workers: int = 2  # at a time


def bump_figures(config: BumpConfig, calibrated: Rig, out: Path) -> dict[str, Any]:
    """Photograph a head, turn every camera once, and draw clean takes.

    Parameters
    ----------
    calibrated : Rig
        At the size of the board's photographs.
    out : Path
        Keeps the session and the features.

    Returns
    -------
    dict
        JSON-able: `flagged`, the share of turned cameras that were found; `repaired_um`, the
        worst pair after the repair of any of them; `false_alarms_of_100`, per cent of the
        clean takes of which any camera is said to have moved; `unrepaired_um`, the worst pair
        of the best turned rig; `others_flagged`, steady cameras that were blamed; `margin`,
        least ratio of a turned camera's motion to the largest of the steady ones.
    """
    session = make_session(
        StudioConfig(
            seed=config.seed, layout=config.layout, megapixels=config.megapixels,
            n_board_poses=0, truth_maps=False,
        ),
        out / "session",
    )  # fmt: skip
    truth = load_truth(session.folder)
    rig = Rig(cameras=tuple(of_size(calibrated[c.name], c.width, c.height) for c in truth.rig))
    take = session.takes_of(TakeKind.SUBJECT)[0]
    photos = load_photos(
        session, take, rig, TieSettings(), cache=out / "features", n_workers=config.n_workers
    )
    rng = rng_of(config.seed, "turns")
    turned = {camera.name: _turned(rig, camera, rng) for camera in rig}
    with ThreadPoolExecutor(config.n_workers) as pool:
        checks = list(pool.map(lambda wrong: check_photos(photos, wrong), turned.values()))
    clean = check_photos(photos, rig)
    alarms = _false_alarms(config, photos, rig, truth, take.id)
    return {
        **_turned_figures(turned, checks, truth.rig),
        "false_alarms_of_100": 100 * float(np.mean(alarms)) if len(alarms) else None,
        "clean_take_flagged": not clean.report.steady,
        "clean_usual_px": clean.report.usual_px,
        "noise_px": clean.report.noise_px,
        "n_points": 0 if clean.report.ties is None else clean.report.ties.n_points,
        "n_clean": len(alarms),
        "turn_deg": TURN_DEG,
    }


def _turned(rig: Rig, camera: Camera, rng: np.random.Generator) -> Rig:
    """Return the rig with one camera looking elsewhere by `TURN_DEG`, in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    axis = np.array([np.cos(angle), np.sin(angle), 0.0])  # across its line of sight
    R = Rotation.from_rotvec(np.radians(TURN_DEG) * axis).as_matrix()
    moved = R @ camera.cam_from_world[:, :3]
    wrong = replace(camera, cam_from_world=np.column_stack([moved, -moved @ camera.center]))
    return rig.with_camera(wrong)


def _turned_figures(
    turned: dict[str, Rig], checks: Sequence[TakeCheck], true_rig: Rig
) -> dict[str, Any]:
    found, others, margins, after, before = [], 0, [], [], []
    for (name, wrong), check in zip(turned.items(), checks, strict=True):
        found.append(name in check.report.moved)
        others += sum(other != name for other in check.report.moved)
        motion = {c.name: c.motion_px or 0.0 for c in check.report.cameras}
        steady = max(value for other, value in motion.items() if other != name)
        margins.append(motion[name] / max(steady, 1e-9))
        before.append(calibration_error(wrong, true_rig).pair_um_max)
        rig = check.repaired if check.repaired is not None else wrong
        after.append(calibration_error(rig, true_rig).pair_um_max)
    return {
        "flagged": float(np.mean(found)),
        "repaired_um": float(np.max(after)),
        "repaired_um_mean": float(np.mean(after)),
        "unrepaired_um": float(np.min(before)),
        "others_flagged": others,
        "margin": float(np.min(margins)),
    }


def _false_alarms(
    config: BumpConfig, photos: TakePhotos, rig: Rig, truth: Truth, take: str
) -> Bools:
    """Tell (n_clean,) of which drawn takes anything is said against a camera."""
    places = _Places.on(truth, take, rng=rng_of(config.seed, "places"))
    sightings = _real_sightings(photos, rig, truth, places.query)

    def alarm(number: int) -> bool:
        rng = rng_of(config.seed, f"clean take {number}")
        return not stability_from_ties(places.draw(sightings, rng), rig).steady

    with ThreadPoolExecutor(config.n_workers) as pool:
        alarms: Bools = np.array(list(pool.map(alarm, range(config.n_clean))), dtype=bool)
    return alarms


@dataclass(frozen=True, kw_only=True)
class _Sightings:
    """How ties are seen in real photographs."""

    names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    errors: Floats
    """(N, 2) px, seen minus true."""
    n_views: Ints
    """(n_points,) by how many cameras each point was seen."""


def _real_sightings(photos: TakePhotos, rig: Rig, truth: Truth, query: SurfaceQuery) -> _Sightings:
    """Measure sightings against the true surface: the point nearest to where they meet."""
    coarse = look(photos.seen_by(rig), TieSettings())
    ties = refine_ties(coarse.view, coarse.tracks, coarse.points)
    cameras = cameras_of(ties, truth.rig)
    known = np.asarray(np.isfinite(triangulate(ties, cameras)).all(axis=1))
    ties = ties.selected(known[ties.point_of])
    fit = fit_ties(ties, cameras, triangulate(ties, cameras), scale_px=_FIT_PX)
    on_surface = query.closest(fit.points).points
    errors: Floats = np.zeros_like(ties.xy)
    for row, camera in enumerate(cameras):
        own = ties.camera_of == row
        errors[own] = ties.xy[own] - camera.project(on_surface[ties.point_of[own]])[0]
    return _Sightings(
        names=ties.names,
        sizes=ties.sizes,
        errors=errors[np.isfinite(errors).all(axis=1)],
        n_views=np.bincount(ties.point_of).astype(np.int32),
    )


@dataclass(frozen=True, kw_only=True)
class _Places:
    """Places all over the true surface, and which cameras see them."""

    rig: Rig
    points: Floats
    """(P, 3) mm, seen by two cameras or more."""
    facing: Floats
    """(P, n_cameras) cosine of normal and ray; below `STEEPEST` where not seen."""
    query: SurfaceQuery

    @classmethod
    def on(cls, truth: Truth, take: str, *, rng: np.random.Generator) -> "_Places":
        mesh = truth.mesh(take)
        query = SurfaceQuery(mesh.vertices, mesh.faces)
        a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(np.float64) for k in range(3))
        area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
        face = rng.choice(len(area), _POOL, p=area / area.sum())
        u, v = rng.random((_POOL, 1)), rng.random((_POOL, 1))
        u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
        points = a[face] + u * (b - a)[face] + v * (c - a)[face]
        normals = face_normals(mesh.vertices, mesh.faces)[face]
        facing: Floats = np.full((_POOL, len(truth.rig)), -1.0)
        for row, camera in enumerate(truth.rig):
            to_camera = camera.center - points
            cosine = (to_camera * normals).sum(axis=1) / np.linalg.norm(to_camera, axis=1)
            xy, _ = camera.project(points)
            seen = inside_image(xy, camera) & query.sees(camera, points)
            facing[:, row] = np.where(seen, cosine, -1.0)
        shared = (facing > STEEPEST).sum(axis=1) >= 2
        return cls(rig=truth.rig, points=points[shared], facing=facing[shared], query=query)

    def draw(self, like: _Sightings, rng: np.random.Generator) -> Ties:
        """Draw as many ties as the real take had, each seen by the cameras that face it best."""
        n = min(len(like.n_views), len(self.points))
        rows = rng.choice(len(self.points), n, replace=False)
        facing = self.facing[rows]
        n_views = rng.permutation(like.n_views)[:n]
        rank = np.argsort(np.argsort(-facing, axis=1), axis=1)
        seen = (rank < n_views[:, None]) & (facing > STEEPEST)
        point_of, camera_of = np.nonzero(seen)
        xy = np.zeros((len(point_of), 2))
        for row, (name, size) in enumerate(zip(like.names, like.sizes, strict=True)):
            own = camera_of == row
            camera = self.rig[name].scaled(*size)
            xy[own] = camera.project(self.points[rows[point_of[own]]])[0]
        xy += like.errors[rng.integers(len(like.errors), size=len(xy))]
        ties = Ties(
            names=like.names,
            sizes=like.sizes,
            camera_of=camera_of.astype(np.int32),
            point_of=point_of.astype(np.int32),
            xy=xy,
        )
        return ties.selected(np.ones(len(xy), dtype=bool))
