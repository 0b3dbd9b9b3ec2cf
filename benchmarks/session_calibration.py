"""The calibration's part of a session report: rig, residuals, comparison with the truth."""

from pathlib import Path
from typing import Any

import numpy as np

from ..calibration.record import RESIDUALS_FILE, RESIDUALS_FORMAT, RESIDUALS_VERSION
from ..calibration.rigfile import RIG_FILE
from ..capture.session import Session
from ..core.arrays import AnyFloats
from ..core.errors import FacekitError, SchemaError
from ..core.files import read_json, read_json_or_unmarked
from ..core.geometry.camera import Rig
from ..core.geometry.transform import Similarity
from ..core.report import Block, Cell, Fold, Gallery, Missing, Section, Status, Table, Text
from .rig_accuracy import CalibrationAccuracy
from .session_board import (
    board_blocks,
    board_views,
    connectivity_table,
    length_blocks,
    scale_bar_blocks,
)
from .session_fields import field_gallery
from .session_plots import (
    CameraResiduals,
    layout_plot,
    residual_histograms,
    residual_plots,
    sigma_plot,
)
from .session_verdict import calibration_result, gates, verdict_blocks

WEAK_CENTER_MM = 0.1  # of standard deviation: what a face at 1 m begins to show
_CENTRE = "σ centre, mm"


def calibration_section(
    session: Session,
    rig: Rig | None,
    folder: Path | None,
    accuracy: CalibrationAccuracy | None,
    *,
    upright: Similarity,
    subject: AnyFloats | None = None,
) -> Section:
    """Return the section; parts that are absent are named in it.

    Parameters
    ----------
    upright : Similarity
        Rig's frame -> the one that plots show.
    subject : (V, 3), optional
        Points of the subject's surface in that upright frame.
    """
    if rig is None:
        return Section(
            title="Calibration", blocks=[Missing(what="The rig", how="facekit calibrate")]
        )
    assert folder is not None
    result, details = calibration_result(folder), _details(folder)
    blocks: list[Block] = [*verdict_blocks(result), _camera_table(rig, details)]
    blocks += _sigmas(rig, details, result)
    if accuracy is not None:
        blocks.append(_accuracy_table(accuracy))
    blocks.append(
        Gallery(
            pictures=[layout_plot(rig.moved(upright), subject)],
            min_width=700,
            plain=True,
            caption="Where the cameras stand, true to scale; grey: the reconstructed surface "
            "and the optical axes.",
        )
    )
    absent = [camera.id for camera in session.cameras if camera.id not in rig.names]
    if absent:
        blocks.append(Text(text=f"Not in the rig: {', '.join(absent)}."))
    blocks += scale_bar_blocks(_list(result, "scale_bars"))
    seen = board_views(session, folder)
    if len(seen) > 1:
        blocks.append(connectivity_table(seen))
    shape = result.get("board_shape")
    if isinstance(shape, dict):
        blocks += [*length_blocks(shape), *board_blocks(session, shape)]
    blocks += _residual_blocks(folder, rig)
    return Section(title="Calibration", blocks=blocks)


def _residual_blocks(folder: Path, rig: Rig) -> list[Block]:
    try:
        residuals = read_residuals(folder / RESIDUALS_FILE, rig)
    except SchemaError as error:
        return [Text(text=f"{error}.", status=Status.NOTE)]
    if not residuals:
        return [Missing(what="Residuals of the calibration", how="facekit calibrate")]
    single = Gallery(
        pictures=residual_plots(residuals, rig),
        min_width=190,
        plain=True,
        caption="Single residuals over each image, magnified as the title says; red crosses "
        "were rejected. A good calibration shows no pattern.",
    )
    return [
        field_gallery(residuals, rig),
        Gallery(pictures=[residual_histograms(residuals)], min_width=700, plain=True),
        Fold(title="every residual", blocks=[single]),
    ]


def _sigmas(rig: Rig, details: dict[str, dict[str, Any]], result: dict[str, Any]) -> list[Block]:
    """Return the standard deviations as bars; none where the calibration knows none."""
    wanted = (
        ("sigma_center_mm", _CENTRE),
        ("sigma_focal_px", "σ focal length, px"),
        ("sigma_rotation_deg", "σ rotation, °"),
        ("sigma_head_px", "σ at the head, px"),
    )
    weak = next((g.get("warn") for g in gates(result) if g.get("name") == "sigma_center_mm"), None)
    limits = {_CENTRE: weak if isinstance(weak, (int, float)) else WEAK_CENTER_MM}
    figures = {}
    for key, title in wanted:
        values = {name: details.get(name, {}).get(key) for name in rig.names}
        known = {n: float(v) for n, v in values.items() if isinstance(v, (int, float))}
        if len(known) == len(rig):
            figures[title] = known
    if not figures:
        return []
    caption = (
        "How sure each camera is, from the residuals and the geometry of the views. Focal length "
        "and distance follow one another in narrow lenses: their sigmas look large, while what "
        "counts, the place of a point on the head, is known far better."
    )
    return [
        Gallery(
            pictures=[sigma_plot(figures, limits)],
            min_width=700,
            plain=True,
            caption=caption,
        )
    ]


