"""The stage `calibrate`: a session's photographs of a board -> `rig.json`."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..capture.session import BoardSpec, Session, TakeKind
from ..core.config import to_mapping
from ..core.errors import ConfigError
from ..core.files import StageKey, finished, hash_of, stage_run
from .boardresult import write_result
from .frame import orientations
from .record import RESIDUALS_FILE
from .rigfile import RIG_FILE
from .solve.intrinsics import as_photographed
from .solve.rig import estimate_rig
from .target.detect import DETECTOR_VERSION, detect_session
from .target.scalebars import measure_bars, parse_bars, summarise

log = logging.getLogger(__name__)

CALIBRATION_VERSION = 5
"""Raised whenever a change moves results: older ones are then computed again."""


@dataclass(frozen=True, kw_only=True)
class CalibrateConfig:
    """How to calibrate a rig from a board."""

    square_mm: float = 0.0  # the square as measured on the print; 0: as the session says
    min_corners: int = 6  # views with fewer are left out
    max_incidence_deg: float = 70.0  # steeper views are left out: their corners are unreliable
    free_board: bool = True  # let the board's shape follow the photographs: prints are not flat
    scale_bars: tuple[str, ...] = ()  # to be held against: `DICT_5X5_250:240-241=180.02`
    n_workers: int = 2  # photographs searched at a time


def calibrate(session: Session, out: Path, config: CalibrateConfig) -> dict[str, Any]:
    """Calibrate the session's rig from its takes of kind `target`.

    Writes `rig.json`, `residuals.json`, `corners/` (detections, kept for the next run) and
    `stage.json` into `out`; an `out` that is already up to date is left as it is.

    Returns
    -------
    dict
        JSON-able, see `docs/formats/calibration.md`: `rms_px`, `registered`, `unregistered`,
        `scale`, `cameras`, `rejected`, `board`, `verdict`, `gates`, `warnings`, `rig`, ...

    Raises
    ------
    ConfigError
        The session does not know its board, or a scale bar is none.
    CalibrationError
        The photographs do not determine the rig, or contradict each other; the message names
        what is missing or wrong.
    """
    spec = _board(session, config)
    bars = parse_bars(config.scale_bars)
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
        lengths = measure_bars(
            session, estimate.rig, bars, cache=out / "markers", n_workers=config.n_workers
        )
        result = write_result(
            session, spec, estimate, views, out,
            free_board=config.free_board, bars=summarise(bars, lengths),
        )  # fmt: skip
        run.results = {name: value for name, value in result.items() if name != "rig"}
    log.info(
        "%d cameras calibrated from %d takes: %s, %.3f px rms, %d views rejected",
        result["registered"], len(estimate.takes), result["verdict"], result["rms_px"],
        len(estimate.rejected),
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
    takes = session.takes if config.scale_bars else session.takes_of(TakeKind.TARGET)
    shots = [(take.id, shot) for take in takes for shot in take.shots]
    inputs = {f"{take}/{shot.camera}": shot.sha256 for take, shot in shots}
    inputs["board"] = hash_of(to_mapping(spec))
    inputs["cameras"] = hash_of([to_mapping(camera) for camera in session.cameras])
    inputs["orientations"] = hash_of(orientations(session))
    version = {"calibration": CALIBRATION_VERSION, "detector": DETECTOR_VERSION}
    return StageKey(stage="calibrate", config={**settings, "version": version}, inputs=inputs)
