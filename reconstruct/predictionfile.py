"""A prediction on disk: `prediction.npz` with the arrays, `prediction.json` with all else.

`prediction.json` is written last: where it is, the archive is whole. It tells the face model's
name and where it was read from, so that a reader need not know it.
"""

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import Floats32
from ..core.errors import InputError, SchemaError
from ..core.facemodel.load import MODEL_NAMES, load_face_model
from ..core.facemodel.model import FaceModel
from ..core.files import atomic_path, read_json, write_json
from ..core.geometry.camera import Camera
from ..dataset.bake.mapfile import coded_normals, decoded_normals
from .prediction import Prediction

ARRAYS_FILE = "prediction.npz"
RECORD_FILE = "prediction.json"
_FORMAT, _VERSION = "facekit-prediction", 1
_PLAIN = (
    "landmarks", "identity", "expression", "light", "coarse", "mid", "deformation", "displacement",
    "texture",
)  # fmt: skip
_SHARES = ("valid", "texture_valid")  # in [0, 1]: bytes
_NORMALS = ("normal", "tangent_normal")  # octahedral, 16 bits


def save_prediction(folder: Path, prediction: Prediction, *, model: str | None = None) -> None:
    """Write `prediction.npz` and `prediction.json` into `folder`, each atomically.

    Parameters
    ----------
    model : str, optional
        What `load_face_model` reads the model by (`builtin`, `ict`, a path); its name by default.
    """
    arrays: dict[str, Any] = {name: getattr(prediction, name) for name in _PLAIN}
    arrays |= {name: _bytes_of(getattr(prediction, name)) for name in _SHARES}
    arrays |= {name: coded_normals(getattr(prediction, name)) for name in _NORMALS}
    arrays["albedo"] = prediction.albedo.astype(np.float16)
    (folder / RECORD_FILE).unlink(missing_ok=True)  # no record beside other arrays
    with atomic_path(folder / ARRAYS_FILE) as part, part.open("wb") as file:
        np.savez_compressed(file, format=np.array(_FORMAT), version=np.array(_VERSION), **arrays)
    if model is None:
        model = prediction.model.name
    elif model not in MODEL_NAMES:  # a path, to be found from wherever the reader runs
        model = str(Path(model).resolve())
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
    record = read_json(folder / RECORD_FILE, format_name=_FORMAT, version=_VERSION)
    path = folder / RECORD_FILE
    try:
        about, photograph = record["model"], record["photograph"]
        model = _model_of(str(about["source"]), path) if model is None else model
        if str(about["topology"]) != topology_of(model):
            raise SchemaError(
                f"{path}: of the face model {about['name']!r} with another mesh than the "
                f"{model.name!r} given; give the model that the prediction was made with"
            )
        camera = _camera(record["camera"])
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


def _model_of(source: str, record: Path) -> FaceModel:
    try:
        return load_face_model(source)
    except InputError as error:
        raise InputError(f"{record}: its face model cannot be loaded: {error}") from error


def topology_of(model: FaceModel) -> str:
    """Return a hash of a model's triangles and UVs: what arrays of a prediction rest on."""
    content = hashlib.sha256(model.faces.tobytes())
    content.update(model.faces_uv.tobytes())
    content.update(np.round(model.uv, 6).astype(np.float32).tobytes())
    return content.hexdigest()[:16]


def _record(prediction: Prediction, source: str) -> dict[str, Any]:
    camera, model = prediction.camera, prediction.model
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
        "model": {
            "name": model.name,
            "source": source,
            "n_vertices": model.n_vertices,
            "topology": topology_of(model),
        },
        "frame": "head: +x to the subject's left, +y up, +z out of the face; mm",
        "camera": {
            "width": camera.width,
            "height": camera.height,
            "K": camera.K.tolist(),
            "cam_from_head": camera.cam_from_world.tolist(),
        },
        "deformation_at_corners": prediction.deformation_at_corners,
        "remarks": list(prediction.remarks),
        "figures": {key: round(float(v), 6) for key, v in prediction.figures.items()},
    }


def _camera(record: dict[str, Any]) -> Camera:
    return Camera(
        name="photograph",
        width=int(record["width"]),
        height=int(record["height"]),
        K=np.array(record["K"], np.float64).reshape(3, 3),
        cam_from_world=np.array(record["cam_from_head"], np.float64).reshape(3, 4),
    )


def _arrays(path: Path) -> dict[str, Any]:
    """Return the arrays of an archive as `Prediction` has them."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; reconstruct the photograph again")
    names = (*_PLAIN, *_SHARES, *_NORMALS, "albedo")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            read = {name: archive[name] for name in names}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: damaged ({error}); reconstruct it again") from error
    read |= {name: read[name].astype(np.float32) / np.float32(255) for name in _SHARES}
    read |= {name: decoded_normals(read[name]) for name in _NORMALS}
    read["albedo"] = read["albedo"].astype(np.float32)
    return read


def _bytes_of(share: Floats32) -> NDArray[np.uint8]:
    return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
