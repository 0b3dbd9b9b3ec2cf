"""The calibration benchmark: photographs of a board to a rig, faults put in, peers beside it.

Nine cameras of 45 MP, twenty poses of a two-sided board, everything rendered and known; the
corners that the detector finds in the photographs go to our own solver and to two others.
"""

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..calibration.solve.rig import RigEstimate, estimate_rig
from ..calibration.target.detect import BoardView
from ..capture.virtual.studio import rng_of
from ..core.errors import EstimationError
from ..core.files import write_json
from ..core.geometry.camera import Rig
from .calibration_bench_bump import BumpConfig, bump_figures
from .calibration_bench_faults import bowed, gross, swapped
from .calibration_bench_stage import (
    BOARD,
    Detection,
    Stage,
    StageConfig,
    draw_stage,
    photograph_board,
)
from .peer import PeerResult
from .peer_opencv import calibrate_multiview
from .peer_pycolmap import calibrate_rig
from .rig_accuracy import calibration_error
from .virtual import finite

log = logging.getLogger(__name__)

RESULT_FILE = "calibration_bench.json"
BANDS_DEG = (0, 30, 50, 60, 66, 72, 78)
"""Incidence between which detection is judged."""
STEEP_DEG = 66.0  # views beyond are not given to OpenCV, whose solver is not robust
_MEGAPIXELS = 45.0


@dataclass(frozen=True, kw_only=True)
class CalibrationBenchConfig:
    """What to photograph, and how much of the benchmark to run."""

    seed: int = 0  # another rig, other poses, other noise
    layout: str = "arc30"  # a packaged layout, or a YAML file
    width_px: int = 8192  # of the photographs
    n_poses: int = 20  # of the board
    n_workers: int = 2  # photographs at a time, each some 500 MB
    peers: bool = True  # OpenCV's and COLMAP's solvers too
    bump: bool = True  # a head, and each camera knocked in turn
    bump_megapixels: float = 3.0  # of the head's photographs
    n_clean: int = 100  # takes drawn of an unmoved rig


def bench_calibration(config: CalibrationBenchConfig, out: Path) -> dict[str, Any]:
    """Run the calibration benchmark in `out`; corners that an earlier run found are kept.

    Returns
    -------
    dict
        JSON-able, also written to `calibration_bench.json`: of the detector
        `detect_cpu_s_per_45mp`, `detect_rms_px_below_50deg`, `detection` (by incidence); of
        the solver `solve_s`, `center_mm_mean`, `center_mm_max`, `rotation_deg` (worst),
        `pair_um` (mean over neighbouring cameras) and more; the same under `bowed`,
        `swapped` and `gross`, with faults put into the corners; of other programs on the
        same corners under `opencv_multiview` and `pycolmap_rig`; and under `bump` what
        becomes of knocked cameras, see `calibration_bench_bump`.
    """
    started = time.perf_counter()
    stage = draw_stage(
        StageConfig(
            seed=config.seed,
            layout=config.layout,
            width_px=config.width_px,
            n_poses=config.n_poses,
            n_workers=config.n_workers,
        )
    )
    found = photograph_board(stage, out / "corners")
    pictures_s = time.perf_counter() - started
    views = [detection.view for detection in found]
    solved = _solve(stage, views, n_times=2)
    result: dict[str, Any] = {**detection_figures(stage, found), **solved.figures}
    exchanged, names = swapped(stage, views, rng=rng_of(config.seed, "swapped"))
    faulty = {
        "bowed": bowed(stage, views),
        "swapped": exchanged,
        "gross": gross(views, rng=rng_of(config.seed, "gross")),
    }
    for name, spoilt in faulty.items():
        result[name] = _solve(stage, spoilt).figures
    result["swapped"]["exchanged"] = list(names)
    if config.peers:
        for peer, run in (
            ("opencv_multiview", _opencv_figures),
            ("pycolmap_rig", _pycolmap_figures),
        ):
            result[peer] = _attempt(partial(run, stage, views))
            for name, spoilt in faulty.items():
                result[peer][name] = _attempt(partial(run, stage, spoilt))
    if config.bump:
        result["bump"] = bump_figures(
            BumpConfig(
                seed=config.seed,
                layout=config.layout,
                megapixels=config.bump_megapixels,
                n_clean=config.n_clean,
                n_workers=config.n_workers,
            ),
            solved.rig,
            out / "bump",
        )
    result["pictures_s"] = pictures_s
    result["total_s"] = time.perf_counter() - started
    result = finite(result)
    write_json(out / RESULT_FILE, result)
    return result


