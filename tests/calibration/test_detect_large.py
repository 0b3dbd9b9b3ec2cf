"""Large photographs: searched at reduced size, refined at full resolution, nothing lost."""

import time

import cv2
import numpy as np
import pytest

from facekit.calibration.target import detect
from facekit.calibration.target.detect import detect_board
from facekit.capture.targets import object_points
from facekit.capture.virtual.board import (
    BOARD,
    board_sheet,
    board_size,
    sheet_from_board,
    sheet_pose,
)
from facekit.capture.virtual.lights import led_ring
from facekit.capture.virtual.plane import photograph_sheet
from facekit.capture.virtual.sensor import Optics
from facekit.core.geometry.camera import Camera
from facekit.core.geometry.transform import apply, look_at


def photographed(width, *, yaw, roll, blur):
    """Return a photograph through an 85 mm lens at 1 m, JPEG 95, and the corners' true places."""
    height, f = round(width * 5464 / 8192), 20200 * width / 8192
    camera = Camera(
        name="c", width=width, height=height,
        K=np.array([[f, 0, width / 2 + 20], [0, f, height / 2 - 15], [0, 0, 1]]),
        distortion=np.array([0.08, -0.6, 2e-4, -2e-4, 0]),
        cam_from_world=look_at(np.array([15.0, -10, 1000]), np.zeros(3)),
    )  # fmt: skip
    pose = sheet_pose(board_size(BOARD), yaw_deg=yaw, roll_deg=roll, center=np.array([10.0, -8, 5]))
    image = photograph_sheet(
        board_sheet(BOARD), sheet_from_board(pose), camera, led_ring(np.random.default_rng(3)),
        Optics(supersampling=3, blur_px=blur, exposure=0.85, shot_noise=0.011),
        rng=np.random.default_rng(1),
    )  # fmt: skip
    stream = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
    image = cv2.imdecode(stream, cv2.IMREAD_GRAYSCALE)
    return image, camera.project(apply(pose, object_points(BOARD)))[0]


@pytest.fixture(scope="module")
def oblique():
    return photographed(4500, yaw=64.0, roll=8.0, blur=1.2)


def test_all_corners_of_an_oblique_board_are_found(oblique):
    image, truth = oblique
    ids, xy, n_markers = detect_board(image, BOARD)
    np.testing.assert_array_equal(ids, np.arange(len(truth)))
    assert n_markers > 60
    miss = np.linalg.norm(xy - truth, axis=1)
    # at 60 to 66 degrees of incidence; OpenCV's own corners at full resolution: 0.085 px rms
    assert np.sqrt((miss**2).mean()) < 0.05
    assert miss.max() < 0.25
    # no window is drawn to a marker on one side: their places in the squares alternate
    assert np.abs((xy - truth).mean(axis=0)).max() < 0.01


def test_no_corner_is_put_where_a_hand_covers_the_board(oblique):
    image, truth = oblique
    covered = image.copy()
    middle = tuple(int(v) for v in truth[88])
    rng = np.random.default_rng(0)
    hand = np.zeros_like(image)
    cv2.ellipse(hand, middle, (190, 400), 10, 0, 360, 255, -1)
    texture = cv2.GaussianBlur(rng.normal(0, 60, image.shape).astype(np.float32), (0, 0), 4)
    covered[hand > 0] = np.clip(120 + 3 * texture, 0, 255).astype(np.uint8)[hand > 0]
    ids, xy, _ = detect_board(covered, BOARD)
    under = hand[tuple(np.rint(truth - 0.5).astype(int).T[::-1])] > 0
    assert under.sum() > 15
    assert not np.isin(ids, np.flatnonzero(under)).any()
    free = cv2.dilate(hand, np.ones((61, 61), np.uint8))
    clear = free[tuple(np.rint(truth - 0.5).astype(int).T[::-1])] == 0
    assert np.isin(np.flatnonzero(clear), ids).all()
    near = np.linalg.norm(xy - truth[ids], axis=1)
    assert near.max() < 0.6  # some windows reach under the hand


@pytest.mark.slow
@pytest.mark.parametrize(
    ("yaw", "roll", "blur", "rms"),
    [(10, 5, 1.8, 0.023), (45, 90, 1.5, 0.023), (57, -8, 1.8, 0.035), (64, 6, 1.5, 0.07)],
)
def test_45_megapixels(yaw, roll, blur, rms):
    image, truth = photographed(8192, yaw=yaw, roll=roll, blur=blur)
    start = time.process_time()
    ids, xy, _ = detect_board(image, BOARD)
    # 0.18 s where nothing else runs; OpenCV alone at full resolution takes 0.36 s
    assert time.process_time() - start < 0.30
    assert len(ids) == len(truth)
    assert np.sqrt(((xy - truth) ** 2).sum(axis=1).mean()) < rms


def test_a_board_seen_from_the_side_is_not_blamed_on_its_layout(monkeypatch):
    image, _ = photographed(3000, yaw=74.0, roll=10.0, blur=0.8)
    monkeypatch.setattr(
        detect, "detect_board", lambda *_: (np.zeros(0, np.int32), np.zeros((0, 2)), 99)
    )
    assert "too much from the side" in detect.board_mismatch(image, BOARD)
