"""How far views differ, pooled over the texels that two or more of them show.

Maps (J, C, n, n) of J views, or any window (J, C, h, w) of them, their weight (J, 1, n, n) >= 0
with 0 where a view does not show the texel; J is any number. Every spread here is normalised
such that neither the number of views nor a common factor on the weights changes it: noise of
standard deviation s in every view costs s^2, whatever the weights are (`degrees`). Weights are
not differentiated: else a loss could be lowered by looking away. What is hidden may hold
anything, NaN included.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_LEAST = 1e-12  # of a weight, to divide by
N_ROUNDS = 6
"""Of reweighting, for a mean that is kept: with two views of nine at fifty scales from the rest it
has come to within a hundredth of the scale."""
N_ROUNDS_OF_LOSS = 2
"""For a mean that residuals are taken from: with two views of nine at ten scales the loss is
within one per cent of its least value."""


def charbonnier(square: Tensor) -> Tensor:
    """Return `2 (sqrt(1 + x^2) - 1)` of squared residuals x^2 in units of the scale.

    `x^2` near 0, `2 |x|` far away; convex, so that there is one minimum. Written without the
    difference of near equals.

    Source
    ------
    Charbonnier et al., IEEE Trans. Image Processing 6(2), 1997, doi:10.1109/83.551699; the
    factor 2 is ours.
    """
    return 2 * square / (1 + torch.sqrt(1 + square))


def shown(values: Tensor, weight: Tensor) -> Tensor:
    """Return `values` with 0 where the weight is 0, so that nothing hidden spreads."""
    return torch.where(weight > 0, values, 0.0)


def degrees(weight: Tensor) -> Tensor:
    """Return (1, n, n) what a texel's spread over the views is to be divided by.

    `W - sum w_j^2 / W` with `W = sum w_j`: the expectation of `sum w_j (x_j - mean)^2` for
    noise of variance 1. (J - 1) w for J equal weights w, 0 where one view alone shows the texel.
    """
    total = weight.sum(dim=0)
    return (total - (weight**2).sum(dim=0) / total.clamp(min=_LEAST)).clamp(min=0)


def shown_twice(weight: Tensor) -> Tensor:
    """Return the weight, 0 where fewer than two views show the texel.

    What one view shows has no spread but that of rounding, which must not be divided by no
    degrees of freedom.
    """
    return weight * ((weight > 0).sum(dim=0) >= 2)


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return the ratio of two sums, 0 where there is nothing to divide by."""
    return numerator / denominator.clamp(min=_LEAST)


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Return (C, n, n) the mean over the views; 0 where none shows the texel."""
    return (weight * values).sum(dim=0) / weight.sum(dim=0).clamp(min=_LEAST)


def robust_mean(
    values: Tensor, weight: Tensor, scale: float, *, n_rounds: int = N_ROUNDS
) -> Tensor:
    """Return (C, n, n) the minimiser of `sum_j w_j charbonnier(|x_j - m|^2 / scale^2)`.

    Iteratively reweighted means: each round is the closed-form minimiser
    `sum w_j q_j x_j / sum w_j q_j` for `q_j = 1 / sqrt(1 + |x_j - m|^2 / scale^2)` of the last
    `m`, which cannot raise the sum. Begun at the plain mean. Differentiable in the values with
    the last round's q held. 0 where no view shows the texel.

    Source
    ------
    Holland & Welsch, Communications in Statistics A6(9), 1977, doi:10.1080/03610927708827533.
    """
    weight, values = weight.detach(), shown(values, weight)
    trusted = _reweighted(values.detach(), weight, scale, n_rounds)[1]
    return weighted_mean(values, trusted)


def robust_spread(
    values: Tensor, weight: Tensor, scale: float, *, n_rounds: int = N_ROUNDS_OF_LOSS
) -> Tensor:
    """Return how far views differ, in units of the scale, squared where small.

    `sum_t sum_j w_j charbonnier(|x_j - m_t|^2 / scale^2) / sum_t degrees_t`, with `m_t` the
    `robust_mean` of the texel. As `m_t` is the minimiser, its own change does not count to
    first order: the gradient holds it. Not twice differentiable.

    Parameters
    ----------
    values : (J, C, n, n)
        The distance is over the channels.
    weight : (J, 1, n, n)

    Returns
    -------
    () tensor, 0 where no texel is shown twice.
    """
    spread: Tensor = _Spread.apply(values, shown_twice(weight.detach()), scale, n_rounds)
    return spread


class _Spread(torch.autograd.Function):
    """`robust_spread` with its gradient written out: in place, nothing kept but the gradient.

    A map of nine views at 1024 texels is 38 MB a channel, and the page faults of fresh memory
    cost three times what the arithmetic does.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, scale: float, n_rounds: int) -> Tensor:
        values = shown(values, weight)
        mean, _ = _reweighted(values, weight, scale, n_rounds)
        residual = values.sub_(mean)
        square = _square(residual, torch.empty_like(weight)).mul_(1 / scale**2)
        root = (1 + square).sqrt_()
        by = 1 / degrees(weight).sum().clamp(min=_LEAST)
        slope = weight * (2 / scale**2 * by)
        slope.div_(root)  # w q 2 / s^2: q as in `robust_mean`
        ctx.save_for_backward(residual.mul_(slope))
        return square.mul_(weight).div_(root.add_(1)).sum() * (2 * by)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer, None, None, None


