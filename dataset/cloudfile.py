"""The oriented point cloud on disk: binary PLY with normals, colours and confidence."""

from pathlib import Path

import numpy as np

from ..core.errors import InputError
from ..core.files import atomic_path
from .fusion import PointCloud

_FIELDS = [
    ("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("nx", "<f4"), ("ny", "<f4"), ("nz", "<f4"),
    ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("confidence", "<f4"), ("footprint", "<f4"),
]  # fmt: skip
_PLY_TYPES = {"<f4": "float", "u1": "uchar"}


def save_cloud(path: Path, cloud: PointCloud) -> None:
    """Write the cloud, atomically."""
    rows = np.zeros(len(cloud.points), np.dtype(_FIELDS))
    for k, name in enumerate("xyz"):
        rows[name] = cloud.points[:, k]
        rows[f"n{name}"] = cloud.normals[:, k]
    for k, name in enumerate(("red", "green", "blue")):
        rows[name] = cloud.colors[:, k]
    rows["confidence"], rows["footprint"] = cloud.confidence, cloud.footprint
    with atomic_path(path) as part:
        part.write_bytes(_header(len(rows)) + rows.tobytes())


def load_cloud(path: Path) -> PointCloud:
    """Read a cloud that `save_cloud` wrote.

    Raises
    ------
    InputError
        The file is absent, cut short, or of another layout.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    head, mark, body = content.partition(b"end_header\n")
    kind = np.dtype(_FIELDS)
    if not mark or head + mark != _header(len(body) // kind.itemsize) or len(body) % kind.itemsize:
        raise InputError(f"{path}: not a complete point cloud of facekit; build it again")
    rows = np.frombuffer(body, kind)
    return PointCloud(
        points=np.stack([rows[name] for name in "xyz"], axis=1).astype(np.float64),
        normals=np.stack([rows[f"n{name}"] for name in "xyz"], axis=1).astype(np.float64),
        confidence=rows["confidence"].astype(np.float32),
        colors=np.stack([rows[name] for name in ("red", "green", "blue")], axis=1),
        footprint=rows["footprint"].astype(np.float32),
    )


def _header(n: int) -> bytes:
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {n}"]
    lines += [f"property {_PLY_TYPES[kind]} {name}" for name, kind in _FIELDS]
    return ("\n".join([*lines, "end_header"]) + "\n").encode()
