"""PatchMatch finds the surface that the photographs show."""

import numpy as np
import pytest

from facekit.dataset.stereo.patchmatch import (
    match_view,
    relative_projections,
    stack_images,
)
from facekit.dataset.stereo.patchmatch_kernels import N_SAMPLES, _cost, _window
from facekit.dataset.stereo.views import depth_range, focus_point, neighbours


@pytest.fixture(scope="module")
def middle(ball):
    """Give views, sources and search range of the middle camera."""
    views = ball.views()
    cameras = [view.camera for view in views]
    subject = focus_point(cameras)
    return views, neighbours(cameras, subject, most=4)[2], depth_range(cameras[2], subject)


@pytest.fixture(scope="module")
def found(middle):
    views, sources, limits = middle
    return match_view(views, 2, sources, limits, n_sweeps=5)


def test_relative_projections_take_a_pixel_to_where_the_camera_projects_it(middle, rng):
    views, sources, _ = middle
    A, b = relative_projections(views, 2, sources)
    camera = views[2].camera
    xy = rng.uniform(20, 120, (50, 2))
    depth = rng.uniform(1.5, 2.5, 50)
    points = camera.center + depth[:, None] * camera.unproject(xy)
    for k, source in enumerate(sources):
        moved = depth[:, None] * np.c_[xy, np.ones(50)] @ A[k].T + b[k]
        expected, _ = views[source].camera.project(points)
        np.testing.assert_allclose(moved[:, :2] / moved[:, 2:], expected, atol=1e-9)


def test_true_plane_costs_least_along_depth(ball, middle):
    """The tangent plane at its true depth beats planes more than a pixel of parallax away."""
    views, sources, _ = middle
    view = views[2]
    row, col = view.camera.height // 2, view.camera.width // 2
    true = ball.depth(view.camera)[row, col]
    point = view.camera.center + true * view.camera.unproject(np.array([col + 0.5, row + 0.5]))
    normal = view.camera.cam_from_world[:, :3] @ (point / np.linalg.norm(point))
    values, weights = np.empty(N_SAMPLES), np.empty(N_SAMPLES)
    norm = _window(view.grey, view.mask, row, col, values, weights)
    others = (
        *stack_images([views[s].grey for s in sources]),
        *relative_projections(views, 2, sources),
        np.linalg.inv(view.camera.K),
    )
    offsets = np.arange(-8, 9) * 2 * ball.footprint
    costs = [_cost(values, weights, norm, row, col, true + d, *normal, *others) for d in offsets]
    assert offsets[np.argmin(costs)] == 0
    assert min(costs) < 0.1  # NCC above 0.9: only resampling and 8 bits differ


def test_depth_of_a_ball(ball, middle, found):
    views, _, _ = middle
    true = ball.depth(views[2].camera)
    inner = np.hypot(*(views[2].camera.pixel_centers() - [74.3, 78.3]).transpose(2, 0, 1)) < 40
    error = np.abs(found.depth - true)[inner & np.isfinite(true)]
    # neighbours stand 25 degrees aside: a footprint of depth is 0.4 px of parallax
    assert np.median(error) < ball.footprint
    assert np.mean(error < 4 * ball.footprint) > 0.95


def test_normals_of_a_ball(ball, middle, found):
    views, _, _ = middle
    camera = views[2].camera
    true = ball.depth(camera)
    points = camera.center + true[..., None] * camera.unproject(camera.pixel_centers())
    expected = (points / ball.radius) @ camera.cam_from_world[:, :3].T
    inner = expected[..., 2] < -0.8
    cosine = (found.normal * expected).sum(-1)[inner]
    assert np.degrees(np.median(np.arccos(np.clip(cosine, -1, 1)))) < 12


def test_nothing_outside_the_mask(middle, found):
    assert np.isnan(found.depth[~middle[0][2].mask]).all()


def test_a_guess_is_refined(ball, middle, found):
    views, sources, limits = middle
    guided = match_view(views, 2, sources, limits, start=found, n_sweeps=2, seed=3)
    true = ball.depth(views[2].camera)
    both = np.isfinite(true) & np.isfinite(guided.depth) & np.isfinite(found.depth)
    assert np.median(guided.cost[both]) <= np.median(found.cost[both]) + 1e-6


def test_lone_pixel_of_the_mask_is_left_out(middle):
    """A mask that the window's samples miss has no weight to divide by."""
    views, _, _ = middle
    lone = np.zeros_like(views[2].mask)
    lone[80, 70] = True
    values, weights = np.empty(N_SAMPLES), np.empty(N_SAMPLES)
    assert _window(views[2].grey, lone, 80, 70, values, weights) == 0
