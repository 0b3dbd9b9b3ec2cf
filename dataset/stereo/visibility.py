"""Which views see each vertex of a mesh, best first."""

from dataclasses import dataclass

import numpy as np

from ...core.arrays import Floats, Floats32, Ints
from ...core.geometry.closest import SurfaceQuery
from ...core.geometry.mesh import Mesh
from .views import View

_VERTICES_AT_ONCE = 1 << 17  # 100 views: 100 MB of qualities


@dataclass(frozen=True, kw_only=True)
class SeenBy:
    """The views that see each vertex."""

    views: Ints
    """(V, most) indices, best first; -1 fills up."""
    cosine: Floats32
    """(V, most) of the viewing angle; 0 fills up."""
    footprint: Floats
    """(V,) size of a pixel there in the best view; the typical one where none sees it."""

    @property
    def n_views(self) -> Ints:
        """(V,) how many of them."""
        return np.asarray((self.views >= 0).sum(axis=1), dtype=np.int32)


def seen_by(
    mesh: Mesh, normals: Floats, views: list[View], *,
    most: int, least_cosine: float, margin_px: float,
) -> SeenBy:  # fmt: skip
    """Find for each vertex the `most` views that face it best and see it.

    A view sees a vertex that lies inside its mask, `margin_px` or more within its frame, at a
    cosine above `least_cosine`, with nothing of the mesh in between.
    """
    query = SurfaceQuery(mesh.vertices, mesh.faces)
    vertices: Floats = np.asarray(mesh.vertices, dtype=np.float64)
    n = len(vertices)
    chosen = np.full((n, most), -1, np.int32)
    cosine = np.zeros((n, most), np.float32)
    footprint = np.full(n, np.nan)
    for start in range(0, n, _VERTICES_AT_ONCE):
        part = slice(start, start + _VERTICES_AT_ONCE)
        chosen[part], cosine[part], footprint[part] = _seen_part(
            query, vertices[part], normals[part], views, most, least_cosine, margin_px
        )
    known = np.isfinite(footprint)
    typical = float(np.median(footprint[known])) if known.any() else 1.0
    return SeenBy(views=chosen, cosine=cosine, footprint=np.where(known, footprint, typical))


def _seen_part(
    query: SurfaceQuery, vertices: Floats, normals: Floats, views: list[View],
    most: int, least_cosine: float, margin_px: float,
) -> tuple[Ints, Floats32, Floats]:  # fmt: skip
    n = len(vertices)
    quality = np.zeros((n, len(views)), np.float32)
    pixel = np.zeros((n, len(views)), np.float32)
    for k, view in enumerate(views):
        quality[:, k], pixel[:, k] = _quality(vertices, normals, view, least_cosine, margin_px)
    order = np.argsort(-quality, axis=1, kind="stable")
    centers = np.array([view.camera.center for view in views])
    chosen = np.full((n, most), -1, np.int32)
    cosine = np.zeros((n, most), np.float32)
    footprint = np.full(n, np.nan)
    count = np.zeros(n, np.int64)
    for rank in range(len(views)):
        candidate = order[:, rank]
        rows = np.flatnonzero((count < most) & (quality[np.arange(n), candidate] > 0))
        if len(rows) == 0:
            break
        which = candidate[rows]
        away = centers[which] - vertices[rows]
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        # start a little above the surface, so that it does not hide itself
        start = vertices[rows] + 0.7 * pixel[rows, which][:, None] * normals[rows]
        free = ~query.occluded(start, away)
        rows, which = rows[free], which[free]
        chosen[rows, count[rows]] = which
        cosine[rows, count[rows]] = quality[rows, which]
        footprint[rows] = np.fmin(footprint[rows], pixel[rows, which])
        count[rows] += 1
    return chosen, cosine, footprint


def _quality(
    vertices: Floats, normals: Floats, view: View, least_cosine: float, margin_px: float
) -> tuple[Floats32, Floats32]:
    """Return (V,) cosines, 0 where the view is out of the question, and (V,) pixel sizes."""
    camera = view.camera
    # written out: quick on long columns, and no matrix product that rounds by number of threads
    p, n = vertices.T, normals.T
    x, y, depth = (p[0] * row[0] + p[1] * row[1] + p[2] * row[2] + row[3] for row in camera.P)
    a = [center - column for center, column in zip(camera.center, p, strict=True)]
    length = np.sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2])
    cosine = (a[0] * n[0] + a[1] * n[1] + a[2] * n[2]) / length
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = x / depth, y / depth
        inside = (depth > 0) & (cosine > least_cosine) & (x > margin_px) & (y > margin_px)
        inside &= (x < camera.width - margin_px) & (y < camera.height - margin_px)
    col, row = (np.where(inside, values, 0).astype(np.int64) for values in (x, y))
    inside &= view.mask[row, col]
    return (
        np.where(inside, cosine, 0).astype(np.float32),
        np.where(inside, depth / camera.K[0, 0], 0).astype(np.float32),
    )
