"""A photograph through untrained networks: all is wired, posed and written as it should be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from facekit.core.facemodel.checkpoint_tables import HrnLayout
from facekit.core.facemodel.model import FaceModel
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.camera import Camera
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.transform import look_at
from facekit.core.rendering.preview import MeshPreview
from facekit.reconstruct.checkpoint import save_hrn
from facekit.reconstruct.facetensors import face_tensors
from facekit.reconstruct.hrnmethod import HrnMethod
from facekit.reconstruct.networks.hrn import HrnNetworks
from facekit.reconstruct.photograph import Face, Photograph

SIDE = 256
NOT_MOVED_PX = 3.0  # of SIDE


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return procedural_head()


@pytest.fixture(scope="module")
def checkpoint(model: FaceModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give weights of small networks, as they are before training: coefficients are all zero."""
    torch.manual_seed(0)
    face = face_tensors(model)
    layout = HrnLayout(
        counts=(face.n_identity, face.n_expression, face.n_albedo), backbone="resnet18",
        mid_width=8, high_width=8, mid_blocks=1, high_blocks=1, displacement_size=128,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_hrn(path, HrnNetworks(layout), model)
    return path


@pytest.fixture(scope="module")
def portrait(model: FaceModel) -> tuple[Photograph, Face]:
    """Give a photograph of the mean face from the front, one metre away, and its landmarks."""
    marks = model.mean[model.landmarks68]
    middle = marks.mean(axis=0)
    K = np.array([[1000.0, 0, SIDE / 2], [0, 1000.0, SIDE / 2], [0, 0, 1]])
    camera = Camera(
        name="a", width=SIDE, height=SIDE, K=K,
        cam_from_world=look_at(middle + np.array([0, 0, 1000.0]), middle),
    )  # fmt: skip
    mesh = Mesh(vertices=model.mean, faces=model.faces)
    pixels = MeshPreview(mesh, ambient_occlusion=False).draw(camera)
    photograph = Photograph(
        path=Path("mean.png"), sha256="0" * 64, pixels=pixels, focal_px=300.0,
        focal_source="given",
    )  # fmt: skip
    face = Face(
        landmarks=camera.project(marks)[0], confidence=np.ones(68), score=1.0, finder="told"
    )
    return photograph, face


def _method(model: FaceModel, checkpoint: Path, **how: Any) -> HrnMethod:
    return HrnMethod(model, checkpoint=checkpoint, texture_size=128, **how)


def test_the_mean_face_of_untrained_networks_lies_on_a_mean_face(
    model: FaceModel, checkpoint: Path, portrait: tuple[Photograph, Face]
) -> None:
    """Coefficients of zero are the mean face, unturned, where crops are aligned to have it."""
    photograph, face = portrait
    prediction = _method(model, checkpoint)(photograph, face)
    np.testing.assert_allclose(prediction.coarse, model.mean, atol=1e-3)
    seen, depth = prediction.camera.project(prediction.mid[model.landmarks68].astype(float))
    off = np.linalg.norm(seen - face.landmarks, axis=1)
    assert np.median(off) < NOT_MOVED_PX
    assert 900 < depth.mean() < 1100
    # gains are 0.01 before training: maps stay within 0.1 mm
    assert np.abs(prediction.displacement).max() <= 0.1
    assert np.abs(prediction.mid - prediction.coarse).max() <= 0.1 * np.sqrt(3)
    assert prediction.displacement.shape == (128, 128)
    assert prediction.method == "hrn"
    assert any("focal" in remark for remark in prediction.remarks)
    # the face, not the background, is in the texture
    sure = prediction.texture_valid > 0.99
    assert sure.mean() > 0.05
    assert np.abs(prediction.texture[sure].astype(int) - 247).max(axis=1).mean() > 20


def test_compat_is_told_and_recorded(
    model: FaceModel, checkpoint: Path, portrait: tuple[Photograph, Face]
) -> None:
    plain, compat = _method(model, checkpoint), _method(model, checkpoint, compat=True)
    assert plain.record != compat.record
    prediction = compat(*portrait)
    assert prediction.method == "hrn compat"
    assert prediction.deformation_at_corners


def test_the_record_follows_the_weights(model: FaceModel, checkpoint: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    face = face_tensors(model)
    other = tmp_path / "other.safetensors"
    layout = HrnLayout(
        counts=(face.n_identity, face.n_expression, face.n_albedo), backbone="resnet18",
        mid_width=8, high_width=8, mid_blocks=1, high_blocks=1, displacement_size=128,
    )  # fmt: skip
    save_hrn(other, HrnNetworks(layout), model)
    assert _method(model, checkpoint).record != _method(model, other).record


def test_a_photograph_of_the_other_half_is_no_crash(
    model: FaceModel, checkpoint: Path, portrait: tuple[Photograph, Face]
) -> None:
    """A face cut by the photograph's edge is reconstructed from what there is."""
    photograph, face = portrait
    half = Photograph(
        path=Path("half.png"), sha256="0" * 64,
        pixels=np.ascontiguousarray(photograph.pixels[:, SIDE // 2 :]), focal_px=None,
    )  # fmt: skip
    moved = Face(
        landmarks=face.landmarks - (SIDE / 2, 0), confidence=np.ones(68), score=1.0, finder="told"
    )
    prediction = _method(model, checkpoint)(half, moved)
    whole = _method(model, checkpoint)(photograph, face)
    assert prediction.texture_valid.sum() < 0.7 * whole.texture_valid.sum()
    assert PillowImage.fromarray(prediction.texture).size == (128, 128)
