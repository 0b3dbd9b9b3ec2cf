"""What a photograph's EXIF says of camera, lens and time; never trusted to be there or true."""

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from PIL import Image as PillowImage

from ..core.imaging.imageio import FORMATS
from ..core.imaging.raw import is_raw
from .cr3 import read_cr3_tags

log = logging.getLogger(__name__)

EXIF_IFD = 0x8769
"""Tag of the main block that points to the block of the exposure."""

DIAGONAL_35MM = math.hypot(36, 24)  # mm

MAX_TEXT = 80  # characters; longer values are damage

MIN_FILLER = 4  # equal characters that are no serial; shorter ones may number the bodies

PLACEHOLDERS = frozenset({
    "1234567", "12345678", "123456789", "1234567890", "default", "dummy", "empty", "na", "nil",
    "none", "noserial", "notavailable", "null", "serial", "serialnumber", "sn", "standa",
    "standard", "tbd", "undefined", "unknown", "unset", "uto",
})  # fmt: skip
"""What firmware and programs write for want of a serial: letters and digits, zeros ahead cut."""


@dataclass(frozen=True, kw_only=True)
class Exif:
    """What is known of one exposure; None where the file does not tell."""

    make: str | None = None
    model: str | None = None
    serial: str | None = None
    """Body serial; placeholders such as `0000000` are not taken."""
    lens: str | None = None
    lens_serial: str | None = None
    focal_mm: float | None = None
    focal_35mm: float | None = None
    time: str | None = None
    """ISO 8601, local time of the camera, with sub-seconds where it gives them."""


def read_exif(path: Path) -> Exif:
    """Read what the file tells; damaged blocks give an empty answer, never an error.

    Parameters
    ----------
    path
        JPEG, PNG or TIFF by Pillow; CR3 by its boxes; other RAW files, and serials in maker
        notes, by `exifread` where the extra `raw` is installed.
    """
    try:
        if path.suffix.lower() == ".cr3":
            return _from_tags(*read_cr3_tags(path))
        exif = Exif() if is_raw(path) else _from_pillow(path)
    except Exception as error:  # Pillow raises what it likes on damaged blocks
        log.debug("%s: EXIF not readable (%r)", path, error)
        exif = Exif()
    if exif.serial is not None or (exif == Exif() and not is_raw(path)):
        return exif
    try:
        return _merged(exif, _from_exifread(path))
    except Exception as error:
        log.debug("%s: maker notes not readable (%r)", path, error)
        return exif


def real_serial(text: str | None) -> str | None:
    """Return a body serial, None for blanks and placeholders (`0000000`, `UTO`, `00STANDA`).

    Short names that somebody gave the bodies, such as `S0` or `CAM_A`, are serials too.
    """
    kept = "" if text is None else text.strip()
    if not re.fullmatch(r"[\w./ :#()+-]{1,40}", kept, re.ASCII):
        return None
    signs = re.sub(r"[\W_]", "", kept, flags=re.ASCII).lower()
    filler = not signs.strip("0") or (len(signs) >= MIN_FILLER and len(set(signs)) == 1)
    return None if filler or signs.lstrip("0") in PLACEHOLDERS else kept


def same_serial(a: str | None, b: str | None) -> bool:
    """Whether two serials name one body; programs differ in leading zeros."""
    return a is not None and b is not None and a.lstrip("0") == b.lstrip("0")


def _from_pillow(path: Path) -> Exif:
    with path.open("rb") as stream, PillowImage.open(stream, formats=FORMATS) as picture:
        block = picture.getexif()
        main: dict[int, Any] = dict(block.items())
        shot: dict[int, Any] = dict(block.get_ifd(EXIF_IFD).items())
    return _from_tags(main, shot)


