"""The whole way through on a virtual rig: capture, calibrate, mesh, measure, report."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..calibration.calibrate import CalibrateConfig, calibrate
from ..calibration.rigfile import load_rig
from ..capture.session import TakeKind
from ..capture.virtual.studio import StudioConfig, make_session
from ..core.files import write_json
from ..dataset.groundtruth import GroundTruthConfig, build_ground_truth
from .session_report import write_report
from .virtual import evaluate_session

log = logging.getLogger(__name__)

_MAP_SIZE = 1024  # a texel is some 0.3 mm then, as a pixel of the photographs is


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """What to photograph, and how large."""

    seed: int = 0  # another person, rig, light and noise
    head: str = "procedural"  # or the file of an ICT face model
    layout: str = "nine"  # name of a packaged layout, or a YAML file
    megapixels: float = 1.5  # of the face photographs; 0.3 mm a pixel at 1 m
    board_megapixels: float = 6.0  # of the board photographs


def run_demo(config: DemoConfig, out: Path) -> dict[str, Any]:
    """Walk the main path in `out`; finished stages of an earlier run are not redone.

    Returns
    -------
    dict
        JSON-able, also written to `demo.json`: `report`, the path of the page; `calibration`,
        its `rms_px` on the corners and figures against the true rig (`center_error_mm` is the
        worst camera's); `mesh`, figures against the true surface; `registration` and `maps`, how
        the face model lies on it and what was baked; `failed`, take -> reason.
    """
    session = make_session(
        StudioConfig(
            seed=config.seed,
            head=config.head,
            layout=config.layout,
            megapixels=config.megapixels,
            board_megapixels=config.board_megapixels,
        ),
        out / "session",
    )
    calibration = calibrate(session, out / "calibration", CalibrateConfig())
    rig = load_rig(out / "calibration")
    built = build_ground_truth(
        session, rig, out / "build",
        GroundTruthConfig(
            megapixels=config.megapixels,
            model="builtin" if config.head == DemoConfig.head else config.head,
            map_size=_MAP_SIZE,
        ),
        rig_file=out / "calibration",
    )  # fmt: skip
    figures = evaluate_session(session.folder, rig, out / "build")
    report = write_report(
        session.folder,
        calibration_folder=out / "calibration",
        build_folder=out / "build",
        out=out / "report.html",
    )
    against_truth = figures["calibration"]
    take = session.takes_of(TakeKind.SUBJECT)[0].id
    result = {
        "report": str(report),
        "calibration": {
            "rms_px": calibration["rms_px"],
            "center_error_mm": against_truth["center_mm_max"],
            **against_truth,
        },
        "mesh": figures["meshes"][take],
        "registration": built["takes"][take].get("registration"),
        "maps": built["takes"][take].get("maps"),
        "failed": built["failed"],
    }
    write_json(out / "demo.json", result)
    return result
