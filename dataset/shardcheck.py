"""Check one file against the tables of the format: what is in it, and that no bit has changed."""

import io
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from ..core.errors import InputError, SchemaError
from . import schema
from .audit import audited, short
from .schema import (
    CAPTURE,
    FORMAT,
    NAME,
    ROOT,
    TOPOLOGY,
    TOPOLOGY_FORMAT,
    TOPOLOGY_ROOT,
    Attribute,
    Field,
    field_of,
    minor_of,
)
from .seal import check_seal

_KINDS: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "int": (int, np.integer),
    "float": (float, np.floating, int, np.integer),
    "bool": (bool, np.bool_),
}
_MOST_PIXELS = 16384 * 16384


@dataclass(frozen=True, kw_only=True)
class CaptureFigures:
    """What a capture of a shard holds."""

    name: str
    fields: tuple[str, ...]
    """Paths as in `schema.FIELDS`, sorted."""
    views: tuple[str, ...]
    """Names of the cameras that have an image, sorted."""
    masks: tuple[str, ...]
    """Names of the cameras that have a mask, sorted."""


@dataclass(frozen=True, kw_only=True)
class ShardFigures:
    """What a checked shard holds."""

    subject: str
    attributes: Mapping[str, Any]
    """Of the file."""
    topology: Mapping[str, Any]
    """Attributes of `/topology`."""
    captures: tuple[CaptureFigures, ...]
    bytes_read: int
    """Uncompressed; 0 where data were not read."""

    @property
    def n_images(self) -> int:
        """Number of photographs."""
        return sum(len(capture.views) for capture in self.captures)


def verify_shard(path: Path, *, read_data: bool = False) -> ShardFigures:
    """Check a shard against `facekit-hdf5/1`.

    Parameters
    ----------
    read_data : bool
        Also check the seal, by which every flipped bit is found, and read every dataset:
        checksums, ranges, encoded images.

    Raises
    ------
    InputError
        Absent, unreadable or damaged: names the object.
    SchemaError
        It is another format or version, or an object is missing, unknown or of the wrong shape.
    """
    if read_data:
        check_seal(path)  # before HDF5 sees the file: it may trip over a damaged one
    with audited(path) as file:
        _check_format(file, FORMAT, path)
        try:
            return _verify(file, path, read_data=read_data)
        except (OSError, RuntimeError, LookupError, ValueError) as error:
            raise InputError(f"{path}: damaged ({short(error)}); restore it from a copy") from error


def verify_topology(path: Path, *, read_data: bool = False) -> dict[str, Any]:
    """Check a topology file; return its attributes.

    Raises
    ------
    InputError
        Absent, unreadable or damaged.
    SchemaError
        It is another format or version, or an object is missing, unknown or of the wrong shape.
    """
    if read_data:
        check_seal(path)  # before HDF5 sees the file: it may trip over a damaged one
    with audited(path) as file:
        _check_format(file, TOPOLOGY_FORMAT, path)
        try:
            minor = minor_of(file.attrs["schema_version"], where=str(path))
            check_attributes(file, TOPOLOGY_ROOT, path, "/", minor=minor)
            _check_group(file, schema.TOPOLOGY_FIELDS, minor, path, where="", read_data=read_data)
            return dict(file.attrs)
        except (OSError, RuntimeError, LookupError, ValueError) as error:
            raise InputError(f"{path}: damaged ({short(error)}); restore it from a copy") from error


def _check_format(file: h5py.File, name: str, path: Path) -> None:
    found = file.attrs.get("format")
    if not isinstance(found, str) or found != name:
        raise SchemaError(f"{path}: not a {name} file")
    minor_of(file.attrs.get("schema_version"), where=str(path))


