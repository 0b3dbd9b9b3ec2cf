"""Landmark schemes as data: names, how one scheme follows from another, left and right.

"Left" and "right" are the subject's. The tables of 468 points are of MediaPipe's face mesh.
"""

from collections.abc import Mapping
from enum import StrEnum

import numpy as np

from ..arrays import Floats, Ints


class Scheme(StrEnum):
    """A numbered set of points of the face."""

    IBUG68 = "ibug68"
    """Multi-PIE's 68, as iBUG and BFM count them: 0-16 jaw from the subject's right."""
    MEDIAPIPE468 = "mediapipe468"
    """The vertices of MediaPipe's face mesh, without irises."""
    FIVE = "five"
    """Right eye, left eye, tip of the nose, right and left corner of the mouth."""
    REALY85 = "realy85"
    """The keypoints of the REALY benchmark; where they lie on a topology, the user says."""


N_POINTS: Mapping[Scheme, int] = {
    Scheme.IBUG68: 68,
    Scheme.MEDIAPIPE468: 468,
    Scheme.FIVE: 5,
    Scheme.REALY85: 85,
}
"""Points of each scheme."""

GROUPS68: Mapping[str, range] = {
    "jaw": range(17),
    "right_brow": range(17, 22),
    "left_brow": range(22, 27),
    "nose_bridge": range(27, 31),
    "nose_base": range(31, 36),
    "right_eye": range(36, 42),
    "left_eye": range(42, 48),
    "outer_lips": range(48, 60),
    "inner_lips": range(60, 68),
}
"""Rows of the 68 by part of the face."""

NAMES68: tuple[str, ...] = tuple(
    f"{group}_{i}" for group, rows in GROUPS68.items() for i in range(len(rows))
)
"""`jaw_0` (beside the subject's right ear) ... `jaw_8` (chin) ... `inner_lips_7`."""

FIVE_OF_68: tuple[tuple[int, ...], ...] = ((36, 39), (42, 45), (30,), (48,), (54,))
"""Rows of the 68 whose mean each of the five is.

Source
------
Deep3DFaceRecon_pytorch (sicxu), `util/preprocess.py`: 1-based 37, 40; 43, 46; 31; 49; 55.
"""

_HALF: tuple[tuple[int, tuple[tuple[int, float], ...]], ...] = (
    # jaw: along the mesh's outline from beside the eye (127) to the chin (152)
    (0, ((127, 1.0),)),
    (1, ((234, 0.57), (93, 0.43))),
    (2, ((93, 0.13), (132, 0.87))),
    (3, ((58, 0.90), (172, 0.10))),
    (4, ((172, 0.68), (136, 0.32))),
    (5, ((136, 0.56), (150, 0.44))),
    (6, ((150, 0.15), (149, 0.85))),
    (7, ((176, 0.42), (148, 0.58))),
    (8, ((152, 1.0),)),
    # brow, between its upper and lower edge
    (17, ((70, 0.5), (46, 0.5))),
    (18, ((63, 0.5), (53, 0.5))),
    (19, ((105, 0.4), (52, 0.4), (66, 0.1), (65, 0.1))),
    (20, ((66, 0.4), (65, 0.4), (107, 0.1), (55, 0.1))),
    (21, ((107, 0.5), (55, 0.5))),
    # ridge of the nose in thirds from between the eyes to its tip; its base
    (27, ((168, 1.0),)),
    (28, ((6, 0.40), (197, 0.60))),
    (29, ((195, 0.74), (5, 0.26))),
    (30, ((4, 1.0),)),
    (31, ((98, 0.75), (97, 0.25))),
    (32, ((97, 1.0),)),
    (33, ((2, 1.0),)),
    # eye: outer corner, two above, inner corner, two below
    (36, ((33, 1.0),)),
    (37, ((160, 1.0),)),
    (38, ((158, 1.0),)),
    (39, ((133, 1.0),)),
    (40, ((153, 1.0),)),
    (41, ((144, 1.0),)),
    # lips
    (48, ((61, 1.0),)),
    (49, ((40, 0.30), (39, 0.70))),
    (50, ((37, 1.0),)),
    (51, ((0, 1.0),)),
    (57, ((17, 1.0),)),
    (58, ((181, 0.35), (84, 0.65))),
    (59, ((91, 0.60), (181, 0.40))),
    (60, ((78, 1.0),)),
    (61, ((81, 1.0),)),
    (62, ((13, 1.0),)),
    (66, ((14, 1.0),)),
    (67, ((178, 1.0),)),
)
"""Right half and midline of the 68 as means of MediaPipe's vertices (weights add up to one).

Lengths along jaw, lips and brow are as on morphable heads that carry the 68; those of the mesh
were measured on its canonical face.
"""

MIDLINE468: tuple[int, ...] = (
    0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 94, 151, 152, 164, 168, 175,
    195, 197, 199, 200,
)  # fmt: skip
"""Vertices of MediaPipe's mesh in the plane of symmetry."""

_FIRST_LEFT468 = 248
"""Below: midline and right half; from here on the left half, in the order of the right."""


def _mirror68() -> Ints:
    pairs = [
        *((i, 16 - i) for i in range(17)),
        *((i, 43 - i) for i in range(17, 27)),
        *((i, 66 - i) for i in range(31, 36)),
        (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46),
        *((i, 102 - i) for i in range(48, 55)), (55, 59), (56, 58),
        *((i, 124 - i) for i in range(60, 65)), (65, 67),
    ]  # fmt: skip
    mirror = np.arange(68, dtype=np.int32)
    for a, b in pairs:
        mirror[a], mirror[b] = b, a
    return mirror


def _mirror468() -> Ints:
    mirror = np.arange(468, dtype=np.int32)
    right = np.setdiff1d(np.arange(_FIRST_LEFT468), MIDLINE468)
    left = np.arange(_FIRST_LEFT468, 468)
    mirror[right], mirror[left] = left, right
    return mirror


MIRROR: Mapping[Scheme, Ints] = {
    Scheme.IBUG68: _mirror68(),
    Scheme.MEDIAPIPE468: _mirror468(),
    Scheme.FIVE: np.array([1, 0, 2, 4, 3], np.int32),
}
"""Scheme -> (N,) the point of the other side; a point of the midline is its own."""


def _matrix_from_468() -> Floats:
    """Return (68, 468) weights that make the 68 of MediaPipe's points."""
    weights = np.zeros((68, 468))
    mirror68, mirror468 = MIRROR[Scheme.IBUG68], MIRROR[Scheme.MEDIAPIPE468]
    for row, parts in _HALF:
        for vertex, weight in parts:
            weights[row, vertex] = weight
            weights[mirror68[row], mirror468[vertex]] = weight
    return weights


def _matrix_from_68() -> Floats:
    """Return (5, 68) weights that make the five of the 68."""
    weights = np.zeros((5, 68))
    for row, parts in enumerate(FIVE_OF_68):
        weights[row, list(parts)] = 1 / len(parts)
    return weights


MATRICES: Mapping[tuple[Scheme, Scheme], Floats] = {
    (Scheme.MEDIAPIPE468, Scheme.IBUG68): _matrix_from_468(),
    (Scheme.IBUG68, Scheme.FIVE): _matrix_from_68(),
    (Scheme.MEDIAPIPE468, Scheme.FIVE): _matrix_from_68() @ _matrix_from_468(),
}
"""(from, to) -> (n_to, n_from) weights, each row of sum one."""
