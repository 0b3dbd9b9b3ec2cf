"""Rigid transforms form a group; the similarity of matched points is recovered exactly."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facekit.core.errors import EstimationError, InputError
from facekit.core.geometry import transform


def random_rigid(rng: np.random.Generator, n: int) -> np.ndarray:
    R = Rotation.random(n, rng=rng).as_matrix()
    return np.concatenate([R, rng.normal(0, 100, (n, 3, 1))], axis=2)


def test_inverse_and_composition_obey_the_group_laws(rng: np.random.Generator) -> None:
    a, b, c = (random_rigid(rng, 8) for _ in range(3))
    identity = np.broadcast_to(np.eye(3, 4), a.shape)
    np.testing.assert_allclose(transform.compose(a, transform.invert(a)), identity, atol=1e-10)
    left = transform.compose(transform.compose(a, b), c)
    right = transform.compose(a, transform.compose(b, c))
    np.testing.assert_allclose(left, right, atol=1e-9)


def test_composition_is_one_after_the_other(rng: np.random.Generator) -> None:
    a_from_b, b_from_c = random_rigid(rng, 1)[0], random_rigid(rng, 1)[0]
    points = rng.normal(0, 50, (5, 3))
    once = transform.apply(transform.compose(a_from_b, b_from_c), points)
    twice = transform.apply(a_from_b, transform.apply(b_from_c, points))
    np.testing.assert_allclose(once, twice, atol=1e-10)


def test_look_at_centres_the_target_with_up_up() -> None:
    center, target = np.array([300.0, 50.0, 900.0]), np.array([0.0, 10.0, 0.0])
    cam_from_world = transform.look_at(center, target)
    in_cam = transform.apply(cam_from_world, np.stack([target, target + [0, 1, 0], center]))
    np.testing.assert_allclose(in_cam[0, :2], 0, atol=1e-10)
    assert in_cam[0, 2] > 0
    assert in_cam[1, 1] < 0, "up in the world is up in the image, where y points down"
    np.testing.assert_allclose(in_cam[2], 0, atol=1e-10)
    assert np.linalg.det(cam_from_world[:, :3]) == pytest.approx(1)


def test_rotation_angle_is_exact_at_both_ends() -> None:
    for degrees in (0.0, 1e-6, 30.0, 179.999, 180.0):
        R = Rotation.from_rotvec([0, np.radians(degrees), 0]).as_matrix()
        assert transform.rotation_angle_deg(R) == pytest.approx(degrees, abs=1e-9)


def test_similarity_recovers_scale_rotation_translation(rng: np.random.Generator) -> None:
    src = rng.normal(0, 80, (20, 3))
    R = Rotation.random(rng=rng).as_matrix()
    dst = 3.7 * src @ R.T + [1, -2, 300]
    src[3] = np.nan  # rows without a partner are left out
    found = transform.align_similarity(src, dst)
    assert found.scale == pytest.approx(3.7)
    np.testing.assert_allclose(found.R, R, atol=1e-12)
    np.testing.assert_allclose(found.t, [1, -2, 300], atol=1e-9)
    assert found.rms_mm < 1e-9


def test_similarity_never_mirrors(rng: np.random.Generator) -> None:
    src = rng.normal(0, 1, (30, 3))
    found = transform.align_similarity(src, src * [1, 1, -1])
    assert np.linalg.det(found.R) == pytest.approx(1)


def test_similarity_moves_cameras_with_their_world(rng: np.random.Generator) -> None:
    cam_from_b = random_rigid(rng, 1)[0]
    a_from_b = transform.Similarity(
        scale=2.5, R=Rotation.random(rng=rng).as_matrix(), t=np.array([5.0, 6.0, 7.0])
    )
    points = rng.normal(0, 50, (4, 3))
    before = transform.apply(cam_from_b, points)
    after = transform.apply(a_from_b.of_camera(cam_from_b), a_from_b(points))
    np.testing.assert_allclose(after, 2.5 * before, atol=1e-9)


def test_similarity_says_why_it_cannot(rng: np.random.Generator) -> None:
    line = np.outer(np.arange(5.0), [1, 2, 3])
    with pytest.raises(EstimationError, match="one line"):
        transform.align_similarity(line, line)
    with pytest.raises(EstimationError, match="needs three"):
        transform.align_similarity(np.eye(3)[:2], np.eye(3)[:2])
    with pytest.raises(InputError, match="shape"):
        transform.align_similarity(np.eye(3), np.ones((4, 3)))
