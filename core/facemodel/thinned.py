"""The built-in head's face in few vertices: what small model files are made of."""

from typing import NamedTuple

import numpy as np

from ..arrays import Floats, Ints
from .procedural import procedural_head


class ThinnedFace(NamedTuple):
    """The face, one piece, with all landmarks; head frame, mm."""

    vertices: Floats
    """(V, 3)."""
    faces: Ints
    """(F, 3) int32."""
    landmarks: Ints
    """(68,) int32 vertices."""


def thinned_face(cell_mm: float) -> ThinnedFace:
    """Return the built-in head's face; of the vertices in a cube of `cell_mm` one is left."""
    head = procedural_head()
    face = head.regions["face"].copy()
    face[head.landmarks68] = True
    kept = face[head.faces].any(axis=1) & head.regions["skin"][head.faces].all(axis=1)
    cells = np.round(head.mean / cell_mm).astype(int)
    _, first, cell = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    cell = cell.ravel()
    faces = cell[head.faces[kept]]
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2])
    faces = faces[whole & (faces[:, 2] != faces[:, 0])]
    used = np.unique(faces)
    new = np.full(len(first), -1)
    new[used] = np.arange(len(used))
    return ThinnedFace(
        vertices=head.mean[first[used]],
        faces=new[faces].astype(np.int32),
        landmarks=new[cell[head.landmarks68]].astype(np.int32),
    )