def _list(result: dict[str, Any], name: str) -> list[dict[str, Any]]:
    given = result.get(name)
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []


def read_residuals(path: Path, rig: Rig) -> dict[str, CameraResiduals]:
    """Read `residuals.json`: `cameras` -> name -> `xy`, `error` (N, 2), perhaps `kept` (N,).

    Cameras that the rig does not have are left out; an unreadable file counts as absent.

    Raises
    ------
    SchemaError
        It is of another version.
    """
    try:
        cameras = read_json_or_unmarked(
            path, format_name=RESIDUALS_FORMAT, version=RESIDUALS_VERSION
        )["cameras"]
        found = {}
        for name in rig.names:
            entry = cameras.get(name)
            if entry is None or not len(entry["xy"]):
                continue
            xy = np.array(entry["xy"], dtype=np.float64).reshape(-1, 2)
            error = np.array(entry["error"], dtype=np.float64).reshape(-1, 2)
            kept = np.array(entry.get("kept", [True] * len(xy)), dtype=bool)
            if len(error) == len(xy) == len(kept) and kept.any():
                found[name] = CameraResiduals(xy=xy, error=error, kept=kept)
    except SchemaError:
        raise
    except (FacekitError, KeyError, TypeError, ValueError, AttributeError):
        return {}
    return found


def _details(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what `rig.json` says of each camera beside its model."""
    record = read_json(folder / RIG_FILE)
    return {camera["name"]: camera for camera in record["cameras"]}


def _camera_table(rig: Rig, details: dict[str, dict[str, Any]]) -> Table:
    optional = [
        ("n_views", "views", "{:d}"),
        ("rms_px", "rms, px", "{:.3f}"),
        ("p95_px", "95 %, px", "{:.3f}"),
        ("sigma_focal_px", "σ focal, px", "{:.2f}"),
        ("sigma_center_mm", "σ centre, mm", "{:.4f}"),
        ("sigma_rotation_deg", "σ rotation, °", "{:.5f}"),
    ]
    present = [
        entry for entry in optional if any(entry[0] in camera for camera in details.values())
    ]
    rows: list[list[Cell]] = []
    for camera in rig:
        known = details.get(camera.name, {})
        row: list[Cell] = [
            camera.name,
            f"{camera.width} × {camera.height}",
            f"{camera.K[0, 0]:.1f}, {camera.K[1, 1]:.1f}",
            f"{camera.K[0, 2]:.1f}, {camera.K[1, 2]:.1f}",
            ", ".join(f"{value:.4g}" for value in camera.distortion),
            ", ".join(f"{value:.1f}" for value in camera.center),
        ]
        for key, _, form in present:
            value = known.get(key)
            row.append(form.format(value) if isinstance(value, (int, float)) else None)
        rows.append(row)
    unit = "mm" if rig.metric else "arbitrary unit"
    return Table(
        columns=["camera", "size, px", "focal x, y, px", "principal point, px",
                 "k1, k2, p1, p2, k3", f"centre, {unit}", *(title for _, title, _ in present)],
        rows=rows,
    )  # fmt: skip


def _accuracy_table(accuracy: CalibrationAccuracy) -> Table:
    names = ("center_mm", "rotation_deg", "focal_percent", "principal_point_px", "head_px")
    forms = ("{:.4f}", "{:.5f}", "{:.4f}", "{:.2f}", "{:.4f}")
    rows: list[list[Cell]] = [
        [camera.name, *(f.format(getattr(camera, n)) for n, f in zip(names, forms, strict=True))]
        for camera in accuracy.cameras
    ]
    for title, summary in (("mean", accuracy.mean), ("largest", accuracy.worst)):
        rows.append([title, *(f.format(summary(n)) for n, f in zip(names, forms, strict=True))])
    scale = "" if accuracy.scale_ppm is None else f" Scale {accuracy.scale_ppm:+.1f} ppm."
    missing = f" Missing: {', '.join(accuracy.missing)}." if accuracy.missing else ""
    return Table(
        columns=["error against the truth", "centre, mm", "rotation, °", "focal, %",
                 "principal point, px", "at the head, px"],
        rows=rows,
        caption="After a rigid alignment of the rigs. “At the head”: how far apart the two "
        "cameras image points of a box of 160 × 230 × 190 mm; in it the rig triangulates to "
        f"{1000 * accuracy.head_mm:.1f} µm rms.{scale}{missing}",
    )  # fmt: skip
