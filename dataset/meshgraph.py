"""A mesh's neighbourhoods, lean and quick: millions of vertices are smoothed, moved and joined."""

from collections.abc import Callable
from dataclasses import dataclass
from math import lgamma

import numpy as np

from ..core.arrays import AnyFloats, Bools, Floats, Floats32, Ints
from .meshgraph_kernels import (
    advance,
    bend_along,
    blend_normals,
    count_corners,
    dot,
    drop_repeats,
    fill_neighbours,
    label_parts,
    mean_around,
    slide,
    sum_normals,
    transposed_squares,
    transposed_times,
    turn,
    umbrella_degrees,
    umbrella_times,
)

_WIDEST = 5.0  # deviations at which a bell curve is cut: 1e-6 lies beyond


@dataclass(frozen=True, kw_only=True)
class MeshGraph:
    """Which vertices share an edge: some 40 bytes a vertex."""

    starts: Ints
    """(V + 1,): vertex v's neighbours are `neighbours[starts[v]:starts[v + 1]]`."""
    neighbours: Ints
    """(N,) in rising order for each vertex; every edge stands at both its ends."""
    single: Bools
    """(N,) whether the edge belongs to one face alone."""
    border: Bools
    """(V,) whether such an edge meets the vertex."""

    @property
    def n_neighbours(self) -> Ints:
        """(V,)."""
        return np.diff(self.starts)


def mesh_graph(faces: Ints, n_vertices: int) -> MeshGraph:
    """Find the neighbours of every vertex."""
    starts = np.zeros(n_vertices + 1, np.int32)
    count_corners(faces, starts)
    places = np.zeros(int(starts[-1]), np.int32)
    fill_neighbours(faces, starts, np.zeros(n_vertices, np.int32), places)
    single = np.zeros(len(places), bool)
    n = drop_repeats(starts, places, single)
    neighbours, single = places[:n].copy(), single[:n].copy()
    border = np.zeros(n_vertices, bool)
    border[neighbours[single]] = True
    return MeshGraph(starts=starts, neighbours=neighbours, single=single, border=border)


def smoothed(values: AnyFloats, graph: MeshGraph, *, n_passes: int) -> Floats32:
    """Return (V,) float32: `n_passes` times half-way to the neighbours' mean."""
    now = np.ascontiguousarray(values, dtype=np.float32)[:, None].copy()
    around = np.zeros_like(now)
    for _ in range(n_passes):
        mean_around(graph.starts, graph.neighbours, now, around)
        now += around
        now *= np.float32(0.5)
    return np.asarray(now[:, 0])


def widely_smoothed(values: AnyFloats, graph: MeshGraph, *, n_passes: int) -> Floats32:
    """Return (V, C) float32: what `smoothed` does to each column, in some 6 √n steps for n passes.

    With m the mean of the neighbours, n passes are the operator ((1 + m) / 2)^n. At m = cos t
    this is cos^2n(t / 2), whose Fourier series has the coefficients C(2n, n - k) / 4^n: a sum of
    Chebyshev polynomials in m, weighted by a bell curve of variance n / 2 that is cut at its end.
    """
    share = np.exp(lgamma(2 * n_passes + 1) - 2 * lgamma(n_passes + 1) - n_passes * np.log(4))
    weights = [share]
    for k in range(min(n_passes, round(_WIDEST * np.sqrt(n_passes / 2)) + 1)):
        share *= (n_passes - k) / (n_passes + k + 1)
        weights.append(2 * share)
    weights = [weight / sum(weights) for weight in weights]  # constants stay what they are
    before = np.array(values, dtype=np.float32, order="C")
    now, around = np.zeros_like(before), np.zeros_like(before)
    mean_around(graph.starts, graph.neighbours, before, now)
    total = np.float32(weights[0]) * before + np.float32(weights[1]) * now
    for weight in weights[2:]:
        mean_around(graph.starts, graph.neighbours, now, around)
        around *= 2
        around -= before
        before, now, around = now, around, before
        total += np.float32(weight) * now
    return total


