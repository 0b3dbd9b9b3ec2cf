"""The contour-aware loss: the rendered face's edge lies where the mask's edge is.

As released, every projected vertex is judged by its image row alone. The repaired form looks at
the true contour: vertices on the edge of the *visible* surface, below the hairline, by their
distance in the image to the mask's edge, found to a fraction of a pixel.

Points of the image are px with y **up** in the released form, as HRN has its landmarks, and px
with y down, pixel centres at halves, in the repaired one.

Source
------
As released: github.com/youngLBW/HRN; the repaired form is ours.
"""

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.ndimage import zoom as resampled
from torch import Tensor
from torch.nn import functional

from ..core.arrays import AnyFloats, Floats32, Ints

EDGE = 0.01
"""Image widths inside the edge within which a vertex counts as one of the contour."""
REACH = 0.06
"""Image widths beyond which the repaired form no longer pulls: the mask is wrong there."""
_FINE = 4  # samples a pixel in which the mask's edge is found


def mask_rows(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return (H,) left and right edge of a mask (H, W), px; 0 and W - 1 in rows without it."""
    inside = mask > 0.5
    width = mask.shape[1]
    columns = torch.arange(width, device=mask.device)
    first = torch.where(inside, columns, width).amin(dim=1) + 1
    last = torch.where(inside, columns, -1).amax(dim=1)
    empty = ~inside.any(dim=1)
    left = torch.where(empty, torch.zeros_like(first), first)
    right = torch.where(empty, torch.full_like(last, width - 1), last)
    return left.to(torch.float32), right.to(torch.float32)


def contour_released(points: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Return the loss of all projected vertices (N, 2), px, y up, exactly as released.

    NaN where a vertex lies on the only column of its row: it divides by zero there.
    """
    n_rows = len(left)
    x = points[:, 0]
    row = (n_rows - 1 - points[:, 1].ceil().clamp(0, n_rows - 1)).to(torch.int64)
    to_left, to_right = left[row] - x, right[row] - x
    e = (to_left * to_right / n_rows**2) / torch.maximum(
        to_left.abs() / n_rows, to_right.abs() / n_rows
    )
    return contour_cost(e).mean()


def contour_cost(e: Tensor) -> Tensor:
    """Return the released cost of signed distances to the edge, in image widths, + outside."""
    return ((e + EDGE).clamp(min=0.0) - EDGE).abs()


def signed_distance(mask: AnyFloats) -> Floats32:
    """Return (H, W) px from each pixel centre to the edge of a soft mask, negative inside.

    The edge is where the interpolated mask is one half. A mask without an edge gives zeros.
    """
    fine = resampled(np.asarray(mask, np.float32), _FINE, order=1, grid_mode=True, mode="nearest")
    inside = fine > 0.5
    if inside.all() or not inside.any():
        return np.zeros(np.asarray(mask).shape, np.float32)
    # a transform measures to the centre of the nearest other sample: half a sample too far
    outer = distance_transform_edt(~inside) - 0.5
    inner = distance_transform_edt(inside) - 0.5
    signed = np.where(inside, -inner, outer) / _FINE
    height, width = np.asarray(mask).shape
    blocks = signed.reshape(height, _FINE, width, _FINE)
    middle = slice(_FINE // 2 - 1, _FINE // 2 + 1)  # the four samples about a pixel's centre
    return np.asarray(blocks[:, middle, :, middle].mean(axis=(1, 3)), np.float32)


def silhouette_vertices(
    face_normals_z: AnyFloats, edges: Ints, edge_faces: Ints, visible_faces: Ints
) -> Ints:
    """Return the vertices on the edge of the visible surface.

    Ends of edges where a seen face meets one that turns away, or where the mesh ends.

    Parameters
    ----------
    face_normals_z : (F,)
        Positive where a face turns to the camera.
    edges : (E, 2)
    edge_faces : (E, 2)
        Faces on both sides; -1: none.
    visible_faces : (n,)
        Faces that were found in the raster; the hidden ones lend no vertex.
    """
    seen = np.zeros(len(face_normals_z) + 1, bool)  # the last stands for "no face"
    seen[visible_faces] = True
    facing = np.append(np.asarray(face_normals_z) > 0, False)
    first, second = edge_faces[:, 0], edge_faces[:, 1]
    on_edge = (facing[first] != facing[second]) & (seen[first] | seen[second])
    return np.unique(edges[on_edge]).astype(np.int32)


def contour_repaired(points: Tensor, signed: Tensor, *, hairline_y: float = -np.inf) -> Tensor:
    """Return the mean distance of contour vertices to the mask's edge, in image widths.

    Parameters
    ----------
    points : (N, 2) px, y down
        Projected vertices of `silhouette_vertices`.
    signed : (H, W) px
        Of `signed_distance`.
    hairline_y : float
        Points above it (smaller y) are left out: hair ends the mask there, not the face.
    """
    height, width = signed.shape
    used = points.detach()[:, 1] > hairline_y
    used = used & (points.detach() > 0).all(dim=1)
    used = used & (points.detach()[:, 0] < width) & (points.detach()[:, 1] < height)
    if not bool(used.any()):
        return points.sum() * 0.0
    half = points.new_tensor([width / 2, height / 2])
    at = (points[used] / half - 1)[None, None]
    found = functional.grid_sample(
        signed[None, None], at, align_corners=False, padding_mode="border"
    )
    e = found.reshape(-1).abs() / width
    # beyond REACH the cost stays at REACH: no pull, and no reward for leaving
    return e.clamp(max=REACH).mean()
