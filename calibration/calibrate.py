"""The stage `calibrate`: a session's photographs of a board -> `rig.json`."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..capture.session import BoardSpec, Session, TakeKind
from ..capture.targets import describe
from ..core.config import to_mapping
from ..core.errors import ConfigError
from ..core.files import StageKey, finished, hash_of, stage_run
from .detect import DETECTOR_VERSION, BoardView, detect_session
from .frame import orientations
from .intrinsics import MIN_VIEWS, as_photographed
from .record import RESIDUALS_FILE, Residuals, camera_figures, joint_rms, write_record
from .rig import RigEstimate, estimate_rig
from .rigfile import RIG_FILE

log = logging.getLogger(__name__)

CALIBRATION_VERSION = 2
"""Raised whenever a change moves results: older ones are then computed again."""

FEW_VIEWS = 4  # of a camera, below which its own intrinsics are weak
WEAK_CENTER_MM = 0.1  # of standard deviation: what a face at 1 m begins to show
WEAK_COVERAGE = 0.25  # of an image's area, below which its distortion is extrapolated
LARGE_RMS_PX = 1.0
LARGE_WARP_MM = 0.5
LARGE_REJECTED = 0.1  # of a camera's corners


@dataclass(frozen=True, kw_only=True)
class CalibrateConfig:
    """How to calibrate a rig from a board."""

    square_mm: float = 0.0  # the square as measured on the print; 0: as the session says
    min_corners: int = 6  # views with fewer are left out
    max_incidence_deg: float = 70.0  # steeper views are left out: their corners are unreliable
    free_board: bool = True  # let the board's shape follow the photographs: prints are not flat
    n_workers: int = 2  # photographs searched at a time


def calibrate(session: Session, out: Path, config: CalibrateConfig) -> dict[str, Any]:
    """Calibrate the session's rig from its takes of kind `target`.

    Writes `rig.json`, `residuals.json`, `corners/` (detections, kept for the next run) and
    `stage.json` into `out`; an `out` that is already up to date is left as it is.

    Returns
    -------
    dict
        JSON-able, see `docs/formats/calibration.md`: `rms_px`, `registered`, `unregistered`,
        `scale`, `cameras`, `rejected`, `board`, `warnings`, `rig`.

    Raises
    ------
    ConfigError
        The session does not know its board.
    CalibrationError
        The photographs do not determine the rig, or contradict each other; the message names
        what is missing or wrong.
    """
    spec = _board(session, config)
    cameras = as_photographed(session, session.takes_of(TakeKind.TARGET))
    key = _key(session, spec, config)
    record = finished(out, key, outputs=[RIG_FILE, RESIDUALS_FILE])
    if record is not None:
        log.info("%s: calibration is up to date", out)
        return {**record["results"], "rig": str(out / RIG_FILE)}
    with stage_run(out, key) as run:
        views = detect_session(session, spec, cache=out / "corners", n_workers=config.n_workers)
        estimate = estimate_rig(
            cameras,
            views,
            spec,
            min_corners=config.min_corners,
            max_incidence_deg=config.max_incidence_deg,
            free_board=config.free_board,
            orientation=orientations(session),
        )
        result = _written(session, spec, estimate, views, out, free_board=config.free_board)
        run.results = {name: value for name, value in result.items() if name != "rig"}
    log.info(
        "%d cameras calibrated from %d takes: %.3f px rms, %d views rejected",
        result["registered"], len(estimate.takes), result["rms_px"], len(estimate.rejected),
    )  # fmt: skip
    for sentence in result["warnings"]:
        log.warning("%s", sentence)
    return result


def _board(session: Session, config: CalibrateConfig) -> BoardSpec:
    if session.board is None:
        raise ConfigError(
            f"{session.folder}: the session does not say which board its targets show; ingest "
            "with `--board`, or calibrate from the subject itself with `facekit calibrate --self`"
        )
    if not config.square_mm:
        return session.board
    if config.square_mm < 0:
        raise ConfigError(f"square_mm: {config.square_mm:g} is no length of a square")
    factor = config.square_mm / session.board.square_mm
    return replace(
        session.board, square_mm=config.square_mm, marker_mm=factor * session.board.marker_mm
    )


def _key(session: Session, spec: BoardSpec, config: CalibrateConfig) -> StageKey:
    settings = to_mapping(config)
    del settings["n_workers"]  # changes no result
    shots = [(take.id, shot) for take in session.takes_of(TakeKind.TARGET) for shot in take.shots]
    inputs = {f"{take}/{shot.camera}": shot.sha256 for take, shot in shots}
    inputs["board"] = hash_of(to_mapping(spec))
    inputs["cameras"] = hash_of([to_mapping(camera) for camera in session.cameras])
    inputs["orientations"] = hash_of(orientations(session))
    version = {"calibration": CALIBRATION_VERSION, "detector": DETECTOR_VERSION}
    return StageKey(stage="calibrate", config={**settings, "version": version}, inputs=inputs)


def _written(
    session: Session,
    spec: BoardSpec,
    estimate: RigEstimate,
    views: Sequence[BoardView],
    out: Path,
    *,
    free_board: bool,
) -> dict[str, Any]:
    """Write the rig and return the stage's result."""
    residuals = _residuals(estimate)
    figures = camera_figures(estimate.rig, residuals)
    for index, name in enumerate(estimate.rig.names):
        used = estimate.kept & (estimate.seen.camera == index)
        sigma = {
            f"sigma_{what}": float(values[index])
            for what, values in dataclasses.asdict(estimate.sigma).items()
            if np.isfinite(values[index])
        }
        figures[name] |= {"n_views": len(np.unique(estimate.seen.take[used])), **sigma}
    board = {
        "free": estimate.board.free,
        "warp_mm": estimate.board.warp_mm,
        "rms_mm": estimate.board.rms_mm,
        "square_mm": spec.square_mm,
    }
    result: dict[str, Any] = {
        "rms_px": joint_rms(residuals),
        "rms_all_px": joint_rms(residuals, rejected=True),
        "registered": len(estimate.rig),
        "unregistered": list(estimate.unregistered),
        "scale": "board",
        "cameras": figures,
        "takes": len(estimate.takes),
        "views": {
            "photographs": len(views),
            "with_board": sum(len(view.ids) > 0 for view in views),
            "steep": estimate.n_steep,
            "used": sum(int(f["n_views"]) for f in figures.values()),
        },
        "rejected": [
            {"view": f"{view.take}/{view.camera}", "median_px": view.median_px}
            for view in estimate.rejected
        ],
        "board": board,
        "warnings": _warnings(session, estimate, residuals, figures, free_board=free_board),
        "rig": str(out / RIG_FILE),
    }
    write_record(
        out,
        estimate.rig,
        residuals,
        infos={camera.id: camera for camera in session.cameras},
        figures=figures,
        provenance={
            "method": "board",
            "session": session.name,
            "board": describe(spec),
            "board_shape": {**board, "corners_mm": np.round(estimate.board.corners, 5).tolist()},
            "rms_px": result["rms_px"],
            "scale": "board",
        },
    )
    return result


