"""Defocus of sheets: blur as the thin lens wants it, and a quick look-up that loses nothing."""

from dataclasses import replace

import numpy as np
import pytest

from facekit.capture.targets import object_points
from facekit.capture.virtual.board import BOARD, board_sheet, sheet_from_board, sheet_pose
from facekit.capture.virtual.defocus import blur_by_depth, inverse_depth
from facekit.capture.virtual.lights import Lights
from facekit.capture.virtual.plane import Sheet, photograph_sheet
from facekit.capture.virtual.sensor import Optics
from facekit.core.geometry.camera import Camera
from facekit.core.geometry.transform import apply, look_at

FOCAL = 4500.0
SHARP = Optics(supersampling=2, blur_px=0.0, read_noise=0.0, shot_noise=0.0)


@pytest.fixture
def camera() -> Camera:
    return Camera(
        name="cam",
        width=1400,
        height=1000,
        K=np.array([[FOCAL, 0, 703.0], [0, FOCAL, 498.0], [0, 0, 1]]),
        distortion=np.array([0.08, -0.6, 2e-4, -2e-4, 0.0]),
        cam_from_world=look_at(np.array([0.0, 0.0, 1000.0]), np.zeros(3)),
    )


def oblique(yaw_deg: float) -> np.ndarray:
    size = (BOARD.squares_x * BOARD.square_mm, BOARD.squares_y * BOARD.square_mm)
    return sheet_pose(size, yaw_deg=yaw_deg, pitch_deg=10.0, center=np.array([4.0, -3.0, 20.0]))


def test_inverse_depth_is_that_of_the_plane(camera: Camera) -> None:
    pinhole = camera.undistorted()
    pose = oblique(50)
    xy, depth = pinhole.project(apply(pose, object_points(BOARD)))
    a, b, c = inverse_depth(pose, pinhole)
    assert np.allclose(1 / (a * xy[:, 0] + b * xy[:, 1] + c), depth, rtol=1e-9)


@pytest.mark.parametrize("depth", [930.0, 1000.0, 1080.0])
def test_a_point_spreads_as_the_thin_lens_says(camera: Camera, depth: float) -> None:
    light = np.zeros((camera.height, camera.width, 1), np.float32)
    light[500, 700] = 1.0
    pose = np.array([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 1000 - depth]])
    radius, focus = 2.66 * 4, 1000.0  # as wide as gives several px at this focal length
    blurred = blur_by_depth(
        light, pose, camera, radius_mm=radius, focus_mm=focus, blur_px=0.9, most_px=20.0
    )[..., 0].astype(np.float64)
    assert blurred.sum() == pytest.approx(1.0, rel=1e-4)
    y, x = np.mgrid[: camera.height, : camera.width]
    variance = (blurred * (x - 700) ** 2).sum()
    disc = 2 * radius * FOCAL * abs(1 / focus - 1 / depth)  # diameter, px
    # OpenCV's sampled kernels are wide by some per cent where narrow
    assert variance == pytest.approx(0.9**2 + (disc / 4) ** 2, rel=0.03)
    assert (blurred * (y - 500)).sum() == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("yaw", [0.0, 45.0, 68.0])
def test_the_quick_way_shows_the_same_sheet(camera: Camera, lights: Lights, yaw: float) -> None:
    along = 0.5 + 0.4 * np.sin(2 * np.pi * np.arange(1792) / 36)  # waves of 20 px
    sheet = Sheet(art=np.tile(along.astype(np.float32)[None, :, None], (1312, 1, 1)), px_per_mm=8.0)
    pose = sheet_from_board(oblique(yaw))
    exact = photograph_sheet(sheet, pose, camera, lights, SHARP, rng=np.random.default_rng(1))
    pinhole = replace(SHARP, lens_radius_mm=1e-9)
    quick = photograph_sheet(sheet, pose, camera, lights, pinhole, rng=np.random.default_rng(1))
    off = np.abs(exact.astype(int) - quick)
    # a pixel is some twenty levels of 255: where one in fifty is rounded otherwise, the places
    # differ by a thousandth of a pixel
    assert (off > 0).mean() < 0.02
    # but for the sheet's outline, on one side of which a sample is or is not
    assert (off > 1).sum() < 20


def test_out_of_focus_parts_are_softer(camera: Camera, lights: Lights) -> None:
    optics = replace(SHARP, blur_px=0.6, lens_radius_mm=10.0)
    image = photograph_sheet(
        board_sheet(BOARD), sheet_from_board(oblique(55)), camera, lights, optics,
        rng=np.random.default_rng(1), focus_mm=980.0,
    ).astype(np.float64)  # fmt: skip
    steepest = np.abs(np.diff(image, axis=1))
    columns = np.flatnonzero((image > 120).any(axis=0))
    near_focus = steepest[:, (columns[0] + columns[-1]) // 2 - 40 :][:, :80]
    at_end = steepest[:, columns[0] + 40 : columns[0] + 120]
    assert np.percentile(near_focus, 99.9) > 1.5 * np.percentile(at_end, 99.9)


def test_a_sheet_seen_edge_on_costs_no_more(camera: Camera, lights: Lights) -> None:
    """Its plane passes by the camera: nowhere but on the sheet is there anything to blur."""
    size = (BOARD.squares_x * BOARD.square_mm, BOARD.squares_y * BOARD.square_mm)
    pose = sheet_pose(size, yaw_deg=89.9, center=np.array([0.0, 0.0, 0.0]))
    optics = replace(SHARP, blur_px=0.6, lens_radius_mm=10.0)
    image = photograph_sheet(
        board_sheet(BOARD), sheet_from_board(pose), camera, lights, optics,
        rng=np.random.default_rng(1), focus_mm=1000.0,
    )  # fmt: skip
    assert image.shape == (camera.height, camera.width)
    assert (image != image[0, 0]).any(axis=0).sum() < 40  # columns that show some of it
