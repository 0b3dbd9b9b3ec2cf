"""The loops of PatchMatch as torch operations; `patchmatch_kernels.py` is their compiled twin.

Pixels of one colour of the checkerboard are taken together, and each is offered the same planes
in the same order, random ones from the same hashes: results differ where rounding tips a choice.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .patchmatch_kernels import MOST_SIDEWAYS, UNKNOWN_PAIR, WORST
from .torch_patchmatch_cost import EDGE_ON, Planes, TorchTask, Windows, judged, place, windows_of


@dataclass(frozen=True, kw_only=True)
class Found:
    """The state of a view's grid."""

    plane: Tensor
    """(height, width, 4) float32 normal and depth."""
    cost: Tensor
    """(height, width) float32."""
    pair: Tensor
    """(height, width) int64: the two best views, one + 16 * other."""


def initialise(task: TorchTask, pixels: Tensor, found: Found, *, n_random: int, seed: int) -> None:
    """Give every pixel the best of its guess (where there is one) and random planes."""
    windows = windows_of(task, pixels, found.cost.shape[1])
    now = _planes_at(found, windows.row, windows.col)
    guessed = now.d > 0
    worst = torch.full_like(now.d, WORST)
    unknown = torch.full_like(now.pair, UNKNOWN_PAIR)
    first = judged(task, windows, replace(now, cost=worst, pair=unknown))
    now = replace(
        first,
        cost=torch.where(guessed, first.cost, worst),
        pair=torch.where(guessed, first.pair, unknown),
    )
    random = _random(windows.row, windows.col, seed, -1)
    for k in range(n_random):
        e = 1.0 / (1.0 / task.far + random(3 * k) * (1.0 / task.near - 1.0 / task.far))
        mx, my = 1.2 * random(3 * k + 1) - 0.6, 1.2 * random(3 * k + 2) - 0.6
        mz = -torch.sqrt(1 - mx * mx - my * my)
        offer = judged(task, windows, replace(now, d=e, nx=mx, ny=my, nz=mz))
        now = now.improved(offer, (offer.cost < now.cost) | ~(now.d > 0))
    _store(found, windows, now)


def propagate(
    task: TorchTask, pixels: Tensor, found: Found, *,
    n_regions: int, seed: int, sweep: int, spread: float,
) -> None:  # fmt: skip
    """Offer every listed pixel its neighbours' planes, then random changes of its own."""
    windows = windows_of(task, pixels, found.cost.shape[1])
    now = _planes_at(found, windows.row, windows.col)
    rx, ry = _ray(task, *windows.spot[:2])
    for region in range(n_regions):
        known, r, q = _best_of_region(found.cost, windows.row, windows.col, region)
        m = _planes_at(found, r, q)
        sx, sy = _ray(task, *place(task, r, q))
        along = m.nx * rx + m.ny * ry + m.nz
        e = m.d * (m.nx * sx + m.ny * sy + m.nz) / along
        fair = known & ~(along > EDGE_ON) & ~(e < task.near) & ~(e > task.far)
        now = _offered(task, windows, now, (e, m.nx, m.ny, m.nz), fair)
    random = _random(windows.row, windows.col, seed, sweep)
    for k in range(4):  # depth alone, normal alone, both, both finely
        part = 0.25 if k == 3 else 1.0
        e, mx, my = now.d, now.nx, now.ny
        if k != 1:
            e = e * (1 + 0.08 * spread * part * (random(3 * k) - 0.5))
        if k != 0:
            turn = 0.9 * spread**0.5 * part
            mx = mx + turn * (random(3 * k + 1) - 0.5)
            my = my + turn * (random(3 * k + 2) - 0.5)
        sideways = mx * mx + my * my
        fair = ~((e < task.near) | (e > task.far) | (sideways > MOST_SIDEWAYS))
        mz = -torch.sqrt((1 - sideways).clamp(min=0))
        now = _offered(task, windows, now, (e, mx, my, mz), fair)
    _store(found, windows, now)


