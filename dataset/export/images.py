"""Maps as image files: 16-bit PNG, EXR, and the albedo as PNG or JPEG."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...core.arrays import AnyFloats
from ...core.devices import require
from ...core.files import atomic_path, write_bytes, write_json
from ..bake.maps import Maps
from ..displacementcode import OFFSET, STEP_MM, coded_displacement
from .encoding import (
    TEXTURE_QUALITY,
    coded_color,
    coded_normals,
    jpeg,
    png,
)  # fmt: skip

_PRIMARIES = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)  # of sRGB: R, G, B, white

_ALONG = "smooth vertex normal, + outward"


def write_png16(folder: Path, maps: Maps, *, step_mm: float = STEP_MM) -> list[Path]:
    """Write `displacement.png`, `normal.png`, `tangent_normal.png` (16 bits) and `valid.png`.

    `displacement.json` tells what a value means.

    Parameters
    ----------
    step_mm : float
        Of a displacement's value.
    """
    coded = coded_displacement(maps.displacement, step_mm=step_mm)
    files = {
        "displacement.png": png(coded.values),
        "normal.png": png(coded_normals(maps.normal)),
        "tangent_normal.png": png(coded_normals(maps.tangent_normal)),
        "valid.png": png((maps.valid & ~coded.clipped).astype(np.uint8) * 255),
    }
    for name, content in files.items():
        write_bytes(folder / name, content)
    about = {
        "mm": f"(value - {OFFSET}) * {step_mm!r}",
        "scale_mm": step_mm,
        "offset": OFFSET,
        "clipped": coded.n_clipped,
        "base": str(maps.base),
        "direction": _ALONG,
        "row_0": "v = 1",
    }
    write_json(folder / "displacement.json", about)
    return [folder / name for name in (*files, "displacement.json")]


def write_albedo(path: Path, maps: Maps) -> list[Path]:
    """Write the albedo as sRGB, PNG or JPEG (quality 98) by the suffix; nothing without one.

    Beside it goes `<name>_valid.png`: white where it is the colour of measured surface.
    """
    if not maps.albedo.size:
        return []
    color = coded_color(maps.albedo)
    is_jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    write_bytes(path, jpeg(color, quality=TEXTURE_QUALITY) if is_jpeg else png(color))
    valid = path.with_name(f"{path.stem}_valid.png")
    write_bytes(valid, png(maps.albedo_valid.astype(np.uint8) * 255))
    return [path, valid]


def write_exr(folder: Path, maps: Maps) -> list[Path]:
    """Write maps as 32-bit float EXR, as they are: mm, unit normals, linear light.

    `displacement.exr` (Y), `deformation.exr`, `normal.exr`, `tangent_normal.exr` and
    `albedo.exr` (RGB; albedo in half precision).

    Raises
    ------
    MissingDependencyError
        The extra `exr` is not installed.
    """
    plain = {
        "displacement": maps.displacement,
        "deformation": maps.deformation,
        "normal": maps.normal,
        "tangent_normal": maps.tangent_normal,
    }
    meaning = {
        "displacement": {"unit": "mm", "base": str(maps.base), "direction": _ALONG},
        "deformation": {"unit": "mm", "base": "M0", "frame": "head, unposed"},
        "normal": {"unit": "unit vector", "frame": "head"},
        "tangent_normal": {"unit": "unit vector", "frame": "x along +u, y along +v, z outward"},
    }
    written = []
    for name, values in plain.items():
        told = {**meaning[name], "row_0": "v = 1"}
        header: dict[str, Any] = {f"facekit_{key}": value for key, value in told.items()}
        written.append(_write_exr(folder / f"{name}.exr", values.astype(np.float32), header))
    if maps.albedo.size:
        header = {"facekit_unit": "linear reflectance", "chromaticities": _PRIMARIES}
        written.append(_write_exr(folder / "albedo.exr", maps.albedo.astype(np.float16), header))
    return written


def _write_exr(path: Path, values: AnyFloats, more: Mapping[str, Any]) -> Path:
    exr = require("OpenEXR", extra="exr")
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage, **more}
    channels = {"Y" if values.ndim == 2 else "RGB": np.ascontiguousarray(values)}
    with atomic_path(path) as part:
        exr.File(header, channels).write(str(part))
    return path
