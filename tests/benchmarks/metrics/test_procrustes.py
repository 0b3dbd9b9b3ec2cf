"""Procrustes and the crop: official vectors, and what a least-squares similarity must obey."""

import json
from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks.metrics.crop import cropped_faces, face_sphere
from facekit.benchmarks.metrics.procrustes import procrustes
from facekit.core.arrays import Floats
from facekit.core.errors import EstimationError, InputError


def _landmarks(rng: np.random.Generator) -> Floats:
    return rng.normal(0, 50, (7, 3))


def test_official_vectors(shared_fixtures: Path) -> None:
    """Fits of the official port, a mirrored one among them, to float64 rounding."""
    vectors = json.loads((shared_fixtures / "unit" / "now_unit.json").read_text())["procrustes"]
    for case in vectors:
        target = np.array(case["X"])
        fit = procrustes(target, np.array(case["Y"]))
        assert fit.mirrored == (case["det"] < 0)
        assert np.allclose(fit.fitted, case["Z"], atol=1e-11)
        assert np.allclose(fit.rotation, case["rotation"], atol=1e-13)
        assert np.allclose(fit.translation, case["translation"], atol=1e-11)
        assert fit.scale == pytest.approx(case["scale"], rel=1e-13)
        assert fit.residual == pytest.approx(case["d"], abs=1e-14)
        if case.get("mask_center") is not None:
            sphere = face_sphere(target, factor=1.4)
            assert np.allclose(sphere.centre, case["mask_center"], atol=1e-12)
            assert sphere.radius == pytest.approx(case["mask_radius"], rel=1e-14)


def test_float32_digits_are_the_official_ones(shared_fixtures: Path) -> None:
    """In float32 the last digit counts: transforms and spheres are equal, not close."""
    for path in sorted((shared_fixtures / "now").glob("case_*.npz")):
        official = json.loads(path.with_suffix(".json").read_text())
        with np.load(path) as case:
            scan, predicted = case["scan_lmk"], case["pred_lmk"]
        fit, sphere = procrustes(scan, predicted), face_sphere(scan, factor=1.4)
        assert fit.translation.dtype == np.float32
        assert np.array_equal(fit.translation, np.float32(official["procrustes"]["translation"]))
        assert np.float32(fit.scale) == np.float32(official["procrustes"]["scale"])
        assert np.array_equal(sphere.centre, np.float32(official["mask"]["center"]))
        assert sphere.radius == official["mask"]["radius"]


@pytest.mark.parametrize("mirror", [False, True])
def test_recovers_a_similarity(mirror: bool) -> None:
    """A known similarity, mirrored where that is allowed, comes back to rounding."""
    rng = np.random.default_rng(0)
    moved = _landmarks(rng)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn[:, 0] *= np.sign(np.linalg.det(turn)) * (-1 if mirror else 1)
    fit = procrustes(37.0 * moved @ turn + [1, 2, 3], moved, mirror=mirror)
    assert np.allclose(fit.rotation, turn, atol=1e-13)
    assert fit.scale == pytest.approx(37.0, rel=1e-13)
    assert fit.mirrored == mirror
    assert abs(fit.residual) < 1e-14


def test_a_proper_fit_is_the_best_proper_one() -> None:
    """Without a mirror: proper, worse than with it, and no small turn or scale betters it."""
    rng = np.random.default_rng(1)
    moved = _landmarks(rng)
    target = moved * [-1, 1, 1] + rng.normal(0, 3, moved.shape)
    fit = procrustes(target, moved, mirror=False)
    assert not fit.mirrored
    assert fit.residual > procrustes(target, moved).residual
    best = ((fit.apply(moved) - target) ** 2).sum()
    share = best / ((target - target.mean(axis=0)) ** 2).sum()
    assert share == pytest.approx(fit.residual, rel=1e-12)
    for _ in range(20):
        nudge = np.linalg.qr(np.eye(3) + 1e-3 * rng.normal(size=(3, 3)))[0]
        nudge *= np.sign(np.diag(nudge))  # near the identity, not near its mirror
        centred = moved - moved.mean(axis=0)
        scale = fit.scale * (1 + 1e-3 * rng.normal())
        other = scale * centred @ fit.rotation @ nudge + target.mean(axis=0)
        assert ((other - target) ** 2).sum() >= best


def test_unusable_landmarks_are_refused() -> None:
    """Other shapes, NaN, and points that coincide."""
    points = _landmarks(np.random.default_rng(2))
    with pytest.raises(InputError, match="shapes"):
        procrustes(points, points[:6])
    with pytest.raises(InputError, match="not finite"):
        procrustes(points, points * np.nan)
    with pytest.raises(EstimationError, match="one place"):
        procrustes(points, np.ones((7, 3)))


def test_the_sphere_follows_the_scan() -> None:
    """Moved and scaled with the landmarks; its edge is inside."""
    points = _landmarks(np.random.default_rng(3))
    sphere, moved = face_sphere(points, factor=1.2), face_sphere(2 * points + 5, factor=1.2)
    assert np.allclose(moved.centre, 2 * sphere.centre + 5)
    assert moved.radius == pytest.approx(2 * sphere.radius)
    edge = np.array([[1.0, 0, 0], [1 + 1e-9, 0, 0], [np.nan, 0, 0]]) * sphere.radius
    assert sphere.holds(sphere.centre + edge * (1 - 1e-12)).tolist() == [True, False, False]


def test_cropped_faces_keep_their_corners() -> None:
    """Faces with all corners kept, by the kept vertices' numbers."""
    faces = np.array([[0, 1, 2], [1, 2, 3], [4, 3, 1]], np.int32)
    kept = np.array([False, True, True, True, True])
    assert cropped_faces(faces, kept).tolist() == [[0, 1, 2], [3, 2, 0]]
    assert cropped_faces(faces, np.zeros(5, bool)).shape == (0, 3)
