"""EXIF of Canon's CR3 files: a walk over their boxes to the blocks of tags.

    ftyp, moov > uuid 85c0b687-... > CMT1 (camera), CMT2 (exposure), CMT3 (maker notes), CMT4 (GPS)

Each block is a TIFF of its own, whose first directory holds the tags. GPS is not read.

Source
------
ISO/IEC 14496-12 (boxes); Canon's own boxes as described at github.com/lclevy/canon_cr3.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image as PillowImage

CANON_UUID = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
MAX_BLOCK_BYTES = 1 << 20  # Canon's blocks have some 10 kB
MAX_BOXES = 200  # a file has some thirty
CAMERA, EXPOSURE = "CMT1", "CMT2"


def read_cr3_tags(path: Path) -> tuple[dict[int, Any], dict[int, Any]]:
    """Return the tags of camera and of exposure; empty where the file has none.

    Raises
    ------
    OSError, ValueError
        The file cannot be read, or its boxes or blocks are damaged.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        blocks: dict[str, dict[int, Any]] = {CAMERA: {}, EXPOSURE: {}}
        for kind, start, end in _boxes(stream, 0, size):
            if kind == "moov":
                for name, block in _canon_blocks(stream, start, end):
                    blocks[name] = _tags(block)
        return blocks[CAMERA], blocks[EXPOSURE]


def _canon_blocks(stream: BinaryIO, start: int, end: int) -> Iterator[tuple[str, bytes]]:
    for kind, inner, inner_end in _boxes(stream, start, end):
        if kind != "uuid" or inner_end - inner < 16:
            continue
        stream.seek(inner)
        if stream.read(16) != CANON_UUID:
            continue
        for name, first, last in _boxes(stream, inner + 16, inner_end):
            if name in (CAMERA, EXPOSURE) and last - first <= MAX_BLOCK_BYTES:
                stream.seek(first)
                yield name, stream.read(last - first)


def _boxes(stream: BinaryIO, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """Yield kind, start and end of the content of the boxes in [start, end)."""
    at = start
    for _ in range(MAX_BOXES):
        if at + 8 > end:
            return
        stream.seek(at)
        head = stream.read(8)
        size, kind, content = int.from_bytes(head[:4], "big"), head[4:8], at + 8
        if size == 1:  # a long one: its size follows
            size, content = int.from_bytes(stream.read(8), "big"), at + 16
        elif size == 0:  # the rest of the file
            size = end - at
        if size < content - at or len(head) < 8:
            raise ValueError(f"a box of {size} bytes at {at}")
        yield kind.decode("latin-1"), content, min(at + size, end)
        at += size


def _tags(block: bytes) -> dict[int, Any]:
    exif = PillowImage.Exif()
    exif.load(b"Exif\0\0" + block)
    return dict(exif.items())
