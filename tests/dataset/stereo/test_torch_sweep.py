"""The torch sweep is the compiled one but for rounding."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from facekit.core.geometry.mesh import Mesh
from facekit.dataset.kernels import quiet_threads
from facekit.dataset.meshgraph import (
    Umbrella,
    conjugate_gradient,
    mesh_graph,
    smooth_normals,
    surface_normals,
)
from facekit.dataset.stereo import torch_mesh, torch_sweep, torch_sweep_kernels
from facekit.dataset.stereo.packed import pack_images
from facekit.dataset.stereo.sweep import SweepConfig, facing_views, patch_grid, sweep_surface
from facekit.dataset.stereo.sweep_kernels import (
    find_peaks,
    score_profiles,
    smooth_profiles,
    update_tops,
)

CPU = torch.device("cpu")
ONE_LAST_BIT = 2e-7  # relative, of float32

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def bumpy(ball):
    """Give the ball's front, 1.5 pixels too large and rough: a mesh with an open border."""
    mesh = ball.mesh(radius=ball.radius + 1.5 * ball.footprint, n_times=5)
    mesh = mesh.selected((mesh.vertices[mesh.faces][..., 2] > 0.0).all(axis=1))
    rough = np.random.default_rng(3).normal(0, 0.2 * ball.footprint, mesh.vertices.shape)
    return Mesh(vertices=mesh.vertices + rough, faces=mesh.faces)


@pytest.fixture(scope="module")
def graphs(bumpy):
    """Give the mesh's neighbourhoods, compiled and torch's."""
    graph = mesh_graph(bumpy.faces, len(bumpy.vertices))
    return graph, torch_mesh.TorchMesh(bumpy.faces, graph, CPU)


def as_torch(*arrays):
    return [torch.from_numpy(np.array(array)) for array in arrays]


def test_normals_and_their_smoothing(bumpy, graphs):
    graph, torch_graph = graphs
    (vertices,) = as_torch(bumpy.vertices)
    for n_passes in (0, 4):
        normals = smooth_normals(
            surface_normals(bumpy.vertices, bumpy.faces), graph, n_passes=n_passes
        )
        found = torch_graph.normals(vertices, n_passes=n_passes).numpy()
        np.testing.assert_allclose(found, normals, atol=5 * ONE_LAST_BIT)


def test_vertices_that_no_face_uses_have_no_normal():
    mesh = Mesh(vertices=np.eye(4, 3), faces=np.array([[0, 1, 2]], np.int32))
    graph = torch_mesh.TorchMesh(mesh.faces, mesh_graph(mesh.faces, 4), CPU)
    normals = graph.normals(torch.from_numpy(mesh.vertices), n_passes=2).numpy()
    np.testing.assert_allclose(normals[:3], 3**-0.5, atol=1e-6)
    assert (normals[3] == 0).all()


def test_umbrella_and_its_transpose(bumpy, graphs, rng):
    graph, L = graphs
    assert graph.border.any() and not graph.border.all()
    compiled = Umbrella(graph)
    normals = surface_normals(bumpy.vertices, bumpy.faces)
    x = rng.normal(size=len(bumpy.vertices)).astype(np.float32)
    vertices, n, t = as_torch(bumpy.vertices, normals, x)
    np.testing.assert_allclose(L.times(t), compiled.times(x), atol=1e-6)
    np.testing.assert_allclose(L.transposed_times(t), compiled.transposed_times(x), atol=1e-6)
    np.testing.assert_allclose(L.column_squares(), compiled.column_squares(), rtol=1e-6)
    bend = compiled.along(bumpy.vertices, normals)
    np.testing.assert_allclose(L.along(vertices, n), bend, atol=1e-6 * np.abs(bend).max())


