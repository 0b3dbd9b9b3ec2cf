"""What lies in a source folder: photographs, masks, a list that gives their order, the rest."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePath

from ..core.errors import InputError
from ..core.imaging.raw import RAW_SUFFIXES
from .masks import MaskFile, mask_of
from .naming import printable
from .session import SESSION_FILE, SESSION_FORMAT

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm",
    ".ppm", ".jp2", ".heic", ".heif", ".avif",
})
# fmt: on
"""Named like pictures. Not all are read: those that are not are refused, not overlooked."""

MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*")
"""How JPEG, PNG and TIFF begin, under whatever name."""

MIN_PRESENT = 0.8  # of the names in a list that must be photographs here

MAX_ORDER_BYTES = 100_000  # a list of names is shorter


class Pairs(StrEnum):
    """Which file of an exposure to use where cameras wrote RAW and JPEG."""

    AUTO = "auto"
    """The kind that more exposures have; JPEG where both are complete."""
    JPEG = "jpeg"
    RAW = "raw"


@dataclass(frozen=True, kw_only=True)
class Scan:
    """The files of a source, sorted by name."""

    root: Path
    photos: tuple[PurePath, ...]
    """Relative to `root`."""
    masks: tuple[MaskFile, ...]
    ignored: tuple[str, ...]
    """Names of files that are no pictures."""
    order: tuple[str, ...] = ()
    """File names in the order that a list among the files gives."""
    order_file: str | None = None
    companions: Mapping[str, PurePath] = field(default_factory=dict)
    """Name of a photograph -> the file of the other kind of the same exposure (RAW or JPEG)."""
    unpaired: tuple[PurePath, ...] = ()
    """Photographs of the kind that is not used, without a partner of the kind that is."""
    used: str = ""
    """`RAW` or `JPEG` where exposures come as pairs: the kind that is used."""
    sessions: tuple[str, ...] = ()
    """Folders that hold a session of their own; their files are copies and are not listed."""


def scan_source(
    source: Path,
    *,
    masks: Path | None = None,
    leave: Path | None = None,
    pairs: Pairs = Pairs.AUTO,
) -> Scan:
    """List a folder, or take a single file; `leave` is a folder in it to stay out of.

    Parameters
    ----------
    pairs
        Which of RAW and JPEG to use where exposures come as both.

    Raises
    ------
    InputError
        The source is absent, or holds nothing named or built like a picture.
    """
    if source.is_file():
        return Scan(root=source.parent, photos=(PurePath(source.name),), masks=(), ignored=())
    if not source.is_dir():
        raise InputError(f"{source}: no such file or folder")
    photos: list[PurePath] = []
    found_masks = [] if masks is None else _masks_in(masks)
    ignored: list[str] = []
    raw_twins: list[PurePath] = []
    sessions: list[Path] = []
    for path in _files(source, leave, sessions):
        name = path.relative_to(source)
        if masks is not None and path.is_relative_to(masks):
            continue
        mask = mask_of(source, name) if masks is None else None
        if not _is_picture(path):
            ignored.append(printable(name))
        elif mask is not None:
            found_masks.append(mask)
        elif path.suffix.lower() in RAW_SUFFIXES:
            raw_twins.append(name)
        else:
            photos.append(name)
    used, photos, companions, unpaired = _pair(photos, raw_twins, pairs)
    if not photos:
        but = f"; {sessions[0]} is a session already" if sessions else ""
        raise InputError(f"{source}: no photographs (JPEG, PNG, TIFF or camera RAW) in here{but}")
    order_file, order = _order_among(source, ignored, photos)
    return Scan(
        root=source,
        photos=tuple(sorted(photos)),
        masks=tuple(found_masks),
        ignored=tuple(ignored),
        order=order,
        order_file=order_file,
        companions=companions,
        unpaired=tuple(sorted(unpaired)),
        used=used,
        sessions=tuple(printable(path.relative_to(source).as_posix()) for path in sessions),
    )


def read_order(path: Path) -> tuple[str, ...]:
    """Read a list of file names, separated by spaces, commas or line ends; # begins a remark.

    Raises
    ------
    InputError
        Not readable as text, or no names in it.
    """
    try:
        if path.stat().st_size > MAX_ORDER_BYTES:
            raise InputError(f"{path}: too long for a list of file names")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as a list of file names ({error})") from error
    lines = [line.split("#")[0].replace(",", " ") for line in text.splitlines()]
    names = tuple(Path(word).name for line in lines for word in line.split())
    if not names:
        raise InputError(f"{path}: no file names in it")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}: names {twice} twice")
    return names


def _pair(
    developed: list[PurePath], raws: list[PurePath], pairs: Pairs
) -> tuple[str, list[PurePath], dict[str, PurePath], list[PurePath]]:
    """Choose one kind where exposures come as RAW and JPEG: the two differ in size and colour.

    Returns
    -------
    used : str
        Empty where there are no pairs.
    photos : list
        What is used.
    companions : dict
        Name of a photograph -> its partner.
    unpaired : list
        Files of the other kind whose partner is missing.
    """
    of_raw = {(name.parent, name.stem.lower()): name for name in raws}
    of_developed: dict[tuple[PurePath, str], PurePath] = {}
    for name in developed:
        of_developed.setdefault((name.parent, name.stem.lower()), name)
    both = of_raw.keys() & of_developed.keys()
    if not both:
        return "", developed + raws, {}, []
    raw_wins = pairs is Pairs.RAW or (pairs is Pairs.AUTO and len(of_raw) > len(of_developed))
    kept, other = (of_raw, of_developed) if raw_wins else (of_developed, of_raw)
    photos = raws if raw_wins else developed
    companions = {printable(kept[key].as_posix()): other[key] for key in sorted(both)}
    unpaired = [name for key, name in other.items() if key not in both]
    return "RAW" if raw_wins else "JPEG", list(photos), companions, unpaired


def _files(
    folder: Path, leave: Path | None = None, sessions: list[Path] | None = None
) -> Iterator[Path]:
    """Yield regular files, sorted; hidden ones and links to folders are left out.

    Parameters
    ----------
    leave
        A folder to stay out of.
    sessions
        Where given, sub-folders that hold a session are added to it and left out.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror})") from error
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith((".", "__MACOSX")) or entry.name in ("Thumbs.db", "desktop.ini"):
            continue
        if entry.is_dir(follow_symlinks=False):
            if leave is not None and path.resolve() == leave:
                continue
            if sessions is not None and _is_session(path):
                sessions.append(path)
            else:
                yield from _files(path, leave, sessions)
        elif entry.is_file() or not path.exists():
            yield path  # not pipes or devices, which could block for ever; dead links are named


