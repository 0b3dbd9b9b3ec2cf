"""COLMAP's text model: cameras and poses in and out.

Written and read by ourselves: pycolmap's reader can crash on damaged files. COLMAP's pixel
convention is facekit's, so that nothing is shifted. Its models other than the Brown family
(fisheye and others) are refused.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from scipy.spatial.transform import Rotation

from ...core.arrays import Floats
from ...core.errors import InputError, SchemaError
from ...core.files import write_text
from ...core.geometry.camera import Camera, Rig
from ..fields import is_possible

# model -> where its parameters stand in (fx, fy, cx, cy, k1, k2, p1, p2, k3, k4, k5, k6)
MODELS: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "SIMPLE_PINHOLE": ((0, 1), (2,), (3,)),
    "PINHOLE": ((0,), (1,), (2,), (3,)),
    "SIMPLE_RADIAL": ((0, 1), (2,), (3,), (4,)),
    "RADIAL": ((0, 1), (2,), (3,), (4,), (5,)),
    "OPENCV": tuple((i,) for i in range(8)),
    "FULL_OPENCV": tuple((i,) for i in range(12)),
}


def export_colmap(folder: Path, rig: Rig, *, image_names: Mapping[str, str] | None = None) -> None:
    """Write `cameras.txt`, `images.txt` and an empty `points3D.txt`.

    Parameters
    ----------
    image_names : Mapping[str, str], optional
        Camera -> image file; `<camera>.png` by default.

    Raises
    ------
    InputError
        A camera has skew, which COLMAP's models lack, or a name has white space.
    """
    cameras, images = (
        ["# CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]"],
        [
            "# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME",
            "# POINTS2D[] (none)",
        ],
    )
    for number, camera in enumerate(rig, 1):
        name = (image_names or {}).get(camera.name, f"{camera.name}.png")
        if camera.K[0, 1] != 0:
            raise InputError(f"{camera.name}: COLMAP's camera models have no skew")
        if any(character.isspace() for character in name):
            raise InputError(f"{name!r}: image names of a COLMAP model have no white space")
        K, (k1, k2, p1, p2, k3) = camera.K, camera.distortion
        params = [K[0, 0], K[1, 1], K[0, 2], K[1, 2], k1, k2, p1, p2]
        model = "OPENCV"
        if k3:
            model, params = "FULL_OPENCV", [*params, k3, 0, 0, 0]
        numbers = " ".join(repr(float(value)) for value in params)
        cameras.append(f"{number} {model} {camera.width} {camera.height} {numbers}")
        x, y, z, w = Rotation.from_matrix(camera.cam_from_world[:, :3]).as_quat(canonical=True)
        pose = " ".join(repr(float(v)) for v in (w, x, y, z, *camera.cam_from_world[:, 3]))
        images += [f"{number} {pose} {number} {name}", ""]
    write_text(folder / "cameras.txt", "\n".join(cameras) + "\n")
    write_text(folder / "images.txt", "\n".join(images) + "\n")
    write_text(folder / "points3D.txt", "# POINT3D_ID X Y Z R G B ERROR TRACK[]\n")


def import_colmap(folder: Path, *, metric: bool = False) -> Rig:
    """Read `cameras.txt` and `images.txt`; cameras are named as their images, less the suffix.

    Parameters
    ----------
    metric : bool
        Whether the model's unit is the millimetre; COLMAP's own are of arbitrary size.

    Raises
    ------
    InputError
        A file is absent.
    SchemaError
        A line is damaged, or a camera has a model that is not Brown's.
    """
    lenses = dict(_camera_lines(folder / "cameras.txt"))
    path = folder / "images.txt"
    cameras = []
    # every image has two lines; the second, its points, may be empty
    lines = [(n, line) for n, line in _lines(path) if not line.startswith("#")]
    for number, line in lines[::2]:
        if not line:
            continue
        fields = line.split()
        if len(fields) != 10:
            raise SchemaError(f"{path}:{number}: ten fields expected, found {len(fields)}")
        values = _floats(fields[1:8], f"{path}:{number}")
        w, x, y, z = values[:4]
        if fields[8] not in lenses:
            raise SchemaError(f"{path}:{number}: camera {fields[8]} is not in cameras.txt")
        if not np.isclose(np.linalg.norm(values[:4]), 1, atol=1e-3):
            raise SchemaError(f"{path}:{number}: the quaternion is not of unit length")
        width, height, K, distortion = lenses[fields[8]]
        R = Rotation.from_quat([x, y, z, w]).as_matrix()
        name = str(PurePosixPath(fields[9]).with_suffix(""))
        cameras.append(
            Camera(
                name=name,
                width=width,
                height=height,
                K=K,
                distortion=distortion,
                cam_from_world=np.column_stack([R, values[4:]]),
            )
        )
    names = [camera.name for camera in cameras]
    if not cameras or len(set(names)) < len(names):
        raise SchemaError(f"{path}: {'no images' if not cameras else 'two images of one name'}")
    return Rig(cameras=tuple(cameras), metric=metric)


def _camera_lines(path: Path) -> list[tuple[str, tuple[int, int, Floats, Floats]]]:
    found = []
    for number, line in _lines(path):
        if not line or line.startswith("#"):
            continue
        fields = line.split()
        where = f"{path}:{number}"
        if len(fields) < 5 or fields[1] not in MODELS:
            model = fields[1] if len(fields) > 1 else ""
            raise SchemaError(f"{where}: camera model {model!r}; known: {', '.join(MODELS)}")
        places = MODELS[fields[1]]
        values = _floats(fields[2:], where)
        sizes = values[:2]
        if len(values) != 2 + len(places) or (sizes < 1).any() or (sizes % 1).any():
            raise SchemaError(f"{where}: size and {len(places)} parameters expected")
        full = np.zeros(12)
        for value, targets in zip(values[2:], places, strict=True):
            full[list(targets)] = value
        if full[9:].any():
            raise SchemaError(f"{where}: k4 to k6 are not zero; export with model OPENCV")
        if full[0] <= 0 or full[1] <= 0:
            raise SchemaError(f"{where}: the focal length is not positive")
        K = np.array([[full[0], 0, full[2]], [0, full[1], full[3]], [0, 0, 1]])
        found.append((fields[0], (int(values[0]), int(values[1]), K, full[4:9].copy())))
    return found


def _lines(path: Path) -> list[tuple[int, str]]:
    """Return (number, stripped text) of each line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as text ({error})") from error
    return [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1)]


def _floats(fields: Sequence[str], where: str) -> Floats:
    try:
        values = np.array([float(field) for field in fields])
    except ValueError:
        raise SchemaError(f"{where}: numbers expected") from None
    if not is_possible(values):
        raise SchemaError(f"{where}: finite numbers expected")
    return values
