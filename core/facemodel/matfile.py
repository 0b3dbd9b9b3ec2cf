"""Which variable a cut MATLAB file ends in, which scipy's reader does not tell.

Source
------
MAT-File Format, The MathWorks, level 5: a header of 128 bytes, then elements, each a tag of type
and length, and either a matrix or one compressed.
"""

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

_HEADER = 128
_BEGINS = b"MATLAB 5.0 MAT-file"
_MATRIX, _COMPRESSED = 14, 15
_NAME_WITHIN = 512  # bytes of an element, from its start


def cut_variable(path: Path) -> str | None:
    """Return the name of the variable that a level 5 file ends in; None where it ends after one.

    An empty name: the end lies before the variable's name. None for files of other kinds.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        header = stream.read(_HEADER)
        if not header.startswith(_BEGINS):
            return None
        order = ">" if header[126:128] == b"MI" else "<"
        at = _HEADER
        while at + 8 <= size:
            stream.seek(at)
            kind, length = struct.unpack(order + "II", stream.read(8))
            if at + 8 + length > size:
                return _name(stream, kind, order)
            at += 8 + length
    return "" if at < size or size < _HEADER else None


def _name(stream: BinaryIO, kind: int, order: str) -> str:
    """Return the name of the matrix at the stream's place, empty where it cannot be read."""
    begun = stream.read(_NAME_WITHIN)
    try:
        if kind == _COMPRESSED:
            begun = zlib.decompressobj().decompress(begun, _NAME_WITHIN)[8:]
        elif kind != _MATRIX:
            return ""
        (dimensions,) = struct.unpack_from(order + "I", begun, 20)
        at = 24 + 8 * ((dimensions + 7) // 8)
        (tag, length) = struct.unpack_from(order + "II", begun, at)
        if tag >> 16:  # a short element keeps its data in its tag
            return begun[at + 4 : at + 4 + (tag >> 16)].decode("ascii")
        return begun[at + 8 : at + 8 + length].decode("ascii")
    except (struct.error, zlib.error, UnicodeDecodeError):
        return ""
