"""Silhouette edges of a mesh, and where they pass between two neighbouring pixel centres."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .topology import Topology

TOLERANCE_PX = 1 / 16  # triangles are placed on a grid about this coarse, edges here are not
ALONG_X, ALONG_Y = 0, 1


@dataclass(frozen=True, kw_only=True)
class Crossings:
    """Pairs of neighbouring pixels with an outline between them, each pair once."""

    inner: Tensor
    """(N,) int64, the pixel on the surface's side: image, row and column as one number."""
    outer: Tensor
    """(N,) int64, its neighbour."""
    edge: Tensor
    """(N,) int64, the edge of the topology that is the outline."""

    def distance(self, pos: Tensor, topology: Topology, size: tuple[int, int]) -> Tensor:
        """Return how far the outline is from the inner centre, px (N,), differentiable by `pos`."""
        height, width = size
        image = self.inner // (height * width)
        ends = topology.edges.index_select(0, self.edge) + (image * pos.shape[1])[:, None]
        points = pos.reshape(-1, 4).index_select(0, ends.reshape(-1)).to(torch.float64)
        place = on_screen(points, size).reshape(-1, 2, 2)
        row, column = self.inner // width % height, self.inner % width
        centre = torch.stack([column, row], dim=1) + 0.5
        step = self.outer - self.inner
        across = torch.where(step.abs() == 1, ALONG_X, ALONG_Y)
        # a lone column of pixels: its neighbours are one apart in the row of numbers, too
        across = across if width > 1 else torch.full_like(across, ALONG_Y)
        return crossing(place, centre, across) * step.sign()


def on_screen(points: Tensor, size: tuple[int, int]) -> Tensor:
    """Return pixel coordinates (..., 2), x then y, of clip-space points (..., 4)."""
    height, width = size
    scale = points.new_tensor([width / 2, height / 2])
    return (points[..., :2] / points[..., 3:] + 1) * scale


def crossing(place: Tensor, centre: Tensor, across: Tensor) -> Tensor:
    """Return where an edge meets the line through a centre along x or y, px from the centre (N,).

    `place` (N, 2, 2) the edge's ends; `across` (N,) 0: the line along x, 1: along y.
    """
    index = across[:, None, None].expand(-1, 2, 1)
    c = place.gather(2, index)[..., 0]
    m = place.gather(2, 1 - index)[..., 0]
    centre_c = centre.gather(1, across[:, None])[:, 0]
    centre_m = centre.gather(1, 1 - across[:, None])[:, 0]
    slope = (c[:, 1] - c[:, 0]) / (m[:, 1] - m[:, 0])
    return c[:, 0] - centre_c + (centre_m - m[:, 0]) * slope


def silhouettes(points: Tensor, topology: Topology) -> Tensor:
    """Return the side of every edge on which its surface lies: (B, E), 0 for no silhouette.

    Seen along the edge from its first to its second vertex, +1 is left (x right, y up). An edge
    is a silhouette where it is open or both its faces lie on one side. Edges that reach behind
    the camera are left out.
    """
    corners = points[:, topology.tri.to(torch.int64), :]
    x, y, w = corners[..., 0], corners[..., 1], corners[..., 3]
    turn = (
        x[..., 0] * (y[..., 1] * w[..., 2] - y[..., 2] * w[..., 1])
        + x[..., 1] * (y[..., 2] * w[..., 0] - y[..., 0] * w[..., 2])
        + x[..., 2] * (y[..., 0] * w[..., 1] - y[..., 1] * w[..., 0])
    ).sign()
    turn = torch.where(torch.isfinite(turn), turn, 0).to(torch.int8)
    turn = torch.cat([turn, turn.new_zeros(len(turn), 1)], dim=1)  # face -1: beside an open edge
    first = turn[:, topology.faces[:, 0]] * topology.directions[:, 0]
    second = turn[:, topology.faces[:, 1]] * topology.directions[:, 1]
    side = torch.where(first * second >= 0, (first + second).sign(), 0)
    ahead = (points[..., 3] > 0)[:, topology.edges].all(-1)
    return torch.where(ahead, side, 0)


