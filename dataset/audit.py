"""Look at an HDF5 file before any of its data are read.

HDF5 can name other files, claim any size and hold pickled objects: a file of 2 kB may read
another file of this machine or fill its memory. What passes here holds plain numbers in plain
datasets of bounded size, reached by hard links alone.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from ..core.errors import InputError, SchemaError
from .schema import MOST_ATTRIBUTE_BYTES

MOST_OBJECTS = 20_000
"""Groups and datasets of a file; 300 captures have this many."""
MOST_DEPTH = 5
"""Of names within names; the format has four."""
MOST_NAME = 255
"""Bytes of a name; those of the format have up to 64."""
MOST_ATTRIBUTES = 64
MOST_BYTES = 1 << 30
"""Of one dataset once read."""
LARGE_BYTES = 64 << 20
MOST_RATIO = 200
"""Of a large dataset to what is stored of it: 4096 x 4096 values all alike reach 220."""
_UNSTORED_RATIO = 1100  # deflate cannot do better than 1032
_FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32"}


@contextmanager
def audited(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading once nothing in it can do harm.

    Raises
    ------
    InputError
        Absent, no readable HDF5 file, or damaged where one looks.
    SchemaError
        It holds something that no facekit file does.
    """
    with open_shard(path) as file:
        try:
            audit(file, path)
        except (OSError, RuntimeError, ValueError, LookupError, TypeError) as error:
            raise InputError(f"{path}: damaged ({short(error)}); restore it from a copy") from error
        yield file


def open_shard(path: Path) -> h5py.File:
    """Open a published file for reading, unaudited.

    Raises
    ------
    InputError
        Absent, or no readable HDF5 file.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return _opened(path)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{path}: not readable as HDF5 ({short(error)})") from error


def _opened(path: Path) -> h5py.File:
    """Open a file, whoever else has it open, here or elsewhere.

    Within a process HDF5 refuses a file that is open with another way of locking: so h5py's
    own is tried first, and then no lock, as published files never change.
    """
    for locking in (None, False):
        try:
            # no chunk cache: maps are read whole, once
            return h5py.File(path, "r", rdcc_nbytes=0, locking=locking)
        except OSError:
            continue
    return h5py.File(path, "r", rdcc_nbytes=0, locking=True)


def audit(file: h5py.File, path: Path) -> None:
    """Refuse links out of the file, cycles, foreign filters, objects and absurd sizes.

    Raises
    ------
    SchemaError
        Names the object and what is wrong with it.
    """
    found = _census(file, path)
    for name, is_group in found:
        thing = file[name]
        audit_attributes(thing, path, name)
        if not is_group:
            audit_dataset(thing, path, name)


def _census(file: h5py.File, path: Path) -> list[tuple[str, bool]]:
    """Return the name of every object and whether it is a group; the file's bounds are kept."""
    found = [("/", True)]
    seen = {_place(file["/"].id)}
    waiting = [("", file["/"].id)]
    # with those that are still to be visited: too many are told before most are opened
    total = _counted(1, file["/"].id, path)
    while waiting:
        above, group = waiting.pop()
        for raw in group:
            name = f"{above}/{raw.decode('utf-8', 'replace')}"
            if len(raw) > MOST_NAME or not name.isprintable():
                # it stands in messages: neither long nor able to turn their letters around
                raise SchemaError(f"{path}: {ascii(name[:80])[1:-1]}: no name of an object")
            if group.links.get_info(raw).type != h5py.h5l.TYPE_HARD:
                raise SchemaError(f"{path}: {name}: a link to somewhere else")
            thing = h5py.h5o.open(group, raw)
            place = _place(thing)
            if place in seen:
                raise SchemaError(f"{path}: {name}: stands twice in the file")
            seen.add(place)
            is_group = isinstance(thing, h5py.h5g.GroupID)
            if not is_group and not isinstance(thing, h5py.h5d.DatasetID):
                raise SchemaError(f"{path}: {name}: a named type; only groups and datasets belong")
            found.append((name, is_group))
            if is_group:
                if name.count("/") >= MOST_DEPTH:
                    raise SchemaError(f"{path}: {name[:80]}: groups within groups without end")
                total = _counted(total, thing, path)
                waiting.append((name, thing))
    return found


