"""A few thousand vertices of a face model, on which shapes are compared while one trains.

They are drawn once and stay: more from the front of the face, which benchmarks look at, than
from the rest. Each counts for the area that it stands for, not for how finely the model is meshed
there, and the front of the face counts most.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...core.arrays import Bools, Floats, Ints
from ...core.facemodel.model import FaceModel
from ...core.geometry.mesh import adjacency, vertex_normals
from ..facetensors import FaceTensors
from ..vectors import unit

FRONT, FACE, REST = 1.0, 0.4, 0.05
"""What a mm² counts for: of the front of the face, of its sides, and of ears, neck and scalp."""
_SHARES = (0.7, 0.15, 0.15)  # of the points


class FacePoints(nn.Module):
    """Vertices of a face model; the last 68 are its landmarks. Buffers only, none saved."""

    index: Tensor
    """(K,) int64 vertices."""
    mean: Tensor
    """(K, 3) model units."""
    identity: Tensor
    """(n_id, 3 K)."""
    expression: Tensor
    """(n_exp, 3 K)."""
    weight: Tensor
    """(K,) sums to one; 0 for the landmarks."""
    front: Tensor
    """(K,) the same on the front of the face alone, sums to one."""
    around: Tensor
    """(4, K) int64 neighbours: the normal is across the lines from the second to the first and
    from the fourth to the third."""

    def __init__(self, face: FaceTensors, *, n_points: int = 3000, seed: int = 0) -> None:
        super().__init__()
        model = face.model
        drawn, weight, is_front = _drawn(model, n_points, np.random.default_rng(seed))
        index = torch.from_numpy(np.concatenate([drawn, model.landmarks68]).astype(np.int64))
        index = index.to(face.mean.device)
        none = np.zeros(len(model.landmarks68))
        kept = {
            "index": index,
            "mean": face.mean[index],
            "identity": face.identity[:, index].flatten(1),
            "expression": face.expression[:, index].flatten(1),
            "weight": np.concatenate([weight / weight.sum(), none]),
            "front": np.concatenate([weight * is_front / (weight * is_front).sum(), none]),
            "around": _around(model, index.cpu().numpy()).T,
        }
        for name, values in kept.items():
            tensor = torch.as_tensor(values, device=face.mean.device)
            tensor = tensor.float() if tensor.is_floating_point() else tensor
            self.register_buffer(name, tensor.contiguous(), persistent=False)

    def shape(self, identity: Tensor, expression: Tensor) -> Tensor:
        """Return the points (B, K, 3), unposed, model units."""
        moved = identity @ self.identity + expression @ self.expression
        return self.mean + moved.reshape(len(identity), -1, 3)

    def of(self, vertices: Tensor) -> Tensor:
        """Return the points (B, K, ...) of an attribute of all vertices (B, V, ...)."""
        return vertices[:, self.index]

    @torch.no_grad()
    def normals(self, vertices: Tensor) -> Tensor:
        """Return their outward unit normals (B, K, 3) on a surface (B, V, 3), not learnt through.

        By differences of neighbours on opposite sides: quick, and as good on smooth surfaces.
        """
        east, west, north, south = (vertices[:, neighbours] for neighbours in self.around)
        ax, ay, az = (east - west).unbind(dim=-1)
        bx, by, bz = (north - south).unbind(dim=-1)
        return unit(torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], dim=-1))


class Regions(NamedTuple):
    """Vertices of a face model (V,), each in one."""

    front: Bools
    sides: Bools
    rest: Bools


def face_regions(model: FaceModel) -> Regions:
    """Return the front of the face, its sides and the rest, as far as the model names them."""
    everywhere = np.ones(model.n_vertices, bool)
    face = model.regions.get("face", everywhere)
    front = model.regions.get("frontal_face", face)
    hidden = model.regions.get("mouth_interior", ~everywhere)
    front, sides = front & ~hidden, face & ~front & ~hidden
    return Regions(front=front, sides=sides, rest=~(front | sides))


def vertex_areas(model: FaceModel) -> Floats:
    """Return (V,) a third of the area, mm², of the faces round each vertex of the mean face."""
    a, b, c = (model.mean[model.faces[:, k]] for k in range(3))
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6
    shares = np.repeat(areas, 3)
    total = np.bincount(model.faces.ravel(), weights=shares, minlength=model.n_vertices)
    return np.asarray(total, np.float64)


def _drawn(model: FaceModel, n_points: int, rng: np.random.Generator) -> tuple[Ints, Floats, Bools]:
    """Return vertices (n,), what each counts for, and whether it is on the front of the face."""
    areas = vertex_areas(model)
    vertices, weights, is_front = [], [], []
    for region, importance, share in zip(
        face_regions(model), (FRONT, FACE, REST), _SHARES, strict=True
    ):
        known = np.flatnonzero(region)
        n = min(round(share * n_points), len(known))
        if n == 0:
            continue
        chosen = np.sort(rng.choice(known, n, replace=False))
        weight = areas[chosen] * (importance * areas[known].sum() / areas[chosen].sum())
        vertices.append(chosen.astype(np.int32))
        weights.append(weight)
        is_front.append(np.full(n, importance == FRONT))
    return np.concatenate(vertices), np.concatenate(weights), np.concatenate(is_front)


def _around(model: FaceModel, vertices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (K, 4) neighbours of vertices, on opposite sides two by two, see `FacePoints`."""
    graph = adjacency(model.faces, model.n_vertices)
    normals = vertex_normals(model.mean, model.faces)
    around = np.repeat(vertices[:, None], 4, axis=1)
    for row, vertex in enumerate(vertices):
        ring = graph.indices[graph.indptr[vertex] : graph.indptr[vertex + 1]]
        if len(ring) < 3:
            continue
        at = model.mean[ring]
        ways = at - model.mean[vertex]
        ways = ways / np.linalg.norm(ways, axis=1, keepdims=True).clip(1e-9)
        east, west = divmod(int(np.argmin(ways @ ways.T)), len(ring))
        across = np.cross(normals[vertex], at[east] - at[west])
        along = at @ across
        around[row] = ring[[east, west, int(np.argmax(along)), int(np.argmin(along))]]
    return around
