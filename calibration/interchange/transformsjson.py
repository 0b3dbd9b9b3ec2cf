"""`transforms.json` of NeRF, instant-ngp and nerfstudio: a rig in and out.

Its conventions, and what is converted:

- `transform_matrix` of a frame is the 4x4 **world-from-camera** with **OpenGL's** camera axes:
  x right, y up, z backwards. The y and z columns change sign; the world is left as it is.
- The centre of the top-left pixel is (0.5, 0.5), as in facekit: `fl_x`, `fl_y`, `cx`, `cy` are
  K's, `k1`, `k2`, `p1`, `p2` OpenCV's. nerfstudio reads `k3` too, instant-ngp does not.
- Intrinsics of a frame come before those of the whole file.
- Added by facekit: `unit_mm` (of the file) and `name` (of a frame).

Skew cannot be said and is refused; so are, in reading, k4 and camera models that are not Brown's.

Source
------
docs.nerf.studio, "Data conventions"; instant-ngp, `src/nerf_loader.cu`,
`scripts/colmap2nerf.py`.
"""

import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ...core.errors import InputError, SchemaError
from ...core.files import read_json, write_json
from ...core.geometry.camera import Camera, Rig
from ..fields import (
    camera_matrix,
    from_center,
    last_row,
    number,
    numbers,
    rig_of,
    rotation,
    size,
    stated_unit,
)

TRANSFORMS_FILE = "transforms.json"
MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "RADIAL", "SIMPLE_RADIAL", "FULL_OPENCV")
OPENGL = np.diag([1.0, -1.0, -1.0])  # its own inverse: OpenCV's axes <-> OpenGL's


def export_transforms(path: Path, rig: Rig) -> None:
    """Write a rig; frames point at `images/<camera>.png`.

    Raises
    ------
    InputError
        A camera has skew.
    """
    frames = []
    for camera in rig:
        K, (k1, k2, p1, p2, k3) = camera.K, camera.distortion
        if K[0, 1] != 0:
            raise InputError(f"{camera.name}: transforms.json has no skew; calibrate without it")
        matrix = np.eye(4)
        matrix[:3, :3] = camera.cam_from_world[:, :3].T @ OPENGL
        matrix[:3, 3] = camera.center
        intrinsics = {"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
        intrinsics |= {"k1": k1, "k2": k2, "p1": p1, "p2": p2} | ({"k3": k3} if k3 else {})
        frames.append(
            {
                "file_path": f"images/{camera.name}.png",
                "name": camera.name,
                "w": camera.width,
                "h": camera.height,
                **{key: float(value) for key, value in intrinsics.items()},
                "transform_matrix": matrix.tolist(),
            }
        )
    unit = {"unit_mm": 1.0} if rig.metric else {}
    write_json(path, {"camera_model": "OPENCV", **unit, "frames": frames})


def import_transforms(path: Path, *, unit_mm: float | None = None) -> Rig:
    """Read a rig; cameras are named as their images, less folder and suffix where that is unique.

    Raises
    ------
    InputError
        The file is absent or no JSON.
    SchemaError
        A field is missing, damaged, or says something that a `Camera` cannot.
    """
    record = read_json(path)
    frames = record.get("frames") if isinstance(record, dict) else None
    if not isinstance(frames, list) or not frames:
        raise SchemaError(f"{path}: frames: a list of frames expected")
    for index, frame in enumerate(frames):
        if not isinstance(frame, dict):
            raise SchemaError(f"{path}: frames[{index}]: a mapping expected")
    names = _names(frames, path)
    shared = {key: value for key, value in record.items() if key != "frames"}
    cameras = [
        _camera(name, {**shared, **frame}, f"{path}: frames[{index}]")
        for index, (name, frame) in enumerate(zip(names, frames, strict=True))
    ]
    stated = stated_unit(record.get("unit_mm"), f"{path}: unit_mm")
    return rig_of(cameras, unit_mm=unit_mm or stated, where=str(path))


def _names(frames: list[dict[str, Any]], path: Path) -> list[str]:
    """Return each frame's name; whole image paths where their last parts are not unique."""
    texts = []
    for index, frame in enumerate(frames):
        key = "name" if "name" in frame else "file_path"
        text = frame.get(key)
        if not isinstance(text, str) or not text:
            raise SchemaError(f"{path}: frames[{index}].{key}: a text expected")
        texts.append((key, text))
    short = [t if key == "name" else PurePosixPath(t).stem for key, t in texts]
    if len(set(short)) == len(short):
        return short
    return [t if key == "name" else str(PurePosixPath(t).with_suffix("")) for key, t in texts]


def _camera(name: str, fields: Mapping[str, Any], where: str) -> Camera:
    def value(key: str, default: float | None = None) -> float:
        if key not in fields and default is None:
            raise SchemaError(f"{where}.{key} is missing")
        return number(fields.get(key, default), f"{where}.{key}")

    model = fields.get("camera_model", "OPENCV")
    if model not in MODELS:
        raise SchemaError(f"{where}.camera_model: {model!r}; known: {', '.join(MODELS)}")
    if fields.get("is_fisheye"):
        raise SchemaError(f"{where}.is_fisheye: fisheye cameras are not read")
    for key in ("k4", "k5", "k6"):
        if value(key, 0.0) != 0:
            raise SchemaError(f"{where}.{key}: not zero; facekit's lens has no such term")
    for key in ("w", "h"):
        if key not in fields:
            raise SchemaError(f"{where}.{key} is missing")
    width, height = size(fields["w"], f"{where}.w"), size(fields["h"], f"{where}.h")
    fx = _focal(fields, "x", width, where)
    if fx is None:
        raise SchemaError(f"{where}.fl_x is missing")
    fy = _focal(fields, "y", height, where)
    K = camera_matrix(
        fx,
        fx if fy is None else fy,  # instant-ngp's rule
        value("cx", width / 2),
        value("cy", height / 2),
        where=f"{where}.fl_x",
    )
    if "transform_matrix" not in fields:
        raise SchemaError(f"{where}.transform_matrix is missing")
    place = f"{where}.transform_matrix"
    world_from_cam = last_row(numbers(fields["transform_matrix"], (4, 4), place), place)
    R = rotation(world_from_cam[:, :3] @ OPENGL, place).T
    return Camera(
        name=name,
        width=width,
        height=height,
        K=K,
        distortion=np.array([value(key, 0.0) for key in ("k1", "k2", "p1", "p2", "k3")]),
        cam_from_world=from_center(R, world_from_cam[:, 3]),
    )


def _focal(fields: Mapping[str, Any], axis: str, side: int, where: str) -> float | None:
    """Return the focal length, px, from `fl_x` or the angle of view `camera_angle_x` (radians)."""
    if f"fl_{axis}" in fields:
        return number(fields[f"fl_{axis}"], f"{where}.fl_{axis}")
    key = f"camera_angle_{axis}"
    if key not in fields:
        return None
    angle = number(fields[key], f"{where}.{key}")
    if not 0 < angle < math.pi:
        raise SchemaError(f"{where}.{key}: an angle between 0 and pi expected")
    return side / 2 / math.tan(angle / 2)
