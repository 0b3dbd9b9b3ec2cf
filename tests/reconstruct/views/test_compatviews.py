"""The released MV-HRN from images on: crops, single-view starts, cameras, views left out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from facekit.core.errors import EstimationError, InputError
from facekit.core.geometry.camera import Camera
from facekit.reconstruct.align import Crop, align
from facekit.reconstruct.facetensors import FaceTensors
from facekit.reconstruct.fit import fit, fit_model_of
from facekit.reconstruct.fit_dense import DenseLevel
from facekit.reconstruct.fit_detail import DetailConfig
from facekit.reconstruct.fit_mid import MidConfig
from facekit.reconstruct.fitconfig import FitConfig
from facekit.reconstruct.hrn import Hrn, resized
from facekit.reconstruct.views.compat import CompatConfig
from facekit.reconstruct.views.compatviews import CompatResult, compat_reconstruction
from facekit.reconstruct.views.faceview import FaceView, FaceViews
from facekit.reconstruct.views.viewstart import start_of_fit

LEVEL = DenseLevel(size=56, blur_px=1.0, stride=2, n_light=2, n_steps=1)
QUICK = FitConfig(
    levels=(LEVEL,), refined=None, mid=MidConfig(size=112, n_steps=2, n_refresh=2),
    detail=DetailConfig(size=112, map_size=64, n_steps=2),
)  # fmt: skip
STEPS = CompatConfig(n_steps=3)


class _Fixed(nn.Module):
    def __init__(self, vector: Tensor) -> None:
        super().__init__()
        self.vector = vector

    def forward(self, image: Tensor) -> Tensor:
        return self.vector[: len(image)]


class _Seen(nn.Module):
    """A map of what is seen, times a number."""

    def __init__(self, n_out: int) -> None:
        super().__init__()
        self.n_out = n_out

    def forward(self, maps: Tensor) -> Tensor:
        return torch.tanh(maps.mean(dim=1, keepdim=True)).expand(-1, self.n_out, -1, -1)


@pytest.fixture(scope="module")
def views(studio) -> FaceViews:  # type: ignore[no-untyped-def]
    """Give the studio's photographs; a fourth has no face."""
    kept = []
    for camera in studio.rig:
        plain = replace(camera, distortion=np.zeros(5))
        kept.append(_view(plain, studio.photographs[camera.name], studio))
    first = kept[0]
    blank = replace(first, name="blank", landmarks=np.full((68, 2), np.nan))
    return FaceViews(views=(*kept, blank), calibrated=False, remarks={"gone": "no such file"})


def _view(camera: Camera, pixels: np.ndarray, studio) -> FaceView:  # type: ignore[no-untyped-def]
    marks = camera.project(studio.model.mean[studio.model.landmarks68])[0]
    return FaceView(
        name=camera.name, image=pixels.astype(np.float32) / 255, camera=camera, landmarks=marks,
        mask=np.ones(pixels.shape[:2], np.float32),
    )  # fmt: skip


@pytest.fixture(scope="module")
def found(studio, views: FaceViews) -> CompatResult:  # type: ignore[no-untyped-def]
    return compat_reconstruction(views, studio.model, start=QUICK, config=STEPS)


def test_one_mesh_a_view_of_one_identity_and_deformation(
    studio,
    found: CompatResult,  # type: ignore[no-untyped-def]
) -> None:
    assert [view.name for view in found.views] == list(studio.rig.names)
    n = studio.model.n_vertices
    for view in found.views:
        assert view.coarse.shape == view.mid.shape == view.posed.shape == (n, 3)
        assert view.displacement.shape == (64, 64)
        assert view.mid_image.shape == view.high_image.shape == (224, 224, 3)
        assert view.mask.any()
        np.testing.assert_allclose(view.coefficients.identity[0].numpy(), found.identity)
    # each has its own expression, so meshes differ
    assert np.abs(found.views[0].mid - found.views[1].mid).max() > 1e-3
    assert found.deformation.shape == (64, 64, 3)
    assert not found.deformation_at_corners


def test_a_view_without_a_face_is_named(found: CompatResult) -> None:
    assert set(found.remarks) == {"gone", "blank"}
    assert found.remarks["blank"].startswith("left out: ")


def test_figures(found: CompatResult) -> None:
    assert found.losses.shape == (STEPS.n_steps + 1,)
    assert found.figures["loss_end"] < found.figures["loss_start"]
    for name in ("starts_s", "starts_cpu_s", "schedule_s", "schedule_cpu_s"):
        assert found.figures[name] > 0


def test_cameras_show_the_face_where_the_crops_do(found: CompatResult) -> None:
    """HRN's projection of the posed mesh into the crop, against the camera of the photograph."""
    for view in found.views:
        x, y, z = (view.posed / 100).T.astype(np.float64)
        in_crop = np.stack([1015 * x / (10 - z) + 112, 112 - 1015 * y / (10 - z)], axis=-1)
        wanted = view.crop.to_image(in_crop)
        projected = view.camera.project(view.mid.astype(np.float64))[0]
        np.testing.assert_allclose(projected, wanted, atol=0.01)


def test_landmarks_fall_where_they_were_seen(
    studio,
    views: FaceViews,
    found: CompatResult,  # type: ignore[no-untyped-def]
) -> None:
    """The mean head through another camera than HRN's: a few px of 360."""
    for seen, view in zip(views.views, found.views, strict=False):
        marks = view.camera.project(view.mid[studio.model.landmarks68].astype(np.float64))[0]
        assert np.median(np.linalg.norm(marks - seen.landmarks, axis=1)) < 4.0


@pytest.mark.parametrize("quirks", [False, True])
def test_networks_start_the_views_where_there_are_any(
    head_face: FaceTensors, views: FaceViews, quirks: bool
) -> None:
    vector = torch.zeros(1, head_face.n_coefficients)
    hrn = Hrn(
        head_face, _Fixed(vector), _Seen(3), _Seen(1), 0.02, 0.01,
        deformation_size=16, displacement_size=64,
    )  # fmt: skip
    two = replace(views, views=views.views[:2])
    found = compat_reconstruction(two, head_face.model, hrn=hrn, quirks=quirks, config=STEPS)
    assert len(found.views) == 2
    assert found.deformation.shape == (16, 16, 3)
    assert found.deformation_at_corners == quirks
    assert np.isfinite(found.losses).all()
    assert found.losses[-1] < found.losses[0]


def test_without_any_face_there_is_nothing(studio, views: FaceViews) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(EstimationError, match="no view shows a face .*blank left out"):
        compat_reconstruction(
            replace(views, views=views.views[-1:]), studio.model, start=QUICK, config=STEPS
        )


def test_a_fit_starts_a_view_as_networks_do(studio, views: FaceViews) -> None:  # type: ignore[no-untyped-def]
    face = FaceTensors(studio.model, map_size=64)
    view, model = views.views[1], fit_model_of(face)
    crop: Crop = align(view.image, view.landmarks, size=112, reference5=face.five_points())
    found = fit(crop, face, QUICK, model=model)
    start = start_of_fit("front", crop, found, face, mask=None)
    # D_j has been multiplied by V_j, which is soft, and 0 on what is hidden
    V = resized(start.valid, found.deformation.shape[-1])
    torch.testing.assert_close(start.deformation, found.deformation * V)
    inside = face.chart_mask(64) > 0
    assert 0.05 < float(start.valid[inside].mean()) < 0.95
    assert float(start.valid.min()) == 0
    far = fit(crop, face, QUICK, model=model, focal_px=3000.0)
    with pytest.raises(InputError, match="focal length of its own"):
        start_of_fit("front", crop, far, face, mask=None)