def _verify(file: h5py.File, path: Path, *, read_data: bool) -> ShardFigures:
    minor = minor_of(file.attrs["schema_version"], where=str(path))
    check_attributes(file, ROOT, path, "/", minor=minor)
    for name in ("topology", "captures"):
        if not isinstance(file.get(name), h5py.Group):
            raise SchemaError(f"{path}: /{name} is missing")
    odd = sorted(set(file) - {"topology", "captures"})
    odd += [f"topology/{name}" for name in file["topology"]]
    if odd and not _is_newer(minor):
        raise SchemaError(f"{path}: /{odd[0]}: nothing of the format")
    check_attributes(file["topology"], TOPOLOGY, path, "/topology", minor=minor)
    captures, bytes_read = [], 0
    for name, group in sorted(file["captures"].items()):
        where = f"/captures/{name}"
        if not NAME.fullmatch(name) or not isinstance(group, h5py.Group):
            raise SchemaError(f"{path}: {where}: no capture")
        check_attributes(group, CAPTURE, path, where, minor=minor)
        found, n_bytes = _check_group(
            group, schema.FIELDS, minor, path, where=where, read_data=read_data
        )
        _check_names(group, found, path, where)
        captures.append(
            CaptureFigures(
                name=name,
                fields=tuple(sorted({entry.path for entry in found.values()})),
                views=_below("images/", found),
                masks=_below("masks/", found),
            )
        )
        bytes_read += n_bytes
    return ShardFigures(
        subject=str(file.attrs["subject"]), attributes=dict(file.attrs),
        topology=dict(file["topology"].attrs), captures=tuple(captures), bytes_read=bytes_read,
    )  # fmt: skip


def _check_group(
    group: h5py.Group, table: Iterable[Field], minor: int, path: Path, *, where: str,
    read_data: bool,
) -> tuple[dict[str, Field], int]:  # fmt: skip
    """Return the field of each dataset, and how many bytes were read."""
    table = tuple(table)
    data, known = datasets(group), {}
    _check_groups(group, {key.rpartition("/")[0] for key in data}, minor, path, where)
    for key in data:
        entry = field_of(key, table)
        if entry is not None:
            known[key] = entry
        elif not _is_newer(minor):  # a later minor version may have added fields
            raise SchemaError(f"{path}: {where}/{key}: no field of the format")
    present = {entry.path for entry in known.values()}
    for entry in table:
        if not entry.optional and entry.since <= minor and entry.path not in present:
            raise SchemaError(f"{path}: {where}/{entry.path} is missing")
    check_shapes({key: data[key] for key in known}, known, path, where)
    n_bytes = 0
    for key, entry in known.items():
        check_attributes(data[key], entry.attributes, path, f"{where}/{key}", minor=minor)
        if read_data:
            n_bytes += _read(data[key], entry, path, f"{where}/{key}")
    return known, n_bytes


def _check_groups(
    group: h5py.Group, with_data: set[str], minor: int, path: Path, where: str
) -> None:
    """Refuse groups of no field, and attributes of groups within a capture: they have none."""
    if _is_newer(minor):
        return
    for name, thing in group.items():
        if isinstance(thing, h5py.Group):
            if name not in with_data:
                raise SchemaError(f"{path}: {where}/{name}: a group of no field of the format")
            check_attributes(thing, (), path, f"{where}/{name}", minor=minor)


def _below(folder: str, found: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(key.removeprefix(folder) for key in found if key.startswith(folder)))


def _check_names(group: h5py.Group, found: Iterable[str], path: Path, where: str) -> None:
    """Hold the names of images and masks against the cameras."""
    cameras = {raw.decode("ascii", "replace") for raw in group["cameras/id"][()]}
    if len(cameras) != len(group["cameras/id"]):
        raise SchemaError(f"{path}: {where}/cameras/id: a name stands twice")
    for key in found:
        folder, _, name = key.partition("/")
        if folder in ("images", "masks") and name not in cameras:
            raise SchemaError(f"{path}: {where}/{key}: no camera has this name")


def datasets(group: h5py.Group, *, before: str = "") -> dict[str, h5py.Dataset]:
    """Return the datasets below a group by their paths in it."""
    found: dict[str, h5py.Dataset] = {}
    for key, thing in group.items():
        if isinstance(thing, h5py.Group):
            found |= datasets(thing, before=f"{before}{key}/")
        else:
            found[f"{before}{key}"] = thing
    return found


def check_shapes(
    data: Mapping[str, h5py.Dataset], fields: Mapping[str, Field], path: Path, where: str
) -> None:
    """Check types, shapes, common lengths and that there are checksums.

    Raises
    ------
    SchemaError
        Names the dataset.
    """
    lengths: dict[str, tuple[int, str]] = {}
    for key, entry in fields.items():
        found = data[key]
        check_shape(found, entry, path, f"{where}/{key}")
        for length, wanted in zip(found.shape, entry.shape, strict=True):
            if isinstance(wanted, int) or wanted == "bytes":
                continue
            first, who = lengths.setdefault(wanted, (length, key))
            if length != first:
                raise SchemaError(
                    f"{path}: {where}/{key}: {length} {wanted}, but {who} has {first}"
                )


