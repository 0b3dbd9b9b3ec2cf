"""GANFit's protocol for MICC: two ICPs between meshes of one topology, measured both ways.

Everything of the official code that its figures depend on is kept, and named where it stands:

- the prediction is cropped 0.95 units of *its own* coordinates around its nose,
- a vertex of the crop counts only if a whole triangle of it is inside,
- the way from the scan to the prediction is measured in the *prediction's* scale, so that a
  score depends on the prediction's unit,
- the alignment starts from equal indices, its scale is a ratio of sizes rather than the least
  squares one, and it stops as soon as the mean distance gets better by no more than 1 µm.

Frames: `registered` is the scan's mesh in the frame of the template (decimetres); `predicted` is
a mesh in any frame, of the same vertex order.
"""

from dataclasses import dataclass, replace

import numpy as np

from ...core.arrays import AnyFloats, Bools, Floats, Ints
from ...core.errors import InputError
from ...core.geometry.transform import Similarity
from ..metrics.surface import ExactSurface

CROP_RADIUS = 0.95
"""dm around the nose that are measured."""
CROP_RADII = {28: 0.6}
"""dm, of the subjects whose scan does not reach as far."""
MM = 100.0
"""In the template's unit."""
NOSE_TIP = 30
"""Of the 68 landmarks."""
N_LANDMARKS = 68
_LEAST_GAIN_MM = 0.001
_LEAST_VERTICES = 3


@dataclass(frozen=True, kw_only=True)
class Cropped:
    """A mesh, the part of it that is measured, and its surface to measure to."""

    vertices: Floats
    """(V, 3)."""
    rows: Ints
    """(N,) vertices of the crop, in rising order."""
    surface: ExactSurface
    face_at: Ints
    """(V,) a face of each vertex, -1 where there is none: where a search begins."""


@dataclass(frozen=True, kw_only=True)
class OneWay:
    """Distances from one mesh's crop to the other mesh's surface, after alignment."""

    error_mm: float
    """The mean distance."""
    iterations: int
    """Alignments made."""
    distances_mm: Floats
    """(N,) of the vertices `rows`."""
    rows: Ints
    """(N,) vertices of the mesh that is measured from."""


@dataclass(frozen=True, kw_only=True)
class GanfitScore:
    """Of one prediction against one scan."""

    error_mm: float
    """Mean of both ways."""
    reg_to_rec: OneWay
    """From the registered scan to the prediction."""
    rec_to_reg: OneWay
    """From the prediction to the registered scan."""


def score_ganfit(
    registered: AnyFloats,
    predicted: AnyFloats,
    faces: Ints,
    *,
    scan_landmarks: AnyFloats,
    template_landmarks: AnyFloats,
    nose_vertex: int,
    radius: float = CROP_RADIUS,
    fixed: bool = False,
) -> GanfitScore:
    """Score one prediction against one scan.

    Parameters
    ----------
    registered : (V, 3)
        The scan's mesh, registered to the template and in its frame, dm.
    predicted : (V, 3)
        The prediction, in any frame; officially in dm (see `fixed`).
    faces : (F, 3) int
        Triangles of both.
    scan_landmarks : (68, 3)
        In the raw scan's frame and unit.
    template_landmarks : (68, 3)
        The same points of the template, dm.
    nose_vertex : int
        The template's vertex of landmark 30.
    radius : float
        Of the crop, dm; `CROP_RADII` has the exceptions.
    fixed : bool
        Measure both ways, and crop both meshes, in the scan's scale: a score is then the same
        whatever unit the prediction has.

    Raises
    ------
    InputError
        Shapes differ, coordinates are not finite, or a crop is empty.

    Source
    ------
    Protocol of the MICC evaluation of GANFit (Gecer et al., CVPR 2019) as described for this
    package; `fixed` is ours.
    """
    _check(registered, predicted)
    scan = crop_scan(
        registered,
        faces,
        scan_landmarks=scan_landmarks,
        template_landmarks=template_landmarks,
        radius=radius,
    )
    if fixed:
        return score_fixed(scan, predicted, faces, nose_vertex=nose_vertex, radius=radius)
    return score_pair(scan, crop_prediction(predicted, faces, nose_vertex, radius=radius))


def crop_scan(
    registered: AnyFloats,
    faces: Ints,
    *,
    scan_landmarks: AnyFloats,
    template_landmarks: AnyFloats,
    radius: float = CROP_RADIUS,
) -> Cropped:
    """Crop a registered scan around its labelled nose; parameters as of `score_ganfit`.

    Raises
    ------
    InputError
        The crop is empty, or the landmarks are not 68 finite points.
    """
    for points, what in ((scan_landmarks, "scan"), (template_landmarks, "template")):
        if np.shape(points) != (N_LANDMARKS, 3) or not np.isfinite(points).all():
            raise InputError(f"the {what}'s landmarks are not {N_LANDMARKS} finite points")
    template_from_scan = similarity_of_sizes(
        np.asarray(scan_landmarks, np.float64), np.asarray(template_landmarks, np.float64)
    )
    nose = template_from_scan(np.asarray(scan_landmarks, np.float64)[NOSE_TIP])
    return _crop(registered, faces, nose, radius=radius, what="registered scan")


def crop_prediction(
    predicted: AnyFloats, faces: Ints, nose_vertex: int, *, radius: float = CROP_RADIUS
) -> Cropped:
    """Crop a prediction around its own nose vertex, `radius` in its own unit.

    Raises
    ------
    InputError
        The crop is empty.
    """
    nose = np.asarray(predicted[nose_vertex], np.float64)
    return _crop(predicted, faces, nose, radius=radius, what="prediction")


