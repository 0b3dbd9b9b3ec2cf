"""What is sent away of a build: a take's mesh, a session's registration, a take's maps.

Each is told paths, hashes and settings, and may run on another machine that sees the same files.
Its results are files; the answer holds figures. Whoever else is at work in the same folder is
waited for: then there is nothing left to do.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..calibration.check import REPAIRED_FILE
from ..calibration.rigfile import load_rig, rig_of_record
from ..capture.session import SESSION_FILE, Session, load_session
from ..core.config import from_mapping
from ..core.errors import InputError
from ..core.facemodel.load import load_face_model
from ..core.files import STAGE_RECORD, sha256_file
from ..core.folderlock import in_use, only_writer
from ..core.geometry.camera import Rig
from ..core.jobs.job import FRESH, reason_of
from .bake.config import BakeConfig
from .build import EXPECTED, build_take
from .groundtruthconfig import NO_MODEL, GroundTruthConfig
from .mapstage import bake_take
from .register.register import RegisterConfig
from .registerstage import find_landmarks, landmark_finder, register_session
from .rigcheck import RigCheck
from .stages import STAGES_FOLDER

log = logging.getLogger(__name__)

FIGURES, FAILED = "figures", "failed"


def mesh(*, take: str, **common: Any) -> dict[str, Any]:
    """Make a take's mesh, and find its landmarks.

    Parameters
    ----------
    common : keyword arguments
        As `common_of` returns them.

    Returns
    -------
    dict
        `figures` of `build.build_take`, and `fresh`.
    """
    session, rig, out, config = _opened(common)
    folder = out / take
    with _at_work(session, folder, folder) as fresh:
        figures = build_take(session, session.take(take), rig, folder, config)
        if config.model != NO_MODEL:
            try:
                finder = landmark_finder(config.landmarks)
                used = _rig_of(folder, rig, config)
                find_landmarks(session, session.take(take), used, folder, finder)
            except EXPECTED as error:  # registration looks again, and tells it
                log.debug("%s: landmarks: %s", take, error, exc_info=True)
    return {FIGURES: figures, FRESH: fresh}


def registration(*, takes: Sequence[str], **common: Any) -> dict[str, Any]:
    """Lay the face model on all meshes of a session.

    Returns
    -------
    dict
        `failed` (take -> reason), and `fresh`.
    """
    session, rig, out, config = _opened(common)
    failed: dict[str, str] = {}
    with _at_work(session, out, out / STAGES_FOLDER) as fresh:
        model, finder = load_face_model(config.model), landmark_finder(config.landmarks)
        for take in takes:
            used = _rig_of(out / take, rig, config)
            try:
                find_landmarks(session, session.take(take), used, out / take, finder)
            except EXPECTED as error:
                failed[take] = f"landmarks: {reason_of(error)}"
        sound = [session.take(take) for take in takes if take not in failed]
        unfit = register_session(out, sound, model, RegisterConfig(metric=rig.metric))
        failed |= {take: f"registration: {reason}" for take, reason in unfit.items()}
    return {FAILED: failed, FRESH: fresh}


def maps(*, take: str, **common: Any) -> dict[str, Any]:
    """Bake a take's maps.

    Returns
    -------
    dict
        `figures` of `mapstage.bake_take`, and `fresh`.
    """
    session, rig, out, config = _opened(common)
    folder = out / take
    settings = BakeConfig(
        deformation_size=config.deformation_size,
        displacement_size=config.map_size,
        albedo_size=config.map_size,
        base=config.displacement_base,
        most_sigma_mm=config.most_sigma_mm,
    )
    with _at_work(session, folder, folder) as fresh:
        figures = bake_take(
            session, session.take(take), _rig_of(folder, rig, config), folder,
            load_face_model(config.model), settings,
            megapixels=config.megapixels, auto_mask=config.auto_mask,
        )  # fmt: skip
    return {FIGURES: figures, FRESH: fresh}


def common_of(session: Session, rig: Rig, out: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what every job of a session is told, JSON-able.

    Parameters
    ----------
    config : Mapping[str, Any]
        Of a `GroundTruthConfig`, its paths absolute.
    """
    return {
        "session": str(session.folder.absolute()),
        "session_sha256": sha256_file(session.folder / SESSION_FILE),
        "rig": {"metric": rig.metric, "cameras": [camera.record() for camera in rig]},
        "out": str(out.absolute()),
        "config": dict(config),
    }


def has_record(folder: Path, stage: str) -> bool:
    """Tell whether a stage of a take or a session has ended well there, of whatever inputs."""
    return (folder / STAGES_FOLDER / stage / STAGE_RECORD).is_file()


def _opened(common: Mapping[str, Any]) -> tuple[Session, Rig, Path, GroundTruthConfig]:
    """Read what `common_of` tells.

    Raises
    ------
    InputError
        The session is not the one that was meant: it was changed, or lies elsewhere here.
    """
    folder, wanted = Path(common["session"]), str(common["session_sha256"])
    if sha256_file(folder / SESSION_FILE) != wanted:
        raise InputError(f"{folder / SESSION_FILE}: it changed since the build began; build again")
    session = _session(folder, wanted)
    rig = rig_of_record(common["rig"], where=folder)
    config = from_mapping(GroundTruthConfig, common["config"], where="settings of the build")
    return session, rig, Path(common["out"]), config


@lru_cache(maxsize=4)
def _session(folder: Path, sha256: str) -> Session:
    """Read a session once in a process, not for each of its thousands of takes."""
    return load_session(folder)


@contextmanager
def _at_work(session: Session, folder: Path, held: Path) -> Iterator[list[str]]:
    """Be alone in `held`; give a list that in the end names the stages computed in `folder`."""
    fresh: list[str] = []
    with in_use(session.folder), only_writer(held, wait=True):  # nobody may erase it meanwhile
        before = _records(folder)
        yield fresh
        fresh += [name for name, time in _records(folder).items() if before.get(name) != time]


def _records(folder: Path) -> dict[str, int]:
    """Return when each stage of a take or a session ended, ns."""
    found = sorted((folder / STAGES_FOLDER).glob(f"*/{STAGE_RECORD}"))
    return {path.parent.name: path.stat().st_mtime_ns for path in found}


def _rig_of(folder: Path, rig: Rig, config: GroundTruthConfig) -> Rig:
    """Return the rig that a take's mesh was made with."""
    repaired = folder / REPAIRED_FILE
    usable = repaired.is_file() and config.check_rig is RigCheck.REPAIR
    return load_rig(repaired) if usable else rig
