"""Virtual people as training data: the same each time, and true."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facekit.core.errors import ConfigError
from facekit.core.facemodel.ict import load_ict
from facekit.core.facemodel.model import FaceModel
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.mesh import vertex_normals
from facekit.reconstruct.samples.carried import carry
from facekit.reconstruct.samples.modes import nearest_modes
from facekit.reconstruct.samples.people import (
    PeopleConfig,
    draw_expression,
    draw_lights,
    draw_person,
)
from facekit.reconstruct.samples.sample import FIELD, Sample
from facekit.reconstruct.samples.virtual import VirtualConfig, VirtualSource

SIZE = 160


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return procedural_head()


@pytest.fixture(scope="module")
def source(model: FaceModel) -> VirtualSource:
    return VirtualSource(model, VirtualConfig(seed=3, n_people=2, takes=1, views=2, size=SIZE))


@pytest.fixture(scope="module")
def samples(source: VirtualSource) -> list[Sample]:
    return [source[i] for i in range(len(source))]


def pixels(sample: Sample) -> np.ndarray:
    truth = sample.truth
    assert truth is not None
    vertices = np.column_stack([truth.vertices, np.ones(len(truth.vertices))])
    xyz = vertices @ (truth.K @ truth.cam_from_head).T
    return xyz[:, :2] / xyz[:, 2:]


def test_a_sample_is_the_same_whenever_and_wherever_it_is_asked_for(
    source: VirtualSource, samples: list[Sample]
) -> None:
    fresh = pickle.loads(pickle.dumps(source))
    again = fresh[3]  # the second person's second view, without the views before it
    np.testing.assert_array_equal(again.image, samples[3].image)
    np.testing.assert_array_equal(again.landmarks, samples[3].landmarks)
    assert again.truth is not None and samples[3].truth is not None
    np.testing.assert_array_equal(again.truth.vertices, samples[3].truth.vertices)


def test_samples_are_ordered_by_people_and_end(
    source: VirtualSource, samples: list[Sample]
) -> None:
    assert [s.person for s in samples] == ["virtual-3-0"] * 2 + ["virtual-3-1"] * 2
    with pytest.raises(IndexError):
        source[len(source)]


def test_views_of_a_take_share_the_face_but_not_the_camera(samples: list[Sample]) -> None:
    one, other = samples[0].truth, samples[1].truth
    assert one is not None and other is not None
    np.testing.assert_array_equal(one.vertices, other.vertices)
    assert np.abs(one.cam_from_head - other.cam_from_head).max() > 1e-3


def test_true_vertices_project_onto_the_picture_of_the_head(samples: list[Sample]) -> None:
    # the relief is at most 0.5 mm, a pixel about 1.6 mm: what is seen of the face lies on the mask
    for sample in samples:
        xy = pixels(sample)
        truth = sample.truth
        assert truth is not None
        inside = ((xy > 1) & (xy < SIZE - 1)).all(axis=1)
        column, row = np.floor(xy[inside]).astype(int).T
        assert (sample.mask[row, column] == 255).mean() > 0.97


def test_the_face_fills_the_inner_field_of_the_crop(
    model: FaceModel, samples: list[Sample]
) -> None:
    # a unit of 100 mm is 102 px of 224 of the inner field: the eyes of a head are about 62 mm apart
    frontal = min(samples, key=lambda s: abs(s.truth.cam_from_head[0, 2]))  # type: ignore[union-attr]
    xy = pixels(frontal)[model.landmarks68]
    eyes = np.linalg.norm(xy[36:42].mean(axis=0) - xy[42:48].mean(axis=0))
    expected = 0.62 * 102 / 224 * SIZE / FIELD
    assert eyes == pytest.approx(expected, rel=0.25)  # people differ, and views turn
    centre = xy[[36, 39, 42, 45, 30, 48, 54]].mean(axis=0)
    np.testing.assert_allclose(centre, SIZE / 2, atol=0.12 * SIZE)


def test_landmarks_are_noisy_by_as_much_as_a_detector(
    model: FaceModel, samples: list[Sample]
) -> None:
    gaps = [s.landmarks - pixels(s)[model.landmarks68] for s in samples]
    sd = np.array([gap.std() for gap in gaps]) * 224 * FIELD / SIZE
    # drawn between 0.4 and 2.2 px of 224; 136 numbers tell an sd to 6 %
    assert (sd > 0.3).all() and (sd < 2.6).all()


def test_the_displacement_is_the_relief_that_the_picture_shows(samples: list[Sample]) -> None:
    truth = samples[0].truth
    assert truth is not None
    d = truth.displacement[truth.displacement_valid]
    assert 0.01 < d.std() < 0.3
    assert np.abs(d).max() <= 0.5
    assert (truth.displacement[~truth.displacement_valid] == 0).all()


def test_the_quick_picture_shows_the_same_person_in_the_same_place(
    model: FaceModel, samples: list[Sample], source: VirtualSource
) -> None:
    quick = VirtualSource(model, replace(source.config, quick=True))[0]
    full = samples[0]
    assert quick.truth is not None and full.truth is not None
    np.testing.assert_array_equal(quick.truth.vertices, full.truth.vertices)
    np.testing.assert_array_equal(quick.truth.cam_from_head, full.truth.cam_from_head)
    np.testing.assert_array_equal(quick.landmarks, full.landmarks)
    # outlines move by less than a pixel; shadows are estimated from a quarter of the rays
    assert (quick.mask != full.mask).mean() < 0.02
    shown = full.mask == 255
    apart = np.abs(quick.image.astype(float) - full.image)[shown].mean()
    other = np.abs(samples[2].image.astype(float) - full.image)[shown].mean()
    assert apart < 0.25 * other


def test_settings_that_cannot_be_are_refused() -> None:
    for wrong in ({"n_people": 0}, {"views": 0}, {"heads": ()}, {"size": 8}):
        with pytest.raises(ConfigError):
            VirtualConfig(**wrong)


def test_modes_of_a_shape_of_the_model_are_found_again(model: FaceModel) -> None:
    rng = np.random.default_rng(0)
    identity = 0.7 * rng.standard_normal(model.n_identity)
    modes = nearest_modes(model, np.ones(model.n_vertices))
    shape = model.shape(identity)
    found = model.shape(*modes.nearest(shape))
    face = model.regions["face"]
    # the prior pulls each coefficient by a hundredth or so of itself: hundredths of a mm
    assert np.linalg.norm(found - shape, axis=1)[face].max() < 0.3


def test_a_model_lies_on_itself(model: FaceModel) -> None:
    carried = carry(model, model)
    shape = model.shape(np.ones(3))
    np.testing.assert_allclose(carried.vertices(shape), shape, atol=1e-9)


def test_expressions_are_activations_and_both_sides_move_alike(model: FaceModel) -> None:
    config = PeopleConfig(neutral_share=0.0)
    rng = np.random.default_rng(0)
    for _ in range(50):
        drawn = draw_expression(model.expression_names, config, rng)
        assert drawn and all(0 <= value <= 1 for value in drawn.values())
        for name in drawn:
            if name.endswith("_L"):
                assert name.removesuffix("_L") + "_R" in drawn


def test_light_is_as_bright_wherever_it_comes_from() -> None:
    rng = np.random.default_rng(0)
    forward = np.array([0.0, 0.0, 1.0])
    for share in (0.0, 1.0):
        config = PeopleConfig(studio_share=share)
        found = [draw_lights(config, rng).irradiance(forward) for _ in range(40)]
        assert np.median(found) == pytest.approx(1.0, abs=0.02)
        assert max(found) < 1.02  # dimmer where the lights stand aside


def test_people_differ_and_some_are_beyond_the_model(model: FaceModel) -> None:
    config = PeopleConfig(beyond_share=0.5)
    people = [draw_person(model, config, seed=1, number=k) for k in range(12)]
    beyond = [np.abs(p.vertices() - model.shape(p.identity)).max() > 1e-6 for p in people]
    assert 0 < sum(beyond) < 12
    assert len({round(float(p.identity[0]), 6) for p in people}) == 12
    same = draw_person(model, config, seed=1, number=5)
    np.testing.assert_array_equal(same.vertices(), people[5].vertices())
    assert replace(same.skin) == people[5].skin


@pytest.mark.slow
def test_people_of_another_model_keep_their_surface(model: FaceModel, shared_data: Path) -> None:
    ict = load_ict(shared_data / "ict_face_model" / "ict_face_model.npz")
    carried = carry(model, ict)
    face = model.regions["frontal_face"] & (carried.support > 0.5)
    assert face.sum() > 0.8 * model.regions["frontal_face"].sum()
    shape = ict.shape(0.7 * np.random.default_rng(0).standard_normal(ict.n_identity))
    laid = carried.vertices(shape)
    ours = vertex_normals(laid, model.faces)
    rest = vertex_normals(carried.vertices(ict.mean), model.faces)
    # another identity bends the face, but folds nothing over
    assert (np.einsum("ij,ij->i", ours, rest)[face] > 0.5).mean() > 0.995