def _counted(total: int, group: h5py.h5g.GroupID, path: Path) -> int:
    total += len(group)
    if total > MOST_OBJECTS:
        raise SchemaError(f"{path}: more than {MOST_OBJECTS} objects")
    return total


def _place(thing: Any) -> int:
    return int(h5py.h5o.get_info(thing).addr)


def audit_dataset(data: h5py.Dataset, path: Path, name: str) -> None:
    """Refuse a dataset whose data lie elsewhere, are no numbers, or would fill the memory.

    Raises
    ------
    SchemaError
        Names the dataset and what is wrong with it.
    """
    where = f"{path}: {name}"
    settings = data.id.get_create_plist()
    if settings.get_external_count() or settings.get_layout() == h5py.h5d.VIRTUAL:
        raise SchemaError(f"{where}: its data lie outside of the file")
    if data.dtype.kind not in "iufS" or data.dtype.subdtype is not None:
        raise SchemaError(f"{where}: data of type {data.dtype} do not belong here")
    if data.shape is None:
        raise SchemaError(f"{where}: an empty object")
    for i in range(settings.get_nfilters()):
        code = settings.get_filter(i)[0]
        if code not in _FILTERS:
            raise SchemaError(f"{where}: stored with a filter ({code}) that is not ours")
    # of whole chunks, in Python's integers: numpy's would overflow
    chunks = data.chunks or tuple(1 for _ in data.shape)
    whole = math.prod(-(-n // c) * c for n, c in zip(data.shape, chunks, strict=True))
    n_bytes = whole * data.dtype.itemsize
    if n_bytes > MOST_BYTES:
        raise SchemaError(f"{where}: claims {n_bytes / 1e6:.0f} MB; no field is as large")
    stored = data.id.get_storage_size()
    ratio = n_bytes / max(stored, 64)
    if ratio > _UNSTORED_RATIO or (n_bytes > LARGE_BYTES and ratio > MOST_RATIO):
        raise SchemaError(f"{where}: claims {n_bytes / 1e6:.0f} MB from {stored / 1e6:.3f} stored")
    # a chunk may unfold to more than it claims; that takes more bytes than its data would
    if stored > 1.05 * n_bytes + 4096:
        raise SchemaError(f"{where}: stores {stored} bytes for {n_bytes}")


def audited_member(file: h5py.File, path: Path, name: str) -> h5py.Dataset:
    """Return one dataset of a file that was not audited as a whole, itself audited.

    Raises
    ------
    InputError
        It is not there.
    SchemaError
        It, or the way to it, is nothing that a facekit file has.
    """
    group = file["/"].id
    *above, last = name.strip("/").split("/")
    try:
        for part in (*above, last):
            if group.links.get_info(part.encode()).type != h5py.h5l.TYPE_HARD:
                raise SchemaError(f"{path}: {name}: a link to somewhere else")
            group = h5py.h5o.open(group, part.encode())
    except (KeyError, AttributeError, RuntimeError) as error:
        raise InputError(f"{path}: {name}: not there ({short(error)})") from error
    if not isinstance(group, h5py.h5d.DatasetID):
        raise SchemaError(f"{path}: {name}: no dataset")
    data = h5py.Dataset(group)
    try:
        audit_dataset(data, path, name)
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise InputError(f"{path}: {name}: damaged ({short(error)})") from error
    return data


def audit_attributes(thing: h5py.Group | h5py.Dataset, path: Path, name: str) -> None:
    """Refuse attributes that are no single text or number.

    Raises
    ------
    SchemaError
        Names the object and its attribute.
    """
    if len(thing.attrs) > MOST_ATTRIBUTES:
        raise SchemaError(f"{path}: {name}: more than {MOST_ATTRIBUTES} attributes")
    for key in thing.attrs:
        kind = thing.attrs.get_id(key)
        is_text = h5py.check_string_dtype(kind.dtype) is not None
        if kind.shape != () or not (is_text or kind.dtype.kind in "iufb"):
            raise SchemaError(f"{path}: {name}: its attribute {key[:64]!r} is no text or number")
        if is_text and len(thing.attrs[key]) > MOST_ATTRIBUTE_BYTES:
            raise SchemaError(f"{path}: {name}: its attribute {key[:64]!r} is too long")


def short(error: Exception) -> str:
    """Return the first line of an error's message, cut."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
