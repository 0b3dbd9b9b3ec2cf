"""Write a subject's shard so that it is whole or not there at all.

HDF5 loses errors of a full disk, may crash on closing after it has seen one, and leaves an
unreadable file when it is killed. So a shard is written under another name, flushed and asked
for failures after every object (`diskfile`), closed, sealed, opened again and read to its end,
forced to the disk, and only then given its name.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..core.arrays import AnyFloats, Bools
from ..core.errors import InputError
from ..core.files import atomic_path
from .diskfile import DiskFile, disk_errors, remove_leftovers
from .displacementcode import OFFSET, STEP_MM
from .schema import (
    CAPTURE,
    MOST_ATTRIBUTE_BYTES,
    NAME,
    ROOT,
    TOPOLOGY,
    VERSION,
    Attribute,
    Field,
    field_of,
)
from .seal import SEAL_BYTES, seal
from .shardcheck import check_values, verify_shard

_GZIP = 1  # more costs a quarter of the speed for a fiftieth of the size
_FILE_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class CaptureRecord:
    """One take, ready to be stored."""

    name: str
    """Of its group."""
    attributes: Mapping[str, Any]
    """As `schema.CAPTURE` asks; those with only one value may be left out."""
    data: Mapping[str, NDArray[Any]]
    """Path within the group -> array, as `schema.FIELDS` asks."""
    data_attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Path -> attributes that vary (sizes, hashes); fixed ones are added."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What writing a file took."""

    data_bytes: int
    """Uncompressed, of all datasets."""
    file_bytes: int
    write_cpu_s: float
    """From opening to sealing; includes making the records where they come from a generator."""
    verify_cpu_s: float
    """Reading everything again."""


def write_shard(
    path: Path, *, attributes: Mapping[str, Any], topology: Mapping[str, Any],
    captures: Iterable[CaptureRecord],
) -> Written:  # fmt: skip
    """Write `subjects/<pseudonym>.h5`; an older file stays until the new one is proven.

    Parameters
    ----------
    attributes : mapping
        Of the file, as `schema.ROOT` asks; those with only one value may be left out, as may
        `schema_version` and `facekit_version`.
    topology : mapping
        As `schema.TOPOLOGY` asks: `topologyfile.topology_attributes`.
    captures : iterable of CaptureRecord
        Taken one by one: only one is in memory.

    Raises
    ------
    InputError
        The disk is full or cannot be written, or a capture does not fit the schema.
    """
    from .. import __version__

    given = {"schema_version": VERSION, "facekit_version": __version__, **attributes}

    def fill(file: h5py.File, check: Callable[[], None]) -> int:
        put_attributes(file, ROOT, given, "/")
        put_attributes(file.create_group("topology"), TOPOLOGY, topology, "/topology")
        group, n_bytes = file.create_group("captures"), 0
        for capture in captures:
            n_bytes += _write_capture(group, capture, check)
        return n_bytes

    return publish(path, fill, lambda part: verify_shard(part, read_data=True))


