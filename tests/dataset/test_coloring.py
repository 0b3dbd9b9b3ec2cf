"""Vertices take the colour of the photographs."""

import numpy as np

from facekit.core.geometry.mesh import vertex_normals
from facekit.dataset.coloring import vertex_colors
from facekit.dataset.stereo.visibility import seen_by


def test_colours_are_those_of_the_surface(ball):
    from numpy.testing import assert_array_equal

    mesh = ball.mesh(n_times=5)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    views = ball.views()
    seen = seen_by(mesh, normals, views, most=3, least_cosine=0.5, margin_px=2.0)
    colors = vertex_colors(mesh, views, seen)
    front = mesh.vertices[:, 2] > 0.8 * ball.radius
    xy, _ = views[2].camera.project(mesh.vertices[front])
    cell = xy.astype(int)
    direct = views[2].color[cell[:, 1], cell[:, 0], 0].astype(float)
    assert np.median(np.abs(colors[front, 0] - direct)) < 12  # three views, sampled and blended
    assert np.corrcoef(colors[front, 0], direct)[0, 1] > 0.9
    assert_array_equal(colors[:, 0], colors[:, 2])  # a grey scene stays grey


def test_unseen_vertices_take_the_colour_around(ball):
    mesh = ball.mesh(n_times=4)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    views = ball.views()
    seen = seen_by(mesh, normals, views, most=3, least_cosine=0.5, margin_px=2.0)
    colors = vertex_colors(mesh, views, seen).astype(float)
    known = seen.n_views > 0
    assert not known.all()
    assert abs(colors[~known].mean() - colors[known].mean()) < 40
    assert colors[~known].min() > 0.5 * colors[known].min()
