"""Where in a scan is the face, and how does it stand? Coarse search without any landmark.

Anchors spread over the scan are tried as the tip of the nose: the model's smoothed normal there
is laid on the scan's, turned round it in steps, and, where the unit is arbitrary, scaled in
steps. Each trial is scored by how many points of the model's face find scan near them that
faces the same way, read off a grid of nearest scan points.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from ...core.arrays import Bools, Floats, Ints
from ...core.facemodel.model import FaceModel
from ...core.geometry.mesh import sample_surface, vertex_normals
from ...core.geometry.transform import Similarity, rotation_angle_deg
from .surface import Cells

_NEAR_MM = 10.0  # a model point farther from the scan counts nothing
_LEAST_COSINE = 0.3
_SMOOTH_MM = 25.0  # neighbourhood of an anchor's normal: the size of a nose
_ANCHOR_MM = 9.0  # spacing of the anchors
_SPIN_DEG = 12.0
_SCALE_STEP = 1.12
_HEAD_AREA_MM2 = 110_000.0  # of a head as cameras in front of it and beside see it
_N_PROBES = 96
_GRID = 120  # voxels along the longest side
_APART = (15.0, 25.0, 0.08)  # mm, degrees, log scale: trials closer than that are one


@dataclass(frozen=True, kw_only=True)
class Probes:
    """Points of the model's face, and the frame at the tip of its nose."""

    points: Floats
    """(N, 3) head frame, mm."""
    normals: Floats
    """(N, 3)."""
    tip: Floats
    """(3,)."""
    axis: Floats
    """(3,) unit, mean normal round the tip."""


def face_mask(model: FaceModel) -> Bools:
    """Return (V,) the face: what the search looks for and the fit weighs most."""
    return model.regions["face"] if "face" in model.regions else np.ones(model.n_vertices, bool)


