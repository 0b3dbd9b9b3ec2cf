"""What the fit of seven landmarks gives away, and what it must not cry wolf at."""

import numpy as np
import pytest

from facekit.benchmarks.metrics.crop import face_sphere
from facekit.benchmarks.metrics.landmarks import (
    alignment_remarks,
    placement_remarks,
    seven_landmarks,
)
from facekit.benchmarks.metrics.procrustes import procrustes
from facekit.benchmarks.metrics.surface import ExactSurface
from facekit.core.arrays import Floats
from facekit.core.errors import InputError

FACE = np.array(
    [[-44, 35, -10], [-16, 34, 0], [16, 34, 0], [44, 35, -10], [0, -5, 22], [-25, -35, 2],
     [25, -35, 2.0]]
)  # fmt: skip
"""A face's seven, mm."""


def _remarks(landmarks: Floats) -> str:
    fit = procrustes(FACE, landmarks)
    return " ".join(alignment_remarks(FACE, landmarks, fit))


def test_people_and_noise_pass() -> None:
    """Other sizes, poses, and 4 mm of noise are nobody's mistake."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        turn *= np.linalg.det(turn)
        noisy = FACE + rng.normal(0, 4, FACE.shape)
        assert _remarks(rng.uniform(0.001, 1000) * noisy @ turn) == ""


@pytest.mark.parametrize(
    "order", [[1, 0, 3, 2, 4, 5, 6], [0, 1, 2, 3, 5, 6, 4], [4, 0, 1, 2, 3, 5, 6]]
)
def test_the_right_order_is_named(order: list[int]) -> None:
    """The remark's rows, taken from the landmarks as given, put them right."""
    remark = _remarks(FACE[order])
    assert "out of order" in remark
    rows = remark.split("rows ")[1].split(" in place")[0]
    restored = FACE[order][[int(word) - 1 for word in rows.split(", ")]]
    assert procrustes(FACE, restored).residual < 1e-12


def test_mirrors_and_other_points_are_told() -> None:
    """Left and right exchanged, and points that are no face."""
    assert "mirrored" in _remarks(FACE[[3, 2, 1, 0, 4, 6, 5]])
    assert "mirrored" in _remarks(FACE * [1, 1, -1])
    assert _remarks(np.random.default_rng(1).normal(0, 40, (7, 3))) != ""


def test_landmarks_off_their_mesh_and_scans_in_metres_are_told() -> None:
    """Landmarks of another mesh hide in the alignment, a scan's unit in all figures."""
    corners = np.array([[-80, -90, 0], [80, -90, 0], [80, 90, 0], [-80, 90, 0.0]])
    surface = ExactSurface(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    sphere = face_sphere(FACE, factor=1.4)
    assert placement_remarks(surface, FACE, sphere, factor=1.4) == ()
    off = placement_remarks(surface, FACE + [0, 0, 90], sphere, factor=1.4)
    assert "off its mesh" in " ".join(off)
    small = face_sphere(FACE / 1000, factor=1.4)
    assert "metres" in " ".join(placement_remarks(surface, FACE, small, factor=1.4))


def test_landmarks_are_taken_as_they_come() -> None:
    """Lists, whole numbers and a leading axis; float32 stays. 51 of them or NaN are refused."""
    assert seven_landmarks(FACE.astype(np.float32)[None], "scan").dtype == np.float32
    assert seven_landmarks(FACE.astype(np.int64), "scan").dtype == np.float64
    assert seven_landmarks(FACE.tolist(), "scan").shape == (7, 3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"scan landmarks have the shape \(51, 3\)"):
        seven_landmarks(np.zeros((51, 3)), "scan")
    with pytest.raises(InputError, match="prediction landmark 3 of 7"):
        seven_landmarks(np.where(np.arange(7)[:, None] == 2, np.nan, FACE), "prediction")
