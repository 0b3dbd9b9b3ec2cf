"""A build folder with what it was made from: the session, the rig and the takes that are done."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...calibration.check import REPAIRED_FILE
from ...calibration.rigfile import RIG_FILE, load_rig, load_rig_record
from ...capture.session import SESSION_FILE, Session, Take, TakeKind, load_session
from ...core.errors import InputError, SchemaError
from ...core.facemodel.load import MODEL_NAMES, load_face_model
from ...core.facemodel.model import FaceModel
from ...core.files import STAGE_RECORD, hash_of, read_json, sha256_file
from ...core.geometry.camera import Rig
from ...core.npzfile import check_arrays, read_npz
from ..bake.mapfile import MAPS_FILE, load_maps
from ..bake.maps import Maps
from ..build import SUMMARY
from ..register.registered import Registered
from ..register.registeredfile import REGISTERED_FILE, load_registered
from ..registerstage import LANDMARKS_FILE, model_hash
from ..stages import STAGES_FOLDER
from .provenance import stages_of

NEEDED = (REGISTERED_FILE, MAPS_FILE)


@dataclass(frozen=True, kw_only=True)
class Source:
    """One build folder."""

    folder: Path
    session: Session
    rig_file: Path
    takes: tuple[Take, ...]
    """Those with everything that an export needs."""
    left_out: Mapping[str, str]
    """Take -> why it cannot be exported."""
    figures: Mapping[str, Any]
    """Take -> what `build.json` tells of it."""

    def take_folder(self, take: Take) -> Path:
        """Return where the results of a take are."""
        return self.folder / take.id

    def stage_folders(self, take: Take) -> tuple[Path, ...]:
        """Return where the records are of the stages that the take went through."""
        return (self.take_folder(take), self.folder / STAGES_FOLDER)

    def rig_file_of(self, take: Take) -> Path:
        """Return the rig that the take's mesh was made with."""
        repaired = self.take_folder(take) / REPAIRED_FILE
        return repaired if repaired.is_file() else self.rig_file

    def rig_of(self, take: Take) -> Rig:
        """Read the rig that the take's mesh was made with."""
        return load_rig(self.rig_file_of(take))

    def rms_of(self, take: Take) -> dict[str, float]:
        """Return camera -> root mean square reprojection error, px, where the rig tells it."""
        found = camera_rms(load_rig_record(self.rig_file))
        return found | camera_rms(load_rig_record(self.rig_file_of(take)))

    def unused_views(self, take: Take) -> tuple[str, ...]:
        """Return the cameras whose photographs stereo left out of the finest mesh."""
        figures = self.figures.get(take.id)
        left_out = figures.get("left_out") if isinstance(figures, dict) else None
        return tuple(map(str, left_out)) if isinstance(left_out, list) else ()

    def model(self, take: Take) -> FaceModel:
        """Load the face model that was registered to the take."""
        return model_of(self.folder, self.take_folder(take))

    def results(self, take: Take, model: FaceModel) -> tuple[Registered, Maps]:
        """Read what was registered and baked."""
        folder = self.take_folder(take)
        return load_registered(folder, model), load_maps(folder)

    def hashes_of(self, take: Take) -> dict[str, str]:
        """Return a hash of everything that an export of the take depends upon."""
        folder = self.take_folder(take)
        files = [folder / name for name in (*NEEDED, LANDMARKS_FILE) if (folder / name).is_file()]
        hashes = {path.name: sha256_file(path) for path in files}
        hashes["stages"] = hash_of(stages_of(self.stage_folders(take)))
        hashes["unused"] = hash_of(self.unused_views(take))
        hashes["rig"] = sha256_file(self.rig_file_of(take))
        for shot in take.shots:
            mask = self.session.mask_path(shot)
            hashes[f"photograph {shot.camera}"] = shot.sha256
            if mask is not None and mask.is_file():
                hashes[f"mask {shot.camera}"] = sha256_file(mask)
        return hashes


