"""The stage `self_calibrate`: a rig from photographs of the subject itself, without a board.

Features of each take are matched across its cameras, pooled per camera and mapped by COLMAP.
The size of the result is unknown unless a scale bar or the distance of two cameras is given.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import trimesh

from ..capture.session import CameraInfo, Session, Take, TakeKind
from ..core.arrays import Bytes, Floats
from ..core.config import to_mapping
from ..core.errors import CalibrationError
from ..core.files import StageKey, atomic_path, finished, hash_of, stage_run
from ..core.geometry.camera import Rig
from ..core.geometry.transform import Similarity
from .frame import orientations, upright
from .record import (
    RESIDUALS_FILE,
    Residuals,
    camera_figures,
    coverage,
    joint_rms,
    write_record,
)
from .rigfile import RIG_FILE
from .solve.intrinsics import UNKNOWN_FOCAL, as_photographed, focal_guess
from .structure.features import FEATURES_VERSION, FeatureSettings
from .structure.mapping import Attempt, Lens, Mapped, MappingProblem, map_cameras, verify
from .structure.pool import PooledFeatures, point_colors, pool_features, shot_digests
from .structure.selfscale import Size, known_length, size_of, takes_with_bars
from .verdict import Figures, judge, length_error

log = logging.getLogger(__name__)

SELFCAL_VERSION = 2
"""Raised whenever a change moves results: older ones are then computed again."""

POINTS_FILE = "points.ply"
ATTEMPTS = (
    Attempt(refine=False),
    Attempt(),
    Attempt(focal_factor=1.5, refine=False),
    Attempt(focal_factor=2.2, refine=False),
    Attempt(focal_factor=0.7, refine=False),
    Attempt(focal_factor=3.2, refine=False),
    Attempt(focal_factor=1.5),
    Attempt(focal_factor=2.2),
)
"""Ways to start, tried until all cameras register, the first two in any case. On narrow
lenses, a focal length that follows while few cameras are placed runs away; held, it may be
wrong by half."""
N_ALWAYS = 2
POINT_RADIUS = 100.0  # units: what half of the points lie within when the size is unknown
FEW_POINTS = 100  # of a camera, below which its place is weak
LARGE_RMS_PX = 1.5


@dataclass(frozen=True, kw_only=True)
class SelfCalibrateConfig:
    """How to calibrate a rig from its subject."""

    takes: tuple[str, ...] = ()  # ids; empty: all takes of kind `subject`, up to `max_takes`
    max_takes: int = 8  # of a fixed rig, spread evenly: more add time rather than accuracy
    scale_bar: str | tuple[str, ...] = ""
    """Known length: of scale bars (`DICT_5X5_250:240-241=180.02`, several with commas between or
    as a list), or between two cameras (`camA,camB=mm`); empty: the size stays unknown."""
    max_image_size: int = 2400  # px of the longer side where features are searched
    peak_threshold: float = 0.0015  # least contrast of a feature; 0.0067 leaves skin empty
    max_features: int = 8192  # of a photograph
    max_ratio: float = 0.8  # Lowe's test
    n_workers: int = 2  # photographs searched at a time


def self_calibrate(session: Session, out: Path, config: SelfCalibrateConfig) -> dict[str, Any]:
    """Calibrate the session's cameras from its takes of kind `subject`.

    Writes `rig.json` (with `metric` false unless `scale_bar` is given), `residuals.json`,
    `points.ply`, `features/` and `markers/` (kept for the next run) and `stage.json` into
    `out`; an `out` that is already up to date is left as it is. Cameras that share too little
    with the others are left out of the rig and named in `unregistered` and `warnings`.

    Returns
    -------
    dict
        JSON-able, see `docs/formats/calibration.md`.

    Raises
    ------
    ConfigError
        A take or camera that the config names is not there; a scale bar of another form.
    CalibrationError
        Fewer than two cameras can be placed, or the known length is not seen.
    """
    takes = _takes(session, config)
    cameras = as_photographed(session, takes)
    known = known_length(session, config.scale_bar)
    digests = shot_digests(session, takes)
    key = _key(session, takes, digests, config)
    record = finished(out, key, outputs=[RIG_FILE, RESIDUALS_FILE, POINTS_FILE])
    if record is not None:
        log.info("%s: calibration is up to date", out)
        return {**record["results"], "rig": str(out / RIG_FILE)}
    with stage_run(out, key) as run:
        pooled = pool_features(
            session,
            takes,
            digests,
            _settings(config),
            n_workers=config.n_workers,
            cache=out / "features",
        )
        problem = _problem(session, cameras, pooled, config)
        with TemporaryDirectory(prefix="mapping.", dir=out) as folder:
            mapped = _best(problem, Path(folder))
        size = None
        if known is not None:
            size = size_of(
                session,
                mapped.cameras,
                known,
                takes=takes_with_bars(session, takes),
                cache=out / "markers",
                n_workers=config.n_workers,
            )
        result = _written(session, takes, pooled, problem, mapped, size, out)
        run.results = {name: value for name, value in result.items() if name != "rig"}
    log.info(
        "%d of %d cameras calibrated without a board: %.3f px rms, %d points; size: %s",
        result["registered"], len(session.cameras), result["rms_px"], result["points"],
        result["scale"],
    )  # fmt: skip
    for sentence in result["warnings"]:
        log.warning("%s", sentence)
    return result


def _takes(session: Session, config: SelfCalibrateConfig) -> list[Take]:
    if config.takes:
        takes = [session.take(take_id) for take_id in config.takes]
    else:
        takes = list(session.takes_of(TakeKind.SUBJECT))
    takes = [take for take in takes if len(take.shots) >= 2]
    if not takes:
        raise CalibrationError(
            f"{session.folder}: no take of kind `subject` has two photographs; ingest photographs "
            "of the subject, or name takes with `--set takes=[...]`"
        )
    if session.moved_camera:  # positions of one take mean nothing in another
        return [max(takes, key=lambda take: len(take.shots))]
    if len(takes) <= config.max_takes:
        return takes
    rows = np.linspace(0, len(takes) - 1, max(config.max_takes, 1)).round().astype(int)
    return [takes[row] for row in rows]


def _key(
    session: Session,
    takes: Sequence[Take],
    digests: Mapping[tuple[str, str], str],
    config: SelfCalibrateConfig,
) -> StageKey:
    settings = to_mapping(config)
    del settings["n_workers"]  # changes no result
    inputs = {f"{take}/{camera}": digest for (take, camera), digest in digests.items()}
    inputs["cameras"] = hash_of([to_mapping(camera) for camera in session.cameras])
    inputs["orientations"] = hash_of(orientations(session))
    inputs["moved_camera"] = str(session.moved_camera)
    if config.scale_bar:
        for take in takes_with_bars(session, takes):
            inputs |= {f"bars {take.id}/{shot.camera}": shot.sha256 for shot in take.shots}
    version = {"selfcal": SELFCAL_VERSION, "features": FEATURES_VERSION}
    return StageKey(stage="self_calibrate", config={**settings, "version": version}, inputs=inputs)


def _settings(config: SelfCalibrateConfig) -> FeatureSettings:
    return FeatureSettings(
        max_image_size=config.max_image_size,
        peak_threshold=config.peak_threshold,
        max_features=config.max_features,
        max_ratio=config.max_ratio,
    )


def _problem(
    session: Session,
    cameras: Sequence[CameraInfo],
    pooled: PooledFeatures,
    config: SelfCalibrateConfig,
) -> MappingProblem:
    kinds = [(c.model, c.lens, c.focal_mm, c.width, c.height) for c in cameras]
    keys = [
        (camera.serial, *kind) if session.moved_camera else (camera.id,)
        for camera, kind in zip(cameras, kinds, strict=True)
    ]
    distinct = list(dict.fromkeys(keys))
    first = [cameras[keys.index(key)] for key in distinct]
    reduction = [max(c.width, c.height) / config.max_image_size for c in cameras]
    noise_px = max(1.0, float(np.median(reduction)))
    sizes = [(camera.width, camera.height) for camera in cameras]
    return MappingProblem(
        names=pooled.names,
        lenses=tuple(_lens(camera) for camera in first),
        lens_of=tuple(distinct.index(key) for key in keys),
        kind_of=tuple(distinct.index(keys[kinds.index(kind)]) for kind in kinds),
        xy=pooled.xy,
        pairs=verify(pooled.xy, pooled.matches, sizes, noise_px=noise_px),
        noise_px=noise_px,
    )


def _lens(camera: CameraInfo) -> Lens:
    guess = focal_guess(camera)
    longer = max(camera.width, camera.height)
    return Lens(width=camera.width, height=camera.height, focal_px=guess or UNKNOWN_FOCAL * longer)


def _best(problem: MappingProblem, folder: Path) -> Mapped:
    """Return the best of all attempts: most cameras, then most observations."""
    best: Mapped | None = None
    best_score = (0, 0)
    for number, attempt in enumerate(ATTEMPTS):
        if number >= N_ALWAYS and best_score[0] == len(problem.names):
            break
        mapped = map_cameras(problem, attempt, folder=folder)
        if mapped is None:
            log.debug("%s: nothing registered", attempt)
            continue
        score = (len(mapped.cameras), len(mapped.error))
        log.debug("%s: %d cameras, %d observations, %.3f px", attempt, *score, mapped.rms_px)
        if score > best_score:
            best, best_score = mapped, score
    if best is None:
        raise CalibrationError(
            f"none of {', '.join(problem.names)} could be placed: their photographs share too few "
            "features; take them with more overlap (neighbours at most 30 degrees apart), "
            "sharper, or with a pattern projected on the subject, or calibrate with a board"
        )
    return best


def _written(
    session: Session,
    takes: Sequence[Take],
    pooled: PooledFeatures,
    problem: MappingProblem,
    mapped: Mapped,
    size: Size | None,
    out: Path,
) -> dict[str, Any]:
    """Write the rig and return the stage's result."""
    world = _world(session, mapped, size)
    registered = [name for name in pooled.names if name in mapped.cameras]
    rig = Rig(
        cameras=tuple(mapped.cameras[name].moved(world) for name in registered),
        metric=size is not None,
    )
    residuals = _residuals(pooled, mapped, registered)
    figures = camera_figures(rig, residuals)
    for name in registered:
        index = pooled.names.index(name)
        rows = mapped.feature_of[mapped.camera_of == index]
        figures[name]["n_views"] = len(np.unique(pooled.take_of[index][rows]))
    scale = "unknown" if size is None else size.source
    result: dict[str, Any] = {
        "rms_px": joint_rms(residuals),
        "registered": len(rig),
        "unregistered": [name for name in pooled.names if name not in mapped.cameras],
        "scale": scale,
        "metric": rig.metric,
        "points": len(mapped.points),
        "takes": len(takes),
        "cameras": figures,
        "rejected": [],
        "warnings": [],
        "rig": str(out / RIG_FILE),
    }
    result["warnings"] = _warnings(problem, result)
    measured = {}
    if size is not None and size.scale_bars:
        measured["scale_bars"] = list(size.scale_bars)
        result |= measured
        result["warnings"] += size.warnings
    result |= (judged := _judged(rig, residuals, result))
    _save_points(out / POINTS_FILE, world(mapped.points), point_colors(pooled, mapped))
    write_record(
        out,
        rig,
        residuals,
        infos={camera.id: camera for camera in session.cameras},
        figures=figures,
        provenance={
            "method": "self",
            "session": session.name,
            "takes": [take.id for take in takes],
            "rms_px": result["rms_px"],
            "scale": scale,
            **measured,
            **judged,
        },
    )
    return result


