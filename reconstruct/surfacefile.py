"""What files of all reconstructions share: an archive of arrays, and the face model's record.

An archive is an ordinary NumPy one that says its format and version. Beside it stands a record
in JSON, written last, so that where it is the archive is whole. It tells the face model's name
and where it was read from, so that a reader need not know it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import Floats32
from ..core.errors import InputError, SchemaError
from ..core.facemodel.load import MODEL_NAMES, load_face_model
from ..core.facemodel.model import FaceModel
from ..core.files import atomic_path
from ..core.geometry.camera import Camera
from ..core.imaging.color import as_bytes
from ..core.npzfile import read_npz
from ..dataset.bake.mapfile import coded_normals, decoded_normals
from .surfaces import FaceSurfaces

HEAD_FRAME = "head: +x to the subject's left, +y up, +z out of the face; mm"

_PLAIN = (
    "identity", "expression", "coarse", "mid", "deformation", "displacement", "texture",
)  # fmt: skip
_SHARES = ("valid", "texture_valid")  # in [0, 1]: bytes
_NORMALS = ("normal", "tangent_normal")  # octahedral, 16 bits


def surface_arrays(surfaces: FaceSurfaces) -> dict[str, NDArray[Any]]:
    """Return the arrays of surfaces and maps as an archive holds them."""
    arrays: dict[str, Any] = {name: getattr(surfaces, name) for name in _PLAIN}
    arrays |= {name: as_bytes(getattr(surfaces, name)) for name in _SHARES}
    arrays |= {name: coded_normals(getattr(surfaces, name)) for name in _NORMALS}
    arrays["albedo"] = surfaces.albedo.astype(np.float16)
    return arrays


def surface_fields(archive: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return fields of `FaceSurfaces` of an archive's arrays; KeyError where one lacks."""
    read: dict[str, Any] = {name: archive[name] for name in _PLAIN}
    read |= {name: decoded_share(archive[name]) for name in _SHARES}
    read |= {name: decoded_normals(archive[name]) for name in _NORMALS}
    read["albedo"] = archive["albedo"].astype(np.float32)
    return read


def save_archive(
    path: Path, arrays: Mapping[str, NDArray[Any]], *, format_name: str, version: int
) -> None:
    """Write arrays into one file, atomically."""
    with atomic_path(path) as part, part.open("wb") as file:
        every: dict[str, Any] = {"format": format_name, "version": version, **arrays}
        np.savez_compressed(file, **every)


def load_archive(
    path: Path, *, format_name: str, version: int, again: str
) -> dict[str, NDArray[Any]]:
    """Read all arrays of a file.

    Parameters
    ----------
    again : str
        What a message tells to do, such as `reconstruct the photograph again`.

    Raises
    ------
    InputError
        It is absent or damaged.
    SchemaError
        It is not a `format_name` of this version.
    """
    arrays = read_npz(path, again=again)
    found = str(arrays.get("format"))
    if found != format_name:
        raise SchemaError(f"{path}: not a {format_name} file (its format is {found!r:.60})")
    if str(arrays.get("version")) != str(version):
        raise SchemaError(
            f"{path}: {format_name} version {arrays.get('version')!s:.40}, but this facekit "
            f"reads version {version}; {again}"
        )
    return arrays


def model_record(model: FaceModel, source: str | None) -> dict[str, Any]:
    """Return what a record tells of its face model.

    Parameters
    ----------
    source : str, optional
        What `load_face_model` reads it by (`builtin`, `ict`, a path); its name by default.
    """
    if source is None:
        source = model.name
    elif source not in MODEL_NAMES:  # a path, to be found from wherever the reader runs
        source = str(Path(source).resolve())
    return {
        "name": model.name,
        "source": source,
        "n_vertices": model.n_vertices,
        "topology": topology_of(model),
    }


def model_of_record(about: Mapping[str, Any], given: FaceModel | None, *, where: Path) -> FaceModel:
    """Return the face model of a record, or the one given where it has the same mesh.

    Raises
    ------
    InputError
        It cannot be loaded.
    SchemaError
        The one given, or the one loaded, has another mesh.
    """
    model = given
    if model is None:
        try:
            model = load_face_model(str(about["source"]))
        except InputError as error:
            raise InputError(f"{where}: its face model cannot be loaded: {error}") from error
    if str(about["topology"]) != topology_of(model):
        raise SchemaError(
            f"{where}: of the face model {about['name']!r} with another mesh than the "
            f"{model.name!r} given; give the model that the prediction was made with"
        )
    return model


def topology_of(model: FaceModel) -> str:
    """Return a hash of a model's triangles and UVs: what arrays of a prediction rest on."""
    content = hashlib.sha256(model.faces.tobytes())
    content.update(model.faces_uv.tobytes())
    content.update(np.round(model.uv, 6).astype(np.float32).tobytes())
    return content.hexdigest()[:16]


def camera_record(camera: Camera) -> dict[str, Any]:
    """Return a camera whose world is the head frame, JSON-able."""
    return {
        "width": camera.width,
        "height": camera.height,
        "K": camera.K.tolist(),
        "cam_from_head": camera.cam_from_world.tolist(),
    }


def camera_of_record(record: Mapping[str, Any], *, name: str) -> Camera:
    """Return the camera of a record."""
    return Camera(
        name=name,
        width=int(record["width"]),
        height=int(record["height"]),
        K=np.array(record["K"], np.float64).reshape(3, 3),
        cam_from_world=np.array(record["cam_from_head"], np.float64).reshape(3, 4),
    )


def rounded(figures: Mapping[str, float]) -> dict[str, float]:
    """Return figures as records hold them."""
    return {key: round(float(value), 6) for key, value in figures.items()}


def decoded_share(values: Sequence[Any] | NDArray[Any]) -> Floats32:
    """Return values in [0, 1] of bytes."""
    return np.asarray(values).astype(np.float32) / np.float32(255)
