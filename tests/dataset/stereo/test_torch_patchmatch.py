"""PatchMatch in torch offers each pixel the planes that the compiled loops offer."""

import numpy as np
import pytest
import torch

from facekit.dataset.stereo import torch_patchmatch, torch_patchmatch_kernels
from facekit.dataset.stereo.initial import first_depths
from facekit.dataset.stereo.patchmatch import GUIDED, match_view, matching_task
from facekit.dataset.stereo.patchmatch_kernels import (
    UNKNOWN_PAIR,
    WORST,
    _best_of_region,
    _key,
    _uniform,
)
from facekit.dataset.stereo.patchmatch_kernels import initialise as compiled_initialise
from facekit.dataset.stereo.torch_patchmatch_kernels import Found, initialise

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def compiled(middle):
    views, sources, limits = middle
    return match_view(views, 2, sources, limits)


@pytest.mark.parametrize(("seed", "sweep"), [(0, -1), (7, 0), (123456789, 4)])
def test_random_numbers_are_the_same_to_the_bit(seed, sweep):
    row, col = np.array([0, 3, 1999, 17]), np.array([5, 0, 1234, 4001])
    number = torch_patchmatch_kernels._random(*map(torch.from_numpy, (row, col)), seed, sweep)
    for index in (0, 1, 17):
        expected = [
            _uniform(np.uint64(_key(r, c, seed, sweep)), index)
            for r, c in zip(row, col, strict=True)
        ]
        assert number(index).tolist() == expected


def test_regions_are_the_same(rng):
    cost = rng.uniform(0, 2.2, (24, 31)).astype(np.float32)
    row, col = (grid.ravel() for grid in np.mgrid[:24, :31])
    for region in range(8):
        known, r, c = torch_patchmatch_kernels._best_of_region(
            *map(torch.from_numpy, (cost, row, col)), region
        )
        expected = np.array(
            [_best_of_region(cost, i, j, region) for i, j in zip(row, col, strict=True)]
        )
        np.testing.assert_array_equal(known, expected[:, 0] >= 0)
        np.testing.assert_array_equal(r[known], expected[known, 0])
        np.testing.assert_array_equal(c[known], expected[known, 1])


def test_costs_of_given_planes_are_the_same(middle, compiled):
    """No random planes: the costs of a guess, and the two best views, pixel by pixel."""
    views, sources, limits = middle
    task = matching_task(views, 2, sources, limits, start=compiled)
    cost, plane = task.cost.copy(), task.plane.copy()
    pair = np.full(cost.shape, UNKNOWN_PAIR, np.uint8)
    task.run(compiled_initialise, task.pixels, plane, cost, pair, 0, 0)
    found = Found(
        plane=torch.from_numpy(task.plane.copy()),
        cost=torch.from_numpy(task.cost.copy()),
        pair=torch.full(cost.shape, UNKNOWN_PAIR),
    )
    given = torch_patchmatch._on_device(task, torch.device("cpu"))
    initialise(given, torch.from_numpy(task.pixels), found, n_random=0, seed=0)
    assert (cost < WORST).sum() > 1000
    # sums of 32 products in single precision, each rounded at 1e-7, over a small variance
    np.testing.assert_allclose(found.cost, cost, atol=1e-4)
    assert np.mean(found.pair.numpy() != pair) < 2e-3  # two views may agree equally well


def assert_as_good(found, compiled, camera, ball):
    """Most pixels end with the same plane, and the errors are distributed alike.

    A choice that rounding tips is passed on to neighbours: single pixels differ.
    """
    both = np.isfinite(found.depth)
    assert np.mean(both != np.isfinite(compiled.depth)) < 2e-3
    both &= np.isfinite(compiled.depth)
    apart = np.abs(found.depth - compiled.depth)[both] / ball.footprint
    assert np.median(apart) < 1e-3
    assert np.mean(apart < 0.1) > 0.9
    true = ball.depth(camera)
    errors = [
        np.percentile(np.abs(one.depth - true)[both & np.isfinite(true)], [25, 50, 75, 90])
        for one in (found, compiled)
    ]
    np.testing.assert_allclose(errors[0], errors[1], rtol=0.05)
    np.testing.assert_allclose(
        np.median(found.cost[both]), np.median(compiled.cost[both]), rtol=0.01
    )


def test_depth_maps(ball, middle, compiled):
    views, sources, limits = middle
    camera = views[2].halved(1).camera
    found = torch_patchmatch.match_view(views, 2, sources, limits, device="cpu")
    assert_as_good(found, compiled, camera, ball)
    guided = [
        match(views, 2, sources, limits, start=compiled, search=GUIDED, seed=3, **where)
        for match, where in ((torch_patchmatch.match_view, {"device": "cpu"}), (match_view, {}))
    ]
    assert_as_good(*guided, camera, ball)


@pytest.mark.parametrize("sources", [(3,), (1, 3)])
def test_one_and_two_sources(ball, middle, sources):
    views, _, limits = middle
    sources = np.array(sources, np.int32)
    found = torch_patchmatch.match_view(views, 2, sources, limits, device="cpu")
    expected = match_view(views, 2, sources, limits)
    both = np.isfinite(found.depth) & np.isfinite(expected.depth)
    assert both.sum() > 2000
    assert np.mean(np.abs(found.depth - expected.depth)[both] < 0.1 * ball.footprint) > 0.9


def test_parts_change_nothing(middle, monkeypatch):
    """Pixels of one colour do not read one another: any number may be taken at once."""
    views, sources, limits = middle
    quick = {"search": GUIDED, "device": "cpu"}
    whole = torch_patchmatch.match_view(views, 2, sources, limits, **quick)
    monkeypatch.setattr(torch_patchmatch, "_PIXELS_AT_ONCE", {"cpu": 1500})
    parts = torch_patchmatch.match_view(views, 2, sources, limits, **quick)
    np.testing.assert_array_equal(whole.depth, parts.depth)


@pytest.mark.gpu
def test_depth_maps_on_cuda(ball, middle, compiled, cuda):
    views, sources, limits = middle
    found = torch_patchmatch.match_view(views, 2, sources, limits, device=cuda)
    assert_as_good(found, compiled, views[2].halved(1).camera, ball)
    again = torch_patchmatch.match_view(views, 2, sources, limits, device=cuda)
    np.testing.assert_array_equal(found.depth, again.depth)


@pytest.mark.gpu
@pytest.mark.usefixtures("cuda")
def test_first_depths_on_cuda(ball):
    from facekit.core.devices import Device
    from facekit.dataset.stereo.backend import backend_of

    views = ball.views()
    for view, one in zip(
        views, first_depths(views, match=backend_of(Device.CUDA).match_view), strict=True
    ):
        true = ball.depth(view.halved(1).camera)
        confirmed = np.isfinite(one.depth) & np.isfinite(true)
        assert np.median(np.abs(one.depth - true)[confirmed]) < 0.5 * ball.footprint
