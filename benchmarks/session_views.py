"""What stereo made of a session's views: their health, and the maps side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..calibration.frame import orientations
from ..capture.session import Session
from ..core.arrays import AnyFloats, Bytes
from ..core.errors import FacekitError
from ..core.files import read_json
from ..core.geometry.camera import Rig
from ..core.imaging.orientation import turned_upright
from ..core.npzfile import read_npz
from ..core.report import (
    Block,
    Cell,
    Gallery,
    Missing,
    Picture,
    Section,
    Status,
    Table,
    Text,
    picture,
)
from ..dataset.build import SUMMARY
from .session_images import (
    amount_picture,
    depth_picture,
    normal_picture,
    reduced,
)

_MAP_PX = 260
_MAX_TAKES = 2


def views_section(session: Session, build_folder: Path | None, rig: Rig | None) -> Section:
    """Return the section: for each built take, every view's depth, normals and confidence."""
    blocks: list[Block] = _health(build_folder)
    turn = orientations(session)
    for folder in _take_folders(build_folder)[:_MAX_TAKES]:
        rows: dict[str, list[Picture]] = {"depth": [], "normals": [], "confidence": []}
        for name in (camera.id for camera in session.cameras):
            for kind, image, remark in _maps(folder, name, rig):
                small = reduced(turned_upright(image, turn.get(name, 1)), _MAP_PX)
                rows[kind].append(picture(small, f"{name}{remark}", quality=88))
        for kind, pictures in rows.items():
            if pictures:
                blocks.append(
                    Gallery(
                        pictures=pictures,
                        min_width=max(84, min(200, 1140 // len(pictures) - 12)),
                        caption=f"{folder.name}: {_CAPTIONS[kind]}",
                    )
                )
    if not blocks:
        blocks = [Missing(what="Depth maps", how="facekit build-dataset")]
    return Section(title="Stereo views", blocks=blocks)


_HEALTH = {
    "ncc": "agreement, NCC", "shift_x_px": "shift right, px", "shift_y_px": "shift down, px",
    "spread_px": "spread, px", "sharpness": "sharpness", "clipped_percent": "clipped, %",
}  # fmt: skip


def _health(build_folder: Path | None) -> list[Block]:
    """Return, of each built take, what is said of its photographs and how they agree."""
    blocks: list[Block] = []
    for take, record in _built(build_folder).items():
        blocks += [Text(text=f"{take}: {r}", status=Status.NOTE) for r in record.get("remarks", [])]
        health = record.get("view_health") or {}
        by_view = (record.get("photo_consistency") or {}).get("views", {})
        rows: list[list[Cell]] = [
            [
                name,
                *(_cell(one.get(key)) for key in _HEALTH),
                *(_cell(by_view.get(name, {}).get(key)) for key in ("psnr_db", "ncc")),
            ]
            for name, one in health.items()
        ]
        if rows:
            caption = (
                f"{take}: patches of each photograph against the mean of the others', and how "
                "well the others predict it through the mesh."
            )
            columns = ["camera", *_HEALTH.values(), "predicted, dB", "predicted, NCC"]
            blocks.append(Table(columns=columns, rows=rows, caption=caption))
    return blocks


def _built(build_folder: Path | None) -> Mapping[str, Mapping[str, Any]]:
    if build_folder is None or not (build_folder / SUMMARY).is_file():
        return {}
    try:
        values = read_json(build_folder / SUMMARY)
    except FacekitError:
        return {}
    takes = values.get("takes") if isinstance(values, Mapping) else None
    if not isinstance(takes, Mapping):
        return {}
    return {str(take): record for take, record in takes.items() if isinstance(record, Mapping)}


def _cell(value: object) -> Cell:
    return f"{value:.3g}" if isinstance(value, (int, float)) else "–"


_CAPTIONS = {
    "depth": "depth along the optical axis; yellow is near, grey: rejected or nothing there.",
    "normals": "normals in the camera: right red, up green, towards the camera blue.",
    "confidence": "confidence of the depth, dark 0 to yellow 1.",
}


def _take_folders(build_folder: Path | None) -> list[Path]:
    if build_folder is None or not build_folder.is_dir():
        return []
    return sorted(p for p in build_folder.iterdir() if p.is_dir() and any(p.rglob("*.npz")))


def _maps(folder: Path, camera: str, rig: Rig | None) -> list[tuple[str, Bytes, str]]:
    """Return (kind, picture, remark) of the maps of one view; none where they are absent."""
    path = next(iter(sorted(folder.rglob(f"{camera}.npz"))), None)
    if path is None:
        return []
    try:
        stored: Mapping[str, AnyFloats] = read_npz(path)
    except FacekitError:
        return []
    found: list[tuple[str, Bytes, str]] = []
    if "depth" in stored:
        image, low, high = depth_picture(stored["depth"])
        remark = f", {low:.0f}–{high:.0f} mm" if np.isfinite(low) else ", nothing found"
        found.append(("depth", image, remark))
    normal = stored.get("normal", stored.get("normals"))
    if normal is not None:
        pose = rig[camera].cam_from_world if rig is not None and camera in rig.names else None
        found.append(("normals", normal_picture(normal, pose), ""))
    if "confidence" in stored:
        found.append(("confidence", amount_picture(stored["confidence"]), ""))
    return found