def _offered(
    task: TorchTask, windows: Windows, now: Planes, plane: tuple[Tensor, ...], fair: Tensor
) -> Planes:
    """Return the planes, or the offered ones where these are `fair` and cost less."""
    rows = torch.nonzero(fair)[:, 0]
    d, nx, ny, nz = (x[rows] for x in plane)
    tried = Planes(d=d, nx=nx, ny=ny, nz=nz, cost=now.cost[rows], pair=now.pair[rows])
    offer = judged(task, windows.part(rows), tried)
    won = offer.cost < tried.cost
    rows, where = rows[won], torch.nonzero(won)[:, 0]
    changed = {
        name: getattr(now, name).index_copy(0, rows, getattr(offer, name)[where])
        for name in ("d", "nx", "ny", "nz", "cost", "pair")
    }
    return Planes(**changed)


def _planes_at(found: Found, row: Tensor, col: Tensor) -> Planes:
    nx, ny, nz, d = found.plane[row, col].double().T
    cost, pair = found.cost[row, col].double(), found.pair[row, col]
    return Planes(d=d, nx=nx, ny=ny, nz=nz, cost=cost, pair=pair)


def _store(found: Found, windows: Windows, now: Planes) -> None:
    at = (windows.row, windows.col)
    found.plane[at] = torch.stack([now.nx, now.ny, now.nz, now.d], 1).float()
    found.cost[at], found.pair[at] = now.cost.float(), now.pair


def _ray(task: TorchTask, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    K = task.K_inverse
    return K[0, 0] * x + K[0, 1] * y + K[0, 2], K[1, 1] * y + K[1, 2]


def _best_of_region(
    cost: Tensor, row: Tensor, col: Tensor, region: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return whether there is a cheapest pixel in one of eight regions, its row and column.

    Regions 0-3 are the near wedges up, down, left, right; 4-7 the far lines.
    """
    height, width = cost.shape
    best = torch.full(row.shape, WORST, dtype=cost.dtype, device=cost.device)
    at_row, at_col = row, col
    steps = [(1, 0), (2, -1), (2, 1), (3, 0)] if region < 4 else [(5 + 2 * k, 0) for k in range(9)]
    for ahead, aside in steps:
        down, right = ((-ahead, aside), (ahead, aside), (aside, -ahead), (aside, ahead))[region % 4]
        r, c = row + down, col + right
        inside = (r >= 0) & (c >= 0) & (r < height) & (c < width)
        value = cost[r.clamp(0, height - 1), c.clamp(0, width - 1)]
        better = inside & (value < best)
        best = torch.where(better, value, best)
        at_row, at_col = torch.where(better, r, at_row), torch.where(better, c, at_col)
    return best < WORST, at_row, at_col


def _random(row: Tensor, col: Tensor, seed: int, sweep: int) -> Callable[[int], Tensor]:
    """Return the stream of numbers in [0, 1), float64, of each pixel (SplitMix64)."""
    key = row * _signed(0x9E3779B97F4A7C15)
    key ^= (col + 1) * _signed(0xC2B2AE3D27D4EB4F)
    key ^= _signed((seed + 1) * 0x165667B19E3779F9)
    key ^= _signed((sweep + 3) * 0x27D4EB2F165667C5)

    def number(index: int) -> Tensor:
        z = key + _signed((index + 1) * 0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = (z ^ _shifted(z, shift)) * _signed(factor)
        z = z ^ _shifted(z, 31)
        return _shifted(z, 40).double() * (1.0 / 16777216.0)

    return number


def _shifted(z: Tensor, n: int) -> Tensor:
    """Shift right without the sign: torch has no arithmetic of unsigned words."""
    return (z >> n) & ((1 << (64 - n)) - 1)


def _signed(value: int) -> int:
    """Return the signed word of the same 64 bits."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
