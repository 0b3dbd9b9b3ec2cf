"""Placing the head: landmarks, units, mirrors."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facekit.core.errors import RegistrationError
from facekit.core.facemodel.model import FaceModel
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.transform import Similarity
from facekit.dataset.register.rigid import check_area, place_by_landmarks
from facekit.dataset.register.surface import thinned


def _pose(scale: float) -> Similarity:
    return Similarity(
        scale=scale, R=Rotation.random(random_state=4).as_matrix(), t=np.array([30.0, -700, 90])
    )


def test_landmarks_place_the_head_though_some_are_grossly_wrong(head: FaceModel):
    true = _pose(1.0)
    landmarks = true(head.mean[head.landmarks68])
    landmarks[[20, 40, 60]] += 60
    landmarks[50] = np.nan
    found = place_by_landmarks(head, landmarks, np.ones(68), metric=True)
    assert found is not None
    assert found.scale == 1.0
    np.testing.assert_allclose(found(head.mean), true(head.mean), atol=1e-6)


def test_an_arbitrary_unit_is_found(head: FaceModel):
    landmarks = _pose(0.013)(head.mean[head.landmarks68])
    found = place_by_landmarks(head, landmarks, np.ones(68), metric=False)
    assert found is not None
    assert found.scale == pytest.approx(0.013, rel=1e-6)


def test_a_wrong_unit_is_named(head: FaceModel):
    landmarks = _pose(0.1)(head.mean[head.landmarks68])
    with pytest.raises(RegistrationError, match=r"10x too small \(centimetres\?\)"):
        place_by_landmarks(head, landmarks, np.ones(68), metric=True)


def test_a_mirrored_face_is_named(head: FaceModel):
    landmarks = _pose(1.0)(head.mean[head.landmarks68] * (-1, 1, 1))
    landmarks += np.random.default_rng(0).normal(0, 0.5, (68, 3))
    with pytest.raises(RegistrationError, match="mirrored"):
        place_by_landmarks(head, landmarks, np.ones(68), metric=True)


def test_few_landmarks_leave_it_to_the_shape(head: FaceModel):
    landmarks = np.full((68, 3), np.nan)
    landmarks[30:32] = 1.0
    assert place_by_landmarks(head, landmarks, np.ones(68), metric=True) is None


def test_a_scan_in_metres_is_named(head: FaceModel):
    cells = thinned(Mesh(vertices=head.mean / 1000, faces=head.faces))
    with pytest.raises(RegistrationError, match=r"1e\+03x too small \(metres\?\)"):
        check_area(cells)


def test_a_scrap_is_refused(head: FaceModel):
    with pytest.raises(RegistrationError, match="12 triangles, too few"):
        thinned(Mesh(vertices=head.mean, faces=head.faces[:12]))


def test_thinning_keeps_the_area_and_the_side(head: FaceModel):
    cells = thinned(Mesh(vertices=head.mean, faces=head.faces), n_cells=3000)
    assert 1500 < len(cells.points) < 6000
    outwards = cells.points - head.mean.mean(0)
    assert ((cells.normals * outwards).sum(1) > 0).mean() > 0.85
