"""Neighbourhoods of meshes: the quick loops agree with what the faces say, written plainly."""

import numpy as np
import pytest
from scipy import sparse

from facekit.core.geometry.mesh import adjacency, edges_of, vertex_components, vertex_normals
from facekit.dataset.meshgraph import (
    Umbrella,
    conjugate_gradient,
    mesh_graph,
    parts,
    smooth_normals,
    smoothed,
    surface_normals,
    widely_smoothed,
)


def flat_grid(n=8):
    """Return (n², 3) points of an even grid and its faces."""
    x, y = np.meshgrid(np.arange(float(n)), np.arange(float(n)))
    a = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    faces = np.concatenate([np.c_[a, a + 1, a + n], np.c_[a + 1, a + n + 1, a + n]])
    return np.c_[x.ravel(), y.ravel(), np.zeros(n * n)], faces.astype(np.int32)


@pytest.fixture(scope="module")
def cap(ball):
    """Give the ball's front half: a mesh with a border."""
    mesh = ball.mesh(n_times=3)
    return mesh.selected((mesh.vertices[mesh.faces][..., 2] > 0).all(axis=1))


def operator(L, n):
    """Return the umbrella as a dense (n, n) matrix."""
    return np.stack([L.times(column) for column in np.eye(n, dtype=np.float32)], axis=1)


def test_neighbours_are_those_that_share_an_edge(cap):
    n = len(cap.vertices)
    graph = mesh_graph(cap.faces, n)
    rows = np.repeat(np.arange(n), graph.n_neighbours)
    wanted = adjacency(cap.faces, n).toarray() > 0
    found = np.zeros((n, n), bool)
    found[rows, graph.neighbours] = True
    np.testing.assert_array_equal(found, wanted)
    assert len(rows) == 2 * len(edges_of(cap.faces))


def test_border_of_open_and_closed_meshes(ball):
    points, faces = flat_grid()
    graph = mesh_graph(faces, len(points))
    x, y = points[:, 0], points[:, 1]
    np.testing.assert_array_equal(graph.border, (x == 0) | (x == 7) | (y == 0) | (y == 7))
    assert graph.single.sum() == 2 * 4 * 7  # edges along the border, from both ends
    closed = ball.mesh(n_times=2)
    assert not mesh_graph(closed.faces, len(closed.vertices)).border.any()


def test_umbrella_leaves_flat_grids_alone_to_their_border():
    """On a flat, even grid every vertex is the mean of its neighbours, along borders too."""
    points, faces = flat_grid()
    L = Umbrella(mesh_graph(faces, len(points)))
    off = np.abs(np.stack([L.times(c.astype(np.float32)) for c in points.T])).max(axis=0)
    corner = np.isin(np.arange(64), [0, 7, 56, 63])
    assert off[~corner].max() < 1e-6


def test_umbrella_transposed_and_its_squares(cap):
    n = len(cap.vertices)
    L = Umbrella(mesh_graph(cap.faces, n))
    dense = operator(L, n)
    transposed = np.stack([L.transposed_times(c) for c in np.eye(n, dtype=np.float32)], axis=1)
    np.testing.assert_allclose(transposed, dense.T, atol=1e-7)
    x = np.linspace(-1, 1, n, dtype=np.float32)
    np.testing.assert_allclose(L.square_times(x), dense.T @ (dense @ x), atol=1e-5)
    np.testing.assert_allclose(L.column_squares(), (dense**2).sum(axis=0), rtol=1e-5)
    normals = surface_normals(cap.vertices, cap.faces)
    along = ((dense.astype(float) @ cap.vertices) * normals).sum(axis=1)
    np.testing.assert_allclose(L.along(cap.vertices, normals), along, atol=1e-6)


def test_normals_are_those_of_the_mesh(cap):
    normals = surface_normals(cap.vertices, cap.faces)
    np.testing.assert_allclose(normals, vertex_normals(cap.vertices, cap.faces), atol=1e-5)
    smooth = smooth_normals(normals, mesh_graph(cap.faces, len(normals)), n_passes=2)
    np.testing.assert_allclose(np.linalg.norm(smooth, axis=1), 1, atol=1e-6)


def test_smoothing_keeps_constants_and_lone_vertices(cap):
    graph = mesh_graph(cap.faces, len(cap.vertices) + 1)
    values = np.full(len(cap.vertices) + 1, 0.25)
    values[-1] = 7.0
    np.testing.assert_allclose(smoothed(values, graph, n_passes=5), values, rtol=1e-6)


@pytest.mark.parametrize("n_passes", [1, 2, 7, 300])
def test_wide_smoothing_is_smoothing_many_times(cap, rng, n_passes):
    graph = mesh_graph(cap.faces, len(cap.vertices) + 1)  # one vertex belongs to no face
    values = rng.normal(size=(len(cap.vertices) + 1, 2))
    found = widely_smoothed(values, graph, n_passes=n_passes)
    for k in range(2):
        many = smoothed(values[:, k], graph, n_passes=n_passes)
        # float32 sums of up to 300 numbers of size one, and the bell curve's end
        np.testing.assert_allclose(found[:, k], many, atol=2e-5)


def test_parts_are_those_joined_by_kept_faces(cap, rng):
    n = len(cap.vertices)
    kept = rng.random(len(cap.faces)) < 0.2
    labels = parts(cap.faces, n, kept=kept)
    plain = vertex_components(cap.faces[kept], n)
    lowest = np.full(n, n)
    np.minimum.at(lowest, plain, np.arange(n))
    np.testing.assert_array_equal(labels, lowest[plain])


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
