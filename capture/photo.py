"""A photograph on its way into a session: where it lay, and what inspection found."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath

from .inspection import Inspected
from .naming import printable


@dataclass(frozen=True, kw_only=True)
class Photo:
    """One file of the source."""

    name: str
    """Its path in the source folder, with `/`."""
    folders: tuple[str, ...]
    """The folders between source and file, without those that a memory card makes."""
    stem: str
    found: Inspected
    roll: int = 0
    """Number of the memory card's folder, `100CANON`, on which the counter of names went on."""

    @property
    def usable(self) -> bool:
        """Whether it was decoded completely."""
        return self.found.header is not None

    @property
    def serial(self) -> str | None:
        """Body serial without leading zeros, in which programs differ."""
        serial = self.found.exif.serial
        return None if serial is None else serial.lstrip("0")

    @property
    def seconds(self) -> float | None:
        """EXIF time of exposure, s since an arbitrary day."""
        time = self.found.exif.time
        if time is None:
            return None
        head, _, fraction = time.partition(".")
        try:
            whole = (datetime.fromisoformat(head) - datetime(2000, 1, 1)).total_seconds()
        except ValueError:  # 31 February
            return None
        return whole + float(f"0.{fraction or 0}")


def photo_of(name: PurePath, found: Inspected) -> Photo:
    """Return the photograph of a path relative to the source."""
    folders, roll = without_card_folders(tuple(name.parts[:-1]))
    return Photo(
        name=printable(name.as_posix()), folders=folders, stem=name.stem, found=found, roll=roll
    )


def without_card_folders(folders: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
    """Take `DCIM` and `100CANON` out of the folders; return the number of the latter, else 0.

    They tell neither cameras nor takes. A folder like `100CANON` counts below another one
    only: side by side they may be one a camera.

    Source
    ------
    JEITA CP-3461 (DCF 2.0): three digits from 100, five letters, digits or `_`.
    """
    kept: list[str] = []
    roll, below_dcim = 0, False
    for folder in folders:
        pattern = r"[1-9]\d\d\w{5}" if below_dcim else r"[1-9]\d\d[A-Z_][A-Z0-9_]{4}"
        flags = re.ASCII | (re.IGNORECASE if below_dcim else re.NOFLAG)
        if folder.upper() == "DCIM":
            below_dcim = True
        elif (below_dcim or kept) and re.fullmatch(pattern, folder, flags):
            roll = int(folder[:3])
        else:
            kept.append(folder)
            below_dcim = False
    return tuple(kept), roll


def most_common(values: Iterable[object]) -> object:
    """Return the commonest value that is not None, the earliest of equals; None for none."""
    counts = Counter(value for value in values if value is not None)
    return counts.most_common(1)[0][0] if counts else None


def share_with_serial(photos: Sequence[Photo]) -> float:
    """Return the share of the usable photographs that tell their camera's body."""
    usable = [photo for photo in photos if photo.usable]
    return sum(photo.serial is not None for photo in usable) / max(1, len(usable))
