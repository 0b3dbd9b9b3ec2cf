"""A person's takes, without landmarks, in any orientation: the true places are found again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.core.errors import InputError, RegistrationError, SchemaError
from facekit.core.facemodel.model import FaceModel
from facekit.core.geometry.closest import SurfaceQuery
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.meshio import load_mesh
from facekit.dataset.register.pose import inverse
from facekit.dataset.register.register import register_takes
from facekit.dataset.register.registered import Registered, Scan
from facekit.dataset.register.registeredfile import load_fit, load_registered, save_registered

Takes = list[tuple[Any, Registered]]
"""Scans with their truth (see `conftest.Made`), and what was laid on them."""


@pytest.fixture(scope="module")
def takes(head: FaceModel, made_scan: Callable[..., Any]) -> Takes:
    identity = head.sample_identity(np.random.default_rng(11), strength=0.7)
    made = [
        made_scan(head, identity, expression, seed=1)
        for expression in ("neutral", "jawOpen=0.6+mouthSmile_L=0.5")
    ]
    return list(zip(made, register_takes(head, [m.scan for m in made]), strict=True))


def test_vertices_lie_on_the_true_surface(head: FaceModel, takes: Takes):
    face = head.regions["face"] & head.regions["skin"]
    for made, registered in takes:
        vertices = inverse(made.world_from_head)(registered.posed())
        query = SurfaceQuery(made.surface.vertices, made.surface.faces)
        scanned = inverse(made.world_from_head)(made.scan.mesh.vertices)
        noise = np.median(query.closest(scanned).distance)
        # relief finer than vertices may follow is left to the displacement map
        assert np.median(query.closest(vertices[face]).distance) < noise + 0.05


def test_vertices_lie_where_they_truly_are(head: FaceModel, takes: Takes):
    face = head.regions["face"] & head.regions["skin"]
    for made, registered in takes:
        vertices = inverse(made.world_from_head)(registered.posed())
        error = np.linalg.norm(vertices - made.vertices, axis=1)
        assert np.median(error[face]) < 0.5
        assert np.median(error[head.landmarks68]) < 0.8


def test_takes_share_the_person_and_differ_in_expression(head: FaceModel, takes: Takes):
    (_, rest), (_, smile) = takes
    np.testing.assert_array_equal(rest.identity, smile.identity)
    jaw = head.expression_names.index("jawOpen")
    assert rest.expression[jaw] < 0.1
    assert smile.expression[jaw] == pytest.approx(0.6, abs=0.15)


def test_support_and_residual_say_where_scan_is(head: FaceModel, takes: Takes):
    for _, registered in takes:
        assert registered.world_from_head.scale == 1.0
        assert registered.support[head.regions["face"]].mean() > 0.8
        assert (registered.support[head.regions["mouth_interior"]] == 0).all()
        np.testing.assert_array_equal(np.isnan(registered.residual), registered.support == 0)


def test_files_give_back_what_was_saved(head: FaceModel, takes: Takes, tmp_path: Path):
    registered = takes[1][1]
    save_registered(tmp_path, registered)
    loaded = load_registered(tmp_path, head)
    np.testing.assert_array_equal(loaded.posed(), registered.posed())
    np.testing.assert_array_equal(loaded.residual, registered.residual)
    pose, residual = load_fit(tmp_path, head.n_vertices)
    np.testing.assert_array_equal(pose(head.mean), registered.world_from_head(head.mean))
    np.testing.assert_array_equal(residual, registered.residual)
    path = tmp_path / "registered.obj"
    assert len(load_mesh(path).faces) == len(head.faces)
    assert path.read_text().count("\nvt ") == len(head.uv)


def test_damaged_and_foreign_files_are_refused(head: FaceModel, takes: Takes, tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        load_registered(tmp_path, head)
    save_registered(tmp_path, takes[0][1])
    with pytest.raises(SchemaError, match="face model 'procedural'"):
        load_registered(tmp_path, replace(head, name="other"))
    path = tmp_path / "registered.npz"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="damaged"):
        load_registered(tmp_path, head)


def test_landmarks_of_another_shape_are_refused(head: FaceModel):
    mesh = head.mesh()
    with pytest.raises(InputError, match="no scan"):
        register_takes(head, [])
    with pytest.raises(InputError, match=r"\(5, 3\)"):
        register_takes(head, [Scan(mesh=mesh, landmarks=np.zeros((5, 3)))])


def test_a_wall_is_no_face(head: FaceModel):
    x, y = np.meshgrid(np.linspace(-150, 150, 40), np.linspace(-150, 150, 40))
    corner = np.arange(40 * 39).reshape(39, 40)[:, :-1].ravel()
    faces = np.concatenate(
        [np.stack([corner, corner + 1, corner + 40], 1),
         np.stack([corner + 1, corner + 41, corner + 40], 1)]
    ).astype(np.int32)  # fmt: skip
    wall = Mesh(vertices=np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], 1), faces=faces)
    with pytest.raises(RegistrationError, match="no face found"):
        register_takes(head, [Scan(mesh=wall)])
