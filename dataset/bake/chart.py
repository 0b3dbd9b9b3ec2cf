"""The UV chart of a face model as a grid of texels: which face each lies on, and where.

Row 0 is v = 1; the texel (row r, column c) of `size` has its centre at u = (c + 0.5) / size,
v = 1 - (r + 0.5) / size. A texel belongs to the face that its centre lies on; on an edge, and
where faces overlap, to the one of lower index.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ...core.arrays import AnyFloats, Bools, Floats, Floats32, Ints
from ...core.chunks import over_chunks
from ...core.errors import InputError
from ...core.facemodel.model import FaceModel
from ...core.geometry.mesh import face_areas
from .chart_kernels import interpolate, nearest_texel, rasterise

LARGEST = 8192
"""Texels a side that a map may have."""

_MARGIN = 1e-5  # of the square: rounding of half floats and text files
_ROWS = 64  # of a map, worked at together
_KEPT = 3  # charts, of the sizes that one take needs


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Texels of a face model's chart."""

    model: FaceModel = field(repr=False)
    size: int
    face: Ints
    """(size, size) int32, row of `model.faces`; -1 outside."""
    weights: Floats32
    """(size, size, 2): what the face's second and third corner weigh; the first has the rest."""
    n_overlapping: int
    """Texels whose centre lies well inside more than one face: 0 in a sound chart."""
    _gutters: dict[int, tuple[Ints, Ints]] = field(default_factory=dict, repr=False, compare=False)
    """Width -> what is known of the gutter."""

    @property
    def inside(self) -> Bools:
        """(size, size)."""
        return self.face >= 0

    def interpolated(self, values: AnyFloats, *, corners: Ints | None = None) -> Floats32:
        """Interpolate over all texels, 0 outside.

        Parameters
        ----------
        values : (V, k) or (V,)
            Per vertex; or per row that `corners` names.
        corners : (F, 3) int32, optional
            Rows of `values` at the faces' corners: `model.faces` by default.

        Returns
        -------
        (size, size, k) or (size, size) float32
        """
        corners = self.model.faces if corners is None else corners
        table = np.ascontiguousarray(values, dtype=np.float32).reshape(len(values), -1)
        out = np.zeros((self.size, self.size, table.shape[1]), np.float32)
        by_rows(
            lambda a, b: interpolate(self.face[a:b], self.weights[a:b], corners, table, out[a:b]),
            self.size,
        )
        return out if values.ndim == 2 else out[..., 0]

    def texel_mm(self, vertices: AnyFloats) -> Floats32:
        """Return (size, size) the side of a texel on the surface, mm; 0 outside."""
        area = face_areas(vertices, self.model.faces)
        a, b, c = (self.model.uv[self.model.faces_uv[:, k]] for k in range(3))
        (u, v), (p, q) = (b - a).T, (c - a).T
        side = np.sqrt(area / np.maximum(abs(u * q - v * p) / 2, 1e-12)) / self.size
        return np.asarray(np.append(side, 0).astype(np.float32)[self.face])

    def dilated(self, image: AnyFloats, *, n_texels: int) -> AnyFloats:
        """Return `image` (size, size, ...) with a gutter: the nearest chart texel's value.

        Bilinear sampling at the chart's border then mixes with like values, not with zeros.
        """
        rows, source = self._gutter(n_texels)
        out = image.copy()
        flat = out.reshape(self.size * self.size, -1)
        flat[rows] = flat[source]
        return out

    def _gutter(self, n_texels: int) -> tuple[Ints, Ints]:
        """Return the texels of a gutter, and those that they copy: rows of the flattened map."""
        known = self._gutters.get(n_texels)
        if known is None:
            row, col, near = nearest_texel(self.inside, n_texels)
            source = row[near] * np.int32(self.size) + col[near]
            known = (np.flatnonzero(near).astype(np.int32), source.astype(np.int32))
            self._gutters[n_texels] = known
        return known


_charts: list[Chart] = []
_lock = threading.Lock()


def chart(model: FaceModel, size: int) -> Chart:
    """Return the chart of a model, rasterised once for the same model and size.

    Raises
    ------
    InputError
        The size cannot be used, or no face has all its UVs within [0, 1].
    """
    if not 1 <= size <= LARGEST:
        raise InputError(f"a chart of {size} texels a side; give 1 to {LARGEST}")
    with _lock:
        for known in _charts:
            if known.model is model and known.size == size:
                return known
        made = _rasterised(model, size)
        _charts.insert(0, made)
        del _charts[_KEPT:]
        return made


def covered_faces(model: FaceModel) -> Ints:
    """Return the rows of `model.faces` that the maps cover: its chart within the unit square.

    Raises
    ------
    InputError
        None is left.
    """
    corners = model.uv[model.faces_uv]
    inside = ((corners > -_MARGIN) & (corners < 1 + _MARGIN)).all(axis=(1, 2))
    chosen = np.flatnonzero(inside & model.chart_faces).astype(np.int32)
    if len(chosen) == 0:
        raise InputError(f"{model.name}: no face of its chart has all UVs within [0, 1]")
    return chosen


def uv_sign(model: FaceModel) -> Floats32:
    """Return (F,) 1 where a face lies in the UV square as on the head, -1 where mirrored."""
    a, b, c = (model.uv[model.faces_uv[:, k]] for k in range(3))
    (u, v), (p, q) = (b - a).T, (c - a).T
    return np.where(u * q - v * p < 0, -1, 1).astype(np.float32)


def by_rows(work: Callable[[int, int], object], n_rows: int) -> None:
    """Call `work(start, stop)` for strips of rows, on all threads."""
    over_chunks(work, n_rows, chunk=_ROWS)


def _rasterised(model: FaceModel, size: int) -> Chart:
    faces = covered_faces(model)
    places: Floats = np.empty((len(faces), 3, 2))
    uv = model.uv[model.faces_uv[faces]].astype(np.float64)
    places[..., 0], places[..., 1] = uv[..., 0] * size, (1 - uv[..., 1]) * size
    face = np.full((size, size), -1, np.int32)
    weights = np.zeros((size, size, 2), np.float32)
    overlapping = np.zeros((size, size), bool)
    rasterise(places, faces, face, weights, overlapping)
    return Chart(
        model=model, size=size, face=face, weights=weights, n_overlapping=int(overlapping.sum())
    )
