"""What the photographs of a session are worth: the verdicts of `capture.quality`."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..capture.quality import QUALITY_FILE, QUALITY_FORMAT, QUALITY_VERSION, check_quality
from ..capture.session import Session, TakeKind
from ..core.errors import FacekitError
from ..core.files import read_json
from ..core.report import Badge, Block, Cell, Fold, Missing, Status, Table, Text

log = logging.getLogger(__name__)

MEGAPIXELS = 1500.0
"""As much as is measured for a report by itself: half a minute at 25 ms a megapixel."""
_STATUS = {"good": Status.GOOD, "usable": Status.NOTE, "bad": Status.BAD}


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Verdicts by take, by photograph (take, camera) and by camera, with their remarks."""

    takes: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    shots: Mapping[tuple[str, str], tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    cameras: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    measures: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    problem: str = ""
    """Why there are none."""

    def status(self, take: str, camera: str) -> Status:
        """Return how a photograph is to be marked; good ones are not."""
        verdict, _ = self.shots.get((take, camera), ("good", ()))
        return Status.NONE if verdict == "good" else _STATUS.get(verdict, Status.NONE)

    def count(self, verdict: str) -> int:
        """Return the number of takes with this verdict."""
        return sum(found == verdict for found, _ in self.takes.values())


def find_quality(session: Session) -> Quality:
    """Return the verdicts: what the session keeps, else measured now where that is quick.

    Measuring reads every photograph in full; what is found is kept in `quality.json`, so that
    the next report only reads that. Larger sessions are left to `facekit check`.
    """
    n_pixels = sum(shot.width * shot.height for take in session.takes for shot in take.shots)
    path = session.folder / QUALITY_FILE
    try:
        if path.is_file():
            kept = read_json(path, format_name=QUALITY_FORMAT, version=QUALITY_VERSION)
            found = _quality(kept)
            if set(found.shots) == {(t.id, s.camera) for t in session.takes for s in t.shots}:
                return found
        if n_pixels > 1e6 * MEGAPIXELS:
            return Quality()
        return _quality(check_quality(session))
    except (FacekitError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        return Quality(problem=f"the photographs could not be judged: {error}")


def _quality(values: Mapping[str, Any]) -> Quality:
    return Quality(
        takes={take["id"]: _said(take) for take in values["takes"]},
        shots={
            (take["id"], shot["camera"]): _said(shot)
            for take in values["takes"]
            for shot in take["shots"]
        },
        cameras={camera["id"]: _said(camera) for camera in values["cameras"]},
        measures={
            (take["id"], shot["camera"]): shot["measure"]
            for take in values["takes"]
            for shot in take["shots"]
        },
    )


def _said(entry: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    return str(entry["verdict"]), tuple(str(remark) for remark in entry["remarks"])


def quality_blocks(session: Session, quality: Quality) -> list[Block]:
    """Return the verdict of every take and camera."""
    if quality.problem:
        return [Text(text=quality.problem, status=Status.BAD)]
    if not quality.takes:
        if not session.takes:
            return []
        return [Missing(what="Verdicts of the photographs", how="facekit check")]
    rows: list[list[Cell]] = []
    for take in session.takes:
        verdict, remarks = quality.takes[take.id]
        flagged = [s.camera for s in take.shots if quality.status(take.id, s.camera)
                   is not Status.NONE]  # fmt: skip
        rows.append([
            take.id, str(take.kind), f"{len(take.shots)} of {len(session.cameras)}",
            Badge(text=verdict, status=_STATUS.get(verdict, Status.NONE)),
            ", ".join(flagged), " ".join(_sentence(remark) for remark in remarks),
        ])  # fmt: skip
    columns = ["take", "kind", "photographs", "verdict", "marked", "why"]
    odd = [row for row, take in zip(rows, session.takes, strict=True)
           if quality.takes[take.id][0] != "good"]  # fmt: skip
    table = Table(columns=columns, rows=rows)
    blocks: list[Block] = [_camera_table(session, quality)]
    if odd:
        blocks.append(Table(columns=columns, rows=odd, caption="Takes that are not simply good."))
    else:
        blocks.append(Text(text="All takes are judged good.", status=Status.GOOD))
    if len(odd) < len(rows):
        blocks.append(Fold(title=f"all {len(rows)} takes", blocks=[table]))
    return blocks


def _sentence(remark: str) -> str:
    return remark if remark.endswith((".", "?", "!")) else f"{remark}."


def _camera_table(session: Session, quality: Quality) -> Table:
    """Return each camera's usual figures: what differs from camera to camera stands out."""
    rows: list[list[Cell]] = []
    for camera in session.cameras:
        own = [
            quality.measures[take.id, camera.id]
            for take in session.takes_of(_kind_shown(session))
            if (take.id, camera.id) in quality.measures
        ]
        verdict, remarks = quality.cameras.get(camera.id, ("good", ()))
        rows.append([
            camera.id, _usual(own, "sharpness", "{:.2f}"), _usual(own, "level", "{:.3f}"),
            _usual(own, "clipped", "{:.2f}", 100), _usual(own, "noise", "{:.2f}", 100),
            Badge(text=verdict, status=_STATUS.get(verdict, Status.NONE)),
            " ".join(_sentence(remark) for remark in remarks),
        ])  # fmt: skip
    return Table(
        columns=["camera", "sharpness", "light", "clipped, %", "noise, %", "verdict", "why"],
        rows=rows,
        caption=f"Medians over the takes of kind {_kind_shown(session)}. Sharpness: 1 is very "
        "blurred, a printed edge that is sharp to the pixel 3, fine texture more. Light: mean "
        "linear level of the subject, of 1.",
    )


def _kind_shown(session: Session) -> TakeKind:
    kinds = [take.kind for take in session.takes]
    return TakeKind.SUBJECT if TakeKind.SUBJECT in kinds else max(kinds, key=kinds.count)


def _usual(measures: list[Mapping[str, Any]], name: str, form: str, factor: float = 1.0) -> Cell:
    values = [m[name] for m in measures if isinstance(m.get(name), (int, float))]
    return form.format(factor * float(np.median(values))) if values else None
