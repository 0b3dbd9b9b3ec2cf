"""How well spots are taken out of textures, and what else is changed."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..networks.deretouch import blend_layer
from ..networks.softlight import soft_light
from .retouchfeed import RetouchBatch

LEAST_SPOT = 0.02
"""Of white: from how much darker than its surroundings would be, a texel is a spot's."""
_APART = 5  # texels of the box that keeps skin off the spots apart from them


class RetouchFigures(NamedTuple):
    """Of whole textures; shares, and levels of 255."""

    removed: float
    """Share of the spots' contrast that is gone: 1 is all of it, negative makes it worse."""
    harm: float
    """Mean change where there are no spots, levels."""


@torch.no_grad()
def figures_of(network: nn.Module, batch: RetouchBatch) -> RetouchFigures:
    """Measure a network on pairs; see `RetouchFigures`."""
    found = retouched_by(network, batch.raw)
    before = (batch.raw - batch.retouched).abs().mean(dim=1, keepdim=True) * batch.seen
    after = (found - batch.retouched).abs().mean(dim=1, keepdim=True) * batch.seen
    spots = (before > LEAST_SPOT).to(before.dtype)
    any_change = (before > 0).to(before.dtype)
    near = functional.max_pool2d(any_change, _APART, stride=1, padding=_APART // 2)
    off = batch.seen * (1 - near)
    tiny = torch.finfo(before.dtype).tiny
    return RetouchFigures(
        removed=float(1 - (after * spots).sum() / (before * spots).sum().clamp(min=tiny)),
        harm=float(255 * (after * off).sum() / off.sum().clamp(min=1)),
    )


@torch.no_grad()
def retouched_by(network: nn.Module, textures: Tensor) -> Tensor:
    """Return textures (B, 3, S, S) as a network retouches them."""
    layers = [blend_layer(network, texture[None]) for texture in textures]
    return soft_light(textures, torch.cat(layers))
