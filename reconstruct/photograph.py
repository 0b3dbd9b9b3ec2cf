"""A photograph as reconstruction gets it: verified, upright, 8-bit colour; and the face in it.

Points are px of the photograph turned upright, the centre of its top-left pixel (0.5, 0.5).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..capture.exif import DIAGONAL_35MM, read_exif
from ..core.arrays import AnyFloats, Bytes, Floats, Image
from ..core.errors import ConfigError, EstimationError, InputError
from ..core.facemodel.landmark_opencv import OpencvDetector
from ..core.facemodel.landmark_schemes import MATRICES, NAMES68, Scheme
from ..core.facemodel.landmark_table import LandmarkTable, load_landmark_table
from ..core.facemodel.landmarks import Detection, Detector, box_of
from ..core.files import sha256_file
from ..core.imaging.orientation import turned_upright
from ..core.imaging.verify import decoder_messages, verify_image
from .facemasks import require_face, upright_mask

LARGEST = "largest"
"""Which face: that with the largest box."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff"})
"""Of the files that a folder of photographs is searched for."""

_DETECTOR_PX = 2000  # longer sides are shrunk for detectors, whose own input is far smaller
_LEAST_PX = 32  # a side of a photograph that can show a face
_CLOSE_UP = 4.0  # side of a close-up over the face's size: crops reach 2.4 about its middle
_CLOSE_UP_PX = 1536  # its longest side: three times what the networks look at
_LEAST_EYES_PX = 12.0  # between the eyes; smaller faces have no shape
_SMALL_EYES_PX = 40.0
_FOCALS = 0.4, 20.0  # over the long side: fish eyes and telescopes, or damaged EXIF
_LEAST_KNOWN = 40  # of the 68; and all that the five rest on


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """A photograph, turned upright."""

    path: Path
    sha256: str
    pixels: Bytes = field(repr=False)
    """(height, width, 3) uint8 RGB, sRGB."""
    focal_px: float | None
    """Focal length in px of `pixels`, as told or as EXIF has it; None: unknown."""
    focal_source: str = ""
    """`given`, `exif`, or empty."""
    mask: Bytes | None = field(default=None, repr=False)
    """(height, width) uint8, white where it shows the face; None: all of it may."""

    @property
    def name(self) -> str:
        """File name."""
        return self.path.name

    @property
    def width(self) -> int:
        """Px."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Px."""
        return int(self.pixels.shape[0])


@dataclass(frozen=True, kw_only=True)
class Face:
    """A face in a photograph."""

    landmarks: Floats
    """(68, 2) px; NaN where a table of the user's lacks one."""
    confidence: Floats
    """(68,) in [0, 1]."""
    score: float
    """In [0, 1]: how sure its finder is."""
    finder: str
    """What found it."""
    remarks: tuple[str, ...] = ()
    """What is odd, a sentence each."""

    @property
    def box(self) -> Floats:
        """(4,) px: x, y, width, height of the known landmarks."""
        return box_of(self.landmarks)

    @property
    def size_px(self) -> float:
        """Longer side of the box."""
        return float(self.box[2:].max())

    @property
    def eyes_px(self) -> float:
        """Distance between the middles of the eyes."""
        five = MATRICES[Scheme.IBUG68, Scheme.FIVE] @ np.nan_to_num(self.landmarks)
        return float(np.linalg.norm(five[1] - five[0]))


class CloseUp(NamedTuple):
    """The part of a photograph about a face, not larger than needed."""

    pixels: Bytes
    """(height, width, 3) uint8."""
    scale: float
    """Px of it per px of the photograph."""
    origin: Floats
    """(2,) px of the photograph: its top-left corner."""
    mask: Bytes | None = None
    """(height, width): of the photograph's."""

    def of(self, points: AnyFloats) -> Floats:
        """Take points (..., 2) of the photograph here."""
        return np.asarray((points - self.origin) * self.scale, dtype=np.float64)

    def K_of(self, K: Floats) -> Floats:
        """Return the photograph's `K` (3, 3) for the close-up."""
        there = K.copy()
        there[:2, 2] -= self.origin
        there[:2] *= self.scale
        return there


