"""Is a face what it should be: its unit, axes, triangles? Asked of every model that is read."""

from pathlib import Path

import numpy as np

from ..arrays import Floats, Ints
from ..errors import ModelFileError

_OUTER_CORNERS_MM = (75.0, 105.0)  # means of published models lie at 86 to 92
_HEIGHT_MM = (100.0, 1000.0)  # from a face alone to a head with its shoulders
_MOST_FLAT = 0.5  # of the triangles
_MOST_TURNED = 0.8  # of the triangles: a head's own folds turn far fewer


def check_frame(landmarks: Floats, path: Path, *, field: str, unit_mm: float) -> None:
    """Refuse a mean face in another unit or other axes.

    Parameters
    ----------
    landmarks : (68, 3) float64, mm
        Of the mean face, taken to be in the head frame.
    field : str
        Of the file, for the message.
    unit_mm : float
        Millimetres in the file's unit.

    Raises
    ------
    ModelFileError
        The outer eye corners are too near or too far apart for a face in this unit, or eyes,
        nose and mouth lie otherwise than in the head frame.
    """
    width = float(np.linalg.norm(landmarks[45] - landmarks[36]))
    if not _OUTER_CORNERS_MM[0] < width < _OUTER_CORNERS_MM[1]:
        raise ModelFileError(
            f"{path}: {field}: outer eye corners {width / unit_mm:.3g} units apart, but in units "
            f"of {unit_mm:g} mm a face has about {89 / unit_mm:.3g}"
        )
    eyes, mouth = landmarks[36:48].mean(0), landmarks[48:68].mean(0)
    if not (landmarks[45, 0] > landmarks[36, 0] and eyes[1] > mouth[1]
            and landmarks[30, 2] > eyes[2]):  # fmt: skip
        raise ModelFileError(
            f"{path}: {field}: its axes are not +x to the subject's left, +y up, +z out of the face"
        )


def check_height(mean: Floats, path: Path, *, field: str, unit_mm: float) -> None:
    """Refuse a mesh that is no head by its size.

    Parameters
    ----------
    mean : (V, 3) float64, mm

    Raises
    ------
    ModelFileError
        It is lower or taller than heads are in this unit.
    """
    height = float(np.ptp(mean[:, 1])) if len(mean) else 0.0
    if not _HEIGHT_MM[0] < height < _HEIGHT_MM[1]:
        raise ModelFileError(
            f"{path}: {field}: {height / unit_mm:.3g} units tall, but in units of {unit_mm:g} mm "
            f"a head has about {280 / unit_mm:.3g}"
        )


def check_triangles(mean: Floats, faces: Ints, path: Path, *, field: str) -> None:
    """Refuse triangles that are none, or that show their back to who looks at the face.

    Parameters
    ----------
    mean : (V, 3) float64, mm
    faces : (F, 3)
        Of the skin: eyeballs and teeth have an outside of their own.

    Raises
    ------
    ModelFileError
        There is none, half of them name a vertex twice, or they are wound clockwise seen from
        outside.
    """
    a, b, c = faces.T if len(faces) else np.zeros((3, 0), np.int32)
    flat = (a == b) | (b == c) | (c == a)
    if len(faces) == 0 or flat.mean() > _MOST_FLAT:
        raise ModelFileError(
            f"{path}: {field}: {int(flat.sum())} of {len(faces)} triangles name a vertex twice"
        )
    normals = np.cross(mean[b] - mean[a], mean[c] - mean[a])[~flat]
    out = mean[a][~flat] - mean[faces].mean(axis=(0, 1))
    if ((normals * out).sum(axis=1) < 0).mean() > _MOST_TURNED:
        raise ModelFileError(
            f"{path}: {field}: triangles are wound clockwise seen from outside, or the vertices "
            "are mirrored; counter-clockwise belongs here"
        )
