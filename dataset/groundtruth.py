"""From a calibrated session to ground truth: meshes, one topology on all of them, their maps.

All takes of a session show one person: the face model's identity is found from all of them
together, so that its registration waits for the last mesh. What is finished is kept.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..calibration.check import REPAIRED_FILE
from ..calibration.rigfile import load_rig
from ..capture.session import Session, Take
from ..core.console import track
from ..core.errors import ConfigError
from ..core.facemodel.load import MODEL_NAMES, load_face_model
from ..core.facemodel.model import FaceModel
from ..core.files import in_use
from ..core.geometry.camera import Rig
from .bake.config import BakeConfig
from .bake.maps import Base
from .build import (
    EXPECTED,
    BuildConfig,
    build_dataset,
    reason_of,
    told_before,
    wanted_takes,
    write_summary,
)
from .mapstage import bake_take
from .register.register import RegisterConfig
from .registerstage import AUTO_LANDMARKS, find_landmarks, landmark_finder, register_session
from .rigcheck import RigCheck
from .stages import STAGES_FOLDER

log = logging.getLogger(__name__)

NO_MODEL = "none"
_LATER = ("registration", "maps")  # figures of what follows the mesh


@dataclass(frozen=True, kw_only=True)
class GroundTruthConfig(BuildConfig):
    """How meshes, registration and maps are made."""

    landmarks: str = AUTO_LANDMARKS  # auto: by the registered detectors where they are; none;
    # or a table of points found elsewhere (.csv, .json)
    model: str = "builtin"  # face model: builtin, the name of a registered one, or its file;
    # `none`: meshes alone, for what is no face
    deformation_size: int = BakeConfig.deformation_size  # texels a side
    map_size: int = BakeConfig.displacement_size  # of displacement, normals and albedo
    displacement_base: Base = BakeConfig.base  # what displacement stands on: curved or flat
    most_sigma_mm: float = BakeConfig.most_sigma_mm  # texels known less well are not valid


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Part `index` of `count` of the takes, counted from 1: for job arrays."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `2/8`.

        Raises
        ------
        ConfigError
            It is no such part.
        """
        parts = text.split("/")
        numbers = [int(part) for part in parts if part.isdigit()]
        if len(parts) != 2 or len(numbers) != 2 or not 1 <= numbers[0] <= numbers[1]:
            raise ConfigError(f"shard {text!r}: give the part and their number, such as 2/8")
        return cls(index=numbers[0], count=numbers[1])

    def of(self, takes: Sequence[Take]) -> list[Take]:
        """Return this part of the takes; the parts share nothing and leave nothing out."""
        return list(takes[self.index - 1 :: self.count])


def build_ground_truth(
    session: Session,
    rig: Rig,
    out: Path,
    config: GroundTruthConfig,
    *,
    takes: Sequence[str] | None = None,
    jobs: int = 1,
    shard: Shard | None = None,
    rig_file: Path | None = None,
) -> dict[str, Any]:
    """Build the meshes of a session's takes, lay the face model on them and bake their maps.

    Parameters
    ----------
    takes : sequence of str, optional
        Ids of the takes wanted; all of kind `subject` by default.
    jobs : int
        Meshes built at a time.
    shard : Shard, optional
        Build these meshes alone. Registration follows with the run that finds the meshes of all
        takes done, but for those that failed; one that has to wait says so in
        `registration_waits_for`.
    rig_file : Path, optional
        Where the rig was read from, for the summary: exports need it.

    Returns
    -------
    dict
        As `build.build_dataset` returns it, with `registration` and `maps` in each take that
        has them; also written to `out/build.json`.

    Raises
    ------
    FacekitError
        As `build.build_dataset`; or the face model cannot be read.
    """
    model = None if config.model == NO_MODEL else load_face_model(config.model)
    wanted = wanted_takes(session, takes)
    mine = wanted if shard is None else shard.of(wanted)
    if not mine:
        return {"session": session.name, "takes": {}, "failed": {}}
    with in_use(session.folder):  # nobody may erase it meanwhile
        summary = build_dataset(
            session, rig, out, config, takes=[take.id for take in mine], jobs=jobs
        )
        summary |= _origin(session, rig_file, out, config.model)
        write_summary(out, session, summary)
        if model is None:
            return summary
        return _with_model(session, rig, out, config, model, wanted, shard, summary)


