"""The deformation map: how the registered shape M1 departs from the morphable fit M0.

Three channels, millimetres, head frame. The map is made so that sampling it *back* at the
vertices gives the registration's offsets: what it cannot carry is then part of nothing. M1 is
by definition M0 plus the sampled map (`deformed`), so that a round trip is exact.

Two conventions of sampling, and a map for each:

- facekit's: texel centres lie at ((c + 0.5) / size, 1 - (r + 0.5) / size), as of every map here;
- HRN's: texel (r, c) lies at (c / size, 1 - r / size), column = size * u, row = size * (1 - v),
  bilinear between integer samples and clamped, half a texel aside. `hrn_deformation` gives
  such a map in the model's own unit (BFM's is a decimetre), unposed frame.

Source
------
Lei et al., A Hierarchical Representation Network..., CVPR 2023, and its official code (sampler).
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from ...core.arrays import AnyFloats, Bools, Floats, Floats32, Ints
from ...core.facemodel.model import FaceModel
from ..register.registered import Registered
from .chart import Chart, chart, covered_faces
from .maps import Maps

_STIFFNESS = 1e-3  # of texels against the interpolated offsets; vertices count 1
_ITERATIONS = 60
_TOLERANCE = 1e-6
_GUTTER_TEXELS = 8
OURS, HRN = 0.5, 0.0
"""Where in its cell a texel lies, in facekit's and in HRN's convention."""
_MOST_SUPPORTED = 0.5


class DeformationMap(NamedTuple):
    """The map with its validity and uncertainty."""

    offset: Floats32
    """(d, d, 3) mm, with a gutter."""
    valid: Bools
    """(d, d)."""
    sigma: Floats32
    """(d, d) mm."""


def bake_deformation(registered: Registered, size: int, *, sigma_mm: AnyFloats) -> DeformationMap:
    """Bake `registered.offset` into a map.

    Parameters
    ----------
    size : int
        Texels a side.
    sigma_mm : (V,) mm
        One standard deviation of each registered vertex along its normal.
    """
    texels = chart(registered.model, size)
    offset = map_of_offsets(texels, registered.offset, place=OURS)
    support = texels.interpolated(registered.support)
    return DeformationMap(
        offset=offset,
        valid=texels.inside & (support > _MOST_SUPPORTED),
        sigma=texels.interpolated(sigma_mm),
    )


def deformed(registered: Registered, maps: Maps) -> Floats:
    """Return M1 (V, 3), mm, head frame: M0 + the deformation map sampled at the vertices.

    Vertices off the chart (eyes, inside of the mouth) keep the registration's own offset.
    """
    return shape_from_map(registered, maps.deformation)


def shape_from_map(registered: Registered, deformation: Floats32) -> Floats:
    """Return M1 (V, 3) of a deformation map (d, d, 3) alone (see `deformed`)."""
    samples = Samples.of(registered.model, len(deformation), place=OURS)
    sampled = samples.at_vertices @ deformation.reshape(-1, 3).astype(np.float64)
    offset = np.where(samples.known[:, None], sampled, registered.offset)
    return np.asarray(registered.coarse() + offset)


def hrn_deformation(maps: Maps, model: FaceModel, *, size: int | None = None) -> Floats32:
    """Return the deformation as HRN samples it (size, size, 3), in the model's unit, unposed.

    Parameters
    ----------
    size : int, optional
        Texels a side: 64 for HRN's network; by default as many as the map has.
    """
    size = len(maps.deformation) if size is None else size
    ours = Samples.of(model, len(maps.deformation), place=OURS)
    offset = ours.at_vertices @ maps.deformation.reshape(-1, 3).astype(np.float64)
    return map_of_offsets(chart(model, size), offset / model.unit_mm, place=HRN)


def sample_hrn(deformation: AnyFloats, uv: AnyFloats) -> Floats:
    """Sample a map (size, size, k) at `uv` (N, 2) as HRN does; returns (N, k)."""
    weights = bilinear_weights(uv, len(deformation), place=HRN)
    return np.asarray(weights @ deformation.reshape(len(deformation) ** 2, -1))


class Samples(NamedTuple):
    """Bilinear sampling of a map at the vertices of its chart."""

    at_places: sparse.csr_array
    """(P, size²), one row for each distinct UV of the chart."""
    vertex: Ints
    """(P,) whose UV it is."""
    at_vertices: sparse.csr_array
    """(V, size²): the mean over a vertex's UVs, where seams gave it several."""
    known: Bools
    """(V,) whether the vertex has a UV in the chart."""

    @classmethod
    def of(cls, model: FaceModel, size: int, *, place: float) -> "Samples":
        """Lay the chart's UVs on a map of `size` texels a side; `place`: `OURS` or `HRN`."""
        faces = covered_faces(model)
        pairs = np.stack([model.faces_uv[faces].ravel(), model.faces[faces].ravel()], axis=1)
        uv_row, vertex = np.unique(pairs, axis=0).T
        at_places = bilinear_weights(model.uv[uv_row], size, place=place)
        count = np.bincount(vertex, minlength=model.n_vertices)
        mean = sparse.csr_array(
            (1 / count[vertex], (vertex, np.arange(len(vertex)))),
            shape=(model.n_vertices, len(vertex)),
        )
        return cls(
            at_places=at_places,
            vertex=vertex.astype(np.int32),
            at_vertices=sparse.csr_array(mean @ at_places),
            known=count > 0,
        )


