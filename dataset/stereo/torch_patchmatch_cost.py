"""What a plane costs in PatchMatch, as torch operations: `patchmatch_kernels._cost` is their twin.

Windows are (sample, pixel) in single precision, the geometry that places them is double.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .patchmatch_kernels import (
    ALONE,
    COLS,
    HOPELESS,
    LEAST_SQUARE,
    MARGIN,
    NEAR,
    ROWS,
    UNLIKE,
    WORST,
)

EDGE_ON = -1e-3
"""A plane whose normal times the ray is above this is seen from behind, or on edge."""


@dataclass(frozen=True, kw_only=True)
class TorchTask:
    """What the loops only read; see `patchmatch.MatchingTask`."""

    padded: Tensor
    images: Tensor
    """(n * H * W,)."""
    width: int
    """W."""
    sizes: Tensor
    A: Tensor
    b: Tensor
    K_inverse: Tensor
    scale: tuple[float, float]
    near: float
    far: float


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Reference windows of N pixels."""

    row: Tensor
    col: Tensor
    """(N,) on the grid."""
    spot: tuple[Tensor, Tensor, Tensor, Tensor]
    """(N,) float64 each: place in the image, way to the window's middle."""
    weight: Tensor
    """(32, N) float32 of sum one."""
    value: Tensor
    """(32, N) weight times value of weighted mean zero."""
    norm: Tensor
    """(N,) float64 weighted root mean square of the values."""

    def part(self, rows: Tensor) -> "Windows":
        """Return some of them."""
        x, y, dx, dy = self.spot
        return Windows(
            row=self.row[rows], col=self.col[rows],
            spot=(x[rows], y[rows], dx[rows], dy[rows]),
            weight=self.weight[:, rows], value=self.value[:, rows], norm=self.norm[rows],
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Planes:
    """A plane for each of N pixels, float64: depth, normal, cost, best two views."""

    d: Tensor
    nx: Tensor
    ny: Tensor
    nz: Tensor
    cost: Tensor
    pair: Tensor

    def improved(self, other: "Planes", better: Tensor) -> "Planes":
        """Return these, or the `other` where `better`."""
        fields = ("d", "nx", "ny", "nz", "cost", "pair")
        return Planes(
            **{k: torch.where(better, getattr(other, k), getattr(self, k)) for k in fields}
        )


def windows_of(task: TorchTask, pixels: Tensor, grid_width: int) -> Windows:
    """Return the windows of grid pixels; those without texture are left out."""
    row, col = pixels // grid_width, pixels % grid_width
    x, y = place(task, row, col)
    corner_row, corner_col = (y + 0.5).long(), (x + 0.5).long()
    width, flat = task.padded.shape[1], task.padded.reshape(-1)
    origin = (corner_row + MARGIN) * width + corner_col + MARGIN
    corners = torch.stack([flat[origin - (k & 1) - (k >> 1) * width] for k in range(4)])
    seen = corners >= 0
    middle = torch.where(seen, corners, 0.0).sum(0) / seen.sum(0).clamp(min=1)
    values = flat[origin + _column(ROWS * width + COLS, flat.device)]
    off = values - middle
    like = 1 / (1 + off * off * float(UNLIKE))
    like *= like
    weight = torch.where(values >= 0, _column(NEAR, flat.device) * like * like, 0.0)
    total = _lanes(weight)
    mean = _lanes(weight * off) / total
    weight = weight / total
    off = off - mean
    square = _lanes(weight * off * off)
    good = torch.nonzero(seen.any(0) & (total > 1e-6) & (square > LEAST_SQUARE))[:, 0]
    whole = Windows(
        row=row, col=col, spot=(x, y, corner_col - x, corner_row - y),
        weight=weight, value=weight * off, norm=square.sqrt().double(),
    )  # fmt: skip
    return whole.part(good)


def place(task: TorchTask, row: Tensor, col: Tensor) -> tuple[Tensor, Tensor]:
    """Return x and y of grid pixels in the image."""
    return (col.double() + 0.5) * task.scale[0], (row.double() + 0.5) * task.scale[1]


def judged(task: TorchTask, windows: Windows, planes: Planes) -> Planes:
    """Return the planes with their cost: the mean of the two best 1 - NCC, and which two.

    `planes` hold the cost to beat and the two views that were best before. A plane that these
    find hopeless is not looked at in the other views.
    """
    K, x, y = task.K_inverse, windows.spot[0], windows.spot[1]
    m0, m1 = planes.nx * K[0, 0], planes.nx * K[0, 1] + planes.ny * K[1, 1]
    m2 = planes.nx * K[0, 2] + planes.ny * K[1, 2] + planes.nz
    facing = m0 * x + m1 * y + m2
    behind = facing > EDGE_ON
    facing = torch.where(behind, -1.0, facing)
    inverse = 1.0 / planes.d
    m0, m1 = m0 * inverse / facing, m1 * inverse / facing
    one, two = planes.pair & 15, planes.pair >> 4
    best, second = torch.full((2, len(x)), WORST, dtype=torch.float64, device=x.device)
    at_best, at_second = one, two
    n_views = len(task.A)
    for s in (one, two)[:n_views]:
        cost = _in_view(task, windows, s, inverse, m0, m1)
        best, second, at_best, at_second = _ranked(cost, s, best, second, at_best, at_second)
    lost = behind | (best > 2 * planes.cost + HOPELESS) & (n_views > 2)
    if n_views > 2:
        rows = torch.nonzero(~lost)[:, 0]
        few = windows.part(rows)
        for turn in range(n_views - 2):
            s = turn + (turn >= torch.minimum(one, two)).long()
            s = s + (s >= torch.maximum(one, two)).long()
            cost = torch.full_like(best, WORST)
            cost[rows] = _in_view(task, few, s[rows], inverse[rows], m0[rows], m1[rows])
            best, second, at_best, at_second = _ranked(cost, s, best, second, at_best, at_second)
    if n_views == 1:
        return replace(planes, cost=torch.where(lost, WORST, best))
    double = at_second == at_best
    at_second = torch.where(double, torch.where(at_best != one, one, two), at_second)
    mean = 0.5 * (best + torch.minimum(second, best + 2 * ALONE))
    return replace(
        planes,
        cost=torch.where(lost, WORST, mean.clamp(max=WORST)),
        pair=torch.where(lost, planes.pair, at_best + 16 * at_second),
    )


def _ranked(
    cost: Tensor, s: Tensor, best: Tensor, second: Tensor, at_best: Tensor, at_second: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the two least costs and their views, now that `s` cost `cost`."""
    first, next_ = cost < best, cost < second
    return (
        torch.where(first, cost, best),
        torch.where(first, best, torch.where(next_, cost, second)),
        torch.where(first, s, at_best),
        torch.where(first, at_best, torch.where(next_, s, at_second)),
    )


def _in_view(
    task: TorchTask, windows: Windows, s: Tensor, inverse: Tensor, m0: Tensor, m1: Tensor
) -> Tensor:
    """Return (N,) 1 - NCC in views s of planes of inverse depth `inverse`, gradient m."""
    (a00, a01, a02), (a10, a11, a12), (a20, a21, a22) = task.A[s].permute(1, 2, 0)
    b0, b1, b2 = task.b[s].T
    x, y, dx, dy = windows.spot
    depth = a20 * x + a21 * y + a22 + b2 * inverse
    w = 1.0 / depth
    u = (a00 * x + a01 * y + a02 + b0 * inverse) * w
    v = (a10 * x + a11 * y + a12 + b1 * inverse) * w
    # the homography A + b m^T, affine round (x, y)
    wx, wy = a20 + b2 * m0, a21 + b2 * m1
    ux, uy = (a00 + b0 * m0 - u * wx) * w, (a01 + b0 * m1 - u * wy) * w
    vx, vy = (a10 + b1 * m0 - v * wx) * w, (a11 + b1 * m1 - v * wy) * w
    u = u + ux * dx + uy * dy - 0.5
    v = v + vx * dx + vy * dy - 0.5
    reach_u, reach_v = MARGIN * (ux.abs() + uy.abs()), MARGIN * (vx.abs() + vy.abs())
    height, width = task.sizes[s].T
    inside = (depth > 0) & (u - reach_u >= 0) & (u + reach_u < width - 1)
    inside &= (v - reach_v >= 0) & (v + reach_v < height - 1)
    affine = [torch.where(inside, value, 0.0).float() for value in (u, v, ux, uy, vx, vy)]
    start = s * (len(task.images) // len(task.A))
    return torch.where(inside, _mismatch(task, windows, start, *affine), WORST)


def _mismatch(
    task: TorchTask, windows: Windows, start: Tensor,
    u: Tensor, v: Tensor, ux: Tensor, uy: Tensor, vx: Tensor, vy: Tensor,
) -> Tensor:  # fmt: skip
    """Return (N,) 1 - NCC of the windows with their affine images; WORST without texture."""
    dx, dy = (_column(k + 0.5, u.device).float() for k in (COLS, ROWS))
    su, sv = u + ux * dx + uy * dy, v + vx * dx + vy * dy
    j, i = su.long(), sv.long()
    su -= j
    sv -= i
    at = i.mul_(task.width).add_(j).add_(start)
    image = task.images
    above = image[at]
    above = above + su * (image[at + 1] - above)
    at += task.width
    below = image[at]
    below = below + su * (image[at + 1] - below)
    values = above + sv * (below - above)
    part = windows.weight * values
    total = _lanes(part)
    variance = _lanes(part * values) - total * total
    textured = ~(variance < LEAST_SQUARE)
    shared = _lanes(windows.value * values)
    deviation = torch.where(textured, variance, 1.0).sqrt()
    return torch.where(textured, 1.0 - shared / (windows.norm * deviation), WORST)


def _column(values: object, device: torch.device) -> Tensor:
    return torch.as_tensor(values, device=device)[:, None]


def _lanes(values: Tensor) -> Tensor:
    """Return (N,) sums of (32, N), in the order of the compiled loops."""
    a, b, c, d = values.reshape(4, 8, -1)
    eight = (a + b) + (c + d)
    four = eight[:4] + eight[4:]
    return (four[0] + four[2]) + (four[1] + four[3])
