"""Whether the rig stood still: what the ties of each take say of every camera."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..calibration.stability.stabilityrecord import STABILITY_FORMAT, STABILITY_VERSION
from ..core.errors import FacekitError, SchemaError
from ..core.files import read_json_or_unmarked
from ..core.report import Badge, Block, Cell, Missing, Section, Status, Table, Text

STABILITY_FILE = "stability.json"
_STATUS = {
    "steady": Status.GOOD, "too few ties": Status.NOTE, "not checked": Status.NOTE,
    "no photograph": Status.NONE,
}  # fmt: skip
"""Words of verdicts -> colours; all others say that something moved."""


def find_stability(*folders: Path | None) -> dict[str, Mapping[str, Any]]:
    """Return take -> record (docs/formats/stability.md) of all records found in the folders.

    Either one file for all takes, or one in the folder of each. In place of a file of another
    version stands a record, by the name of its folder, that says so.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for folder in folders:
        if folder is None or not folder.is_dir():
            continue
        for path in sorted([*folder.glob(f"*/{STABILITY_FILE}"), folder / STABILITY_FILE]):
            if not path.is_file():
                continue
            try:
                # the record of one take says nothing of its format
                values = read_json_or_unmarked(
                    path, format_name=STABILITY_FORMAT, version=STABILITY_VERSION
                )
            except SchemaError as error:
                found[path.parent.name] = {"verdict": "not checked", "sentences": [str(error)]}
                continue
            except FacekitError:
                continue
            takes = values.get("takes") if isinstance(values, Mapping) else None
            if isinstance(takes, Mapping):
                found |= {str(t): r for t, r in takes.items() if isinstance(r, Mapping)}
            elif isinstance(values, Mapping) and "verdict" in values:
                found[path.parent.name] = values
    return found


def stability_section(records: Mapping[str, Mapping[str, Any]], *, has_rig: bool) -> Section:
    """Return the section: a verdict for each take and camera, and what to do."""
    if not records:
        missing = Missing(what="The check of the rig in each take", how="facekit build-dataset")
        text = Text(text="There is no rig to be checked yet.")
        return Section(title="Rig stability", blocks=[missing if has_rig else text])
    cameras: dict[str, None] = {}
    for record in records.values():
        cameras |= dict.fromkeys(_cameras(record))
    rows: list[list[Cell]] = []
    for take, record in records.items():
        own = _cameras(record)
        rows.append([take, _badge(str(record.get("verdict", ""))),
                     *(_camera_cell(own.get(name)) for name in cameras),
                     "yes" if record.get("repaired") else ""])  # fmt: skip
    blocks: list[Block] = [
        Table(
            columns=["take", "verdict", *cameras, "repaired"],
            rows=rows,
            caption="How far, in px of its photograph, each camera seems to have moved since "
            "the calibration, by points that the cameras share. A turn of 0.02° already shows "
            "on the face.",
        )
    ]
    for take, record in records.items():
        said = record.get("sentences")
        verdict = str(record.get("verdict", ""))
        if verdict != "steady" and isinstance(said, list):
            status = Status.NOTE if _STATUS.get(verdict) is Status.NOTE else Status.BAD
            blocks += [Text(text=f"{take}: {sentence}.", status=status) for sentence in said]
    return Section(title="Rig stability", blocks=blocks)


def unsteady(records: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the number of takes in which something moved."""
    return sum(_STATUS.get(str(record.get("verdict"))) is None for record in records.values())


def _cameras(record: Mapping[str, Any]) -> Mapping[str, Any]:
    cameras = record.get("cameras")
    return cameras if isinstance(cameras, Mapping) else {}


def _badge(word: str) -> Badge:
    return Badge(text=word, status=_STATUS.get(word, Status.BAD))


def _camera_cell(camera: Any) -> Cell:
    if not isinstance(camera, Mapping):
        return None
    word, motion = str(camera.get("verdict", "")), camera.get("motion_px")
    if word == "steady" and isinstance(motion, (int, float)):
        return f"{motion:.2f}"
    if isinstance(motion, (int, float)) and word not in ("too few ties", "no photograph"):
        return Badge(text=f"{word}, {motion:.1f} px", status=_STATUS.get(word, Status.BAD))
    return _badge(word)
