"""The studio's two-sided board: cameras see whichever face is turned to them."""

from pathlib import Path

import numpy as np
import pytest

from facekit.calibration.target.detect import detect_board
from facekit.capture.session import Session, load_session
from facekit.capture.targets import board_from_face, board_size, faces, object_points
from facekit.capture.virtual.board import (
    BOARD,
    TWO_SIDED_BOARD,
    board_poses,
    mounted_back,
    seen_face,
)
from facekit.capture.virtual.layouts import draw_rig, load_layout
from facekit.capture.virtual.studio import StudioConfig, make_session
from facekit.capture.virtual.truth import Truth, load_truth
from facekit.core.geometry.transform import apply, compose

TARGET = np.array([0.0, -5.0, 25.0])
N_CORNERS = 176


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Truth]:
    folder = tmp_path_factory.mktemp("two") / "session"
    layout = folder.parent / "opposite.yaml"
    layout.write_text(
        "cameras:\n- {yaw_deg: -80}\n- {yaw_deg: 80}\nsensor_width_mm: 36\nsensor_height_mm: 24\n"
    )
    config = StudioConfig(
        layout=str(layout), megapixels=0.02, board_megapixels=3.0, n_board_poses=2,
        two_sided_board=True, truth_maps=False,
    )  # fmt: skip
    make_session(config, folder)
    return load_session(folder), load_truth(folder)


def test_opposite_cameras_see_the_two_faces(made: tuple[Session, Truth]) -> None:
    session, truth = made
    assert session.board == TWO_SIDED_BOARD
    assert truth.board_from_back is not None
    corners = object_points(BOARD)
    seen = set()
    for take in session.takes[1:]:
        for shot in take.shots:
            image = session.read(shot)
            ids, xy, _ = detect_board(image, TWO_SIDED_BOARD)
            assert len(ids) > 100
            face = int(ids[0] >= N_CORNERS)
            seen.add((shot.camera, face))
            pose = truth.world_from_board[take.id]
            pose = compose(pose, truth.board_from_back) if face else pose
            camera = truth.rig[shot.camera].scaled(image.shape[1], image.shape[0])
            expected, _ = camera.project(apply(pose, corners[ids % N_CORNERS]))
            assert np.sqrt(((xy - expected) ** 2).sum(axis=1).mean()) < 0.06
    assert seen == {(camera, face) for camera in ("cam00", "cam01") for face in (0, 1)}


def test_the_back_is_mounted_a_little_off() -> None:
    middle = np.array([[*np.divide(board_size(BOARD), 2), 0.0]])
    nominal, real = board_from_face(TWO_SIDED_BOARD, 1), mounted_back(TWO_SIDED_BOARD)
    off = apply(real, middle) - apply(nominal, middle)
    np.testing.assert_allclose(off, [[-0.6, 0.4, -0.1]], atol=1e-12)  # seen from the front
    turn = nominal[:, :3].T @ real[:, :3]
    assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) == pytest.approx(0.15)


def test_poses_turn_beyond_the_ends_of_the_rig() -> None:
    rig = draw_rig(load_layout("arc30"), megapixels=0.1, rng=np.random.default_rng(2))
    poses = board_poses(TWO_SIDED_BOARD, rig, 20, target=TARGET, rng=np.random.default_rng(3))
    facing = -np.array([pose[:, 2] for pose in poses])
    yaw = np.degrees(np.arctan2(facing[:, 0], facing[:, 2]))
    assert yaw.min() < -90 and yaw.max() > 90
    shown = np.array([[seen_face(pose, camera) for camera in rig] for pose in poses])
    assert (shown.mean(axis=1) > 0).any() and 0.1 < shown.mean() < 0.5
    assert len(faces(TWO_SIDED_BOARD)) == 2


def test_sessions_of_one_face_are_made_as_ever(tmp_path: Path) -> None:
    config = StudioConfig(
        layout="pair", megapixels=0.02, board_megapixels=0.02, n_board_poses=1, truth_maps=False
    )
    session = make_session(config, tmp_path / "s")
    assert session.board == BOARD
    assert "two_sided" not in (tmp_path / "s" / "stage.json").read_text()
    assert "board_from_back" not in (tmp_path / "s" / "truth" / "truth.json").read_text()
