"""Normals of the detailed surface, by which a displacement is seen without being meshed.

The texels of the chart are a grid of quads in space, x. Moved by the displacement d along the
smooth normals n they have other grid normals g, and what changes is added to n:

    n_detail = n + F (g(x + d n) - g(x))

The difference keeps the model's facets out. F is the identity, and n and n_detail are unit
vectors: a bump outward is seen as a bump. The released code has F = diag(-1, -1, 1), which
answers to it as to a dent where UVs are not mirrored, and does not normalise; `compat` does the
same for its weights. `outward_sign` tells what such a displacement is worth as geometry.

Source
------
Lei et al., CVPR 2023, and github.com/youngLBW/HRN; F = I, unit normals and seams are ours.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..core.arrays import Floats32
from ..core.facemodel.model import FaceModel
from ..dataset.bake.chart import chart, uv_sign
from ..dataset.bake.normals import face_derivatives
from .facetensors import FaceTensors
from .vectors import unit

RELEASED_FLIP = (-1.0, -1.0, 1.0)
NO_FLIP = (1.0, 1.0, 1.0)
_MARGIN_COLUMNS, _MARGIN_ROWS = 2, 5  # texels at the map's edges without quads, as released
_ELSEWHERE = 4.0  # texels' sides: what lies farther from its neighbour lies across a seam
_SLACK_MM = 1.0


def detail_normals(
    points: Tensor,
    normals: Tensor,
    displacement: Tensor,
    quads: Tensor,
    *,
    flip: tuple[float, float, float] = NO_FLIP,
    normalised: bool = True,
) -> Tensor:
    """Return the normals (B, 3, S, S) of the displaced texels; 0 outside of the chart.

    Parameters
    ----------
    points, normals : (B, 3, S, S)
        Texels of M1, in one frame; 0 outside.
    displacement : (B, 1, S, S)
        In the points' unit, + along `normals`.
    quads : (S - 1, S - 1)
        As `chart_quads` or `released_quads` gives them.
    flip : three signs
        The diagonal of F.
    normalised : bool
        Whether lengths become 1; else as they come.
    """
    smooth = unit(normals, dim=1) if normalised else normals
    bent = grid_normals(points + displacement * smooth, quads) - grid_normals(points, quads)
    detailed = smooth + bent * points.new_tensor(flip)[:, None, None]
    if not normalised:
        return detailed
    inside = (normals != 0).any(dim=1, keepdim=True)
    return unit(detailed, dim=1) * inside


def grid_normals(points: Tensor, quads: Tensor) -> Tensor:
    """Return the unit normals (B, 3, S, S) of a grid of quads, two triangles each.

    Triangles count by their area. A texel that no quad touches has 0.
    """
    a, b = points[:, :, :-1, :-1], points[:, :, :-1, 1:]
    c, d = points[:, :, 1:, :-1], points[:, :, 1:, 1:]
    first = torch.linalg.cross(c - a, b - a, dim=1) * quads
    second = torch.linalg.cross(c - b, d - b, dim=1) * quads
    both = first + second
    at_corners = (
        functional.pad(first, (0, 1, 0, 1))
        + functional.pad(both, (1, 0, 0, 1))
        + functional.pad(both, (0, 1, 1, 0))
        + functional.pad(second, (1, 0, 1, 0))
    )
    return unit(at_corners, dim=1)


def chart_quads(model: FaceModel, size: int) -> Floats32:
    """Return (size - 1, size - 1): 1 for a square of texels on one piece of skin, else 0.

    -1 where the chart shows the head's surface mirrored, so that normals point outward.
    """
    texels = chart(model, size)
    along = face_derivatives(model, model.mean)
    side = np.maximum(*(np.linalg.norm(d, axis=1) for d in along)) / size
    reach = (_ELSEWHERE * np.append(side, 0) + _SLACK_MM)[texels.face]
    points = texels.interpolated(model.mean)
    near_right = np.linalg.norm(np.diff(points, axis=1), axis=2) < reach[:, :-1]
    near_down = np.linalg.norm(np.diff(points, axis=0), axis=2) < reach[:-1]
    inside = texels.inside
    whole = inside[:-1, :-1] & inside[1:, :-1] & inside[:-1, 1:] & inside[1:, 1:]
    whole &= near_right[:-1] & near_right[1:] & near_down[:, :-1] & near_down[:, 1:]
    sign = np.append(uv_sign(model), 0)[texels.face[:-1, :-1]]
    return (whole * sign).astype(np.float32)


def released_quads(size: int) -> Floats32:
    """Return (size - 1, size - 1): the released code's grid, 1 but for the map's margins."""
    quads = np.zeros((size - 1, size - 1), np.float32)
    quads[_MARGIN_ROWS:-_MARGIN_ROWS, _MARGIN_COLUMNS:-_MARGIN_COLUMNS] = 1
    return quads


def outward_sign(face: FaceTensors, *, flip: tuple[float, float, float] = RELEASED_FLIP) -> float:
    """Return 1 if the released formula shades an outward bump as a bump, -1 if as a dent.

    The grid's normals point outward where u grows to the subject's left as v grows upward, and
    inward in a mirrored chart. A network trained through the formula has learnt displacements
    of this sign; times it they are outward.
    """
    away = face.vertex_uv - face.vertex_uv.mean(dim=0)
    place = face.mean[:, :2] - face.mean[:, :2].mean(dim=0)
    along = torch.sign((away * place)[face.chart_vertices].sum(dim=0)).prod()
    return float(torch.sign(along * flip[0]))