def probes(model: FaceModel, *, n: int, rng: np.random.Generator) -> Probes:
    """Draw `n` points of the mean face."""
    normals = vertex_normals(model.mean, model.faces)
    mask = face_mask(model)
    faces = model.faces[mask[model.faces].all(1)]
    points, face = sample_surface(model.mean, faces, max(n, 4000), rng=rng)
    normal = normals[faces[face]].mean(1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    tip = model.mean[model.landmarks68[30]]
    near = np.linalg.norm(points - tip, axis=1) < _SMOOTH_MM
    axis = normal[near].mean(0)
    return Probes(points=points[:n], normals=normal[:n], tip=tip, axis=axis / np.linalg.norm(axis))


def scales(cells: Cells, *, metric: bool) -> list[float]:
    """Return the scales to try, world units per mm; [1] where the rig is metric."""
    if metric:
        return [1.0]
    # plinths and hair make a scan larger than a head, gaps make it smaller
    base = np.sqrt(cells.area / _HEAD_AREA_MM2)
    return [float(base * _SCALE_STEP**k) for k in range(-9, 5)]


def search(
    cells: Cells, model: FaceModel, *, metric: bool, n_best: int, rng: np.random.Generator
) -> list[Similarity]:
    """Return up to `n_best` distinct `world_from_head`, the best first."""
    probe = probes(model, n=_N_PROBES, rng=rng)
    grid = _NearestGrid(cells)
    found: list[tuple[float, Similarity]] = []
    for scale in scales(cells, metric=metric):
        score, R, t = _trials_at(cells, grid, probe, scale)
        best = np.argsort(-score, kind="stable")[: 40 * n_best]
        found += [(float(score[i]), Similarity(scale=scale, R=R[i], t=t[i])) for i in best]
    found.sort(key=lambda trial: -trial[0])
    return distinct(found, probe.tip, n_best=n_best)


class _NearestGrid:
    """The nearest cell of any place in the scan's box, to a voxel."""

    def __init__(self, cells: Cells) -> None:
        low, high = cells.points.min(0), cells.points.max(0)
        margin = 0.05 * float((high - low).max())
        self._low = low - margin
        self._pitch = float((high - low).max() + 2 * margin) / _GRID
        shape = np.ceil((high + margin - self._low) / self._pitch).astype(int) + 1
        index = np.full(shape, -1, np.int32)
        at = tuple(((cells.points - self._low) / self._pitch).astype(int).T)
        index[at] = np.arange(len(cells.points))
        _, nearest = distance_transform_edt(index < 0, return_indices=True)
        self._index = index[tuple(nearest)].reshape(-1)
        self._shape = shape
        self._strides = np.array([shape[1] * shape[2], shape[2], 1])

    def nearest(self, points: Floats) -> tuple[Ints, Bools]:
        """Return (N,) the cell nearest to `points` (N, 3), and (N,) whether in the box at all."""
        at = ((points - self._low) / self._pitch).astype(np.int32)
        inside = ((at >= 0) & (at < self._shape)).all(-1)
        flat = np.where(inside, at @ self._strides, 0)
        return self._index[flat], inside


def _trials_at(
    cells: Cells, grid: _NearestGrid, probe: Probes, scale: float
) -> tuple[Floats, Floats, Floats]:
    """Return scores (N,), rotations (N, 3, 3) and translations (N, 3) of all trials at a scale."""
    anchors, axes = _anchors(cells, scale)
    spins = np.radians(np.arange(0, 360, _SPIN_DEG))
    head = _frame(probe.axis[None])[0]
    world = _frame(axes)
    c, s, zero, one = np.cos(spins), np.sin(spins), 0 * spins, 0 * spins + 1
    turn = np.stack([c, -s, zero, s, c, zero, zero, zero, one], 1).reshape(-1, 3, 3)
    R = np.einsum("aij,sjk,lk->asil", world, turn, head).reshape(-1, 3, 3)
    t = np.repeat(anchors, len(spins), axis=0) - scale * R @ probe.tip
    score = np.concatenate(
        [
            _score(cells, grid, probe, scale, R[i : i + 4096], t[i : i + 4096])
            for i in range(0, len(R), 4096)
        ]
    )
    return score, R, t


def _score(
    cells: Cells, grid: _NearestGrid, probe: Probes, scale: float, R: Floats, t: Floats
) -> Floats:
    points = scale * np.einsum("nij,pj->npi", R, probe.points) + t[:, None]
    index, inside = grid.nearest(points.reshape(-1, 3))
    gap = points.reshape(-1, 3) - cells.points[index]
    square = (gap**2).sum(1) / (scale * _NEAR_MM) ** 2
    normals = np.einsum("nij,pj->npi", R, probe.normals).reshape(-1, 3)
    cosine = (normals * cells.normals[index]).sum(1)
    good = inside & (square < 1) & (cosine > _LEAST_COSINE)
    return np.asarray(np.where(good, (1 - square) * cosine, 0.0).reshape(len(R), -1).mean(1))


def _anchors(cells: Cells, scale: float) -> tuple[Floats, Floats]:
    """Return places (N, 3) spread over the scan and the smoothed normals (N, 3) there."""
    cell = np.floor(cells.points / (_ANCHOR_MM * scale)).astype(np.int64)
    _, first = np.unique(cell, axis=0, return_index=True)
    anchors = cells.points[np.sort(first)]
    around = cKDTree(cells.points).query_ball_point(anchors, _SMOOTH_MM * scale)
    axes = np.stack([cells.normals[i].mean(0) for i in around])
    bulge = np.array(
        [
            ((cells.points[i].mean(0) - p) * axis).sum()
            for i, p, axis in zip(around, anchors, axes, strict=True)
        ]
    )
    convex = bulge < 0.04 * _SMOOTH_MM * scale  # not in a hollow
    length = np.linalg.norm(axes, axis=1)
    kept = convex & (length > 0.3)
    return anchors[kept], axes[kept] / length[kept, None]


def _frame(axes: Floats) -> Floats:
    """Return (N, 3, 3) rotations whose third column is `axes` (N, 3)."""
    helper = np.where(np.abs(axes[:, :1]) < 0.8, [[1.0, 0, 0]], [[0.0, 1, 0]])
    x = np.cross(helper, axes)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.stack([x, np.cross(axes, x), axes], axis=2)


def distinct(
    trials: Iterable[tuple[float, Similarity]], middle: Floats, *, n_best: int
) -> list[Similarity]:
    """Return the first `n_best` trials that are not close to one before."""
    kept: list[Similarity] = []
    for _, trial in trials:
        if len(kept) == n_best:
            break
        if not any(_is_close(trial, other, middle) for other in kept):
            kept.append(trial)
    return kept


def _is_close(a: Similarity, b: Similarity, middle: Floats) -> bool:
    apart = float(np.linalg.norm(a(middle) - b(middle))) / a.scale
    angle = float(rotation_angle_deg(a.R @ b.R.T))
    return apart < _APART[0] and angle < _APART[1] and abs(np.log(a.scale / b.scale)) < _APART[2]
