"""The face of a scan: a sphere about a point above the nose's bottom, by seven landmarks.

NoW and the FG2018 challenge (ESRC) share it but for the factor of the radius.
"""

from dataclasses import dataclass

import numpy as np

from ...core.arrays import AnyFloats, Bools, Floats, Ints
from ...core.errors import EstimationError

N_LANDMARKS = 7
LANDMARK_NAMES = (
    "right eye, outer corner", "right eye, inner corner", "left eye, inner corner",
    "left eye, outer corner", "nose bottom", "right mouth corner", "left mouth corner",
)  # fmt: skip
_RISE = 0.3  # of the way from the nose's bottom to its bridge: the sphere's centre


@dataclass(frozen=True, kw_only=True)
class Sphere:
    """Where a scan is scored."""

    centre: AnyFloats
    """(3,)."""
    radius: float

    def holds(self, points: AnyFloats) -> Bools:
        """Tell (N,) which points lie inside or on it."""
        offset = points - self.centre
        inside: Bools = np.sqrt((offset**2).sum(axis=1)) <= self.radius
        return inside


def face_sphere(landmarks: AnyFloats, *, factor: float) -> Sphere:
    """Return the sphere of seven scan landmarks (7, 3), in the order of `LANDMARK_NAMES`.

    Computed in the type of the landmarks (float32 in the official readers).

    Source
    ------
    Feng et al., Evaluation of dense 3D reconstruction from 2D face images in the wild, FG 2018:
    radius 1.2 (outer eye distance + nose length) / 2; NoW's code has 1.4.
    """
    bridge = (landmarks[1] + landmarks[2]) / 2
    bottom = landmarks[4]
    eyes = np.linalg.norm(landmarks[0] - landmarks[3])
    nose = np.linalg.norm(bridge - bottom)
    return Sphere(
        centre=bottom + _RISE * (bridge - bottom),
        radius=factor * float(eyes + nose) / 2,  # the sum in float32, then not: as NumPy 1 does
    )


def crop_scan(vertices: Floats, landmarks: AnyFloats, *, factor: float) -> tuple[Sphere, Bools]:
    """Return the sphere of a scan's landmarks and which of its vertices (V, 3) lie in it.

    Raises
    ------
    EstimationError
        None does.
    """
    sphere = face_sphere(landmarks, factor=factor)
    inside = sphere.holds(vertices)
    if not inside.any():
        raise EstimationError(
            f"no scan vertex within {sphere.radius:.4g} mm of the landmarks' centre: scan and scan "
            "landmarks are of different scans or units"
        )
    return sphere, inside


def cropped_faces(faces: Ints, kept: Bools) -> Ints:
    """Return the (F, 3) faces whose corners are all kept, numbered as the kept vertices are."""
    number = np.cumsum(kept, dtype=np.int32) - 1
    inside: Ints = number[faces[kept[faces].all(axis=1)]].astype(np.int32)
    return inside
