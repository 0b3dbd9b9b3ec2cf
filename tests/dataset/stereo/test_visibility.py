"""Which views see a vertex."""

import numpy as np

from facekit.core.geometry.mesh import Mesh, vertex_normals
from facekit.dataset.stereo.visibility import seen_by


def _seen(ball, mesh, **changes):
    settings = {"most": 3, "least_cosine": 0.3, "margin_px": 4.0, **changes}
    return seen_by(mesh, vertex_normals(mesh.vertices, mesh.faces), ball.views(), **settings)


def test_the_front_is_seen_and_the_back_is_not(ball):
    mesh = ball.mesh()
    seen = _seen(ball, mesh)
    unit = mesh.vertices / ball.radius
    assert (seen.n_views[unit[:, 2] > 0.8] == 3).all()
    assert (seen.n_views[unit[:, 2] < -0.8] == 0).all()


def test_best_view_comes_first(ball):
    seen = _seen(ball, ball.mesh())
    assert (np.diff(seen.cosine, axis=1) <= 0).all()
    mesh = ball.mesh()
    left = np.argmax(mesh.vertices @ ball.rig["cam0"].center)
    assert seen.views[left, 0] == 0


def test_a_screen_hides_what_lies_behind_it(ball):
    mesh = ball.mesh()
    size = 4 * ball.radius
    screen = np.array([[-size, -size, 0.7], [size, -size, 0.7], [0, 2 * size, 0.7]])
    both = Mesh(
        vertices=np.concatenate([mesh.vertices, screen]),
        faces=np.concatenate([mesh.faces, [[0, 1, 2]] + np.int32(len(mesh.vertices))]).astype(
            np.int32
        ),
    )
    front = mesh.vertices[:, 2] > 0.9 * ball.radius
    assert (_seen(ball, mesh).n_views[front] > 0).all()
    assert (_seen(ball, both).n_views[: len(front)][front] == 0).all()


def test_footprint_is_a_pixel_at_that_distance(ball):
    mesh = ball.mesh()
    seen = _seen(ball, mesh)
    front = np.argmax(mesh.vertices[:, 2])
    nearest = 2.0 - ball.radius
    np.testing.assert_allclose(seen.footprint[front], nearest / 300.0, rtol=0.03)


def test_cosines_are_those_of_the_cameras_to_half_a_step(ball):
    mesh = ball.mesh()
    normals = vertex_normals(mesh.vertices, mesh.faces)
    seen = _seen(ball, mesh)
    assert seen.views.dtype == np.int16  # millions of vertices: every byte counts
    rows = np.flatnonzero(seen.views[:, 0] >= 0)
    away = np.array([camera.center for camera in ball.rig])[seen.views[rows, 0]]
    away = away - mesh.vertices[rows]
    true = (away * normals[rows]).sum(axis=1) / np.linalg.norm(away, axis=1)
    np.testing.assert_allclose(seen.cosine[rows, 0], true, atol=0.51 / 255)


def test_views_without_pixels_show_as_much(ball):
    mesh = ball.mesh()
    normals = vertex_normals(mesh.vertices, mesh.faces)
    bare = [view.without_pixels() for view in ball.views()]
    assert all(view.grey.size == view.color.size == 0 for view in bare)
    seen = seen_by(mesh, normals, bare, most=3, least_cosine=0.3, margin_px=4.0)
    np.testing.assert_array_equal(seen.views, _seen(ball, mesh).views)