def _from_tags(main: Mapping[int, Any], shot: Mapping[int, Any]) -> Exif:
    """Read the tags of the main block and of the block of the exposure."""
    focal = _length(shot.get(0x920A))
    return Exif(
        make=_text(main.get(0x010F)),
        model=_text(main.get(0x0110)),
        serial=real_serial(_text(shot.get(0xA431)) or _text(main.get(0xC62F))),
        lens=_text(shot.get(0xA434)),
        lens_serial=real_serial(_text(shot.get(0xA435))),
        focal_mm=focal,
        focal_35mm=_length(shot.get(0xA405)) or _from_pixel_pitch(focal, shot),
        time=_time(_text(shot.get(0x9003)) or _text(shot.get(0x9004)), _text(shot.get(0x9291))),
    )


def _from_pixel_pitch(focal_mm: float | None, shot: Mapping[int, Any]) -> float | None:
    """Return the 35 mm equivalent focal length from the pixels per length on the sensor."""
    unit_mm = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}.get(shot.get(0xA210, 2))
    per_unit, width, height = (_length(shot.get(tag)) for tag in (0xA20E, 0xA002, 0xA003))
    if not (focal_mm and unit_mm and per_unit and width and height):
        return None
    return _length(focal_mm * DIAGONAL_35MM / (math.hypot(width, height) * unit_mm / per_unit))


def _from_exifread(path: Path) -> Exif:
    try:
        import exifread
    except ImportError:
        return Exif()
    module: ModuleType = exifread
    with path.open("rb") as stream:
        tags: Mapping[str, Any] = module.process_file(stream, details=True)

    def first(*names: str) -> str | None:
        values = (_text(str(tags[name])) for name in names if name in tags)
        return next((value for value in values if value), None)

    return Exif(
        make=first("Image Make"),
        model=first("Image Model"),
        serial=real_serial(
            first("EXIF BodySerialNumber", "MakerNote SerialNumber", "Image Tag 0xC62F")
        ),
        lens=first("EXIF LensModel", "MakerNote LensModel"),
        lens_serial=real_serial(first("EXIF LensSerialNumber")),
        focal_mm=_length(first("EXIF FocalLength")),
        focal_35mm=_length(first("EXIF FocalLengthIn35mmFilm")),
        time=_time(
            first("EXIF DateTimeOriginal", "EXIF DateTimeDigitized"),
            first("EXIF SubSecTimeOriginal", "EXIF SubSecTimeDigitized"),
        ),
    )


def _merged(first: Exif, second: Exif) -> Exif:
    """Fill what `first` lacks from `second`."""
    values = {
        name: getattr(second, name) if value is None else value
        for name, value in vars(first).items()
    }
    return Exif(**values)


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("ascii", errors="replace")
    if not isinstance(value, str):
        return None
    kept = "".join(c for c in value.split("\0")[0] if c.isprintable()).strip()
    return kept[:MAX_TEXT] or None


def _length(value: Any) -> float | None:
    """Return a positive length, mm, from a number, a ratio or text such as `37/2`."""
    if isinstance(value, str):
        above, _, below = value.partition("/")
        try:
            length = float(above) / float(below or 1)
        except (ValueError, ZeroDivisionError):
            return None
    else:
        try:
            length = float(value)
        except (TypeError, ValueError, ZeroDivisionError):
            return None
    return round(length, 4) if math.isfinite(length) and 0 < length < 100_000 else None


def _time(stamp: str | None, subseconds: str | None) -> str | None:
    """Return ISO 8601 of EXIF's `2016:04:27 09:56:26` and `70`."""
    match = re.fullmatch(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d).*", stamp or "")
    if match is None:
        return None
    year, month, day, hour, minute, second = match.groups()
    valid = 1 <= int(month) <= 12 and 1 <= int(day) <= 31 and int(hour) < 24
    if not (valid and int(year) and int(minute) < 60 and int(second) < 60):
        return None
    fraction = re.match(r"\d+", subseconds or "")
    tail = f".{fraction.group()[:6]}" if fraction else ""
    return f"{year}-{month}-{day}T{hour}:{minute}:{second}{tail}"