def _with_model(
    session: Session, rig: Rig, out: Path, config: GroundTruthConfig, model: FaceModel,
    wanted: Sequence[Take], shard: Shard | None, summary: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Lay the model on all meshes once they are there, and bake; return the summary."""
    before = told_before(out, session)
    left = [take for take in wanted if take.id not in before["failed"]]
    meshed = [take for take in left if _has_mesh(out / take.id)]
    waiting = [take.id for take in left if take not in meshed]
    if shard is not None and waiting:
        log.info("registration waits for the meshes of %s", ", ".join(waiting))
        return summary | {"registration_waits_for": waiting}
    for take in meshed:  # of other shards
        summary["takes"].setdefault(take.id, _of_mesh(before["takes"].get(take.id, {})))
    _register_and_bake(session, meshed, rig, out, model, config, summary)
    write_summary(out, session, summary)
    return summary


def _register_and_bake(
    session: Session, takes: Sequence[Take], rig: Rig, out: Path, model: FaceModel,
    config: GroundTruthConfig, summary: dict[str, Any],
) -> None:  # fmt: skip
    """Lay the model on the meshes and bake; add to `summary` what came of it."""
    rigs = {take.id: _rig_of(out / take.id, rig, config) for take in takes}
    finder = landmark_finder(config.landmarks)
    failed: dict[str, str] = {}
    for take in takes:
        try:
            find_landmarks(session, take, rigs[take.id], out / take.id, finder)
        except EXPECTED as error:
            failed[take.id] = f"landmarks: {reason_of(error)}"
    sound = [take for take in takes if take.id not in failed]
    unfit = register_session(out, sound, model, RegisterConfig(metric=rig.metric))
    failed |= {name: f"registration: {reason}" for name, reason in unfit.items()}
    settings = BakeConfig(
        deformation_size=config.deformation_size,
        displacement_size=config.map_size,
        albedo_size=config.map_size,
        base=config.displacement_base,
        most_sigma_mm=config.most_sigma_mm,
    )
    for take in track([take for take in takes if take.id not in failed], "maps"):
        try:
            summary["takes"][take.id] |= bake_take(
                session, take, rigs[take.id], out / take.id, model, settings,
                megapixels=config.megapixels, auto_mask=config.auto_mask,
            )  # fmt: skip
        except EXPECTED as error:
            failed[take.id] = f"maps: {reason_of(error)}"
            log.debug("%s: maps failed", take.id, exc_info=True)
    summary["failed"] |= failed


def _of_mesh(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an older summary says of a take's mesh alone."""
    return {name: value for name, value in figures.items() if name not in _LATER}


def _origin(session: Session, rig_file: Path | None, out: Path, model: str) -> dict[str, str]:
    """Return what a build came from, files as seen from its folder: they may move together."""
    found = {
        "session_folder": os.path.relpath(session.folder, out),
        # a folder that is called as a model is stays a model: names come first
        "model": model if model in (*MODEL_NAMES, NO_MODEL) else os.path.relpath(model, out),
    }
    if rig_file is not None:
        found["rig_file"] = os.path.relpath(rig_file, out)
    return found


def _rig_of(folder: Path, rig: Rig, config: GroundTruthConfig) -> Rig:
    """Return the rig that a take's mesh was made with."""
    repaired = folder / REPAIRED_FILE
    usable = repaired.is_file() and config.check_rig is RigCheck.REPAIR
    return load_rig(repaired) if usable else rig


def _has_mesh(folder: Path) -> bool:
    return (folder / STAGES_FOLDER / "mesh" / "stage.json").is_file() and (
        folder / "mesh.ply"
    ).is_file()
