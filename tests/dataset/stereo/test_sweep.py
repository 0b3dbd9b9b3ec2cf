"""The sweep moves a surface to where the photographs agree."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from facekit.core.geometry.mesh import Mesh
from facekit.dataset.stereo.sweep import (
    SweepConfig,
    border_vertices,
    conjugate_gradient,
    sweep_surface,
    umbrella,
)


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


def test_umbrella_leaves_flat_grids_alone_to_their_border():
    """On a flat, even grid every vertex is the mean of its neighbours, along borders too."""
    n = 8
    x, y = np.meshgrid(np.arange(n), np.arange(n))
    a = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    faces = np.concatenate([np.c_[a, a + 1, a + n], np.c_[a + 1, a + n + 1, a + n]])
    faces = faces.astype(np.int32)
    border = border_vertices(faces, n * n)
    assert border.sum() == 4 * (n - 1)
    L = umbrella(faces, n * n)
    points = np.c_[x.ravel(), y.ravel(), np.zeros(n * n)].astype(float)
    off = np.abs(L @ points).max(axis=1)
    corner = np.isin(np.arange(n * n), [0, n - 1, n * (n - 1), n * n - 1])
    assert off[~corner].max() < 1e-12


def test_conjugate_gradient_solves(rng):
    B = sparse.random_array((60, 60), density=0.1, rng=rng)
    A = sparse.csr_array(B.T @ B + sparse.eye_array(60))
    wanted = rng.normal(size=60)
    x = conjugate_gradient(
        A.__matmul__, A @ wanted, diagonal=A.diagonal(), start=np.zeros(60), rtol=1e-12, n_steps=300
    )
    np.testing.assert_allclose(x, wanted, atol=1e-9)


def test_conjugate_gradient_starts_at_the_solution(rng):
    A = sparse.csr_array(sparse.diags_array(rng.uniform(1, 2, 10)))
    wanted = rng.normal(size=10)
    x = conjugate_gradient(
        A.__matmul__, A @ wanted, diagonal=A.diagonal(), start=wanted, rtol=1e-6, n_steps=5
    )
    np.testing.assert_array_equal(x, wanted)


def test_a_closed_mesh_has_no_border(ball):
    mesh: Mesh = ball.mesh(n_times=2)
    assert not border_vertices(mesh.faces, len(mesh.vertices)).any()