def _judged(
    rig: Rig, residuals: Mapping[str, Residuals], result: Mapping[str, Any]
) -> dict[str, Any]:
    """Return `verdict` and `gates`: never `good`, for nothing tells how surely cameras stand."""
    bars = [bar for bar in result.get("scale_bars", ()) if "error_mm" in bar]
    verdict, gates = judge(
        Figures(
            longer_side_px=max(max(camera.width, camera.height) for camera in rig),
            coverage={camera.name: coverage(camera, residuals[camera.name]) for camera in rig},
            left_out=result["unregistered"],
            length_error_mm=length_error(
                [bar["mm"] for bar in bars], [bar["error_mm"] for bar in bars], sigma_ppm=None
            ),
        )
    )
    return {"verdict": str(verdict), "gates": [gate.record() for gate in gates]}


def _world(session: Session, mapped: Mapped, size: Size | None) -> Similarity:
    """Return `world_from_mapped`: sized, upright, the origin amid the points."""
    n_sightings = np.bincount(mapped.point_of, minlength=len(mapped.points))
    firm = mapped.points[n_sightings >= min(3, n_sightings.max())]
    middle = np.median(firm, axis=0)
    if size is None:
        scale = POINT_RADIUS / float(np.median(np.linalg.norm(firm - middle, axis=1)))
    else:
        scale = size.mm_per_unit
    level = upright(list(mapped.cameras.values()), orientation=orientations(session), origin=middle)
    return Similarity(scale=scale, R=level.R, t=scale * level.t)


