"""The rows of the morphable fit: how residuals to a scan change with coefficients and pose."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ...core.arrays import Bools, Floats, Floats32, Ints
from ...core.facemodel.model import ACTIVATIONS, FaceModel
from ...core.geometry.closest import SurfaceQuery
from ...core.geometry.mesh import face_areas, vertex_normals
from .fitstate import LandmarkTerm, Stage, TakeFit
from .pose import pose_rows
from .search import face_mask
from .surface import Target, barycentric

_Rows = tuple[Floats32, Floats, Floats]
_Index = NDArray[np.intp]

_PATCH_MM2 = 100.0  # skin that counts as one independent measurement
_OFF_FACE = 0.25  # weight of skin off the face: hair and clothes hide it
_NO_EARS = 0.1  # ears are folded and half seen
_LANDMARK_MM = (4.0, 1.5)  # what a landmark on the jaw line, any other is off by besides its sigma
_N_JAW = 17
_ACTIVATION_SIGMA = 0.25  # few of a face's modes act at a time


@dataclass(frozen=True, kw_only=True)
class FitBasis:
    """A model's skin, laid out for the fit."""

    model: FaceModel
    skin: Ints
    """(S,) the vertices that are skin."""
    faces: Ints
    """(F, 3) skin faces, indices into `skin`."""
    mean: Floats
    """(S, 3)."""
    modes: Floats32
    """(n_id + n_exp, S, 3) mm per unit of each coefficient."""
    weight: Floats
    """(S,) independent measurements that a vertex stands for, times its region's weight."""
    landmarks: Ints
    """(68,) vertices of the model."""

    @property
    def n_identity(self) -> int:
        """Number of identity modes."""
        return self.model.n_identity

    @property
    def n_expression(self) -> int:
        """Number of expression modes."""
        return self.model.n_expression

    def shape(self, identity: Floats, expression: Floats) -> Floats:
        """Return the skin (S, 3) mm of these coefficients."""
        coefficients = np.concatenate([identity, expression])
        used = np.flatnonzero(coefficients)
        added = np.tensordot(coefficients[used], self.modes[used], axes=1)
        return np.asarray(self.mean + added)


@dataclass(frozen=True, kw_only=True)
class ModelRows:
    """Normal equations of one take: unknowns identity, expression, pose."""

    H: Floats
    """(n_id + n_exp + 7, same)."""
    g: Floats
    """(n_id + n_exp + 7,)."""


def skin_mask(model: FaceModel) -> Bools:
    """Return (V,) the outer skin."""
    mask = model.regions.get("skin", np.ones(model.n_vertices, bool))
    for name in ("eyes", "mouth_interior"):
        if name in model.regions:
            mask = mask & ~model.regions[name]
    return np.asarray(mask)


def region_weight(model: FaceModel) -> Floats:
    """Return (V,) how much a vertex counts by where it is."""
    weight = np.where(face_mask(model), 1.0, _OFF_FACE)
    if "ears" in model.regions:
        weight[model.regions["ears"]] = _NO_EARS
    return np.asarray(weight * skin_mask(model))


def fit_basis(model: FaceModel) -> FitBasis:
    """Lay out a model's skin for the fit."""
    mask = skin_mask(model)
    skin = np.flatnonzero(mask).astype(np.int32)
    index = np.full(model.n_vertices, -1, np.int32)
    index[skin] = np.arange(len(skin), dtype=np.int32)
    kept = mask[model.faces].all(1)
    area = np.zeros(model.n_vertices)
    for corner in range(3):
        area += np.bincount(
            model.faces[kept, corner],
            weights=face_areas(model.mean, model.faces[kept]) / 3,
            minlength=model.n_vertices,
        )
    sigma = model.identity_sigma.astype(np.float32)
    modes = np.concatenate(
        [
            np.asarray(model.identity[:, skin], np.float32) * sigma[:, None, None],
            np.asarray(model.expression[:, skin], np.float32),
        ]
    )
    return FitBasis(
        model=model,
        skin=skin,
        faces=index[model.faces[kept]],
        mean=model.mean[skin],
        modes=modes,
        weight=(region_weight(model) * area)[skin] / _PATCH_MM2,
        landmarks=model.landmarks68,
    )


def expression_sigma(model: FaceModel) -> Floats:
    """Return (n_exp,) the spread of each coefficient round rest that the prior allows."""
    activations = model.expression_range == ACTIVATIONS
    return np.asarray(model.expression_sigma * (_ACTIVATION_SIGMA if activations else 1.0))


def model_rows(
    basis: FitBasis,
    target: Target,
    identity: Floats,
    take: TakeFit,
    *,
    stage: Stage,
    landmark: LandmarkTerm | None,
) -> ModelRows:
    """Gather the normal equations of one take."""
    active = _active(basis, stage)
    n = len(active) + 7
    H, g = np.zeros((n, n)), np.zeros(n)
    posed = take.pose(basis.shape(identity, take.expression))
    normals = vertex_normals(posed, basis.faces)
    for rows in (
        _to_scan(basis, target, posed, normals, take=take, stage=stage, active=active),
        _from_scan(basis, target, posed, normals, take=take, stage=stage, active=active)
        if stage.both_ways
        else None,
        None if landmark is None else _to_landmarks(basis, landmark, identity, take, active),
    ):
        if rows is not None:
            J, residual, weight = rows
            root = np.sqrt(weight).astype(np.float32)
            J *= root[:, None]
            H += J.T @ J
            g += J.T @ (root * residual.astype(np.float32))
    n_all = len(basis.modes) + 7
    at = np.concatenate([active, np.arange(n_all - 7, n_all)])
    H_all, g_all = np.zeros((n_all, n_all)), np.zeros(n_all)
    H_all[np.ix_(at, at)], g_all[at] = H, g
    return ModelRows(H=H_all, g=g_all)


