"""A prediction on disk: `prediction.npz` with the arrays, `prediction.json` with all else."""

from pathlib import Path
from typing import Any

from ..core.errors import InputError, SchemaError
from ..core.facemodel.model import FaceModel
from ..core.files import read_json, write_json
from .prediction import Prediction
from .surfacefile import (
    HEAD_FRAME,
    camera_of_record,
    camera_record,
    load_archive,
    model_of_record,
    model_record,
    rounded,
    save_archive,
    surface_arrays,
    surface_fields,
)

ARRAYS_FILE = "prediction.npz"
RECORD_FILE = "prediction.json"
_FORMAT, _VERSION = "facekit-prediction", 1
_OWN = ("landmarks", "light")
_AGAIN = "reconstruct the photograph again"


def save_prediction(folder: Path, prediction: Prediction, *, model: str | None = None) -> None:
    """Write `prediction.npz` and `prediction.json` into `folder`, each atomically.

    Parameters
    ----------
    model : str, optional
        What `load_face_model` reads the model by (`builtin`, `ict`, a path); its name by default.
    """
    arrays = surface_arrays(prediction) | {name: getattr(prediction, name) for name in _OWN}
    (folder / RECORD_FILE).unlink(missing_ok=True)  # no record beside other arrays
    save_archive(folder / ARRAYS_FILE, arrays, format_name=_FORMAT, version=_VERSION)
    write_json(folder / RECORD_FILE, _record(prediction, model))


def load_prediction(folder: Path, model: FaceModel | None = None) -> Prediction:
    """Read what `save_prediction` wrote.

    Parameters
    ----------
    model : FaceModel, optional
        Loaded by the record by default.

    Raises
    ------
    InputError
        A file is absent or damaged, or the face model cannot be found.
    SchemaError
        Another version, or of another face model.
    """
    path = folder / RECORD_FILE
    record = read_json(path, format_name=_FORMAT, version=_VERSION)
    try:
        photograph = record["photograph"]
        model = model_of_record(record["model"], model, where=path)
        camera = camera_of_record(record["camera"], name="photograph")
        return Prediction(
            model=model,
            photograph=str(photograph["file"]),
            photograph_sha256=str(photograph["sha256"]),
            method=str(record["method"]),
            camera=camera,
            deformation_at_corners=bool(record["deformation_at_corners"]),
            remarks=tuple(map(str, record["remarks"])),
            figures={str(k): float(v) for k, v in record["figures"].items()},
            **_arrays(folder / ARRAYS_FILE),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SchemaError(f"{path}: its {error} cannot be used; reconstruct it again") from error


def _record(prediction: Prediction, source: str | None) -> dict[str, Any]:
    camera = prediction.camera
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "photograph": {
            "file": prediction.photograph,
            "sha256": prediction.photograph_sha256,
            "width": camera.width,
            "height": camera.height,
        },
        "method": prediction.method,
        "model": model_record(prediction.model, source),
        "frame": HEAD_FRAME,
        "camera": camera_record(camera),
        "deformation_at_corners": prediction.deformation_at_corners,
        "remarks": list(prediction.remarks),
        "figures": rounded(prediction.figures),
    }


def _arrays(path: Path) -> dict[str, Any]:
    """Return the arrays of an archive as `Prediction` has them."""
    archive = load_archive(path, format_name=_FORMAT, version=_VERSION, again=_AGAIN)
    try:
        return surface_fields(archive) | {name: archive[name] for name in _OWN}
    except KeyError as error:
        raise InputError(f"{path}: damaged ({error} is not in it); {_AGAIN}") from error
