"""Readers of photographs under test: JPEG, PNG, TIFF, camera RAW, masks, EXIF."""

import struct
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from ...capture.exif import read_exif
from ...capture.masks import read_mask
from ...core.errors import FacekitError
from ...core.imaging.imageio import read_image, write_image
from ...core.imaging.verify import verify_image
from .mutateformats import PNG
from .parser import Parser

_WIDTH, _HEIGHT = 48, 32


def image_parsers() -> tuple[Parser, ...]:
    """Return what reads pictures."""
    return (
        Parser(name="jpeg", make=_jpeg, read=_look("face.jpg")),
        Parser(name="png", make=_png, read=_look("face.png"), damage={"*": PNG}),
        Parser(name="tiff16", make=_tiff, read=_look("face.tif")),
        Parser(name="raw", make=_dng, read=_look("face.dng"), needs="rawpy"),
        Parser(name="mask", make=_mask, read=_read_mask, damage={"*": PNG}),
        Parser(name="cr3-exif", make=_cr3, read=lambda root: read_exif(root / "face.cr3")),
    )


def _look(name: str):  # type: ignore[no-untyped-def]
    def read(root: Path) -> None:
        """Read as calibration does, as ingestion does, and what EXIF says."""
        refused = None
        for reader in (read_image, verify_image):
            try:
                reader(root / name)
            except FacekitError as error:
                refused = error
        read_exif(root / name)
        if refused is not None:
            raise refused

    return read


def _pixels(kind: type[np.generic]) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    y, x = np.mgrid[:_HEIGHT, :_WIDTH]
    waves = 0.5 + 0.4 * np.sin(np.stack([x / 3, y / 4, (x + y) / 5], axis=-1))
    return np.asarray(waves * np.iinfo(kind).max).astype(kind)  # type: ignore[type-var]


def _jpeg(folder: Path) -> None:
    exif = PillowImage.Exif()
    exif[0x010F], exif[0x0110] = "Maker", "Model"
    block = exif.get_ifd(0x8769)
    block[0x9003], block[0xA431], block[0x920A] = "2026:01:02 03:04:05", "S1234", 85.0
    PillowImage.fromarray(_pixels(np.uint8)).save(folder / "face.jpg", quality=90, exif=exif)


def _png(folder: Path) -> None:
    write_image(folder / "face.png", _pixels(np.uint16))


def _tiff(folder: Path) -> None:
    write_image(folder / "face.tif", _pixels(np.uint16))


def _mask(folder: Path) -> None:
    white = np.zeros((_HEIGHT, _WIDTH), np.uint8)
    white[8:24, 12:36] = 255
    write_image(folder / "mask.png", white)


def _read_mask(root: Path) -> None:
    read_mask(root / "mask.png", width=_WIDTH, height=_HEIGHT)


def _dng(folder: Path) -> None:
    """Write a small digital negative: a Bayer pattern of 16 bits, as DNG 1.4 has it."""
    width, height = 96, 64
    y, x = np.mgrid[:height, :width]
    pixels = (8000 + 6000 * np.sin(x / 5) * np.cos(y / 7)).astype("<u2").tobytes()
    name = b"facekit\0"
    unit = struct.pack("<18i", *(v for k in range(9) for v in (10000 * (k % 4 == 0), 10000)))
    neutral = struct.pack("<6I", 1, 1, 1, 1, 1, 1)
    entries: list[tuple[int, int, int, bytes]] = [
        (254, 4, 1, struct.pack("<I", 0)), (256, 4, 1, struct.pack("<I", width)),
        (257, 4, 1, struct.pack("<I", height)), (258, 3, 1, struct.pack("<H", 16)),
        (259, 3, 1, struct.pack("<H", 1)), (262, 3, 1, struct.pack("<H", 32803)),
        (271, 2, len(name), name), (272, 2, len(name), name),
        (273, 4, 1, b"????"), (274, 3, 1, struct.pack("<H", 1)),
        (277, 3, 1, struct.pack("<H", 1)), (278, 4, 1, struct.pack("<I", height)),
        (279, 4, 1, struct.pack("<I", len(pixels))), (284, 3, 1, struct.pack("<H", 1)),
        (33421, 3, 2, struct.pack("<2H", 2, 2)), (33422, 1, 4, bytes((0, 1, 1, 2))),
        (50706, 1, 4, bytes((1, 4, 0, 0))), (50708, 2, len(name), name),
        (50717, 4, 1, struct.pack("<I", 65535)), (50721, 10, 9, unit),
        (50728, 5, 3, neutral), (50778, 3, 1, struct.pack("<H", 21)),
    ]  # fmt: skip
    behind = 8 + 2 + 12 * len(entries) + 4
    table, extra = b"", b""
    for tag, kind, count, value in entries:
        if tag == 273:
            value = struct.pack("<I", behind + sum(len(e[3]) for e in entries if len(e[3]) > 4))
        if len(value) > 4:
            extra += value
            value = struct.pack("<I", behind + len(extra) - len(value))
        table += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + table
    (folder / "face.dng").write_bytes(head + b"\0\0\0\0" + extra + pixels)


def _cr3(folder: Path) -> None:
    """Write the boxes of a CR3 file that hold its tags, and nothing else."""
    exif = PillowImage.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "EOS"

    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", 8 + len(content)) + kind + content

    tags = box(b"CMT1", exif.tobytes()[6:]) + box(b"CMT2", exif.tobytes()[6:])
    canon = box(b"uuid", bytes.fromhex("85c0b687820f11e08111f4ce462b6a48") + tags)
    (folder / "face.cr3").write_bytes(box(b"ftyp", b"crx ") + box(b"moov", canon))
