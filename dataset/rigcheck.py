"""Before stereo: whether a camera moved between the calibration and this take."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..calibration.check import REPAIRED_FILE, STABILITY_FILE, check_take, write_check
from ..calibration.rigfile import load_rig
from ..capture.session import Session, Take
from ..core.errors import FacekitError
from ..core.files import StageKey, finished, scratch_folder, stage_run, write_json
from ..core.geometry.camera import Rig
from .stages import STAGES_FOLDER

log = logging.getLogger(__name__)

STAGE = "check"
_VERSION = 1  # of what the check computes
_QUIET = ("steady", "too few ties")


class RigCheck(StrEnum):
    """What is done about a camera that moved."""

    REPAIR = "repair"
    WARN = "warn"
    OFF = "off"


@dataclass(frozen=True, kw_only=True)
class CheckedRig:
    """The rig that a take is built with."""

    rig: Rig
    record: Mapping[str, Any] | None
    """See `docs/formats/stability.md`; None without a check."""

    @property
    def remarks(self) -> list[str]:
        """What a person should know, one sentence each; empty for a steady rig."""
        if self.record is None or self.record["verdict"] in _QUIET:
            return []
        return [str(sentence) for sentence in self.record["sentences"]]


def checked_rig(
    session: Session,
    take: Take,
    rig: Rig,
    folder: Path,
    *,
    how: RigCheck,
    inputs: Mapping[str, str],
) -> CheckedRig:
    """Return the rig for a take, repaired where a camera moved; leave the record beside its mesh.

    A check that cannot be made stops nothing: the record says why.

    Parameters
    ----------
    rig : Rig
        The cameras that the take has photographs of.
    folder : Path
        Of the take.
    inputs : Mapping[str, str]
        Hashes of photographs, masks and calibration.
    """
    record_file, repaired = folder / STABILITY_FILE, folder / REPAIRED_FILE
    if how is RigCheck.OFF:
        for path in (record_file, repaired):
            path.unlink(missing_ok=True)
        return CheckedRig(rig=rig, record=None)
    place = folder / STAGES_FOLDER / STAGE
    key = StageKey(
        stage=f"build-dataset/{STAGE}",
        config={"check_rig": how.value, "version": _VERSION},
        inputs=inputs,
    )
    before = finished(place, key, outputs=["../../" + STABILITY_FILE])
    if before is not None and (not before["results"]["repaired"] or repaired.is_file()):
        record = before["results"]
    else:
        with stage_run(place, key) as run:
            run.results.update(_check(session, take, rig, folder, how))
            write_json(record_file, run.results)
        record = run.results
    used = load_rig(repaired) if record["repaired"] else rig
    return CheckedRig(rig=used, record=record)


def _check(
    session: Session, take: Take, rig: Rig, folder: Path, how: RigCheck
) -> Mapping[str, Any]:
    with scratch_folder(folder / STAGES_FOLDER / STAGE) as cache:
        try:
            check = check_take(session, take, rig, cache=cache)
        except FacekitError as error:
            log.warning("%s: the rig could not be checked: %s", take.id, error)
            (folder / REPAIRED_FILE).unlink(missing_ok=True)
            return {
                "verdict": "not checked",
                "cameras": {},
                "moved": [],
                "exchanged": [],
                "repaired": None,
                "sentences": [f"the rig could not be checked: {error}"],
            }
        return write_check(check, rig, folder, take=take.id, repair=how is RigCheck.REPAIR)
