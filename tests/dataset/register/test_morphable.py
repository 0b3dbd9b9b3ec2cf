"""The morphable fit: priors, landmarks, the box of activations."""

import numpy as np
import pytest

from facekit.core.facemodel.model import FaceModel
from facekit.dataset.register.fitstate import LandmarkTerm, Stage
from facekit.dataset.register.modelrows import FitBasis, fit_basis, skin_mask
from facekit.dataset.register.morphable import box_step, fit_morphable, start_fit
from facekit.dataset.register.pose import stepped
from facekit.dataset.register.surface import Cells, CellTarget


@pytest.fixture(scope="module")
def basis(head: FaceModel) -> FitBasis:
    return fit_basis(head)


def _nothing() -> CellTarget:
    far = np.array([[1e4, 0, 0]])
    return CellTarget(
        Cells(points=far, normals=far / 1e4, weights=np.ones(1), spacing=1.0, area=1.0)
    )


def test_skin_leaves_out_eyes_and_mouth(head: FaceModel):
    mask = skin_mask(head)
    assert mask[head.regions["face"]].mean() > 0.8
    assert not mask[head.regions["eyes"]].any()
    assert not mask[head.regions["mouth_interior"]].any()


def test_without_data_the_priors_hold_the_mean(basis: FitBasis, head: FaceModel):
    stage = Stage(reach_mm=5, cosine=0.5, sigma_mm=1, n_steps=2, n_identity=99, n_expression=99)
    start = start_fit(head)
    fit = fit_morphable(
        basis, [_nothing()], start, stages=[stage], with_scale=True, landmarks=[None]
    )
    np.testing.assert_allclose(fit.identity, 0, atol=1e-9)
    np.testing.assert_allclose(fit.takes[0].expression, 0, atol=1e-9)
    np.testing.assert_allclose(fit.takes[0].pose.R, np.eye(3), atol=1e-9)


def test_exact_landmarks_alone_give_the_pose(basis: FitBasis, head: FaceModel):
    true = stepped(start_fit(head).takes[0].pose, np.array([0.1, -0.2, 0.1, 4, -6, 3, 0.0]))
    term = LandmarkTerm(points=true(head.mean[head.landmarks68]), sigma=np.full(68, 0.1))
    fit = fit_morphable(
        basis,
        [_nothing()],
        start_fit(head),
        stages=[Stage(reach_mm=5, cosine=0.5, sigma_mm=1, n_steps=20)],
        with_scale=False,
        landmarks=[term],
    )
    pose = fit.takes[0].pose
    assert pose.scale == 1.0
    np.testing.assert_allclose(pose(head.mean), true(head.mean), atol=0.01)


def test_box_step_meets_the_conditions_of_optimality():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((12, 12))
    H, g = root @ root.T + np.eye(12), 5 * rng.standard_normal(12)
    low, high = np.full(12, -0.3), np.full(12, 0.3)
    moves = np.ones(12, bool)
    moves[3] = False
    x = box_step(H, g, moves=moves, low=low, high=high)
    assert x[3] == 0
    assert (x >= low).all()
    assert (x <= high).all()
    inside = moves & (x > low) & (x < high)
    np.testing.assert_allclose((H @ x - g)[inside], 0, atol=1e-9)
