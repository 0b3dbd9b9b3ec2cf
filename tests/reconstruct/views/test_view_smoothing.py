"""Smooth maps: what they keep, what they leave out."""

import pytest
import torch

from facekit.reconstruct.views.smoothing import gaussian, robust_weighted, weighted


def test_a_gaussian_keeps_the_sum_and_has_its_width() -> None:
    spot = torch.zeros(2, 41, 41)
    spot[:, 20, 20] = 1
    found = gaussian(spot, 2.5)
    assert found.sum(dim=(1, 2)).tolist() == pytest.approx([1, 1], abs=1e-5)
    at = torch.arange(41) - 20.0
    variance = (found[0].sum(dim=0) * at**2).sum()
    assert variance.item() == pytest.approx(2.5**2, rel=0.05)  # cut at three sigmas
    assert gaussian(spot, 0.0) is spot


def test_constants_stay_to_the_border_and_holes_take_their_neighbours() -> None:
    weight = torch.rand(30, 40, generator=torch.Generator().manual_seed(1)) + 0.1
    weight[10:14, 10:14] = 0
    values = torch.full((30, 40), 3.0)
    values[10:14, 10:14] = 1e6  # not measured
    torch.testing.assert_close(weighted(values, weight, 3.0), torch.full((30, 40), 3.0))
    both = weighted(values.expand(2, -1, -1), weight, 3.0)  # one weight for several maps
    torch.testing.assert_close(both[1], torch.full((30, 40), 3.0))
    assert weighted(values, torch.zeros_like(weight), 3.0).abs().max() == 0


def test_an_outlier_pulls_less_than_its_share() -> None:
    slope = 0.01 * torch.arange(60.0).expand(60, 60)
    values = slope.clone()
    values[30, 30] = 5.0
    weight = torch.ones_like(values)
    plain = (weighted(values, weight, 2.0) - slope)[30, 30]
    robust = (robust_weighted(values, weight, 2.0, scale=0.1) - slope)[30, 30]
    # its share under a Gaussian of two texels is 1 / (8 pi)
    assert plain.item() == pytest.approx((5 - 0.3) / (8 * torch.pi), rel=0.05)
    assert robust.abs() < 0.02 * plain
