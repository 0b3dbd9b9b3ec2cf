"""The world frame: up is up whichever way cameras are held, the rig looks along -z."""

from dataclasses import replace

import numpy as np
import pytest

from facekit.calibration.frame import nearest_to_axes, upright
from facekit.core.geometry.camera import Camera
from facekit.core.geometry.transform import Similarity, look_at


def camera(center, target=(0.0, 0.0, 0.0), *, up=(0.0, 1.0, 0.0), name="c"):
    pose = look_at(np.array(center, float), np.array(target, float), up=np.array(up))
    K = np.array([[1000.0, 0, 320], [0, 1000, 240], [0, 0, 1]])
    return Camera(name=name, width=640, height=480, K=K, cam_from_world=pose)


def turned(rng):
    R = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return Similarity(scale=1.0, R=R * np.sign(np.linalg.det(R)), t=rng.normal(0, 300, 3))


@pytest.fixture
def arc():
    angles = np.radians([-60, -20, 20, 60])
    return [
        camera((900 * np.sin(a), 50, 900 * np.cos(a)), name=f"c{i}") for i, a in enumerate(angles)
    ]


def test_returns_the_frame_whatever_the_frame_was(arc, rng):
    for _ in range(5):
        away = turned(rng)
        moved = [c.moved(away) for c in arc]
        back = upright(moved)
        for before, now in zip(arc, moved, strict=True):
            np.testing.assert_allclose(
                now.moved(back).cam_from_world[:, :3], before.cam_from_world[:, :3], atol=0.06
            )
            # a common tilt of the cameras by 50 / 900 remains: they look down a little
        centers = np.array([c.moved(back).center for c in moved])
        assert (centers[:, 2] > 0).all()  # on the side that the face looks to
        assert (np.diff(centers[:, 0]) > 0).all()
        np.testing.assert_allclose(nearest_to_axes([c.moved(back) for c in moved]), 0, atol=1e-6)


@pytest.mark.parametrize(("orientation", "quarter_turns"), [(1, 0), (6, 1), (3, 2), (8, 3)])
def test_cameras_on_their_side_are_told_by_exif(orientation, quarter_turns):
    level, other = camera((0, 0, 900), name="a"), camera((400, 0, 800), name="b")
    # held so that its picture, shown as EXIF says, is upright: the sensor is turned about the
    # axis the other way round
    angle = np.pi / 2 * quarter_turns
    c, s = np.cos(angle), np.sin(angle)
    roll = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    held = replace(other, cam_from_world=roll @ other.cam_from_world)
    fit = upright([level, held], orientation={"a": 1, "b": orientation})
    np.testing.assert_allclose(fit.R[1], [0, 1, 0], atol=1e-9)


def test_all_round_the_subject_the_first_camera_is_the_front():
    ring = [camera((900 * np.sin(a), 0, 900 * np.cos(a))) for a in np.arange(8) * np.pi / 4]
    fit = upright(ring)
    np.testing.assert_allclose(fit(ring[0].center), [0, 0, 900], atol=1e-6)


def test_parallel_axes_give_a_finite_origin():
    pair = [camera((x, 0, 900), (x, 0, 0)) for x in (-50.0, 50.0)]
    assert np.isfinite(nearest_to_axes(pair)).all()
    assert np.isfinite(upright(pair).t).all()


def test_origin_can_be_given(arc):
    fit = upright(arc, origin=np.array([10.0, 20.0, 30.0]))
    np.testing.assert_allclose(fit(np.array([10.0, 20.0, 30.0])), 0, atol=1e-9)
