"""Puts originals into a session folder: copied once, verified, never overwritten."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from ..core.arrays import Bytes
from ..core.console import track
from ..core.errors import InputError
from ..core.files import atomic_path, sha256_file, write_text
from .photo import Photo

IMAGES = "images"
MASKS = "masks"
COMPANIONS = "companions"
SUMS_FILE = "SHA256SUMS"


@dataclass(frozen=True, kw_only=True)
class Stored:
    """How many originals were copied, and how many were there already."""

    copied: int
    kept: int


def check_room(out: Path, planned: Mapping[str, Photo]) -> None:
    """Refuse a folder that holds other photographs than the planned ones.

    Parameters
    ----------
    planned
        Name relative to `out` -> photograph.

    Raises
    ------
    InputError
        With the first photograph that is in the way.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; give a folder for the session")
    present = [path for path in sorted((out / IMAGES).rglob("*")) if path.is_file()]
    for path in present:
        if ".part" in path.suffixes[-2:]:
            path.unlink()  # left by a run that was ended in the middle of it
            continue
        photo = planned.get(path.relative_to(out).as_posix())
        if photo is None or path.stat().st_size != photo.found.bytes:
            raise InputError(
                f"{out}: holds other photographs already ({path.relative_to(out)}); "
                "originals are never changed, give another folder"
            )


def store_originals(out: Path, planned: Mapping[str, Photo]) -> Stored:
    """Copy each photograph to its place and verify the copy.

    Raises
    ------
    InputError
        A place is taken by another photograph, a source changed meanwhile, or the disk is full.
    """
    n_copied = 0
    for name, photo in track(planned.items(), "Copying photographs", total=len(planned)):
        target = out / name
        if target.is_file():
            if sha256_file(target) != photo.found.sha256:
                raise InputError(
                    f"{target}: another photograph than {photo.name}; originals are never changed, "
                    "give another folder"
                )
            continue
        _copy(photo.found.path, target, photo.found.sha256)
        n_copied += 1
    return Stored(copied=n_copied, kept=len(planned) - n_copied)


def store_companion(source: Path, target: Path) -> str:
    """Copy the RAW file of a JPEG, or the reverse, and verify the copy; return its SHA-256.

    Raises
    ------
    InputError
        Another file is in its place, it cannot be read, or the disk is full.
    """
    try:
        sha256 = sha256_file(source)
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror}); copy it again") from error
    if not target.is_file():
        _copy(source, target, sha256)
    elif sha256_file(target) != sha256:
        raise InputError(
            f"{target}: another file than {source}; originals are never changed, "
            "give another folder"
        )
    return sha256


def save_sums(folder: Path, sums: Mapping[str, str]) -> Path:
    """Write the SHA-256 of the originals as `sha256sum -c SHA256SUMS` reads them.

    Parameters
    ----------
    sums
        Name relative to `folder` -> hex digest.
    """
    path = folder / SUMS_FILE
    write_text(path, "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))
    return path


def _copy(source: Path, target: Path, sha256: str) -> None:
    try:
        with atomic_path(target) as part:
            shutil.copyfile(source, part)
            if sha256_file(part) != sha256:
                raise InputError(f"{source}: changed while it was copied; run again")
    except OSError as error:
        raise InputError(
            f"{target}: cannot be written ({error.strerror or error}); what was copied stays, "
            "run again"
        ) from error


def store_mask(path: Path, mask: Bytes) -> None:
    """Write a mask as 8-bit grey PNG, where it is not there already."""
    if path.is_file() and np.array_equal(np.asarray(PillowImage.open(path)), mask):
        return
    with atomic_path(path) as part:
        PillowImage.fromarray(mask).save(part, compress_level=1)
