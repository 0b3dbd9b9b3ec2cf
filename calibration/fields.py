"""Strict reading of foreign rigs: each value is checked, each complaint names file and field."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core.arrays import Floats
from ..core.errors import InputError, SchemaError
from ..core.geometry.camera import Camera, Rig

ROTATION_TOLERANCE = 1e-3  # files of few digits; beyond it the matrix is something else
LARGEST = 1e100  # products of what is read cannot overflow
ROTATION_EXACT = 1e-7  # up to here a rotation is taken as it stands


@dataclass(frozen=True, kw_only=True)
class Lens:
    """What cameras of one lens share, in formats that keep it apart from the poses."""

    width: int
    height: int
    K: Floats
    """(3, 3), px."""
    distortion: Floats
    """(5,): k1, k2, p1, p2, k3."""


def number(value: Any, where: str) -> float:
    """Return a number, no text, as a float of possible size.

    Raises
    ------
    SchemaError
        It is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise SchemaError(f"{where}: a number expected, got {_short(value)}")
    if not -LARGEST < value < LARGEST:  # false for NaN
        raise SchemaError(f"{where}: a finite number of possible size expected")
    return float(value)


def parse(text: str | None, where: str) -> float:
    """Return the number that a text says; SchemaError where it says none."""
    try:
        value = float("" if text is None or "_" in text else text)  # 1_000 is Python's alone
    except (TypeError, ValueError):
        raise SchemaError(f"{where}: a number expected, got {_short(text)}") from None
    return number(value, where)


def size(value: Any, where: str) -> int:
    """Return an image's width or height: a positive whole number below 2**31."""
    result = parse(value, where) if isinstance(value, str) else number(value, where)
    if result != int(result) or not 0 < result < 2**31:
        raise SchemaError(f"{where}: a positive whole number expected, got {_short(value)}")
    return int(result)


def numbers(value: Any, shape: Sequence[int], where: str) -> Floats:
    """Return nested lists of numbers as a float64 array of this shape, all finite."""
    expected = "x".join(map(str, shape))
    try:
        result = np.array(value, dtype=np.float64)
        plain = np.array(value).dtype.kind in "iuf"  # no texts, no true and false
    except (TypeError, ValueError, OverflowError):
        plain = False
    if not plain:
        raise SchemaError(f"{where}: {expected} numbers expected")
    if result.shape != tuple(shape) or not is_possible(result):
        raise SchemaError(f"{where}: {expected} finite numbers expected")
    return result


def is_possible(values: Floats) -> bool:
    """Whether all values are finite and small enough to reckon with."""
    return bool((np.abs(values) < LARGEST).all())


def words(text: str | None, shape: Sequence[int], where: str) -> Floats:
    """Return numbers parted by white space as an array of this shape."""
    fields = (text or "").split()
    if len(fields) != int(np.prod(shape)):
        raise SchemaError(f"{where}: {int(np.prod(shape))} numbers expected, found {len(fields)}")
    return np.array([parse(field, where) for field in fields]).reshape(shape)


def rotation(value: Floats, where: str) -> Floats:
    """Return the rotation nearest to a (3, 3) matrix that is one but for rounding."""
    error = float(np.abs(value @ value.T - np.eye(3)).max())
    if error > ROTATION_TOLERANCE or np.linalg.det(value) < 0:
        raise SchemaError(f"{where}: no rotation (its rows are not orthonormal and right-handed)")
    if error <= ROTATION_EXACT:
        return value
    u, _, vt = np.linalg.svd(value)
    return np.asarray(u @ vt, dtype=np.float64)


def last_row(value: Floats, where: str) -> Floats:
    """Return the upper three rows of a (4, 4) rigid motion, its last row checked."""
    if value[3].tolist() != [0, 0, 0, 1]:
        raise SchemaError(f"{where}: the last row must be 0 0 0 1")
    return value[:3]


def camera_matrix(
    fx: float, fy: float, cx: float, cy: float, *, skew: float = 0.0, where: str
) -> Floats:
    """Return K (3, 3), px; focal lengths must be positive."""
    if not (fx > 0 and fy > 0):
        raise SchemaError(f"{where}: the focal length is not positive")
    return np.array([[fx, skew, cx], [0, fy, cy], [0, 0, 1]])


def check_camera_matrix(K: Floats, where: str) -> None:
    """Raise SchemaError unless a (3, 3) matrix is upper triangular with positive focal lengths."""
    if K[0, 0] <= 0 or K[1, 1] <= 0 or K[1, 0] != 0 or K[2].tolist() != [0, 0, 1]:
        raise SchemaError(f"{where}: no camera matrix (fx, s, cx; 0, fy, cy; 0, 0, 1)")


def from_center(R: Floats, center: Floats) -> Floats:
    """Return `cam_from_world` (3, 4) of a camera at `center` with world-to-camera rotation R."""
    return np.column_stack([R, -R @ center])


def rig_of(cameras: Sequence[Camera], *, unit_mm: float | None, where: str) -> Rig:
    """Join cameras of a file into a rig in millimetres.

    Parameters
    ----------
    unit_mm : float, optional
        Size of the file's unit in mm; None: unknown, the rig is not metric.

    Raises
    ------
    SchemaError
        No camera, or two of one name.
    """
    if not cameras:
        raise SchemaError(f"{where}: no camera with a pose in it")
    names = [camera.name for camera in cameras]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SchemaError(f"{where}: camera {twice!r} is there {names.count(twice)} times")
    if "" in names:
        raise SchemaError(f"{where}: a camera without a name")
    if unit_mm is None:
        return Rig(cameras=tuple(cameras), metric=False)
    if not (np.isfinite(unit_mm) and unit_mm > 0):
        raise InputError(f"{where}: unit_mm: a positive number of millimetres expected")
    factors = np.array([1.0, 1.0, 1.0, unit_mm])
    return Rig(
        cameras=tuple(replace(c, cam_from_world=c.cam_from_world * factors) for c in cameras)
    )


def stated_unit(value: Any, where: str) -> float | None:
    """Return the `unit_mm` field that facekit adds to foreign files; None where it is absent."""
    if value is None:
        return None
    unit = number(value, where)
    if unit <= 0:
        raise SchemaError(f"{where}: a positive number expected, got {_short(value)}")
    return unit


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
