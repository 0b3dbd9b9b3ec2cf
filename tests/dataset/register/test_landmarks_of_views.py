"""Landmarks of calibrated views in space: exact, robust, and honest about what is not known."""

from dataclasses import replace

import numpy as np
import pytest

from facekit.core.errors import EstimationError, InputError
from facekit.core.facemodel.landmark_schemes import GROUPS68, Scheme
from facekit.core.facemodel.landmarks import Detection, box_of
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.camera import Camera, Rig
from facekit.core.geometry.transform import Similarity, look_at
from facekit.dataset.register.landmarks import (
    Landmarks3d,
    triangulate_landmarks,
    unknown_sentence,
)

WIDTH, HEIGHT = 1000, 1400
JAW = list(GROUPS68["jaw"])
FRONT = list(range(17, 68))


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    head = procedural_head()
    return head.mean[head.landmarks68]


def arc(*yaws_deg: float) -> Rig:
    """Return cameras with a lens's distortion, a metre from the face."""
    cameras = []
    for yaw in np.radians(yaws_deg):
        away = np.array([np.sin(yaw), 0.1 * np.cos(3 * yaw), np.cos(yaw)])
        cameras.append(
            Camera(
                name=f"cam{len(cameras)}",
                width=WIDTH,
                height=HEIGHT,
                K=np.array([[4000.0, 0, 510], [0, 4010.0, 690], [0, 0, 1]]),
                cam_from_world=look_at(1000 * away, np.zeros(3)),
                distortion=np.array([-0.08, 0.1, 1e-4, -2e-4, 0.0]),
            )
        )
    return Rig(cameras=tuple(cameras))


def seen(
    camera: Camera,
    points: np.ndarray,
    *,
    noise_px: float = 0.0,
    rng: np.random.Generator | None = None,
    slides: bool = False,
) -> Detection:
    xy, _ = camera.project(points)
    if rng is not None:
        xy = xy + rng.normal(0, noise_px, xy.shape)
    return Detection(
        points=xy, scheme=Scheme.IBUG68, score=0.9, box=box_of(xy), confidence=np.ones(68),
        sigma_px=np.zeros(68), slides=slides,
    )  # fmt: skip


def all_seen(rig: Rig, points: np.ndarray, **options: object) -> dict[str, Detection]:
    return {camera.name: seen(camera, points, **options) for camera in rig}  # type: ignore[arg-type]


def off(found: Landmarks3d, truth: np.ndarray) -> np.ndarray:
    return np.linalg.norm(found.points - truth, axis=1)


def test_exact_points_are_found_exactly(truth: np.ndarray) -> None:
    rig = arc(-50, -25, 0, 25, 50)
    found = triangulate_landmarks(all_seen(rig, truth), rig)
    assert off(found, truth).max() < 1e-4
    assert np.nanmax(found.residual_px) < 1e-3
    assert found.views == rig.names and found.wrong == ()
    assert (found.used.sum(axis=0) >= 2).all()
    assert unknown_sentence(found) is None and found.n_points == 68


def test_two_views_suffice(truth: np.ndarray) -> None:
    rig = arc(-12, 12)
    found = triangulate_landmarks(all_seen(rig, truth), rig)
    assert off(found, truth)[FRONT].max() < 1e-4


def test_the_frame_of_the_rig_does_not_matter(truth: np.ndarray) -> None:
    rig = arc(-30, 0, 30)
    angle = 0.7
    R = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    moved = Similarity(scale=0.01, R=R, t=np.array([3.0, -2.0, 5.0]))
    faces = all_seen(rig, truth)
    one = triangulate_landmarks(faces, rig)
    other = triangulate_landmarks(faces, rig.moved(moved))
    np.testing.assert_allclose(other.points, moved(one.points), atol=1e-6)
    np.testing.assert_allclose(other.sigma, 0.01 * one.sigma, rtol=1e-3)


def test_noise_averages_out(truth: np.ndarray, rng: np.random.Generator) -> None:
    """2 px at 4 px a mm, 60 degrees of baseline: about 0.3 mm a coordinate in space."""
    rig = arc(-45, -30, -15, 0, 15, 30, 45)
    found = triangulate_landmarks(all_seen(rig, truth, noise_px=2.0, rng=rng), rig)
    assert np.median(off(found, truth)[FRONT]) < 0.6
    # the standard deviation tells more than this noise: what all views have alike is in it
    assert (off(found, truth)[FRONT] < 3 * found.sigma[FRONT]).all()


