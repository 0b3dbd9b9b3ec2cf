"""The sweep moves a surface to where the photographs agree."""

from dataclasses import replace

import numba
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from facekit.dataset.stereo.packed import pack_images
from facekit.dataset.stereo.sweep import (
    SweepConfig,
    patch_grid,
    sweep_surface,
)
from facekit.dataset.stereo.sweep_kernels import score_profiles


@pytest.fixture(scope="module")
def swept(ball):
    """Give the ball's front, begun 1.5 pixels too large, after a sweep."""
    mesh = ball.mesh(radius=ball.radius + 1.5 * ball.footprint, n_times=5)
    mesh = mesh.selected((mesh.vertices[mesh.faces][..., 2] > 0.0).all(axis=1))
    return sweep_surface(mesh, ball.views(), SweepConfig(n_rounds=2))


def test_a_known_offset_is_found(ball, swept):
    error = np.linalg.norm(swept.mesh.vertices, axis=1) - ball.radius
    facing = swept.mesh.vertices[:, 2] > 0.7 * ball.radius
    assert (swept.score[facing] > 0.3).mean() > 0.97
    # matching to 0.05 px at 25 degrees between views is 0.12 footprints of depth
    assert np.median(np.abs(error[facing])) < 0.15 * ball.footprint
    assert abs(np.median(error[facing])) < 0.05 * ball.footprint


def test_figures_say_what_was_measured(swept):
    unseen = swept.seen.n_views < 2
    assert unseen.any()
    assert (swept.score[unseen] == -1).all()
    assert (swept.weight[unseen] == 0).all()
    assert ((swept.weight >= 0) & (swept.weight <= 1)).all()


def test_no_step_is_longer_than_the_search(ball):
    config = SweepConfig(n_rounds=1, n_steps=2, step_px=0.5)
    mesh = ball.mesh(radius=1.1 * ball.radius, n_times=4)
    moved = sweep_surface(mesh, ball.views(), config)
    far = np.linalg.norm(moved.mesh.vertices - mesh.vertices, axis=1)
    assert far.max() <= 1.0 * moved.seen.footprint.max() * (1 + 1e-9)


def test_result_ignores_the_unit(ball, swept):
    """A rig a thousand times as large gives the same surface, a thousand times as large."""
    views = [
        replace(
            view,
            camera=replace(
                view.camera,
                cam_from_world=view.camera.cam_from_world * np.array([[1, 1, 1, 1000.0]]),
            ),
        )
        for view in ball.views()
    ]
    mesh = ball.mesh(radius=1000 * (ball.radius + 1.5 * ball.footprint), n_times=5)
    mesh = mesh.selected((mesh.vertices[mesh.faces][..., 2] > 0.0).all(axis=1))
    large = sweep_surface(mesh, views, SweepConfig(n_rounds=2))
    difference = np.linalg.norm(large.mesh.vertices / 1000 - swept.mesh.vertices, axis=1)
    assert np.median(difference) < 1e-3 * ball.footprint  # float32 rays and profiles


def test_curvature_and_score_are_of_the_profile(swept):
    measured = swept.score > -1
    assert (swept.curvature[measured] >= 0).all()
    assert (swept.curvature[~measured] == 0).all()
    # NCC falls from its peak to about a half within two pixels of this texture
    assert 0.02 < np.median(swept.curvature[measured]) < 0.5


def test_patch_weights():
    grid = patch_grid(3, spread=1.3)
    assert grid[2].sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(grid[3] ** 2, grid[2], rtol=1e-5)
    np.testing.assert_allclose(grid[:2] @ grid[2], 0, atol=1e-7)  # centred
    assert np.abs(grid[:2]).max() == 3


def plain_profile(vertex, normal, size, views, steps, grid):
    """Return the agreement of `views` at offsets of one vertex, written as in the paper."""
    tangent = np.cross([0, 1, 0] if abs(normal[1]) < 0.9 else [1, 0, 0], normal)
    tangent /= np.linalg.norm(tangent)
    other = np.cross(normal, tangent)
    samples = []
    for step in steps:
        points = vertex + size * (
            step * normal + grid[0][:, None] * tangent + grid[1][:, None] * other
        )
        patches = []
        for view in views:
            xy, _ = view.camera.project(points)
            patch = map_coordinates(view.grey, (xy[:, ::-1] - 0.5).T, order=1)
            patch = patch - grid[2] @ patch
            patches.append(patch / np.sqrt(grid[2] @ patch**2))
        ncc = np.einsum("ik,jk,k->ij", patches, patches, grid[2])
        np.fill_diagonal(ncc, -1)
        best_two = np.sort(ncc, axis=1)[:, -2:]
        samples.append(best_two.max() if len(views) == 2 else best_two.mean(axis=1).max())
    return np.array(samples)


def test_profiles_are_those_of_the_plain_formula(ball, rng):
    """Against projections in full and SciPy's interpolation, vertex by vertex."""
    views = ball.views()
    images = pack_images([view.grey for view in views])
    n = 70  # a block of 64 and a part of one
    normals = rng.normal(size=(n, 3)) * 0.2 + (0, 0, 1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    vertices = normals * (ball.radius + 0.3 * ball.footprint)
    normals = normals.astype(np.float32)
    chosen = np.tile(np.array([2, 0, 3, -1, -1], np.int32), (n, 1))
    chosen[::2, 2] = -1
    steps = np.arange(-2, 3) * np.float32(0.5)
    grid = patch_grid(2, spread=1.3)
    profile = np.full((n + 1, 5), -1, np.float32)
    score_profiles(
        np.arange(n), vertices, normals, np.full(n, ball.footprint), chosen, images.words,
        images.starts, images.sizes, np.array([view.camera.P for view in views]), steps, grid,
        profile,
    )  # fmt: skip
    assert (profile[n] == -1).all()
    for v in range(n):
        used = [views[k] for k in chosen[v] if k >= 0]
        plain = plain_profile(vertices[v], normals[v], ball.footprint, used, steps, grid)
        # the affine approximation strays by a hundredth of a pixel at this distance
        np.testing.assert_allclose(profile[v], plain, atol=0.01)


def test_packed_images_hold_each_pixel_and_its_neighbour(rng):
    images = [rng.random((5, 7), dtype=np.float32), rng.random((4, 3), dtype=np.float32)]
    packed = pack_images(images)
    for image, start in zip(images, packed.starts, strict=True):
        words = packed.words[start : start + image.size].reshape(image.shape)
        np.testing.assert_allclose((words & 0xFFFF) / 65535, image, atol=1e-5)
        right = (words[:, :-1] >> 16) & 0xFFFF
        np.testing.assert_allclose(right / 65535, image[:, 1:], atol=1e-5)
    assert (packed.words[: packed.starts[0]] == 0).all()


def test_threads_change_nothing(ball, swept):
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        mesh = ball.mesh(radius=ball.radius + 1.5 * ball.footprint, n_times=5)
        mesh = mesh.selected((mesh.vertices[mesh.faces][..., 2] > 0.0).all(axis=1))
        again = sweep_surface(mesh, ball.views(), SweepConfig(n_rounds=2))
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(again.mesh.vertices, swept.mesh.vertices)
