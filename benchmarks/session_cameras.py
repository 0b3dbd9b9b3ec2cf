"""One table over the cameras: what calibration, photographs and stereo say of each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..calibration.rigfile import RIG_FILE
from ..capture.session import Session, TakeKind
from ..core.errors import FacekitError
from ..core.files import read_json
from ..core.report import Badge, Cell, Missing, Section, Status, Table, Text
from .session_quality import Quality

_STATUS = {"good": Status.GOOD, "usable": Status.NOTE, "bad": Status.BAD}
_COLUMNS = (  # source, key, title, format, factor
    ("rig", "rms_px", "residual, rms px", "{:.3f}", 1.0),
    ("rig", "sigma_head_px", "σ at the head, px", "{:.3f}", 1.0),
    ("photo", "sharpness", "sharpness", "{:.2f}", 1.0),
    ("photo", "level", "light", "{:.3f}", 1.0),
    ("photo", "clipped", "clipped, %", "{:.2f}", 100.0),
    ("stereo", "shift_px", "off the others, px", "{:.2f}", 1.0),
    ("stereo", "ncc", "agreement, NCC", "{:.3f}", 1.0),
)


def cameras_section(
    session: Session,
    quality: Quality,
    calibration_folder: Path | None,
    takes: Mapping[str, Mapping[str, Any]],
) -> Section:
    """Return the section.

    Parameters
    ----------
    takes : mapping
        Take -> its entry in `build.json`.
    """
    title = "Cameras"
    of_rig = _of_rig(calibration_folder)
    found = {
        camera.id: {
            "rig": of_rig.get(camera.id, {}),
            "photo": _of_photographs(session, quality, camera.id),
            "stereo": _of_stereo(takes, camera.id),
        }
        for camera in session.cameras
    }
    present = [
        column
        for column in _COLUMNS
        if any(_number(of[column[0]].get(column[1])) is not None for of in found.values())
    ]
    if of_rig and not (present or quality.cameras):
        nothing = Text(text="No figures of single cameras are on record.")
        return Section(title=title, blocks=[nothing])
    if not found or not (present or quality.cameras):
        return Section(title=title, blocks=[Missing(what="Figures of the cameras",
                                                    how="facekit calibrate")])  # fmt: skip
    rows: list[list[Cell]] = []
    for camera in session.cameras:
        row: list[Cell] = [camera.id]
        for source, key, _, form, factor in present:
            value = _number(found[camera.id][source].get(key))
            row.append(None if value is None else form.format(factor * value))
        verdict, _ = quality.cameras.get(camera.id, ("", ()))
        badge = Badge(text=verdict, status=_STATUS.get(verdict, Status.NONE))
        rows.append([*row, badge if verdict else None])
    return Section(
        title=title,
        blocks=[Table(columns=["camera", *(column[2] for column in present), "photographs"],
                      rows=rows)],
        lead="Medians over the takes. “Off the others”: how far a camera's picture of the surface "
        "lies from the mean of the others'; a camera that fires late or was knocked stands out.",
    )  # fmt: skip


def _of_rig(folder: Path | None) -> dict[str, dict[str, Any]]:
    if folder is None or not (folder / RIG_FILE).is_file():
        return {}
    try:
        return {str(c["name"]): dict(c) for c in read_json(folder / RIG_FILE)["cameras"]}
    except (FacekitError, KeyError, TypeError, ValueError):
        return {}


def _of_photographs(session: Session, quality: Quality, camera: str) -> dict[str, float]:
    subjects = {take.id for take in session.takes_of(TakeKind.SUBJECT)}
    own = [
        measure
        for (take, of), measure in quality.measures.items()
        if of == camera and (take in subjects or not subjects)
    ]
    return _medians(own, ("sharpness", "level", "clipped"))


def _of_stereo(takes: Mapping[str, Mapping[str, Any]], camera: str) -> dict[str, float]:
    healths = [(entry.get("view_health") or {}).get(camera) for entry in takes.values()]
    own = []
    for health in healths:
        if isinstance(health, Mapping):
            right, down = (_number(health.get(name)) for name in ("shift_x_px", "shift_y_px"))
            off = None if right is None or down is None else float(np.hypot(right, down))
            own.append({**health, "shift_px": off})
    return _medians(own, ("ncc", "shift_px"))


def _medians(measures: list[Any], names: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for name in names:
        values = [v for m in measures if (v := _number(m.get(name))) is not None]
        if values:
            found[name] = float(np.median(values))
    return found


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and np.isfinite(value) else None
