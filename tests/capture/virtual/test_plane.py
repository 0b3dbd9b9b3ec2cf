"""Photographs of sheets: the board's corners fall where the true camera projects them."""

import numpy as np
import pytest

from facekit.calibration.target.detect import detect_board
from facekit.capture.chart import CHART_SRGB
from facekit.capture.targets import object_points
from facekit.capture.virtual.board import (
    BOARD,
    board_poses,
    board_sheet,
    chart_sheet,
    sheet_from_board,
    sheet_pose,
)
from facekit.capture.virtual.layouts import draw_rig, load_layout
from facekit.capture.virtual.lights import Lights
from facekit.capture.virtual.plane import photograph_sheet
from facekit.capture.virtual.sensor import BACKDROP, Optics
from facekit.core.geometry.camera import Rig
from facekit.core.geometry.transform import apply
from facekit.core.imaging.color import linear_from_srgb, srgb_from_linear

OPTICS = Optics(supersampling=3, blur_px=0.7, exposure=0.85)
TARGET = np.array([0.0, -5.0, 25.0])


@pytest.fixture(scope="module")
def sharp_rig() -> Rig:
    return draw_rig(load_layout("nine"), megapixels=3.0, rng=np.random.default_rng(7))


@pytest.fixture(scope="module")
def poses(sharp_rig: Rig) -> list[np.ndarray]:
    return board_poses(BOARD, sharp_rig, 20, target=TARGET, rng=np.random.default_rng(8))


def test_corners_are_exact(sharp_rig: Rig, poses: list[np.ndarray], lights: Lights) -> None:
    sheet = board_sheet(BOARD)
    misses = []
    for pose, name in ((poses[0], "cam00"), (poses[9], "cam04"), (poses[12], "cam06")):
        camera = sharp_rig[name]
        image = photograph_sheet(
            sheet, sheet_from_board(pose), camera, lights, OPTICS, rng=np.random.default_rng(1)
        )
        ids, xy, _ = detect_board(image, BOARD)
        assert len(ids) > 100
        expected, _ = camera.project(apply(pose, object_points(BOARD)[ids]))
        misses.append(xy - expected)
    miss = np.concatenate(misses)
    # noise of 0.03 px over some 450 corners leaves 0.002 px in the mean
    assert np.abs(miss.mean(axis=0)).max() < 0.01
    assert np.sqrt((miss**2).sum(axis=1).mean()) < 0.06


def test_every_camera_sees_the_board_often_and_the_rig_is_chained(
    sharp_rig: Rig, poses: list[np.ndarray]
) -> None:
    corners = object_points(BOARD)
    sees = np.zeros((len(poses), len(sharp_rig)), bool)
    for i, pose in enumerate(poses):
        middle = apply(pose, corners).mean(axis=0)
        for j, camera in enumerate(sharp_rig):
            xy, _ = camera.project(apply(pose, corners))
            inside = ((xy > 0) & (xy < [camera.width, camera.height])).all(axis=1).mean()
            to_camera = (camera.center - middle) / np.linalg.norm(camera.center - middle)
            sees[i, j] = inside > 0.5 and -pose[:, 2] @ to_camera > 0.5  # under 60 degrees
    assert sees.sum(axis=0).min() >= 4
    together = sees.T.astype(int) @ sees
    assert all(together[j, j + 1] >= 3 for j in range(len(sharp_rig) - 1))


def test_from_behind_one_sees_a_bare_plate(rig: Rig, lights: Lights) -> None:
    sheet = board_sheet(BOARD)
    pose = sheet_pose(sheet.size_mm, yaw_deg=180.0, center=TARGET)
    quiet = Optics(read_noise=0.0, shot_noise=0.0, blur_px=0.0)
    image = photograph_sheet(sheet, pose, rig["cam04"], lights, quiet, rng=np.random.default_rng(1))
    middle = image[image.shape[0] // 2 - 20 : image.shape[0] // 2, 100:160]
    assert np.ptp(middle.astype(int)) == 0
    assert middle[0, 0] != round(255 * float(srgb_from_linear(np.array(BACKDROP))))


def test_a_sheet_out_of_sight_leaves_the_backdrop(rig: Rig, lights: Lights) -> None:
    sheet = board_sheet(BOARD)
    far = sheet_pose(sheet.size_mm, yaw_deg=0.0, center=TARGET + [2000.0, 0, 0])
    quiet = Optics(read_noise=0.0, shot_noise=0.0)
    image = photograph_sheet(sheet, far, rig["cam04"], lights, quiet, rng=np.random.default_rng(1))
    assert np.ptp(image.astype(int)) == 0


def test_the_colour_chart_shows_its_colours(rig: Rig, lights: Lights) -> None:
    sheet = chart_sheet()
    pose = sheet_pose(sheet.size_mm, yaw_deg=0.0, center=TARGET)
    camera = rig["cam04"]
    quiet = Optics(read_noise=0.0, shot_noise=0.0, blur_px=0.0)
    image = photograph_sheet(sheet, pose, camera, lights, quiet, rng=np.random.default_rng(1))
    patch_mm, gap_mm = 26.0, 4.0
    for i, color in enumerate(CHART_SRGB):
        at = [gap_mm + (i % 6) * (patch_mm + gap_mm) + patch_mm / 2,
              gap_mm + (i // 6) * (patch_mm + gap_mm) + patch_mm / 2, 0.0]  # fmt: skip
        x, y = camera.project(apply(pose, np.array([at])))[0][0]
        seen = linear_from_srgb(image[int(y), int(x)])
        # the light on a sheet that faces +z is one; eight bits step by up to 0.009
        assert np.abs(seen - linear_from_srgb(color)).max() < 0.02