def crossings(
    points: Tensor, topology: Topology, sides: Tensor, *, face: Tensor, depth: Tensor,
    size: tuple[int, int],
) -> Crossings:  # fmt: skip
    """Draw all silhouette edges into pairs of pixels.

    Of several edges between two pixels the one farthest into the outer pixel counts. `face` and
    `depth` (B H W,) are what is seen: an outline behind the outer pixel's surface is hidden.
    """
    height, width = size
    image, edge = sides.nonzero(as_tuple=True)
    ends = topology.edges[edge]
    corners = points[image[:, None], ends]
    place, z = on_screen(corners, size), corners[..., 2] / corners[..., 3]
    extent = (place[:, 1] - place[:, 0]).abs()
    across = (extent[:, 0] > extent[:, 1]).to(torch.int64)  # flat edges cross vertical pairs
    item, major = _lines_met(place, across, size)
    along = torch.where(across[item] == ALONG_X, 0, 1)
    centre = torch.stack([major, major], dim=1) + 0.5
    c = crossing(place[item], centre, along) + centre[:, 0]
    c = c.clamp(-1.0, max(size) + 1.0)
    low = (c - 0.5).floor().to(torch.int64)
    limit = torch.where(along == ALONG_X, width, height)
    within = (low >= 0) & (low + 1 < limit)
    item, major, along, c, low = (t[within] for t in (item, major, along, c, low))
    run = (place[item, 1] - place[item, 0]).gather(1, 1 - along[:, None])[:, 0]
    left = torch.where(along == ALONG_X, -run, run).sign() * sides[image[item], edge[item]]
    column = torch.where(along == ALONG_X, low, major)
    row = torch.where(along == ALONG_X, major, low)
    stride = torch.where(along == ALONG_X, 1, width)
    lower = (image[item] * height + row) * width + column
    share = c - 0.5 - low
    up = left > 0  # the surface lies towards larger coordinates
    inner, outer = torch.where(up, lower + stride, lower), torch.where(up, lower, lower + stride)
    distance = torch.where(up, 1 - share, share)
    place_m = place[item].gather(2, (1 - along)[:, None, None].expand(-1, 2, 1))[..., 0]
    t = (major + 0.5 - place_m[:, 0]) / (place_m[:, 1] - place_m[:, 0])
    z = z[item, 0] + t * (z[item, 1] - z[item, 0])
    return _kept(edge[item], inner, outer, distance, z, low, limit[within], topology, face, depth)


def _lines_met(place: Tensor, across: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return for every edge the rows (or columns) whose centre line it meets.

    `item` (N,) is the edge's place in the list, `major` (N,) the row or column.
    """
    height, width = size
    index = (1 - across)[:, None, None].expand(-1, 2, 1)
    m = torch.nan_to_num(place.gather(2, index)[..., 0]).clamp(-2.0, max(size) + 2.0)
    limit = torch.where(across == ALONG_X, height, width)
    first = (m.amin(1) - 0.5).ceil().to(torch.int64).clamp(min=0)
    last = torch.minimum((m.amax(1) - 0.5).ceil().to(torch.int64) - 1, limit - 1)
    count = (last - first + 1).clamp(min=0)
    item = torch.repeat_interleave(torch.arange(len(count), device=count.device), count)
    start = count.cumsum(0) - count
    return item, torch.arange(len(item), device=item.device) - start[item] + first[item]


def _kept(
    edge: Tensor, inner: Tensor, outer: Tensor, distance: Tensor, z: Tensor, low: Tensor,
    limit: Tensor, topology: Topology, face: Tensor, depth: Tensor,
) -> Crossings:  # fmt: skip
    """Leave out hidden edges, and all but the farthest of each pair."""
    inner, outer, distance = _where_seen(edge, inner, outer, distance, low, limit, topology, face)
    visible = (face[inner] >= 0) & (face[inner] != face[outer]) & (z < depth[outer])
    edge, inner, outer, distance = (t[visible] for t in (edge, inner, outer, distance))
    return farthest(edge, inner, outer, distance)


def _where_seen(
    edge: Tensor, inner: Tensor, outer: Tensor, distance: Tensor, low: Tensor, limit: Tensor,
    topology: Topology, face: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Move pairs by one pixel where the outline's rounding decided the other way.

    Triangles were rounded to a grid before they were drawn: an outline that passes a centre
    closely may leave that pixel to the other side.
    """
    step = outer - inner
    towards = step.sign()
    covered = (topology.faces[edge] == face[outer][:, None]).any(1) & (face[outer] >= 0)
    room = torch.where(towards > 0, low + 2 < limit, low >= 1)
    outward = covered & (distance > 1 - TOLERANCE_PX) & room
    behind = torch.where(towards > 0, low >= 1, low + 2 < limit)
    inward = (face[inner] == face[outer]) & (distance < TOLERANCE_PX) & behind & ~outward
    shift = outward.to(torch.int64) - inward.to(torch.int64)
    return inner + shift * step, outer + shift * step, distance - shift


def farthest(edge: Tensor, inner: Tensor, outer: Tensor, distance: Tensor) -> Crossings:
    """Keep of every pair the crossing farthest from the inner pixel, ties to the first edge."""
    wide = (outer - inner).abs() != 1
    pair = torch.minimum(inner, outer) * 2 + wide
    order = distance.argsort(descending=True, stable=True)
    order = order[pair[order].argsort(stable=True)]
    sorted_pair = pair[order]
    is_first = torch.ones_like(sorted_pair, dtype=torch.bool)
    is_first[1:] = sorted_pair[1:] != sorted_pair[:-1]
    best = order[is_first]
    return Crossings(inner=inner[best], outer=outer[best], edge=edge[best])
