"""Check takes against the rig's calibration, and repair the rig for those whose camera moved."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..capture.session import Session, Take, TakeKind
from ..core.console import track
from ..core.errors import FacekitError
from ..core.files import write_json
from ..core.geometry.camera import Rig
from .rigfile import save_rig
from .stability.coarse import Coarse, look
from .stability.repair import repair_pose
from .stability.stability import stability_from_ties
from .stability.stabilityrecord import STABILITY_FORMAT, STABILITY_VERSION, record_of, sentences_of
from .stability.stabilityreport import CameraStability, StabilityReport, Verdict
from .stability.ties import TakePhotos, TieSettings, load_photos, refine_ties

log = logging.getLogger(__name__)

STABILITY_FILE = "stability.json"
REPAIRED_FILE = "rig.repaired.json"


@dataclass(frozen=True, kw_only=True)
class TakeCheck:
    """A checked take."""

    report: StabilityReport
    repaired: Rig | None
    """The rig for this take, where cameras moved and could be brought back."""


def check_take(
    session: Session,
    take: Take,
    rig: Rig,
    *,
    cache: Path,
    settings: TieSettings | None = None,
    n_workers: int = 1,
) -> TakeCheck:
    """Compare the photographs of one take with the rig's calibration.

    Parameters
    ----------
    cache : Path
        Folder that keeps features by content.

    Raises
    ------
    InputError
        Fewer than two photographs, or one cannot be read or has another shape.
    """
    settings = settings or TieSettings()
    photos = load_photos(session, take, rig, settings, cache=cache, n_workers=n_workers)
    return check_photos(photos, rig, settings)


def check_photos(photos: TakePhotos, rig: Rig, settings: TieSettings | None = None) -> TakeCheck:
    """Compare photographs with the rig's calibration; see `check_take`."""
    coarse = look(photos.seen_by(rig), settings or TieSettings())
    ties = refine_ties(coarse.view, coarse.tracks, coarse.points)
    report = stability_from_ties(ties, rig)
    repaired: Rig | None = None
    moved = {name: report.of(name).verdict for name in report.moved}
    if report.whole_rig:
        moved = {}
    slots = rig
    if moved and report.ties is not None:
        slots = repair_pose(report.ties, rig, moved).rig
    if moved or coarse.exchanged:
        repaired = _renamed(slots, coarse.exchanged)
    return TakeCheck(report=_completed(report, rig, coarse), repaired=repaired)


def check_session(
    session: Session,
    rig: Rig,
    *,
    out: Path,
    repair: bool = True,
    takes: Sequence[str] | None = None,
    n_workers: int = 1,
) -> dict[str, Any]:
    """Check every subject take against the rig; write `out/stability.json` and repaired rigs.

    A take that cannot be checked does not stop the others: its reason stands in its record.

    Returns
    -------
    dict
        JSON-able, see `docs/formats/stability.md`.

    Raises
    ------
    InputError
        The session has no take of a name in `takes`.
    """
    wanted = session.takes_of(TakeKind.SUBJECT)
    if takes is not None:
        wanted = tuple(session.take(name) for name in dict.fromkeys(takes))
    records: dict[str, Any] = {}
    for take in track(wanted, "checking the rig"):
        cache = out / "features"
        try:
            check = check_take(session, take, rig, cache=cache, n_workers=n_workers)
        except FacekitError as error:
            records[take.id] = {"verdict": "not checked", "sentences": [str(error)]}
            log.warning("%s: %s", take.id, error)
            continue
        records[take.id] = write_check(check, rig, out / take.id, take=take.id, repair=repair)
    return save_stability(out, session.name, records)


def save_stability(out: Path, session: str, records: Mapping[str, Any]) -> dict[str, Any]:
    """Write `out/stability.json`, the records of all takes; return what it says."""
    summary = {
        "format": STABILITY_FORMAT,
        "version": STABILITY_VERSION,
        "session": session,
        "verdict": _joint([record["verdict"] for record in records.values()]),
        "takes": dict(records),
    }
    write_json(out / STABILITY_FILE, summary)
    return summary


def write_check(
    check: TakeCheck, rig: Rig, folder: Path, *, take: str, repair: bool
) -> dict[str, Any]:
    """Log what a check found, write the repaired rig into `folder`; return the take's record."""
    record = record_of(check.report, rig)
    path = folder / REPAIRED_FILE
    path.unlink(missing_ok=True)  # of an earlier run
    if repair and check.repaired is not None:
        provenance = {
            "method": "repair",
            "take": take,
            "moved": record["moved"],
            "exchanged": record["exchanged"],
        }
        save_rig(path, check.repaired, provenance=provenance)
        record["repaired"] = str(path)
    record["sentences"] = sentences_of(check.report, rig, repaired=record["repaired"] is not None)
    level = logging.INFO if check.report.steady else logging.WARNING
    for sentence in record["sentences"]:
        log.log(level, "%s: %s", take, sentence)
    return record


def _renamed(slots: Rig, exchanged: Sequence[tuple[str, str]]) -> Rig:
    """Return the repaired rig, each photograph's camera being where it stood."""
    place_of = dict(exchanged)
    cameras = []
    for camera in slots:
        source = place_of.get(camera.name, camera.name)
        cameras.append(replace(slots[source], name=camera.name))
    return replace(slots, cameras=tuple(cameras))


def _completed(report: StabilityReport, rig: Rig, coarse: Coarse) -> StabilityReport:
    """Add what is known without ties: exchanged, foreign and missing photographs."""
    by_name = {camera.name: camera for camera in report.cameras}
    entries = []
    for name in rig.names:
        entry = by_name.get(name) or CameraStability(name=name, verdict=Verdict.ABSENT)
        if name in coarse.strangers:
            entry = replace(entry, verdict=coarse.strangers[name])
        if name in dict(coarse.exchanged) and entry.verdict is Verdict.STEADY:
            entry = replace(entry, verdict=Verdict.EXCHANGED)
        entries.append(entry)
    return replace(report, cameras=tuple(entries), exchanged=coarse.exchanged)


def _joint(verdicts: Sequence[str]) -> str:
    bad = [verdict for verdict in verdicts if verdict != "steady"]
    return bad[0] if bad else "steady"