def read_photograph(
    path: Path, *, focal_px: float | None = None, mask: Path | None = None
) -> Photograph:
    """Read a photograph, decoded by two decoders to its end, and turn it upright.

    Parameters
    ----------
    focal_px : float, optional
        Focal length in px of the photograph; EXIF's 35 mm equivalent by default.
    mask : Path, optional
        A grey picture of the same size, white on the face.

    Raises
    ------
    InputError
        Absent, no photograph, damaged, or too small for a face; or the mask is of another size.
    MissingDependencyError
        A RAW file, and the extra `raw` is not installed.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with warnings.catch_warnings(), decoder_messages():  # what matters is in the error
        warnings.simplefilter("ignore")  # Pillow's remarks on large files and odd tags
        header, stored = verify_image(path)
        source = "" if focal_px is None else "given"
        if focal_px is None:
            focal_px = _exif_focal_px(path, width=header.width, height=header.height)
            source = "" if focal_px is None else "exif"
    if min(header.width, header.height) < _LEAST_PX:
        raise InputError(
            f"{path}: {header.width} x {header.height} px, too small to show a face; "
            f"give a photograph of at least {_LEAST_PX} px a side"
        )
    pixels = _rgb8(turned_upright(stored, header.orientation))
    return Photograph(
        path=path,
        sha256=sha256_file(path),
        pixels=pixels,
        focal_px=focal_px,
        focal_source=source,
        mask=None if mask is None else upright_mask(mask, header),
    )


def photographs_in(paths: Sequence[Path]) -> list[Path]:
    """Return the files named, and of folders those that are photographs by their suffix, sorted.

    Raises
    ------
    InputError
        A path does not exist, a folder holds none, or nothing is named.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if _is_photograph(p))
            if not inside:
                raise InputError(f"{path}: no JPEG, PNG or TIFF in this folder")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise InputError(f"{path}: no such file or folder")
    if not found:
        raise InputError("no photograph is given")
    return list(dict.fromkeys(found))


def face_finder(
    *, table: Path | None = None, yunet: Path | None = None, facemesh: Path | None = None
) -> Detector | LandmarkTable:
    """Return what finds faces: a table of the user's, or the networks given or registered.

    Raises
    ------
    InputError
        The table cannot be read, or no network is given and none registered.
    ModelFileError
        A network's file is damaged or another's.
    """
    if table is not None:
        return load_landmark_table(table)
    return OpencvDetector(yunet, facemesh)


def find_face(
    photograph: Photograph, finder: Detector | LandmarkTable, *, which: str = LARGEST
) -> Face:
    """Find a face in a photograph.

    Parameters
    ----------
    which : str
        `largest`, or a number: 1 is the largest, 2 the next.

    Raises
    ------
    ConfigError
        `which` is neither.
    InputError
        There are fewer faces, or a table lacks the photograph or points that are needed.
    EstimationError
        There is no face, or one too small to have a shape.
    """
    if isinstance(finder, LandmarkTable):
        return _checked(photograph, _listed_face(photograph, finder), finder.name, ())
    shrink = min(1.0, _DETECTOR_PX / max(photograph.width, photograph.height))
    small = resized(photograph.pixels, shrink)
    by = np.array([photograph.width / small.shape[1], photograph.height / small.shape[0]])
    found = finder.detect(small)
    if not found:
        raise EstimationError(
            f"{photograph.path}: no face found; give its landmarks as a table, or a photograph "
            "that shows the face larger and from the front"
        )
    row = _row_of(which, len(found), photograph)
    remarks = []
    if len(found) > 1:
        taken = "the largest" if row == 0 else f"face {row + 1}"
        remarks.append(f"{len(found)} faces; {taken} was taken (1 is the largest)")
    face = found[row].to(Scheme.IBUG68)
    face = replace(face, points=face.points * by, sigma_px=face.sigma_px * float(by.mean()))
    return _checked(photograph, face, finder.name, tuple(remarks))


def close_up(photograph: Photograph, face: Face) -> CloseUp:
    """Return the part of a photograph about a face, shrunk where it is larger than needed.

    A small face in a large photograph keeps its pixels so.
    """
    x, y, width, height = face.box
    half = _CLOSE_UP / 2 * face.size_px
    middle = np.array([x + width / 2, y + height / 2])
    size = np.array([photograph.width, photograph.height])
    low = np.clip(np.floor(middle - half), 0, size - 1).astype(int)
    high = np.clip(np.ceil(middle + half), low + 1, size).astype(int)
    part = photograph.pixels[low[1] : high[1], low[0] : high[0]]
    scale = min(1.0, _CLOSE_UP_PX / max(part.shape[:2]))
    pixels = resized(part, scale)
    # one scale for both axes: a rounded side is off by half a pixel in 1500
    mask = photograph.mask
    if mask is not None:
        mask = resized(mask[low[1] : high[1], low[0] : high[0]], scale)
    return CloseUp(pixels, pixels.shape[1] / part.shape[1], low.astype(np.float64), mask)