def _active(basis: FitBasis, stage: Stage) -> _Index:
    """Return the modes that move in a stage."""
    return np.concatenate(
        [
            np.arange(min(stage.n_identity, basis.n_identity)),
            basis.n_identity + np.arange(min(stage.n_expression, basis.n_expression)),
        ]
    )


def _to_scan(
    basis: FitBasis,
    target: Target,
    posed: Floats,
    normals: Floats,
    *,
    take: TakeFit,
    stage: Stage,
    active: _Index,
) -> _Rows:
    """Rows (J, residual, weight): model vertices to the planes of their nearest scan points."""
    step = max(len(posed) // stage.n_samples, 1)
    at = np.arange(0, len(posed), step)
    near = target.closest(posed[at], within=stage.reach_mm)
    weight = near.weight * _bell(near.distance, stage.reach_mm)
    weight = weight * ((near.normals * normals[at]).sum(1) > stage.cosine)
    weight = 0.5 * step * weight * basis.weight[at] / stage.sigma_mm**2
    used = weight > 0
    at, n = at[used], near.normals[used]
    J = _rows(basis.modes[np.ix_(active, at)], posed[at], n, take)
    return J, ((near.points[used] - posed[at]) * n).sum(1), weight[used]


def _from_scan(
    basis: FitBasis,
    target: Target,
    posed: Floats,
    normals: Floats,
    *,
    take: TakeFit,
    stage: Stage,
    active: _Index,
) -> _Rows:
    """Rows: scan points to their nearest places on the model."""
    points, n, trust = target.sample(3 * stage.n_samples)
    gap, _ = cKDTree(posed).query(points, distance_upper_bound=stage.reach_mm)
    points, n, trust = (values[np.isfinite(gap)] for values in (points, n, trust))
    near = SurfaceQuery(posed, basis.faces).closest(points)
    corners = basis.faces[near.face]
    b = barycentric(near.points, *(posed[corners[:, i]] for i in range(3)))
    cosine = (np.einsum("nc,nci->ni", b, normals[corners]) * n).sum(1)
    weight = trust * _bell(near.distance, stage.reach_mm) * (cosine > stage.cosine)
    # every place of the model counts as its area, however many scan points lie near it
    share = np.bincount(corners.ravel(), weights=(b * (weight > 0)[:, None]).ravel(),
                        minlength=len(posed))  # fmt: skip
    per_point = basis.weight / np.maximum(share, 1.0)
    weight = 0.5 * weight * (b * per_point[corners]).sum(1) / stage.sigma_mm**2
    used = np.flatnonzero(weight > 0)
    kept = used[:: max(len(used) // stage.n_samples, 1)]
    weight = weight[kept] * (len(used) / max(len(kept), 1))
    corners, b, n = corners[kept], b[kept].astype(np.float32), n[kept]
    modes = sum(basis.modes[np.ix_(active, corners[:, i])] * b[:, i, None] for i in range(3))
    J = _rows(np.asarray(modes), near.points[kept], n, take)
    return J, ((points[kept] - near.points[kept]) * n).sum(1), weight


def _to_landmarks(
    basis: FitBasis, landmark: LandmarkTerm, identity: Floats, take: TakeFit, active: _Index
) -> _Rows:
    """Rows: the model's landmarks to the measured ones, along each axis."""
    known = np.flatnonzero(np.isfinite(landmark.points).all(1))
    model, vertices = basis.model, basis.landmarks[known]
    scaled = model.identity_sigma[:, None, None] * model.identity[:, vertices]
    modes = np.concatenate([scaled, model.expression[:, vertices]])
    coefficients = np.concatenate([identity, take.expression])
    posed = take.pose(model.mean[vertices] + np.tensordot(coefficients, modes, axes=1))
    gap = landmark.points[known] - posed
    own = np.where(known < _N_JAW, *_LANDMARK_MM)
    sigma2 = landmark.sigma[known] ** 2 + own**2
    weight = 1 / (sigma2 + (gap**2).sum(1) / 9)  # Cauchy: gross errors lose their pull
    parts = [
        _rows(modes[active], posed, np.broadcast_to(axis, posed.shape), take) for axis in np.eye(3)
    ]
    return np.concatenate(parts), gap.T.ravel(), np.tile(weight, 3)


def _rows(modes: Floats32 | Floats, posed: Floats, n: Floats, take: TakeFit) -> Floats32:
    """Return (N, n_id + n_exp + 7) of points with `modes` (n_modes, N, 3) along `n` (N, 3)."""
    in_head = take.pose.scale * n @ take.pose.R
    along = np.einsum("mni,ni->nm", modes, in_head.astype(modes.dtype), optimize=True)
    return np.hstack([along, pose_rows(posed, n)]).astype(np.float32)


def _bell(distance: Floats, reach: float) -> Floats:
    """Tukey's weight: 1 at zero distance, 0 beyond `reach`."""
    t = np.minimum(distance / reach, 1.0)
    return np.asarray((1 - t * t) ** 2)
