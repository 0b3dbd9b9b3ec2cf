"""One prediction against its truth: CD, CR and MNE, from arrays.

`score_wild` and `score_lab` follow the official evaluator; with `exact=True` they measure the
same things without its oddities: exact depth at pixel centres, rays at 256 distinct angles in
float64, the angle between unit normals with a clipped cosine.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from ...core.arrays import AnyFloats, Bools, Floats, Ints
from ...core.errors import InputError
from .cylinder import (
    SIZE,
    CylinderMap,
    CylinderMesh,
    cylinder_mesh,
    exact_map,
    official_map,
    to_head,
)
from .depth import (
    ORTHO_SCALE,
    depth_shift,
    exact_orthographic_depth,
    exact_perspective_depth,
    orthographic_depth,
    perspective_depth,
)
from .measures import (
    Chamfer,
    chamfer,
    completeness,
    normal_error,
    normals_at,
    official_normal_error,
)
from .plausible import Render, View, check_overlap, check_placed

PUPIL_DISTANCE_MM = (64.0 + 61.7) / 2
"""Mean of men and women; every subject is scaled to it."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How one prediction is scored."""

    exact: bool = False
    """Without the official oddities."""
    outermost: bool = True
    """Of exact rays: keep the outermost hit, as is meant officially, or else the first."""
    depth: Render | None = None
    """Another renderer of depth, used instead of ours: (vertices in mm, faces) -> image."""


@dataclass(frozen=True, kw_only=True)
class PoseScore:
    """The figures of one prediction."""

    cd: float
    """mm, chamfer distance."""
    cr: float
    """Share of the truth's cells that are there, 0-1."""
    mne: float
    """rad, mean error of normals."""
    delta_z: float
    """Depth shift found: 1/128 of half the image in the wild, mm in the lab."""
    depth_gt: AnyFloats
    """(256, 256) as used, 0 outside the overlap."""
    depth_pred: AnyFloats
    """(256, 256) as used, 0 outside the overlap."""
    map_gt: CylinderMap
    map_pred: CylinderMap
    distances: Chamfer
    """mm, of the meshes' vertices."""
    mesh_pred: CylinderMesh
    """Predicted surface that was compared, in the head's frame."""
    remark: str | None
    """What is doubtful about the prediction."""
    cut: int
    """Triangles left out below the map, where the official code stops with an IndexError."""


def score_wild(
    gt_v: AnyFloats, gt_f: Ints, pred_v_after_loader: AnyFloats, pred_f: Ints, *,
    R: Floats, head_center: Floats, pupil_scale: float,
    depth_gt: AnyFloats | None = None, depth_pred: AnyFloats | None = None,
    rules: Rules | None = None,
) -> PoseScore:  # fmt: skip
    """Score a prediction in the wild.

    Parameters
    ----------
    gt_v, gt_f : (V, 3), (F, 3)
        Truth in the orthographic camera space: x right, y up, the image is [-1, 1]².
    pred_v_after_loader, pred_f : (W, 3), (G, 3)
        Prediction in that space, its mean depth at -2 (`layout.place_wild`).
    R : (3, 3)
        Head to camera.
    head_center : (3,)
        In units of the camera space.
    pupil_scale : float
        mm a unit.
    depth_gt, depth_pred : (256, 256), optional
        Depth images to use instead of our own, such as the official ones.

    Raises
    ------
    InputError
        A mesh cannot be scored, or the prediction does not lie over the truth.
    """
    rules = rules or Rules()
    scale = float(pupil_scale)
    check_placed(gt_v, gt_f, "the truth")
    check_placed(pred_v_after_loader, pred_f, "the prediction")
    gt_f, pred_f = _corners(gt_f), _corners(pred_f)
    gt = np.asarray(gt_v, np.float64) * scale
    pred = np.asarray(pred_v_after_loader, np.float64) * scale

    own = exact_orthographic_depth if rules.exact else orthographic_depth
    render = rules.depth or partial(own, pupil_scale=scale)
    seen = _seen(
        (gt, gt_f),
        (pred, pred_f),
        (depth_gt, depth_pred),
        View(render=render, y_up=True, unit_mm=scale),
    )
    pred[:, 2] -= seen.shift / ORTHO_SCALE * scale
    center = np.asarray(head_center, np.float64) * scale
    return _compare((gt, gt_f), (pred, pred_f), R, center, seen, rules)


