"""Which views see each vertex of a mesh, best first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.arrays import AnyFloats, Bytes, Floats, Floats32, Ints
from ...core.geometry.closest import SurfaceQuery
from ...core.geometry.mesh import Mesh
from .views import View
from .visibility_kernels import face_view, keep_best

_VERTICES_AT_ONCE = 1 << 17  # 100 views: 100 MB of cosines and pixel sizes
_SPARE_VIEWS = 2  # looked for beyond those wanted: finer vertices may face others


@dataclass(frozen=True, kw_only=True)
class Visible:
    """The views that nothing hides each vertex from, as far as was looked."""

    bits: Bytes
    """(V, n_views / 8 rounded up) uint8: bit k % 8 of byte k // 8 is view k."""

    def between(self, ends: Ints) -> "Visible":
        """Return what holds for points between two vertices each, `ends` (N, 2): seen from both.

        A vertex itself is given twice.
        """
        return Visible(bits=self.bits[ends[:, 0]] & self.bits[ends[:, 1]])


@dataclass(frozen=True, kw_only=True)
class SeenBy:
    """The views that see each vertex."""

    views: NDArray[np.signedinteger[Any]]
    """(V, most) int16 indices, best first; -1 fills up."""
    facing: Bytes
    """(V, most) cosine of the viewing angle in 255ths; 0 fills up."""
    footprint: Floats32
    """(V,) size of a pixel there in the best view; the typical one where none sees it."""

    @property
    def cosine(self) -> Floats32:
        """(V, most) of the viewing angle."""
        return self.facing * np.float32(1 / 255)

    @property
    def n_views(self) -> Ints:
        """(V,) how many of them."""
        return np.asarray((self.views >= 0).sum(axis=1), dtype=np.int32)


def seen_by(
    mesh: Mesh, normals: AnyFloats, views: list[View], *,
    most: int, least_cosine: float, margin_px: float,
) -> SeenBy:  # fmt: skip
    """Find for each vertex the `most` views that face it best and see it.

    A view sees a vertex that lies inside its mask, `margin_px` or more within its frame, at a
    cosine above `least_cosine`, with nothing of the mesh in between.
    """
    vertices = np.asarray(mesh.vertices, dtype=np.float64)
    normals = np.ascontiguousarray(normals, dtype=np.float32)
    visible = visible_from(
        vertices, mesh.faces, normals, views,
        most=most, least_cosine=least_cosine, margin_px=margin_px,
    )  # fmt: skip
    return choose_views(
        vertices, normals, visible, views,
        most=most, least_cosine=least_cosine, margin_px=margin_px,
    )  # fmt: skip


def visible_from(
    vertices: AnyFloats, faces: Ints, normals: Floats32, views: list[View], *,
    most: int, least_cosine: float, margin_px: float = 0.0,
) -> Visible:  # fmt: skip
    """Cast rays from each vertex to the views that face it best, till enough are free."""
    places: Floats = np.ascontiguousarray(vertices, dtype=np.float64)
    query = SurfaceQuery(places, faces)
    centers = np.array([view.camera.center for view in views])
    bits = np.zeros((len(places), -(-len(views) // 8)), np.uint8)
    for part, cosine, pixel in _facing(places, normals, views, least_cosine, margin_px):
        order = np.argsort(-cosine, axis=0, kind="stable")
        n = order.shape[1]
        count = np.zeros(n, np.int32)
        for candidate in order:
            facing = cosine[candidate, np.arange(n)] > 0
            rows = np.flatnonzero((count < most + _SPARE_VIEWS) & facing)
            if len(rows) == 0:
                break
            which = candidate[rows]
            points = places[part][rows]
            # start a little above the surface, so that it does not hide itself
            points += 0.7 * pixel[which, rows][:, None] * normals[part][rows]
            away = centers[which] - points
            free = ~query.occluded(points, away)
            rows, which = rows[free], which[free]
            bits[part][rows, which // 8] |= (1 << (which % 8)).astype(np.uint8)
            count[rows] += 1
    return Visible(bits=bits)


def choose_views(
    vertices: Floats, normals: Floats32, visible: Visible, views: list[View], *,
    most: int, least_cosine: float, margin_px: float,
) -> SeenBy:  # fmt: skip
    """Choose for each vertex the `most` visible views that face it best; see `seen_by`."""
    n = len(vertices)
    chosen = np.full((n, most), -1, np.int16)
    facing = np.zeros((n, most), np.uint8)
    footprint = np.full(n, np.nan, np.float32)
    for part, cosine, pixel in _facing(vertices, normals, views, least_cosine, margin_px):
        best = np.zeros((cosine.shape[1], most), np.float32)
        keep_best(cosine, pixel, visible.bits[part], chosen[part], best, footprint[part])
        facing[part] = np.rint(best * 255)
    known = np.isfinite(footprint)
    footprint[~known] = np.median(footprint[known]) if known.any() else 1.0
    return SeenBy(views=chosen, facing=facing, footprint=footprint)


def _facing(
    vertices: Floats, normals: Floats32, views: list[View], least_cosine: float, margin_px: float
) -> Iterator[tuple[slice, Floats32, Floats32]]:
    """Yield vertices in parts: which, then (n_views, N) cosines and pixel sizes, 0 for none."""
    for start in range(0, len(vertices), _VERTICES_AT_ONCE):
        part = slice(start, min(start + _VERTICES_AT_ONCE, len(vertices)))
        cosine, pixel = np.zeros((2, len(views), part.stop - start), np.float32)
        for k, view in enumerate(views):
            camera = view.camera
            face_view(
                vertices[part], normals[part], camera.P, camera.center, camera.K[0, 0],
                view.mask, least_cosine, margin_px, cosine[k], pixel[k],
            )  # fmt: skip
        yield part, cosine, pixel
