"""Which triangle covers which pixel, in plain torch on any device.

The same decisions as `numba_raster_kernels.py` in the same double-precision arithmetic, whole
lists at a time: triangles become rows, rows become spans, spans become pixels, and the smallest
key of depth and triangle wins at each pixel.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .screen import Cull

_GRID_LIMIT = float(1 << 25)  # grid steps; products of differences stay whole in float64
_DEPTH_STEPS = 4294967295.0
_EMPTY = 0x7FFFFFFFFFFFFFFF
_LOW_32 = 0xFFFFFFFF
_AT_ONCE = {"cpu": 1 << 20, "cuda": 1 << 22}  # rows or pixels in one list


@dataclass(frozen=True, kw_only=True)
class _Placed:
    """Vertices of one image on the grid, counted from its middle."""

    x: Tensor  # (V,) float64, whole numbers
    y: Tensor
    z: Tensor  # (V,) z/w as [0, _DEPTH_STEPS]
    on_grid: Tensor  # (V,) bool: before the camera and near enough to the image
    finite: Tensor


def covered(
    pos: Tensor, tri: Tensor, size: tuple[int, int], *, bits: int, cull: Cull | None
) -> Tensor:
    """Return the visible triangle (B, H, W) int64, -1 for none; `pos` (B, V, 4)."""
    height, width = size
    corners = tri.to(torch.int64)
    images = [_covered(one.to(torch.float64), corners, size, bits, cull) for one in pos.detach()]
    return torch.stack(images) if images else corners.new_empty((0, height, width))


def _covered(
    pos: Tensor, tri: Tensor, size: tuple[int, int], bits: int, cull: Cull | None
) -> Tensor:
    height, width = size
    keys = torch.full((height * width,), _EMPTY, dtype=torch.int64, device=pos.device)
    if len(tri):
        placed = _place(pos, size, bits)
        number = placed.finite[tri].all(1).nonzero()[:, 0]
        on_grid = placed.on_grid[tri[number]].all(1)
        _draw_on_grid(keys, placed, tri, number[on_grid], size, bits, cull)
        _draw_homogeneous(keys, pos, tri, number[~on_grid], size, cull)
    ids = torch.where(keys == _EMPTY, -1, _LOW_32 - (keys & _LOW_32))
    return ids.reshape(height, width)


def _place(pos: Tensor, size: tuple[int, int], bits: int) -> _Placed:
    height, width = size
    x, y, z, w = pos.unbind(1)
    half = float(1 << (bits - 1))
    column, row = (x / w * (width * half)).round(), (y / w * (height * half)).round()
    near = (column.abs() < _GRID_LIMIT) & (row.abs() < _GRID_LIMIT)
    finite = torch.isfinite(x + y + z + w)
    depth = (z / w * 0.5 + 0.5) * _DEPTH_STEPS
    return _Placed(x=column, y=row, z=depth, on_grid=(w > 0) & near & finite, finite=finite)


def _draw_on_grid(
    keys: Tensor, placed: _Placed, tri: Tensor, number: Tensor, size: tuple[int, int],
    bits: int, cull: Cull | None,
) -> None:  # fmt: skip
    height, width = size
    corner = tri[number]
    x, y, z = placed.x[corner], placed.y[corner], placed.z[corner]
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (y[:, 1] - y[:, 0]) * (x[:, 2] - x[:, 0])
    first_row, last_row = _centres(y.amin(1), y.amax(1), height, bits)
    first, last = _centres(x.amin(1), x.amax(1), width, bits)
    wanted = (area != 0) & (first_row <= last_row) & (first <= last)
    wanted &= (z <= _DEPTH_STEPS).any(1) & (z >= 0).any(1)
    if cull is not None:
        wanted &= area > 0 if cull is Cull.BACK else area < 0
    number, first_row, last_row = number[wanted], first_row[wanted], last_row[wanted]
    first, last = first[wanted], last[wanted]
    turned = (area < 0)[wanted][:, None]
    x, y, z = (torch.where(turned, t[wanted][:, [0, 2, 1]], t[wanted]) for t in (x, y, z))
    plane = _depth_plane(x, y, z, area[wanted].abs())
    origin = (1 << (bits - 1)) * (1 - width)  # of the first column
    rows_of = (last_row - first_row + 1).to(torch.int64)
    for item, step in _pieces(rows_of, _at_once(keys)):
        row = first_row[item] + step
        centre = row * (1 << bits) + (1 << (bits - 1)) * (1 - height)
        begin, end = _spans(x[item], y[item], centre, first[item], last[item], width, bits)
        for span, step_x in _pieces((end - begin + 1).clamp(min=0).to(torch.int64), _at_once(keys)):
            which, column = item[span], begin[span] + step_x
            depth = plane[which, 0] + plane[which, 2] * (centre[span] - y[which, 0])
            depth = depth + plane[which, 1] * (origin - x[which, 0])
            depth = depth + plane[which, 1] * (1 << bits) * column
            inside = (depth >= 0) & (depth <= _DEPTH_STEPS)
            within = ((z[which] <= _DEPTH_STEPS) & (z[which] >= 0)).all(1)
            pixel = row[span].to(torch.int64) * width + column.to(torch.int64)
            _put(keys, pixel, depth, number[which], inside | within)


def _at_once(keys: Tensor) -> int:
    return _AT_ONCE.get(keys.device.type, 1 << 22)


def _centres(low: Tensor, high: Tensor, n_pixels: int, bits: int) -> tuple[Tensor, Tensor]:
    """Return the first and last pixel with its centre in [low, high], grid steps."""
    offset = float((n_pixels - 1) * (1 << (bits - 1)))
    step = float(1 << bits)
    first = ((low + offset) / step).ceil().clamp(min=0)
    return first, ((high + offset) / step).floor().clamp(max=n_pixels - 1)


def _depth_plane(x: Tensor, y: Tensor, z: Tensor, area: Tensor) -> Tensor:
    """Return depth at the first corner and its slopes by x and y, a grid step: (N, 3)."""
    bx, by, bz = x[:, 1] - x[:, 0], y[:, 1] - y[:, 0], z[:, 1] - z[:, 0]
    cx, cy, cz = x[:, 2] - x[:, 0], y[:, 2] - y[:, 0], z[:, 2] - z[:, 0]
    return torch.stack([z[:, 0], (bz * cy - cz * by) / area, (cz * bx - bz * cx) / area], dim=1)


def _spans(
    x: Tensor, y: Tensor, centre: Tensor, begin: Tensor, end: Tensor, width: int, bits: int
) -> tuple[Tensor, Tensor]:
    """Return the first and last column inside three edges, on the row at `centre`.

    An edge function is e - fall * column, a whole number, positive inside; 0 counts on left and
    top edges.
    """
    origin = (1 << (bits - 1)) * (1 - width)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        dx, dy = x[:, j] - x[:, i], y[:, j] - y[:, i]
        open_end = ~((dy < 0) | ((dy == 0) & (dx < 0)))
        e = dx * (centre - y[:, i]) - dy * (origin - x[:, i]) - open_end.to(x.dtype)
        fall = dy * (1 << bits)
        bound = e / fall
        end = torch.where(fall > 0, torch.minimum(end, bound.floor()), end)
        begin = torch.where(fall < 0, torch.maximum(begin, bound.ceil()), begin)
        end = torch.where((fall == 0) & (e < 0), begin - 1, end)
    return begin, end


def _pieces(count: Tensor, at_once: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (item, step): every item `count` times with steps 0, 1, ...; `at_once` in a list.

    One item alone may be longer.
    """
    total = count.cumsum(0)
    start, done = 0, 0
    n_items = len(count)
    while start < n_items:
        limit = total.new_tensor(done + at_once)
        stop = n_items if total[-1] <= limit else int(torch.searchsorted(total, limit, right=True))
        stop = max(stop, start + 1)
        part = count[start:stop]
        item = torch.repeat_interleave(torch.arange(start, stop, device=count.device), part)
        before = total[start:stop] - part - done
        step = torch.arange(len(item), device=count.device) - before[item - start]
        if len(item):
            yield item, step
        start, done = stop, int(total[stop - 1])


