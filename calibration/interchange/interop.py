"""Rigs of other programs, in and out: one entry for all formats.

Each format's own conventions stand at the head of its module; `docs/formats/interop.md` has them
side by side. What a format cannot say is refused in one sentence, never dropped.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

import numpy as np

from ...core.errors import InputError, SchemaError
from ...core.files import read_json, write_json
from ...core.geometry.camera import Rig
from ..fields import ROTATION_EXACT, rig_of, stated_unit
from ..rigfile import export_opencv
from .colmap import export_colmap, import_colmap
from .colmapbinary import export_colmap_binary, import_colmap_binary
from .facescapejson import CAMERA_KEY, PARAMS_FILE, export_facescape, import_facescape
from .metashape import export_metashape, import_metashape
from .opencvyaml import import_opencv
from .realitycapture import SUFFIX as XMP_SUFFIX
from .realitycapture import export_realitycapture, import_realitycapture
from .transformsjson import TRANSFORMS_FILE, export_transforms, import_transforms

COLMAP_SIDECAR = "facekit.json"
"""Beside a COLMAP model, which cannot name its unit: `{"unit_mm": 1.0}`."""


class RigFormat(StrEnum):
    """What `export_rig` writes and `import_rig` reads."""

    COLMAP_TEXT = "colmap-text"
    COLMAP_BINARY = "colmap-binary"
    OPENCV = "opencv"
    METASHAPE = "metashape"
    REALITYCAPTURE = "realitycapture"
    TRANSFORMS = "transforms"
    FACESCAPE = "facescape"

    @property
    def is_folder(self) -> bool:
        """Whether the format is a folder of files."""
        return self in _FOLDERS


def export_rig(rig: Rig, path: Path, format: RigFormat) -> None:
    """Write a rig for another program.

    Parameters
    ----------
    path : Path
        A folder for COLMAP and RealityCapture (`format.is_folder`), else a file. A folder given
        for `transforms` and `facescape` stands for `transforms.json`, `params.json` in it.

    Raises
    ------
    InputError
        The format cannot say something that the rig has (its module's header tells what), or
        the folder holds another model that a reader would mix with this one.
    """
    _check(rig, format)
    if format.is_folder and path.is_file():
        raise InputError(f"{path}: {format} is a folder of files; name a folder")
    if not format.is_folder:
        path = _file_in(path, format)
        if path.is_dir():
            raise InputError(f"{path}: is a folder; name a file for the format {format}")
    try:
        _FORMATS[format].write(path, rig)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error


def import_rig(path: Path, format: RigFormat | None = None, *, unit_mm: float | None = None) -> Rig:
    """Read another program's rig.

    Parameters
    ----------
    path : Path
        File or folder.
    format : RigFormat, optional
        Guessed from content and names by default.
    unit_mm : float, optional
        Size of the file's unit of length, mm (1000 for metres). By default what the file says;
        a rig whose file says nothing keeps its numbers and is not metric.

    Returns
    -------
    Rig
        In mm where the unit is known.

    Raises
    ------
    InputError
        The path is absent, unreadable, or of no known format.
    SchemaError
        A field is missing, damaged, or says something that a `Camera` cannot: named with its
        file.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if unit_mm is not None and not (np.isfinite(unit_mm) and unit_mm > 0):
        raise InputError(f"{path}: unit_mm: a positive number of millimetres expected")
    try:
        format = format or guess_format(path)
        path = _folder_of(path, format) if format.is_folder else _file_in(path, format)
        return _FORMATS[format].read(path, unit_mm)
    except RecursionError:
        raise InputError(f"{path}: nested too deeply to be a camera file") from None


def guess_format(path: Path) -> RigFormat:
    """Tell a rig's format from its content, or names where these decide.

    Raises
    ------
    InputError
        It is none that is known.
    """
    if path.is_dir():
        for names, format in (
            (("cameras.bin", "images.bin"), RigFormat.COLMAP_BINARY),
            (("cameras.txt", "images.txt"), RigFormat.COLMAP_TEXT),
            ((TRANSFORMS_FILE,), RigFormat.TRANSFORMS),
            ((PARAMS_FILE,), RigFormat.FACESCAPE),
        ):
            if any((path / name).is_file() for name in names):
                return format
        if any(path.glob(f"*{XMP_SUFFIX}")):
            return RigFormat.REALITYCAPTURE
    elif path.name in ("cameras.bin", "images.bin"):
        return RigFormat.COLMAP_BINARY
    elif path.name in ("cameras.txt", "images.txt"):
        return RigFormat.COLMAP_TEXT
    elif path.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[path.suffix.lower()]
    elif path.suffix.lower() == ".json":
        record = read_json(path)
        if isinstance(record, dict) and "frames" in record:
            return RigFormat.TRANSFORMS
        if isinstance(record, dict) and any(CAMERA_KEY.fullmatch(key) for key in record):
            return RigFormat.FACESCAPE
    known = ", ".join(RigFormat)
    raise InputError(f"{path}: no rig of a known format; name the format, one of {known}")


def _check(rig: Rig, format: RigFormat) -> None:
    """Refuse what no reader would take back: names, sizes, numbers."""
    if len(rig) == 0:
        raise InputError(f"a rig without cameras cannot be written as {format}")
    for camera in rig:
        name = camera.name
        if not name or not name.isprintable() or name != name.strip() or not name.strip("./"):
            raise InputError(f"{name!r}: not a camera name that other programs can read")
        if rig.names.count(name) > 1:
            raise InputError(f"{name!r}: two cameras of this name")
        if format in _NAMED_BY_IMAGE and str(PurePosixPath(f"{name}.x").with_suffix("")) != name:
            raise InputError(f"{name!r}: cannot be the name of an image, as {format} needs")
        if format is RigFormat.OPENCV and name[0] == name[-1] and name[0] in "\"'":
            raise InputError(f"{name!r}: OpenCV takes quotes around a name for its own")
        values = (camera.K, camera.distortion, camera.cam_from_world)
        R = camera.cam_from_world[:, :3]
        if not all(np.isfinite(v).all() for v in values) or camera.K[0, 0] <= 0:
            raise InputError(f"{name}: its parameters are not finite or impossible")
        if np.abs(R @ R.T - np.eye(3)).max() > 10 * ROTATION_EXACT or np.linalg.det(R) < 0:
            raise InputError(f"{name}: its cam_from_world is no rotation")


def _file_in(path: Path, format: RigFormat) -> Path:
    default = {RigFormat.TRANSFORMS: TRANSFORMS_FILE, RigFormat.FACESCAPE: PARAMS_FILE}
    return path / default[format] if path.is_dir() and format in default else path


def _folder_of(path: Path, format: RigFormat) -> Path:
    """Let a file of a COLMAP model stand for its folder."""
    colmap = format in (RigFormat.COLMAP_TEXT, RigFormat.COLMAP_BINARY)
    return path.parent if colmap and path.is_file() else path


def _colmap_writer(write: Callable[[Path, Rig], None], other: str) -> Callable[[Path, Rig], None]:
    def to_folder(folder: Path, rig: Rig) -> None:
        # COLMAP takes the binary model where both are there, and rigs and frames along with it
        for name in (f"cameras{other}", f"images{other}", "rigs.bin", "rigs.txt"):
            if (folder / name).exists():
                raise InputError(f"{folder}: holds {name} of another model; choose an empty folder")
        write(folder, rig)
        write_json(folder / COLMAP_SIDECAR, {"unit_mm": 1.0 if rig.metric else None})

    return to_folder


def _colmap_reader(read: Callable[[Path], Rig]) -> Callable[[Path, float | None], Rig]:
    def from_folder(folder: Path, unit_mm: float | None) -> Rig:
        sidecar = folder / COLMAP_SIDECAR
        if unit_mm is None and sidecar.is_file():
            record = read_json(sidecar)
            if not isinstance(record, dict):
                raise SchemaError(f"{sidecar}: a mapping with unit_mm expected")
            unit_mm = stated_unit(record.get("unit_mm"), f"{sidecar}: unit_mm")
        return rig_of(read(folder).cameras, unit_mm=unit_mm, where=str(folder))

    return from_folder


@dataclass(frozen=True, kw_only=True)
class _Format:
    write: Callable[[Path, Rig], None]
    read: Callable[[Path, float | None], Rig]


_FORMATS: Mapping[RigFormat, _Format] = {
    RigFormat.COLMAP_TEXT: _Format(
        write=_colmap_writer(export_colmap, ".bin"), read=_colmap_reader(import_colmap)
    ),
    RigFormat.COLMAP_BINARY: _Format(
        write=_colmap_writer(export_colmap_binary, ".txt"),
        read=_colmap_reader(import_colmap_binary),
    ),
    RigFormat.OPENCV: _Format(
        write=export_opencv, read=lambda path, unit_mm: import_opencv(path, unit_mm=unit_mm)
    ),
    RigFormat.METASHAPE: _Format(
        write=export_metashape, read=lambda path, unit_mm: import_metashape(path, unit_mm=unit_mm)
    ),
    RigFormat.REALITYCAPTURE: _Format(
        write=export_realitycapture,
        read=lambda path, unit_mm: import_realitycapture(path, unit_mm=unit_mm),
    ),
    RigFormat.TRANSFORMS: _Format(
        write=export_transforms,
        read=lambda path, unit_mm: import_transforms(path, unit_mm=unit_mm),
    ),
    RigFormat.FACESCAPE: _Format(
        write=export_facescape, read=lambda path, unit_mm: import_facescape(path, unit_mm=unit_mm)
    ),
}
_FOLDERS = (RigFormat.COLMAP_TEXT, RigFormat.COLMAP_BINARY, RigFormat.REALITYCAPTURE)
_NAMED_BY_IMAGE = (RigFormat.COLMAP_TEXT, RigFormat.COLMAP_BINARY)
_SUFFIXES = {
    XMP_SUFFIX: RigFormat.REALITYCAPTURE,
    ".xml": RigFormat.METASHAPE,
    ".yml": RigFormat.OPENCV,
    ".yaml": RigFormat.OPENCV,
}