def test_conjugate_gradient_takes_the_same_steps(graphs, rng):
    """Stopped early, it stands where the compiled one does; left to run, it solves."""
    graph, L = graphs
    compiled = Umbrella(graph)
    b, w = rng.normal(size=(2, len(graph.border))).astype(np.float32)
    w = np.abs(w) + np.float32(0.02)
    diagonal = compiled.column_squares() + w
    start = np.zeros_like(b)
    tb, tw, td, ts = as_torch(b, w, diagonal, start)
    for n_steps, rtol in ((5, 0.0), (200, 1e-5)):
        x = conjugate_gradient(
            lambda p: compiled.square_times(p) + w * p, b, diagonal=diagonal, start=start,
            rtol=rtol, n_steps=n_steps,
        )  # fmt: skip
        t = torch_mesh.conjugate_gradient(
            lambda p: L.transposed_times(L.times(p)) + tw * p, tb, diagonal=td, start=ts,
            rtol=rtol, n_steps=n_steps,
        )  # fmt: skip
        np.testing.assert_allclose(t, x, atol=2e-5 * np.abs(x).max())


@pytest.fixture(scope="module")
def profiles(ball, bumpy, graphs):
    """Give the mesh's profiles, compiled and torch's."""
    views = ball.views()
    config = SweepConfig(radius=3, most_views=5)
    normals = surface_normals(bumpy.vertices, bumpy.faces)
    seen = facing_views(bumpy.vertices, bumpy.faces, normals, views, config)
    rows = np.flatnonzero(seen.views[:, 1] >= 0)
    assert 0 < len(rows) < len(normals)
    images = pack_images([view.grey for view in views])
    P = np.array([view.camera.P for view in views])
    steps = np.arange(-5, 6) * np.float32(0.7)
    grid = patch_grid(config.radius, spread=config.spread)
    profile = np.full((len(normals), len(steps)), -1, np.float32)
    with quiet_threads():
        score_profiles(
            rows, bumpy.vertices, normals, seen.footprint, seen.views, images.words,
            images.starts, images.sizes, P, steps, grid, profile,
        )  # fmt: skip
    found = torch_sweep_kernels.score_profiles(
        *as_torch(rows, bumpy.vertices, normals, seen.footprint.astype(float),
                  seen.views.astype(np.int64)),
        torch_sweep_kernels.TorchImages.of(images, CPU), *as_torch(P, steps, grid),
    )  # fmt: skip
    return profile, found


def test_profiles(profiles):
    profile, found = profiles
    assert ((profile == -1) == (found.numpy() == -1)).all()
    # 1e-5 px of rounding where a patch lies; agreement changes by less than 0.5 a pixel
    np.testing.assert_allclose(found, profile, atol=1e-5)


def test_parts_change_nothing(ball, bumpy, monkeypatch):
    """Memory is bounded by taking vertices in parts."""
    whole = torch_sweep.sweep_surface(bumpy, ball.views(), SweepConfig(n_rounds=1), device="cpu")
    monkeypatch.setattr(torch_sweep_kernels, "_SAMPLES_AT_ONCE", {"cpu": 5 * 21 * 97})
    parts = torch_sweep.sweep_surface(bumpy, ball.views(), SweepConfig(n_rounds=1), device="cpu")
    np.testing.assert_allclose(parts.mesh.vertices, whole.mesh.vertices, atol=1e-9)


def test_smoothing_tops_and_peaks(profiles, graphs):
    profile, found = profiles
    graph, torch_graph = graphs
    smooth = profile.copy()
    for _ in range(3):
        blended = np.zeros_like(smooth)
        with quiet_threads():
            smooth_profiles(graph.starts, graph.neighbours, smooth, blended)
        smooth = blended
    found_smooth = torch_sweep_kernels.smooth_profiles(found, torch_graph.around, n_passes=3)
    np.testing.assert_allclose(found_smooth, smooth, atol=1e-5)
    tops = np.zeros(len(profile), np.int32)
    update_tops(smooth, 0, tops, np.full(len(profile), -np.inf, np.float32))
    found_tops = torch_sweep_kernels.tops_of(torch.from_numpy(smooth))
    np.testing.assert_array_equal(found_tops, tops)
    offset, score, curvature = np.zeros((3, len(profile)), np.float32)
    with quiet_threads():
        find_peaks(profile, tops, np.float32(0.3), offset, score, curvature)
    assert 0.1 < (score > -1).mean() < 0.9
    peaks = torch_sweep_kernels.find_peaks(torch.from_numpy(profile), found_tops, least_score=0.3)
    for mine, compiled in zip(peaks, (offset, score, curvature), strict=True):
        np.testing.assert_allclose(mine, compiled, atol=1e-6)


