"""A mesh's neighbourhoods on a torch device: what `meshgraph.py` does on the processor.

Sums go over neighbours in the graph's order, layer by layer, and never through atomic additions:
they are the same on every run, and those of the compiled loops but for the last digit.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ...core.arrays import Ints
from ..meshgraph import MeshGraph


class SumsOver:
    """Sums over a list of members that each row has."""

    def __init__(self, rows: Tensor, members: Tensor, n_rows: int) -> None:
        """Sort the lists.

        Parameters
        ----------
        rows : (N,) int32 or int64, never falling
            Row that each member counts for.
        members : (N,) int32 or int64
        """
        self._n_rows = n_rows
        counts = torch.bincount(rows, minlength=n_rows)
        rank = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
        order = torch.argsort(rank, stable=True)
        sizes = torch.bincount(rank).tolist()
        layers = (x[order].int().split(sizes) for x in (rows, members))
        self._layers = list(zip(*layers, strict=True))

    def __call__(self, values: Tensor) -> Tensor:
        """Return (n_rows, ...) sums of the members' values (M, ...), of their kind."""
        total = values.new_zeros((self._n_rows, *values.shape[1:]))
        for rows, members in self._layers:
            if len(rows) == self._n_rows:
                total += values.index_select(0, members)
            else:  # no row stands twice in a layer: nothing depends on who comes first
                total.index_add_(0, rows, values.index_select(0, members))
        return total


class TorchMesh:
    """Faces and neighbours of a mesh, and the umbrella operator L; see `meshgraph.Umbrella`."""

    def __init__(self, faces: Ints, graph: MeshGraph, device: torch.device) -> None:
        n = len(graph.border)
        starts = torch.from_numpy(graph.starts).to(device).long()
        neighbours = torch.from_numpy(graph.neighbours).to(device).long()
        single = torch.from_numpy(graph.single).to(device)
        border = torch.from_numpy(graph.border).to(device)
        rows = torch.repeat_interleave(torch.arange(n, device=device), starts.diff())
        self._faces = torch.tensor(faces, dtype=torch.int32, device=device)
        corners, order = torch.sort(self._faces.reshape(-1), stable=True)
        self._of_faces = SumsOver(corners, order // 3, n)
        self.around = SumsOver(rows, neighbours, n)
        counting = single | ~border[rows]
        self._counting = SumsOver(rows[counting], neighbours[counting], n)
        counted = single | ~border[neighbours]
        self._counted = SumsOver(rows[counted], neighbours[counted], n)
        self._degree = torch.bincount(rows[counting], minlength=n)
        self._some = self._degree > 0
        self._inverse = torch.where(self._some, 1.0 / self._degree.clamp(min=1), 0.0).float()

    def normals(self, vertices: Tensor, *, n_passes: int) -> Tensor:
        """Return (V, 3) float32 unit normals, area-weighted, blended `n_passes` times."""
        a, b, c = (vertices.index_select(0, self._faces[:, k]) for k in range(3))
        normals = _unit(self._of_faces(torch.linalg.cross(b - a, c - a)).float())
        for _ in range(n_passes):
            normals = _unit((normals.double() + self.around(normals.double())).float())
        return normals

    def along(self, vertices: Tensor, normals: Tensor) -> Tensor:
        """Return (V,) L times the vertices, its part along the normals."""
        bend = self._degree[:, None] * vertices - self._counting(vertices)
        return ((bend * normals).sum(1) * self._inverse).float()

    def times(self, x: Tensor) -> Tensor:
        """Return (V,) L x."""
        return torch.where(self._some, x - self._counting(x) * self._inverse, 0.0)

    def transposed_times(self, x: Tensor) -> Tensor:
        """Return (V,) the transpose of L times x."""
        return torch.where(self._some, x, 0.0) - self._counted(x * self._inverse)

    def column_squares(self) -> Tensor:
        """Return (V,) the diagonal of the transpose of L times L."""
        return self._some.float() + self._counted(self._inverse**2)


def conjugate_gradient(
    times: Callable[[Tensor], Tensor], b: Tensor, *,
    diagonal: Tensor, start: Tensor, rtol: float, n_steps: int,
) -> Tensor:  # fmt: skip
    """Solve A x = b for symmetric positive definite A, as `meshgraph.conjugate_gradient` does."""
    inverse = 1 / diagonal
    x = start.clone()
    r = b - times(x)
    p = inverse * r
    rho, square = _dot(r, p), _dot(r, r)
    enough = rtol**2 * _dot(b, b)
    for _ in range(n_steps):
        if square <= enough:
            break
        q = times(p)
        before = rho
        alpha = (rho / _dot(p, q)).float()
        x += alpha * p
        r -= alpha * q
        scaled = inverse * r
        square, rho = _dot(r, r), _dot(r, scaled)
        p = scaled + (rho / before).float() * p
    return x


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() * b.double()).sum()


def _unit(normals: Tensor) -> Tensor:
    length = normals.norm(dim=1, keepdim=True)
    return torch.where(length > 0, normals / length, 0.0)
