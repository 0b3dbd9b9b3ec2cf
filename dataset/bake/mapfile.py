"""`maps.npz`: the maps of a take on disk, small and quickly written.

An ordinary NumPy archive; every array keeps the maps' order (row 0 is v = 1):

- `format`, `version`: "facekit-maps", 2;
- `base`: "curved" or "flat", the M1 that displacement is measured from; version 1: flat;
- `deformation` (d, d, 3), `deformation_sigma` (d, d) float32 mm; `deformation_valid` (d, d) bool;
- `displacement` (n, n) uint16: (p - 32768) * 0.0001 mm; `sigma` (n, n) uint16: p * 0.0001 mm;
- `valid` (n, n), `albedo_valid` (a, a) bool;
- `normal`, `tangent_normal` (n, n, 2) uint16: unit vectors on an octahedron, (0, 0) for none;
- `albedo` (a, a, 3) float16, linear RGB.

Source
------
Octahedral coding: Cigolle et al., A Survey of Efficient Representations for Independent Unit
Vectors, JCGT 3(2), 2014. At 16 bits it errs by less than 0.004 degrees.
"""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.arrays import Floats32
from ...core.errors import InputError, SchemaError
from ...core.files import atomic_path
from ...core.npzfile import Fields, check_arrays, read_npz
from ..displacementcode import STEP_MM, coded_displacement, decoded_displacement
from .chart import by_rows
from .maps import Base, Maps

MAPS_FILE = "maps.npz"
_FORMAT, _VERSION = "facekit-maps", 2
_LEVEL = 1  # of deflate: higher levels take three times as long for a few per cent
_FIELDS: Fields = {
    "deformation": ("f", ("d", "d", 3)),
    "deformation_valid": ("b", ("d", "d")),
    "deformation_sigma": ("f", ("d", "d")),
    "displacement": ("u", ("n", "n")),
    "sigma": ("u", ("n", "n")),
    "normal": ("u", ("n", "n", 2)),
    "tangent_normal": ("u", ("n", "n", 2)),
    "valid": ("b", ("n", "n")),
    "albedo": ("f", ("a", "a", 3)),
    "albedo_valid": ("b", ("a", "a")),
}


def save_maps(folder: Path, maps: Maps) -> None:
    """Write `maps.npz` into `folder`, atomically."""
    arrays: dict[str, NDArray[Any]] = {
        "format": np.array(_FORMAT),
        "version": np.array(_VERSION),
        "base": np.array(str(maps.base)),
        "deformation": maps.deformation,
        "deformation_valid": maps.deformation_valid,
        "deformation_sigma": maps.deformation_sigma,
        "displacement": coded_displacement(maps.displacement).values,
        "sigma": np.clip(np.rint(maps.sigma / STEP_MM), 0, 65535).astype(np.uint16),
        "normal": coded_normals(maps.normal),
        "tangent_normal": coded_normals(maps.tangent_normal),
        "valid": maps.valid,
        "albedo": maps.albedo.astype(np.float16),
        "albedo_valid": maps.albedo_valid,
    }
    with (
        atomic_path(folder / MAPS_FILE) as part,
        zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive,
    ):
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)


def load_maps(folder: Path) -> Maps:
    """Read the `maps.npz` of `folder`.

    Raises
    ------
    InputError
        The file is absent or damaged.
    SchemaError
        It is no maps file of this version.
    """
    path = folder / MAPS_FILE
    if not path.is_file():
        raise InputError(f"{path}: no such file; bake the maps of this take first")
    again = "bake the maps again"
    arrays = read_npz(path, again=again)
    if str(arrays.get("format")) != _FORMAT:
        raise SchemaError(f"{path}: not a {_FORMAT} file; {again}")
    check_arrays(path, arrays, {"version": ("iu", ())}, again=again)
    version = int(arrays["version"])
    if not 1 <= version <= _VERSION:
        raise SchemaError(
            f"{path}: {_FORMAT} version {version}, but this facekit reads versions up to {_VERSION}"
        )
    check_arrays(path, arrays, _FIELDS, again=again)
    try:
        base = Base.FLAT if version == 1 else Base(str(arrays.get("base")))
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); {again}") from error
    return _decoded(arrays, base)


def coded_normals(normals: Floats32) -> NDArray[np.uint16]:
    """Return (n, n, 2) uint16 of unit vectors (n, n, 3); zero vectors become (0, 0)."""
    out = np.zeros((*normals.shape[:2], 2), np.uint16)

    def rows(start: int, stop: int) -> None:
        n = normals[start:stop]
        length = np.abs(n).sum(axis=2)
        p = n[..., :2] / np.maximum(length, 1e-12)[..., None]
        below = n[..., 2:] < 0
        p = np.where(below, (1 - np.abs(p[..., ::-1])) * np.where(p < 0, -1, 1), p)
        code = np.rint((p + 1) * 32767) + 1  # 1 to 65535
        out[start:stop] = np.where(length[..., None] > 0, code, 0)

    by_rows(rows, len(normals))
    return out


def decoded_normals(pixels: NDArray[np.uint16]) -> Floats32:
    """Return unit vectors (n, n, 3) of `coded_normals`; zero vectors for (0, 0)."""
    out = np.zeros((*pixels.shape[:2], 3), np.float32)

    def rows(start: int, stop: int) -> None:
        code = pixels[start:stop]
        p = (code.astype(np.float32) - 1) / np.float32(32767) - 1
        z = 1 - np.abs(p).sum(axis=2, keepdims=True)
        p = np.where(z < 0, (1 - np.abs(p[..., ::-1])) * np.where(p < 0, -1, 1), p)
        n = np.concatenate([p, z], axis=2)
        n /= np.linalg.norm(n, axis=2, keepdims=True)
        out[start:stop] = np.where(code[..., :1] > 0, n, 0)

    by_rows(rows, len(pixels))
    return out


def _decoded(arrays: dict[str, NDArray[Any]], base: Base) -> Maps:
    return Maps(
        deformation=arrays["deformation"],
        deformation_valid=arrays["deformation_valid"],
        deformation_sigma=arrays["deformation_sigma"],
        displacement=decoded_displacement(arrays["displacement"]),
        sigma=arrays["sigma"].astype(np.float32) * np.float32(STEP_MM),
        normal=decoded_normals(arrays["normal"]),
        tangent_normal=decoded_normals(arrays["tangent_normal"]),
        valid=arrays["valid"],
        albedo=arrays["albedo"].astype(np.float32),
        albedo_valid=arrays["albedo_valid"],
        base=base,
    )