def test_the_first_of_equal_tops_is_taken():
    profile = torch.tensor([[0.1, 0.5, 0.5, 0.2], [-1.0, -1, -1, -1], [0.0, 0, 0, 0.1]])
    assert torch_sweep_kernels.tops_of(profile).tolist() == [1, 0, 3]


CONFIGS = {
    "two rounds": SweepConfig(),
    "wide": SweepConfig(n_rounds=2, radius=3, most_views=4, reweightings=0, stiffness=3.0),
    "stiff": SweepConfig(n_rounds=1, stiffness=4.0, good_px=0.4, reweightings=2),
}


def assert_same(found, compiled, footprint):
    """Vertices within a hundredth of a pixel footprint, 99 % of them within a thousandth."""
    moved = np.linalg.norm(found.mesh.vertices - compiled.mesh.vertices, axis=1) / footprint
    assert np.percentile(moved, 99) < 1e-3
    # rounding may tip which of two peaks is taken: rare, and its neighbours hold it back
    assert np.mean(moved > 1e-2) < 1e-3
    measured = compiled.score > -1
    assert np.mean((found.score > -1) != measured) < 1e-3
    for name, tolerance in (("score", 1e-4), ("weight", 1e-3), ("curvature", 1e-3)):
        difference = np.abs(getattr(found, name) - getattr(compiled, name))
        assert np.percentile(difference, 99) < tolerance, name
    for name in ("score", "weight", "curvature"):
        assert getattr(found, name).dtype == getattr(compiled, name).dtype


@pytest.mark.parametrize("name", CONFIGS)
def test_the_whole_sweep(ball, bumpy, name):
    views, config = ball.views(), CONFIGS[name]
    compiled = sweep_surface(bumpy, views, config)
    found = torch_sweep.sweep_surface(bumpy, views, config, device="cpu")
    assert_same(found, compiled, ball.footprint)
    assert (compiled.score > -1).mean() > 0.3
    # two views may face a vertex equally
    assert np.mean(found.seen.views != compiled.seen.views) < 1e-3


def test_packed_images_and_known_visibility_are_taken(ball, bumpy):
    views, config = ball.views(), SweepConfig(n_rounds=1)
    expected = torch_sweep.sweep_surface(bumpy, views, config, device="cpu")
    images = pack_images([view.grey for view in views])
    bare = [replace(view, grey=np.zeros((0, 0), np.float32)) for view in views]
    found = torch_sweep.sweep_surface(bumpy, bare, config, images=images, device="cpu")
    np.testing.assert_array_equal(found.mesh.vertices, expected.mesh.vertices)


def test_a_surface_that_nobody_sees_stays(ball):
    mesh = ball.mesh(n_times=3)
    back = mesh.selected((mesh.vertices[mesh.faces][..., 2] < -0.1).all(axis=1))
    found = torch_sweep.sweep_surface(back, ball.views()[:2], SweepConfig(), device="cpu")
    compiled = sweep_surface(back, ball.views()[:2], SweepConfig())
    assert (found.score == -1).all()
    np.testing.assert_allclose(found.mesh.vertices, compiled.mesh.vertices, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("name", CONFIGS)
def test_the_whole_sweep_on_cuda(ball, bumpy, cuda, name):
    views, config = ball.views(), CONFIGS[name]
    found = torch_sweep.sweep_surface(bumpy, views, config, device=cuda)
    assert_same(found, sweep_surface(bumpy, views, config), ball.footprint)
    again = torch_sweep.sweep_surface(bumpy, views, config, device=cuda)
    np.testing.assert_array_equal(found.mesh.vertices, again.mesh.vertices)
