"""How the distance of a found face to the true one is taken."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facekit.benchmarks.face_distance import TrueFace, surface_error, surface_error_at
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.transform import Similarity

TURN = Rotation.from_rotvec([0.1, -0.3, 0.2]).as_matrix()
SHIFT = np.array([30.0, -5.0, 12.0])


@pytest.fixture(scope="module")
def true():
    model = procedural_head()
    identity = np.zeros(model.n_identity)
    identity[:4] = (0.8, -0.5, 0.6, 0.4)
    vertices = model.shape(identity)
    mesh = Mesh(vertices=vertices, faces=model.faces)
    face = TrueFace(
        mesh=mesh.selected(model.regions["frontal_face"][model.faces].all(axis=1)),
        landmarks=vertices[model.landmarks68],
    )
    return face, mesh, model


def moved(mesh, scale):
    return Mesh(vertices=scale * mesh.vertices @ TURN.T + SHIFT, faces=mesh.faces)


def test_a_rigid_movement_is_no_error(true):
    face, mesh, model = true
    error = surface_error(face, moved(mesh, 1.0), model)
    # the query works in float32 at 100 mm: micrometres
    assert error.distance.max() < 1e-3
    assert np.allclose(error.found_from_true.R, TURN, atol=1e-5)
    assert np.allclose(error.found_from_true.t, SHIFT, atol=1e-2)


def test_where_a_surface_is_said_to_lie_counts_unless_it_is_aligned(true):
    face, mesh, _ = true
    aside = Similarity(scale=1.0, R=TURN, t=SHIFT + [0.0, 0.0, 2.0])
    error = surface_error_at(face, moved(mesh, 1.0), aside)
    # most of a face looks forward, the more so the nearer to its middle
    assert 1.0 < error.median_mm < 2.0
    exact = Similarity(scale=1.0, R=TURN, t=SHIFT)
    assert surface_error_at(face, moved(mesh, 1.0), exact).distance.max() < 1e-3


def test_a_wrong_size_is_an_error_unless_it_may_be_scaled_away(true):
    face, mesh, model = true
    larger = moved(mesh, 1.05)
    rigid = surface_error(face, larger, model)
    # 5 % of 60 to 90 mm from the middle is 3 to 4 mm at the rim, less where skin slides on skin
    assert 0.3 < rigid.median_mm < 3.0
    scaled = surface_error(face, larger, model, with_scale=True)
    assert scaled.distance.max() < 1e-2
    assert scaled.found_from_true.scale == pytest.approx(1.05, abs=1e-4)


def test_errors_are_millimetres_of_the_true_face(true):
    face, mesh, model = true
    vertices = mesh.vertices.copy()
    vertices[model.regions["nose"], 2] -= 1.5
    dented = Mesh(vertices=vertices, faces=mesh.faces)
    half = Mesh(vertices=0.5 * vertices, faces=mesh.faces)
    as_it_is = surface_error(face, dented, model, with_scale=True)
    assert surface_error(face, half, model, with_scale=True).p90_mm == pytest.approx(
        as_it_is.p90_mm, abs=1e-3
    )


def test_a_dent_stays_where_it_is(true):
    face, mesh, model = true
    nose = model.regions["nose"]
    vertices = mesh.vertices.copy()
    vertices[nose, 2] -= 1.5
    error = surface_error(face, Mesh(vertices=vertices, faces=mesh.faces), model)
    assert error.median_mm < 0.15  # the nose is a small part of the face
    assert error.distance.max() > 0.7