def test_single_wrong_points_do_no_harm(truth: np.ndarray, rng: np.random.Generator) -> None:
    rig = arc(-45, -30, -15, 0, 15, 30, 45)
    faces = all_seen(rig, truth)
    for name in rig.names:
        points = faces[name].points.copy()
        points[rng.choice(68, 8, replace=False)] += rng.uniform(60, 120, (8, 2))
        faces[name] = replace(faces[name], points=points)
    found = triangulate_landmarks(faces, rig)
    assert np.median(off(found, truth)[FRONT]) < 1e-3
    assert np.percentile(off(found, truth)[FRONT], 95) < 0.1
    assert found.wrong == ()


@pytest.mark.parametrize("how", ["elsewhere", "mirrored", "upside down", "scrambled"])
def test_a_wrong_view_is_named_and_left_out(
    truth: np.ndarray, how: str, rng: np.random.Generator
) -> None:
    rig = arc(-40, -20, 0, 20, 40)
    faces = all_seen(rig, truth)
    points = faces["cam2"].points
    middle = points.mean(axis=0)
    wrong = {
        "elsewhere": points + (400, -120),
        "mirrored": middle + (points - middle) * (-1, 1) + (80, 0),
        "upside down": middle - (points - middle),
        "scrambled": points[rng.permutation(68)],
    }[how]
    faces["cam2"] = replace(faces["cam2"], points=wrong, box=box_of(wrong))
    found = triangulate_landmarks(faces, rig)
    assert found.wrong == ("cam2",)
    assert not found.used[2].any()
    assert off(found, truth)[FRONT].max() < 1e-3


def test_points_nobody_sees_twice_are_unknown(truth: np.ndarray) -> None:
    rig = arc(-30, 0, 30)
    faces = all_seen(rig, truth)
    for name in ("cam0", "cam1"):
        points, confidence = faces[name].points.copy(), np.ones(68)
        points[30], confidence[30] = np.nan, 0
        faces[name] = replace(faces[name], points=points, confidence=confidence)
    found = triangulate_landmarks(faces, rig)
    assert np.isnan(found.points[30]).all() and np.isnan(found.sigma[30])
    assert found.n_points == 67
    assert unknown_sentence(found) == "1 of 68 landmarks unknown: nose_bridge_3"


def test_a_jaw_that_slides_is_left_to_frontal_views(truth: np.ndarray) -> None:
    """Detectors of outlines put jaw points elsewhere on the skin in every view from aside."""
    rig = arc(-50, -40, -12, 0, 12, 40, 50)
    faces = all_seen(rig, truth)
    for camera, yaw in zip(rig, (-50, -40, -12, 0, 12, 40, 50), strict=True):
        slid = truth.copy()
        slid[JAW] += np.array([-0.5, 0, 0.8]) * abs(yaw) * (abs(yaw) > 30)
        faces[camera.name] = seen(camera, slid, slides=True)
    found = triangulate_landmarks(faces, rig)
    known = np.isfinite(found.sigma[JAW])
    assert known.sum() >= 5  # the chin at least
    assert np.median(off(found, truth)[JAW][known]) < 0.5
    assert off(found, truth)[FRONT].max() < 1e-3
    aside = [0, 1, 5, 6]
    assert not found.used[np.ix_(aside, [7, 8, 9])].any()


def test_uncertainty_grows_where_views_are_few(truth: np.ndarray) -> None:
    many, few = arc(-40, -20, 0, 20, 40), arc(-3, 3)
    sigma_many = triangulate_landmarks(all_seen(many, truth), many).sigma
    sigma_few = triangulate_landmarks(all_seen(few, truth), few).sigma
    assert (sigma_few[FRONT] > sigma_many[FRONT]).all()
    assert np.median(sigma_many[JAW]) > np.median(sigma_many[FRONT])


def test_what_cannot_be_said_is_said(truth: np.ndarray) -> None:
    rig = arc(-20, 20)
    faces = all_seen(rig, truth)
    with pytest.raises(EstimationError, match="in 1 photographs; depth needs two"):
        triangulate_landmarks({"cam0": faces["cam0"]}, rig)
    with pytest.raises(InputError, match="'other', which the rig does not have"):
        triangulate_landmarks({"other": faces["cam0"]}, rig)
    far = replace(faces["cam1"], points=faces["cam1"].points + (0, 500))
    with pytest.raises(EstimationError, match="meet nowhere"):
        triangulate_landmarks({"cam0": faces["cam0"], "cam1": far}, rig)