@torch.no_grad()
def _reweighted(
    values: Tensor, weight: Tensor, scale: float, n_rounds: int
) -> tuple[Tensor, Tensor]:
    """Return the robust mean and the weight w q that it is the weighted mean for."""
    mean, trusted = weighted_mean(values, weight), weight
    residual, square = torch.empty_like(values), torch.empty_like(weight)
    for _ in range(n_rounds):
        torch.sub(values, mean, out=residual)
        trusted = _square(residual, square).mul_(1 / scale**2).add_(1).rsqrt_().mul_(weight)
        total = trusted.sum(dim=0).clamp_(min=_LEAST)
        mean = torch.mul(values, trusted, out=residual).sum(dim=0) / total
    return mean, trusted


def _square(residual: Tensor, out: Tensor) -> Tensor:
    """Return (J, 1, n, n) the squared length over the channels, in `out`."""
    torch.mul(residual[:, :1], residual[:, :1], out=out)
    for channel in range(1, residual.shape[1]):
        part = residual[:, channel : channel + 1]
        out.addcmul_(part, part)
    return out


@torch.no_grad()
def view_offsets(
    values: Tensor, weight: Tensor, scale: float, *, n_rounds: int = N_ROUNDS
) -> Tensor:
    """Return (J, C) what to subtract from each view so that the views agree best.

    The minimiser g of `sum_t sum_j w_j charbonnier(|x_j - g_j - m_t|^2 / scale^2)` over g and
    all texels' means m: rounds of least squares as in `robust_mean`, of texels on a grid of no
    more than 256 a side. With the means eliminated a round is a system of J equations, `L g = b`,
    `L_ij = delta_ij sum_t w_i - sum_t w_i w_j / W`, `b_i = sum_t w_i (x_i - mean_t)`: L is the
    Laplacian of the graph of views joined by the texels that they share. Offsets within each
    connected part sum to 0. Not differentiated, for the same reason as the mean.

    Parameters
    ----------
    values : (J, C, n, n)
    weight : (J, 1, n, n)
    """
    every = max(1, values.shape[-1] // _GRID)
    weight = weight[..., ::every, ::every]
    values = shown(values[..., ::every, ::every], weight)
    offsets, trusted = _offsets(values, weight), weight
    for _ in range(n_rounds):
        left = values - offsets[:, :, None, None]
        left = left - weighted_mean(left, trusted)
        trusted = weight * torch.rsqrt(1 + (left**2).sum(dim=1, keepdim=True) / scale**2)
        offsets = _offsets(values, trusted)
    return offsets


_GRID = 256
_LEAST_LINK = 1e-5  # of the strongest link: a view joined by less keeps its offset


def _offsets(values: Tensor, weight: Tensor) -> Tensor:
    """Return (J, C) the offsets of least squares."""
    total = weight.sum(dim=0).clamp(min=_LEAST)
    flat = (weight * torch.rsqrt(total)).flatten(1)
    laplacian = -(flat @ flat.T).double()
    laplacian.fill_diagonal_(0)
    laplacian -= torch.diag(laplacian.sum(dim=1))
    residual = weight * (values - weighted_mean(values, weight))
    right = residual.sum(dim=(2, 3), dtype=torch.float64)
    solved: Tensor = torch.linalg.pinv(laplacian, rtol=_LEAST_LINK, hermitian=True) @ right
    return solved.to(values.dtype)