def bilinear_weights(uv: AnyFloats, size: int, *, place: float) -> sparse.csr_array:
    """Return (N, size²) the bilinear weights at `uv` (N, 2), clamped at the map's border."""
    x = np.clip(np.asarray(uv[:, 0], np.float64) * size - place, 0, size - 1)
    y = np.clip((1 - np.asarray(uv[:, 1], np.float64)) * size - place, 0, size - 1)
    left, top = np.minimum(x.astype(int), size - 2), np.minimum(y.astype(int), size - 2)
    x, y = x - left, y - top
    corner = top * size + left
    columns = np.stack([corner, corner + 1, corner + size, corner + size + 1], axis=1)
    weights = np.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], axis=1)
    rows = np.repeat(np.arange(len(uv)), 4)
    return sparse.csr_array(
        (weights.ravel(), (rows, columns.ravel())), shape=(len(uv), size * size)
    )


def map_of_offsets(texels: Chart, offset: AnyFloats, *, place: float) -> Floats32:
    """Return (size, size, 3) the map that, sampled at the vertices, gives `offset` (V, 3) best.

    Least squares: the interpolated offsets, with a gutter, are changed as little as will do.
    """
    size = texels.size
    first = texels.dilated(texels.interpolated(offset), n_texels=_GUTTER_TEXELS)
    samples = Samples.of(texels.model, size, place=place)
    A = samples.at_places
    values = first.reshape(-1, 3).astype(np.float64)
    residual = offset[samples.vertex] - A @ values
    change = _least_change(A, residual)
    return (values + change).reshape(size, size, 3).astype(np.float32)


def _least_change(A: sparse.csr_array, residual: Floats) -> Floats:
    """Solve (A'A + stiffness) x = A' residual, all columns at once, by conjugate gradients."""
    At = sparse.csr_array(A.T)
    x = np.zeros((A.shape[1], residual.shape[1]))
    r = At @ residual
    p, square = r.copy(), (r * r).sum(axis=0)
    goal = _TOLERANCE**2 * np.maximum(square, 1e-30)
    for _ in range(_ITERATIONS):
        if (square <= goal).all():
            break
        q = At @ (A @ p) + _STIFFNESS * p
        step = square / np.maximum((p * q).sum(axis=0), 1e-300)
        x += step * p
        r -= step * q
        new = (r * r).sum(axis=0)
        p = r + (new / np.maximum(square, 1e-300)) * p
        square = new
    return x
