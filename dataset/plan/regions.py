"""The parts of a face that a plan tells of, by vertex of a face model; what nobody sees left out.

Every vertex belongs to one part at most. The inside of the mouth, the backs of the eyeballs and
the scalp belong to none; neither does what no direction looks into, such as nostrils.
"""

from enum import StrEnum

import numpy as np

from ...core.arrays import Bools, Floats, Ints
from ...core.facemodel.model import FaceModel
from ...core.facemodel.regions import azimuth_deg
from ...core.geometry.closest import SurfaceQuery
from ...core.geometry.mesh import vertex_normals

_SIDE_AZIMUTH_DEG = 42.0  # farther round, the face is its side: temple, jaw, before the ear
_N_DIRECTIONS = 96
_USABLE_COSINE = 0.42  # a camera that looks on at up to 65 degrees
_LIFT_MM = 0.3  # off the surface, so that it does not hide itself


class Region(StrEnum):
    """A part of the face."""

    FOREHEAD = "forehead"
    EYES = "eyes"
    NOSE = "nose"
    CHEEKS = "cheeks"
    MOUTH = "mouth"
    CHIN = "chin"
    SIDES = "sides"
    """Temple, jaw, and the cheek before the ear."""
    EARS = "ears"
    NECK = "neck"


REGIONS = tuple(Region)
FACE = (Region.FOREHEAD, Region.EYES, Region.NOSE, Region.CHEEKS, Region.MOUTH, Region.CHIN)
"""What a face scan cannot do without."""
NOWHERE = -1


def region_of_vertices(model: FaceModel) -> Ints:
    """Return (V,) the number in `REGIONS` that each vertex belongs to; -1 for none.

    `eyes` are lids and brows: the eyeballs themselves shine, and stereo does not measure them.
    """
    landmarks = model.mean[model.landmarks68]
    skin, regions = model.regions["skin"], model.regions
    face = regions["face"] & skin
    y = model.mean[:, 1]
    side = azimuth_deg(model.mean, landmarks) > _SIDE_AZIMUTH_DEG
    below_nose, mouth_y = landmarks[33, 1], landmarks[[48, 54], 1].mean()
    owner = np.full(len(model.mean), NOWHERE, np.int32)

    def give(region: Region, where: Bools) -> None:
        owner[where & (owner == NOWHERE)] = REGIONS.index(region)

    give(Region.EARS, regions["ears"])
    give(Region.NECK, regions["neck"] & skin)
    give(Region.EYES, (regions["eyelids"] | regions["brows"]) & skin)
    give(Region.NOSE, regions["nose"] & skin)
    give(Region.MOUTH, regions["lips"] & skin)
    give(Region.SIDES, face & side)
    give(Region.FOREHEAD, regions["forehead"] & face)
    give(Region.CHIN, face & (y < mouth_y - 0.35 * (mouth_y - landmarks[8, 1])))
    near_mouth = np.abs(model.mean[:, 0]) < np.abs(landmarks[[48, 54], 0]).mean()
    give(Region.MOUTH, face & near_mouth & (y < below_nose))
    brow_y = landmarks[17:27, 1].mean()
    give(Region.FOREHEAD, face & (y > brow_y))
    give(Region.CHEEKS, face)
    return owner


def exposed(vertices: Floats, faces: Ints) -> Bools:
    """Return (V,) what a camera somewhere in front, beside, above or below could look onto."""
    query = SurfaceQuery(vertices, faces)
    normals = vertex_normals(vertices, faces)
    start = vertices + _LIFT_MM * normals
    seen = np.zeros(len(vertices), bool)
    for direction in _directions():
        rows = np.flatnonzero(~seen & (normals @ direction > _USABLE_COSINE))
        if len(rows):
            seen[rows] = ~query.occluded(start[rows], np.broadcast_to(direction, (len(rows), 3)))
    return seen


def _directions() -> Floats:
    """Return (n, 3) unit vectors all round, evenly spread by the golden angle."""
    i = np.arange(_N_DIRECTIONS) + 0.5
    z = 1 - 2 * i / _N_DIRECTIONS
    angle = np.pi * (1 + np.sqrt(5)) * i
    ring = np.sqrt(1 - z * z)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)
