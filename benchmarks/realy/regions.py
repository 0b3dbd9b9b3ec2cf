"""The four regions of REALY: their keypoints, and the clean-up of their scan meshes.

Keypoints are 85 rows: the 68 of the iBUG scheme and 17 more of the authors' choice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ...core.arrays import AnyFloats, Floats, Ints

REGIONS = ("nose", "mouth", "forehead", "cheek")
"""In the order of the official result file."""

N_KEYPOINTS = 85

SEVEN = (36, 39, 42, 45, 33, 48, 54)
"""Corners of the eyes, foot of the nose, corners of the mouth: for the first alignment."""

_EYES = tuple(range(36, 48))
_MOUTH = (*range(48, 61), 64)
_CHIN_AND_EYELIDS = (76, 77, 36, 41, 40, 39, 42, 47, 46, 45, 7, 8, 9)

RIGID: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "nose": (27, 28, 29, 30, 31, 35, 32, 33, 34, 70, 71),
        "mouth": _MOUTH,
        "forehead": (*_EYES, *range(17, 27)),
        "cheek": (*_MOUTH, *_CHIN_AND_EYELIDS),
    }
)
"""Keypoints that hold a region's rigid alignment."""

NONRIGID: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "nose": tuple(range(27, 36)),
        "mouth": RIGID["mouth"],
        "forehead": RIGID["forehead"],
        "cheek": (),
    }
)
"""Keypoints that guide a region's non-rigid registration; the cheek has none."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """One region of a scan, in REALY's unit (about a centimetre)."""

    vertices: AnyFloats
    """(N, 3) float32, as the file has them."""
    faces: Ints
    """(F, 3)."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What a subject's prediction is held against."""

    keypoints: AnyFloats
    """(85, 3) float32."""
    regions: Mapping[str, Region]
    """`REGIONS` -> its part of the scan."""
    mm_per_unit: float
    """The subject's metrical scale."""


@dataclass(frozen=True, kw_only=True)
class KeypointTable:
    """Where the keypoints lie on a template: a triangle and its weights for each."""

    corners: Ints
    """(85, 3) vertices of the triangles."""
    weights: Floats
    """(85, 2) of the first two corners; the third has what is left of 1."""

    def on(self, vertices: AnyFloats) -> Floats:
        """Return the (85, 3) keypoints of a mesh in the template's vertex order."""
        first, second = self.weights[:, 0], self.weights[:, 1]
        weights = np.stack([first, second, 1.0 - first - second], axis=1)
        return np.asarray(np.sum(vertices[self.corners] * weights[:, :, None], axis=1))


@dataclass(frozen=True, kw_only=True)
class Merged:
    """A region without repeated vertices, as the non-rigid registration takes it."""

    vertices: Floats
    """(N, 3) float64."""
    faces: Ints
    """(F, 3)."""
    place: NDArray[np.int64]
    """(M,) row of `vertices` for each of the file's vertices that a face uses."""


_MERGE_DIGITS = 8


def merged(region: Region) -> Merged:
    """Return the region with equal vertices merged and unused ones dropped.

    The official code hands the region to trimesh with `process=True`, which does this before the
    non-rigid registration (the rigid one uses the vertices as they come): a vertex that the file
    repeats counts once in the error. Rounding and order (of first appearance) are trimesh's.
    """
    vertices = np.asarray(region.vertices, dtype=np.float64)
    used = np.zeros(len(vertices), bool)
    used[region.faces] = True
    kept = np.flatnonzero(used)
    first, place = _equal_rows(vertices[kept])
    new = np.full(len(vertices), -1, np.int64)
    new[kept] = place
    faces = new[region.faces].astype(np.int32)
    return Merged(vertices=vertices[kept[first]], faces=faces, place=place)


def _equal_rows(rows: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first row of each group of equal rows, ascending, and each row's group."""
    whole = np.round(rows * 10.0**_MERGE_DIGITS).astype(np.int64)
    keys = np.ascontiguousarray(whole).view([("row", np.void, whole.dtype.itemsize * 3)])
    _, first, group = np.unique(keys.reshape(-1), return_index=True, return_inverse=True)
    ascending = np.argsort(first)
    place = np.empty(len(first), np.int64)
    place[ascending] = np.arange(len(first))
    return first[ascending], place[group.reshape(-1)]


def edges_of(faces: Ints) -> NDArray[np.int64]:
    """Return the (E, 2) edges of a mesh, each once, without those from a vertex to itself."""
    ends = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).astype(np.int64), axis=1)
    ends = ends[ends[:, 0] < ends[:, 1]]
    n = int(faces.max()) + 1 if faces.size else 0
    keys = np.unique(ends[:, 0] * n + ends[:, 1])
    return np.stack([keys // n, keys % n], axis=1) if n else np.zeros((0, 2), np.int64)
