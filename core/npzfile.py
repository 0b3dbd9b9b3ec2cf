"""NumPy's `.npz` and `.npy` files from anywhere: plain arrays, or a sentence why not.

`numpy.load` believes what a header says: a small file may ask for any memory, name a type whose
values crash later, or hold what is no array. Here sizes are held against the bytes that are
there before anything is allocated; objects, records and texts that are none are refused.
"""

import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

MOST_BYTES = 3 << 29
"""Of the arrays of a file together: depth, normals and confidence of a hundred megapixels."""

DAMAGE = (
    OSError, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, MemoryError,
    OverflowError, RecursionError, SyntaxError, TypeError, struct.error, zipfile.BadZipFile,
    zlib.error, tokenize.TokenError,
)  # fmt: skip
"""What zipfile, zlib and numpy raise on damaged files."""

Arrays = dict[str, NDArray[Any]]

Fields = Mapping[str, tuple[str, tuple[int | str, ...]]]
"""Field -> (kinds of dtype, shape); a string in a shape names a length that must be the same
throughout."""

_KINDS = "biufSU"
_LARGEST_CHARACTER, _SURROGATES = 0x10FFFF, (0xD800, 0xDFFF)


def read_npz(
    path: Path, *, names: Collection[str] | None = None, again: str = "copy it again",
    error: type[InputError] = InputError, most_bytes: int = MOST_BYTES,
) -> Arrays:  # fmt: skip
    """Read the arrays of an archive, all or those of `names` that are there.

    Parameters
    ----------
    again : str
        What a message tells to do, such as `bake the maps again`.
    error : type
        Of what is raised.

    Raises
    ------
    InputError
        It is absent, no archive, damaged, or holds something else than plain arrays.
    """
    if not path.is_file():
        raise error(f"{path}: no such file; {again}")
    try:
        with zipfile.ZipFile(path) as archive:
            return _members(archive, names, most_bytes)
    except DAMAGE as damage:
        raise error(f"{path}: damaged ({told(damage)}); {again}") from damage


def check_arrays(
    path: Path, arrays: Arrays, fields: Fields, *, again: str, error: type[InputError] = InputError
) -> None:
    """Check that every field is there, of its kind of dtype and its shape.

    Raises
    ------
    InputError
        Names the file and the first field that is wrong.
    """
    lengths: dict[str, int] = {}
    for name, (kinds, shape) in fields.items():
        if name not in arrays:
            raise error(f"{path}: damaged, {name} is absent; {again}")
        values = arrays[name]
        fits = values.ndim == len(shape) and values.dtype.kind in kinds
        for found, expected in zip(values.shape, shape, strict=False):
            n = expected if isinstance(expected, int) else lengths.setdefault(expected, found)
            fits = fits and found == n
        if not fits:
            expected_shape = "x".join(str(lengths.get(str(n), n)) for n in shape) or "one value"
            raise error(
                f"{path}: {name}: {values.dtype} of shape {values.shape}, "
                f"but {expected_shape} belongs here; {again}"
            )


def npz_names(path: Path) -> frozenset[str]:
    """Return the names of the arrays of an archive; none for a file that is no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(name.removesuffix(".npy") for name in archive.namelist())
    except DAMAGE:
        return frozenset()


def read_npy(
    path: Path, *, again: str = "copy it again", error: type[InputError] = InputError,
    mapped: bool = False,
) -> NDArray[Any]:  # fmt: skip
    """Read the array of a `.npy` file.

    Parameters
    ----------
    mapped : bool
        Leave it on the disk, and map it into memory for reading.

    Raises
    ------
    InputError
        As `read_npz`.
    """
    if not path.is_file():
        raise error(f"{path}: no such file; {again}")
    try:
        with path.open("rb") as stream:
            shape, is_fortran, dtype, start = _header(stream, path.stat().st_size)
            is_empty = 0 in shape or dtype.itemsize == 0
            if mapped and not is_empty:
                order = "F" if is_fortran else "C"
                return np.memmap(path, dtype, "r", start, shape, order)  # type: ignore[call-overload]
            return _values(stream, shape, is_fortran, dtype)
    except DAMAGE as damage:
        raise error(f"{path}: not readable as an array ({told(damage)}); {again}") from damage


def told(error: BaseException) -> str:
    """Return an error's first line, cut, for a message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]


def _members(archive: zipfile.ZipFile, names: Collection[str] | None, most_bytes: int) -> Arrays:
    wanted: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if not info.filename.endswith(".npy") or (names is not None and name not in names):
            continue
        if name in wanted:
            raise ValueError(f"{name[:40]} stands twice")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name[:40]} is packed in a way that is not read")
        wanted[name] = info
    n_bytes = sum(info.file_size for info in wanted.values())
    if n_bytes > most_bytes:
        raise ValueError(f"claims {n_bytes / 1e6:.0f} MB")
    arrays: Arrays = {}
    for name, info in wanted.items():
        try:
            with archive.open(info) as stream:
                shape, is_fortran, dtype, _ = _header(stream, info.file_size)  # type: ignore[arg-type]
                arrays[name] = _values(stream, shape, is_fortran, dtype)  # type: ignore[arg-type]
                if stream.read(1):
                    raise ValueError("longer than it says")
        except DAMAGE as error:
            raise ValueError(f"{name[:40]}: {told(error)}") from error
    return arrays


def _header(stream: BinaryIO, size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return shape, whether in Fortran's order, type and where the numbers begin."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, is_fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"an array of version {version}")
    if dtype.kind not in _KINDS or dtype.subdtype is not None:
        raise ValueError(f"values of type {str(dtype)[:40]}")
    if len(shape) > 8 or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"shape {str(shape)[:40]}")
    start = stream.tell()
    if start + math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"{size - start} bytes for shape {str(shape)[:40]} of {dtype}")
    return shape, is_fortran, dtype, start


def _values(
    stream: BinaryIO, shape: tuple[int, ...], is_fortran: bool, dtype: np.dtype[Any]
) -> NDArray[Any]:
    n_bytes = math.prod(shape) * dtype.itemsize
    raw: NDArray[np.uint8] = np.empty(n_bytes, np.uint8)  # filled below, or an error
    view, at = memoryview(raw.data), 0
    while at < len(raw):
        n = stream.readinto(view[at:])  # type: ignore[attr-defined]
        if not n:
            raise EOFError(f"ends after {at} of {len(raw)} bytes")
        at += n
    if dtype.itemsize == 0:  # empty texts
        return np.zeros(shape, dtype)
    values = raw.view(dtype)
    if dtype.kind == "U":
        codes = raw.view(np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        low, high = _SURROGATES
        if ((codes > _LARGEST_CHARACTER) | ((codes >= low) & (codes <= high))).any():
            raise ValueError("a text with characters that are none")
    return values.reshape(shape, order="F" if is_fortran else "C")
