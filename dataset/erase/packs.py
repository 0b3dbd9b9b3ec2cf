"""Packed training samples without one of the people in them.

A folder of packed samples has parts, `part-<first>`, of arrays and `people.json`; see
`reconstruct.samples.packed`. A part that holds the subject is written anew without those rows;
the rows of others stay as they are, to the byte.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InputError, SchemaError
from ...core.files import atomic_folder, read_json, write_json
from ...core.npzfile import read_npy

PACK_FILE = "packed.json"
PACK_FORMAT, PACK_VERSION = "facekit-packed", 1
_PEOPLE = "people.json"
_PER_SAMPLE = ("image", "mask", "landmarks", "K", "cam_from_head", "take")
_PER_TAKE = (
    "has_truth", "vertices", "support", "identity", "expression", "displacement",
    "displacement_valid",
)  # fmt: skip
_KEPT = "kept-"  # a part that is to take the place of an older one


def people_of_pack(folder: Path) -> set[str]:
    """Return whose samples a folder holds; unreadable parts are of nobody."""
    people: set[str] = set()
    for path in sorted(folder.glob(f"*-*/{_PEOPLE}")):
        try:
            people |= {person for person in read_json(path) if isinstance(person, str)}
        except (InputError, TypeError):
            continue
    return people


def check_pack(folder: Path) -> None:
    """Refuse samples of which it is not known which rows are a person's.

    A header that is damaged says nothing against them.

    Raises
    ------
    InputError
        There is an array that this version does not have.
    SchemaError
        They are of another version.
    """
    known = {*_PER_SAMPLE, *_PER_TAKE}
    for path in sorted(folder.glob("part-*/*.npy")):
        if path.stem not in known:
            raise InputError(
                f"{path}: not known to this facekit, and may hold the subject; erase with the "
                "facekit that packed it, or delete the folder of samples"
            )
    try:
        read_json(folder / PACK_FILE, format_name=PACK_FORMAT, version=PACK_VERSION)
    except SchemaError:
        raise
    except InputError:
        return


def rows_of(folder: Path, person: str) -> Iterator[bytes]:
    """Yield the pixels of a person's samples, each as it lies in its array's file.

    Raises
    ------
    InputError
        A part is damaged.
    """
    for part in sorted(folder.glob("part-*")):
        people = read_json(part / _PEOPLE) if (part / _PEOPLE).is_file() else []
        rows = [row for row, who in enumerate(people) if who == person]
        if rows:
            images = read_npy(part / "image.npy", mapped=True, again="delete it")
            yield from (images[row].tobytes() for row in rows if row < len(images))


def without_person(folder: Path, person: str) -> list[Path]:
    """Take a person out of packed samples; may be cut off and run again.

    Returns
    -------
    list of Path
        The parts that were changed.

    Raises
    ------
    InputError
        A part is damaged, or as `check_pack`.
    SchemaError
        As `check_pack`.
    """
    check_pack(folder)
    changed = []
    for left in folder.glob(f".{_KEPT}*"):
        shutil.rmtree(left)  # half written
    for kept in sorted(folder.glob(f"{_KEPT}*")):  # of a run that was cut off
        changed.append(_put_in_place(kept))
    for part in sorted(folder.glob("part-*")):
        if not (part / _PEOPLE).is_file():
            shutil.rmtree(part)  # half deleted: its last samples were the person's
            continue
        people = read_json(part / _PEOPLE)
        if not isinstance(people, list):
            raise InputError(f"{part / _PEOPLE}: damaged, no list; delete the folder of samples")
        if person in people:
            changed.append(_without(part, people, person))
    return changed


def _without(part: Path, people: list[str], person: str) -> Path:
    rows = np.array([who != person for who in people])
    if not rows.any():
        # first what names it: a run that is cut off here finds the rest without it
        (part / _PEOPLE).unlink()
        shutil.rmtree(part)
        return part
    arrays = _arrays(part)
    try:
        used, take = np.unique(arrays["take"][rows], return_inverse=True)
        with atomic_folder(part.with_name(part.name.replace("part-", _KEPT))) as working:
            for name, values in arrays.items():
                kept = values[rows] if name in _PER_SAMPLE else values[used]
                if name == "take":
                    kept = take.astype(values.dtype)
                np.save(working / f"{name}.npy", np.ascontiguousarray(kept), allow_pickle=False)
            write_json(working / _PEOPLE, [who for who in people if who != person])
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(f"{part}: damaged ({error}); delete the folder of samples") from error
    return _put_in_place(part.with_name(part.name.replace("part-", _KEPT)))


def _arrays(part: Path) -> dict[str, NDArray[Any]]:
    return {
        path.stem: read_npy(path, mapped=True, again="delete it")
        for path in sorted(part.glob("*.npy"))
    }


def _put_in_place(kept: Path) -> Path:
    part = kept.with_name(kept.name.replace(_KEPT, "part-"))
    if part.exists():
        shutil.rmtree(part)
    kept.rename(part)
    return part
