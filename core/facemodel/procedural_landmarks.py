"""The 68 landmarks of the built-in head, in the Multi-PIE (iBUG) order."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from ..arrays import Floats, Ints
from .procedural_grid import EYE_RINGS, EYE_ROWS, MOUTH_RINGS, HalfGrid
from .procedural_surface import VERMILION_RING

# where they are sought on the left half, mm: from beside the ear along the jaw to the chin
_JAW = [(70, 31, 16), (69, 13, 15), (66, -8, 16), (62, -28, 17), (55, -46, 24), (44, -59, 38),
        (31, -69, 53), (15, -76.5, 66), (0, -79.5, 70)]  # fmt: skip
_BROW = [(11, 51.5, 82), (20, 55, 80), (30, 57, 76), (39, 56, 69), (47.5, 51, 59)]
_BRIDGE = [(0, 38, 82), (0, 27, 87), (0, 16, 95), (0, 5, 104)]
_BASE = [(0, -11.5, 92), (6.5, -11, 90), (14, -8.5, 86)]


def landmark_vertices(half: HalfGrid, points: Floats, *, mirror: Ints) -> Ints:
    """Return the (68,) vertices.

    Parameters
    ----------
    half : HalfGrid
    points : (n, 3) float64, mm
        The left half.
    mirror : (V,) int32
        The partner of each vertex of the whole head, of which the left half comes first.
    """
    skin = np.unique(
        np.concatenate([half.grid[half.grid >= 0], half.mouth[:VERMILION_RING].ravel()])
    )
    tree = cKDTree(points[skin])
    middle = half.midline
    middle_tree = cKDTree(points[middle])

    def nearest(targets: ArrayLike) -> Ints:
        at = np.asarray(targets, dtype=np.float64)
        found = skin[tree.query(at)[1]]
        return np.where(at[:, 0] == 0, middle[middle_tree.query(at)[1]], found).astype(np.int32)

    jaw, brow, bridge, base = (nearest(t) for t in (_JAW, _BROW, _BRIDGE, _BASE))
    eye = _eye_six(half)
    outer, inner = _lips(half)
    right_eye = mirror[eye[[3, 2, 1, 0, 5, 4]]]
    return np.concatenate([
        mirror[jaw[:-1]], jaw[::-1],  # 0-16
        mirror[brow[::-1]], brow,  # 17-26
        bridge,  # 27-30
        mirror[base[:0:-1]], base,  # 31-35
        right_eye, eye,  # 36-47
        mirror[outer[[0, 1, 2]]], outer[[3, 2, 1, 0, 5, 4, 6]], mirror[outer[[4, 5]]],  # 48-59
        mirror[inner[[0, 1]]], inner[[2, 1, 0, 3, 4]], mirror[inner[3:4]],  # 60-67
    ]).astype(np.int32)  # fmt: skip


def _eye_six(half: HalfGrid) -> Ints:
    """Inner corner, two above, outer corner, two below (outer first)."""
    ring = half.eye[EYE_RINGS]
    n = len(ring)
    inner, outer = (EYE_ROWS[1] - EYE_ROWS[0]) // 2, (EYE_ROWS[1] - EYE_ROWS[0]) // 2 + n // 2
    third = n // 6
    at = [inner, inner - third - 1, outer + third + 1, outer, outer - third, inner + third]
    return np.asarray(ring[np.array(at) % n])


def _lips(half: HalfGrid) -> tuple[Ints, Ints]:
    """Outer: corner, two above, middle above, two below (middle last). Inner likewise, fewer."""
    ring, line = half.mouth[VERMILION_RING], half.mouth[MOUTH_RINGS]
    n, corner = len(ring), len(ring) // 2
    outer = ring[[corner, corner + 11, n - 1 - 5, n - 1, 8, corner - 9, 0]]
    inner = line[[corner, n - 1 - 11, n - 1, 11, 0]]
    return outer, inner
