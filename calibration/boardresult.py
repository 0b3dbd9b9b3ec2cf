"""What a calibration with a board says: the result of the stage, its verdict and warnings."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..capture.session import BoardSpec, Session, TakeKind
from ..capture.targets import describe
from ..core.geometry.camera import Rig
from .record import Residuals, camera_figures, coverage, joint_rms, rejected_share, write_record
from .rigfile import RIG_FILE
from .solve.boardshape import BoardShape
from .solve.exchange import describe_misplaced
from .solve.intrinsics import MIN_VIEWS
from .solve.rig import RigEstimate
from .target.detect import BoardView
from .target.scalebars import BarSummary, bar_warnings
from .verdict import (
    FEW_VIEWS,
    LARGE_REJECTED,
    WEAK_CENTER_MM,
    WEAK_COVERAGE,
    Figures,
    judge,
    length_error,
)

LARGE_RMS_PX = 1.0
LARGE_WARP_MM = 0.5
LARGE_MOUNTING_MM, LARGE_MOUNTING_DEG = 2.0, 1.0


def write_result(
    session: Session,
    spec: BoardSpec,
    estimate: RigEstimate,
    views: Sequence[BoardView],
    out: Path,
    *,
    free_board: bool,
    bars: Sequence[BarSummary] = (),
) -> dict[str, Any]:
    """Write the rig and its residuals; return the stage's result, JSON-able.

    Parameters
    ----------
    bars : Sequence[BarSummary]
        Scale bars measured with the rig, to be held against their lengths.
    """
    residuals = _residuals(estimate)
    figures = _camera_figures(estimate, residuals)
    board = _board_record(spec, estimate.board)
    verdict, gates = judge(_figures(estimate, residuals, figures, bars))
    judged: dict[str, Any] = {
        "verdict": str(verdict),
        "gates": [gate.record() for gate in gates],
    }
    if bars:
        judged["scale_bars"] = [bar.record() for bar in bars]
    result: dict[str, Any] = {
        "rms_px": joint_rms(residuals),
        "rms_all_px": joint_rms(residuals, rejected=True),
        **_checks(estimate),
        "registered": len(estimate.rig),
        "unregistered": list(estimate.unregistered),
        "scale": _scale_words(estimate.board),
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
        **judged,
        "warnings": [
            *_warnings(session, estimate, residuals, figures, free_board=free_board),
            *bar_warnings(bars),
        ],
        "rig": str(out / RIG_FILE),
    }
    corners = np.round(estimate.board.corners, 5).tolist()
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
            "board_shape": {**board, "corners_mm": corners},
            "rms_px": result["rms_px"],
            **_checks(estimate),
            "scale": result["scale"],
            **judged,
        },
    )
    return result


def _camera_figures(
    estimate: RigEstimate, residuals: Mapping[str, Residuals]
) -> dict[str, dict[str, Any]]:
    figures = camera_figures(estimate.rig, residuals)
    for index, name in enumerate(estimate.rig.names):
        used = estimate.kept & (estimate.seen.camera == index)
        figures[name]["n_views"] = len(np.unique(estimate.seen.take[used]))
        values = {
            f"sigma_{what}": values[index]
            for what, values in dataclasses.asdict(estimate.sigma).items()
        }
        if estimate.held_out is not None:
            values["held_out_rms_px"] = estimate.held_out.by_camera_px[index]
        pupil, focus = estimate.pupil_and_focus_mm[index]
        values |= {"pupil_mm": pupil, "focus_mm": focus}
        figures[name] |= {key: float(v) for key, v in values.items() if np.isfinite(v)}
    return figures


def _checks(estimate: RigEstimate) -> dict[str, Any]:
    """Return the figures of the whole rig that its own residuals do not tell."""
    head, apart = estimate.head, estimate.held_out
    pair = list(head.weakest_pair) if head.weakest_pair else None
    return {
        "held_out_rms_px": None if apart is None else apart.rms_px,
        "held_out_takes": 0 if apart is None else apart.n_takes,
        "sigma_head_um": _finite(head.sigma_um),
        "sigma_pair_um": _finite(head.sigma_pair_um),
        "weakest_pair": pair,
    }


def _board_record(spec: BoardSpec, shape: BoardShape) -> dict[str, Any]:
    record: dict[str, Any] = {
        "free": shape.free,
        "warp_mm": shape.warp_mm,
        "rms_mm": shape.rms_mm,
        "square_mm": spec.square_mm,
        "faces": [dataclasses.asdict(face) for face in shape.faces],
    }
    if shape.mounting is not None:
        record["mounting"] = {
            "offset_mm": shape.mounting.offset_mm,
            "angle_deg": shape.mounting.angle_deg,
            "board_from_back": shape.mounting.board_from_back.tolist(),
        }
    if shape.lengths:
        record["lengths"] = [dataclasses.asdict(length) for length in shape.lengths]
        record["scale_ppm"] = shape.scale_ppm
        record["scale_sigma_ppm"] = shape.scale_sigma_ppm
    return record


def _scale_words(shape: BoardShape) -> str:
    if not shape.lengths:
        return "board"
    n = len(shape.lengths)
    return (
        f"{n} measured length{'s' if n > 1 else ''} of the board: "
        f"{shape.scale_ppm:+.0f} ppm against nominal"
    )


def _figures(
    estimate: RigEstimate,
    residuals: Mapping[str, Residuals],
    figures: Mapping[str, Mapping[str, Any]],
    bars: Sequence[BarSummary],
) -> Figures:
    rig, shape = estimate.rig, estimate.board
    seen_bars = [bar for bar in bars if bar.lengths]
    placed = {n: own["sigma_center_mm"] for n, own in figures.items() if "sigma_center_mm" in own}
    return Figures(
        longer_side_px=longest_side(rig),
        held_out_rms_px=None if estimate.held_out is None else estimate.held_out.rms_px,
        sigma_center_mm=placed,
        guessed=[name for name in rig.names if name not in placed],
        n_views={name: own["n_views"] for name, own in figures.items()},
        coverage={camera.name: coverage(camera, residuals[camera.name]) for camera in rig},
        rejected={name: rejected_share(one) for name, one in residuals.items()},
        left_out=list(estimate.unregistered),
        sigma_head_um=_finite(estimate.head.sigma_um),
        length_error_mm=length_error(
            [*(length.mm for length in shape.lengths), *(one.bar.mm for one in seen_bars)],
            [
                *(length.residual_mm for length in shape.lengths),
                *(one.length - one.bar.mm for one in seen_bars),
            ],
            sigma_ppm=shape.scale_sigma_ppm,
        ),
        warp_mm=shape.warp_mm if shape.free else None,
    )


def longest_side(rig: Rig) -> int:
    """Return the longer side of the largest image, px."""
    return max(max(camera.width, camera.height) for camera in rig)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


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
    said += describe_misplaced(estimate.misplaced)
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
    mounting = estimate.board.mounting
    if mounting is not None and (
        mounting.offset_mm > LARGE_MOUNTING_MM or mounting.angle_deg > LARGE_MOUNTING_DEG
    ):
        said.append(
            f"the back of the board is mounted {mounting.offset_mm:.1f} mm and "
            f"{mounting.angle_deg:.1f} degrees from its nominal place; the rig allows for it"
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
        share = coverage(camera, one)
        if share < WEAK_COVERAGE:
            narrow.append(f"{name} ({100 * share:.0f} %)")
        if own["rms_px"] > LARGE_RMS_PX:
            rough.append(f"{name} ({own['rms_px']:.2f} px)")
        lost = rejected_share(one)
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