def _put(keys: Tensor, pixel: Tensor, depth: Tensor, number: Tensor, inside: Tensor) -> None:
    steps = depth.to(torch.int64).clamp(0, _LOW_32)
    key = ((steps - 2147483648) << 32) | (_LOW_32 - number)
    key = torch.where(inside, key, _EMPTY)
    keys.scatter_reduce_(0, pixel, key, "amin")


def _draw_homogeneous(
    keys: Tensor, pos: Tensor, tri: Tensor, number: Tensor, size: tuple[int, int],
    cull: Cull | None,
) -> None:  # fmt: skip
    """Draw triangles that reach behind the camera, or far beyond the image."""
    height, width = size
    corner = pos[tri[number]]
    outside = (corner[..., :3] > corner[..., 3:]).all(1) | (corner[..., :3] < -corner[..., 3:]).all(
        1
    )
    wanted = ~outside.any(1)
    number, corner = number[wanted], corner[wanted]
    columns, rows = _bounds(corner, 0, width), _bounds(corner, 1, height)
    across = (columns[1] - columns[0] + 1).clamp(min=0)
    count = across * (rows[1] - rows[0] + 1).clamp(min=0)
    for item, step in _pieces(count, _at_once(keys)):
        row = rows[0][item] + step // across[item]
        column = columns[0][item] + step % across[item]
        a, b, c = corner[item].unbind(1)
        x, y = (2 * column + 1) / width - 1.0, (2 * row + 1) / height - 1.0
        u, v, r = areas(a, b, c, x.to(torch.float64), y.to(torch.float64))
        total = u + v + r
        least = torch.minimum(torch.minimum(u, v), r)
        most = torch.maximum(torch.maximum(u, v), r)
        inside = ((total > 0) & (least >= 0)) | ((total < 0) & (most <= 0))
        w = (u * a[:, 3] + v * b[:, 3] + r * c[:, 3]) / total
        z = (u * a[:, 2] + v * b[:, 2] + r * c[:, 2]) / total
        inside &= (w > 0) & (z <= w) & (z >= -w)
        if cull is not None:
            inside &= total > 0 if cull is Cull.BACK else total < 0
        depth = torch.where(inside, (z / w * 0.5 + 0.5) * _DEPTH_STEPS, 0.0)
        _put(keys, row * width + column, depth, number[item], inside)


