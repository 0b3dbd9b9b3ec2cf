"""Spread over views: by hand, as a sum over pairs, and as an estimate of noise."""

import math

import pytest
import torch

from facekit.reconstruct.views.pooling import (
    charbonnier,
    degrees,
    robust_mean,
    robust_spread,
    shown_twice,
    view_offsets,
    weighted_mean,
)

WIDE = 1e3  # a scale beside which every residual is small: plain squares


def _column(*values: float) -> torch.Tensor:
    """Return (J, 1, 1, 1)."""
    return torch.tensor(values, dtype=torch.float64).reshape(-1, 1, 1, 1)


def _random(n_views: int, n_channels: int, n: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Return maps and weights of which a third is 0."""
    rng = torch.Generator().manual_seed(n_views)
    size = (n_views, n_channels, n, n)
    values = torch.randn(size, generator=rng, dtype=torch.float64)
    weight = torch.rand(n_views, 1, n, n, generator=rng, dtype=torch.float64)
    return values, torch.where(weight < 1 / 3, 0, weight)


def test_charbonnier_is_square_near_and_linear_far():
    # 2 (sqrt(1 + 3) - 1) = 2
    assert charbonnier(torch.tensor(3.0)).item() == 2.0
    assert charbonnier(torch.tensor(1e-10)).item() == pytest.approx(1e-10)
    assert charbonnier(torch.tensor(1e6)).item() == pytest.approx(2e3, rel=1e-3)


def test_degrees_count_the_views_but_one():
    weight = torch.zeros(3, 1, 1, 4)
    weight[:, 0, 0] = torch.tensor([[1.0, 0.7, 0, 3.0], [1.0, 0, 0, 1.0], [1.0, 0, 0, 0]])
    # three equal: 3 - 3/3; one: nothing to compare; none; 4 - (9 + 1) / 4
    assert degrees(weight)[0, 0].tolist() == pytest.approx([2.0, 0.0, 0.0, 1.5], abs=1e-6)
    assert shown_twice(weight)[0, 0, 0].tolist() == [1.0, 0.0, 0.0, 3.0]


def test_spread_of_three_texels_by_hand():
    values = _column(1.0, 3.0).expand(2, 1, 1, 3).clone()
    weight = torch.zeros(2, 1, 1, 3, dtype=torch.float64)
    weight[:, 0, 0] = torch.tensor([[3.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    # first: mean 1.5, 3 * .25 + 1 * 2.25 = 3, degrees 1.5; the others are not shown twice
    spread = robust_spread(values, weight, WIDE) * WIDE**2
    assert spread.item() == pytest.approx(2.0, rel=1e-5)


def test_spread_is_the_sum_over_all_pairs():
    values, weight = _random(5, 3)
    pairs, total = 0.0, weight.sum(dim=0)
    for i in range(5):
        for j in range(i):
            squared = ((values[i] - values[j]) ** 2).sum(dim=0, keepdim=True)
            pairs = pairs + weight[i] * weight[j] * squared
    expected = (pairs / total.clamp(min=1e-9)).sum() / degrees(weight).sum()
    spread = robust_spread(values, weight, WIDE) * WIDE**2
    assert spread.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("n_views", [2, 3, 9])
def test_spread_of_noise_is_its_variance_for_any_number_of_views(n_views):
    rng = torch.Generator().manual_seed(0)
    values = 0.5 * torch.randn(n_views, 1, 200, 200, generator=rng)
    weight = 7 * torch.rand(n_views, 1, 200, 200, generator=rng)
    spread = robust_spread(values, weight, WIDE) * WIDE**2
    # 40000 texels of at least about .7 effective degrees: sd of the variance below 1 %
    assert spread.item() == pytest.approx(0.25, rel=0.03)


def test_one_view_far_off_hardly_moves_the_robust_mean():
    values = _column(0.0, 0.1, -0.1, 0.0, 10.0)
    weight = torch.ones_like(values)
    assert weighted_mean(values, weight).item() == pytest.approx(2.0)
    # its pull is at most 1 in units of the scale, that of the others m / s each: 4 m = s
    assert 0 < robust_mean(values, weight, 0.1).item() < 0.04


def test_robust_mean_is_the_minimiser():
    values, weight = _random(4, 3)
    weight = weight + 0.1
    mean = robust_mean(values, weight, 0.5, n_rounds=100)

    def cost(at):
        square = ((values - at) ** 2).sum(dim=1, keepdim=True) / 0.25
        return (weight * charbonnier(square)).sum(dim=0)

    least = cost(mean)
    for step in torch.eye(3, dtype=torch.float64):
        for sign in (-1e-3, 1e-3):
            assert (cost(mean + sign * step[:, None, None]) > least).all()


def test_rounds_that_losses_spend_come_within_a_percent_of_the_minimum():
    rng = torch.Generator().manual_seed(1)
    values = 0.3 * torch.randn(9, 1, 60, 60, generator=rng)
    values[:2] += 10
    weight = 0.5 + 0.5 * torch.rand(9, 1, 60, 60, generator=rng)
    least = robust_spread(values, weight, 1.0, n_rounds=200)
    assert robust_spread(values, weight, 1.0).item() == pytest.approx(least.item(), rel=0.01)
    values[:2] += 40
    kept, found = (robust_mean(values, weight, 1.0, n_rounds=n) for n in (200, 6))
    assert (kept - found).abs().mean().item() < 0.01


def test_gradient_of_the_spread_is_right_at_the_minimising_mean():
    values, weight = _random(3, 2, n=3)
    values.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: robust_spread(x, weight, 0.7, n_rounds=300), (values,), atol=1e-7
    )


def test_hidden_texels_may_hold_nan_and_get_no_gradient():
    values = _column(1.0, 2.0, math.nan).requires_grad_()
    weight = _column(1.0, 1.0, 0.0)
    spread = robust_spread(values, weight, WIDE)
    spread.backward()
    assert spread.item() * WIDE**2 == pytest.approx(0.5, rel=1e-5)
    assert values.grad.flatten().tolist() == pytest.approx([-1e-6, 1e-6, 0.0], rel=1e-4)


def test_nothing_shown_costs_nothing():
    values = torch.ones(3, 1, 2, 2, requires_grad=True)
    spread = robust_spread(values, torch.zeros(3, 1, 2, 2), 1.0)
    spread.backward()
    assert spread.item() == 0.0
    assert (values.grad == 0).all()
    assert (robust_mean(values, torch.zeros(3, 1, 2, 2), 1.0) == 0).all()


def test_weights_are_not_differentiated():
    values, weight = _random(3, 1)
    weight.requires_grad_()
    spread = robust_spread(values.requires_grad_(), weight, 1.0)
    spread.backward()
    assert weight.grad is None


def test_offsets_of_views_that_share_texels_in_a_chain():
    # 0 and 1 share the first texel, 1 and 2 the second: 0 lies 2 below 1, 2 lies 5 above 1
    values = torch.zeros(3, 1, 1, 2, dtype=torch.float64)
    weight = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    values[:, 0, 0] = torch.tensor([[4.0, 99.0], [6.0, 1.0], [99.0, 6.0]])
    offsets = view_offsets(values, weight.reshape(3, 1, 1, 2), 1.0)
    assert offsets.flatten().tolist() == pytest.approx([-3.0, -1.0, 4.0])


def test_offsets_are_found_beside_texels_that_do_not_fit():
    rng = torch.Generator().manual_seed(3)
    common = torch.randn(1, 2, 20, 20, generator=rng)
    wanted = torch.tensor([[0.2, -0.1], [-0.3, 0.0], [0.1, 0.1]])
    values = common + wanted[:, :, None, None]
    values[0, :, :5] += 3  # a highlight over a quarter of one view
    offsets = view_offsets(values, torch.ones(3, 1, 20, 20), 0.05)
    assert (offsets - wanted).abs().max().item() < 0.02


def test_a_view_without_a_common_texel_keeps_its_offset():
    values = torch.tensor([[1.0, 5.0], [3.0, 5.0], [7.0, 9.0]]).reshape(3, 1, 1, 2)
    weight = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).reshape(3, 1, 1, 2)
    assert view_offsets(values, weight, 1.0).flatten().tolist() == pytest.approx([-1.0, 1.0, 0.0])
