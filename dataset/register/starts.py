"""A wide open mouth is out of reach from rest: fit it from other expressions, too."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from ...core.arrays import Floats
from ...core.facemodel.model import FaceModel
from ...core.geometry.mesh import vertex_normals
from .fitstate import Fit, LandmarkTerm, Stage, TakeFit
from .modelrows import FitBasis
from .morphable import fit_morphable
from .search import face_mask
from .surface import CellTarget

log = logging.getLogger(__name__)

_REACH_MM = 4.0  # misfit counts no further
_BESIDE_MM = 25.0  # scan as far as that from the face belongs to it
_GAIN = 0.97  # of the misfit at rest: another start must do better than that
_STRONG = 0.6  # activation of the start, of the mode's full strength
_STRONG_SIGMA = 1.5  # of the start of a mode without a box, both ways


def other_expressions(model: FaceModel) -> list[Floats]:
    """Return the expressions (n_exp,) that are tried beside rest: the mode that moves most."""
    mask = face_mask(model)
    moves = [float(np.square(mode[mask]).sum()) for mode in model.expression]
    if not moves:
        return []
    strongest = int(np.argmax(np.array(moves) * model.expression_sigma**2))
    start = np.zeros(model.n_expression)
    if np.isfinite(model.expression_range[1]):
        start[strongest] = _STRONG * model.expression_range[1]
        return [start]
    start[strongest] = _STRONG_SIGMA * model.expression_sigma[strongest]
    return [start, -start]


def from_best_start(
    basis: FitBasis,
    targets: Sequence[CellTarget],
    fit: Fit,
    *,
    stages: Sequence[Stage],
    with_scale: bool,
    landmarks: Sequence[LandmarkTerm | None],
) -> Fit:
    """Refit each take from the other expressions; keep what lies nearer to its scan.

    Returns
    -------
    Fit
        The takes as they fit best; the identity is that of `fit`.
    """
    takes = []
    for number, (target, take, landmark) in enumerate(
        zip(targets, fit.takes, landmarks, strict=True)
    ):
        best, least = take, _GAIN * misfit(basis, target, fit.identity, take)
        for expression in other_expressions(basis.model):
            start = Fit(identity=fit.identity, takes=(replace(take, expression=expression),))
            tried = fit_morphable(
                basis, [target], start, stages=stages, with_scale=with_scale,
                landmarks=[landmark],
            )  # fmt: skip
            now = misfit(basis, target, tried.identity, tried.takes[0])
            log.debug("take %d: misfit %.4f from another start, %.4f to beat", number, now, least)
            if now < least:
                best, least = tried.takes[0], now
        takes.append(best)
    return Fit(identity=fit.identity, takes=tuple(takes))


def misfit(basis: FitBasis, target: CellTarget, identity: Floats, take: TakeFit) -> float:
    """Return how far the face and the scan lie apart, 0-2: the face's part and the scan's."""
    posed = take.pose(basis.shape(identity, take.expression))
    normals = vertex_normals(posed, basis.faces)
    face = face_mask(basis.model)[basis.skin]
    weight = basis.weight[face]
    near = target.closest(posed[face], within=_BESIDE_MM)
    apart = _apart(posed[face] - near.points, near.normals, target.cells.spacing)
    apart[(near.normals * normals[face]).sum(1) < 0.3] = 1.0
    points, scan_normals, trust = target.sample(len(target.cells.points))
    found = cKDTree(posed).query(points, distance_upper_bound=_BESIDE_MM)
    gap, index = (np.asarray(values) for values in found)
    of_face = np.isfinite(gap)
    of_face[of_face] = face[index[of_face]]
    at = index[of_face]
    off = _apart(points[of_face] - posed[at], scan_normals[of_face], target.cells.spacing)
    off[(scan_normals[of_face] * normals[at]).sum(1) < 0.3] = 1.0
    trust = trust[of_face] + 1e-6
    return float((weight * apart).sum() / weight.sum() + (trust * off).sum() / trust.sum())


def _apart(gap: Floats, normals: Floats, spacing: float) -> Floats:
    """Squared distance in reaches, 1 at the most; sideways only what the spacing leaves."""
    along = np.abs((gap * normals).sum(1))
    beyond = np.maximum(np.linalg.norm(gap, axis=1) - spacing, 0)
    return np.asarray(np.minimum(np.maximum(along, beyond) / _REACH_MM, 1.0) ** 2)
