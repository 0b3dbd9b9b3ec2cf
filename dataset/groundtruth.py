"""From a calibrated session to ground truth: meshes, one topology on all of them, their maps.

All takes of a session show one person: the face model's identity is found from all of them
together, so that its registration waits for the last mesh. What is finished is kept.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..calibration.check import REPAIRED_FILE
from ..calibration.rigfile import load_rig
from ..capture.session import Session, Take
from ..core.console import track
from ..core.errors import ConfigError
from ..core.facemodel.load import load_face_model
from ..core.files import write_json
from ..core.geometry.camera import Rig
from .bake.config import BakeConfig
from .build import EXPECTED, SUMMARY, BuildConfig, build_dataset, reason_of, wanted_takes
from .mapstage import bake_take
from .register.register import RegisterConfig
from .registerstage import AUTO_LANDMARKS, find_landmarks, landmark_finder, register_session
from .rigcheck import RigCheck
from .stages import STAGES_FOLDER

log = logging.getLogger(__name__)

NO_MODEL = "none"


@dataclass(frozen=True, kw_only=True)
class GroundTruthConfig(BuildConfig):
    """How meshes, registration and maps are made."""

    landmarks: str = (
        AUTO_LANDMARKS  # auto: by the registered detector where there is one; none; or a
    )
    # table of points found elsewhere (.csv, .json)
    model: str = "builtin"  # face model: builtin, the name of a registered one, or its file;
    # `none`: meshes alone, for what is no face
    deformation_size: int = BakeConfig.deformation_size  # texels a side
    map_size: int = BakeConfig.displacement_size  # of displacement, normals and albedo


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
        Build these meshes alone. Registration follows with the run that finds all of them done.
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
    summary = build_dataset(session, rig, out, config, takes=[take.id for take in mine], jobs=jobs)
    summary |= _origin(session, rig_file, out, config.model)
    write_json(out / SUMMARY, summary)
    if model is None:
        return summary
    waiting = [take.id for take in wanted if not _has_mesh(out / take.id)]
    if shard is not None and waiting:
        log.info(
            "registration waits for the meshes of %s: run the other shards, then once without",
            ", ".join(waiting),
        )
        return summary
    meshed = [take for take in wanted if _has_mesh(out / take.id)]
    rigs = {take.id: _rig_of(out / take.id, rig, config) for take in meshed}
    finder = landmark_finder(config.landmarks)
    for take in meshed:
        find_landmarks(session, take, rigs[take.id], out / take.id, finder)
    failed = register_session(out, meshed, model, RegisterConfig(metric=rig.metric))
    settings = BakeConfig(
        deformation_size=config.deformation_size,
        displacement_size=config.map_size,
        albedo_size=config.map_size,
    )
    for take in track(meshed, "maps"):
        figures = summary["takes"].setdefault(take.id, {})
        if take.id in failed:
            summary["failed"][take.id] = f"registration: {failed[take.id]}"
            continue
        try:
            figures |= bake_take(
                session, take, rigs[take.id], out / take.id, model, settings,
                megapixels=config.megapixels, auto_mask=config.auto_mask,
            )  # fmt: skip
        except EXPECTED as error:
            summary["failed"][take.id] = f"maps: {reason_of(error)}"
            log.debug("%s: maps failed", take.id, exc_info=True)
    write_json(out / SUMMARY, summary)
    return summary


def _origin(session: Session, rig_file: Path | None, out: Path, model: str) -> dict[str, str]:
    """Return what a build came from, files as seen from its folder: they may move together."""
    found = {
        "session_folder": os.path.relpath(session.folder, out),
        "model": os.path.relpath(model, out) if Path(model).exists() else model,
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
