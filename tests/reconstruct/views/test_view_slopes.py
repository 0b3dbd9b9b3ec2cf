"""Slopes of relief from differences of light, on maps where the truth is known."""

import math

import numpy as np
import torch

from facekit.reconstruct.views.correlation import box_mean
from facekit.reconstruct.views.slopes import SlopeConfig, deviations, gradient, slopes_of
from facekit.reconstruct.views.smoothing import gaussian

N, N_VIEWS, TEXEL_MM = 96, 4, 0.4
WINDOW, SOFT = 3, 1.0
LIGHTS = torch.tensor([[0.5, 0.1], [-0.4, 0.3], [0.1, -0.5], [0.0, 0.2]])
"""By how much a view's log colour grows with a slope to the right and down."""


def _bumps(seed: int, shortest_mm: float = 1.8, longest_mm: float = 6.0) -> torch.Tensor:
    """Return (N, N) waves of many directions, sd 1."""
    rng = np.random.default_rng(seed)
    at = np.arange(N) * TEXEL_MM
    total = np.zeros((N, N))
    for _ in range(80):
        angle, k = rng.uniform(0, 2 * np.pi), 2 * np.pi / rng.uniform(shortest_mm, longest_mm)
        x, y = k * np.cos(angle) * at, k * np.sin(angle) * at
        total += np.sin(x[None] + y[:, None] + rng.uniform(0, 2 * np.pi))
    return torch.from_numpy(total / total.std()).float()


RELIEF = 0.03 * _bumps(0)  # mm, sd
SPOTS = 0.2 * _bumps(1)  # of log albedo


def _colours(relief: torch.Tensor, lights: torch.Tensor) -> torch.Tensor:
    right, down = gradient(relief)
    light = lights[:, 0, None, None] * right + lights[:, 1, None, None] * down
    log = math.log(0.4) + SPOTS + light / TEXEL_MM
    tint = torch.tensor([1.0, 0.8, 0.6]).reshape(1, 3, 1, 1)
    return torch.exp(log)[:, None] * tint


def _measured(noise_mm: float) -> torch.Tensor:
    """Return the relief as the disparity has it: blurred by its window, noisy."""
    soft = gaussian(box_mean(RELIEF[None, None], WINDOW), SOFT)[0, 0]
    noise = noise_mm * torch.randn(N, N, generator=torch.Generator().manual_seed(3))
    return soft + noise


def _learned(colours: torch.Tensor, noise_mm: float) -> tuple[torch.Tensor, torch.Tensor]:
    weight = torch.ones(len(colours), 1, N, N)
    return slopes_of(
        colours, weight, _measured(noise_mm), torch.ones(N, N), spacing_mm=TEXEL_MM,
        blur=(WINDOW, SOFT), config=SlopeConfig(fine=0.0),
    )  # fmt: skip


def _inner(values: torch.Tensor) -> torch.Tensor:
    return values[..., 8:-8, 8:-8].flatten()


def _correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([_inner(a), _inner(b)]))[0, 1])


TRUE = torch.stack(gradient(RELIEF))


def test_sharp_slopes_are_learned_from_a_blurred_noisy_depth() -> None:
    noise = 0.03  # as much as the relief itself
    found, known = _learned(_colours(RELIEF, LIGHTS), noise)
    assert known[8:-8, 8:-8].all()
    assert _correlation(found, TRUE) > 0.95
    gain = (_inner(found) * _inner(TRUE)).sum() / (_inner(TRUE) ** 2).sum()
    assert 0.8 < gain < 1.1  # the disparity's own scale
    direct = torch.stack(gradient(_measured(noise)))
    assert _correlation(direct, TRUE) < 0.7  # what was measured, for comparison


def test_spots_that_all_views_share_are_no_relief() -> None:
    found, _ = _learned(_colours(RELIEF, 0 * LIGHTS), 0.01)
    assert _inner(found).std() < 0.01 * _inner(TRUE).std()
    # nor is light that is the same for all
    same = LIGHTS.mean(dim=0, keepdim=True).expand_as(LIGHTS) + 0.3
    found, _ = _learned(_colours(RELIEF, same), 0.01)
    assert _inner(found).std() < 0.05 * _inner(TRUE).std()


def test_differences_that_have_nothing_to_do_with_relief_say_nothing() -> None:
    """A fit by chance has 0.14 of the true slopes; halves that disagree take half of it away."""
    other = torch.stack([0.05 * _bumps(10 + view) for view in range(N_VIEWS)])
    colours = torch.exp(math.log(0.4) + SPOTS + other)[:, None].expand(-1, 3, -1, -1)
    found, _ = _learned(colours, 0.1)
    assert _inner(found).std() < 0.1 * _inner(TRUE).std()


def test_where_too_little_is_shown_nothing_is_learned() -> None:
    colours, weight = _colours(RELIEF, LIGHTS), torch.ones(N_VIEWS, 1, N, N)
    confidence = torch.ones(N, N)
    confidence[:, N // 2 :] = 0
    found, known = slopes_of(
        colours, weight, RELIEF, confidence, spacing_mm=TEXEL_MM, blur=(1, 0.0),
        config=SlopeConfig(),
    )  # fmt: skip
    assert not known[:, N // 2 :].any()
    assert found[..., N // 2 :].abs().max() == 0
    assert known[8:-8, 8 : N // 2 - 8].all()
    weight[1:] = 0  # one view has nothing to differ from
    _, known = slopes_of(
        colours, weight, RELIEF, torch.ones(N, N), spacing_mm=TEXEL_MM, blur=(1, 0.0),
        config=SlopeConfig(),
    )  # fmt: skip
    assert not known.any()


def test_deviations_know_no_exposure_and_keep_the_band() -> None:
    colours = _colours(RELIEF, LIGHTS)
    gain = torch.tensor([1.0, 0.8, 1.2, 0.9]).reshape(-1, 1, 1, 1)
    weight = torch.ones(N_VIEWS, 1, N, N)
    config = SlopeConfig(longest_mm=8.0)
    plain = deviations(colours, weight, TEXEL_MM, config)
    torch.testing.assert_close(
        deviations(gain * colours, weight, TEXEL_MM, config), plain, atol=1e-5, rtol=0
    )
    # half of the amplitude is left at the longest wave that counts
    wave = torch.sin(2 * math.pi * torch.arange(400) * TEXEL_MM / config.longest_mm)
    view = torch.exp(-1 + 0.1 * wave).expand(1, 3, 40, 400)
    left = deviations(view, torch.ones(1, 1, 40, 400), TEXEL_MM, config)[0, 0, 20, 50:-50]
    assert 0.045 < left.abs().max() < 0.055


def test_gradients_of_a_plane() -> None:
    x, y = torch.arange(9.0), torch.arange(7.0)
    right, down = gradient(2 * x[None] - 3 * y[:, None])
    assert (right[1:-1, 1:-1] == 2).all()
    assert (down[1:-1, 1:-1] == -3).all()