def _residuals(
    pooled: PooledFeatures, mapped: Mapped, registered: Sequence[str]
) -> dict[str, Residuals]:
    found = {}
    for name in registered:
        index = pooled.names.index(name)
        rows = mapped.camera_of == index
        error = mapped.error[rows]
        found[name] = Residuals(
            xy=pooled.xy[index][mapped.feature_of[rows]],
            error=error,
            kept=np.ones(len(error), dtype=bool),
        )
    return found


def _warnings(problem: MappingProblem, result: Mapping[str, Any]) -> list[str]:
    """Say in sentences what is weak in the result."""
    said = []
    if not result["metric"]:
        said.append(
            "the size of the rig is unknown, lengths are in an arbitrary unit: give a scale bar or "
            "the distance of two cameras as scale_bar, or calibrate with a board"
        )
    for name in result["unregistered"]:
        index = problem.names.index(name)
        shared = {
            problem.names[b if a == index else a]: len(geometry.inlier_matches)
            for (a, b), geometry in problem.pairs.items()
            if index in (a, b)
        }
        most = max(shared.items(), key=lambda item: item[1], default=None)
        extent = f"at most {most[1]} features, with {most[0]}" if most else "no features"
        said.append(
            f"{name} could not be placed and is not in the rig: it shares {extent}; "
            "photograph it nearer to its neighbours, or sharper"
        )
    for name, own in result["cameras"].items():
        if own["n_points"] < FEW_POINTS:
            said.append(f"{name} is placed by {own['n_points']} points only: its place is weak")
        if own["rms_px"] > LARGE_RMS_PX * problem.noise_px:
            said.append(f"{name}: residuals of {own['rms_px']:.2f} px; the subject may have moved")
    return said


def _save_points(path: Path, points: Floats, colors: Bytes) -> None:
    """Write a point cloud as PLY, atomically."""
    with atomic_path(path) as part:
        trimesh.PointCloud(points, colors=colors).export(part, file_type="ply")
