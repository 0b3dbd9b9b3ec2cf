"""Laying a face on a surface: where there is data, where there is none, and parts beside skin."""

import numpy as np
import pytest

from facekit.core.arrays import Floats
from facekit.core.facemodel.model import FaceModel
from facekit.core.geometry.mesh import Mesh, subdivide_loop, vertex_normals
from facekit.dataset.register.follow import followed
from facekit.dataset.register.modelrows import skin_mask
from facekit.dataset.register.nonrigid import Laid, lay_on
from facekit.dataset.register.pose import IDENTITY
from facekit.dataset.register.registered import Scan
from facekit.dataset.register.surface import MeshTarget, barycentric

_HOLE_MM = 12.0


@pytest.fixture(scope="module")
def swollen(head: FaceModel) -> tuple[Floats, Floats, Laid]:
    """Return the true bump (V, 3), the middle of a hole in the scan, and the face laid on it."""
    cheek = head.mean[head.landmarks68[13]] * 0.5 + head.mean[head.landmarks68[54]] * 0.5
    distance = np.linalg.norm(head.mean - cheek, axis=1)
    outwards = head.mean - head.mean.mean(0)
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    bump = 1.5 * np.exp(-((distance / 20) ** 2))[:, None] * outwards
    hole = head.mean[head.landmarks68[30]]
    fine = subdivide_loop(Mesh(vertices=head.mean + bump, faces=head.faces))
    kept = (np.linalg.norm(fine.vertices - hole, axis=1) > _HOLE_MM)[fine.faces].all(1)
    target = MeshTarget(Scan(mesh=fine.selected(kept)), IDENTITY, around=head.mean)
    return bump, hole, lay_on(head, head.mean, target)


def test_vertices_lie_on_the_scan(head: FaceModel, swollen: tuple[Floats, Floats, Laid]):
    _, _, laid = swollen
    rests = (laid.support > 0.5) & head.regions["face"]
    assert rests.sum() > 0.7 * head.regions["face"].sum()
    assert np.median(np.abs(laid.residual[rests])) < 0.01


def test_the_bump_is_found_and_nothing_slides(
    head: FaceModel, swollen: tuple[Floats, Floats, Laid]
):
    bump, _, laid = swollen
    on_bump = (np.linalg.norm(bump, axis=1) > 1) & (laid.support > 0.5)
    # Loop's scheme draws the fine surface in by some hundredths where it bends
    assert np.median(np.linalg.norm(laid.offset - bump, axis=1)[on_bump]) < 0.35


def test_a_hole_follows_the_model(head: FaceModel, swollen: tuple[Floats, Floats, Laid]):
    _, hole, laid = swollen
    inside = np.linalg.norm(head.mean - hole, axis=1) < _HOLE_MM - 4
    inside &= skin_mask(head)
    assert (laid.support[inside] == 0).all()
    assert np.isnan(laid.residual[inside]).all()
    assert np.linalg.norm(laid.offset[inside], axis=1).max() < 0.3


def test_shape_is_followed_and_relief_is_left(head: FaceModel):
    fine = subdivide_loop(Mesh(vertices=head.mean, faces=head.faces))
    normals = vertex_normals(fine.vertices, fine.faces)
    waves = [0.3 * np.sin(2 * np.pi * fine.vertices[:, 1] / length) for length in (45.0, 8.0)]
    scan = Mesh(vertices=fine.vertices + sum(waves)[:, None] * normals, faces=fine.faces)
    laid = lay_on(head, head.mean, MeshTarget(Scan(mesh=scan), IDENTITY, around=head.mean))
    own = vertex_normals(head.mean, head.faces)
    frontal = head.regions["frontal_face"] & skin_mask(head)
    frontal &= (own[:, 2] > 0.7) & (laid.support > 0.5)
    height = (laid.offset * own).sum(axis=1)[frontal]
    columns = np.stack([0.3 * np.sin(2 * np.pi * head.mean[frontal, 1] / length)
                        for length in (45.0, 8.0)], axis=1)  # fmt: skip
    shape, relief = np.linalg.lstsq(columns, height, rcond=None)[0]
    assert shape > 0.9  # a penalty of k^4 that halves waves of 17 mm takes 2 % of these
    assert relief < 0.25


def test_eyeballs_move_rigidly(head: FaceModel):
    turn = np.array([[0, -0.02, 0], [0.02, 0, 0], [0, 0, 0.0]])
    moved = head.mean @ turn.T + (0.5, 1.0, -0.5)
    skin = skin_mask(head)
    offset = followed(head, head.mean, np.where(skin[:, None], moved, 0.0), skin)
    eye = np.flatnonzero(head.regions["eyes"] & (head.mean[:, 0] > 0))
    before = np.linalg.norm(head.mean[eye] - head.mean[eye[0]], axis=1)
    after = (head.mean + offset)[eye]
    np.testing.assert_allclose(np.linalg.norm(after - after[0], axis=1), before, atol=1e-6)
    np.testing.assert_allclose(offset[eye], moved[eye], atol=0.05)  # a small turn is no rotation


def test_barycentric_gives_the_point_back():
    rng = np.random.default_rng(0)
    a, b, c = rng.standard_normal((3, 50, 3))
    weights = rng.dirichlet([1, 1, 1], 50)
    corners = np.stack([a, b, c], 1)
    points = np.einsum("nc,nci->ni", weights, corners)
    np.testing.assert_allclose(barycentric(points, a, b, c), weights, atol=1e-9)