def publish(
    path: Path,
    fill: Callable[[h5py.File, Callable[[], None]], int],
    verify: Callable[[Path], object],
) -> Written:
    """Make a sealed HDF5 file that is whole or not there at all.

    Parameters
    ----------
    fill : callable
        Writes into the open file, calls its second argument after each object (that raises
        what went wrong on the disk), and returns the number of bytes of data.
    verify : callable
        Checks the closed file under its temporary name before it is published.

    Raises
    ------
    InputError
        The disk is full or cannot be written, or what `fill` and `verify` raise.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        with atomic_path(path) as part, DiskFile(part) as stream:
            start = time.process_time()
            with _new_file(stream) as file:

                def check() -> None:
                    file.flush()
                    stream.check()

                n_bytes = fill(file, check)
            stream.check()
            seal(part)
            sealed = time.process_time()
            verify(part)
            written = Written(
                data_bytes=n_bytes, file_bytes=part.stat().st_size,
                write_cpu_s=sealed - start, verify_cpu_s=time.process_time() - sealed,
            )  # fmt: skip
            stream.to_disk()
        _folder_to_disk(path.parent)
    return written


@contextmanager
def _new_file(stream: DiskFile) -> Iterator[h5py.File]:
    # readable by HDF5 1.10 and later; objects carry no times, so that equal data are equal files
    file = h5py.File(stream, "w", libver=("earliest", "v110"), userblock_size=SEAL_BYTES)
    try:
        yield file
    finally:
        file.close()


def _write_capture(captures: h5py.Group, capture: CaptureRecord, check: Callable[[], None]) -> int:
    where = f"/captures/{capture.name}"
    if not NAME.fullmatch(capture.name):
        raise InputError(f"{where}: names are 1 to 64 of A-Z, a-z, 0-9, _ and -")
    if capture.name in captures:
        raise InputError(f"{where}: two captures have this name")
    odd = sorted(set(capture.data_attributes) - set(capture.data))
    if odd:
        raise InputError(f"{where}/{odd[0]}: attributes are given, but no data")
    group, n_bytes = captures.create_group(capture.name), 0
    for path in sorted(capture.data):
        entry = field_of(path)
        if entry is None:
            raise InputError(f"{where}/{path}: no field of the format")
        given = capture.data_attributes.get(path, {})
        n_bytes += put_field(group, path, entry, capture.data[path], given=given, where=where)
        check()
    # last: a capture without them is no capture
    put_attributes(group, CAPTURE, capture.attributes, where)
    check()
    return n_bytes


def put_field(
    group: h5py.Group, path: str, entry: Field, values: NDArray[Any], *,
    given: Mapping[str, Any], where: str,
) -> int:  # fmt: skip
    """Write one dataset with its attributes; return the bytes of its data.

    Raises
    ------
    InputError
        The values are of another kind, shape or range than the field.
    """
    here = f"{where}/{path}"
    array = _as_stored(values, entry, here)
    size = (given.get("width"), given.get("height")) if entry.is_file else None
    check_values(array, entry, here, size=size)  # type: ignore[arg-type]
    if entry.is_file:  # is compressed already
        chunk = (min(max(len(array), 1), _FILE_CHUNK),)
        data = group.create_dataset(path, data=array, chunks=chunk, fletcher32=True)
    else:
        side = entry.chunk or max((1, *array.shape))
        data = group.create_dataset(
            path, data=array, chunks=tuple(min(side, max(1, n)) for n in array.shape),
            shuffle=True, compression="gzip", compression_opts=_GZIP, fletcher32=True,
        )  # fmt: skip
    put_attributes(data, entry.attributes, given, here)
    return int(array.nbytes)


def _as_stored(values: NDArray[Any], entry: Field, where: str) -> NDArray[Any]:
    found, wanted = np.asarray(values), np.dtype(entry.dtype)
    if wanted.kind == "S" and found.dtype.kind == "U":
        found = np.char.encode(found, "ascii")
    # numbers may get shorter, but not lose their fraction or sign
    integers = wanted.kind in "iu" and found.dtype.kind in "iu"
    if not (integers or np.can_cast(found.dtype, wanted, "same_kind")) or (
        wanted.kind == "S" and found.dtype.itemsize > wanted.itemsize
    ):
        raise InputError(f"{where}: {found.dtype}, but the format has {entry.dtype}")
    if found.ndim != len(entry.shape):
        raise InputError(f"{where}: shape {found.shape}, but the format has {entry.shape}")
    if integers and found.size:
        limits = np.iinfo(wanted)
        if not (limits.min <= found.min() and found.max() <= limits.max):
            raise InputError(f"{where}: values beyond what {entry.dtype} holds")
    with np.errstate(over="ignore"):  # becomes infinite, which is refused next
        return np.ascontiguousarray(found, dtype=wanted)


def put_attributes(
    thing: h5py.Group | h5py.Dataset, wanted: Iterable[Attribute], given: Mapping[str, Any],
    where: str,
) -> None:  # fmt: skip
    """Write the attributes that an object has to have.

    Raises
    ------
    InputError
        One is not given, too long, or not of the format.
    """
    wanted = tuple(wanted)
    unknown = sorted(set(given) - {attribute.name for attribute in wanted})
    if unknown:
        raise InputError(f"{where}: no attribute {unknown[0]!r} in the format")
    kinds = {"text": str, "int": int, "float": float, "bool": bool}
    for attribute in wanted:
        value = given.get(attribute.name, attribute.value)
        if value is None:
            raise InputError(f"{where}: its attribute {attribute.name!r} is not given")
        value = kinds[attribute.kind](value)
        if attribute.kind == "text" and len(value.encode()) > MOST_ATTRIBUTE_BYTES:
            raise InputError(
                f"{where}: its attribute {attribute.name!r} is longer than "
                f"{MOST_ATTRIBUTE_BYTES} bytes"
            )
        thing.attrs[attribute.name] = value


def encode_displacement(displacement: AnyFloats) -> tuple[NDArray[np.uint16], Bools]:
    """Return a displacement in mm as stored, and where it fits into +-3.27 mm.

    Parameters
    ----------
    displacement : (n, n) float, mm

    Returns
    -------
    values : (n, n) uint16
        Of no displacement where it does not fit or is not finite.
    fits : (n, n) bool
        To be joined with the map of valid texels.
    """
    steps = np.rint(displacement / STEP_MM)
    fits = np.abs(steps) < OFFSET  # False for NaN
    values = np.where(fits, steps, 0.0) + OFFSET
    return values.astype(np.uint16), fits


def _folder_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
