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

**Aim.** Views are placed to some hundredths of a pixel (calibration, lens, interpolation), and
one that lies displaced against the others (`viewhealth.py`) by as much as that. What that means
along the normal depends on how far their lines of sight diverge: little for a ring of cameras,
much for a narrow pair. Beyond a tenth or two of a pixel the sweep, which goes by the three views
that agree best, no longer follows such a view.

Where nothing was measured the surface is bridged, and the variance grows in proportion to the
distance from what was measured, as of a random walk. What was measured right beside it is worth
little more, whatever its score: on eyes, glints and reflections agree with each other. So no
variance is below a half of the mean over its neighbourhood.

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

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..core.arrays import AnyFloats, Bools, Floats, Floats32, Ints
from .meshgraph import MeshGraph, mesh_graph, smoothed, surface_normals
from .stereo.sweep import Swept
from .stereo.visibility import SeenBy

GOOD_PX = 0.35
"""Standard deviation of a measurement that informs by one half, root of `v0`."""

EXPONENT = 3.0  # of the pooled information; 2 and 4 fit almost as well
_MATCHING_PX = 0.0172  # where every measurement informs fully: fitted on four virtual heads
_LEAST_INFORMATION = 0.05  # below, the surface is bridged, and distance says more
PATCH_RADIUS_PX = 1.75  # of the sweep's patches, as they are weighted
_AIM_PX = 0.03  # of views to each other; what a good calibration leaves
_MOST_DISPLACED_PX = 0.1  # of a view that still takes part; more costs correlation
_BRIDGED = 2.0  # variance gained per footprint of distance from what was measured, px²
_FIRM = 0.7  # share of measured vertices around one that is called measured
_POOLING_PASSES = 4  # some three edges: about what the solve reaches over
_NORMAL_PASSES = 3  # about the radius of a patch
_TURNING_PASSES = 6  # what the stiff solve hands on
_MOST_PX = 30.0  # more says nothing but "unknown"
_VERTICES_AT_ONCE = 1 << 18
_NEIGHBOURHOOD_PASSES = 8  # some four edges
_LEAST_OF_NEIGHBOURHOOD = 0.5
_UNRELIABLE_PASSES = 12
_UNRELIABLE_PX = 2.0
_FILLING_PASSES = 8


def surface_sigma(swept: Swept, centers: Floats, *, displaced_px: Floats | None = None) -> Floats32:
    """Return each vertex's standard deviation along its normal.

    Parameters
    ----------
    swept : Swept
        The result of the last sweep, before trimming.
    centers : (n_views, 3)
        Of the cameras of the views, in the order that `swept.seen.views` counts.
    displaced_px : (n_views,), optional
        How far each view lies displaced against the others; unknown ones 0.

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
    variance = _MATCHING_PX**2 / pooled**EXPONENT
    variance += PATCH_RADIUS_PX**2 * _turning(normals, graph)
    aim = np.full(len(centers), _AIM_PX**2)
    if displaced_px is not None:
        aim += np.minimum(displaced_px, _MOST_DISPLACED_PX) ** 2
    variance += _aim_variance(vertices, normals, swept.seen, centers, aim)
    variance += _BRIDGED * _away(vertices, swept.score > -1, graph, swept.seen.footprint)
    around = smoothed(variance.astype(np.float32), graph, n_passes=_NEIGHBOURHOOD_PASSES)
    variance = np.maximum(variance, _LEAST_OF_NEIGHBOURHOOD * around)
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


def reliable(sigma: Floats32, footprint: AnyFloats, faces: Ints) -> Floats32:
    """Return (V,) 1 for what can be used as surface, 0 where it is little more than a guess.

    A guess lies where sigma, root mean square over some six edges around, is above two pixel
    footprints: hair, lashes, eyes, folds that no two views look into. One vertex alone cannot
    tell: between glints that match nothing there are always some that match.
    """
    square = (np.asarray(sigma) / footprint).astype(np.float32) ** 2
    graph = mesh_graph(faces, len(square))
    around = smoothed(square, graph, n_passes=_UNRELIABLE_PASSES)
    return np.asarray(around <= _UNRELIABLE_PX**2, dtype=np.float32)


def filled(measured: Bools, faces: Ints) -> Floats32:
    """Return (V,) 1 where most of the surface around a vertex was bridged, not measured."""
    graph = mesh_graph(faces, len(measured))
    around = smoothed(measured.astype(np.float32), graph, n_passes=_FILLING_PASSES)
    return np.asarray(around < 0.5, dtype=np.float32)


def _turning(normals: Floats32, graph: MeshGraph) -> Floats32:
    """Return (V,) the variance of the normals' directions around each vertex, rad²."""
    mean = [smoothed(normals[:, k], graph, n_passes=_NORMAL_PASSES) for k in range(3)]
    length = np.sqrt(mean[0] ** 2 + mean[1] ** 2 + mean[2] ** 2)
    return smoothed(np.maximum(2 * (1 - length), 0), graph, n_passes=_TURNING_PASSES)


def _aim_variance(
    vertices: Floats, normals: Floats32, seen: SeenBy, centers: Floats, aim: Floats
) -> Floats32:
    """Return (V,) px² along the normal of views whose aims vary by `aim`, px²; 0 below two views.

    A point that moves by 1 along its normal slides by t, the tangent part of the direction to
    the camera over its cosine, against what that camera sees of the surface. How far the t of
    several views spread is what fixes the point: with D = |t - mean t|², the variance is
    sum of D aim over (sum of D)².
    """
    variance = np.zeros(len(vertices), np.float32)
    for start in range(0, len(vertices), _VERTICES_AT_ONCE):
        part = slice(start, start + _VERTICES_AT_ONCE)
        variance[part] = _aim_of(
            vertices[part], normals[part], seen.views[part], centers, aim.astype(np.float32)
        )
    return variance


def _aim_of(
    vertices: Floats, normals: Floats32, chosen: NDArray[Any], centers: Floats, aim: Floats32
) -> Floats:
    """Return what `_aim_variance` does for one part of the vertices."""
    # sums over the views of 1, t and |t|²; then the same weighted by `aim`
    sums = np.zeros((2, 5, len(vertices)), np.float32)
    for rank in range(chosen.shape[1]):
        rows = np.flatnonzero(chosen[:, rank] >= 0)
        view = chosen[rows, rank]
        away = (centers[view] - vertices[rows]).astype(np.float32)
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        cosine = (away * normals[rows]).sum(axis=1, keepdims=True)
        slide = away / np.maximum(cosine, np.float32(0.2)) - normals[rows]
        terms = np.column_stack([np.ones_like(cosine), slide, (slide * slide).sum(axis=1)]).T
        sums[0][:, rows] += terms
        sums[1][:, rows] += aim[view] * terms
    n = np.maximum(sums[0, 0], 1)
    mean = sums[0, 1:4] / n
    spread, of_aim = (
        s[4] - 2 * (mean * s[1:4]).sum(axis=0) + (mean * mean).sum(axis=0) * s[0] for s in sums
    )
    typical = np.where(spread > 1e-4, of_aim / np.maximum(spread, 1e-4), sums[1, 0] / n)
    least = (2 * _AIM_PX / _MOST_PX) ** 2
    return np.where(sums[0, 0] >= 2, typical / np.maximum(spread, least), 0.0)


def _away(vertices: Floats, measured: Bools, graph: MeshGraph, footprint: AnyFloats) -> Floats:
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
