"""COLMAP's binary model (`cameras.bin`, `images.bin`): a rig in and out.

The conventions are those of the text model (`calibration/colmap.py`): facekit's own but for the
quaternion w, x, y, z. Numbers are little-endian and unaligned. Read by ourselves, with each
length checked before it is used: pycolmap's reader can crash on damaged files.

Source
------
COLMAP, `src/colmap/scene/reconstruction_io_binary.cc`, `src/colmap/sensor/models.h`.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from ...core.errors import InputError, SchemaError
from ...core.files import write_bytes
from ...core.geometry.camera import Camera, Rig
from ..fields import Lens, camera_matrix, is_possible
from .colmap import MODELS

MODEL_IDS: Mapping[int, str] = {
    0: "SIMPLE_PINHOLE",
    1: "PINHOLE",
    2: "SIMPLE_RADIAL",
    3: "RADIAL",
    4: "OPENCV",
    6: "FULL_OPENCV",
}
POINT2D_BYTES = 24  # x, y (double), 3D point (uint64)


def export_colmap_binary(folder: Path, rig: Rig) -> None:
    """Write `cameras.bin`, `images.bin` and an empty `points3D.bin`; images are `<camera>.png`.

    Raises
    ------
    InputError
        A camera has skew, which COLMAP's models lack.
    """
    cameras, images = [struct.pack("<Q", len(rig))], [struct.pack("<Q", len(rig))]
    for number, camera in enumerate(rig, 1):
        if camera.K[0, 1] != 0:
            raise InputError(f"{camera.name}: COLMAP's camera models have no skew")
        K, (k1, k2, p1, p2, k3) = camera.K, camera.distortion
        params = [K[0, 0], K[1, 1], K[0, 2], K[1, 2], k1, k2, p1, p2]
        model = 4
        if k3:
            model, params = 6, [*params, k3, 0.0, 0.0, 0.0]
        cameras.append(struct.pack("<IiQQ", number, model, camera.width, camera.height))
        cameras.append(struct.pack(f"<{len(params)}d", *params))
        x, y, z, w = Rotation.from_matrix(camera.cam_from_world[:, :3]).as_quat(canonical=True)
        pose = (w, x, y, z, *camera.cam_from_world[:, 3])
        images.append(struct.pack("<I7dI", number, *pose, number))
        images.append(f"{camera.name}.png".encode() + b"\0" + struct.pack("<Q", 0))
    write_bytes(folder / "cameras.bin", b"".join(cameras))
    write_bytes(folder / "images.bin", b"".join(images))
    write_bytes(folder / "points3D.bin", struct.pack("<Q", 0))


def import_colmap_binary(folder: Path) -> Rig:
    """Read a model; cameras are named as their images, less the suffix. The scale is unknown.

    Raises
    ------
    InputError
        A file is absent.
    SchemaError
        A file is cut short, too long or damaged, or a camera has a model that is not Brown's.
    """
    lenses = _lenses(folder / "cameras.bin")
    stream = _Stream.open(folder / "images.bin")
    cameras = []
    for index in range(stream.count("number of images", least=72)):
        where = f"{stream.path}: image {index}"
        _, *pose, camera_id = stream.take("<I7dI", where)
        name = stream.text(where)
        stream.skip(stream.count(f"{where}: points", least=POINT2D_BYTES) * POINT2D_BYTES)
        if camera_id not in lenses:
            raise SchemaError(f"{where}: camera {camera_id} is not in cameras.bin")
        w, x, y, z, *t = pose
        if not is_possible(np.array(pose)):
            raise SchemaError(f"{where}: the pose is not finite")
        if not np.isclose(np.linalg.norm(pose[:4]), 1, atol=1e-3):
            raise SchemaError(f"{where}: the quaternion is not of unit length")
        lens = lenses[camera_id]
        R = Rotation.from_quat([x, y, z, w]).as_matrix()
        cameras.append(
            Camera(
                name=str(PurePosixPath(name).with_suffix("")),
                width=lens.width,
                height=lens.height,
                K=lens.K,
                distortion=lens.distortion,
                cam_from_world=np.column_stack([R, t]),
            )
        )
    stream.end()
    return Rig(cameras=tuple(cameras), metric=False)


def _lenses(path: Path) -> dict[int, Lens]:
    stream = _Stream.open(path)
    found: dict[int, Lens] = {}
    for index in range(stream.count("number of cameras", least=48)):
        where = f"{path}: camera {index}"
        camera_id, model, width, height = stream.take("<IiQQ", where)
        if model not in MODEL_IDS:
            known = ", ".join(MODEL_IDS.values())
            raise SchemaError(f"{where}: camera model number {model}; known: {known}")
        places = MODELS[MODEL_IDS[model]]
        params = np.array(stream.take(f"<{len(places)}d", where))
        if not is_possible(params):
            raise SchemaError(f"{where}: the parameters are not finite")
        if not (0 < width < 2**31 and 0 < height < 2**31):
            raise SchemaError(f"{where}: width and height: positive numbers expected")
        if camera_id in found:
            raise SchemaError(f"{where}: camera {camera_id} is there twice")
        full = np.zeros(12)
        for value, targets in zip(params, places, strict=True):
            full[list(targets)] = value
        if full[9:].any():
            raise SchemaError(f"{where}: k4 to k6 are not zero; export with model OPENCV")
        K = camera_matrix(full[0], full[1], full[2], full[3], where=where)
        found[camera_id] = Lens(width=width, height=height, K=K, distortion=full[4:9].copy())
    stream.end()
    return found


@dataclass(kw_only=True)
class _Stream:
    """Bytes read front to back, every length checked against what is there."""

    path: Path
    content: bytes = field(repr=False)
    at: int = 0

    @classmethod
    def open(cls, path: Path) -> "_Stream":
        try:
            return cls(path=path, content=path.read_bytes())
        except OSError as error:
            raise InputError(f"{path}: not readable ({error.strerror})") from error

    def take(self, layout: str, where: str) -> tuple[Any, ...]:
        try:
            values = struct.unpack_from(layout, self.content, self.at)
        except struct.error:
            raise SchemaError(f"{where}: the file is cut short") from None
        self.at += struct.calcsize(layout)
        return values

    def count(self, what: str, *, least: int) -> int:
        """Return a count of items of at least `least` bytes; that many must be there."""
        (n,) = self.take("<Q", f"{self.path}: {what}")
        if n * least > len(self.content) - self.at:
            raise SchemaError(f"{self.path}: {what}: {n}, for which the file is too short")
        return int(n)

    def text(self, where: str) -> str:
        end = self.content.find(b"\0", self.at)
        if end < 0:
            raise SchemaError(f"{where}: the name does not end")
        try:
            name = self.content[self.at : end].decode()
        except UnicodeDecodeError:
            raise SchemaError(f"{where}: the name is no UTF-8") from None
        if not PurePosixPath(name).name:
            raise SchemaError(f"{where}: the name is empty")
        self.at = end + 1
        return name

    def skip(self, n_bytes: int) -> None:
        self.at += n_bytes

    def end(self) -> None:
        if self.at != len(self.content):
            raise SchemaError(f"{self.path}: {len(self.content) - self.at} bytes too many")
