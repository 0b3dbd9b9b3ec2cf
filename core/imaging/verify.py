"""The strictest look at an image file: two decoders must agree, and neither may complain.

libjpeg repairs damaged data with grey blocks and says so only on the standard error stream;
Pillow hides even that. Here the stream is caught while OpenCV decodes. That concerns the
whole process, so this runs in a process of its own (`capture.inspection` keeps some).
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from ..arrays import Image
from ..errors import InputError
from .imageio import FORMATS, SUFFIXES, ImageHeader, load_strictly, load_with_opencv
from .raw import develop_raw, is_raw, raw_orientation

COMPLAINTS = (
    "corrupt",
    "premature",
    "bad code word",
    "bad huffman",
    "unexpected end",
    "inconsistent",
    "invalid sos",
    "unsupported marker",
    "[error:",
    "libpng error",
    "not enough",
    "read error",
    "line length mismatch",
    "lzwdecode",
    "zipdecode",
)
"""What decoders say about damaged pixels, lower case; their remarks on odd tags are harmless."""

MAX_DIFFERENCE = 2  # of 255: what two versions of one codec may differ by; damage differs by more

STRIP_ROWS = 256  # compared at a time, so that no third copy of the picture is needed


def verify_image(path: Path) -> tuple[ImageHeader, Image]:
    """Decode all of a file and return what it holds.

    Returns
    -------
    header : ImageHeader
    pixels : (height, width, 3) or (height, width), uint8 or uint16
        As `imageio.read_image` gives them.

    Raises
    ------
    InputError
        Absent, no photograph, not decodable to its end, or its decoders disagree or complain.
    MissingDependencyError
        A RAW file, and the extra `raw` is not installed.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: empty file; copy it again")
    if is_raw(path):
        return _verify_raw(path)
    strict = load_strictly(path)
    _refuse_open_end(path)
    with decoder_messages() as messages:
        pixels = load_with_opencv(path)
    _refuse_complaints(path, messages)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path}: stores {pixels.dtype} values; save it with 8 or 16 bits")
    if pixels.ndim == 3 and strict.ndim == 2:
        pixels = pixels[..., 1]  # grey with alpha, which OpenCV spreads to colour
    with path.open("rb") as stream, PillowImage.open(stream, formats=FORMATS) as picture:
        if not _agree(strict, pixels):
            if "A" in picture.mode:
                raise InputError(f"{path}: is partly transparent; save it without alpha")
            raise InputError(f"{path}: damaged, two decoders see different pictures; copy it again")
        suffix = SUFFIXES[str(picture.format)]
        _refuse_disguised_raw(path, picture)
        orientation = _orientation(picture)
    return _header(pixels, orientation=orientation, suffix=suffix), pixels


@contextmanager
def decoder_messages() -> Iterator[list[str]]:
    """Catch what C libraries write to the standard error stream; the list is filled at the end.

    Meant for a process with one thread: everything on the stream is caught.
    """
    lines: list[str] = []
    with tempfile.TemporaryFile() as caught:
        kept = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            lines.extend(caught.read().decode(errors="replace").splitlines())


def _verify_raw(path: Path) -> tuple[ImageHeader, Image]:
    with decoder_messages() as messages:
        pixels = develop_raw(path)
    _refuse_complaints(path, messages)
    header = _header(pixels, orientation=raw_orientation(path), suffix=path.suffix.lower())
    return header, pixels


def _header(pixels: Image, *, orientation: int, suffix: str) -> ImageHeader:
    height, width = pixels.shape[:2]
    return ImageHeader(
        width=width,
        height=height,
        channels=1 if pixels.ndim == 2 else 3,
        bit_depth=8 * pixels.dtype.itemsize,
        orientation=orientation,
        suffix=suffix,
    )


def _refuse_complaints(path: Path, messages: list[str]) -> None:
    for message in messages:
        if any(word in message.lower() for word in COMPLAINTS):
            text = " ".join(message.split())[:120]
            raise InputError(f"{path}: damaged, the decoder says {text!r}; copy it again")


def _refuse_open_end(path: Path) -> None:
    """Refuse a JPEG without its end marker: what was cut off cannot be known."""
    content = path.read_bytes()
    if not content.startswith(b"\xff\xd8"):
        return
    at = 2
    while content[at : at + 1] == b"\xff" and content[at + 1 : at + 2] != b"\xda":
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    # inside the pixel data, 0xff is always followed by 0x00 or a restart marker
    if content.find(b"\xff\xd9", at) < 0:
        raise InputError(f"{path}: ends without the end marker of a JPEG; copy it again")


def _refuse_disguised_raw(path: Path, picture: PillowImage.Image) -> None:
    """Refuse a RAW file called TIFF: only its thumbnail would be read."""
    tags = getattr(picture, "tag_v2", {})
    if 50706 in tags or (330 in tags and min(picture.size) < 400):  # DNGVersion; SubIFDs
        raise InputError(f"{path}: a camera RAW file under another name; give it back its suffix")


def _agree(strict: Image, pixels: Image) -> bool:
    """Whether both decoders saw the same picture; `strict` may be cut to 8 bits."""
    if strict.shape != pixels.shape:
        return False
    shift = 8 if pixels.dtype == np.uint16 and strict.dtype == np.uint8 else 0
    for top in range(0, len(pixels), STRIP_ROWS):
        rows = slice(top, top + STRIP_ROWS)
        difference = (pixels[rows].astype(np.int32) >> shift) - strict[rows].astype(np.int32)
        if np.abs(difference).max() > MAX_DIFFERENCE:
            return False
    return True


def _orientation(picture: PillowImage.Image) -> int:
    try:
        value = int(picture.getexif().get(0x0112, 1))
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return 1
    return value if 1 <= value <= 8 else 1
