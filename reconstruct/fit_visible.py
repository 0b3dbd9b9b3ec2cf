"""Which place of the model each pixel of a crop shows."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..core.arrays import AnyFloats, Bools, Floats
from ..core.geometry.closest import SurfaceQuery
from .fit_camera import CropCamera, RigidPose
from .fit_model import FitModel

_EDGE_PX = 2  # pixels so near to the face's edge show something else, too
_STEEP = 0.25  # cosine to the ray below which a pixel says little


@dataclass(frozen=True, kw_only=True)
class Visible:
    """The pixels that show the face region, and the geometry they were found with."""

    rows: NDArray[np.intp]
    cols: NDArray[np.intp]
    faces: NDArray[np.intp]
    """(P,) triangle of each pixel."""
    weights: Floats
    """(P, 3) barycentric weights of its corners."""
    all_faces: NDArray[np.intp]
    """(n,) triangles of all pixels, those off the face region, too."""
    covered: Bools
    """(s, s) pixels that show any of the model."""
    inner: Bools
    """(P,) away from the edge and not seen edge-on."""
    shape: Floats
    """(V, 3) unposed."""
    posed: Floats
    """(V, 3)."""
    normal_sums: Floats
    """(V, 3) sums of unit face normals, unposed: normals before they are made unit."""


def visible_pixels(
    model: FitModel, shape: AnyFloats, pose: RigidPose, camera: CropCamera
) -> Visible:
    """Find them with one ray through each pixel centre."""
    posed = pose(shape)
    size = camera.size
    rows, cols = np.divmod(np.arange(size * size), size)
    rays = np.stack(
        [
            (cols + 0.5 - camera.centre[0]) / camera.focal,
            -(rows + 0.5 - camera.centre[1]) / camera.focal,
            np.full(size * size, -1.0),
        ],
        axis=1,
    )
    eye = np.array([0.0, 0.0, camera.distance])
    hits = SurfaceQuery(posed, model.faces).cast(eye, rays)
    hit = np.flatnonzero(hits.hit)
    faces = np.asarray(hits.face[hit], np.intp)
    all_faces = faces
    in_face = model.region[model.faces[faces]].all(axis=1)
    hit, faces = hit[in_face], faces[in_face]
    u, v = hits.uv[hit].astype(np.float64).T
    sums, of_faces = normal_sums(shape, model)
    cosine = -(of_faces[faces] @ pose.R.T * unit(rays[hit])).sum(axis=1)
    covered = np.zeros((size, size), np.uint8)
    covered[rows[hit], cols[hit]] = 1
    inner = cv2.erode(covered, np.ones((3, 3), np.uint8), iterations=_EDGE_PX, borderValue=0)
    return Visible(
        rows=rows[hit],
        cols=cols[hit],
        faces=faces,
        all_faces=all_faces,
        covered=np.asarray(hits.hit).reshape(size, size),
        weights=np.stack([1 - u - v, u, v], axis=1),
        inner=(inner[rows[hit], cols[hit]] > 0) & (cosine > _STEEP),
        shape=np.asarray(shape, np.float64),
        posed=posed,
        normal_sums=sums,
    )


def normal_sums(shape: AnyFloats, model: FitModel) -> tuple[Floats, Floats]:
    """Return (V, 3) sums of the unit normals (F, 3) of a vertex' faces, and those."""
    a, b, c = (shape[model.faces[:, i]] for i in range(3))
    of_faces = unit(np.cross(b - a, c - a))
    sums = np.zeros((len(shape), 3))
    for corner in range(3):
        for axis in range(3):
            sums[:, axis] += np.bincount(
                model.faces[:, corner], weights=of_faces[:, axis], minlength=len(shape)
            )
    return sums, of_faces


def unit(vectors: AnyFloats) -> Floats:
    """Return vectors (..., 3) at length 1; those of no length stay 0."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float64)