def detection_figures(stage: Stage, found: Sequence[Detection]) -> dict[str, Any]:
    """Return cost and errors of the corners, JSON-able."""
    errors, incidence, visible = [], [], []
    for detection in found:
        view = detection.view
        camera = stage.rig[view.camera]
        errors.append(np.linalg.norm(view.xy - stage.true_xy(view), axis=1))
        incidence.append(stage.seen_face(view.take, camera)[1])
        visible.append(stage.n_visible(view.take, camera))
    angle, seen = np.array(incidence), np.array(visible)

    def of_band(low: float, high: float) -> dict[str, Any]:
        rows = np.flatnonzero((angle >= low) & (angle < high))
        error = np.concatenate([np.zeros(0), *(errors[row] for row in rows)])
        return {
            "rms_px": float(np.sqrt((error**2).mean())) if len(error) else None,
            "max_px": float(error.max()) if len(error) else None,
            "n_views": len(rows),
            "n_views_found": sum(len(errors[row]) > 0 for row in rows),
            "found_percent": 100 * len(error) / max(1, int(seen[rows].sum())),
        }

    cpu_s = float(np.mean([detection.cpu_s for detection in found]))
    megapixels = float(np.mean([c.width * c.height for c in stage.rig])) / 1e6
    edges = [*BANDS_DEG, 90]
    return {
        "detect_cpu_s_per_45mp": cpu_s * _MEGAPIXELS / megapixels,
        "detect_rms_px_below_50deg": of_band(0, 50)["rms_px"],
        "detection": {f"{low}-{high}deg": of_band(low, high) for low, high in pairwise(edges)},
        "n_photographs": len(found),
    }


@dataclass(frozen=True, kw_only=True)
class _Solved:
    rig: Rig
    figures: dict[str, Any]


def _solve(stage: Stage, views: Sequence[BoardView], *, n_times: int = 1) -> _Solved:
    """Calibrate by our own solver.

    The time is the best of `n_times`: the first run also loads compiled code.
    """
    wall, cpu = [], []
    for _ in range(n_times):
        start, start_cpu = time.perf_counter(), time.process_time()
        estimate = estimate_rig(stage.infos(), views, BOARD)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    figures = {
        "solve_s": min(wall),
        "solve_cpu_s": min(cpu),
        **rig_figures(estimate.rig, stage.rig),
        "rms_px": _rms(estimate),
        "rejected": [f"{view.take}/{view.camera}" for view in estimate.rejected],
        "n_corners_rejected": int((~estimate.kept).sum()),
    }
    return _Solved(rig=estimate.rig, figures=figures)


def rig_figures(rig: Rig, true_rig: Rig) -> dict[str, Any]:
    """Return the errors of a rig: worst `rotation_deg`, mean `pair_um` and the like."""
    error = calibration_error(rig, true_rig)
    return {
        "center_mm_mean": error.mean("center_mm"),
        "center_mm_max": error.worst("center_mm"),
        "rotation_deg": error.worst("rotation_deg"),
        "pair_um": error.pair_um,
        "pair_um_max": error.pair_um_max,
        "head_px": error.worst("head_px"),
        "focal_percent_mean": error.mean("focal_percent"),
        "focal_percent_max": error.worst("focal_percent"),
        "principal_point_px_mean": error.mean("principal_point_px"),
        "principal_point_px_max": error.worst("principal_point_px"),
        "scale_ppm": error.scale_ppm,
        "missing": list(error.missing),
    }


def _rms(estimate: RigEstimate) -> float:
    return float(np.sqrt((estimate.residuals[estimate.kept] ** 2).sum(axis=1).mean()))


def _opencv_figures(stage: Stage, views: Sequence[BoardView]) -> dict[str, Any]:
    steep = frozenset(
        view.name
        for view in views
        if stage.seen_face(view.take, stage.rig[view.camera])[1] > STEEP_DEG
    )
    return _peer_figures(stage, calibrate_multiview(stage.infos(), views, BOARD, steep=steep))


def _pycolmap_figures(stage: Stage, views: Sequence[BoardView]) -> dict[str, Any]:
    return _peer_figures(stage, calibrate_rig(stage.infos(), views, BOARD))


def _peer_figures(stage: Stage, found: PeerResult) -> dict[str, Any]:
    of_itself = dataclasses.asdict(replace(found, rig=Rig(cameras=())))
    del of_itself["rig"]
    return {**rig_figures(found.rig, stage.rig), **of_itself, "rejected": list(found.rejected)}


def _attempt(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of a peer, or the sentence with which it gave up."""
    try:
        return run()
    except EstimationError as error:
        return {"failed": str(error)}
