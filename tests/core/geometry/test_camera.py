"""Camera conventions: pixel centres at (0.5, 0.5), OpenCV axes, Brown distortion."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from facekit.core.geometry.camera import Camera, Rig, distort, undistort
from facekit.core.geometry.transform import Similarity, look_at

K = np.array([[2000.0, 0, 515.0], [0, 2010.0, 390.0], [0, 0, 1]])
BROWN = np.array([0.08, -0.6, 2e-4, -1e-4, 0.3])


@pytest.fixture
def camera() -> Camera:
    pose = look_at(np.array([200.0, 40.0, 1000.0]), np.array([0.0, 5.0, 60.0]))
    return Camera(name="c", width=1024, height=768, K=K, distortion=BROWN, cam_from_world=pose)


@pytest.fixture
def points(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-120, 120, (50, 3))


def test_projection_is_opencv_s_plus_half_a_pixel(camera: Camera, points: np.ndarray) -> None:
    """OpenCV counts from the centre of the top-left pixel, we from its corner."""
    K_cv = camera.K.copy()
    K_cv[:2, 2] -= 0.5
    rvec, _ = cv2.Rodrigues(camera.cam_from_world[:, :3])
    theirs, _ = cv2.projectPoints(points, rvec, camera.cam_from_world[:, 3], K_cv, BROWN)
    ours, _ = camera.project(points)
    np.testing.assert_allclose(ours, theirs.reshape(-1, 2) + 0.5, atol=1e-6)


def test_unprojected_ray_meets_the_point_at_its_depth(camera: Camera, points: np.ndarray) -> None:
    xy, depth = camera.project(points)
    again = camera.center + depth[:, None] * camera.unproject(xy)
    np.testing.assert_allclose(again, points, atol=1e-7)


def test_points_behind_the_camera_have_no_pixel(camera: Camera) -> None:
    xy, depth = camera.project(camera.center[None] - 10 * camera.view_direction)
    assert np.isnan(xy).all()
    assert depth[0] < 0


def test_resizing_an_image_is_scaling_its_projections(camera: Camera, points: np.ndarray) -> None:
    xy, _ = camera.project(points)
    half, _ = camera.scaled(512, 384).project(points)
    np.testing.assert_allclose(half, xy / 2, atol=1e-9)


def test_cropping_an_image_shifts_its_projections(camera: Camera, points: np.ndarray) -> None:
    xy, _ = camera.project(points)
    cropped, _ = camera.cropped(100, 60, width=300, height=200).project(points)
    np.testing.assert_allclose(cropped, xy - [100, 60], atol=1e-9)


def test_undistort_inverts_distort_over_a_wide_lens() -> None:
    grid = np.stack(np.meshgrid(np.linspace(-0.6, 0.6, 21), np.linspace(-0.4, 0.4, 15)), -1)
    wide = np.array([-0.28, 0.09, 1e-3, -5e-4, -0.01])
    np.testing.assert_allclose(undistort(distort(grid, wide), wide), grid, atol=1e-12)


def test_undistort_gives_no_wrong_root_beyond_the_turning_point() -> None:
    barrel = np.array([-0.4, 0, 0, 0, 0])  # largest distorted radius: 2/3 sqrt(1/1.2) = 0.609
    assert np.isnan(undistort(np.array([[0.7, 0.0]]), barrel)).all()


def test_a_scaled_world_gives_the_same_pixels(camera: Camera, points: np.ndarray) -> None:
    world = Similarity(scale=0.01, R=np.eye(3)[[1, 2, 0]], t=np.array([1.0, 2.0, 3.0]))
    xy, _ = camera.project(points)
    moved, _ = camera.moved(world).project(world(points))
    np.testing.assert_allclose(moved, xy, atol=1e-8)
    np.testing.assert_allclose(camera.moved(world).center, world(camera.center), atol=1e-9)


def test_rig_is_addressed_by_camera_name(camera: Camera) -> None:
    rig = Rig(cameras=(camera,))
    assert rig["c"] is camera
    assert rig.names == ("c",)
    with pytest.raises(KeyError):
        rig["d"]


def test_a_camera_takes_the_place_of_the_one_of_its_name(camera: Camera) -> None:
    rig = Rig(cameras=tuple(replace(camera, name=name) for name in "abc"), metric=False)
    wide = replace(camera, name="b", width=2048)
    changed = rig.with_camera(wide)
    assert changed.names == rig.names and not changed.metric
    assert changed.cameras == (rig["a"], wide, rig["c"])
