"""How exactly each vertex of a swept surface is known: one standard deviation along its normal.

Three things make a swept surface err, and their variances are added, in squared pixel
footprints (the size of a pixel at the surface) before they become lengths:

**Matching.** The peak of the score profile says how far its place can be off: what disagrees
there, 1 - NCC, over how sharply the agreement falls, the curvature; both carry the image noise,
the texture, the number of views that agree and their baseline angles. A measurement with that
variance `v` informs as `q = v0 / (v0 + v)`, one that failed as 0. The solve pools a vertex with
its surroundings, so that the mean of `q` over them counts, not its own; the less they know, the
farther it reaches for support, the more relief it smooths away and the likelier are wrong peaks:
the variance grows as `q` to the power -3.

**Shape.** Patches are flat and the solve is stiff: where the surface turns by `theta` (radians,
spread of the normals) within a patch of radius `r`, it departs from both by about `r theta`.

**Aim.** Views are placed to some hundredths of a pixel (calibration, lens, interpolation). What
that means along the normal depends on how far their lines of sight diverge: little for a ring
of cameras, much for a narrow pair.

Where nothing was measured the surface is bridged, and the variance grows in proportion to the
distance from what was measured, as of a random walk.

How well this fits is told by two figures, of the vertices that count (of the subject, seen by
two views) with the signed distance `error` from the true surface along its normal:

- `sigma_coverage`: share of vertices with |error| <= sigma. A normal error would give 68 %; the
  tails of the true one are longer, its middle therefore narrower.
- `sigma_corr`: Pearson correlation between log(root mean square of sigma) and log(root mean
  square of error) over small patches of surface: the vertices within each cube of a grid of 2 mm
  (of seven edge lengths where that is more), cubes with fewer than 20 left out. A patch, since
  one error alone, being random, has no size to correlate with; no binning by sigma, which would
  flatter.
"""

import numpy as np
from scipy.spatial import cKDTree

from ..core.arrays import Bools, Floats, Floats32
from .meshgraph import MeshGraph, mesh_graph, smoothed, surface_normals
from .stereo.sweep import Swept
from .stereo.visibility import SeenBy

GOOD_PX = 0.35
"""Standard deviation of a measurement that informs by one half, root of `v0`."""

_EXPONENT = 3.0  # of the pooled information; 2 and 4 fit almost as well
_MATCHING_PX = 0.0155  # where every measurement informs fully: fitted on four virtual heads
_LEAST_INFORMATION = 0.05  # below, the surface is bridged, and distance says more
_PATCH_RADIUS_PX = 2.0  # of the sweep's patches: its `radius`
_AIM_PX = 0.03  # of views to each other; what a good calibration leaves
_BRIDGED = 2.0  # variance gained per footprint of distance from what was measured, px²
_FIRM = 0.7  # share of measured vertices around one that is called measured
_POOLING_PASSES = 4  # some three edges: about what the solve reaches over
_NORMAL_PASSES = 3  # about the radius of a patch
_MOST_PX = 30.0  # more says nothing but "unknown"
_UNRELIABLE_PX = 1.0
_UNRELIABLE_SCORE = 0.8


def surface_sigma(swept: Swept, centers: Floats) -> Floats32:
    """Return each vertex's standard deviation along its normal.

    Parameters
    ----------
    swept : Swept
        The result of the last sweep, before trimming.
    centers : (n_views, 3)
        Of the cameras of the views, in the order that `swept.seen.views` counts.

    Returns
    -------
    (V,) float32, the rig's unit
        Between some hundredths of a pixel footprint and 30 of them.

    Source
    ------
    Constants fitted on virtual heads; `docs/formats/build.md` says how well they hold.
    """
    vertices = np.asarray(swept.mesh.vertices, dtype=np.float64)
    graph = mesh_graph(swept.mesh.faces, len(vertices))
    normals = surface_normals(vertices, swept.mesh.faces)
    pooled = np.maximum(
        smoothed(information(swept.score, swept.curvature), graph, n_passes=_POOLING_PASSES),
        np.float32(_LEAST_INFORMATION),
    )
    variance = _MATCHING_PX**2 / pooled**_EXPONENT
    variance += _PATCH_RADIUS_PX**2 * _turning(normals, graph)
    variance += _aim_variance(vertices, normals, swept.seen, centers)
    variance += _BRIDGED * _away(vertices, swept.score > -1, graph, swept.seen.footprint)
    sigma_px = np.minimum(np.sqrt(variance), _MOST_PX)
    return np.asarray(sigma_px * swept.seen.footprint, dtype=np.float32)


