"""Texture look-ups beyond one bilinear sample: nearest texel, and mips.

Textures are (B|1, H, W, C) with row 0 at v = 0; a texel's centre is at (i + 0.5) / size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor
from torch.nn import functional


class Wrap(StrEnum):
    """What lies outside [0, 1]."""

    WRAP = "wrap"
    CLAMP = "clamp"
    ZERO = "zero"


class Filter(StrEnum):
    """How texels become a value."""

    NEAREST = "nearest"
    LINEAR = "linear"


@dataclass(frozen=True, kw_only=True)
class Levels:
    """A texture and its smaller versions, one after another."""

    texels: Tensor
    """(B|1, N, C)."""
    shape: tuple[tuple[int, int, int], ...]
    """First texel, height and width of every level."""


Sampler = Callable[[Levels, Tensor | None, Tensor, Wrap], Tensor]
"""(levels, level (B, h, w) int32 or None for the first, uv (B, h, w, 2), wrap) -> (B, h, w, C)."""


def sampled(
    tex: Tensor, uv: Tensor, uv_da: Tensor | None, *, filter: str, wrap: str, sampler: Sampler
) -> Tensor:
    """Look a texture up: nearest texel, bilinear, or trilinear where `uv_da` is given.

    `uv_da` (B, h, w, 4) is du/dx, du/dy, dv/dx, dv/dy per pixel, as `interpolate` returns for
    two channels. The level follows the longer axis of a pixel's footprint and carries no
    gradient.

    Raises
    ------
    ValueError
        Shapes do not fit, or an unknown filter or wrap.
    """
    method, outside = Filter(filter), Wrap(wrap)
    if tex.ndim != 4 or uv.ndim != 4 or uv.shape[-1] != 2 or tex.shape[0] not in (1, uv.shape[0]):
        raise ValueError(f"{tex.shape=} and {uv.shape=}; expected (B|1, H, W, C) and (B, h, w, 2)")
    if method is Filter.NEAREST:
        return _nearest(tex, uv, outside)
    if uv_da is None:
        return sampler(_one_level(tex), None, uv, outside)
    levels = _pyramid(tex)
    place = _level(uv_da.detach(), tex.shape[1], tex.shape[2]).clamp(0, len(levels.shape) - 1)
    finer = place.floor()
    share = (place - finer).unsqueeze(-1).to(tex.dtype)
    coarser = (finer + 1).clamp(max=len(levels.shape) - 1)
    low = sampler(levels, finer.to(torch.int32), uv, outside)
    high = sampler(levels, coarser.to(torch.int32), uv, outside)
    return low + (high - low) * share


def _one_level(tex: Tensor) -> Levels:
    batch, height, width, n_channels = tex.shape
    return Levels(texels=tex.reshape(batch, -1, n_channels), shape=((0, height, width),))


def _pyramid(tex: Tensor) -> Levels:
    """Halve a texture by means of 2 x 2 texels for as long as its sides are even (or one)."""
    batch, height, width, n_channels = tex.shape
    level, parts, shape, first = tex.permute(0, 3, 1, 2), [], [], 0
    while True:
        parts.append(level.permute(0, 2, 3, 1).reshape(batch, -1, n_channels))
        shape.append((first, height, width))
        first += height * width
        odd = (height > 1 and height % 2) or (width > 1 and width % 2)
        if odd or height * width == 1:
            return Levels(texels=torch.cat(parts, dim=1), shape=tuple(shape))
        step = (min(height, 2), min(width, 2))
        level = functional.avg_pool2d(level, step)
        height, width = height // step[0], width // step[1]


def _level(uv_da: Tensor, height: int, width: int) -> Tensor:
    """Return log2 of the longer half-axis of a pixel's footprint, texels: (B, h, w)."""
    ux, uy = uv_da[..., 0] * width, uv_da[..., 1] * width
    vx, vy = uv_da[..., 2] * height, uv_da[..., 3] * height
    trace, det = ux**2 + uy**2 + vx**2 + vy**2, ux * vy - uy * vx
    square = 0.5 * (trace + (trace**2 - 4 * det**2).clamp(min=0).sqrt())
    return torch.nan_to_num(0.5 * torch.log2(square.clamp(min=1e-30)))


def _nearest(tex: Tensor, uv: Tensor, wrap: Wrap) -> Tensor:
    batch, height, width, n_channels = tex.shape
    place = torch.nan_to_num(uv.detach())
    outside = ((place < 0) | (place > 1)).any(-1, keepdim=True)
    if wrap is Wrap.WRAP:
        place = place - place.floor()
    column = (place[..., 0] * width).floor().long().clamp(0, width - 1)
    row = (place[..., 1] * height).floor().long().clamp(0, height - 1)
    index = row * width + column
    if batch > 1:
        first = torch.arange(batch, device=tex.device) * (height * width)
        index = index + first[:, None, None]
    texels = tex.reshape(-1, n_channels).index_select(0, index.reshape(-1))
    values = texels.reshape(*uv.shape[:-1], n_channels)
    return values.masked_fill(outside, 0) if wrap is Wrap.ZERO else values