def areas(a: Tensor, b: Tensor, c: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return homogeneous weights of three clip-space corners (N, 4) at NDC x, y (N,)."""
    ax, ay = a[:, 0] - x * a[:, 3], a[:, 1] - y * a[:, 3]
    bx, by = b[:, 0] - x * b[:, 3], b[:, 1] - y * b[:, 3]
    cx, cy = c[:, 0] - x * c[:, 3], c[:, 1] - y * c[:, 3]
    return bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx


def _bounds(corner: Tensor, axis: int, n_pixels: int) -> tuple[Tensor, Tensor]:
    """Return first and last pixel that the part before the near plane can reach: (N,) int64."""
    ahead = corner[..., 2] + corner[..., 3]
    other, beyond = corner.roll(-1, 1), ahead.roll(-1, 1)
    share = (ahead / (ahead - beyond))[..., None]
    cut = torch.where(((ahead >= 0) != (beyond >= 0))[..., None], corner + share * (other - corner),
                      torch.nan)  # fmt: skip
    points = torch.cat([torch.where((ahead >= 0)[..., None], corner, torch.nan), cut], dim=1)
    used = ~points[..., 3].isnan()
    place = points[..., axis] / points[..., 3]
    wide = (used & ~(points[..., 3] > 0)).any(1)
    low = torch.where(used, place, torch.inf).amin(1)
    high = torch.where(used, place, -torch.inf).amax(1)
    low, high = low.masked_fill(wide, -2.0).clamp(-2, 2), high.masked_fill(wide, 2.0).clamp(-2, 2)
    first = ((low + 1) * 0.5 * n_pixels - 0.5).floor().to(torch.int64) - 1
    last = ((high + 1) * 0.5 * n_pixels - 0.5).ceil().to(torch.int64) + 1
    last = torch.where(used.any(1), last, -1)
    return first.clamp(min=0), last.clamp(max=n_pixels - 1)
