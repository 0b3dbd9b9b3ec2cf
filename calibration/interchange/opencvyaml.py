"""OpenCV's YAML (`cv::FileStorage`): a rig in; `rigfile.export_opencv` is the way out.

Conventions, and what is converted:

- One node a camera: `name`, `width`, `height`, `K` (3x3), `D` (k1, k2, p1, p2[, k3]), `R` (3x3)
  and `T` (3x1), both camera-from-world.
- OpenCV counts the centre of the top-left pixel as **(0, 0)**: half a pixel is added.
- `unit_mm`, added by facekit, is the size of the file's unit.

Parsed as YAML rather than by `cv2.FileStorage`, which ends the process on some damaged files.

Source
------
OpenCV, `modules/core/src/persistence_yml.cpp` (header `%YAML:1.0`, tag opencv-matrix).
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ...core.arrays import Floats
from ...core.errors import InputError, SchemaError
from ...core.geometry.camera import Camera, Rig
from ..fields import check_camera_matrix, numbers, parse, rig_of, rotation, size, stated_unit

HEADER = re.compile(r"%YAML[^\n]*\n(---[ \t]*\r?\n)?")
_MOST_CHARACTERS = 500_000  # of three hundred cameras; some seconds of reading
ESCAPE = re.compile(r"\\(.)")


class _Loader(yaml.BaseLoader):
    """YAML whose scalars all stay texts, so that a camera may be called `no` or `1e3`.

    Aliases, by which a small file can blow up, are refused; tags mean nothing.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise yaml.YAMLError(f"{twice} is there twice")
        return super().construct_mapping(node, deep=deep)


def import_opencv(path: Path, *, unit_mm: float | None = None) -> Rig:
    """Read the nodes that have a `K`, in the order of the file.

    Raises
    ------
    InputError
        The file is absent or no YAML.
    SchemaError
        A field is missing or damaged, or D has terms beyond k3.
    """
    record = _read(path)
    cameras = [
        _camera(str(key), node, f"{path}: {key}")
        for key, node in record.items()
        if str(key).startswith("camera_") or (isinstance(node, dict) and "K" in node)
    ]
    if not cameras:
        raise SchemaError(f"{path}: no camera_<n> nodes with K, D, R, T")
    unit, where = record.get("unit_mm"), f"{path}: unit_mm"
    stated = stated_unit(None if unit is None else parse(unit, where), where)
    return rig_of(cameras, unit_mm=unit_mm or stated, where=str(path))


def _read(path: Path) -> dict[Any, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as text ({error})") from error
    if len(text) > _MOST_CHARACTERS:
        raise InputError(f"{path}: {len(text)} characters are too many for a rig")
    try:
        # OpenCV's header (%YAML:1.0) and its escape \' are none in YAML's own grammar
        body = text.removeprefix(header[0] if (header := HEADER.match(text)) else "")
        body = ESCAPE.sub(lambda escape: "'" if escape[1] == "'" else escape[0], body)
        record = yaml.load(body, Loader=_Loader)  # plain values alone
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not readable as OpenCV's YAML ({reason[:200]})") from error
    if not isinstance(record, dict):
        raise SchemaError(f"{path}: no camera_<n> nodes with K, D, R, T")
    return record


def _camera(key: str, node: Any, where: str) -> Camera:
    if not isinstance(node, dict):
        raise SchemaError(f"{where}: a mapping with K, D, R, T expected")
    name = node.get("name", key)
    if not isinstance(name, str) or not name:
        raise SchemaError(f"{where}.name: a name expected")
    K = _array(node, "K", (3, 3), where)
    check_camera_matrix(K, f"{where}.K")
    K[:2, 2] += 0.5
    D = _array(node, "D", None, where)
    if len(D) not in (4, 5, 8, 12, 14) or D[5:].any():
        raise SchemaError(f"{where}.D: k1, k2, p1, p2, k3 expected, all further ones zero")
    R = rotation(_array(node, "R", (3, 3), where), f"{where}.R")
    return Camera(
        name=name,
        width=size(node.get("width"), f"{where}.width"),
        height=size(node.get("height"), f"{where}.height"),
        K=K,
        distortion=np.append(D, 0.0)[:5],
        cam_from_world=np.column_stack([R, _array(node, "T", (3,), where)]),
    )


def _array(node: dict[Any, Any], key: str, shape: tuple[int, ...] | None, where: str) -> Floats:
    """Return a matrix node reshaped; a flat one of any length for no shape."""
    place = f"{where}.{key}"
    if key not in node:
        raise SchemaError(f"{place} is missing")
    matrix = node[key]
    if not isinstance(matrix, dict) or not isinstance(matrix.get("data"), list):
        raise SchemaError(f"{place}: an opencv-matrix with rows, cols, data expected")
    data = matrix["data"]
    rows, cols = (size(matrix.get(side), f"{place}.{side}") for side in ("rows", "cols"))
    values = np.array([parse(value, f"{place}.data") for value in data])
    if rows * cols != len(values):
        raise SchemaError(f"{place}.data: {rows}x{cols} numbers expected, found {len(values)}")
    if shape is None:
        return values
    if (rows, cols) != ((*shape, 1) if len(shape) == 1 else shape):
        raise SchemaError(f"{place}: {'x'.join(map(str, shape))} numbers expected")
    return numbers(values.reshape(shape), shape, place)
