"""A small face in the head frame, of which model files of every kind are made."""

from dataclasses import dataclass

import numpy as np
import pytest

from facekit.core.facemodel.thinned import thinned_face

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
    face = thinned_face(CELL_MM)
    vertices = face.vertices
    spread = np.ptp(vertices[:, :2], axis=0)
    return SmallFace(
        vertices=vertices,
        faces=face.faces,
        landmarks=face.landmarks,
        uv=0.05 + 0.9 * (vertices[:, :2] - vertices[:, :2].min(0)) / spread,
    )
