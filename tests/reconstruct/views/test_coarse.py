"""One face model in several views by landmarks: poses, faults, derivatives."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from facekit.core.errors import EstimationError, InputError
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.camera import Camera
from facekit.core.geometry.transform import Similarity, look_at, rotation_angle_deg
from facekit.reconstruct.facetensors import model_centre
from facekit.reconstruct.fit_model import fit_model
from facekit.reconstruct.views.coarse import CoarseConfig, CoarseHead, Expressions, fit_coarse
from facekit.reconstruct.views.coarse_state import (
    CoarseState,
    head_vertices,
    landmark_basis,
    view_rows,
)
from facekit.reconstruct.views.faceview import FaceView, FaceViews
from facekit.reconstruct.views.refit import refit_coefficients

FACE = procedural_head()
MODEL = fit_model(FACE, model_centre(FACE))
N_ID = MODEL.n_identity
LANDMARKS = CoarseConfig(refine=None)
YAWS = (-60.0, -30.0, 0.0, 30.0, 60.0)
NOISE_PX = 0.8  # with 1.1 px a millimetre: as good detectors are


def _camera(yaw_deg: float) -> Camera:
    yaw = np.radians(yaw_deg)
    target = np.array([0.0, 0.0, 40.0])
    center = target + 900 * np.array([np.sin(yaw), 0.1 * np.cos(3 * yaw), np.cos(yaw)])
    K = np.array([[1000.0, 0, 165.0], [0, 1004.0, 152.0], [0, 0, 1]])
    return Camera(
        name=f"yaw{yaw_deg:+.0f}", width=320, height=320, K=K,
        cam_from_world=look_at(center, target),
    )  # fmt: skip


def _truth(seed: int = 0, expression: str | None = None) -> np.ndarray:
    coefficients = np.zeros(len(MODEL.modes))
    coefficients[:N_ID] = 0.6 * np.random.default_rng(seed).normal(size=N_ID)
    if expression is not None:
        coefficients[N_ID + FACE.expression_names.index(expression)] = 0.7
    return coefficients


def _views(
    yaws: Sequence[float] = YAWS, *, world: Similarity | None = None, calibrated: bool = True,
    noise_px: float = NOISE_PX,
) -> FaceViews:  # fmt: skip
    rng = np.random.default_rng(5)
    points = head_vertices(MODEL, _truth())[MODEL.landmarks]
    views = []
    for yaw in yaws:
        camera = _camera(yaw)
        seen = camera.project(points)[0] + rng.normal(0, noise_px, (68, 2))
        views.append(
            FaceView(
                name=camera.name,
                image=np.zeros((320, 320, 3), np.float32),
                camera=camera if world is None else camera.moved(world),
                landmarks=seen,
                sigma_px=NOISE_PX,
            )
        )
    metric = calibrated and (world is None or world.scale == 1.0)
    return FaceViews(views=tuple(views), calibrated=calibrated, metric=metric)


def _with(views: FaceViews, at: int, landmarks: np.ndarray) -> FaceViews:
    changed = list(views.views)
    changed[at] = replace(changed[at], landmarks=landmarks)
    return replace(views, views=tuple(changed))


def _exchanged(views: FaceViews, a: int, b: int) -> FaceViews:
    marks = [views.views[i].landmarks for i in (a, b)]
    return _with(_with(views, a, marks[1]), b, marks[0])


def _fit(views: FaceViews, config: CoarseConfig = LANDMARKS) -> CoarseHead:
    return fit_coarse(views, MODEL, FACE, config)


def _front_error_mm(head: CoarseHead) -> float:
    """Return the median distance of landmarks from the truth, both in the head frame."""
    both = [head_vertices(MODEL, c)[MODEL.landmarks[17:]] for c in (head.coefficients, _truth())]
    return float(np.median(np.linalg.norm(both[0] - both[1], axis=1)))


def test_rows_are_derivatives_of_pixels():
    rng = np.random.default_rng(2)
    basis = landmark_basis(MODEL)
    n_exp = len(MODEL.modes) - N_ID
    turn = _camera(25.0).cam_from_world[:, :3]
    state = CoarseState(
        identity=rng.normal(size=N_ID), expressions=0.2 * rng.random((2, n_exp)),
        poses=(Similarity(scale=1.0, R=np.eye(3), t=np.zeros(3)),
               Similarity(scale=1.3, R=turn, t=np.array([4.0, -7.0, 12.0]))),
        log_focal=0.1,
    )  # fmt: skip
    camera = _camera(10.0)

    def pixels(at: CoarseState) -> np.ndarray:
        return view_rows(at, 1, camera, basis.at(at.coefficients(1)), basis.modes)[0]

    _, J = view_rows(state, 1, camera, basis.at(state.coefficients(1)), basis.modes)
    whole = np.zeros((68, 2, state.n))
    whole[:, :, state.columns(1)] = J
    for _ in range(3):
        step = 1e-5 * rng.normal(size=state.n)
        change = (pixels(state.stepped(step)) - pixels(state.stepped(-step))) / 2
        np.testing.assert_allclose(change, whole @ step, atol=1e-7)


def test_the_head_is_found_where_it_is_in_a_calibrated_world():
    turn = look_at(np.array([300.0, 40.0, 500.0]), np.zeros(3))[:, :3]
    world = Similarity(scale=1.0, R=turn, t=np.array([100.0, -30.0, 700.0]))
    head = _fit(_views(world=world))
    assert head.world_from_head is not None
    assert head.weight.tolist() == [1.0] * 5 and not head.remarks
    # 0.8 px in 260 measured points: a tenth of a millimetre each, and the shape's own error
    assert rotation_angle_deg(head.world_from_head.R @ turn.T) < 1.0
    assert np.linalg.norm(head.world_from_head.t - world.t) < 1.5
    assert _front_error_mm(head) < 1.0
    for camera, yaw in zip(head.cameras, YAWS, strict=True):
        true = _camera(yaw)
        points = head_vertices(MODEL, head.coefficients)[MODEL.landmarks[17:]]
        seen = true.project(head_vertices(MODEL, _truth())[MODEL.landmarks[17:]])[0]
        assert np.median(np.linalg.norm(camera.project(points)[0] - seen, axis=1)) < 1.0


def test_a_world_of_another_unit_gives_the_scale_of_the_head_in_it():
    world = Similarity(scale=0.01, R=np.eye(3), t=np.array([1.0, 2.0, 3.0]))
    head = _fit(_views(world=world))
    assert head.world_from_head is not None
    # a head's size is known to its landmarks' spread among people: some percent
    assert head.world_from_head.scale == pytest.approx(0.01, rel=0.05)
    distance = np.linalg.norm(head.cameras[2].center - np.array([0.0, 0.0, 40.0]))
    assert distance == pytest.approx(900, rel=0.05)


def test_without_cameras_places_the_views_poses_are_found():
    head = _fit(_views(calibrated=False))
    assert head.world_from_head is None
    for camera, yaw in zip(head.cameras, YAWS, strict=True):
        turn = camera.cam_from_world[:, :3] @ _camera(yaw).cam_from_world[:, :3].T
        assert rotation_angle_deg(turn) < 2.0  # far cameras: poses and depth trade off


@pytest.mark.parametrize("calibrated", [True, False])
@pytest.mark.parametrize("yaws", [(0.0,), (0.0, 30.0)])
def test_few_views_are_fitted(yaws: tuple[float, ...], calibrated: bool):
    head = _fit(_views(yaws, calibrated=calibrated))
    assert head.weight.tolist() == [1.0] * len(yaws)
    points = head_vertices(MODEL, head.coefficients)[MODEL.landmarks[17:]]
    true = _camera(yaws[0]).project(head_vertices(MODEL, _truth())[MODEL.landmarks[17:]])[0]
    assert np.median(np.linalg.norm(head.cameras[0].project(points)[0] - true, axis=1)) < 1.5


@pytest.mark.parametrize("calibrated", [True, False])
def test_a_view_without_a_face_is_named_and_changes_nothing(calibrated: bool):
    views = _views(calibrated=calibrated)
    head = _fit(_with(views, 3, np.full((68, 2), np.nan)))
    assert head.weight.tolist() == [1, 1, 1, 0, 1]
    assert "no face" in head.remarks["yaw+30"]
    rest = replace(views, views=tuple(v for i, v in enumerate(views.views) if i != 3))
    np.testing.assert_allclose(head.coefficients, _fit(rest).coefficients, atol=1e-6)


def test_no_face_at_all_is_an_error():
    views = _views((0.0, 30.0))
    for view in range(2):
        views = _with(views, view, np.full((68, 2), np.nan))
    with pytest.raises(EstimationError, match="no view shows a face"):
        _fit(views)


@pytest.mark.parametrize(("yaws", "a", "b"), [(YAWS, 0, 3), (YAWS[1:4], 0, 1), (YAWS[1:4], 0, 2)])
def test_exchanged_cameras_are_found_and_used(yaws: tuple[float, ...], a: int, b: int):
    clean, views = _views(yaws), _exchanged(_views(yaws), a, b)
    head = _fit(views)
    names = [view.name for view in views.views]
    assert set(head.remarks) == {names[a], names[b]}
    assert names[b] in head.remarks[names[a]]
    assert head.weight.tolist() == [1.0] * len(yaws)
    np.testing.assert_allclose(head.coefficients, _fit(clean).coefficients, atol=0.1)
    assert head.cameras[a].name == names[a]
    told = _fit(views, replace(LANDMARKS, exchange=False))
    if len(yaws) > 3:
        assert told.weight[[a, b]].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("calibrated", [True, False])
def test_a_view_of_another_expression_is_left_out(calibrated: bool):
    views = _views(calibrated=calibrated)
    other = head_vertices(MODEL, _truth(expression="jawOpen"))[MODEL.landmarks]
    head = _fit(_with(views, 1, _camera(YAWS[1]).project(other)[0]))
    assert head.weight.tolist() == [1, 0, 1, 1, 1]
    assert set(head.remarks) == {"yaw-30"}


def test_expressions_may_differ_where_that_is_told():
    views = _views((-30.0, 0.0, 30.0), calibrated=False, noise_px=0.3)
    other = head_vertices(MODEL, _truth(expression="jawOpen"))[MODEL.landmarks]
    views = _with(views, 1, _camera(0.0).project(other)[0])
    config = replace(LANDMARKS, expressions=Expressions.PER_VIEW)
    head = _fit(views, config)
    assert head.weight.tolist() == [1, 1, 1] and head.expressions is not None
    opened = head.expressions[:, FACE.expression_names.index("jawOpen")]
    assert opened[1] > 0.4 > 0.2 > max(opened[0], opened[2])
    np.testing.assert_allclose(head.coefficients[N_ID:], head.expressions.mean(axis=0))


def test_measured_vertices_lead_back_to_their_coefficients():
    true = _truth(3)
    target = head_vertices(MODEL, true)
    weight = MODEL.region.astype(np.float64)
    wild = np.flatnonzero(MODEL.region)[::50]
    target[wild[::2]] += 300.0  # nothing of the kind is skin
    target[wild[1::2]] = np.nan
    found = refit_coefficients(MODEL, target, weight, np.zeros(len(true)), sigma_mm=0.05)
    gap = head_vertices(MODEL, found) - head_vertices(MODEL, true)
    assert np.median(np.linalg.norm(gap[MODEL.region], axis=1)) < 0.1
    unknown = refit_coefficients(MODEL, target, np.zeros(len(target)), true)
    np.testing.assert_array_equal(unknown, true)
    with pytest.raises(InputError, match="vertices"):
        refit_coefficients(MODEL, target[:10], weight, true)