def _is_session(folder: Path) -> bool:
    try:
        with (folder / SESSION_FILE).open("rb") as stream:
            return f'"{SESSION_FORMAT}"'.encode() in stream.read(200)  # the first key
    except OSError:
        return False


def _is_picture(path: Path) -> bool:
    if path.suffix.lower() in IMAGE_SUFFIXES | RAW_SUFFIXES:
        return True
    try:
        with path.open("rb") as stream:
            return stream.read(4).startswith(MAGIC)
    except OSError:
        return False


def _masks_in(folder: Path) -> list[MaskFile]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of masks")
    names = [path.relative_to(folder) for path in _files(folder) if _is_picture(path)]
    masks = [mask_of(folder, name, always=True) for name in names]
    if not masks:
        raise InputError(f"{folder}: no masks (PNG, JPEG or TIFF) in here")
    return [mask for mask in masks if mask is not None]


def _order_among(
    source: Path, ignored: list[str], photos: list[PurePath]
) -> tuple[str | None, tuple[str, ...]]:
    """Find the one text file that names all of these photographs and little else."""
    present = {photo.name for photo in photos}
    found: list[tuple[str, tuple[str, ...]]] = []
    for name in ignored:
        if not name.lower().endswith((".txt", ".lst", ".csv")):
            continue
        try:
            names = read_order(source / name)
        except InputError:
            continue
        here = present & set(names)
        if len(names) > 1 and here == present and len(here) >= MIN_PRESENT * len(names):
            found.append((name, names))
    return found[0] if len(found) == 1 else (None, ())
