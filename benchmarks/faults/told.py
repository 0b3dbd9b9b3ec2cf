"""Photographs that tell more than their pixels: canaries in EXIF, XMP, IPTC, comments and texts."""

import dataclasses
import io
import struct
from itertools import cycle
from pathlib import Path

from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from ...capture.session import Session, save_session
from ...core.files import sha256_file

CANARIES = {
    "owner": b"Canary Owner", "serial": b"CANARY-0123456", "gps": b"CANARY-GPS",
    "xmp": b"canary:xmp",
    "iptc": b"CANARY-IPTC", "maker note": b"CANARY-MAKERNOTE", "comment": b"CANARY-COMMENT",
    "text": b"CANARY-TEXT",
}  # fmt: skip
"""What it is about -> the bytes that stand for it; a small picture comes in addition."""
_SUFFIXES = (".jpg", ".png", ".tif")
_PNG_CHUNKS = {b"IHDR", b"IDAT", b"IEND"}
_JPEG_SEGMENTS = {0xE0, 0xDB, 0xC0, 0xC4, 0xDA, 0xDD}  # JFIF, tables, frame, scan, restarts


def exif(thumbnail: bytes) -> bytes:
    """Return an EXIF block with owner, serial number, place, maker note and a small picture."""
    block = PillowImage.Exif()
    block[0x013B] = CANARIES["owner"].decode()
    details = block.get_ifd(0x8769)
    details[0xA431] = CANARIES["serial"].decode()
    details[0x927C] = CANARIES["maker note"] * 4
    place = block.get_ifd(0x8825)
    place[27] = CANARIES["gps"]
    place[2] = (48.0, 46.0, 36.0)
    return block.tobytes() + thumbnail


def with_segments(content: bytes, thumbnail: bytes) -> bytes:
    """Return a JPEG with every kind of block that tells more than pixels."""
    segments = [
        (0xE1, exif(thumbnail)),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x>" + CANARIES["xmp"] + b"</x>"),
        (0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0" + CANARIES["iptc"]),
        (0xFE, CANARIES["comment"]),
    ]
    blocks = b"".join(
        bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body for marker, body in segments
    )
    return content[:2] + blocks + content[2:]


def tell(session: Session) -> bytes:
    """Give a session's photographs metadata, as JPEG, PNG and TIFF in turn.

    Returns
    -------
    bytes
        The small picture in them.
    """
    pixels = PillowImage.radial_gradient("L").resize((32, 24))
    buffer = io.BytesIO()
    pixels.save(buffer, "JPEG", quality=95)
    thumbnail = buffer.getvalue()
    takes, suffixes = [], cycle(_SUFFIXES)
    for take in session.takes:
        shots = []
        for shot in take.shots:
            path = _told(session.folder / shot.file, next(suffixes), thumbnail)
            shots.append(
                dataclasses.replace(
                    shot, file=path.relative_to(session.folder).as_posix(),
                    sha256=sha256_file(path), bytes=path.stat().st_size,
                )
            )  # fmt: skip
        takes.append(dataclasses.replace(take, shots=tuple(shots)))
    save_session(dataclasses.replace(session, takes=tuple(takes)))
    return thumbnail


def _told(old: Path, suffix: str, thumbnail: bytes) -> Path:
    path = old.with_suffix(suffix)
    if suffix == ".jpg":
        path.write_bytes(with_segments(old.read_bytes(), thumbnail))
        return path
    image = PillowImage.open(old).convert("RGB")
    old.unlink()
    text = CANARIES["text"].decode()
    if suffix == ".png":
        info = PngInfo()
        info.add_text("Author", text)
        image.save(path, pnginfo=info, exif=exif(b""))
    else:
        image.save(path, tiffinfo={270: text, 700: CANARIES["xmp"]})
    return path


def beside_pixels(content: bytes) -> list[str]:
    """Return the names of the blocks of a JPEG or PNG that hold no pixels; none of other files."""
    if content[:2] == b"\xff\xd8":
        return [f"segment {marker:#x}" for marker in sorted(_segments(content) - _JPEG_SEGMENTS)]
    if content[:4] == b"\x89PNG":
        return [f"chunk {ascii(name)[2:-1]}" for name in sorted(_chunks(content) - _PNG_CHUNKS)]
    return []


def _segments(content: bytes) -> set[int]:
    """Return the markers of a JPEG up to its scan."""
    found, at = set(), 2
    while content[at + 1] != 0xDA:
        found.add(content[at + 1])
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return found | {0xDA}


def _chunks(content: bytes) -> set[bytes]:
    """Return the chunks of a PNG."""
    found, at = set(), 8
    while b"IEND" not in found:  # a GLB pads what follows
        found.add(content[at + 4 : at + 8])
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    return found
