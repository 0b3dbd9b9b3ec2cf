"""Verified image reads, atomic image writes.

A photograph counts as readable only when every part of it decodes: `cv2.imread` alone
returns half-decoded images without an error. `read_image` is strict about what can be seen
from inside one process; `verify.verify_image` is the stricter look that a file gets when it
enters a session.
"""

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from ..arrays import Image
from ..errors import InputError
from ..files import atomic_path
from .raw import develop_raw, is_raw

MAX_PIXELS = 150_000_000
"""Largest photograph that is read, px: the largest sensors of today; more is a bomb or a fault."""

TOO_LARGE = f"claims more than {MAX_PIXELS // 1_000_000} megapixels, which are not read"

SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "TIFF": ".tif"}
"""Formats of photographs as Pillow names them -> suffix. MPO: a JPEG with previews behind it."""

FORMATS = ("JPEG", "PNG", "TIFF")
"""What Pillow may try; the other formats it knows are no photographs, and attack surface."""

MODES_8_BIT = {"L": 1, "RGB": 3, "LA": 1, "RGBA": 3, "RGBX": 3}
"""Pillow's modes that are read -> channels without alpha."""


@dataclass(frozen=True, kw_only=True)
class ImageHeader:
    """What a file's pixels are, known after a complete decode."""

    width: int
    height: int
    channels: int
    bit_depth: int
    orientation: int = 1
    """EXIF orientation, 1-8; the pixels are in the sensor's frame, not turned."""
    suffix: str = ""
    """The suffix that fits the content, such as `.jpg`, whatever the file is called."""


def read_image(path: Path) -> Image:
    """Read a photograph in the sensor's frame, RGB or grey, 8 or 16 bit as stored.

    Returns
    -------
    (height, width, 3) or (height, width), uint8 or uint16
        sRGB-encoded; EXIF orientation is not applied, alpha is dropped. RAW files are
        developed (16 bit, see `raw.develop_raw`).

    Raises
    ------
    InputError
        The file is absent, no photograph, or does not decode to its end.
    MissingDependencyError
        A RAW file, and the extra `raw` is not installed.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if is_raw(path):
        return develop_raw(path)
    strict = load_strictly(path)
    if strict.dtype == np.uint8 and _is_jpeg(path):
        return strict
    pixels = load_with_opencv(path)
    if pixels.shape[:2] != strict.shape[:2]:
        raise InputError(f"{path}: damaged, two decoders disagree about its size; copy it again")
    return pixels if pixels.dtype == np.uint16 else strict


def load_strictly(path: Path) -> Image:
    """Decode with Pillow, which refuses a file that ends early; alpha is dropped.

    Returns
    -------
    (height, width, 3) or (height, width), uint8 or uint16
        16-bit colour arrives as its upper 8 bits: Pillow has no such mode.

    Raises
    ------
    InputError
        No photograph, too large, of an unusable kind, or not decodable to its end.
    """
    content = io.BytesIO(unturned_content(path))
    try:
        with PillowImage.open(content, formats=FORMATS) as picture:
            check_kind(path, picture)
            picture.load()
            pixels = np.asarray(picture)
    except InputError:
        raise
    except (PillowImage.DecompressionBombError, PillowImage.DecompressionBombWarning):
        raise InputError(f"{path}: {TOO_LARGE}") from None
    except UnidentifiedImageError:
        raise InputError(
            f"{path}: not a readable JPEG, PNG or TIFF; copy it again or convert it"
        ) from None
    except MemoryError:
        raise InputError(f"{path}: does not decode within the memory allowed") from None
    except Exception as error:  # plug-ins raise what they like on damaged files
        raise InputError(f"{path}: not a complete image ({_short(error)}); copy it again") from None
    return without_alpha(pixels)


def load_with_opencv(path: Path) -> Image:
    """Decode with OpenCV as stored, in the sensor's frame, colour as RGB; alpha is dropped.

    Raises
    ------
    InputError
        OpenCV does not read it.
    """
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        # through memory: OpenCV's own open fails on names outside the system's encoding
        pixels = cv2.imdecode(np.frombuffer(unturned_content(path), np.uint8), flags)
    except (cv2.error, MemoryError) as error:
        raise InputError(f"{path}: not an image that OpenCV reads ({_short(error)})") from None
    if pixels is None:
        raise InputError(f"{path}: not an image that OpenCV reads; save it again as PNG or TIFF")
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        pixels = np.ascontiguousarray(pixels[..., 2::-1])
    return without_alpha(pixels)


def unturned_content(path: Path) -> bytes:
    """Return the file's bytes; in a TIFF, the tag of orientation is set to 1.

    Pillow and OpenCV both turn TIFF pixels by it, whatever they are asked for (and Pillow not
    all modes alike), but a photograph is read in the sensor's frame.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(content[:4])
    if order is None:
        return content
    (directory,) = struct.unpack_from(f"{order}I", content, 4) if len(content) > 8 else (0,)
    if not 8 <= directory <= len(content) - 2:
        return content
    (n_tags,) = struct.unpack_from(f"{order}H", content, directory)
    turned = bytearray(content)
    for at in range(directory + 2, min(directory + 2 + 12 * n_tags, len(content) - 11), 12):
        tag, kind, count = struct.unpack_from(f"{order}HHI", content, at)
        if (tag, kind, count) == (0x0112, 3, 1):
            struct.pack_into(f"{order}H", turned, at + 8, 1)
    return bytes(turned)


