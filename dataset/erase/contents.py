"""What a file holds, as bytes: as it lies on the disk, and unpacked as far as we can.

Unpacked are ZIP (so .npz), gzip, bzip2, xz, the data of HDF5 and of PNG, and Base64 in text
(pages with pictures in them); in each other, too. What cannot be opened is said, not passed over.
"""

import base64
import binascii
import bz2
import gzip
import io
import lzma
import mmap
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ...core.errors import InputError
from ..audit import audited

Content = bytes | mmap.mmap

MOST_DEPTH = 4
"""Of archives within archives."""
MOST_UNPACKED = 8 << 30
"""Bytes that one file may unpack to: a bomb of zeros is not followed to its end."""
_AT_ONCE = 64 << 20
_OVERLAP = 31  # a probe of 32 bytes may lie across two pieces
_PNG = b"\x89PNG\r\n\x1a\n"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{256,}={0,2}")
_FOREIGN = {b"\x28\xb5\x2f\xfd": "zstd", b"7z\xbc\xaf": "7-Zip", b"Rar!": "RAR"}
_STREAMS: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}


@dataclass
class Opened:
    """What came out of a file, and what stayed shut."""

    shut: list[str] = field(default_factory=list)
    """Parts that could not be opened, and why."""
    left: int = MOST_UNPACKED

    def spend(self, n: int) -> bool:
        """Count unpacked bytes; False where there are too many."""
        self.left -= n
        return self.left >= 0


def contents(path: Path, opened: Opened) -> Iterator[Content]:
    """Yield the bytes of a regular file, and of everything packed in it.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    if path.stat().st_size == 0:
        return
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        yield raw
        # HDF5 may stand behind a block of its user's
        if raw[:8] == _HDF5 or raw[512:520] == _HDF5:
            yield from _of_hdf5(path, opened)
        else:
            yield from _inside(raw, opened, 0)


def _inside(content: Content, opened: Opened, depth: int) -> Iterator[Content]:
    """Yield what is packed in `content`, in turn."""
    if depth >= MOST_DEPTH or len(content) < 4:
        return
    head = bytes(content[:8])
    for magic, name in _FOREIGN.items():
        if head.startswith(magic):
            opened.shut.append(f"packed with {name}")
            return
    for magic, stream_of in _STREAMS.items():
        if head.startswith(magic):
            yield from _unpacked(stream_of(io.BytesIO(content)), opened, depth)
            return
    if head.startswith(b"PK"):
        yield from _of_zip(content, opened, depth)
    elif b"\0" not in content[:4096]:
        yield from _of_base64(content, opened, depth)
    else:
        yield from _of_pngs(content, opened)


def _unpacked(stream: Any, opened: Opened, depth: int) -> Iterator[Content]:
    """Yield a packed stream in pieces that overlap, and what is packed in the whole."""
    before, first = b"", True
    try:
        while piece := stream.read(_AT_ONCE):
            if not opened.spend(len(piece)):
                opened.shut.append(f"more than {MOST_UNPACKED >> 30} GB when unpacked")
                return
            yield before + piece
            if first and len(piece) < _AT_ONCE:
                yield from _inside(piece, opened, depth + 1)
            elif first:
                opened.shut.append("archives within a large member")
            before, first = piece[-_OVERLAP:], False
    except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zlib.error,
            lzma.LZMAError, zipfile.BadZipFile) as error:  # fmt: skip
        opened.shut.append(f"damaged or locked ({error})")


def _of_zip(content: Content, opened: Opened, depth: int) -> Iterator[Content]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        opened.shut.append(f"damaged ZIP ({error})")
        return
    with archive:
        for member in archive.infolist():
            try:
                stream = archive.open(member)
            except (RuntimeError, NotImplementedError, OSError, zipfile.BadZipFile) as error:
                opened.shut.append(f"{member.filename}: cannot be opened ({error})")
                continue
            with stream:
                yield from _unpacked(stream, opened, depth)


def _of_base64(content: Content, opened: Opened, depth: int) -> Iterator[Content]:
    for found in _BASE64.finditer(content):
        text = found[0]
        try:
            plain = base64.b64decode(text[: len(text) // 4 * 4])
        except (binascii.Error, ValueError):
            continue
        if not opened.spend(len(plain)):
            opened.shut.append("more Base64 than is read")
            return
        yield plain
        yield from _inside(plain, opened, depth + 1)


def _of_pngs(content: Content, opened: Opened) -> Iterator[Content]:
    """Yield the unpacked rows of every PNG that stands somewhere in `content`."""
    at = content.find(_PNG)
    while at >= 0:
        packed, place = [], at + len(_PNG)
        while place + 12 <= len(content):
            size = int.from_bytes(content[place : place + 4], "big")
            if content[place + 4 : place + 8] == b"IDAT":
                packed.append(bytes(content[place + 8 : place + 8 + size]))
            if content[place + 4 : place + 8] == b"IEND":
                break
            place += 12 + size
        rows = _inflated(b"".join(packed), opened)
        if rows:
            yield rows
        at = content.find(_PNG, at + len(_PNG))


def _inflated(packed: bytes, opened: Opened) -> bytes:
    try:
        rows = zlib.decompressobj().decompress(packed, max(1, min(opened.left, 1 << 31)))
    except zlib.error:
        return b""
    return rows if opened.spend(len(rows)) else b""


def _of_hdf5(path: Path, opened: Opened) -> Iterator[Content]:
    """Yield the values of every dataset as they are in memory, and its attributes."""
    import h5py

    try:
        with audited(path) as file:
            things: list[h5py.Group | h5py.Dataset] = [file]
            file.visititems(lambda _, thing: things.append(thing))
            for thing in things:
                for value in thing.attrs.values():
                    yield str(value).encode()
                if isinstance(thing, h5py.Dataset) and thing.size:
                    values = thing[()].tobytes()
                    yield values
                    if thing.dtype == "u1" and thing.ndim == 1:  # the bytes of a file
                        yield from _inside(values, opened, 1)
    except InputError as error:
        opened.shut.append(f"not opened as HDF5 ({error})")
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
        opened.shut.append(f"damaged HDF5 ({error})")
