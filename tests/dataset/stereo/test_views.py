"""What stereo takes from photographs and cameras."""

from dataclasses import replace

import numpy as np
import pytest

from facekit.core.errors import InputError
from facekit.core.geometry.camera import Camera
from facekit.core.geometry.transform import look_at
from facekit.dataset.stereo.views import (
    converging,
    depth_range,
    focus_point,
    make_view,
    neighbours,
)


def test_the_mask_of_a_plain_backdrop_is_the_subject(ball):
    view = ball.views()[2]
    on_ball = np.isfinite(ball.depth(view.camera))
    # up to 2 px beyond an outline of 380 px, in 23,000 pixels
    assert (view.mask == on_ball).mean() > 0.96
    assert view.mask[on_ball].mean() > 0.99


def test_halved_view_keeps_where_a_point_is_seen(ball):
    view = ball.views()[0]
    half = view.halved(1)
    xy, _ = view.camera.project(np.array([0.1, 0.05, 0.3]))
    there, _ = half.camera.project(np.array([0.1, 0.05, 0.3]))
    np.testing.assert_allclose(there, xy / 2, atol=1e-9)
    assert half.grey.shape == (80, 72)
    assert half.mask.dtype == bool


def test_distortion_is_taken_out(ball):
    """An ideal image and its distorted twin become the same view."""
    camera = replace(ball.rig["cam2"], distortion=np.array([-0.1, 0.02, 0.001, -0.001, 0.0]))
    ideal = ball.rig["cam2"]
    directions = camera.unproject(camera.pixel_centers())
    xy, _ = ideal.project(ideal.center + directions)
    image = ball.images["cam2"]
    cell = np.clip(np.rint(xy - 0.5).astype(int), 0, [143, 159])
    distorted = image[cell[..., 1], cell[..., 0]]
    view = make_view(camera, distorted, None, megapixels=1.0, where="x")
    expected = make_view(ideal, image, None, megapixels=1.0, where="x")
    middle = (slice(30, 130), slice(30, 114))
    assert not view.camera.is_distorted
    assert np.median(np.abs(view.grey[middle] - expected.grey[middle])) < 0.05


def test_another_shape_than_calibrated_is_refused(ball):
    with pytest.raises(InputError, match=r"photo\.png: 160x144, but cam0 was .* 144x160"):
        make_view(
            ball.rig["cam0"], np.zeros((144, 160, 3), np.uint8), None,
            megapixels=1.0, where="photo.png",
        )  # fmt: skip


def test_mask_of_another_shape_is_refused(ball):
    with pytest.raises(InputError, match="its mask is 100x100"):
        make_view(
            ball.rig["cam0"], ball.images["cam0"], np.zeros((100, 100), np.uint8),
            megapixels=1.0, where="photo.png",
        )  # fmt: skip


def test_axes_meet_at_the_subject(ball):
    np.testing.assert_allclose(focus_point(list(ball.rig)), np.zeros(3), atol=0.02)


def test_search_range_holds_the_subject(ball):
    subject = focus_point(list(ball.rig))
    for camera in ball.rig:
        near, far = depth_range(camera, subject)
        true = ball.depth(camera)
        assert near < np.nanmin(true)
        assert far > np.nanmax(true)


def test_parallel_cameras_look_at_something_before_them():
    K = np.array([[500.0, 0, 100], [0, 500.0, 100], [0, 0, 1]])
    cameras = [
        Camera(
            name=str(i), width=200, height=200, K=K,
            cam_from_world=look_at(np.array([x, 0, 5.0]), np.array([x, 0, 0.0])),
        )
        for i, x in enumerate((0.0, 1.0))
    ]  # fmt: skip
    assert not converging(cameras)
    subject = focus_point(cameras)
    near, far = depth_range(cameras[0], subject, known=False)
    assert near < 1.0  # one baseline away
    assert far > 10.0
    assert [list(n) for n in neighbours(cameras, subject, most=3)] == [[1], [0]]


def test_partners_stand_ten_to_thirty_degrees_aside(ball):
    chosen = neighbours(list(ball.rig), np.zeros(3), most=2)
    assert sorted(chosen[2]) == [1, 3]
    assert chosen[0][0] == 1


def test_partners_of_a_dense_dome_surround_a_camera():
    """Of a hundred cameras 6 degrees apart, the four partners stand on several sides."""
    places = np.radians(6.0) * np.stack(np.meshgrid(np.arange(10.0), np.arange(10.0)), -1)
    cameras = []
    for yaw, pitch in (places - np.radians(27.0)).reshape(-1, 2):
        away = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        cameras.append(
            Camera(
                name="c", width=100, height=100,
                K=np.array([[90.0, 0, 50], [0, 90, 50], [0, 0, 1]]),
                cam_from_world=look_at(1000 * away, np.zeros(3)),
            )
        )  # fmt: skip
    rays = np.array([c.center / 1000 for c in cameras])
    for i, partners in enumerate(neighbours(cameras, np.zeros(3), most=4)):
        assert len(set(partners)) == 4
        apart = np.degrees(np.arccos(np.clip(rays[partners] @ rays[partners].T, -1, 1)))
        assert apart[np.triu_indices(4, 1)].min() > 8
        aside = np.degrees(np.arccos(rays[partners] @ rays[i]))
        assert (aside > 10).all()
        assert (aside < 30).all()
