"""A small face in the head frame, of which model files of every kind are made."""

from dataclasses import dataclass

import numpy as np
import pytest

from facekit.core.facemodel.procedural import procedural_head

CELL_MM = 4.0  # vertices nearer to each other become one: files stay small


@dataclass(frozen=True, kw_only=True)
class SmallFace:
    """The built-in head's face: one piece, with all landmarks."""

    vertices: np.ndarray
    faces: np.ndarray
    landmarks: np.ndarray
    uv: np.ndarray
    """(V, 2): seen from the front."""


@pytest.fixture(scope="session")
def small_face() -> SmallFace:
    head = procedural_head()
    face = head.regions["face"].copy()
    face[head.landmarks68] = True
    kept = face[head.faces].any(axis=1) & head.regions["skin"][head.faces].all(axis=1)
    cells = np.round(head.mean / CELL_MM).astype(int)
    _, first, cell = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    cell = cell.ravel()
    faces = cell[head.faces[kept]]
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2])
    faces = faces[whole & (faces[:, 2] != faces[:, 0])]
    used = np.unique(faces)
    new = np.full(len(first), -1)
    new[used] = np.arange(len(used))
    vertices = head.mean[first[used]]
    spread = np.ptp(vertices[:, :2], axis=0)
    return SmallFace(
        vertices=vertices,
        faces=new[faces].astype(np.int32),
        landmarks=new[cell[head.landmarks68]].astype(np.int32),
        uv=0.05 + 0.9 * (vertices[:, :2] - vertices[:, :2].min(0)) / spread,
    )
