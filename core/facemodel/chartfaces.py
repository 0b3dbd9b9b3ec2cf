"""Which faces of a model make up its skin chart: the one tile of UVs that maps are baked in.

A map holds one value a texel, so that a chart may not run out of the tile [0, 1] x [0, 1], nor
fold over itself. Face models do both: ICT-FaceKit lays eyes and teeth in tiles of their own,
BFM's unwrapping folds at the nostrils. The faces left out keep what registration gives them;
they only have no texels.
"""

import numpy as np
from numpy.typing import NDArray

from ..arrays import AnyFloats, Bools, Floats, Ints
from ..geometry.mesh import vertex_components

_TEXELS = 1024  # along a side of the tile, that overlap is looked for in
_MOST_TEXELS = 16_000_000  # to look at
_MARGIN = 1e-6  # of the tile: rounding of half floats and text files
_STRETCH = 100.0  # times the median area in the tile: no triangle of a chart, but a seam's
_SHARE_SHARED = 0.2  # of its texels that a face may share, from rounding at its edges


def skin_chart(
    uv: AnyFloats, faces_uv: Ints, faces: Ints, skin: Bools, *, depth: Floats | None = None
) -> Bools:
    """Return the mask (F,) of the faces that maps are baked in.

    Of faces that lie over each other in the tile, those of the larger island stay. Within an
    island those go that are turned against most, those that a seam has stretched across the
    tile, and of what then still overlaps, what lies deeper.

    Parameters
    ----------
    uv : (T, 2)
    faces_uv : (F, 3) int32
        Rows of `uv` at the corners.
    faces : (F, 3) int32
    skin : (V,) bool
        Vertices that are skin: no eyeballs, no inside of the mouth.
    depth : (V,) float64, optional
        What lies deeper has the larger number; by default the order of the faces decides.
    """
    corners = uv[faces_uv].astype(np.float64)
    area = _signed_areas(corners)
    within = (corners > -_MARGIN) & (corners < 1 + _MARGIN)
    chart = np.asarray(skin[faces].all(axis=1) & within.all(axis=(1, 2)) & (np.abs(area) > 0))
    island = np.full(len(faces_uv), -1, np.int32)
    if not chart.any():
        return chart
    island[chart] = vertex_components(faces_uv[chart], len(uv))[faces_uv[chart, 0]]
    n_islands = int(island.max()) + 1
    turned = np.sign(np.bincount(island[chart], area[chart], n_islands))
    chart[chart] = np.sign(area[chart]) == turned[island[chart]]
    size = np.bincount(island[chart], np.abs(area[chart]), n_islands)
    rank = np.argsort(np.argsort(-size, kind="stable"), kind="stable").astype(np.int32)
    chart &= np.abs(area) < _STRETCH * np.median(np.abs(area[chart]))
    deep = np.zeros(len(faces)) if depth is None else depth[faces].mean(axis=1)
    return chart & ~_lie_under(corners, chart, np.lexsort((deep, rank[island])))


def _lie_under(corners: Floats, chart: Bools, order_of: NDArray[np.int64]) -> Bools:
    """Tell (F,) which faces share their texels with faces that come before them.

    Parameters
    ----------
    order_of : (F,) int64
        Faces, first to last.
    """
    faces = order_of[chart[order_of]]
    n_tiles = float(np.abs(_signed_areas(corners[faces])).sum())
    size = _TEXELS
    while n_tiles * size**2 > _MOST_TEXELS and size > 64:
        size //= 2  # a chart that lies over itself many times, as that of a damaged file may
    texel, order = _covered(corners[faces] * size, size)
    first = np.full(size * size, len(faces), np.int32)
    np.minimum.at(first, texel, order)
    n_texels = np.bincount(order, minlength=len(faces))
    n_shared = np.bincount(order[first[texel] < order], minlength=len(faces))
    under = np.zeros(len(chart), bool)
    under[faces] = n_shared > _SHARE_SHARED * np.maximum(n_texels, 1)
    return under


def _covered(corners: Floats, size: int) -> tuple[Ints, Ints]:
    """Return texel and triangle (N,) of every texel centre strictly inside a triangle.

    Parameters
    ----------
    corners : (F, 3, 2), texels
    size : int
        Of the tile, texels.
    """
    y = corners[:, :, 1]
    low, high = (_first_above(y.min(axis=1), size), _first_above(y.max(axis=1), size))
    order, row = _expanded(low, high)
    turn = np.sign(_signed_areas(corners))[order]
    left, right = np.zeros(len(order)), np.full(len(order), float(size))
    for i in range(3):  # each edge leaves a half of the row
        a, b = corners[order, i], corners[order, (i + 1) % 3]
        rise, across = turn * (b - a)[:, 1], turn * (b - a)[:, 0] * (row + 0.5 - a[:, 1])
        meets = a[:, 0] + across / np.where(rise == 0, 1.0, rise)
        right = np.where(rise > 0, np.minimum(right, meets), right)
        left = np.where(rise < 0, np.maximum(left, meets), left)
        right = np.where((rise == 0) & (across <= 0), left, right)
    which, column = _expanded(_first_above(left, size), _first_above(right, size))
    return (row[which] * size + column).astype(np.int32), order[which].astype(np.int32)


def _first_above(at: Floats, size: int) -> Ints:
    """Return the first texel whose centre lies at `at` or beyond."""
    return np.clip(np.ceil(at - 0.5), 0, size).astype(np.int32)


def _expanded(low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """Return index i and number, for each number from `low[i]` to before `high[i]`."""
    count = np.maximum(high - low, 0)
    which = np.repeat(np.arange(len(low), dtype=np.int32), count)
    start = np.repeat(np.cumsum(count) - count, count)
    return which, (low[which] + np.arange(len(which)) - start).astype(np.int32)


def _signed_areas(corners: Floats) -> Floats:
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.asarray((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2)
