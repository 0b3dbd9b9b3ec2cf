"""Blend pixels across silhouettes, so that outlines are smooth and carry a gradient.

An image of one sample a pixel does not change while an outline moves between two pixel centres:
its derivative by the vertices is zero almost everywhere. Here the place where an outline crosses
the line between two neighbouring centres becomes a mixture of both colours; that is smooth in
the vertices, and its derivative is that of the covered area.

Both modes mend the same pairs of pixels in the same way and differ in finding the crossings:

``edges``
    Draws every silhouette edge of the mesh. The default: on a dense mesh the triangle at a
    silhouette is narrower than a pixel and seldom seen.
``nvdiffrast``
    Looks only at the edges of the nearer pixel's triangle, as nvdiffrast does, for comparison.

Source
------
Laine et al., arXiv:2011.03277, section 3.5: pairs, silhouettes, the ramp. Drawing the edges of
the mesh instead of asking the visible triangle is ours.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .fragments import Fragments, face_index
from .silhouette import crossings, silhouettes
from .silhouette_seen import seen_crossings
from .topology import Topology

MODES = ("edges", "nvdiffrast")


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """The visible triangles, pixels in one row: image after image."""

    face: Tensor  # (B H W,) int64, -1: none
    depth: Tensor  # (B H W,) z/w, inf: none
    size: tuple[int, int]


def antialias(
    color: Tensor, fragments: Fragments, pos: Tensor, topology: Topology, *, mode: str = "edges"
) -> Tensor:
    """Blend `color` (B, H, W, C) across silhouettes.

    Parameters
    ----------
    color : (B, H, W, C)
        What `fragments` show; 0 or any background where they show nothing.
    pos : (B, V, 4) or (V, 4)
        The clip-space vertices of `fragments`. x, y and w get the outline's gradient.
    topology : Topology
        `topology(tri)` of the faces that were rasterised.
    mode : "edges" or "nvdiffrast"

    Raises
    ------
    ValueError
        An unknown mode, or shapes that do not fit.
    """
    if mode not in MODES:
        raise ValueError(f"unknown antialiasing {mode!r}; known: {', '.join(MODES)}")
    height, width = fragments.size
    pos = pos[None] if pos.ndim == 2 else pos
    if color.shape[:3] != (len(pos), height, width):
        raise ValueError(f"{color.shape=}; expected {(len(pos), height, width)} and channels")
    with torch.no_grad():
        seen = _seen(fragments)
        points = pos.detach().to(torch.float64)
        sides = silhouettes(points, topology)
        find = crossings if mode == "edges" else seen_crossings
        found = find(points, topology, sides, face=seen.face, depth=seen.depth, size=seen.size)
    if not len(found.inner):
        return color.clone()
    distance = found.distance(pos, topology, (height, width))
    return _blended(color, found.inner, found.outer, distance)


def _seen(fragments: Fragments) -> _Seen:
    face = face_index(fragments).reshape(-1)
    depth = fragments.rast.detach()[..., 2].reshape(-1)
    depth = depth.masked_fill(face < 0, torch.inf)
    return _Seen(face=face, depth=depth, size=fragments.size)


def _blended(color: Tensor, inner: Tensor, outer: Tensor, distance: Tensor) -> Tensor:
    """Move the border between two pixels from the middle to `distance` (N,), px from `inner`."""
    pixels = color.reshape(-1, color.shape[-1])
    beyond = (distance - 0.5).to(color.dtype)
    beyond = beyond + (beyond.clamp(-0.5, 0.5) - beyond).detach()
    grows = beyond.detach() > 0  # into the outer pixel; else the inner one loses
    changed, other = torch.where(grows, outer, inner), torch.where(grows, inner, outer)
    difference = pixels.index_select(0, other) - pixels.index_select(0, changed)
    mended = pixels.index_add(0, changed, beyond.abs().unsqueeze(-1) * difference)
    return mended.reshape(color.shape)
