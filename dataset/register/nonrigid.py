"""Lay the fitted face on the scan: offsets of the vertices, coarse to fine.

Each round finds the scan nearest to the vertices and solves a sparse least-squares problem for
the offsets from M0: distances to the scan's tangent planes against the differences of
neighbouring offsets (stretch) and their Laplacian (bending). Offsets, not positions, are kept
smooth, so that M0's layout of the vertices stays. Where there is no scan they run on smoothly and
fade. Parts that are no skin follow their surroundings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ...core.arrays import AnyFloats, Floats, Floats32, Ints
from ...core.facemodel.model import FaceModel
from ...core.geometry.mesh import edges_of, face_areas, vertex_normals
from ..meshgraph import conjugate_gradient
from .follow import followed
from .modelrows import skin_mask
from .surface import Matches, Target


@dataclass(frozen=True, kw_only=True)
class Round:
    """Settings of some solves."""

    reach_mm: float
    cosine: float
    stretch: float  # weight of differences of offsets, against data's one per mm² of skin
    bending: float  # mm², weight of their Laplacian
    n_solves: int


ROUNDS = (
    Round(reach_mm=6.0, cosine=0.6, stretch=30.0, bending=3000.0, n_solves=2),
    Round(reach_mm=4.0, cosine=0.7, stretch=5.0, bending=300.0, n_solves=2),
    Round(reach_mm=3.0, cosine=0.75, stretch=1.0, bending=30.0, n_solves=2),
    Round(reach_mm=2.0, cosine=0.8, stretch=0.1, bending=240.0, n_solves=2),
)
"""The last bending follows waves of some 17 mm by half, of 45 mm but for some hundredths: finer
relief is left to the displacement map, where it looks like skin. Vertices that follow it take from
the map what it is for, and more of it where the model has more vertices."""
_TANGENT = 0.002  # of the data's weight holds offsets along the surface back
_FADE = 2e-3  # per mm²: holds offsets back where there is no scan
_TRUSTED = 0.15  # scan trusted as far as that supports a vertex fully
_CG_STEPS = 400
_CG_RTOL = 1e-5


@dataclass(frozen=True, kw_only=True)
class Laid:
    """A face laid on a scan, head frame."""

    offset: Floats
    """(V, 3) mm."""
    support: Floats32
    """(V,)."""
    residual: Floats32
    """(V,) mm, NaN without support."""


def lay_on(
    model: FaceModel, coarse: Floats, target: Target, *, rounds: Sequence[Round] = ROUNDS
) -> Laid:
    """Find the offsets that lay M0 on the scan.

    Parameters
    ----------
    coarse : (V, 3) float64, mm
        M0 in the target's frame.
    target : Target
        The scan in the head frame.
    """
    sheet = _sheet(model, coarse)
    offset = np.zeros((len(sheet.skin), 3))
    for settings in rounds:
        smooth = settings.stretch * sheet.stretch + settings.bending * sheet.bending
        for _ in range(settings.n_solves):
            now = sheet.rest + offset
            normals = vertex_normals(now, sheet.faces)
            near = target.closest(now, within=settings.reach_mm)
            weight = _data_weight(near, normals, settings)
            offset = _solve(sheet, smooth, now, near, weight, offset)
    full = np.zeros_like(coarse)
    full[sheet.skin] = offset
    full = followed(model, coarse, full, skin_mask(model))
    support, residual = measured(model, coarse + full, target, rounds[-1])
    return Laid(offset=full, support=support, residual=residual)


def measured(
    model: FaceModel, vertices: Floats, target: Target, settings: Round
) -> tuple[Floats32, Floats32]:
    """Return support (V,) and signed distance scan - model (V,), mm, NaN without support."""
    skin = np.flatnonzero(skin_mask(model))
    normals = vertex_normals(vertices, model.faces)[skin]
    near = target.closest(vertices[skin], within=settings.reach_mm)
    measured_well = np.minimum(near.weight / _TRUSTED, 1.0)
    weight = _agreement(near, normals, settings) * measured_well
    support = np.zeros(len(vertices), np.float32)
    support[skin] = weight
    residual = np.full(len(vertices), np.nan, np.float32)
    gap = near.points - vertices[skin]
    side = np.where((gap * normals).sum(1) < 0, -1.0, 1.0)
    residual[skin[weight > 0]] = (side * near.distance)[weight > 0]
    return support, residual


@dataclass(frozen=True, kw_only=True)
class _Sheet:
    """The skin at rest and the matrices of its stiffness."""

    skin: Ints
    faces: Ints
    rest: Floats
    """(S, 3) M0."""
    area: Floats
    """(S,) mm² of skin a vertex stands for."""
    stretch: sparse.csr_array
    """(S, S): x' A x is the sum of squared differences along edges."""
    bending: sparse.csr_array
    """(S, S): x' B x is the sum of squared Laplacians, per mm²."""


