"""The parts of the fit: cameras, poses, light, derivatives."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from facekit.core.errors import EstimationError
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.rendering import shading
from facekit.reconstruct.facetensors import face_tensors
from facekit.reconstruct.fit_camera import CropCamera, RigidPose, pose_of_landmarks, pose_slope
from facekit.reconstruct.fit_dense import (
    Appearance,
    DenseFit,
    DenseLevel,
    DensePriors,
    fit_dense,
    normal_modes,
    size_slope,
)
from facekit.reconstruct.fit_landmarks import (
    FitState,
    fit_landmarks,
    landmark_target,
    start_state,
)
from facekit.reconstruct.fit_light import sh_basis, sh_slope
from facekit.reconstruct.fit_mid import low_fields
from facekit.reconstruct.fit_model import fit_model
from facekit.reconstruct.fit_visible import normal_sums, visible_pixels
from facekit.reconstruct.photocamera import photo_camera
from facekit.reconstruct.pose import HrnCamera, rotation

CAMERA = CropCamera(size=96, focal=430.0, centre=(50.0, 41.0), distance=9.0)


@pytest.fixture(scope="module")
def face():
    return face_tensors(procedural_head())


@pytest.fixture(scope="module")
def model(face):
    return fit_model(face.model, face.centre_mm.numpy().astype(np.float64))


def test_the_default_camera_is_hrns():
    points = np.random.default_rng(0).normal(size=(20, 3))
    expected = HrnCamera().pixels(torch.from_numpy(points)[None])[0].numpy()
    np.testing.assert_allclose(CropCamera().project(points), expected, atol=1e-9)


def test_a_camera_with_its_centre_aside_projects_alike_in_clip_space_and_in_torch():
    points = np.random.default_rng(0).normal(size=(30, 3))
    xy = CAMERA.project(points)
    torch_camera = photo_camera(CAMERA, 0.0)
    given = torch.from_numpy(points)[None]
    np.testing.assert_allclose(torch_camera.pixels(given)[0], xy, atol=1e-9)
    clip = torch_camera.clip(given)[0].numpy()
    ndc = clip[:, :2] / clip[:, 3:]
    np.testing.assert_allclose((ndc + 1) * CAMERA.size / 2, xy, atol=1e-9)
    half = CAMERA.resized(48).project(points)
    np.testing.assert_allclose(half, xy / 2, atol=1e-9)
    np.testing.assert_allclose(torch_camera.resized(48).pixels(given)[0], half, atol=1e-9)


def test_slopes_of_projection_and_pose_are_the_derivatives():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(5, 3))
    pose = RigidPose(R=Rotation.from_rotvec([0.2, -0.4, 0.1]).as_matrix(), t=np.array([0.1, 0, 1]))
    posed = pose(points)
    slope = CAMERA.slope(posed) @ pose_slope(posed, pose)
    for i in range(6):
        h = np.zeros(6)
        h[i] = 1e-6
        up, down = CAMERA.project(pose.stepped(h)(points)), CAMERA.project(pose.stepped(-h)(points))
        np.testing.assert_allclose(slope[:, :, i], (up - down) / 2e-6, rtol=1e-5, atol=1e-5)


def test_angles_are_those_that_hrn_turns_by():
    R = Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix()
    angles = torch.from_numpy(RigidPose(R=R, t=np.zeros(3)).angles)[None]
    np.testing.assert_allclose(rotation(angles)[0], R, atol=1e-12)


def test_light_is_the_renderers_and_its_slope_the_derivative():
    n = np.random.default_rng(2).normal(size=(10, 3))
    np.testing.assert_allclose(sh_basis(n), shading.sh_basis(torch.from_numpy(n)), atol=1e-5)
    for axis in range(3):
        h = np.zeros(3)
        h[axis] = 1e-5
        numeric = (sh_basis(n + h) - sh_basis(n - h)) / 2e-5
        np.testing.assert_allclose(sh_slope(n)[:, :, axis], numeric, atol=1e-6)


def test_a_far_face_is_posed_in_closed_form(model):
    # 200 units away perspective is 0.5 %: the scaled-orthographic pose is right to about that
    camera = CropCamera(size=224, focal=20300.0, distance=200.0)
    R = Rotation.from_rotvec([0.1, 0.5, -0.2]).as_matrix()
    points = model.mean[model.landmarks]
    true = RigidPose(R=R, t=np.array([0.2, -0.1, 0.0]))
    found = pose_of_landmarks(points, camera.project(true(points)), camera)
    angle = np.degrees(Rotation.from_matrix(found.R @ R.T).magnitude())
    assert angle < 0.5
    assert np.abs(found.t - true.t)[:2].max() < 0.01


def test_exact_landmarks_of_a_face_near_by_are_met(model):
    rng = np.random.default_rng(3)
    camera = CropCamera()
    coefficients = np.zeros(len(model.modes))
    coefficients[:10] = rng.normal(0, 0.7, 10)
    pose = RigidPose(R=Rotation.from_rotvec([0.05, 0.2, 0.1]).as_matrix(), t=np.zeros(3))
    points = camera.project(pose(model.shape(coefficients)[model.landmarks]))
    target = landmark_target(points, camera, sigma_px=0.3, jaw_sigma_px=0.3)
    start = start_state(model, target, camera)
    found = fit_landmarks(model, target, camera, start)
    left = camera.project(found.pose(model.shape(found.coefficients)[model.landmarks])) - points
    before = camera.project(start.pose(model.mean[model.landmarks])) - points
    assert np.sqrt((left**2).mean()) < 0.3  # px, within the sigma they were given
    assert np.sqrt((left**2).mean()) < 0.2 * np.sqrt((before**2).mean())


def test_unknown_landmarks_are_left_out_and_too_few_refused(model):
    camera = CropCamera()
    points = camera.project(model.mean[model.landmarks])
    points[5:20] = np.nan
    target = landmark_target(points, camera, sigma_px=2.0, jaw_sigma_px=4.0)
    found = fit_landmarks(model, target, camera, start_state(model, target, camera))
    assert np.isfinite(found.coefficients).all()
    points[:60] = np.nan
    with pytest.raises(EstimationError, match="12 of the 68"):
        landmark_target(points, camera, sigma_px=2.0, jaw_sigma_px=4.0)


def test_normals_turn_with_the_modes_as_told(model):
    rng = np.random.default_rng(4)
    seen = visible_pixels(model, model.mean, RigidPose(R=np.eye(3), t=np.zeros(3)), CAMERA)
    used = np.unique(model.faces[seen.faces])[::40]
    turned = normal_modes(model, seen, used)
    direction = rng.normal(size=len(model.modes))
    h = 1e-4

    def normals(step):
        sums, _ = normal_sums(model.shape(step * direction), model)
        return (sums / np.linalg.norm(sums, axis=1, keepdims=True))[used]

    numeric = (normals(h) - normals(-h)) / (2 * h)
    told = np.einsum("mui,m->ui", turned, direction)
    # float32 modes and central differences: a thousandth of the largest
    assert np.abs(told - numeric).max() < 5e-3 * np.abs(numeric).max()


def test_pixels_show_the_place_that_projects_to_them(model):
    pose = RigidPose(R=Rotation.from_rotvec([0.1, 0.3, 0.0]).as_matrix(), t=np.array([0, 0, 0.5]))
    seen = visible_pixels(model, model.mean, pose, CAMERA)
    corners = model.faces[seen.faces]
    places = np.einsum("pk,pki->pi", seen.weights, seen.posed[corners])
    xy = CAMERA.project(places)
    np.testing.assert_allclose(xy, np.column_stack([seen.cols, seen.rows]) + 0.5, atol=0.02)
    assert model.region[corners].all()
    assert 0 < seen.inner.sum() < len(seen.rows) <= seen.covered.sum()


def test_the_dense_fit_finds_light_and_shape_of_its_own_render(model):
    rng = np.random.default_rng(5)
    camera = CropCamera().resized(96)
    truth = np.zeros(len(model.modes))
    truth[:4] = rng.normal(0, 0.8, 4)
    pose = RigidPose(R=np.eye(3), t=np.zeros(3))
    paint = np.zeros((model.paint.shape[1], 3))
    paint[0], paint[1] = (0.8, 0.6, 0.5), (0.05, -0.1, -0.1)
    gamma = np.zeros((3, 9))
    gamma[:, 2], gamma[:, 3], gamma[:, 1] = 0.12, 0.15, -0.1
    look = Appearance(gamma=gamma, paint=paint)
    level = DenseLevel(size=96, blur_px=1.0, stride=1, n_light=4, n_steps=5)
    backdrop = np.zeros((96, 96, 3), np.float32)
    blank = DenseFit(model, backdrop, camera, level=level, priors=DensePriors())
    state = FitState(coefficients=truth, pose=pose)
    seen = visible_pixels(model, model.shape(truth), pose, camera)
    picture = blank.render(state, look, seen)
    # the picture is exact: hardly any noise, every pixel counts
    priors = DensePriors(sigma=0.01, patch_mm2=1.0)
    fit = DenseFit(model, picture, camera, level=level, priors=priors)
    start = replace(state, coefficients=np.zeros(len(truth)))
    found, found_look = fit_dense(fit, None, start, None)

    def error(coefficients):
        gap = model.shape(coefficients)[model.region] - model.shape(truth)[model.region]
        return np.sqrt((gap**2).sum(axis=1).mean())

    # size and depth of the relief stay open in one picture: not all of it can be found
    assert error(found.coefficients) < 0.6 * error(start.coefficients)
    after = fit.render(
        found,
        found_look,
        visible_pixels(model, model.shape(found.coefficients), found.pose, camera),
    )
    rows, cols = seen.rows[seen.inner], seen.cols[seen.inner]
    assert np.abs(after - picture)[rows, cols].mean() < 0.01


def test_fields_that_are_not_mid_band_hold_shifts_turns_and_growth(model):
    low = low_fields(model, model.mean)
    np.testing.assert_allclose(low.T @ low, np.eye(low.shape[1]), atol=1e-9)
    x = model.mean[model.region]
    for field in (np.ones_like(x), x - x.mean(axis=0), np.cross([0.1, -0.2, 0.3], x)):
        flat = field.reshape(-1)
        left = flat - low @ (low.T @ flat)
        assert np.linalg.norm(left) < 1e-8 * np.linalg.norm(flat)


def test_size_grows_by_its_slope_and_a_fit_can_hold_it(model):
    rng = np.random.default_rng(2)

    def size(shape):
        at = shape[model.region]
        return np.sqrt(((at - at.mean(axis=0)) ** 2).sum())

    slope, h = size_slope(model, model.mean), 1e-4
    direction = rng.normal(size=len(model.modes))
    moved = [size(model.shape(s * h * direction)) for s in (1, -1)]
    grown = (moved[0] - moved[1]) / (2 * h * size(model.mean))
    assert slope @ direction == pytest.approx(grown, rel=1e-3)

    # a face that is larger, in a picture and by its landmarks: only what holds its size stays
    camera = CropCamera().resized(64)
    truth = model.sigma * np.sign(slope) * (np.abs(slope) > np.quantile(np.abs(slope), 0.8))
    truth = np.clip(truth, model.low, model.high)
    pose = RigidPose(R=np.eye(3), t=np.zeros(3))
    state = FitState(coefficients=truth, pose=pose)
    seen = visible_pixels(model, model.shape(truth), pose, camera)
    paint = np.zeros((model.paint.shape[1], 3))
    paint[0] = (0.8, 0.6, 0.5)
    look = Appearance(gamma=np.full((3, 9), 0.02), paint=paint)
    sizes = []
    for holds in (False, True):
        level = DenseLevel(size=64, blur_px=1.0, stride=1, n_light=0, n_steps=2, holds_size=holds)
        blank = DenseFit(
            model, np.zeros((64, 64, 3), np.float32), camera, level=level, priors=DensePriors()
        )
        picture = blank.render(state, look, seen)
        fit = DenseFit(model, picture, camera, level=level, priors=DensePriors(patch_mm2=4.0))
        start = replace(state, coefficients=0.5 * truth)
        found, _ = fit_dense(fit, None, start, look)
        sizes.append(size(model.shape(found.coefficients)) / size(model.shape(0.5 * truth)) - 1)
    assert abs(sizes[1]) < 2e-4 < 10 * 2e-4 < abs(sizes[0])