def score_lab(
    gt_v: AnyFloats, gt_f: Ints, pred_v_after_loader: AnyFloats, pred_f: Ints, *,
    R: Floats, head_center: Floats, K: Floats, Rt: Floats,
    depth_gt: AnyFloats | None = None, depth_pred: AnyFloats | None = None,
    rules: Rules | None = None,
) -> PoseScore:  # fmt: skip
    """Score a prediction in the lab.

    Parameters
    ----------
    gt_v, gt_f : (V, 3), (F, 3)
        Truth, in pupil distances.
    pred_v_after_loader, pred_f : (W, 3), (G, 3)
        Prediction in the camera (x right, y down, z forward), in pupil distances
        (`layout.place_lab`).
    R : (3, 3)
        Head to camera.
    head_center : (3,) mm
        In the camera.
    K, Rt : (3, 3) px, (3, 4)
        Camera; its translation in pupil distances.
    depth_gt, depth_pred : (256, 256), mm, optional
        Depth images to use instead of our own, such as the official ones.

    Raises
    ------
    InputError
        A mesh cannot be scored, or the prediction does not lie over the truth.
    """
    rules = rules or Rules()
    check_placed(gt_v, gt_f, "the truth")
    check_placed(pred_v_after_loader, pred_f, "the prediction")
    gt_f, pred_f = _corners(gt_f), _corners(pred_f)
    K, Rt = np.asarray(K, np.float64), np.array(Rt, np.float64)
    Rt[:, 3] *= PUPIL_DISTANCE_MM
    gt = np.asarray(gt_v, np.float64) * PUPIL_DISTANCE_MM
    gt = Rt[:3, :3].dot(gt.T).T + Rt[:3, 3]
    pred = np.asarray(pred_v_after_loader, np.float64) * PUPIL_DISTANCE_MM

    own = exact_perspective_depth if rules.exact else perspective_depth
    render = rules.depth or partial(own, K=K)
    seen = _seen(
        (gt, gt_f),
        (pred, pred_f),
        (depth_gt, depth_pred),
        View(render=render, y_up=False, unit_mm=PUPIL_DISTANCE_MM),
    )
    mean_z = float(np.mean(seen.gt[seen.overlap]))  # float32 officially, and so here
    pred *= mean_z / (mean_z - seen.shift)
    return _compare((gt, gt_f), (pred, pred_f), R, np.asarray(head_center, np.float64), seen, rules)


class _Seen(NamedTuple):
    """Truth and prediction in depth images, mm; 0 where nothing is."""

    gt: AnyFloats
    pred: AnyFloats
    overlap: Bools
    shift: float
    """Of the prediction, in depth."""
    remark: str | None


def _seen(
    gt: tuple[Floats, Ints], pred: tuple[Floats, Ints],
    given: tuple[AnyFloats | None, AnyFloats | None], view: View,
) -> _Seen:  # fmt: skip
    """Draw both, but for the depth images that are given."""
    depth_gt, depth_pred = (
        view.render(*mesh) if depth is None else np.asarray(depth)
        for mesh, depth in zip((gt, pred), given, strict=True)
    )
    overlap = (depth_gt != 0) & (depth_pred != 0)
    remark = None
    if given[1] is None:
        remark = check_overlap(depth_gt, depth_pred, *pred, view)
    shift = depth_shift(depth_gt, depth_pred, overlap)
    return _Seen(depth_gt, depth_pred, overlap, shift, remark)


def _corners(faces: Ints) -> Ints:
    return np.ascontiguousarray(faces, np.int32)


def _compare(
    gt: tuple[Floats, Ints], pred: tuple[Floats, Ints], R: Floats, center: Floats, seen: _Seen,
    rules: Rules,
) -> PoseScore:  # fmt: skip
    R = np.asarray(R, np.float64)
    gt_v, pred_v = to_head(gt[0], R, center), to_head(pred[0], R, center)
    if rules.exact:
        map_gt = exact_map(gt_v, gt[1], outermost=rules.outermost)
        map_pred = exact_map(pred_v, pred[1], outermost=rules.outermost)
    else:
        map_gt, map_pred = official_map(gt_v, gt[1]), official_map(pred_v, pred[1])
    both = (map_gt.radius != 0) & (map_pred.radius != 0)
    if not both.any():
        raise InputError(
            "truth and prediction share no cell of the head's cylinder: the prediction does not "
            "lie where the face is"
        )
    turn = SIZE if rules.exact else SIZE - 1
    mesh_gt = cylinder_mesh(map_gt.radius * both, turn=turn)
    mesh_pred = cylinder_mesh(map_pred.radius * both, turn=turn)
    distances = chamfer(mesh_gt, mesh_pred, R=R)
    met = (map_gt.face >= 0) & (map_pred.face >= 0)
    normals = (
        normals_at(gt_v, gt[1], map_gt.face, met),
        normals_at(pred_v, pred[1], map_pred.face, met),
    )
    return PoseScore(
        cd=distances.mean,
        cr=completeness(map_gt, map_pred),
        mne=normal_error(*normals) if rules.exact else official_normal_error(*normals),
        delta_z=seen.shift,
        depth_gt=seen.gt * seen.overlap,
        depth_pred=seen.pred * seen.overlap,
        map_gt=map_gt,
        map_pred=map_pred,
        distances=distances,
        mesh_pred=mesh_pred,
        remark=seen.remark,
        cut=mesh_gt.beyond + mesh_pred.beyond,
    )
