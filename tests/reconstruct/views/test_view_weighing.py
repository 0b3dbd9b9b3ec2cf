"""Weights of views: visibility, cosine and sharpness by hand."""

import math

import pytest
import torch

from facekit.reconstruct.views.weighing import focus_measure, pixels_per_mm, view_weight


def _flat(*values: float) -> torch.Tensor:
    return torch.tensor(values).reshape(-1, 1, 1, 1)


def test_weight_is_visibility_times_cosine_times_sharpness_against_the_sharpest():
    weight = view_weight(_flat(1, 1, 0, 1), _flat(0.5, 0.8, 0.9, -0.3), _flat(4, 2, 99, 99))
    # neither the hidden view nor the one turned away sets what is sharp
    assert weight.flatten().tolist() == pytest.approx([0.5, 0.4, 0.0, 0.0])


def test_weight_without_sharpness_and_with_none_at_all():
    assert view_weight(_flat(0.5), _flat(0.5)).item() == 0.25
    assert view_weight(_flat(1.0), _flat(1.0), _flat(0.0)).item() == 0.0


def _grid(n: int, texel_mm: float) -> torch.Tensor:
    """Return (3, n, n) a plane's points."""
    at = torch.arange(n, dtype=torch.float64) * texel_mm
    y, x = torch.meshgrid(-at, at, indexing="ij")
    return torch.stack([x, y, torch.zeros_like(x)])


def test_a_plane_seen_obliquely_loses_the_root_of_its_cosine():
    points = _grid(5, 0.4)
    px_per_mm, angle = 3.0, math.radians(60)
    straight = px_per_mm * points[:2]
    oblique = straight * torch.tensor([math.cos(angle), 1.0])[:, None, None]
    found = pixels_per_mm(torch.stack([straight, oblique]), points, torch.ones(2, 1, 5, 5))
    assert found[0].numpy() == pytest.approx(3.0)
    assert found[1].numpy() == pytest.approx(3.0 * math.sqrt(0.5))


def test_resolution_ignores_neighbours_that_are_not_shown():
    points = _grid(4, 0.5)
    pixels = 2.0 * points[None, :2].clone()
    visible = torch.ones(1, 1, 4, 4)
    visible[0, 0, :, 3] = 0
    visible[0, 0, 0, :2] = torch.tensor([1.0, 0.0])  # (0, 0) has a neighbour below, none beside
    pixels[0, :, visible[0, 0] == 0] = math.nan
    found = pixels_per_mm(pixels, points, visible)[0, 0]
    assert found[1:, :3].numpy() == pytest.approx(2.0)
    assert found[0, 0] == 0
    assert (found[:, 3] == 0).all()


def test_blur_lowers_the_focus_measure_and_gain_does_not():
    rng = torch.Generator().manual_seed(0)
    sharp = 0.4 + 0.2 * torch.rand(1, 3, 40, 40, generator=rng)
    blurred = torch.nn.functional.avg_pool2d(sharp, 3, 1, 1, count_include_pad=False)
    textures = torch.cat([sharp, blurred, 0.5 * sharp])
    weight = torch.ones(3, 1, 40, 40)
    weight[:, :, :, 30:] = 0
    found = focus_measure(textures, weight)
    assert (found[1, 0, :, :30] < 0.5 * found[0, 0, :, :30]).all()
    assert found[2].numpy() == pytest.approx(found[0].numpy(), rel=1e-4)
    assert (found[..., 30:] == 0).all()
    assert torch.isfinite(focus_measure(torch.zeros_like(textures), weight)).all()
