"""The fit's benchmark: how the distance of a found face to the true one is taken."""

import logging

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facekit.benchmarks import hrn_bench_fit
from facekit.benchmarks.hrn_bench_fit import SingleView, bench_model, surface_distance
from facekit.core.errors import InputError
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.camera import Camera
from facekit.core.geometry.mesh import Mesh


@pytest.fixture(scope="module")
def true():
    model = procedural_head()
    identity = np.zeros(model.n_identity)
    identity[:4] = (0.8, -0.5, 0.6, 0.4)
    vertices = model.shape(identity)
    mesh = Mesh(vertices=vertices, faces=model.faces)
    camera = Camera(
        name="front", width=8, height=8, K=np.eye(3), cam_from_world=np.eye(4)[:3].copy()
    )
    view = SingleView(
        image=np.zeros((8, 8, 3), np.uint8),
        mask=np.ones((8, 8), np.float32),
        camera=camera,
        landmarks=np.zeros((68, 2)),
        face=mesh.selected(model.regions["frontal_face"][model.faces].all(axis=1)),
        landmarks_3d=vertices[model.landmarks68],
    )
    return view, mesh, model


def moved(mesh, scale):
    R = Rotation.from_rotvec([0.1, -0.3, 0.2]).as_matrix()
    return Mesh(vertices=scale * mesh.vertices @ R.T + [30.0, -5.0, 12.0], faces=mesh.faces)


def test_a_rigid_movement_is_no_error(true):
    view, mesh, model = true
    distance = surface_distance(view, moved(mesh, 1.0), model)
    # the query works in float32 at 100 mm: micrometres
    assert distance.max() < 1e-3


def test_a_wrong_size_is_an_error_unless_it_may_be_scaled_away(true):
    view, mesh, model = true
    larger = moved(mesh, 1.05)
    rigid = surface_distance(view, larger, model)
    # 5 % of 60 to 90 mm from the middle is 3 to 4 mm at the rim, less where skin slides on skin
    assert 0.3 < np.median(rigid) < 3.0
    assert surface_distance(view, larger, model, with_scale=True).max() < 1e-2


def test_a_dent_stays_where_it_is(true):
    view, mesh, model = true
    nose = model.regions["nose"]
    vertices = mesh.vertices.copy()
    vertices[nose, 2] -= 1.5
    distance = surface_distance(view, Mesh(vertices=vertices, faces=mesh.faces), model)
    assert np.median(distance) < 0.15  # the nose is a small part of the face
    assert distance.max() > 0.7


def test_without_the_ict_model_the_built_in_head_stands_in_and_that_is_said(monkeypatch, caplog):
    def head_of(subject):
        if subject == "ict":
            raise InputError("no file here")
        return "builtin"

    monkeypatch.setattr(hrn_bench_fit, "find_asset", lambda kind: None)
    monkeypatch.setattr(hrn_bench_fit, "head_of", head_of)
    with caplog.at_level(logging.WARNING):
        model = bench_model()
    assert model.name == procedural_head().name
    assert "no ICT face model" in caplog.text


def test_the_ict_model_beside_the_checkout_is_found(monkeypatch, shared_data):
    file = shared_data / "ict_face_model/ict_face_model.npz"
    monkeypatch.setattr(hrn_bench_fit, "find_asset", lambda kind: None)
    monkeypatch.setattr(hrn_bench_fit, "head_of", lambda subject: str(file))
    assert bench_model().name == "ict"
