"""Depth where views agree: of synthetic scores, and of skin raised by a known height."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from facekit.reconstruct.views.estimates import ViewEstimates, depth_by_view, offset_of_views
from facekit.reconstruct.views.sampling import Pictures, ViewSampler
from facekit.reconstruct.views.sweep import (
    SweepLevel,
    SweepTerms,
    delit,
    ncc_map,
    peak,
    score_of,
    steps_of,
    swept,
)

SIZE = 256
TRUE_MM = 0.8  # of the skin over the surface that is swept
TERMS = {
    "ncc": SweepTerms(ncc=1.0, photo=0.0),
    "photo": SweepTerms(ncc=0.0, photo=1.0),
    "both": SweepTerms(),
}


def _sampler(skin: Any, views: Any, cameras: Any, trust: Any = None) -> ViewSampler:
    trust = np.ones(len(cameras)) if trust is None else trust
    return ViewSampler(
        skin.grid(SIZE), Pictures(views.views), cameras, skin.vertices[None], trust
    )  # fmt: skip


@pytest.fixture(scope="module")
def sampler(skin: Any, skin_views: Any, cameras: Any) -> ViewSampler:
    return _sampler(skin, skin_views, cameras)


# --- scores ------------------------------------------------------------------------------------


def test_the_peak_of_a_parabola_is_found_exactly() -> None:
    steps = steps_of(1.0, 0.2)
    assert steps == pytest.approx(np.linspace(-1, 1, 11))
    true = torch.linspace(-0.75, 0.75, 30, dtype=torch.float64).reshape(5, 6)
    places = torch.tensor(steps, dtype=torch.float64)[:, None, None]
    known = torch.ones(5, 6, dtype=torch.bool)
    known[0, 0] = False
    found = peak(0.9 - 3.0 * (places - true) ** 2, steps, known)
    torch.testing.assert_close(found.depth, true)
    expected = torch.full_like(true, 6.0)  # minus the second derivative
    expected[0, 0] = 0
    torch.testing.assert_close(found.confidence, expected)
    # a best step at the end may lie anywhere beyond
    beyond = peak(-((places - torch.full_like(true, 3.0)) ** 2), steps, known)
    assert beyond.confidence.max() == 0


def test_correlation_of_all_pairs_is_that_of_each(rng: np.random.Generator) -> None:
    """The sum over pairs in one pass, against pair by pair, in the middle of a window."""
    grey = torch.from_numpy(rng.uniform(0.2, 0.8, (3, 1, 15, 15)))
    weight = torch.tensor([1.0, 0.5, 0.8], dtype=torch.float64).reshape(3, 1, 1, 1)
    found = ncc_map(grey, weight.expand_as(grey), 15)[7, 7]  # the window is the whole picture
    total, share = 0.0, 0.0
    for i, j in ((0, 1), (0, 2), (1, 2)):
        pair = (weight[i] * weight[j]).item()
        # each texel's own window, as wide, is cut off by the border
        total += pair * ncc_map(grey[[i, j]], torch.ones_like(grey[:2]), 15)[7, 7].item()
        share += pair
    assert found.item() == pytest.approx(total / share, rel=1e-6)


def test_correlation_knows_no_gain_and_no_sign_is_lost(rng: np.random.Generator) -> None:
    grey = torch.from_numpy(rng.uniform(0.2, 0.8, (1, 1, 40, 40)))
    weight = torch.ones(2, 1, 40, 40, dtype=torch.float64)
    middle = (slice(5, -5), slice(5, -5))
    alike = ncc_map(torch.cat([grey, 0.6 * grey + 0.1]), weight, 5)[middle]
    # of white noise a mean of 25 is known to a fifth: so much do windows differ from 1
    assert alike.mean().item() == pytest.approx(1.0, abs=0.05)
    torch.testing.assert_close(
        ncc_map(torch.cat([grey, 1 - grey]), weight, 5)[middle], -alike, atol=5e-3, rtol=0
    )
    other = torch.from_numpy(rng.uniform(0.2, 0.8, (1, 1, 40, 40)))
    assert ncc_map(torch.cat([grey, other]), weight, 5).mean().abs() < 0.05
    flat = 0.5 + 0.001 * grey  # a window of nothing but noise is none to go by
    assert ncc_map(torch.cat([flat, flat]), weight, 5).max() < 0.05


def test_delit_pictures_lose_gain_and_slow_light(rng: np.random.Generator) -> None:
    detail = torch.from_numpy(rng.uniform(0.3, 0.6, (1, 1, 40, 40)))
    light = torch.exp(0.01 * torch.arange(40, dtype=torch.float64)) * 1.3
    views = torch.cat([detail, detail * light])
    weight = torch.ones_like(views)
    found = delit(views, weight)
    middle = (..., slice(7, -7), slice(7, -7))  # where windows are whole
    torch.testing.assert_close(found[0][middle], found[1][middle])
    weight[1, :, :10] = 0
    assert delit(views, weight)[1, :, :10].abs().max() == 0


# --- raised skin -------------------------------------------------------------------------------


@pytest.mark.parametrize("terms", TERMS)
def test_the_true_depth_scores_best(sampler: ViewSampler, terms: str) -> None:
    known = sampler.seen_twice
    found = [
        score_of(sampler, torch.full(known.shape, mm), TERMS[terms])[known].mean().item()
        for mm in (0.0, 0.4, TRUE_MM, 1.2, 1.6)
    ]
    assert found[0] < found[1] < found[2] > found[3] > found[4]
    best = peak(
        torch.stack([score_of(sampler, torch.full(known.shape, mm), TERMS[terms])
                     for mm in (0.4, TRUE_MM, 1.2)]), [-0.4, 0.0, 0.4], known
    )  # fmt: skip
    assert best.depth[best.confidence > 0].median().item() == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("start_mm", [0.1, 1.4])
def test_a_sweep_finds_the_height_of_skin(sampler: ViewSampler, start_mm: float) -> None:
    """From either side, to a tenth of a pixel: 0.06 mm, at 25° between views 0.13 mm of depth."""
    level = SweepLevel(size=SIZE, reach_mm=1.6, step_mm=0.2, window=7, smooth=2.0, soft_mm=1.0)
    start = torch.full(sampler.grid.inside.shape, start_mm)
    found = swept(sampler, start, level, TERMS["ncc"])
    known = sampler.seen_twice
    off = (found.depth - TRUE_MM)[known]
    assert off.median().abs() < 0.03
    assert off.abs().quantile(0.9) < 0.13
    assert found.score[known].median() > 0.9
    assert torch.isfinite(found.depth).all()  # also where nothing is seen
    assert (found.confidence[known] > 1e-3).float().mean() > 0.9


def test_where_pictures_tell_nothing_the_depth_stays(sampler: ViewSampler) -> None:
    level = SweepLevel(size=SIZE, reach_mm=0.4, step_mm=0.2, window=7, smooth=2.0, soft_mm=1.0)
    start = torch.full(sampler.grid.inside.shape, 0.3)
    found = swept(sampler, start, level, SweepTerms(ncc=0.0, photo=0.0))
    torch.testing.assert_close(found.depth, start)


# --- each view's own opinion -------------------------------------------------------------------


def test_a_view_whose_camera_has_turned_sees_another_depth(
    skin: Any, skin_views: Any, cameras: Any
) -> None:
    """A turn of 0.1° at 900 mm is 1.6 mm across, beside others at 25°: above 1 mm of depth."""
    turn = Rotation.from_euler("y", 0.1, degrees=True).as_matrix()
    pose = turn @ cameras[3].cam_from_world
    turned = (*cameras[:3], replace(cameras[3], cam_from_world=pose), cameras[4])
    canonical = torch.full(skin.grid(SIZE).inside.shape, TRUE_MM)
    steps = steps_of(2.4, 0.3)
    clean, faulty = (
        offset_of_views(
            depth_by_view(_sampler(skin, skin_views, by), canonical, steps, 9), canonical
        )
        for by in (cameras, turned)
    )
    assert clean.max() < 0.15
    assert faulty.argmax().item() == 3
    assert faulty[3] > 1.0
    assert faulty[3] > 3 * faulty[[0, 1, 2, 4]].max()


def test_a_view_that_counts_for_nothing_has_no_opinion(
    skin: Any, skin_views: Any, cameras: Any
) -> None:
    sampler = _sampler(skin, skin_views, cameras, np.array([1.0, 0.0, 1.0, 0.0, 0.0]))
    canonical = torch.full(sampler.grid.inside.shape, TRUE_MM)
    estimates = depth_by_view(sampler, canonical, [-0.3, 0.0, 0.3], 9)
    assert torch.isfinite(estimates.depth).all()
    off = offset_of_views(estimates, canonical)
    assert torch.isnan(off).tolist() == [False, True, False, True, True]


def test_the_offset_is_the_weighted_median() -> None:
    canonical = torch.zeros(2, 2)
    depth = torch.tensor([[[0.1, -0.5], [0.3, 9.0]]])
    confidence = torch.tensor([[[1.0, 4.0], [1.0, 0.0]]])
    assert offset_of_views(
        ViewEstimates(depth=depth, confidence=confidence), canonical
    ).item() == pytest.approx(0.5)
