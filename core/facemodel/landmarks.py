"""Landmarks of faces in photographs and on meshes: one form for what any detector finds.

Points of images are (x, y) px with the centre of the top-left pixel at (0.5, 0.5); detectors
that count from (0, 0) are converted where they are called. What the points are, their scheme
says (`landmark_schemes.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..arrays import AnyFloats, Floats, Ints
from ..errors import InputError, ModelFileError
from .landmark_schemes import MATRICES, MIRROR, N_POINTS, Scheme


@dataclass(frozen=True, kw_only=True)
class Detection:
    """A face in an image."""

    points: Floats
    """(N, 2) px; NaN where not told."""
    scheme: Scheme
    score: float
    """In [0, 1]: how sure the detector is that this is a face."""
    box: Floats
    """(4,) px: x, y of its top-left corner, width, height."""
    confidence: Floats
    """(N,) in [0, 1], how well each point is determined; 0 where not told."""
    sigma_px: Floats
    """(N,) px: how far each point moved when the image was looked at otherwise; 0 if unknown."""
    slides: bool = False
    """True: the jaw is the face's visible outline, other points of the skin from each view."""

    def to(self, scheme: Scheme) -> "Detection":
        """Return the same face in another scheme; InputError where that does not follow."""
        if scheme is self.scheme:
            return self
        weights = _matrix(self.scheme, scheme)
        return replace(
            self,
            points=convert(self.points, self.scheme, scheme),
            scheme=scheme,
            confidence=weights @ self.confidence,
            sigma_px=weights @ self.sigma_px,
        )

    @property
    def size_px(self) -> float:
        """Side of a square as large as the box."""
        return float(np.sqrt(self.box[2] * self.box[3]))


class Detector(Protocol):
    """Anything that finds faces in photographs."""

    @property
    def name(self) -> str:
        """What found the points, for records."""
        ...

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Return the faces of an upright image (height, width, 3) RGB, the largest first."""
        ...


def convert(points: AnyFloats, source: Scheme, target: Scheme) -> Floats:
    """Return points of another scheme, means of the given ones.

    Parameters
    ----------
    points : (N, k)
        N as `source` has it; NaN rows make the points that need them NaN.

    Raises
    ------
    InputError
        The number of points is not the scheme's, or `target` does not follow from `source`.
    """
    if points.ndim != 2 or len(points) != N_POINTS[source]:
        raise InputError(f"{source} has {N_POINTS[source]} points, not an array {points.shape}")
    if source is target:
        return np.asarray(points, dtype=np.float64)
    weights = _matrix(source, target)
    unknown = np.asarray(~np.isfinite(points).all(axis=1))
    made = np.asarray(weights @ np.where(unknown[:, None], 0.0, points), dtype=np.float64)
    made[weights @ unknown > 0] = np.nan
    return made


def mirrored(points: AnyFloats, scheme: Scheme, *, width: float) -> Floats:
    """Return the points of the image turned left to right, numbered as ever.

    Raises
    ------
    InputError
        The scheme has no table of left and right.
    """
    if scheme not in MIRROR:
        raise InputError(f"{scheme}: which of its points are left and right is not known")
    turned = np.array(points, dtype=np.float64)
    turned[:, 0] = width - turned[:, 0]
    return turned[MIRROR[scheme]]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the points of a scheme lie on a mesh."""

    scheme: Scheme
    faces: Ints
    """(N,) triangles."""
    barycentric: Floats
    """(N, 3) weights of their corners, sum one."""

    def on(self, vertices: Floats, triangles: Ints) -> Floats:
        """Return the points (N, 3) on these vertices (V, 3) and triangles (F, 3)."""
        corners = vertices[triangles[self.faces]]
        return np.asarray((corners * self.barycentric[:, :, None]).sum(axis=1))


def load_placement(path: Path, scheme: Scheme, *, n_faces: int) -> Placement:
    """Read where a scheme's points lie on a topology of `n_faces` triangles.

    The file is text, a row a point: triangle (counted from 0) and its three weights, separated
    by commas or spaces; lines that begin with `#` are left out.

    Raises
    ------
    ModelFileError
        It is absent, has other rows than the scheme has points, or names what does not exist.
    """
    rows = _rows(path)
    n = N_POINTS[scheme]
    if rows.shape != (n, 4):
        raise ModelFileError(
            f"{path}: {rows.shape[0]} rows of {rows.shape[1]} numbers; {scheme} needs {n} of 4, "
            "triangle and three weights"
        )
    faces, weights = rows[:, 0].astype(np.int32), rows[:, 1:]
    if (faces != rows[:, 0]).any() or faces.min() < 0 or faces.max() >= n_faces:
        raise ModelFileError(
            f"{path}: triangles {rows[:, 0].min():g} to {rows[:, 0].max():g}, but whole numbers "
            f"from 0 to {n_faces - 1} are expected; is it for another topology?"
        )
    if weights.min() < -1e-3 or np.abs(weights.sum(axis=1) - 1).max() > 1e-3:
        row = int(np.abs(weights.sum(axis=1) - 1).argmax())
        raise ModelFileError(f"{path}: row {row}: weights are not all positive with sum one")
    return Placement(
        scheme=scheme, faces=faces, barycentric=weights / weights.sum(axis=1, keepdims=True)
    )


def largest(detections: Sequence[Detection]) -> Detection | None:
    """Return the face with the largest box, None of none."""
    return max(detections, key=lambda face: face.size_px, default=None)


def box_of(points: AnyFloats) -> Floats:
    """Return (4,) x, y, width, height of the known ones among points (N, 2)."""
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    return np.concatenate([low, high - low]).astype(np.float64)


def _matrix(source: Scheme, target: Scheme) -> Floats:
    try:
        return MATRICES[source, target]
    except KeyError:
        raise InputError(f"{target} landmarks do not follow from {source} landmarks") from None


def _rows(path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file")
    lines = []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                lines.append([float(word) for word in line.replace(",", " ").split()])
        return np.array(lines, dtype=np.float64).reshape(len(lines), -1)
    except (OSError, ValueError) as error:
        raise ModelFileError(
            f"{path}: not rows of four numbers ({error}); is it the file of the placements?"
        ) from error
