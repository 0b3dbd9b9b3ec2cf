"""FaceScape's `params.json` of a multi-view capture: a rig in and out.

Its conventions, and what is converted:

- Keys are `<i>_K`, `<i>_Rt` (3x4 camera-from-world, OpenCV's axes), `<i>_distortion` (k1, k2, p1,
  p2, k3), `<i>_width`, `<i>_height`, `<i>_valid`; `<i>.jpg` is the image.
- FaceScape's toolkit hands K to OpenCV, whose top-left pixel has its centre at **(0, 0)**: half a
  pixel is taken off the principal points in writing, added in reading.
- Readers count cameras as the number of keys over 9, so nine keys a camera are written; `sn`
  and `ori` are empty, `name` is facekit's.
- The unit is arbitrary unless `unit_mm`, added by facekit, says otherwise.

Source
------
FaceScape toolkit, `README_multiview.md` and `demo/src/` (Zhu et al., PAMI 2023).
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import SchemaError
from ...core.files import read_json, write_json
from ...core.geometry.camera import Camera, Rig
from ..fields import check_camera_matrix, last_row, numbers, rig_of, rotation, size, stated_unit

log = logging.getLogger(__name__)

PARAMS_FILE = "params.json"
CAMERA_KEY = re.compile(r"(0|[1-9][0-9]{0,5})_K")


def export_facescape(path: Path, rig: Rig) -> None:
    """Write a rig, all of its cameras valid."""
    record: dict[str, Any] = {}
    for index, camera in enumerate(rig):
        K = camera.K.copy()
        K[:2, 2] -= 0.5
        values = {
            "K": K.tolist(),
            "Rt": camera.cam_from_world.tolist(),
            "distortion": camera.distortion.tolist(),
            "width": camera.width,
            "height": camera.height,
            "valid": True,
            "sn": "",
            "ori": 0,
            "name": camera.name,
        }
        record |= {f"{index}_{key}": value for key, value in values.items()}
    if rig.metric:
        record["unit_mm"] = 1.0  # one key more does not change the count of cameras
    write_json(path, record)


def import_facescape(path: Path, *, unit_mm: float | None = None) -> Rig:
    """Read the valid cameras, named by their number; the others are listed in a warning.

    Raises
    ------
    InputError
        The file is absent or no JSON.
    SchemaError
        A field is missing or damaged.
    """
    record = read_json(path)
    if not isinstance(record, dict):
        raise SchemaError(f"{path}: a mapping with <i>_K, <i>_Rt, ... expected")
    indices = sorted(int(m[1]) for key in record if (m := CAMERA_KEY.fullmatch(key)))
    cameras, invalid = [], []
    for index in indices:
        valid = record.get(f"{index}_valid", True)
        if not isinstance(valid, (bool, int)):
            raise SchemaError(f"{path}: {index}_valid: true or false expected")
        if valid:
            cameras.append(_camera(record, index, path))
        else:
            invalid.append(str(index))
    if invalid:
        log.warning("%s: left out, not valid: %s", path, ", ".join(invalid))
    stated = stated_unit(record.get("unit_mm"), f"{path}: unit_mm")
    return rig_of(cameras, unit_mm=unit_mm or stated, where=str(path))


def _camera(record: Mapping[str, Any], index: int, path: Path) -> Camera:
    def field(key: str) -> tuple[Any, str]:
        where = f"{path}: {index}_{key}"
        if f"{index}_{key}" not in record:
            raise SchemaError(f"{where} is missing")
        return record[f"{index}_{key}"], where

    value, where = field("K")
    K = numbers(value, (3, 3), where)
    check_camera_matrix(K, where)
    K[:2, 2] += 0.5
    value, where = field("Rt")
    if isinstance(value, list) and len(value) == 4:
        Rt = last_row(numbers(value, (4, 4), where), where)
    else:
        Rt = numbers(value, (3, 4), where)
    name = record.get(f"{index}_name", str(index))
    if not isinstance(name, str):
        raise SchemaError(f"{path}: {index}_name: a text expected")
    return Camera(
        name=name,
        width=size(*field("width")),
        height=size(*field("height")),
        K=K,
        distortion=numbers(field("distortion")[0], (5,), field("distortion")[1]),
        cam_from_world=np.column_stack([rotation(Rt[:, :3], where), Rt[:, 3]]),
    )
