"""PatchMatch finds the surface that the photographs show."""

from dataclasses import replace

import numba
import numpy as np
import pytest

from facekit.dataset.stereo.initial import first_depths
from facekit.dataset.stereo.patchmatch import (
    BLIND,
    GUIDED,
    match_view,
    relative_projections,
    stack_images,
)
from facekit.dataset.stereo.patchmatch_kernels import MARGIN, N_SAMPLES, WORST, _cost, _window


@pytest.fixture(scope="module")
def found(middle):
    views, sources, limits = middle
    return match_view(views, 2, sources, limits)


@pytest.fixture(scope="module")
def grid(middle):
    """Give the middle camera at the size of the maps."""
    return middle[0][2].halved(1)


class Matcher:
    """What the kernels take, for one pixel of the middle view at an image corner."""

    def __init__(self, views, sources, row, col, *, known=None):
        view = views[2]
        self.known = np.where(view.mask, view.grey, np.float32(-1)) if known is None else known
        self.padded = np.pad(self.known, MARGIN, constant_values=-1)
        self.reference = np.zeros(2 * N_SAMPLES, np.float32)
        self.work = np.zeros(6 * N_SAMPLES, np.float32)
        self.cells = np.zeros(N_SAMPLES, np.int32)
        images, sizes = stack_images([views[s].grey for s in sources])
        self.others = (
            images.ravel(),
            images.shape[2],
            sizes,
            *relative_projections(views, 2, sources),
            np.linalg.inv(view.camera.K),
        )
        self.row, self.col = row, col
        self.norm = _window(self.padded, row, col, self.reference, self.work)

    def cost(self, depth, normal, *, to_beat=WORST, pair=16):
        spot = (float(self.col), float(self.row), 0.0, 0.0)
        buffers = (self.reference, self.cells, self.work)
        return _cost(self.norm, spot, depth, *normal, to_beat, pair, self.others, buffers)


@pytest.fixture(scope="module")
def plane(ball, middle):
    """Give a pixel's kernels' input, its true depth and its normal."""
    views, sources, _ = middle
    camera = views[2].camera
    row, col = camera.height // 2, camera.width // 2
    ray = camera.unproject(np.array([col, row], float))
    a, b = ray @ ray, ray @ camera.center
    true = (-b - np.sqrt(b * b - a * (camera.center @ camera.center - ball.radius**2))) / a
    point = camera.center + true * ray
    normal = camera.cam_from_world[:, :3] @ (point / np.linalg.norm(point))
    return Matcher(views, sources, row, col), true, normal


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


def test_true_plane_costs_least_along_depth(ball, plane):
    """The tangent plane at its true depth beats planes more than a pixel of parallax away."""
    matcher, true, normal = plane
    offsets = np.arange(-8, 9) * 2 * ball.footprint
    costs = [matcher.cost(true + d, normal)[0] for d in offsets]
    assert offsets[np.argmin(costs)] == 0
    assert min(costs) < 0.1  # NCC above 0.9: only resampling and 8 bits differ


def test_cost_is_that_of_the_samples_one_by_one(middle, plane):
    """The fast window and its sums against plain double-precision ones, exact homography."""
    views, sources, _ = middle
    matcher, true, normal = plane
    camera = views[2].camera
    ahead = [-5, -3, -1, 0, 2, 4]
    cells = [(r, c) for r in ahead for c in ahead if {r, c} & {-3, -1, 0, 2}]
    assert len(cells) == N_SAMPLES
    xy = np.array([[matcher.col + c + 0.5, matcher.row + r + 0.5] for r, c in cells])
    weight = matcher.reference[:N_SAMPLES].astype(float)
    np.testing.assert_allclose(weight.sum(), 1, atol=1e-6)
    rays = camera.unproject(xy) @ camera.cam_from_world[:, :3].T
    middle_ray = camera.unproject(np.array([matcher.col, matcher.row], float))
    offset = true * normal @ (camera.cam_from_world[:, :3] @ middle_ray)
    points = camera.center + (offset / (rays @ normal))[:, None] * camera.unproject(xy)
    values = matcher.known[xy[:, 1].astype(int), xy[:, 0].astype(int)].astype(float)
    values -= weight @ values
    costs = []
    for s in sources:
        there, _ = views[s].camera.project(points)
        at = np.floor(there - 0.5).astype(int)
        f = there - 0.5 - at
        (x, y), (fx, fy), grey = at.T, f.T, views[s].grey.astype(float)
        seen = (1 - fy) * ((1 - fx) * grey[y, x] + fx * grey[y, x + 1])
        seen += fy * ((1 - fx) * grey[y + 1, x] + fx * grey[y + 1, x + 1])
        seen -= weight @ seen
        costs.append(
            1 - weight @ (values * seen) / np.sqrt((weight @ values**2) * (weight @ seen**2))
        )
    found, pair = matcher.cost(true, normal)
    # the affine window strays by less than 0.1 px from the homography's at its rim
    assert found == pytest.approx(np.mean(np.sort(costs)[:2]), abs=0.02)
    assert {pair & 15, pair >> 4} == set(np.argsort(costs)[:2])


