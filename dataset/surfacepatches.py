"""Small pieces of a surface as each view photographed them, side by side.

A patch is a square grid on the tangent plane of a surface point, spaced by the pixel footprint
of the view that sees it finest: the same pieces of skin in every view, turned alike. Views can
then be held against each other without a word about cameras.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..core.arrays import Bools, Floats, Floats32
from ..core.geometry.closest import SurfaceQuery
from ..core.geometry.mesh import Mesh
from .meshgraph import mesh_graph, smooth_normals, surface_normals
from .stereo.views import View

RADIUS = 4
"""Steps from a patch's middle to its edge."""

_LEAST_COSINE = 0.45  # more grazing views see a patch too coarsely to be compared
_NORMAL_PASSES = 4  # patches span several triangles
_LIFT = 1.5  # footprints above the surface, where rays begin that must not meet it
_LEAST_VIEWS = 3
_CANDIDATES = 4  # points looked at for each that is wanted
_MOST_PATCHES = 120_000  # 100 MB
_REMAP_ROWS = 1 << 14  # remap takes images of less than 32768 rows


@dataclass(frozen=True, kw_only=True)
class SurfacePatches:
    """Patches of N surface points in every view; S = 2 `RADIUS` + 1 samples a side."""

    points: Floats
    """(N, 3)."""
    values: Floats32
    """(n_views, N, S, S) grey, sRGB-coded, 0-1; 0 where not seen. The last axis runs along the
    first tangent."""
    seen: Bools
    """(n_views, N)."""
    cosine: Floats32
    """(n_views, N) of the viewing angle."""
    px_per_step: Floats32
    """(n_views, N, 2, 2): image vector, px, of one step along each tangent (columns)."""


def surface_patches(
    mesh: Mesh, views: list[View], *, points: Floats | None = None, n_points: int = 5000
) -> SurfacePatches:
    """Cut out patches of at most `n_points` points that three or more views see.

    The points are taken at even steps of their order: the same on every call.

    Parameters
    ----------
    mesh : Mesh
        The surface: what hides what, and which way it faces.
    points : (P, 3), optional
        On a finer version of the surface; the mesh's vertices by default.
    """
    vertices = np.asarray(mesh.vertices, dtype=np.float64)
    normals_there = smooth_normals(
        surface_normals(vertices, mesh.faces), mesh_graph(mesh.faces, len(vertices)),
        n_passes=_NORMAL_PASSES,
    )  # fmt: skip
    n_points = min(n_points, _MOST_PATCHES // len(views))
    if points is None:
        rows = _evenly(len(vertices), _CANDIDATES * n_points)
        points = vertices[rows]
    else:
        points = points[_evenly(len(points), _CANDIDATES * n_points)]
        rows = np.asarray(cKDTree(vertices).query(points)[1], dtype=np.int64)
    normals = normals_there[rows].astype(np.float64)
    query = SurfaceQuery(vertices, mesh.faces)
    found = [_seen_from(view, points, normals, query) for view in views]
    cosine = np.array([c for c, _ in found], np.float32)
    footprint = np.array([f for _, f in found]).min(axis=0)
    enough = np.flatnonzero((cosine > 0).sum(axis=0) >= _LEAST_VIEWS)
    enough = enough[_evenly(len(enough), n_points)]
    points, cosine = points[enough], cosine[:, enough]
    steps = _tangents(normals[enough]) * footprint[enough, None, None]
    seen = cosine > 0
    affine = np.array([_affine(view, points, steps) for view in views], np.float32)
    n_side = 2 * RADIUS + 1
    values = np.zeros((len(views), len(points), n_side, n_side), np.float32)
    for k, view in enumerate(views):
        values[k, seen[k]] = sample(view, points[seen[k]], affine[k, seen[k]])
    return SurfacePatches(
        points=points, values=values, seen=seen, cosine=cosine, px_per_step=affine
    )


def sample(
    view: View, points: Floats, px_per_step: Floats32, *, shift: Floats | None = None
) -> Floats32:
    """Return (N, S, S) bilinear samples of the grey round where the view sees `points` (N, 3).

    `shift` (2,), px, is added in the image: where a photograph lies displaced.
    """
    xy, _ = view.camera.project(points)
    if shift is not None:
        xy = xy + shift
    along = np.arange(-RADIUS, RADIUS + 1, dtype=np.float32)
    grid = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)  # (S², 2)
    maps = (xy - 0.5).astype(np.float32)[:, None] + np.einsum("nij,gj->ngi", px_per_step, grid)
    found = np.empty(maps.shape[:2], np.float32)
    for start in range(0, len(points), _REMAP_ROWS):
        part = slice(start, start + _REMAP_ROWS)
        found[part] = cv2.remap(view.grey, maps[part, :, 0], maps[part, :, 1], cv2.INTER_LINEAR)
    return found.reshape(len(points), len(along), len(along))


def _evenly(n: int, n_wanted: int) -> NDArray[np.int64]:
    """Return at most `n_wanted` of the rows 0...n - 1, at even steps."""
    return np.linspace(0, n - 1, min(n, n_wanted)).astype(np.int64)


def _seen_from(
    view: View, points: Floats, normals: Floats, query: SurfaceQuery
) -> tuple[Floats, Floats]:
    """Return (N,) cosines, 0 where not seen, and (N,) sizes of a pixel, inf where not seen."""
    camera = view.camera
    xy, depth = camera.project(points)
    away = camera.center - points
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    cosine = (away * normals).sum(axis=1)
    margin = 2.0 * RADIUS + 2
    inside = (depth > 0) & (cosine > _LEAST_COSINE) & (xy > margin).all(axis=1)
    inside &= (xy < np.array([camera.width, camera.height]) - margin).all(axis=1)
    rows = np.flatnonzero(inside)
    col, row = xy[rows].astype(np.int64).T
    rows = rows[view.mask[row, col]]
    pixel = depth / camera.K[0, 0]
    lifted = points[rows] + _LIFT * pixel[rows, None] * normals[rows]
    rows = rows[~query.occluded(lifted, away[rows])]
    seen = np.zeros(len(points), bool)
    seen[rows] = True
    return np.where(seen, cosine, 0.0), np.where(seen, pixel, np.inf)


def _tangents(normals: Floats) -> Floats:
    """Return (N, 2, 3) two unit vectors square to each normal and to each other."""
    up = np.where(np.abs(normals[:, 1:2]) < 0.9, [[0.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]])
    first = np.cross(up, normals)
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-12)
    return np.stack([first, np.cross(normals, first)], axis=1)


def _affine(view: View, points: Floats, steps: Floats) -> Floats:
    """Return (N, 2, 2): image vectors of one step along each tangent, as columns."""
    ends = [view.camera.project(points + sign * steps[:, k])[0] for k in (0, 1) for sign in (1, -1)]
    return np.stack([0.5 * (ends[0] - ends[1]), 0.5 * (ends[2] - ends[3])], axis=-1)


def normalised(values: Floats32) -> Floats32:
    """Return the patches (..., S, S) less their mean, of unit norm; flat ones all zero."""
    centred = values - values.mean(axis=(-2, -1), keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=(-2, -1), keepdims=True))
    return np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 1e-3)
