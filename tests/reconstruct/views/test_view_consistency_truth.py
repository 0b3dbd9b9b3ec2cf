"""Consistency losses of hypotheses about a plane: the least belongs to the truth.

The plane lies at height `TRUE_MM` over the chart's reference plane, and orthographic views look
at it from angles a about the y axis. At the hypothesis h a texel at x is sampled where its point
(x, h) is projected to; the picture shows there the plane's point x + (h - TRUE_MM) tan a.
"""

import math

import pytest
import torch

from facekit.reconstruct.views.consistency import (
    gradient_consistency,
    photo_consistency,
    view_agreement,
)
from facekit.reconstruct.views.correlation import agreement_of_views, patch_ncc

TRUE_MM = 0.35
N, TEXEL_MM = 64, 0.2
ANGLES_DEG = (-20.0, 5.0, 30.0)
HYPOTHESES = torch.linspace(-0.45, 1.15, 17, dtype=torch.float64)  # the ninth is TRUE_MM

_rng = torch.Generator().manual_seed(11)
# 40 waves of 1.5 mm and more: what a picture of 3 px/mm shows of skin
_WAVES = torch.randn(40, 2, generator=_rng, dtype=torch.float64) * 2.0
_PHASES = torch.rand(40, generator=_rng, dtype=torch.float64) * 2 * math.pi