def _residuals(estimate: RigEstimate) -> dict[str, Residuals]:
    found = {}
    for index, name in enumerate(estimate.rig.names):
        rows = estimate.seen.camera == index
        found[name] = Residuals(
            xy=estimate.seen.xy[rows], error=estimate.residuals[rows], kept=estimate.kept[rows]
        )
    return found


def _warnings(
    session: Session,
    estimate: RigEstimate,
    residuals: Mapping[str, Residuals],
    figures: Mapping[str, Mapping[str, Any]],
    *,
    free_board: bool,
) -> list[str]:
    """Say in sentences what is weak in the result."""
    said = [
        f"{view.take}/{view.camera} was rejected: it contradicts the other views by "
        f"{view.median_px:.1f} px (a misordered file, or the board moved between cameras)"
        for view in estimate.rejected
    ]
    said += [
        f"{name} is left out of the rig: it has {n} usable view{'s' if n > 1 else ''} of the board "
        f"and no lens data; photograph the board so that it sees it in {MIN_VIEWS} poses or more, "
        "or leave the camera out of the session"
        for name, n in estimate.unregistered.items()
    ]
    said += _camera_warnings(estimate, residuals, figures)
    if not estimate.board.free and free_board:
        said.append("too few board poses to tell the board's shape: it was taken as flat and exact")
    elif estimate.board.warp_mm > LARGE_WARP_MM:
        said.append(
            f"the board is warped by {estimate.board.warp_mm:.2f} mm; the rig allows for it as "
            "long as the board did not bend between takes"
        )
    for take in session.takes_of(TakeKind.TARGET):
        said += [f"take {take.id}: {problem}" for problem in take.problems]
    return said


def _camera_warnings(
    estimate: RigEstimate,
    residuals: Mapping[str, Residuals],
    figures: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    """Say which cameras are weak, one sentence for each weakness."""
    few, guessed, loose, narrow, rough, refused = [], [], [], [], [], []
    for camera in estimate.rig:
        name, own, one = camera.name, figures[camera.name], residuals[camera.name]
        if own["n_views"] < FEW_VIEWS:
            few.append(f"{name} ({own['n_views']})")
        sigma = own.get("sigma_center_mm")
        if sigma is None:
            guessed.append(name)
        elif sigma > WEAK_CENTER_MM:
            loose.append(f"{name} (±{sigma:.2g} mm)")
        extent = np.ptp(one.xy[one.kept], axis=0) if one.kept.any() else np.zeros(2)
        share = float(extent.prod()) / (camera.width * camera.height)
        if share < WEAK_COVERAGE:
            narrow.append(f"{name} ({100 * share:.0f} %)")
        if own["rms_px"] > LARGE_RMS_PX:
            rough.append(f"{name} ({own['rms_px']:.2f} px)")
        lost = 1 - float(one.kept.mean()) if len(one.kept) else 0.0
        if lost > LARGE_REJECTED:
            refused.append(f"{name} ({100 * lost:.0f} %)")
    sentences = (
        (few, f"few views of the board, {FEW_VIEWS} or more make focal length and distortion sure"),
        (guessed, "a single view of the board, so that focal length and place are a guess"),
        (loose, "weakly placed, photograph the board in more poses that they share with others"),
        (narrow, "the board covers little of the image, distortion beyond it is extrapolated"),
        (rough, "large residuals, look for blur, a bending board, or cameras that fire apart"),
        (refused, "many corners were rejected, look for blur, glare and misordered files"),
    )
    return [f"{', '.join(cameras)}: {sentence}" for cameras, sentence in sentences if cameras]