def check_shape(data: h5py.Dataset, entry: Field, path: Path, where: str) -> None:
    """Check the type and shape of one dataset by itself, and that it has checksums.

    Raises
    ------
    SchemaError
        Names the dataset.
    """
    if data.dtype != np.dtype(entry.dtype):
        raise SchemaError(f"{path}: {where}: {data.dtype}, but the format has {entry.dtype}")
    if data.ndim != len(entry.shape) or any(
        isinstance(wanted, int) and length != wanted
        for length, wanted in zip(data.shape, entry.shape, strict=False)
    ):
        raise SchemaError(f"{path}: {where}: shape {data.shape}, not {entry.shape}")
    if not data.fletcher32:
        raise SchemaError(f"{path}: {where}: has no checksums")


def check_attributes(
    thing: Any, wanted: Iterable[Attribute], path: Path, where: str, *, minor: int
) -> None:
    """Check that an object has its attributes, of the right kind, and no others.

    Parameters
    ----------
    minor : int
        Of the file's schema version: a later one than ours may have added attributes.

    Raises
    ------
    SchemaError
        Names the object and the attribute.
    """
    wanted = tuple(wanted)
    odd = sorted(set(thing.attrs) - {attribute.name for attribute in wanted})
    if odd and not _is_newer(minor):
        raise SchemaError(f"{path}: {where}: its attribute {odd[0][:64]!r} is none of the format")
    for attribute in wanted:
        value = thing.attrs.get(attribute.name)
        if value is None:
            raise SchemaError(f"{path}: {where}: its attribute {attribute.name!r} is missing")
        if not isinstance(value, _KINDS[attribute.kind]):
            raise SchemaError(f"{path}: {where}: its attribute {attribute.name!r} is {value!r}")
        if attribute.value is not None and value != attribute.value:
            raise SchemaError(
                f"{path}: {where}: its attribute {attribute.name!r} is {value!r}, "
                f"but the format has {attribute.value!r}"
            )
        if attribute.choices and value not in attribute.choices:
            raise SchemaError(
                f"{path}: {where}: its attribute {attribute.name!r} is {str(value)[:40]!r}, "
                f"but the format has {', '.join(attribute.choices)}"
            )


def _is_newer(minor: int) -> bool:
    return minor > int(schema.VERSION.split(".")[1])


def _read(data: h5py.Dataset, entry: Field, path: Path, where: str) -> int:
    values = read_values(data, path, where)
    size = (data.attrs["width"], data.attrs["height"]) if entry.is_file else None
    check_values(values, entry, f"{path}: {where}", size=size)
    return int(values.nbytes)


def read_values(data: h5py.Dataset, path: Path, where: str) -> NDArray[Any]:
    """Read a dataset whole, with its checksums.

    Raises
    ------
    InputError
        They do not fit.
    """
    try:
        return np.asarray(data[()])
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{path}: {where}: its checksum does not fit, the file is damaged; "
            "restore it from a copy"
        ) from error


def check_values(
    values: NDArray[Any], entry: Field, where: str, *, size: tuple[int, int] | None
) -> None:
    """Check the values of a field: finite, within range; an image that opens, of its size.

    Raises
    ------
    InputError
        An image cannot be read.
    SchemaError
        Values are beyond their range, or an image is of another `size` (width, height).
    """
    if entry.is_file:
        found = _image_size(values.tobytes(), where)
        if found != size:
            raise SchemaError(f"{where}: {found} px, but its attributes say {size}")
        return
    if values.size == 0 or values.dtype.kind == "S":
        return
    low, high = values.min(), values.max()  # NaN, where there is one
    if values.dtype.kind == "f" and not entry.nan and not (np.isfinite(low) and np.isfinite(high)):
        raise SchemaError(f"{where}: holds NaN or infinite values")
    if entry.range is not None and not (low >= entry.range[0] and high <= entry.range[1]):
        raise SchemaError(f"{where}: values beyond {entry.range[0]:g} to {entry.range[1]:g}")


def _image_size(content: bytes, where: str) -> tuple[int, int]:
    """Return width and height of an encoded image; the checksums of PNG are held to."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PillowImage.DecompressionBombWarning)
            with PillowImage.open(io.BytesIO(content), formats=("JPEG", "PNG")) as picture:
                size = picture.size
                if size[0] * size[1] > _MOST_PIXELS:
                    raise SchemaError(f"{where}: an image of {size} px")
                picture.verify()
    except (
        UnidentifiedImageError, PillowImage.DecompressionBombError, OSError, ValueError,
        SyntaxError,
    ) as error:  # fmt: skip
        raise InputError(f"{where}: no readable image") from error
    return size
