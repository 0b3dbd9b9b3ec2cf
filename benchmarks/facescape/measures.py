"""The three figures of two cylinder maps: chamfer distance, completeness, error of normals."""

from dataclasses import dataclass

import numpy as np

from ...core.arrays import Bools, Floats, Ints
from .cylinder import HALF_HEIGHT_MM, CylinderMap, CylinderMesh
from .nearest_kernels import cell_radii, distances


@dataclass(frozen=True, kw_only=True)
class Chamfer:
    """Distances between two cylinder meshes, both ways, mm."""

    pred_to_gt: Floats
    """(V,) of the predicted mesh's vertices."""
    gt_to_pred: Floats
    """(V,) of the true mesh's vertices."""

    @property
    def mean(self) -> float:
        """Of all distances, pooled as officially: truth first, NaN left out; NaN if empty."""
        pooled = np.concatenate([self.gt_to_pred, self.pred_to_gt])
        pooled = pooled[~np.isnan(pooled)]
        return float(np.mean(pooled)) if len(pooled) else float("nan")


def chamfer(gt: CylinderMesh, pred: CylinderMesh, *, R: Floats) -> Chamfer:
    """Measure exact point-to-surface distances between two meshes of the same lattice.

    `R` (3, 3) turns them to the camera before they are measured.
    """
    metric = R.T @ R
    return Chamfer(pred_to_gt=_one_way(pred, gt, metric), gt_to_pred=_one_way(gt, pred, metric))


def _one_way(source: CylinderMesh, target: CylinderMesh, metric: Floats) -> Floats:
    if not len(target.faces):  # left out of the mean, as the official code does with NaN
        return np.full(int(source.used.sum()), np.nan)
    shape = target.joined.shape
    low, high = np.zeros(shape), np.zeros(shape)
    cell_radii(target.points, target.joined, target.turn, low, high)
    out = np.empty(int(source.used.sum()))
    distances(
        source.points, source.used, target.points, target.joined, low, high, target.turn,
        2 * HALF_HEIGHT_MM / (shape[0] - 1), metric, out,
    )  # fmt: skip
    return out


def completeness(gt: CylinderMap, pred: CylinderMap) -> float:
    """Return the share of the truth's cells that the prediction has as well; NaN if none."""
    true_cells = gt.radius != 0
    n = int(true_cells.sum())
    return float(np.sum(true_cells & (pred.radius != 0)) / n) if n else float("nan")


def official_normal_error(gt_normals: Floats, pred_normals: Floats) -> float:
    """Return the official mean error of normals, rad, over cells that both meshes have.

    Not the angle between normals n, but between (n + 1)/|n + 1|: compressed, and dependent on
    the direction. The cosine is not clipped either: NaN as soon as rounding takes one cell's
    above one, as equal normals often do.

    Parameters
    ----------
    gt_normals, pred_normals : (N, 3)
        Face normals at the same cells; cells where either is zero are left out.
    """
    both = (gt_normals != 0).any(axis=1) & (pred_normals != 0).any(axis=1)
    a, b = gt_normals[both] + 1, pred_normals[both] + 1
    with np.errstate(divide="ignore", invalid="ignore"):
        a = a / np.linalg.norm(a, axis=1, keepdims=True)
        b = b / np.linalg.norm(b, axis=1, keepdims=True)
        angle = np.arccos(np.sum(a * b, axis=1))
        return float(np.sum(angle) / np.sum(both)) if both.any() else float("nan")


def normal_error(gt_normals: Floats, pred_normals: Floats) -> float:
    """Return the mean angle, rad, between unit normals (N, 3); NaN if there are none."""
    both = (gt_normals != 0).any(axis=1) & (pred_normals != 0).any(axis=1)
    if not both.any():
        return float("nan")
    cosine = np.sum(gt_normals[both] * pred_normals[both], axis=1)
    return float(np.arccos(np.clip(cosine, -1.0, 1.0)).mean())


def normals_of_hits(
    gt_normals: Floats, pred_normals: Floats, *, gt_rays: Ints, gt_tris: Ints, pred_rays: Ints,
    pred_tris: Ints, n_rays: int,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Lay face normals out over rays; of several hits of a ray the last counts.

    Returns
    -------
    gt, pred : (n_rays, 3)
        Zero where nothing was hit.
    """
    laid = np.zeros((2, n_rays, 3))
    laid[0, gt_rays] = gt_normals[gt_tris]
    laid[1, pred_rays] = pred_normals[pred_tris]
    return laid[0], laid[1]


def normals_at(vertices: Floats, faces: Ints, face: Ints, where: Bools) -> Floats:
    """Return unit normals (N, 3) of the map's `face` at the cells `where`, in row order.

    Faces without an area have zero normals, as in trimesh.
    """
    corners = vertices[faces[face[where]]]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 1])
    length = np.sqrt(np.dot(normals * normals, np.ones(3)))
    scale = np.zeros(len(length))
    np.divide(1.0, length, out=scale, where=length > 1e-13)
    return np.asarray(normals * scale[:, None])
