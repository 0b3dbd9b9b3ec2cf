"""ESRC's folders: scans, the challenge's annotations of them, predictions.

- scans/**/<scan>.obj or .ply, mm: the neutral scans, which all expressions are scored against
- annotations/**/<scan>.lnd: seven lines `i x y z`, as the challenge's repository has them
- images.txt, optional: a line `[<set>/]<scan>/<image>.jpg`, set being HQ or LQ
- <predictions>/<scan>: .obj or .ply, and .npy, .txt or .lnd; with images.txt one for each line
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ...core.arrays import Floats
from ...core.errors import InputError
from ...core.files import read_text, stays_inside
from ..evaluation.predictions import LANDMARK_SUFFIXES, MESH_SUFFIXES, find_beside, read_points
from ..evaluation.protocol import safe_id
from ..metrics.crop import N_LANDMARKS

LIST = "images.txt"
_SUFFIXES = (*LANDMARK_SUFFIXES, ".lnd")


@dataclass(frozen=True, kw_only=True)
class Item:
    """A prediction that is due."""

    path: PurePosixPath
    """Of the prediction, without suffix, below the folder of predictions."""
    scan: str
    group: str
    """HQ, LQ, or all where the list names no sets."""
    photograph: str | None = None
    """As listed."""

    @property
    def id(self) -> str:
        """Unique, and a file name."""
        return safe_id(*self.path.parts)


def scans_and_annotations(data: Path) -> dict[str, tuple[Path, Path]]:
    """Return scan name -> its mesh and its annotation, by name.

    Raises
    ------
    InputError
        There are none, a scan has no annotation, or a name is there twice.
    """
    scans = _by_name(data / "scans", MESH_SUFFIXES, "scans")
    annotations = _by_name(data / "annotations", (".lnd",), "annotations of scans")
    lower = {name.lower(): path for name, path in annotations.items()}
    bare = [name for name in scans if name.lower() not in lower]
    if bare:
        raise InputError(
            f"{scans[bare[0]]}: no {bare[0]}.lnd below {data / 'annotations'} "
            f"({len(bare)} of {len(scans)} scans have none); the challenge's repository has them"
        )
    return {name: (path, lower[name.lower()]) for name, path in scans.items()}


def _by_name(folder: Path, suffixes: tuple[str, ...], what: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        if path.suffix.lower() not in suffixes or not path.is_file():
            continue
        if path.stem in found:
            raise InputError(f"{path}: {found[path.stem]} has the same name; keep one")
        found[path.stem] = path
    if not found:
        raise InputError(f"{folder}: no {what} ({', '.join(suffixes)}) there; see ESRC's layout")
    return found


def list_items(data: Path, scans: dict[str, tuple[Path, Path]]) -> list[Item]:
    """Return what is due: a prediction a line of images.txt, or one a scan.

    Raises
    ------
    InputError
        A line is no image of a scan that is there.
    """
    path = data / LIST
    if not path.is_file():
        return [Item(path=PurePosixPath(name), scan=name, group="all") for name in scans]
    items = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        parts = PurePosixPath(line.strip().replace("\\", "/")).parts
        if not parts:
            continue
        if len(parts) not in (2, 3) or not stays_inside("/".join(parts)):
            raise InputError(f"{path}, line {number}: {line!r} is not [set/]scan/image.jpg")
        if parts[-2] not in scans:
            raise InputError(f"{path}, line {number}: there is no scan {parts[-2]!r}")
        items.append(
            Item(
                path=PurePosixPath(*parts).with_suffix(""),
                scan=parts[-2],
                group=parts[0] if len(parts) == 3 else "all",
                photograph=line.strip(),
            )
        )
    if not items:
        raise InputError(f"{path}: lists no image")
    return items


def prediction_files(predictions: Path, item: Item) -> tuple[Path, Path]:
    """Return where mesh and landmarks are expected."""
    stem = predictions / item.path
    return find_beside(stem), find_beside(stem, _SUFFIXES)


def read_landmarks(path: Path) -> Floats:
    """Read seven points, of `.lnd` or as `evaluation.predictions.read_points` does.

    Raises
    ------
    InputError
        The file is absent or does not hold seven points.
    """
    if path.suffix.lower() != ".lnd":
        return read_points(path, N_LANDMARKS)
    try:
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        values = np.array([[float(word) for word in row] for row in rows if row])
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as lines `i x y z` ({error})") from error
    if values.shape != (N_LANDMARKS, 4):
        raise InputError(f"{path}: shape {values.shape}; seven lines `i x y z` are needed")
    if not np.isfinite(values).all():
        raise InputError(f"{path}: a landmark is not finite")
    return values[:, 1:]
