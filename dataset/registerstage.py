"""Stages of registration: landmarks of each take, then one face model laid on all of them."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..capture.session import Session, Take
from ..core.assets import find_asset
from ..core.config import to_mapping
from ..core.errors import EstimationError, InputError, RegistrationError
from ..core.facemodel.landmark_opencv import OpencvDetector
from ..core.facemodel.landmark_table import LandmarkTable, load_landmark_table
from ..core.facemodel.landmarks import Detector
from ..core.facemodel.model import FaceModel
from ..core.files import StageKey, clear_unfinished, finished, hash_of, sha256_file, stage_run
from ..core.folderlock import only_writer
from ..core.geometry.camera import Rig
from ..core.geometry.meshio import load_mesh
from .register.register import RegisterConfig, register_takes
from .register.registered import Registered, Scan
from .register.registeredfile import REGISTERED_FILE, save_registered
from .register.takelandmarks import load_landmarks, save_landmarks, take_landmarks
from .stages import STAGES_FOLDER

log = logging.getLogger(__name__)

LANDMARKS_FILE = "landmarks.npz"
NO_LANDMARKS, AUTO_LANDMARKS = "none", "auto"
_LANDMARKS, _REGISTER = "landmarks", "register"
_VERSION = 2  # of both: a change makes older results stale


def landmark_finder(landmarks: str) -> Detector | LandmarkTable | None:
    """Return what finds landmarks: `auto`, `none` or a table's file; None for nothing.

    Raises
    ------
    InputError
        The table or a registered network cannot be read.
    """
    if landmarks == NO_LANDMARKS:
        return None
    if landmarks != AUTO_LANDMARKS:
        return load_landmark_table(Path(landmarks))
    if find_asset("yunet") is None or find_asset("facemesh") is None:
        return None
    return OpencvDetector()


def find_landmarks(
    session: Session, take: Take, rig: Rig, folder: Path, finder: Detector | LandmarkTable | None
) -> None:
    """Leave a take's landmarks beside its mesh; registration does without where none are found.

    Parameters
    ----------
    rig : Rig
        That the take's mesh was made with.
    folder : Path
        Of the take.
    """
    path, place = folder / LANDMARKS_FILE, folder / STAGES_FOLDER / _LANDMARKS
    if finder is None:
        path.unlink(missing_ok=True)
        return
    key = StageKey(
        stage=f"build-dataset/{_LANDMARKS}",
        config={"version": _VERSION},
        inputs={
            "cameras": hash_of([camera.record() for camera in rig]),
            "photographs": hash_of([shot.sha256 for shot in take.shots]),
            "finder": hash_of(repr(finder)) if isinstance(finder, LandmarkTable) else finder.name,
        },
    )
    record = finished(place, key, outputs=[])
    if record is not None and path.is_file() == (record["results"]["reason"] is None):
        return
    path.unlink(missing_ok=True)
    with stage_run(place, key) as run:
        try:
            found = take_landmarks(session, take, rig, finder)
        except EstimationError as error:
            log.warning("%s", error)
            run.results["reason"] = str(error)
        else:
            save_landmarks(path, found)
            run.results.update(reason=None, remarks=list(found.remarks))


def register_session(
    out: Path, takes: Sequence[Take], model: FaceModel, settings: RegisterConfig
) -> dict[str, str]:
    """Lay the model on all takes of a person, if that is not done.

    Returns
    -------
    dict
        Take -> why the model could not be laid on it.
    """
    key = StageKey(
        stage=f"build-dataset/{_REGISTER}",
        config={"version": _VERSION, **to_mapping(settings)},
        inputs={
            "model": model_hash(model),
            **{
                f"{name} of {take.id}": sha256_file(out / take.id / name)
                for take in takes
                for name in ("mesh.ply", LANDMARKS_FILE)
                if (out / take.id / name).is_file()
            },
        },
    )
    place = out / STAGES_FOLDER / _REGISTER
    with only_writer(place, wait=True):  # parts of a job array may end in the same moment
        record = finished(place, key, outputs=[])
        if record is not None and all(
            (out / take.id / REGISTERED_FILE).is_file()
            for take in takes
            if take.id not in record["results"]["failed"]
        ):
            log.info("registration finished already")
            return dict(record["results"]["failed"])
        for take in takes:
            (out / take.id / REGISTERED_FILE).unlink(missing_ok=True)
            clear_unfinished(out / take.id)
        log.info("registration of %d takes", len(takes))
        with stage_run(place, key) as run:
            scans, failed = _scans(out, takes)
            found, unfit = _registered(model, scans, settings)
            failed |= unfit
            for name, registered in found.items():
                save_registered(out / name, registered)
            run.results.update(
                failed=failed, takes={name: fit_figures(one) for name, one in found.items()}
            )
        return failed


def _scans(out: Path, takes: Sequence[Take]) -> tuple[dict[str, Scan], dict[str, str]]:
    """Read the meshes of the takes; one that is damaged stops no other."""
    scans: dict[str, Scan] = {}
    failed: dict[str, str] = {}
    for take in takes:
        try:
            scans[take.id] = load_scan(out / take.id)
        except InputError as error:
            failed[take.id] = f"{error}; delete the folder's stages/mesh to have it made again"
    return scans, failed


def _registered(
    model: FaceModel, scans: Mapping[str, Scan], config: RegisterConfig
) -> tuple[dict[str, Registered], dict[str, str]]:
    """Register all takes together; where that fails, those that can be registered alone."""
    if not scans:
        return {}, {}
    try:
        found = register_takes(model, list(scans.values()), config)
        return dict(zip(scans, found, strict=True)), {}
    except RegistrationError as error:
        if len(scans) == 1:
            return {}, {name: str(error) for name in scans}
    failed: dict[str, str] = {}
    for name, scan in scans.items():
        try:
            register_takes(model, [scan], config)
        except RegistrationError as error:
            failed[name] = str(error)
    good = {name: scan for name, scan in scans.items() if name not in failed}
    if not good or not failed:
        return {}, failed or dict.fromkeys(scans, "the takes do not fit one person")
    found = register_takes(model, list(good.values()), config)
    return dict(zip(good, found, strict=True)), failed


def load_scan(folder: Path) -> Scan:
    """Read the mesh of a take, with its landmarks where they were found."""
    mesh = load_mesh(folder / "mesh.ply")
    if not (folder / LANDMARKS_FILE).is_file():
        return Scan(mesh=mesh)
    found = load_landmarks(folder / LANDMARKS_FILE)
    return Scan(mesh=mesh, landmarks=found.points, landmark_sigma=found.sigma)


def fit_figures(registered: Registered) -> dict[str, Any]:
    """Return how well a model lies on a scan, JSON-able."""
    face = registered.model.regions.get("face", np.ones(len(registered.support), bool))
    residual = np.abs(registered.residual[face & np.isfinite(registered.residual)])
    return {
        "model": registered.model.name,
        "scale": float(registered.world_from_head.scale),
        "face_on_scan_percent": round(100 * float((registered.support[face] > 0.5).mean()), 1),
        "residual_median_mm": float(np.median(residual)) if len(residual) else None,
        "residual_p90_mm": float(np.percentile(residual, 90)) if len(residual) else None,
        "identity_rms": float(np.sqrt((registered.identity**2).mean())),
    }


def model_hash(model: FaceModel) -> str:
    """Return the hex SHA-256 of what a face model says of shapes and charts."""
    digest = hashlib.sha256()
    for array in (
        model.mean, model.faces, model.uv, model.faces_uv, model.identity, model.identity_sigma,
        model.expression, model.landmarks68,
    ):  # fmt: skip
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