def surface_normals(vertices: AnyFloats, faces: Ints) -> Floats32:
    """Return (V, 3) float32 unit normals, area-weighted; zero for unused vertices."""
    normals = np.zeros((len(vertices), 3), np.float32)
    sum_normals(np.ascontiguousarray(vertices, dtype=np.float64), faces, normals)
    return normals


def smooth_normals(normals: Floats32, graph: MeshGraph, *, n_passes: int) -> Floats32:
    """Return (V, 3) unit normals, each blended with its neighbours' `n_passes` times."""
    for _ in range(n_passes):
        blended = np.zeros_like(normals)
        blend_normals(graph.starts, graph.neighbours, normals, blended)
        normals = blended
    return normals


def slid(vertices: Floats, normals: Floats32, graph: MeshGraph, *, n_times: int) -> Floats:
    """Return (V, 3) the vertices evened out within the surface; borders stay."""
    now, then = vertices.copy(), np.zeros_like(vertices)
    for _ in range(n_times):
        slide(graph.starts, graph.neighbours, graph.border, normals, now, then)
        now, then = then, now
    return now


def parts(faces: Ints, n_vertices: int, *, kept: Bools | None = None) -> Ints:
    """Return (V,) labels of vertices joined by edges of the `kept` (F,) faces, all by default.

    A label is the lowest vertex of its part.
    """
    labels = np.zeros(n_vertices, np.int32)
    label_parts(faces, np.ones(len(faces), bool) if kept is None else kept, labels)
    return labels


class Umbrella:
    """The operator L: "vertex less the mean of its neighbours".

    On an open border only neighbours along it count: those inside would draw it inwards.
    """

    def __init__(self, graph: MeshGraph) -> None:
        self._inverse = np.zeros(len(graph.border), np.float32)
        inner = np.zeros(len(graph.border), bool)
        lists = (graph.starts, graph.neighbours, graph.border, graph.single)
        umbrella_degrees(*lists, self._inverse, inner)
        self._parts = (*lists, self._inverse, inner)

    def along(self, vertices: Floats, normals: Floats32) -> Floats32:
        """Return (V,) L times the vertices, its part along the normals."""
        out = np.zeros(len(vertices), np.float32)
        bend_along(*self._parts, vertices, normals, out)
        return out

    def times(self, x: Floats32) -> Floats32:
        """Return (V,) L x."""
        out = np.zeros(len(x), np.float32)
        umbrella_times(*self._parts, x, out)
        return out

    def transposed_times(self, x: Floats32) -> Floats32:
        """Return (V,) the transpose of L times x."""
        out = np.zeros(len(x), np.float32)
        transposed_times(*self._parts, x.copy(), out)
        return out

    def square_times(self, x: Floats32) -> Floats32:
        """Return (V,) L^T L x."""
        between, out = np.zeros((2, len(x)), np.float32)
        umbrella_times(*self._parts, x, between)
        transposed_times(*self._parts, between, out)
        return out

    def column_squares(self) -> Floats32:
        """Return (V,) the diagonal of L^T L."""
        out = np.zeros(len(self._inverse), np.float32)
        transposed_squares(*self._parts, out)
        return out


def conjugate_gradient(
    times: Callable[[AnyFloats], AnyFloats], b: AnyFloats, *,
    diagonal: AnyFloats, start: AnyFloats, rtol: float, n_steps: int,
) -> AnyFloats:  # fmt: skip
    """Solve A x = b for symmetric positive definite A, given as `times` and its diagonal.

    As SciPy's, but for the sums: those of BLAS depend on the number of threads. In float32 or
    float64, as all arguments are, with sums in float64.
    """
    kind = b.dtype.type
    inverse = 1 / diagonal
    x = start.copy()
    r = b - times(x)
    p = inverse * r
    rho, square = dot(r, p), dot(r, r)
    enough = rtol**2 * dot(b, b)
    for _ in range(n_steps):
        if square <= enough:
            break
        q = times(p)
        before = rho
        square, rho = advance(kind(rho / dot(p, q)), p, q, inverse, x, r)
        turn(kind(rho / before), r, inverse, p)
    return x
