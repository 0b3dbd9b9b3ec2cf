"""The edges of a triangle mesh and the faces beside them, for antialiasing."""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor

_CACHED = 16
_known: OrderedDict[tuple[object, ...], tuple[Tensor, "Topology"]] = OrderedDict()


@dataclass(frozen=True, kw_only=True)
class Topology:
    """Edges, told apart by vertex number.

    A mesh whose vertices are split at texture seams has open edges there: use the faces of the
    geometry, not of the texture.
    """

    tri: Tensor
    """(T, 3) int32."""
    edges: Tensor
    """(E, 2) int64, vertices, the smaller first."""
    faces: Tensor
    """(E, 2) int64, the faces beside an edge; -1: the edge is open."""
    opposite: Tensor
    """(E, 2) int64, the third vertex of each face; -1 where there is none."""
    directions: Tensor
    """(E, 2) int8: +1 where a face runs along the edge as `edges` does, -1 against; 0: no face."""
    face_edges: Tensor
    """(T, 3) int64, the edge opposite to each corner."""


def topology(tri: Tensor) -> Topology:
    """Return the edges of `tri` (T, 3), found once for a tensor, or others of equal content.

    An edge with three or more faces is several edges: pairs of its faces, and an open one where
    their number is odd.
    """
    key = (tri.data_ptr(), tuple(tri.shape), tri.dtype, str(tri.device), tri._version)
    kept = _known.get(key)
    if kept is not None:
        _known.move_to_end(key)
        return kept[1]
    like = (entry for entry in _known.values() if _is_like(entry[0], tri, entry[1]))
    found = next((entry[1] for entry in like), None) or _topology(tri)
    _known[key] = (tri, found)  # holding `tri` keeps its address from being used again
    while len(_known) > _CACHED:
        _known.popitem(last=False)
    return found


def _is_like(kept: Tensor, tri: Tensor, found: Topology) -> bool:
    if kept.shape != tri.shape or kept.device != tri.device:
        return False
    return bool(torch.equal(found.tri, tri.to(torch.int32)))


def _topology(tri: Tensor) -> Topology:
    n_faces = len(tri)
    corner = tri.to(torch.int64)
    sides = torch.stack([corner[:, [1, 2]], corner[:, [2, 0]], corner[:, [0, 1]]], dim=1)
    sides = sides.reshape(-1, 2)
    along = torch.where(sides[:, 0] < sides[:, 1], 1, -1).to(torch.int8)
    sides = sides.sort(dim=1).values
    n_vertices = int(corner.max()) + 1 if n_faces else 1
    keys, order = (sides[:, 0] * n_vertices + sides[:, 1]).sort(stable=True)
    index = torch.arange(len(keys), device=tri.device)
    is_new = torch.ones_like(keys, dtype=torch.bool)
    is_new[1:] = keys[1:] != keys[:-1]
    first = torch.where(is_new, index, index.new_zeros(())).cummax(0).values
    rank = index - first  # a side's number among those of the same two vertices
    edge = ((rank % 2 == 0).cumsum(0) - 1).to(torch.int64)
    n_edges = int(edge[-1]) + 1 if n_faces else 0
    slot = rank % 2
    faces = torch.full((n_edges, 2), -1, dtype=torch.int64, device=tri.device)
    opposite = faces.clone()
    faces[edge, slot] = order // 3
    directions = torch.zeros((n_edges, 2), dtype=torch.int8, device=tri.device)
    directions[edge, slot] = along[order]
    opposite[edge, slot] = corner.reshape(-1)[order]
    edges = torch.empty_like(faces)
    edges[edge] = sides[order]
    face_edges = torch.empty(n_faces * 3, dtype=torch.int64, device=tri.device)
    face_edges[order] = edge
    return Topology(
        tri=tri.to(torch.int32, copy=True),
        edges=edges,
        faces=faces,
        opposite=opposite,
        directions=directions,
        face_edges=face_edges.reshape(-1, 3),
    )