def check_kind(path: Path, picture: PillowImage.Image) -> None:
    """Refuse what is no photograph: bombs, palettes, CMYK, bit masks, floats, films.

    Raises
    ------
    InputError
        With what it is.
    """
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise InputError(f"{path}: {TOO_LARGE}")
    if picture.mode not in MODES_8_BIT and not picture.mode.startswith("I;16"):
        kinds = {"1": "black and white bits", "P": "a palette", "PA": "a palette", "F": "floats"}
        kind = kinds.get(picture.mode, f"{picture.mode} colour")
        raise InputError(f"{path}: stores {kind}; save it as RGB or grey with 8 or 16 bits")
    n_frames = getattr(picture, "n_frames", 1)
    if n_frames > 1 and picture.format != "MPO":
        raise InputError(f"{path}: holds {n_frames} pictures; save one picture a file")


def without_alpha(pixels: Image) -> Image:
    """Return grey as (H, W) and colour as (H, W, 3)."""
    if pixels.ndim == 3 and pixels.shape[2] <= 2:
        return np.ascontiguousarray(pixels[..., 0])
    if pixels.ndim == 3 and pixels.shape[2] > 3:
        return np.ascontiguousarray(pixels[..., :3])
    return pixels


def write_image(path: Path, image: Image, *, quality: int = 97) -> None:
    """Write uint8 or uint16 RGB or grey; the suffix chooses PNG, JPEG (`quality`) or TIFF.

    Raises
    ------
    InputError
        There is no such format of such pixels.
    OSError
        The file cannot be written, or not to its end.
    """
    bgr = image if image.ndim == 2 else image[..., ::-1]
    options = {
        ".png": [cv2.IMWRITE_PNG_COMPRESSION, 1],
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, quality],
    }.get(path.suffix.lower(), [])
    # through memory: OpenCV's own writer says nothing of a disk that is full at a file's last bytes
    is_made, content = cv2.imencode(path.suffix, np.ascontiguousarray(bgr), options)
    if not is_made:
        raise InputError(f"{path}: cannot be written as {path.suffix}")
    with atomic_path(path) as part:
        part.write_bytes(content.tobytes())


def _is_jpeg(path: Path) -> bool:
    """Whether the content is no PNG or TIFF, whose 16-bit colour Pillow cuts to 8."""
    with path.open("rb") as stream:
        return stream.read(2) == b"\xff\xd8"


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 100 else text[:97] + "..."