def test_hopeless_planes_are_given_up_and_others_are_not(ball, plane):
    """Giving up early changes no cost that is below the one to beat, save by other views."""
    matcher, true, normal = plane
    best, pair = matcher.cost(true, normal)
    for d in np.linspace(-0.05, 0.05, 41):
        full, _ = matcher.cost(true + d, normal, pair=pair)
        early, _ = matcher.cost(true + d, normal, to_beat=best, pair=pair)
        assert early in (full, WORST)
        assert early == full or full > best
    assert matcher.cost(true + 0.1, normal, to_beat=best, pair=pair)[0] == WORST


def test_depth_of_a_ball(ball, grid, found):
    true = ball.depth(grid.camera)
    inner = np.hypot(*(grid.camera.pixel_centers() - [37.1, 39.1]).transpose(2, 0, 1)) < 20
    error = np.abs(found.depth - true)[inner & np.isfinite(true)]
    # neighbours stand 25 degrees aside: a footprint of depth is 0.4 px of parallax
    assert np.median(error) < 0.5 * ball.footprint
    assert np.mean(error < 4 * ball.footprint) > 0.95


def test_normals_of_a_ball(ball, grid, found):
    camera = grid.camera
    true = ball.depth(camera)
    points = camera.center + true[..., None] * camera.unproject(camera.pixel_centers())
    expected = (points / ball.radius) @ camera.cam_from_world[:, :3].T
    inner = expected[..., 2] < -0.8
    cosine = (found.normal * expected).sum(-1)[inner]
    assert np.degrees(np.median(np.arccos(np.clip(cosine, -1, 1)))) < 12


def test_nothing_outside_the_mask(grid, found):
    assert np.isnan(found.depth[~grid.mask]).all()


def test_images_of_odd_size_are_matched_without_a_shift(ball, middle, found):
    """A grid pixel's place in the image is then no corner of pixels; depth must not notice."""
    views, sources, limits = middle
    odd = [
        replace(
            v,
            camera=replace(v.camera, width=v.camera.width - 1, height=v.camera.height - 3),
            grey=np.ascontiguousarray(v.grey[:-3, :-1]),
            color=v.color[:-3, :-1],
            mask=v.mask[:-3, :-1],
        )
        for v in views
    ]
    again = match_view(odd, 2, sources, limits)
    true = ball.depth(odd[2].halved(1).camera)
    error = (again.depth - true)[np.isfinite(again.depth) & (true < 2.0 - 0.7 * ball.radius)]
    assert abs(np.median(error)) < 0.3 * ball.footprint
    assert np.median(np.abs(error)) < 0.5 * ball.footprint


def test_a_guess_is_refined(middle, found):
    views, sources, limits = middle
    guided = match_view(views, 2, sources, limits, start=found, search=GUIDED, seed=3)
    both = np.isfinite(guided.depth) & np.isfinite(found.depth)
    assert np.median(guided.cost[both]) <= np.median(found.cost[both]) + 1e-6


def test_any_number_of_threads_gives_the_same_bytes(middle, found):
    views, sources, limits = middle
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        alone = match_view(views, 2, sources, limits, search=BLIND)
    finally:
        numba.set_num_threads(before)
    assert alone.depth.tobytes() == found.depth.tobytes()
    assert alone.normal.tobytes() == found.normal.tobytes()


def test_window_without_any_known_pixel_or_texture_says_nothing(middle):
    views, sources, _ = middle
    unknown = np.full_like(views[2].grey, -1)
    assert Matcher(views, sources, 80, 70, known=unknown).norm == 0
    lone = unknown.copy()
    lone[80, 70] = 0.5
    assert Matcher(views, sources, 80, 70, known=lone).norm == 0
    assert Matcher(views, sources, 80, 70, known=np.full_like(unknown, 0.5)).norm == 0


def test_windows_may_hang_over_the_frame(middle):
    views, sources, _ = middle
    known = views[2].grey + np.float32(0.1) * np.linspace(0, 1, 144, dtype=np.float32)
    for row, col in ((0, 0), (160, 144), (1, 143)):
        matcher = Matcher(views, sources, row, col, known=known)
        assert np.isfinite(matcher.reference).all()


@pytest.mark.parametrize("chosen", [(1, 2), (0, 1, 2, 3, 4)])
def test_first_depths_of_few_views(ball, chosen):
    """Two views are enough; what they confirm lies on the ball."""
    views = [ball.views()[i] for i in chosen]
    checked = first_depths(views)
    for view, one in zip(views, checked, strict=True):
        camera = view.halved(1).camera
        true = ball.depth(camera)
        assert one.depth.shape == true.shape
        confirmed = np.isfinite(one.depth) & np.isfinite(true)
        assert confirmed.sum() > 0.4 * np.isfinite(true).sum()
        error = np.abs(one.depth - true)[confirmed]
        assert np.median(error) < ball.footprint
        assert np.mean(error < 6 * ball.footprint) > 0.9
