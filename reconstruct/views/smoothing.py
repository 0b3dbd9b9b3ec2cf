"""Smooth maps of what was measured here well, there badly, elsewhere not at all."""

import math

import torch
from torch import Tensor
from torch.nn import functional

_REACH = 3.0  # sigmas that a Gaussian is cut at
_LEAST = 1e-12


def gaussian(values: Tensor, sigma: float) -> Tensor:
    """Return maps (..., h, w) under a Gaussian of `sigma` texels, zeros around them."""
    if sigma <= 0:
        return values
    half = max(1, math.ceil(_REACH * sigma))
    x = torch.arange(-half, half + 1, dtype=values.dtype, device=values.device)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = kernel / kernel.sum()
    flat = values.reshape(-1, 1, *values.shape[-2:])
    rows = functional.conv2d(flat, kernel[None, None, None], padding=(0, half))
    both = functional.conv2d(rows, kernel[None, None, :, None], padding=(half, 0))
    return both.reshape(values.shape)


def weighted(values: Tensor, weight: Tensor, sigma: float) -> Tensor:
    """Return the mean of `values` (..., h, w) around each texel, weights (h, w) times a Gaussian.

    Where no weight is near, 0.
    """
    total = gaussian(weight.expand_as(values) if weight.ndim < values.ndim else weight, sigma)
    return gaussian(weight * values, sigma) / total.clamp_min(_LEAST)


def robust_weighted(
    values: Tensor, weight: Tensor, sigma: float, *, scale: float, n_rounds: int = 3
) -> Tensor:
    """Return `weighted`, values farther than `scale` from it losing their pull (Geman-McClure)."""
    mean = weighted(values, weight, sigma)
    for _ in range(n_rounds):
        trusted = weight / (1 + ((values - mean) / scale) ** 2) ** 2
        mean = weighted(values, trusted, sigma)
    return mean
