"""`rig.json`: a calibrated rig on disk, and its form for OpenCV.

The format is described in `docs/formats/rig.md`. Reading is strict: a field that is missing or
impossible is named. COLMAP's text model is in `calibration/colmap.py`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..core.arrays import Floats
from ..core.errors import SchemaError
from ..core.files import atomic_path, read_json, write_json
from ..core.geometry.camera import Camera, Rig
from .fields import check_camera_matrix, numbers, rotation

RIG_FILE = "rig.json"
RIG_FORMAT = "facekit-rig"
RIG_VERSION = 1
CONVENTIONS = {
    "unit": "mm; an arbitrary unit where metric is false",
    "camera_axes": "x right, y down, z forward",
    "cam_from_world": "3x4 [R | t]: x_cam = R x_world + t",
    "pixels": "centre of the top-left pixel is (0.5, 0.5); sensor frame, EXIF not applied",
    "distortion": "Brown: k1, k2, p1, p2, k3 on normalised coordinates",
}


def save_rig(
    path: Path,
    rig: Rig,
    *,
    details: Mapping[str, Mapping[str, Any]] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a rig, atomically.

    Parameters
    ----------
    details : Mapping[str, Mapping[str, Any]], optional
        Camera -> further JSON-able fields: serial, lens, residuals, sigma.
    provenance : Mapping[str, Any], optional
        Where the rig comes from, JSON-able.
    """
    details = details or {}
    write_json(
        path,
        {
            "format": RIG_FORMAT,
            "version": RIG_VERSION,
            "metric": rig.metric,
            "conventions": CONVENTIONS,
            "cameras": [{**camera.record(), **details.get(camera.name, {})} for camera in rig],
            "provenance": dict(provenance or {}),
        },
    )


def load_rig(path: Path) -> Rig:
    """Read a rig; a folder stands for its `rig.json`.

    Raises
    ------
    InputError
        The file is absent or no JSON.
    SchemaError
        It is another format or version, or a field is missing or impossible.
    """
    return rig_of_record(load_rig_record(path), where=_file_of(path))


def load_rig_record(path: Path) -> dict[str, Any]:
    """Read `rig.json` as it stands, with residuals and provenance, checked like `load_rig`."""
    record: dict[str, Any] = read_json(_file_of(path), format_name=RIG_FORMAT, version=RIG_VERSION)
    rig_of_record(record, where=_file_of(path))
    return record


def rig_of_record(record: Mapping[str, Any], *, where: Path) -> Rig:
    """Return the rig that `rig.json`, or a record like it, tells of.

    Parameters
    ----------
    record : Mapping[str, Any]
        `metric` and `cameras`.
    where : Path
        Where it comes from, for messages.

    Raises
    ------
    SchemaError
        A field is missing or impossible.
    """
    metric = record.get("metric")
    if not isinstance(metric, bool):
        raise SchemaError(f"{where}: metric: true or false expected, got {metric!r}")
    entries = record.get("cameras")
    if not isinstance(entries, list) or not entries:
        raise SchemaError(f"{where}: cameras: a list of cameras expected")
    cameras = [_camera_of(entry, f"{where}: cameras[{i}]") for i, entry in enumerate(entries)]
    names = [camera.name for camera in cameras]
    for name in names:
        if names.count(name) > 1:
            raise SchemaError(f"{where}: cameras: {name!r} is there {names.count(name)} times")
    return Rig(cameras=tuple(cameras), metric=metric)


def export_opencv(path: Path, rig: Rig) -> None:
    """Write a rig as OpenCV's YAML (FileStorage): `camera_<n>` nodes of name, size, K, D, R, T.

    OpenCV counts the centre of the top-left pixel as (0, 0): the principal points differ from
    `rig.json` by half a pixel.
    """
    with atomic_path(path) as part:
        storage = cv2.FileStorage(str(part), cv2.FILE_STORAGE_WRITE | cv2.FILE_STORAGE_FORMAT_YAML)
        if rig.metric:
            storage.write("unit_mm", 1.0)
        for index, camera in enumerate(rig):
            storage.startWriteStruct(f"camera_{index}", cv2.FileNode_MAP)
            storage.write("name", camera.name)
            storage.write("width", camera.width)
            storage.write("height", camera.height)
            storage.write("K", _opencv_K(camera))
            storage.write("D", camera.distortion.reshape(1, 5))
            storage.write("R", camera.cam_from_world[:, :3].copy())
            storage.write("T", camera.cam_from_world[:, 3:].copy())
            storage.endWriteStruct()
        storage.release()


def _opencv_K(camera: Camera) -> Floats:
    K = camera.K.copy()
    K[:2, 2] -= 0.5
    return K


def _file_of(path: Path) -> Path:
    return path / RIG_FILE if path.is_dir() else path


def _camera_of(entry: Any, where: str) -> Camera:
    if not isinstance(entry, dict):
        raise SchemaError(f"{where}: a mapping expected")
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise SchemaError(f"{where}.name: a name expected, got {name!r}")
    sizes = []
    for key in ("width", "height"):
        value = entry.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            raise SchemaError(f"{where}.{key}: a positive whole number expected, got {value!r}")
        sizes.append(value)
    K = _field(entry, "K", (3, 3), where)
    check_camera_matrix(K, f"{where}.K")
    pose = _field(entry, "cam_from_world", (3, 4), where)
    R = rotation(pose[:, :3], f"{where}.cam_from_world: its first three columns")
    return Camera(
        name=name,
        width=sizes[0],
        height=sizes[1],
        K=K,
        distortion=_field(entry, "distortion", (5,), where),
        cam_from_world=np.column_stack([R, pose[:, 3]]),
    )


def _field(entry: Mapping[str, Any], key: str, shape: Sequence[int], where: str) -> Floats:
    if key not in entry:
        raise SchemaError(f"{where}.{key} is missing")
    return numbers(entry[key], shape, f"{where}.{key}")
