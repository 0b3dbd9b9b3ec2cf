"""Is a face in the unit and axes it should be in? Asked of every face model that is read."""

from pathlib import Path

import numpy as np

from ..arrays import Floats
from ..errors import ModelFileError

_OUTER_CORNERS_MM = (75.0, 105.0)  # means of published models lie at 86 to 92


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
