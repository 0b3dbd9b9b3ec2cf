"""The whole fit, on a face that the renderer itself drew, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from facekit.core.errors import InputError
from facekit.core.facemodel.procedural import procedural_head
from facekit.reconstruct.align import Crop
from facekit.reconstruct.facetensors import face_tensors
from facekit.reconstruct.fit import beside_backdrop, camera_of_crop, fit, fit_model_of
from facekit.reconstruct.fit_camera import CropCamera, RigidPose
from facekit.reconstruct.fit_dense import Appearance, DenseFit, DenseLevel, DensePriors
from facekit.reconstruct.fit_detail import DetailConfig
from facekit.reconstruct.fit_landmarks import FitState
from facekit.reconstruct.fit_mid import MidConfig
from facekit.reconstruct.fit_visible import visible_pixels
from facekit.reconstruct.fitconfig import FitConfig

SIZE = 112
LEVEL = DenseLevel(size=SIZE, blur_px=1.0, stride=2, n_light=3, n_steps=2)
CONFIG = FitConfig(
    levels=(LEVEL,),
    refined=replace(LEVEL, n_light=0, n_steps=1, holds_size=True),
    mid=MidConfig(size=SIZE, n_steps=8, n_refresh=8),
    detail=DetailConfig(size=SIZE, map_size=64, n_steps=4),
)


@pytest.fixture(scope="module")
def drawn():
    """Draw a face of known coefficients: its crop and its mask, too."""
    face = face_tensors(procedural_head(), map_size=64)
    model = fit_model_of(face)
    camera = CropCamera().resized(SIZE)
    truth = np.zeros(len(model.modes))
    truth[:5] = (0.9, -0.7, 0.5, 0.6, -0.8)
    state = FitState(coefficients=truth, pose=RigidPose(R=np.eye(3), t=np.array([0.0, 0.05, 0.2])))
    paint = np.zeros((model.paint.shape[1], 3))
    paint[0], paint[1] = (0.8, 0.6, 0.5), (0.05, -0.1, -0.1)
    gamma = np.zeros((3, 9))
    gamma[:, 2], gamma[:, 1] = 0.12, -0.15
    seen = visible_pixels(model, model.shape(truth), state.pose, camera)
    backdrop = np.full((SIZE, SIZE, 3), 0.2, np.float32)
    dense = DenseFit(model, backdrop, camera, level=LEVEL, priors=DensePriors())
    image = dense.render(state, Appearance(gamma=gamma, paint=paint), seen)
    marks = camera.project(state.pose(model.shape(truth)[model.landmarks]))
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[seen.rows, seen.cols] = 1.0
    crop = Crop(
        image=image,
        landmarks=np.column_stack([marks[:, 0], SIZE - marks[:, 1]]),
        scale=0.5,
        offset=np.zeros(2),
        width=224,
        height=224,
    )
    return face, model, crop, mask, truth


@pytest.fixture(scope="module")
def found(drawn):
    face, model, crop, mask, _ = drawn
    return fit(crop, face, CONFIG, mask=mask, model=model)


def test_the_face_is_nearer_to_the_truth_than_the_mean(drawn, found):
    _, model, _, _, truth = drawn
    true = model.shape(truth)[model.region]

    def error(vertices):
        gap = vertices[model.region] - true
        gap = gap - gap.mean(axis=0)
        return np.sqrt((gap**2).sum(axis=1).mean())

    mean = error(model.mean)
    assert error(found.coarse[0].numpy()) < 0.75 * mean
    assert error(found.mid[0].numpy()) < 0.75 * mean


def test_shapes_and_what_belongs_together(drawn, found):
    face, model, _, _, _ = drawn
    n = len(model.mean)
    assert found.coarse.shape == found.mid.shape == (1, n, 3)
    assert found.deformation.shape == (1, 3, 64, 64)
    assert found.displacement.shape == found.valid.shape == (1, 1, 64, 64)
    assert found.albedo.shape == found.shaded.shape == (1, 3, 64, 64)
    # M1 is M0 plus the sampled map, M0 what the coefficients say
    torch.testing.assert_close(found.mid, found.coarse + face.at_vertices(found.deformation))
    coefficients = found.coefficients
    shape = face.shape(coefficients.identity, coefficients.expression)
    torch.testing.assert_close(found.coarse, shape, atol=1e-5, rtol=0)
    assert coefficients.albedo.shape == (1, face.n_albedo)
    assert (found.displacement[found.valid == 0] == 0).all()
    assert 0 <= float(found.albedo.min()) <= float(found.albedo.max()) <= 1
    assert all(np.isfinite(value) for value in found.figures.values())
    region = torch.from_numpy(model.region)
    farthest = 100 * float((found.mid - found.coarse)[:, region].norm(dim=-1).max())
    assert found.figures["deformation_max_mm"] == pytest.approx(farthest)
    assert found.figures["displacement_max_mm"] == pytest.approx(
        100 * float(found.displacement.abs().max())
    )


def test_the_same_photograph_gives_the_same_face(drawn, found):
    face, model, crop, mask, _ = drawn
    again = fit(crop, face, CONFIG, mask=mask, model=model)
    torch.testing.assert_close(again.mid, found.mid, atol=0, rtol=0)


def test_a_known_focal_length_moves_the_face_away_by_as_much(drawn):
    face, model, crop, _, _ = drawn
    short = replace(CONFIG, refined=None, mid=MidConfig(size=SIZE, n_steps=0), detail=None)
    hrn = fit(crop, face, short, model=model)
    # twice HRN's focal length: 1015 / 224 * 112 px in the crop is 1015 in a 224 px photograph
    far = fit(crop, face, short, focal_px=2 * 1015.0, model=model)
    ratio = (10 - far.t[2]) / (10 - hrn.t[2])
    assert ratio == pytest.approx(2.0, rel=0.03)
    camera = camera_of_crop(crop, 2030.0)
    assert camera.centre == (56.0, 56.0)
    assert camera.focal == pytest.approx(1015.0)


def test_no_detail_leaves_the_displacement_at_zero(drawn):
    face, model, crop, _, _ = drawn
    plain = replace(CONFIG, refined=None, mid=MidConfig(size=SIZE, n_steps=0), detail=None)
    found = fit(crop, face, plain, model=model)
    assert (found.displacement == 0).all()
    assert (found.deformation == 0).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"focal_px": -3.0}, "focal length of -3.0 px"),
        ({"focal_px": float("nan")}, "focal length"),
        ({"mask": np.ones((5, 7))}, r"mask of shape \(5, 7\)"),
    ],
)
def test_what_cannot_be_used_is_told(drawn, given, message):
    face, model, crop, _, _ = drawn
    with pytest.raises(InputError, match=message):
        fit(crop, face, CONFIG, model=model, **given)


def test_a_crop_with_holes_is_refused(drawn):
    face, model, crop, _, _ = drawn
    broken = replace(crop, image=np.full_like(crop.image, np.nan))
    with pytest.raises(InputError, match="not finite"):
        fit(broken, face, CONFIG, model=model)


def test_only_points_near_what_shows_no_head_lie_on_its_outline():
    """A head that covers the left half: the middle is its outline, the picture's edge is not."""
    covered = np.zeros((SIZE, SIZE), bool)
    covered[:, : SIZE // 2] = True
    camera = CropCamera().resized(SIZE)
    px = np.array([[SIZE / 2 - 1.5, 30.0], [SIZE / 4, 30.0], [0.5, 30.0]])
    depth = 10.0
    points = np.column_stack([
        (px[:, 0] - SIZE / 2) * depth / camera.focal, (SIZE / 2 - px[:, 1]) * depth / camera.focal,
        np.zeros(3),
    ])  # fmt: skip
    assert beside_backdrop(covered, camera, points).tolist() == [True, False, False]
