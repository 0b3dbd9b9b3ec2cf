"""One depth of measured depths and slopes: against a direct solution, and on painted skin."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.sparse.linalg import spsolve

from facekit.reconstruct.views.faceview import FaceViews
from facekit.reconstruct.views.relief import Relief, ReliefConfig, joined, relief
from facekit.reconstruct.views.sampling import Pictures, ViewSampler
from facekit.reconstruct.views.sweep import SweepTerms


def test_slopes_alone_integrate_to_their_relief() -> None:
    """On a part of the map with a hole, up to the height that slopes do not tell."""
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(50.0), indexing="ij")
    true = 0.1 * x - 0.05 * y
    slopes = torch.stack([torch.full_like(x, 0.1), torch.full_like(x, -0.05)])
    inside = torch.ones(40, 50, dtype=torch.bool)
    inside[15:25, 20:30] = False
    inside[:, 45:] = False
    found = joined(torch.zeros_like(x), torch.zeros_like(x), slopes, inside)
    off = (found - true)[inside]
    assert off.std() < 0.01 * true[inside].std()


def test_sharp_slopes_win_over_noisy_depths_and_depths_over_none() -> None:
    rng = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(60.0), torch.arange(60.0), indexing="ij")
    true = torch.sin(x / 3) * torch.cos(y / 4)
    # slopes at texels, whose mean is taken between: 1 % at these waves
    slopes = torch.stack(
        [torch.cos(x / 3) * torch.cos(y / 4) / 3, -torch.sin(x / 3) * torch.sin(y / 4) / 4]
    )
    measured = true + 0.5 * torch.randn(60, 60, generator=rng) + 2.0
    inside, weight = torch.ones(60, 60, dtype=torch.bool), torch.full((60, 60), 0.02)
    found = joined(measured, weight, slopes, inside)
    assert (found - true - 2.0).std() < 0.05
    assert (found - true).mean().item() == pytest.approx(2.0, abs=0.02)  # 0.5 / 60
    smooth = joined(measured, weight, 0 * slopes, inside)
    assert smooth.std() < 0.5 * measured.std()
    exact = joined(measured, torch.full((60, 60), 1e4), 0 * slopes, inside)
    torch.testing.assert_close(exact, measured, atol=2e-3, rtol=0)


def test_the_least_sum_is_found(rng: np.random.Generator) -> None:
    """`sum c (d - m)² + sum (step of d - mean slope)²` over neighbours, solved directly."""
    shape = (7, 9)
    measured, weight = rng.normal(size=shape), rng.uniform(0, 0.5, shape)
    slopes = rng.normal(size=(2, *shape))
    inside = rng.uniform(size=shape) < 0.85
    number = np.arange(63).reshape(shape)
    rows, right = [], []
    for axis, slope in ((1, slopes[0]), (0, slopes[1])):
        pairs = [
            (np.take(a, range(n - 1), axis), np.take(a, range(1, n), axis))
            for a, n in ((number, shape[axis]), (inside, shape[axis]), (slope, shape[axis]))
        ]
        (first, second), (here, there), (before, after) = pairs
        for i, j, s in zip(first[here & there], second[here & there],
                           ((before + after) / 2)[here & there], strict=True):  # fmt: skip
            row = np.zeros(63)
            row[i], row[j] = -1, 1
            rows.append(row)
            right.append(s)
    D, w = np.array(rows), weight.ravel()
    matrix = sparse.csc_array(D.T @ D + np.diag(w + 1e-6))
    expected = spsolve(matrix, D.T @ np.array(right) + w * measured.ravel()).reshape(shape)
    found = joined(*(torch.from_numpy(v) for v in (measured, weight, slopes, inside)))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-3)


# --- painted skin ------------------------------------------------------------------------------

SIZE = 512
BASE_MM, WAVE_MM, HIGH_MM = 0.8, 9.0, 0.2
CONFIG = ReliefConfig(reach_mm=0.4, step_mm=0.1, data=1.0)
"""Disparity alone tells of relief on matte skin: it counts more than where slopes are learned."""
TERMS = SweepTerms(window=CONFIG.window)
NOISE = 0.03  # sd of grey


def _rise(points: np.ndarray) -> np.ndarray:
    k = 2 * np.pi / WAVE_MM
    return np.asarray(BASE_MM + HIGH_MM * np.sin(k * points[..., 0]) * np.sin(k * points[..., 1]))


@pytest.fixture(scope="module")
def bumpy(skin: Any, cameras: Any) -> FaceViews:
    views: FaceViews = replace(skin, relief=_rise).views(cameras)
    return views


def _sampler(skin: Any, views: FaceViews) -> ViewSampler:
    cameras = [view.camera for view in views.views]
    return ViewSampler(
        skin.grid(SIZE), Pictures(views.views), cameras, skin.vertices[None], np.ones(len(cameras))
    )


def _found(sampler: ViewSampler, gradient: float) -> Relief:
    start = torch.full(sampler.grid.inside.shape, BASE_MM)
    return relief(sampler, start, CONFIG, TERMS, gradient=gradient)


def test_relief_of_skin_is_found_from_a_smooth_start(skin: Any, bumpy: FaceViews) -> None:
    """0.1 mm rms at 1.7 px a mm is a tenth of a pixel between neighbouring views."""
    sampler = _sampler(skin, bumpy)
    found = _found(sampler, 0.0)
    true = torch.from_numpy(_rise(sampler.grid.points[0])).float()
    sure = (found.confidence > 0) & ((sampler.weight > 0.4).sum(dim=0)[0] >= 3)
    assert sure.float().mean() > 0.3
    both = torch.stack([found.depth[sure], true[sure]])
    assert torch.corrcoef(both)[0, 1] > 0.8
    # windows of 2 mm and smoothness take from the height, never add to it
    gain = torch.linalg.lstsq(both[1:].T - BASE_MM, both[:1].T - BASE_MM).solution.item()
    assert 0.4 < gain < 1.0
    assert (both[0] - both[1]).std() < 0.65 * both[1].std()
    assert (found.confidence[~sampler.seen_twice] == 0).all()
    # the skin is painted, not lit: what views differ in teaches nothing
    taught = _found(sampler, 1.0)
    assert (taught.depth - found.depth)[sure].std() < 0.1 * true[sure].std()


def test_noise_of_pictures_is_told_as_uncertainty(
    skin: Any, bumpy: FaceViews, rng: np.random.Generator
) -> None:
    noisy = [
        replace(v, image=(v.image + rng.normal(0, NOISE, v.image.shape)).astype(np.float32))
        for v in bumpy.views
    ]
    clean, other = (
        _found(_sampler(skin, views), 0.0) for views in (bumpy, replace(bumpy, views=tuple(noisy)))
    )
    sure = (clean.confidence > 0) & (other.confidence > 0)
    assert (clean.sigma[sure] > 0).all()
    assert other.sigma[sure].median() > 1.3 * clean.sigma[sure].median()