def _albedo(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    waves = _WAVES[:, 0, None, None] * x + _WAVES[:, 1, None, None] * y
    return 0.4 + 0.02 * torch.sin(waves + _PHASES[:, None, None]).sum(dim=0).clamp(-10, 10)


def _grid() -> tuple[torch.Tensor, torch.Tensor]:
    at = (torch.arange(N, dtype=torch.float64) + 0.5) * TEXEL_MM
    y, x = torch.meshgrid(at, at, indexing="ij")
    return x, y


def _textures(height_mm: torch.Tensor) -> torch.Tensor:
    """Return (J, 1, N, N) what each view shows at the hypothesis, each with its own exposure."""
    x, y = _grid()
    shown = []
    for view, angle in enumerate(ANGLES_DEG):
        shift = (height_mm - TRUE_MM) * math.tan(math.radians(angle))
        shown.append((0.8 + 0.2 * view) * _albedo(x + shift, y))
    return torch.stack(shown)[:, None]


def _weight() -> torch.Tensor:
    cosine = torch.tensor([math.cos(math.radians(a)) for a in ANGLES_DEG], dtype=torch.float64)
    return cosine.reshape(-1, 1, 1, 1).expand(-1, 1, N, N)


FLAT = torch.ones(len(ANGLES_DEG), 1, N, N, dtype=torch.float64)
LOSSES = {
    "photo": lambda t: photo_consistency(t, FLAT, _weight()),
    "gradient": lambda t: gradient_consistency(t, 0 * FLAT, _weight()),
    "ncc": lambda t: patch_ncc(t, _weight()),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_true_height_costs_least(name):
    costs = torch.stack([LOSSES[name](_textures(h)) for h in HYPOTHESES])
    assert HYPOTHESES[costs.argmin()].item() == pytest.approx(TRUE_MM)
    assert costs.min().item() < 1e-6
    # falls towards the truth all the way from either side, as descent needs
    assert (costs.diff()[:8] < 0).all()
    assert (costs.diff()[8:] > 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_descent_from_either_side_leads_to_the_true_height(name):
    for start in (0.1, 0.6):
        height = torch.tensor(start, dtype=torch.float64, requires_grad=True)
        LOSSES[name](_textures(height)).backward()
        assert math.copysign(1, height.grad.item()) == math.copysign(1, start - TRUE_MM)


def test_sampled_pictures_in_single_precision_find_the_height_of_every_texel():
    """A map of heights, two levels, from pictures sampled bilinearly: Adam on the NCC term."""
    x, y = (g.float() for g in _grid())
    true = torch.where(x < N * TEXEL_MM / 2, 0.2, 0.5)
    # pictures of 4 px/mm, the plane's own shift to the pixel that a view sees it in
    px = 5.0
    size = int(N * TEXEL_MM * px) + 40
    u = (torch.arange(size, dtype=torch.float64) + 0.5) / px - 4
    v, u = torch.meshgrid(u, u, indexing="ij")
    pictures = []
    for angle in ANGLES_DEG:
        slope = math.tan(math.radians(angle))
        # step in height at the middle: invert x + true(x) * slope = u on either side of it
        left = u - 0.2 * slope
        on_left = left < N * TEXEL_MM / 2
        at = torch.where(on_left, left, u - 0.5 * slope)
        pictures.append(_albedo(at, v).float())
    stack = torch.stack(pictures)[:, None]
    slopes = torch.tensor([math.tan(math.radians(a)) for a in ANGLES_DEG]).reshape(-1, 1, 1)
    height = torch.full((N, N), 0.35, requires_grad=True)
    optimiser = torch.optim.Adam([height], lr=0.02)
    for _ in range(60):
        optimiser.zero_grad()
        at = torch.stack([x + height * slopes, y.expand(len(ANGLES_DEG), N, N)], dim=-1)
        grid = 2 * (at + 4) * px / size - 1
        textures = torch.nn.functional.grid_sample(stack, grid, align_corners=False)
        rough = height.diff(dim=0).pow(2).mean() + height.diff(dim=1).pow(2).mean()
        loss = patch_ncc(textures, _weight().float()) + 2.0 * rough
        loss.backward()
        optimiser.step()
    error = (height - true).detach().abs()
    away = (x - N * TEXEL_MM / 2).abs() > 1.5  # the step itself is as wide as the window
    assert error[away].median().item() < 0.03
    assert error[away].quantile(0.9).item() < 0.1


def test_relief_lit_differently_in_each_view_is_told_from_albedo():
    x, y = _grid()
    slope = 0.25 * torch.cos(2 * x + y)  # of true relief, along x

    def log_shading(amplitude):
        tilt = amplitude * slope
        normal_z = 1 / torch.sqrt(1 + tilt**2)
        lights = torch.tensor([-0.6, 0.0, 0.6], dtype=torch.float64).reshape(3, 1, 1, 1)
        return torch.log(normal_z * (1 - lights * tilt) * 0.7)

    textures = _albedo(x, y) * log_shading(1.0).exp()
    amplitudes = (-1.0, 0.0, 0.5, 1.0, 1.5)
    for loss in (
        lambda s: gradient_consistency(textures, s, _weight()),
        lambda s: photo_consistency(textures, s.exp(), _weight()),
    ):
        costs = [loss(log_shading(a)).item() for a in amplitudes]
        assert min(costs) == costs[3] < 1e-12
        assert costs[0] > costs[1] > costs[2]
    # lit the same in all views, relief and albedo cannot be told apart by these terms
    same = log_shading(1.0)[1:2].expand(3, -1, -1, -1)
    lit = _albedo(x, y) * same.exp()
    assert gradient_consistency(lit, 0 * same, _weight()).item() < 1e-12


def test_estimates_that_carry_the_views_own_error_average_out():
    rng = torch.Generator().manual_seed(2)
    true = torch.randn(1, N, N, generator=rng, dtype=torch.float64)
    noise = 0.05 * torch.randn(3, 1, N, N, generator=rng, dtype=torch.float64)
    scores = [
        view_agreement(true + noise, true + shift, _weight(), 0.1).item()
        for shift in (-0.1, -0.03, 0.0, 0.03, 0.1)
    ]
    assert min(scores) == scores[2]


def test_a_view_sampled_beside_its_place_is_named():
    textures = _textures(torch.tensor(TRUE_MM, dtype=torch.float64))
    x, y = _grid()
    textures[1, 0] = _albedo(x + 1.5, y - 1.0)
    found = agreement_of_views(textures, _weight())
    assert found.argmin().item() == 1
    assert found[1] < 0.5 * found[[0, 2]].min()
