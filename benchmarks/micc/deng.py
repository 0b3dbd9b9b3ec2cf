"""The MICC protocol that Deng et al. (Deep3D) describe; no code of theirs was released.

A scan is cropped 95 mm around the nose tip, the forehead is cut off, the prediction is aligned
by an ICP with isotropic scale, and the error is the root mean square of the point-to-plane
distances of the scan's vertices. What the description leaves open is decided here:

- the nose tip is landmark 30 of the scan's 68 (GANFit's labels),
- the forehead is what lies above the highest brow landmark, along the axis from the chin
  (landmark 8) to the middle of the brows; `forehead=keep` keeps it,
- the ICP starts from all 68 landmarks, matches each vertex of the cropped scan with the closest
  point of the predicted surface, and takes the least squares similarity, until the root mean
  square distance changes by less than one part in 100 000,
- the plane goes through the closest point, across the surface's smooth normal there (of the
  vertices, weighted by area, interpolated; a triangle's own would be two on every edge).
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ...core.arrays import AnyFloats, Floats, Ints
from ...core.errors import EstimationError, InputError
from ...core.geometry.mesh import vertex_normals
from ...core.geometry.transform import Similarity, align_similarity
from ..metrics.surface import ClosestExact, ExactSurface

CROP_MM = 95.0
_NOSE_TIP, _CHIN, _BROWS = 30, 8, slice(17, 27)
_LEAST_CHANGE = 1e-5
_MOST_ITERATIONS = 200
_LEAST_VERTICES = 100  # a scan has thousands in the crop


class Forehead(StrEnum):
    """What is done with the scan above the brows."""

    CUT = "cut"
    KEEP = "keep"


@dataclass(frozen=True, kw_only=True)
class Deep3DScore:
    """Of one prediction against one scan."""

    rmse_mm: float
    """Of point-to-plane distances: the protocol's figure."""
    surface_mm: float
    """Mean distance to the surface itself, for comparison with others."""
    iterations: int
    """Of the ICP."""
    scan_from_prediction: Similarity
    distances_mm: Floats
    """(N,) point-to-plane, unsigned."""
    rows: Ints
    """(N,) vertices of the scan that are measured."""


def score_deep3d(
    scan: AnyFloats,
    predicted: AnyFloats,
    predicted_faces: Ints,
    *,
    scan_landmarks: AnyFloats,
    predicted_landmarks: AnyFloats,
    radius_mm: float = CROP_MM,
    forehead: Forehead = Forehead.CUT,
) -> Deep3DScore:
    """Score one prediction against one scan.

    Parameters
    ----------
    scan : (V, 3), mm
    predicted : (P, 3)
        Of any unit and frame.
    predicted_faces : (F, 3) int
    scan_landmarks : (68, 3), mm
    predicted_landmarks : (68, 3)
        In the prediction's frame.
    radius_mm : float
        Of the crop around the nose tip.
    forehead : Forehead

    Raises
    ------
    InputError
        A crop of almost nothing, or coordinates that are not finite.
    EstimationError
        The ICP collapsed.

    Source
    ------
    Deng et al., Accurate 3D Face Reconstruction with Weakly-Supervised Learning, CVPRW 2019,
    and the author's answer in issue 23 of microsoft/Deep3DFaceReconstruction; see the module for
    what is ours.
    """
    rows = crop_of_face(scan, scan_landmarks, radius_mm=radius_mm, forehead=forehead)
    points = np.asarray(scan, np.float64)[rows]
    surface = ExactSurface(predicted, predicted_faces)
    start = align_similarity(
        np.asarray(predicted_landmarks, np.float64), np.asarray(scan_landmarks, np.float64)
    )
    placed, nearest, iterations = _icp(points, surface, start)
    normals = _normals_at(np.asarray(predicted, np.float64), predicted_faces, nearest)
    local = _back(placed, points) - nearest.points
    distances = np.abs((local * normals).sum(1)) * placed.scale
    return Deep3DScore(
        rmse_mm=float(np.sqrt((distances**2).mean())),
        surface_mm=float(nearest.distance.mean()) * placed.scale,
        iterations=iterations,
        scan_from_prediction=placed,
        distances_mm=distances,
        rows=rows,
    )


def crop_of_face(
    scan: AnyFloats,
    landmarks: AnyFloats,
    *,
    radius_mm: float = CROP_MM,
    forehead: Forehead = Forehead.CUT,
) -> Ints:
    """Return (N,) vertices of the scan near the nose tip, without the forehead.

    Raises
    ------
    InputError
        Almost nothing is left: landmarks and scan do not belong together, or not in mm.
    """
    points = np.asarray(scan, np.float64)
    marks = np.asarray(landmarks, np.float64)
    inside = np.linalg.norm(points - marks[_NOSE_TIP], axis=1) <= radius_mm
    if forehead is Forehead.CUT:
        up = marks[_BROWS].mean(0) - marks[_CHIN]
        inside &= points @ up <= (marks[_BROWS] @ up).max()
    rows = np.flatnonzero(inside).astype(np.int32)
    if len(rows) < _LEAST_VERTICES:
        raise InputError(
            f"{len(rows)} vertices of the scan lie within {radius_mm:g} mm of the nose landmark "
            "and below the brows: landmarks of another scan, or not millimetres?"
        )
    return rows


def _icp(
    points: Floats, surface: ExactSurface, start: Similarity
) -> tuple[Similarity, ClosestExact, int]:
    """Return the alignment, the closest points under it (prediction's frame), and its steps."""
    placed, iterations = start, 0
    nearest = surface.closest(_back(placed, points))
    rms = _rms(nearest) * placed.scale
    while iterations < _MOST_ITERATIONS:
        placed = align_similarity(nearest.points, points)
        iterations += 1
        nearest = surface.closest(_back(placed, points), hint=nearest.face)
        before, rms = rms, _rms(nearest) * placed.scale
        if abs(before - rms) <= _LEAST_CHANGE * before:
            break
    if placed.scale < 0.5 * start.scale:  # matched ever smaller parts of the prediction
        raise EstimationError(
            "the prediction shrank away in the alignment: its landmarks or its surface are not "
            "those of this face"
        )
    return placed, nearest, iterations


def _back(a_from_b: Similarity, points: Floats) -> Floats:
    """Take points (N, 3) of frame a to frame b."""
    return np.asarray((points - a_from_b.t) @ a_from_b.R / a_from_b.scale)


def _rms(nearest: ClosestExact) -> float:
    return float(np.sqrt((nearest.distance**2).mean()))


def _normals_at(vertices: Floats, faces: Ints, nearest: ClosestExact) -> Floats:
    """Return (N, 3) unit smooth normals at points of the surface; zero where there is none."""
    a, b, c = (vertices[faces[nearest.face, k]] for k in range(3))
    # weights are areas of the three triangles around the point, by their share of the whole
    across = np.cross(b - a, c - a)
    whole = np.maximum((across**2).sum(1), 1e-300)
    weight_b = (np.cross(nearest.points - a, c - a) * across).sum(1) / whole
    weight_c = (np.cross(b - a, nearest.points - a) * across).sum(1) / whole
    weights = np.stack([1 - weight_b - weight_c, weight_b, weight_c], axis=1)
    of_corners = vertex_normals(vertices, faces)[faces[nearest.face]]
    normals = (weights[:, :, None] * of_corners).sum(1)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(np.divide(normals, length, out=np.zeros_like(normals), where=length > 0))
