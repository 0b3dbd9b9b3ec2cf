"""Arrays of numbers in MATLAB files of level 5, whatever the files claim.

scipy's reader dies in a file that names a type of numbers which there is not.

Source
------
MAT-File Format, The MathWorks, level 5: a header of 128 bytes, then elements, each a tag of type
and length, and either a matrix or one compressed. A matrix is made of elements itself: flags,
dimensions, name, numbers.
"""

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelFileError

_HEADER = 128
_BEGINS = b"MATLAB 5.0 MAT-file"
_MATRIX, _COMPRESSED = 14, 15
_HEAD_BYTES = 512  # of a matrix, in which flags, dimensions and name are
_MOST_DIMENSIONS = 8
_KINDS = {1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 16: "function", 17: "opaque"}
_NUMBERS = range(6, 16)  # classes of arrays of numbers
_COMPLEX = 1 << 11
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8",
          13: "u8"}  # fmt: skip
"""Of an element's numbers -> numpy's name."""
_DAMAGED = (struct.error, zlib.error, ValueError)


@dataclass(frozen=True, kw_only=True)
class Variable:
    """An array as its head describes it."""

    kind: str
    """`numbers`, or what it is instead."""
    shape: tuple[int, ...]
    start: int
    """Of its element in the file, after the tag."""
    length: int
    is_compressed: bool
    order: str
    """`<` or `>`."""


def variables_of(path: Path) -> dict[str, Variable]:
    """Return what a file holds, by name; what has no readable name is left out.

    Raises
    ------
    ModelFileError
        It is none of level 5, or ends within a variable, which is named if its name is there.
    """
    size = path.stat().st_size
    found: dict[str, Variable] = {}
    with path.open("rb") as stream:
        header = stream.read(_HEADER)
        if not header.startswith(_BEGINS):
            raise ModelFileError(
                f"{path}: not readable as a MATLAB file of level 5; fetch it again"
            )
        order = ">" if header[126:128] == b"MI" else "<"
        at = _HEADER
        while at + 8 <= size:
            stream.seek(at)
            kind, length = struct.unpack(order + "II", stream.read(8))
            name, variable = _described(stream, kind, at + 8, length, order)
            if at + 8 + length > size:
                field = f"{name}: " if name else ""
                raise ModelFileError(f"{path}: {field}cut short; fetch the file again")
            if variable is not None:
                found[name] = variable
            at += 8 + length
    if at < size or size < _HEADER:
        raise ModelFileError(f"{path}: cut short; fetch the file again")
    return found


def read_numbers(path: Path, name: str, variables: Mapping[str, Variable]) -> NDArray[Any]:
    """Read one array, in the type that it is kept in.

    Raises
    ------
    ModelFileError
        It holds no numbers, or not as many as it says.
    """
    variable = variables[name]
    if variable.kind != "numbers":
        raise ModelFileError(f"{path}: {name}: a {variable.kind} in place of numbers")
    with path.open("rb") as stream:
        stream.seek(variable.start)
        content = stream.read(variable.length)
    try:
        if variable.is_compressed:
            # eight bytes a number are the most, and room for the head
            limit = 8 * math.prod(variable.shape) + _HEAD_BYTES
            content = _unpacked(content, limit)[8:]
        head = _head_of(content, variable.order)
        code, data, _ = _element(content, head.stop, variable.order)
        values = np.frombuffer(data, variable.order + _TYPES[code])
        return values.reshape(variable.shape, order="F").astype(_TYPES[code])
    except (*_DAMAGED, KeyError) as error:
        raise ModelFileError(
            f"{path}: {name}: not readable, its numbers are damaged; fetch the file again"
        ) from error


@dataclass(frozen=True, kw_only=True)
class _Head:
    """The beginning of a matrix."""

    kind: str
    shape: tuple[int, ...]
    name: str
    stop: int
    """Where the numbers begin."""


def _described(
    stream: BinaryIO, kind: int, start: int, length: int, order: str
) -> tuple[str, Variable | None]:
    """Return name and description of the element at the stream's place; no name: unreadable."""
    begun = stream.read(min(length, _HEAD_BYTES))
    try:
        if kind == _COMPRESSED:
            begun = _unpacked(begun, _HEAD_BYTES)[8:]
        elif kind != _MATRIX:
            return "", None
        head = _head_of(begun, order)
    except _DAMAGED:
        return "", None
    return head.name, Variable(
        kind=head.kind, shape=head.shape, start=start, length=length, order=order,
        is_compressed=kind == _COMPRESSED,
    )  # fmt: skip


def _unpacked(content: bytes, most: int) -> bytes:
    return zlib.decompressobj().decompress(content, most)


def _head_of(content: bytes, order: str) -> _Head:
    _, flags, at = _element(content, 0, order)
    (word,) = struct.unpack_from(order + "I", flags)
    _, dimensions, at = _element(content, at, order)
    shape = tuple(int(n) for n in np.frombuffer(dimensions, order + "i4"))
    if not 2 <= len(shape) <= _MOST_DIMENSIONS or min(shape) < 0:
        raise ValueError("impossible dimensions")
    _, name, at = _element(content, at, order)
    kind = _KINDS.get(word & 0xFF, "numbers" if word & 0xFF in _NUMBERS else "unknown")
    if kind == "numbers" and word & _COMPLEX:
        kind = "complex array"
    return _Head(kind=kind, shape=shape, name=name.decode("ascii"), stop=at)


def _element(content: bytes, at: int, order: str) -> tuple[int, bytes, int]:
    """Return type and data of an element within a matrix, and where the next one begins."""
    (word,) = struct.unpack_from(order + "I", content, at)
    if word >> 16:  # a short element keeps its data in its tag
        size, start, stop = word >> 16, at + 4, at + 8
        if size > 4:
            raise ValueError("impossible length")
    else:
        (size,) = struct.unpack_from(order + "I", content, at + 4)
        start, stop = at + 8, at + 8 + 8 * ((size + 7) // 8)
    data = content[start : start + size]
    if len(data) < size:
        raise ValueError("cut short")
    return word & 0xFFFF, data, stop
