"""A photograph through the fit: shape, pose and maps reach the prediction in its frames."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facekit.core.facemodel.model import FaceModel
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.camera import Camera
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.transform import look_at
from facekit.core.rendering.preview import MeshPreview
from facekit.reconstruct.fit_dense import DenseLevel
from facekit.reconstruct.fit_detail import DetailConfig
from facekit.reconstruct.fit_mid import MidConfig
from facekit.reconstruct.fitconfig import FitConfig
from facekit.reconstruct.fitmethod import FitMethod
from facekit.reconstruct.photograph import Face, Photograph

SIDE = 320
YAW_DEG = 12.0
DISTANCE_MM, FOCAL_PX = 800.0, 1000.0
SHORT = FitConfig(
    levels=(DenseLevel(size=64, blur_px=1.0, stride=1, n_light=1, n_steps=1),),
    mid=MidConfig(size=64, map_size=16, levels=(8,), n_steps=2),
    detail=DetailConfig(size=128, map_size=64, n_steps=2),
)
"""Enough to go through every stage."""


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return procedural_head()


@pytest.fixture(scope="module")
def truth(model: FaceModel) -> Camera:
    middle = model.mean[model.landmarks68].mean(axis=0)
    yaw = np.radians(YAW_DEG)
    K = np.array([[FOCAL_PX, 0, SIDE / 2], [0, FOCAL_PX, SIDE / 2], [0, 0, 1]])
    center = middle + DISTANCE_MM * np.array([np.sin(yaw), 0, np.cos(yaw)])
    return Camera(name="a", width=SIDE, height=SIDE, K=K, cam_from_world=look_at(center, middle))


@pytest.fixture(scope="module")
def portrait(model: FaceModel, truth: Camera) -> tuple[Photograph, Face]:
    mesh = Mesh(vertices=model.mean, faces=model.faces)
    pixels = MeshPreview(mesh, ambient_occlusion=False).draw(truth)
    photograph = Photograph(
        path=Path("mean.png"), sha256="0" * 64, pixels=pixels, focal_px=FOCAL_PX,
        focal_source="given",
    )  # fmt: skip
    marks = truth.project(model.mean[model.landmarks68])[0]
    return photograph, Face(landmarks=marks, confidence=np.ones(68), score=1.0, finder="told")


def test_the_camera_of_a_known_focal_length_is_found_again(
    model: FaceModel, portrait: tuple[Photograph, Face], truth: Camera
) -> None:
    """Of the mean head itself: where the camera stood, and how far away."""
    prediction = FitMethod(model, config=SHORT, texture_size=128)(*portrait)
    np.testing.assert_allclose(prediction.camera.K, truth.K, atol=1e-6)
    seen, depth = prediction.camera.project(prediction.mid[model.landmarks68].astype(float))
    off = np.linalg.norm(seen - portrait[1].landmarks, axis=1)
    assert np.median(off) < 2.0  # px of 320
    # size and distance show together in one photograph: the priors on size keep both
    assert depth.mean() == pytest.approx(DISTANCE_MM, rel=0.06)
    turn = np.degrees(np.arccos(-prediction.camera.cam_from_world[2, 2]))
    assert turn == pytest.approx(YAW_DEG, abs=4)
    assert np.linalg.norm(prediction.mid - model.mean, axis=1).mean() < 6
    assert prediction.method == "fit"
    assert prediction.displacement.shape == (64, 64)
    assert prediction.deformation.shape == (16, 16, 3)


def test_landmarks_that_are_not_known_are_done_without(
    model: FaceModel, portrait: tuple[Photograph, Face]
) -> None:
    photograph, face = portrait
    marks = face.landmarks.copy()
    marks[:8] = np.nan
    prediction = FitMethod(model, config=SHORT, texture_size=64)(
        photograph, replace(face, landmarks=marks)
    )
    seen, _ = prediction.camera.project(prediction.mid[model.landmarks68].astype(float))
    assert np.nanmedian(np.linalg.norm(seen - marks, axis=1)) < 3
    assert np.isnan(prediction.landmarks[:8]).all()


def test_the_record_follows_the_settings(model: FaceModel) -> None:
    usual = FitMethod(model, config=SHORT).record
    other = FitMethod(model, config=replace(SHORT, landmark_sigma_px=1.0)).record
    assert usual != other
