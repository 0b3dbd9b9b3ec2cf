"""Unit vectors whose gradients stay finite."""

import torch
from torch import Tensor

_LEAST = 1e-20  # squared length below which a vector has no direction


def unit(vectors: Tensor, *, dim: int = -1) -> Tensor:
    """Return `vectors` at length 1; those without a direction stay 0 and get no gradient."""
    square = (vectors * vectors).sum(dim=dim, keepdim=True)
    known = square > _LEAST
    return vectors * torch.where(known, torch.where(known, square, 1.0).rsqrt(), 0.0)