def load_source(folder: Path) -> Source:
    """Read a build folder; what it was made from stands in its `build.json`.

    Raises
    ------
    InputError
        No build folder, its session or rig is not where it was, or no take is ready.
    SchemaError
        A file of another version.
    """
    summary = folder / SUMMARY
    if not summary.is_file():
        raise InputError(f"{folder}: no {SUMMARY} here; make it with `facekit build-dataset`")
    values = read_json(summary)
    told = values if isinstance(values, dict) else {}
    if not all(isinstance(told.get(key), dict) for key in ("takes", "failed") if key in told):
        raise SchemaError(f"{summary}: no summary of a build; run `facekit build-dataset` again")
    if "takes" not in told:
        raise SchemaError(f"{summary}: no summary of a build; run `facekit build-dataset` again")
    session = load_session(_origin(folder, values, "session_folder", ("session",), SESSION_FILE))
    beside = ("calibration", "rig", ".")
    rig_folder = _origin(folder, values, "rig_file", beside, RIG_FILE)
    rig_file = rig_folder / RIG_FILE if rig_folder.is_dir() else rig_folder
    if rig_file.suffix.lower() != ".json" or not rig_file.is_file():
        raise InputError(f"{summary}: its rig_file {rig_file} is no rig; put it back")
    takes, left_out = [], dict(values.get("failed", {}))
    for take in session.takes_of(TakeKind.SUBJECT):
        if take.id in left_out:
            continue  # what lies there is of an older run
        if take.id not in values["takes"] and not (folder / take.id).is_dir():
            left_out[take.id] = "not built"
            continue
        missing = [name for name in NEEDED if not (folder / take.id / name).is_file()]
        if missing:
            left_out[take.id] = f"{missing[0]} is missing: not registered and baked yet"
        else:
            takes.append(take)
    if not takes:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise InputError(f"{folder}: no take is ready for export. {reasons}")
    return Source(
        folder=folder, session=session, rig_file=rig_file, takes=tuple(takes), left_out=left_out,
        figures=values["takes"],
    )  # fmt: skip


def camera_rms(record: Mapping[str, Any]) -> dict[str, float]:
    """Return camera -> reprojection error of a `rig.json`, px, where it stands there."""
    return {
        camera["name"]: float(camera["rms_px"])
        for camera in record["cameras"]
        if isinstance(camera.get("rms_px"), (int, float))
    }


def model_of(build: Path, take_folder: Path) -> FaceModel:
    """Load the face model that was registered to a take.

    It is the one that `build.json` names; its own name in `registered.npz` where that is not
    told.

    Raises
    ------
    InputError
        `registered.npz` is damaged, or the model is not here (any more).
    """
    path = take_folder / REGISTERED_FILE
    again = "register the take again"
    stored = read_npz(path, names=("model",), again=again)
    check_arrays(path, stored, {"model": ("U", ())}, again=again)
    name = str(stored["model"])
    summary = read_json(build / SUMMARY)
    if not isinstance(summary, dict):
        raise SchemaError(f"{build / SUMMARY}: no summary of a build; build the takes again")
    told = str(summary.get("model", name))
    beside = build / told
    try:
        model = _loaded(told if told in MODEL_NAMES or not beside.exists() else str(beside))
    except InputError as error:
        raise InputError(f"{path}: its face model cannot be had: {error}") from error
    record = build / STAGES_FOLDER / "register" / STAGE_RECORD
    known = None
    if record.is_file():
        stage = read_json(record, format_name="facekit-stage", version=1)
        inputs = stage.get("inputs")
        known = inputs.get("model") if isinstance(inputs, dict) else None
    if model.name != name or (known is not None and known != model_hash(model)):
        raise InputError(
            f"{path}: registered with another release of the face model {name} than is here; "
            "register the take again"
        )
    return model


@functools.lru_cache(maxsize=2)
def _loaded(name: str) -> FaceModel:
    return load_face_model(name)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long for a path
        return False


def _origin(
    folder: Path, values: Mapping[str, Any], key: str, beside: tuple[str, ...], file: str
) -> Path:
    """Return the folder or file that the build was made from: as it says, else from beside it."""
    if isinstance(values.get(key), str):
        given = Path(values[key])
        path = given if given.is_absolute() else folder / given
        if _is_there(path):
            return path
    for name in beside:
        if (folder.parent / name / file).is_file():
            return folder.parent / name
    told = f" ({values[key]})" if values.get(key) else ""
    raise InputError(
        f"{folder}: the {file} it was made from{told} is not there; put its folder back, or "
        f"beside it as {folder.parent / beside[0]}"
    )