def _sheet(model: FaceModel, coarse: Floats) -> _Sheet:
    mask = skin_mask(model)
    skin = np.flatnonzero(mask).astype(np.int32)
    index = np.full(len(mask), -1, np.int32)
    index[skin] = np.arange(len(skin))
    faces = index[model.faces[mask[model.faces].all(1)]]
    n = len(skin)
    rest = coarse[skin]
    areas = face_areas(rest, faces) / 3
    area = np.bincount(faces.ravel(), weights=np.repeat(areas, 3), minlength=n)
    edges = edges_of(faces)
    i, j = edges.T
    # as many rows as edges, each weighed by the area beside it over its squared length
    length2 = np.maximum(((rest[i] - rest[j]) ** 2).sum(1), 1e-3)
    mean_area = (area[i] + area[j]) / 2
    w = np.minimum(mean_area / length2, 4.0) / 3
    both = np.r_[i, j], np.r_[j, i]
    degree = np.bincount(both[0], weights=np.r_[w, w], minlength=n)
    stretch = sparse.diags_array(degree) - sparse.csr_array((np.r_[w, w], both), shape=(n, n))
    stretch = sparse.csr_array(stretch)
    per_area = sparse.diags_array(1 / np.maximum(area, 0.05))
    return _Sheet(
        skin=skin,
        faces=faces,
        rest=rest,
        area=np.asarray(area),
        stretch=stretch,
        bending=sparse.csr_array(stretch @ per_area @ stretch),
    )


def _data_weight(near: Matches, normals: Floats, settings: Round) -> Floats:
    """Weight (N,) in [0, 1] of each match: trusted, close, facing the same way."""
    return near.weight * _agreement(near, normals, settings)


def _agreement(near: Matches, normals: Floats, settings: Round) -> Floats:
    """Return (N,) in [0, 1]: 1 for matches that are close and face the same way."""
    cosine = (near.normals * normals).sum(1)
    t = np.minimum(near.distance / settings.reach_mm, 1.0)
    facing = np.clip((cosine - settings.cosine) / (1 - settings.cosine) * 3, 0, 1)
    return np.asarray((1 - t**4) * facing)


def _solve(
    sheet: _Sheet,
    smooth: sparse.csr_array,
    now: Floats,
    near: Matches,
    weight: Floats,
    start: Floats,
) -> Floats:
    """Return the offsets (S, 3) of least energy under these matches."""
    n = near.normals
    w = weight * sheet.area
    # offsets x from rest r: w (n . (r + x - q))^2 + tangent w |x|^2 + fade |x|^2 + x' smooth x
    height = w * ((near.points - sheet.rest) * n).sum(1)
    hold = _TANGENT * w + _FADE * sheet.area * (weight == 0)

    def times(x: AnyFloats) -> AnyFloats:
        X = x.reshape(-1, 3)
        out = smooth @ X + hold[:, None] * X + (w * (X * n).sum(1))[:, None] * n
        return np.asarray(out.reshape(-1))

    diagonal = (smooth.diagonal() + hold)[:, None] + w[:, None] * n**2
    solved = conjugate_gradient(
        times,
        (height[:, None] * n).reshape(-1),
        diagonal=np.maximum(diagonal, 1e-9).reshape(-1),
        start=start.reshape(-1).copy(),
        rtol=_CG_RTOL,
        n_steps=_CG_STEPS,
    )
    return np.asarray(solved, dtype=np.float64).reshape(-1, 3)
