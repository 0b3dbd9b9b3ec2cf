"""NoW's folders: the list of images, scans with picked points, predictions.

- imagepathsvalidation.txt or imagepathstest.txt: a line `.../<subject>/<challenge>/<image>.jpg`
- scans/<subject>/*.obj, mm
- scans_lmks_onlypp/<subject>/*.pp: seven points picked in MeshLab
- <predictions>/<subject>/<challenge>/<image>: .obj or .ply, and .npy or .txt
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ...core.arrays import AnyFloats, Floats32
from ...core.errors import InputError
from ...core.files import read_text, stays_inside
from ..evaluation.predictions import LANDMARK_SUFFIXES, find_beside, read_points
from ..evaluation.protocol import safe_id
from ..metrics.crop import N_LANDMARKS

LISTS = {"validation": "imagepathsvalidation.txt", "test": "imagepathstest.txt"}
_POINT = re.compile(r"<point\b[^>]*>")
_COORDINATE = re.compile(r'\b([xyz])\s*=\s*"([^"]*)"')
_PHOTOGRAPHS = ("", "iphone_pictures", "final_release_version/iphone_pictures")


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image of the list."""

    line: str
    """As listed."""
    subject: str
    challenge: str
    stem: str
    """Name of the image and of its prediction, without suffix."""

    @property
    def id(self) -> str:
        """Unique, and a file name."""
        return safe_id(self.subject, self.challenge, self.stem)


def list_images(data: Path, chosen: str | None) -> list[Image]:
    """Read the list of images in its order.

    Parameters
    ----------
    chosen : {"validation", "test"}, optional
        By default the one that is there, validation first.

    Raises
    ------
    InputError
        No list, an empty one, or a line that is no image of a subject and challenge.
    """
    if chosen is not None and chosen not in LISTS:
        raise InputError(f"--set set={chosen}: NoW has {' and '.join(LISTS)}")
    names = [LISTS[chosen]] if chosen else list(LISTS.values())
    path = next((data / name for name in names if (data / name).is_file()), None)
    if path is None:
        raise InputError(f"{data}: no {' or '.join(names)}; is this the folder of NoW's data?")
    images = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        parts = PurePosixPath(line.strip().replace("\\", "/")).parts
        if not parts:
            continue
        if len(parts) < 3 or not stays_inside("/".join(parts)):
            raise InputError(
                f"{path}, line {number}: {line!r} is not .../subject/challenge/image.jpg"
            )
        subject, challenge, name = parts[-3:]
        stem = PurePosixPath(name).stem
        images.append(Image(line=line.strip(), subject=subject, challenge=challenge, stem=stem))
    if not images:
        raise InputError(f"{path}: lists no image")
    return images


def scan_files(data: Path, subjects: Sequence[str]) -> Mapping[str, tuple[Path, Path]]:
    """Find the scan and its picked points of each subject.

    Raises
    ------
    InputError
        One is not there, or there are several.
    """
    found = {}
    for subject in dict.fromkeys(subjects):
        scan = _only(data / "scans" / subject, "*.obj", "scan")
        points = _only(data / "scans_lmks_onlypp" / subject, "*.pp", "file of picked points")
        found[subject] = (scan, points)
    return found


def _only(folder: Path, pattern: str, what: str) -> Path:
    files = sorted(folder.glob(pattern))
    if not files:
        raise InputError(
            f"{folder}: no {what} ({pattern}) there; NoW has those of the validation subjects, "
            "the test subjects' are not public"
        )
    if len(files) > 1:
        raise InputError(f"{folder}: {len(files)} files {pattern}, one {what} is needed")
    return files[0]


def read_picked_points(path: Path) -> Floats32:
    """Read the first seven points of a MeshLab file (7, 3), float32 as the official reader.

    That one goes by the number of the line, and fails where the header has another length.

    Raises
    ------
    InputError
        The file is absent or has fewer points, or one that is not a number.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror})") from error
    points = [dict(_COORDINATE.findall(tag)) for tag in _POINT.findall(text)]
    if len(points) < N_LANDMARKS:
        raise InputError(f"{path}: {len(points)} picked points; NoW needs {N_LANDMARKS}")
    try:
        rows = [[float(point[axis]) for axis in "xyz"] for point in points[:N_LANDMARKS]]
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: a picked point has no x, y, z as numbers ({error})") from error
    values = np.array(rows, dtype=np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"{path}: a picked point is not finite")
    return values


def prediction_files(predictions: Path, image: Image) -> tuple[Path, Path]:
    """Return where mesh and landmarks of an image are expected."""
    stem = predictions / image.subject / image.challenge / image.stem
    return find_beside(stem), find_beside(stem, LANDMARK_SUFFIXES)


def read_landmarks(path: Path) -> AnyFloats:
    """Read predicted landmarks (7, 3); float32 where they lose nothing by it.

    The alignment is computed in the type of the file, which for most methods is float32.
    """
    points = read_points(path, N_LANDMARKS)
    short = points.astype(np.float32)
    return short if np.array_equal(short, points) else points


def find_photograph(data: Path, image: Image) -> Path | None:
    """Return the photograph of an image, where the data hold it."""
    short = PurePosixPath(image.subject, image.challenge, PurePosixPath(image.line).name)
    places = [data.parent / image.line, data / image.line]
    places += [data / place / short for place in _PHOTOGRAPHS]
    return next((path for path in places if path.is_file()), None)