def resized(pixels: Bytes, scale: float) -> Bytes:
    """Return an image (H, W) or (H, W, 3) at `scale` <= 1 of its size, by area averaging."""
    if scale >= 1:
        return np.ascontiguousarray(pixels)
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _is_photograph(path: Path) -> bool:
    """Return whether a folder's entry is a photograph by its name; `._a.jpg` is macOS' own."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _rgb8(image: Image) -> Bytes:
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    deep = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    return np.ascontiguousarray(deep, dtype=np.uint8)


def _exif_focal_px(path: Path, *, width: int, height: int) -> float | None:
    """Return the focal length in px by EXIF's 35 mm equivalent, which is one of diagonals."""
    focal = read_exif(path).focal_35mm
    if focal is None:
        return None
    focal_px = focal / DIAGONAL_35MM * float(np.hypot(width, height))
    low, high = (share * max(width, height) for share in _FOCALS)
    return focal_px if low <= focal_px <= high else None


def face_of_table(path: Path, table: LandmarkTable) -> Detection | None:
    """Return the points that a table has under a photograph's name, with suffix or without."""
    return table.of("", path.name) or table.of("", path.stem)


def _listed_face(photograph: Photograph, table: LandmarkTable) -> Detection:
    face = face_of_table(photograph.path, table)
    if face is None:
        named = ", ".join(table.cameras[:5]) or "none"
        raise InputError(
            f"{photograph.path}: the table of landmarks has no rows of camera "
            f"{photograph.path.stem!r}; it names {named}"
        )
    return face.to(Scheme.IBUG68)


def rank_of(which: str) -> int:
    """Return which face is meant, 1 for the largest.

    Raises
    ------
    ConfigError
        Neither `largest` nor a number from 1.
    """
    if which == LARGEST:
        return 1
    if not which.isdecimal() or int(which) < 1:
        raise ConfigError(f"face {which!r}: give `{LARGEST}` or a number from 1")
    return int(which)


def _row_of(which: str, n: int, photograph: Photograph) -> int:
    rank = rank_of(which)
    if rank > n:
        raise InputError(
            f"{photograph.path}: face {rank} is asked for, but {n} "
            f"{'was' if n == 1 else 'were'} found"
        )
    return rank - 1


def _checked(
    photograph: Photograph, found: Detection, finder: str, remarks: tuple[str, ...]
) -> Face:
    """Refuse a face that nothing can be made of; tell what is odd about others."""
    _refuse_unknown(photograph, found.points)
    face = Face(
        landmarks=np.asarray(found.points, np.float64),
        confidence=np.where(np.isfinite(found.points).all(axis=1), found.confidence, 0.0),
        score=float(found.score),
        finder=finder,
        remarks=remarks,
    )
    if photograph.mask is not None:
        require_face(photograph.path, photograph.mask, face.landmarks)
    size = np.array([photograph.width, photograph.height])
    known = face.landmarks[np.isfinite(face.landmarks).all(axis=1)]
    outside = ((known < -0.5 * size) | (known > 1.5 * size)).any(axis=1)
    if outside.mean() > 0.5:
        raise InputError(
            f"{photograph.path}: its landmarks lie outside of its {size[0]} x {size[1]} px; "
            "are they of another photograph, or of one not turned upright?"
        )
    if face.eyes_px < _LEAST_EYES_PX:
        raise EstimationError(
            f"{photograph.path}: the face is too small, {face.eyes_px:.0f} px from eye to eye; "
            f"{_LEAST_EYES_PX:.0f} are the least, {_SMALL_EYES_PX:.0f} are good"
        )
    if face.eyes_px < _SMALL_EYES_PX:
        small = f"a small face, {face.eyes_px:.0f} px from eye to eye: it has no detail"
        face = replace(face, remarks=(*face.remarks, small))
    return face


def _refuse_unknown(photograph: Photograph, points: Floats) -> None:
    unknown = ~np.isfinite(points).all(axis=1)
    if not unknown.any():
        return
    needed = (MATRICES[Scheme.IBUG68, Scheme.FIVE] > 0).any(axis=0)
    absent = np.flatnonzero(unknown & needed)
    if len(absent) or (~unknown).sum() < _LEAST_KNOWN:
        row = int(absent[0] if len(absent) else np.flatnonzero(unknown)[0])
        raise InputError(
            f"{photograph.path}: {int(unknown.sum())} of its 68 landmarks are unknown, "
            f"{NAMES68[row]} among them; eyes' corners, tip of the nose and corners of the mouth "
            f"are needed, and {_LEAST_KNOWN} in all"
        )