def information(score: Floats32, curvature: Floats32) -> Floats32:
    """Return (V,) what each measurement tells, 0-1: v0 / (v0 + variance of its peak).

    Parameters
    ----------
    score : (V,)
        NCC at the peak; -1 where nothing was measured.
    curvature : (V,)
        Of the profile at its peak, NCC per squared footprint.
    """
    disagreement = np.maximum(1 - score, np.float32(1e-3))
    sharp = np.maximum(curvature, 0) * np.float32(GOOD_PX**2)
    return np.where(score > -1, sharp / (sharp + disagreement), np.float32(0))


def reliable(sigma: Floats32, score: Floats32, footprint: Floats) -> Floats32:
    """Return (V,) 1 for what can be used as surface, 0 where it is little more than a guess.

    A guess is a vertex whose sigma is above one pixel footprint and whose score is below 0.8 or
    missing: hair, lashes, glints on eyes, folds that no two views look into.
    """
    guessed = (sigma > _UNRELIABLE_PX * footprint) & (score < _UNRELIABLE_SCORE)
    return np.asarray(~guessed, dtype=np.float32)


def _turning(normals: Floats32, graph: MeshGraph) -> Floats32:
    """Return (V,) the variance of the normals' directions around each vertex, rad²."""
    mean = [smoothed(normals[:, k], graph, n_passes=_NORMAL_PASSES) for k in range(3)]
    length = np.sqrt(mean[0] ** 2 + mean[1] ** 2 + mean[2] ** 2)
    return smoothed(np.maximum(2 * (1 - length), 0), graph, n_passes=2)


def _aim_variance(vertices: Floats, normals: Floats32, seen: SeenBy, centers: Floats) -> Floats:
    """Return (V,) px² along the normal of views that aim `_AIM_PX` wrong; 0 below two views.

    A point that moves by 1 along its normal slides by t, the tangent part of the direction to
    the camera over its cosine, against what that camera sees of the surface. How far the t of
    several views spread is what fixes the point: precision = sum of |t - mean t|².
    """
    total, square = np.zeros((len(vertices), 3), np.float32), np.zeros(len(vertices), np.float32)
    n = np.zeros(len(vertices), np.float32)
    for rank in range(seen.views.shape[1]):
        rows = np.flatnonzero(seen.views[:, rank] >= 0)
        away = (centers[seen.views[rows, rank]] - vertices[rows]).astype(np.float32)
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        cosine = (away * normals[rows]).sum(axis=1, keepdims=True)
        slide = away / np.maximum(cosine, np.float32(0.2)) - normals[rows]
        total[rows] += slide
        square[rows] += (slide * slide).sum(axis=1)
        n[rows] += 1
    spread = square - (total * total).sum(axis=1) / np.maximum(n, 1)
    least = (2 * _AIM_PX / _MOST_PX) ** 2
    return np.where(n >= 2, _AIM_PX**2 / np.maximum(spread, least), 0.0)


def _away(vertices: Floats, measured: Bools, graph: MeshGraph, footprint: Floats) -> Floats:
    """Return (V,) how far from firmly measured surface each vertex lies, in footprints."""
    around = smoothed(measured.astype(np.float32), graph, n_passes=_POOLING_PASSES)
    firm = measured & (around > _FIRM)
    if not firm.any():
        return np.full(len(vertices), _MOST_PX**2 / _BRIDGED)
    rim = firm & (around < 1 - 1e-6)  # the nearest ones are among these: a quicker search
    distance = np.zeros(len(vertices))
    goal = vertices[rim] if rim.any() else vertices[firm]
    distance[~firm], _ = cKDTree(goal).query(vertices[~firm])
    return np.asarray(distance / footprint)
