"""Detectors of other packages: their pixels and points as facekit has them; stand-ins for both.

The packages are optional and large; what is tested is what is made of their answers.
"""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from facekit.core.errors import InputError, MissingDependencyError, ModelFileError
from facekit.core.facemodel.landmark_packages import FaceAlignmentDetector, MediapipeDetector
from facekit.core.facemodel.landmark_schemes import Scheme

IMAGE = np.zeros((200, 400, 3), np.uint8)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    monkeypatch.setitem(sys.modules, "face_alignment", None)


@pytest.mark.usefixtures("absent")
def test_absent_packages_are_named_with_their_extra(tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match=r"mediapipe .* 'facekit\[landmarks\]'"):
        MediapipeDetector(tmp_path / "face_landmarker.task")
    with pytest.raises(MissingDependencyError, match=r"face_alignment .* 'facekit\[landmarks\]'"):
        FaceAlignmentDetector()


def fake_mediapipe(faces: list[Any], failure: str | None = None) -> SimpleNamespace:
    def create(options: Any) -> Any:
        if failure:
            raise RuntimeError(failure)
        return SimpleNamespace(detect=lambda picture: SimpleNamespace(face_landmarks=faces))

    return SimpleNamespace(
        Image=SimpleNamespace,
        ImageFormat=SimpleNamespace(SRGB=1),
        tasks=SimpleNamespace(
            BaseOptions=SimpleNamespace,
            vision=SimpleNamespace(
                FaceLandmarkerOptions=SimpleNamespace,
                FaceLandmarker=SimpleNamespace(create_from_options=create),
            ),
        ),
    )


def test_mediapipe_counts_in_fractions_of_the_image(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rng: np.random.Generator
) -> None:
    places = rng.uniform(0.4, 0.5, (478, 2)), rng.uniform(0.2, 0.9, (478, 2))
    faces = [[SimpleNamespace(x=x, y=y) for x, y in place] for place in places]
    monkeypatch.setitem(sys.modules, "mediapipe", fake_mediapipe(faces))
    model = tmp_path / "face_landmarker.task"
    with pytest.raises(ModelFileError, match="no such file"):
        MediapipeDetector(model)
    model.write_bytes(b"x")
    large, small = MediapipeDetector(model).detect(IMAGE)
    assert large.scheme is Scheme.MEDIAPIPE468 and large.points.shape == (468, 2)
    np.testing.assert_allclose(large.points, places[1][:468] * (400, 200))
    assert small.size_px < large.size_px


def test_a_model_that_mediapipe_refuses_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", fake_mediapipe([], "bad archive\nmore"))
    model = tmp_path / "face_landmarker.task"
    model.write_bytes(b"x")
    with pytest.raises(ModelFileError, match=r"\(bad archive\); fetch"):
        MediapipeDetector(model)


@pytest.mark.parametrize("names", [("TWO_D", "THREE_D"), ("_2D", "_3D")])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_face_alignment_of_old_and_new_versions(
    monkeypatch: pytest.MonkeyPatch,
    rng: np.random.Generator,
    names: tuple[str, str],
    dimensions: int,
) -> None:
    points, scores = rng.uniform(50, 150, (68, dimensions)), rng.uniform(0, 1.2, 68)
    made: list[Any] = []

    class Alignment:
        def __init__(self, kind: str, **options: Any) -> None:
            made.append(kind)

        def get_landmarks_from_image(self, image: Any, **options: Any) -> Any:
            return [points], [scores], [np.array([50, 50, 150, 150, 0.97])]

    package = SimpleNamespace(
        LandmarksType=SimpleNamespace(**{name: name for name in names}), FaceAlignment=Alignment
    )
    monkeypatch.setitem(sys.modules, "face_alignment", package)
    (face,) = FaceAlignmentDetector(dimensions=dimensions).detect(IMAGE)
    assert made == [names[dimensions - 2]]
    assert face.scheme is Scheme.IBUG68 and face.slides == (dimensions == 2)
    np.testing.assert_allclose(face.points, points[:, :2] + 0.5)
    assert face.score == pytest.approx(0.97) and face.confidence.max() <= 1
    monkeypatch.setattr(Alignment, "get_landmarks_from_image", lambda *_, **__: None)
    assert FaceAlignmentDetector(dimensions=dimensions).detect(IMAGE) == []
    with pytest.raises(InputError, match="2 or 3 dimensions"):
        FaceAlignmentDetector(dimensions=4)
