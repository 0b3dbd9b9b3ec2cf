"""Crossings of outlines as nvdiffrast finds them: among the edges of visible triangles alone."""

import torch
from torch import Tensor

from .silhouette import ALONG_X, ALONG_Y, TOLERANCE_PX, Crossings, crossing, farthest, on_screen
from .topology import Topology


def seen_crossings(
    points: Tensor, topology: Topology, sides: Tensor, *, face: Tensor, depth: Tensor,
    size: tuple[int, int],
) -> Crossings:  # fmt: skip
    """Look at every pair of neighbours with different triangles: at the nearer one's edges.

    The edge must be a silhouette, pass between both centres and be steeper than 45 degrees to
    their line. Arguments as of `silhouette.crossings`.
    """
    height, width = size
    first, second, along = _pairs(face.reshape(-1, height, width))
    nearer = depth[first] <= depth[second]
    inner, outer = torch.where(nearer, first, second), torch.where(nearer, second, first)
    edge = topology.face_edges[face[inner]].reshape(-1)
    inner, outer, along = (t.repeat_interleave(3) for t in (inner, outer, along))
    image = inner // (height * width)
    silhouette = sides[image, edge] != 0
    edge, inner, outer, along, image = (t[silhouette] for t in (edge, inner, outer, along, image))
    place = on_screen(points[image[:, None], topology.edges[edge]], size)
    extent = (place[:, 1] - place[:, 0]).abs()
    rise = extent.gather(1, 1 - along[:, None])[:, 0]
    run = extent.gather(1, along[:, None])[:, 0]
    centre = torch.stack([inner % width, inner // width % height], dim=1) + 0.5
    middle = centre.gather(1, 1 - along[:, None])[:, 0]
    m = place.gather(2, (1 - along)[:, None, None].expand(-1, 2, 1))[..., 0]
    meets = (m.amin(1) <= middle + TOLERANCE_PX) & (m.amax(1) >= middle - TOLERANCE_PX)
    distance = crossing(place, centre, along) * (outer - inner).sign()
    between = (distance >= -TOLERANCE_PX) & (distance <= 1 + TOLERANCE_PX)
    good = meets & between & (rise > 0) & (rise >= run)
    return farthest(*(t[good] for t in (edge, inner, outer, distance)))


def _pairs(face: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return neighbouring pixels with different triangles, and the axis that joins them."""
    width = face.shape[2]
    number = torch.arange(face.numel(), device=face.device).reshape(face.shape)
    beside = number[:, :, :-1][face[:, :, :-1] != face[:, :, 1:]]
    below = number[:, :-1][face[:, :-1] != face[:, 1:]]
    first = torch.cat([beside, below])
    along = torch.cat([torch.full_like(beside, ALONG_X), torch.full_like(below, ALONG_Y)])
    return first, first + torch.where(along == ALONG_X, 1, width), along
