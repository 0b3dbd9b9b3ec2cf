"""AprilGrids and checkerboards, photographed by a known camera with a lens that bends."""

import cv2
import numpy as np
import pytest

from facekit.calibration.target.detect import board_mismatch, detect_board
from facekit.capture.boards import parse_board
from facekit.capture.patterns import board_image, board_size, dictionary_of, marker_points
from facekit.capture.targets import n_face_corners, object_points
from facekit.capture.virtual.board import board_sheet, sheet_from_board, sheet_pose
from facekit.capture.virtual.lights import led_ring
from facekit.capture.virtual.plane import photograph_sheet
from facekit.capture.virtual.sensor import Optics
from facekit.core.errors import ConfigError
from facekit.core.geometry.camera import Camera
from facekit.core.geometry.transform import apply, look_at

GRID = parse_board("aprilgrid:6x4:30:0.3")
CHECKS = parse_board("checkerboard:14x9:16")


def camera(width, height):
    K = np.array([[2.47 * width, 0, width / 2 + 3], [0, 2.47 * width, height / 2 - 5], [0, 0, 1]])
    return Camera(
        name="c", width=width, height=height, K=K,
        distortion=np.array([0.08, -0.6, 2e-4, -2e-4, 0]),
        cam_from_world=look_at(np.array([10.0, 20, 1000]), np.zeros(3)),
    )  # fmt: skip


def photographed(spec, *, yaw, roll, width=1500, blur=0.8):
    """Return a photograph with noise, and the true place of each corner, px."""
    cam = camera(width, width * 2 // 3)
    pose = sheet_pose(
        board_size(spec), yaw_deg=yaw, pitch_deg=8, roll_deg=roll, center=np.array([5.0, -5, 0])
    )
    image = photograph_sheet(
        board_sheet(spec), sheet_from_board(pose), cam, led_ring(np.random.default_rng(3)),
        Optics(supersampling=3, blur_px=blur, exposure=0.85, shot_noise=0.01),
        rng=np.random.default_rng(1),
    )  # fmt: skip
    return image, cam.project(apply(pose, object_points(spec)))[0]


@pytest.mark.parametrize("text", ["", ":inverted"])
@pytest.mark.parametrize("form", ["aprilgrid:6x4:30:0.3", "checkerboard:14x9:16"])
@pytest.mark.parametrize(("yaw", "roll"), [(5, 4), (-30, 170), (45, 95), (-60, -10)])
def test_corners_are_exact(form, text, yaw, roll):
    spec = parse_board(form + text)
    image, truth = photographed(spec, yaw=yaw, roll=roll)
    ids, xy, _ = detect_board(image, spec)
    assert len(ids) > 0.9 * n_face_corners(spec)  # all that are in the picture
    miss = np.linalg.norm(xy - truth[ids], axis=1)
    # noise of 1.5 grey levels against an edge of 150 moves a corner by some 0.02 px
    assert np.sqrt((miss**2).mean()) < 0.035
    assert miss.max() < 0.12
    assert np.abs((xy - truth[ids]).mean(axis=0)).max() < 0.01


@pytest.mark.parametrize("spec", [GRID, CHECKS], ids=["aprilgrid", "checkerboard"])
def test_large_photographs_are_searched_reduced_and_refined_at_full_size(spec):
    image, truth = photographed(spec, yaw=35, roll=10, width=4500, blur=1.2)
    ids, xy, _ = detect_board(image, spec)
    assert len(ids) > 0.9 * n_face_corners(spec)
    assert np.sqrt(((xy - truth[ids]) ** 2).sum(axis=1).mean()) < 0.025


def drawn_by_opencv(spec, *, from_top):
    """Return a grid of tags as OpenCV draws them (one cell of border), joined or not."""
    px = 4.0
    image = board_image(spec, px_per_mm=px, margin_mm=20)
    side = round(spec.marker_mm * px)
    n = spec.squares_x * spec.squares_y
    for place, quad in enumerate(marker_points(spec)):
        row, column = divmod(place, spec.squares_x)
        number = (spec.squares_y - 1 - row) * spec.squares_x + column if from_top else place
        assert number < n
        x, y = np.rint((quad[0, :2] + 20) * px).astype(int)
        image[y : y + side, x : x + side] = dictionary_of(spec).generateImageMarker(number, side)
    image = cv2.GaussianBlur(image, (0, 0), 1.0)
    return image, (object_points(spec)[:, :2] + 20) * px


@pytest.mark.parametrize("from_top", [False, True])
def test_tags_may_be_turned_and_counted_from_the_top(from_top):
    image, truth = drawn_by_opencv(GRID, from_top=from_top)
    for turned in (False, True):
        seen = image[::-1, ::-1] if turned else image
        at = image.shape[1::-1] - truth if turned else truth
        ids, xy, _ = detect_board(np.ascontiguousarray(seen), GRID)
        assert len(ids) == len(truth)  # each named by its place in the print
        assert np.abs(xy - at[ids]).max() < 0.3


def test_a_single_row_of_tags_is_not_believed():
    image, truth = photographed(GRID, yaw=0, roll=0)
    alone = np.full_like(image, 60)
    bottom = truth.reshape(-1, 4, 2)[:6]
    low, high = bottom.min(axis=(0, 1)).astype(int) - 6, bottom.max(axis=(0, 1)).astype(int) + 6
    part = np.s_[low[1] : high[1], low[0] : high[0]]
    alone[part] = image[part]
    ids, _, n_markers = detect_board(alone, GRID)
    assert len(ids) == 0
    assert n_markers > 0


def test_a_checkerboard_upside_down_keeps_its_ids():
    image, truth = photographed(CHECKS, yaw=10, roll=0)
    ids, xy, _ = detect_board(image, CHECKS)
    turned_ids, turned, _ = detect_board(np.ascontiguousarray(image[::-1, ::-1]), CHECKS)
    np.testing.assert_array_equal(ids, turned_ids)
    assert np.abs(image.shape[1::-1] - turned - xy).max() < 0.05
    assert np.abs(xy - truth).max() < 0.1


def test_a_checkerboard_without_an_upside_is_refused():
    with pytest.raises(ConfigError, match=r"\(both numbers odd\) looks the same upside down"):
        parse_board("checkerboard:9x7:25")


def test_inner_corners_given_as_squares_are_told():
    image, _ = photographed(CHECKS, yaw=10, roll=0)
    wrong = parse_board("checkerboard:13x8:16")
    assert len(detect_board(image, wrong)[0]) == 0
    assert "it fits with 14 x 9 squares (squares count, not inner" in board_mismatch(image, wrong)


def test_an_aprilgrid_with_exchanged_sizes_is_told():
    image, _ = photographed(GRID, yaw=10, roll=0)
    said = board_mismatch(image, parse_board("aprilgrid:4x6:30:0.3"))
    assert "it fits with 6 x 4 tags (sizes exchanged)" in said


@pytest.mark.parametrize("spec", [GRID, CHECKS], ids=["aprilgrid", "checkerboard"])
def test_nothing_is_said_of_an_empty_photograph(spec):
    assert board_mismatch(np.full((300, 400), 128, np.uint8), spec) == ""