def score_pair(scan: Cropped, prediction: Cropped) -> GanfitScore:
    """Score a cropped prediction against a cropped scan, as the official code does."""
    return _both_ways(scan, prediction, in_own_scale=False)


def score_fixed(
    scan: Cropped,
    predicted: AnyFloats,
    faces: Ints,
    *,
    nose_vertex: int,
    radius: float = CROP_RADIUS,
) -> GanfitScore:
    """Score a prediction with all lengths in the scan's scale.

    The prediction is first taken to the scan by equal indices, so that the crop's radius means
    the same on both; the way from scan to prediction, in which the scan is resized, is measured
    in the scan's size before.
    """
    vertices = np.asarray(predicted, np.float64)
    scan_from_prediction = similarity_of_sizes(vertices[scan.rows], scan.vertices[scan.rows])
    prediction = crop_prediction(scan_from_prediction(vertices), faces, nose_vertex, radius=radius)
    return _both_ways(scan, prediction, in_own_scale=True)


def similarity_of_sizes(src: Floats, dst: Floats) -> Similarity:
    """Return `dst_from_src`, without mirroring, its scale the ratio of the points' sizes.

    The size is the root of the summed squared distances to the mean. That is not the least
    squares scale (which is smaller where the points do not match); the official figures depend
    on it.

    Parameters
    ----------
    src, dst : (N, 3) float64
        Matched points.

    Raises
    ------
    InputError
        All points of `src` or `dst` coincide.
    """
    mean_src, mean_dst = src.mean(0), dst.mean(0)
    a, b = src - mean_src, dst - mean_dst
    size_a, size_b = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if not size_a or not size_b:
        raise InputError("points to be aligned all coincide")
    U, _, Vt = np.linalg.svd(b.T @ a)
    U[:, -1] *= np.sign(np.linalg.det(U) * np.linalg.det(Vt))
    R, scale = U @ Vt, size_b / size_a
    return Similarity(scale=scale, R=R, t=mean_dst - scale * R @ mean_src)


def _both_ways(scan: Cropped, prediction: Cropped, *, in_own_scale: bool) -> GanfitScore:
    to_rec, scale = _one_way(scan, prediction, in_own_scale=in_own_scale)
    if in_own_scale:
        to_rec = replace(
            to_rec, error_mm=to_rec.error_mm / scale, distances_mm=to_rec.distances_mm / scale
        )
    to_reg, _ = _one_way(prediction, scan, in_own_scale=False)
    return GanfitScore(
        error_mm=(to_rec.error_mm + to_reg.error_mm) / 2, reg_to_rec=to_rec, rec_to_reg=to_reg
    )


def _one_way(source: Cropped, target: Cropped, *, in_own_scale: bool) -> tuple[OneWay, float]:
    """Align the source's crop with the target's surface; also return how much it was resized.

    Distances are in the target's scale; with `in_own_scale` only the stopping rule looks at
    them in the source's.
    """
    points = source.vertices[source.rows]
    matches = target.vertices[source.rows]  # by index at first, by nearness afterwards
    near = target.face_at[source.rows]
    scale, before, iterations = 1.0, np.inf, 0
    while True:
        step = similarity_of_sizes(points, matches)
        points, scale = step(points), scale * step.scale
        nearest = target.surface.closest(points, hint=near)
        iterations += 1
        error_mm = float(nearest.distance.mean()) * MM
        now = error_mm / scale if in_own_scale else error_mm
        if before - now <= _LEAST_GAIN_MM:
            break
        before, matches, near = now, nearest.points, nearest.face
    way = OneWay(
        error_mm=error_mm,
        iterations=iterations,
        distances_mm=nearest.distance * MM,
        rows=source.rows,
    )
    return way, scale


def _crop(vertices: AnyFloats, faces: Ints, nose: Floats, *, radius: float, what: str) -> Cropped:
    points = np.ascontiguousarray(vertices, np.float64)
    inside = np.linalg.norm(points - nose, axis=1) < radius
    rows = np.flatnonzero(_with_whole_triangle(inside, faces)).astype(np.int32)
    if len(rows) < _LEAST_VERTICES:
        span = float(np.ptp(points, axis=0).max())
        raise InputError(
            f"nothing of the {what} lies within {radius:g} of its nose (it spans {span:.3g}): "
            "coordinates must be decimetres"
        )
    face_at = np.full(len(points), -1, np.int32)
    face_at[faces] = np.arange(len(faces), dtype=np.int32)[:, None]
    return Cropped(vertices=points, rows=rows, surface=ExactSurface(points, faces), face_at=face_at)


def _with_whole_triangle(inside: Bools, faces: Ints) -> Bools:
    """Return (V,) the vertices of triangles that are inside with all corners.

    Others are lost when the official code makes a mesh of its mask.
    """
    kept = np.zeros(len(inside), bool)
    kept[faces[inside[faces].all(axis=1)]] = True
    return kept


def _check(registered: AnyFloats, predicted: AnyFloats) -> None:
    if registered.shape != predicted.shape or registered.ndim != 2 or registered.shape[1] != 3:
        raise InputError(
            f"the prediction has {len(predicted)} vertices, the registered scan "
            f"{len(registered)}: predictions must have the template's vertices in its order"
        )
    for points, what in ((registered, "registered scan"), (predicted, "prediction")):
        if not np.isfinite(points).all():
            raise InputError(f"the {what} has vertices that are no finite numbers")
