"""Points become a surface, with holes where no point supports it."""

import numpy as np
import pytest

from facekit.core.geometry.mesh import Mesh, edges_of, face_areas, vertex_normals
from facekit.dataset.fusion import PointCloud
from facekit.dataset.meshgraph import mesh_graph
from facekit.dataset.meshing import divide_edges, main_parts, poisson_mesh, relax, trim_rim


def ball_cloud(rng, *, n=20_000, keep=None):
    """Return points on the unit ball, those where `keep` is true."""
    unit = rng.normal(size=(n, 3))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    unit = unit if keep is None else unit[keep(unit)]
    return PointCloud(
        points=unit,
        normals=unit,
        confidence=np.ones(len(unit), np.float32),
        colors=np.zeros((len(unit), 3), np.uint8),
        footprint=np.full(len(unit), 0.03, np.float32),
    )


def test_poisson_of_a_ball(rng):
    mesh = poisson_mesh(ball_cloud(rng), edge=0.04)
    error = np.abs(np.linalg.norm(mesh.vertices, axis=1) - 1)
    assert np.percentile(error, 99) < 0.05 * 0.04  # far below the edge length
    assert not mesh_graph(mesh.faces, len(mesh.vertices)).border.any()
    outward = (vertex_normals(mesh.vertices, mesh.faces) * mesh.vertices).sum(1)
    assert (outward > 0.9).all()


def test_edges_are_as_long_as_asked(rng):
    mesh = poisson_mesh(ball_cloud(rng), edge=0.06)
    edges = mesh.vertices[edges_of(mesh.faces)]
    length = np.linalg.norm(edges[:, 0] - edges[:, 1], axis=1)
    assert np.mean(length) == pytest.approx(0.06, rel=0.3)


def test_hole_where_no_point_supports(rng):
    mesh = poisson_mesh(ball_cloud(rng, keep=lambda p: p[:, 2] > -0.3), edge=0.05, trim=4.0)
    assert mesh.vertices[:, 2].min() > -0.3 - 4.5 * 0.05
    assert mesh_graph(mesh.faces, len(mesh.vertices)).border.any()


def test_small_parts_are_left_out(ball):
    large, small = ball.mesh(n_times=4), ball.mesh(n_times=1)
    both = Mesh(
        vertices=np.concatenate([large.vertices, small.vertices + 3]),
        faces=np.concatenate([large.faces, small.faces + np.int32(len(large.vertices))]),
    )
    kept = both.selected(main_parts(both))
    assert len(kept.vertices) == len(large.vertices)


def test_unsupported_parts_are_left_out(ball):
    one = ball.mesh(n_times=3)
    n = len(one.vertices)
    both = Mesh(
        vertices=np.concatenate([one.vertices, one.vertices + 3]),
        faces=np.concatenate([one.faces, one.faces + np.int32(n)])[:-4],
    )
    support = np.concatenate([np.ones(n), np.full(n, 0.2)])
    assert len(both.selected(main_parts(both)).vertices) == 2 * n
    assert len(both.selected(main_parts(both, support=support)).vertices) == n


def test_rim_is_trimmed_but_an_inner_hole_stays(ball):
    mesh = ball.mesh(n_times=5)
    mesh = mesh.selected((mesh.vertices[mesh.faces][..., 2] > 0).all(axis=1))
    height = mesh.vertices[:, 2] / ball.radius
    unseen_rim, nostril = height < 0.3, height > 0.97
    kept = mesh.selected(trim_rim(mesh, np.where(unseen_rim | nostril, 0.0, 1.0)))
    kept_height = kept.vertices[:, 2] / ball.radius
    assert kept_height.min() > 0.2
    assert kept_height.min() < 0.35
    assert kept_height.max() > 0.999


def test_a_wide_gap_is_cut_out_and_a_narrow_one_is_bridged(ball):
    mesh = ball.mesh(n_times=5)
    x, y, z = mesh.vertices.T / ball.radius
    wide = (np.hypot(x, y) < 0.4) & (z > 0)
    slit = (np.abs(y) < 0.15) & (z < 0) & (np.abs(x) < 0.6)  # longer than the gap is wide
    support = np.where(wide | slit, 0.0, 1.0)
    assert trim_rim(mesh, support).all()  # nothing has a border
    kept = mesh.selected(trim_rim(mesh, support, deepest=0.25 * ball.radius))
    x, y, z = kept.vertices.T / ball.radius
    assert 0.1 < np.hypot(x, y)[z > 0].min() < 0.35  # the middle is gone, the rim is bridged
    assert np.abs(y)[(z < 0) & (np.abs(x) < 0.5)].min() < 0.02
    # seen, but not measured: smooth skin, which is kept however wide
    assert trim_rim(mesh, np.maximum(support, 0.3), deepest=0.25 * ball.radius).all()


def test_what_is_not_trusted_goes_at_a_border_and_stays_within(ball):
    mesh = ball.mesh(n_times=5)
    mesh = mesh.selected((mesh.vertices[mesh.faces][..., 2] > 0).all(axis=1))
    height = mesh.vertices[:, 2] / ball.radius
    trusted = np.where((height < 0.3) | (height > 0.97), 0.0, 1.0)  # hair, an eye
    keep = trim_rim(mesh, np.ones(len(height)), trusted=trusted)
    kept = mesh.selected(keep).vertices[:, 2] / ball.radius
    assert 0.2 < kept.min() < 0.35
    assert kept.max() > 0.999


def test_dividing_edges_keeps_the_surface(ball):
    mesh = ball.mesh(n_times=2)
    fine, ends = divide_edges(mesh)
    np.testing.assert_array_equal(fine.vertices, mesh.vertices[ends].mean(axis=1))
    assert len(fine.faces) == 4 * len(mesh.faces)
    total = face_areas(mesh.vertices, mesh.faces).sum()
    assert face_areas(fine.vertices, fine.faces).sum() == pytest.approx(total)
    assert not mesh_graph(fine.faces, len(fine.vertices)).border.any()


def test_relaxing_evens_out_triangles_and_keeps_the_shape(rng):
    n = 20
    a = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    faces = np.concatenate([np.c_[a, a + 1, a + n], np.c_[a + 1, a + n + 1, a + n]])
    x, y = np.meshgrid(np.arange(float(n)), np.arange(float(n)))
    points = np.c_[x.ravel(), y.ravel(), np.zeros(n * n)]
    inner = ~mesh_graph(faces.astype(np.int32), n * n).border
    points[inner, :2] += rng.uniform(-0.3, 0.3, (inner.sum(), 2))
    uneven = Mesh(vertices=points, faces=faces.astype(np.int32))
    smooth = relax(uneven, normals=np.tile(np.array([0, 0, 1], np.float32), (n * n, 1)))
    spread = [face_areas(m.vertices, m.faces).std() for m in (uneven, smooth)]
    assert spread[1] < 0.4 * spread[0]
    np.testing.assert_array_equal(smooth.vertices[:, 2], 0)
    np.testing.assert_array_equal(smooth.vertices[~inner], points[~inner])
