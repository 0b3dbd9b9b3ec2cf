"""`FaceModel`: checks on what it is made of, and the linear model itself."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from facekit.core.errors import InputError, ModelFileError
from facekit.core.facemodel.model import FaceModel


@pytest.fixture
def model(rng: np.random.Generator) -> FaceModel:
    n = 70
    return FaceModel(
        name="tiny",
        mean=rng.normal(size=(n, 3)),
        faces=np.array([[0, 1, 2], [2, 1, 3]], np.int32),
        uv=rng.random((4, 2)),
        faces_uv=np.array([[0, 1, 2], [2, 1, 3]], np.int32),
        identity=rng.normal(size=(2, n, 3)).astype(np.float32),
        identity_names=("wide", "long"),
        identity_sigma=np.array([2.0, 0.5]),
        expression=rng.normal(size=(2, n, 3)).astype(np.float32),
        expression_names=("smile", "frown"),
        landmarks68=np.arange(68, dtype=np.int32),
    )


def test_shapes_are_linear_in_the_coefficients(model: FaceModel) -> None:
    both = model.shape({"wide": 1.5}, {"frown": 0.25})
    expected = model.mean + 1.5 * 2.0 * model.identity[0] + 0.25 * model.expression[1]
    np.testing.assert_allclose(both, expected, atol=1e-6)
    np.testing.assert_array_equal(model.shape(np.array([1.5])), model.shape({"wide": 1.5}))


def test_unknown_and_surplus_coefficients_are_refused(model: FaceModel) -> None:
    with pytest.raises(InputError, match="no mode 'tall'; known: wide, long"):
        model.shape({"tall": 1.0})
    with pytest.raises(InputError, match="3,"):
        model.shape(np.zeros(3))


def test_identities_follow_the_population(model: FaceModel, rng: np.random.Generator) -> None:
    drawn = np.array([model.sample_identity(rng, strength=0.7) for _ in range(2000)])
    # sd of the sd of 4000 numbers: 0.7 / sqrt(8000) = 0.008
    assert abs(drawn.std() - 0.7) < 0.03


def test_what_is_not_given_is_filled_in(model: FaceModel) -> None:
    np.testing.assert_array_equal(model.expression_sigma, [1, 1])
    np.testing.assert_array_equal(model.chart_faces, [True, True])
    assert model.n_albedo == 0 and model.colors() is None
    assert model.unit_mm == 1 and model.expression_range == (0, 1)
    part = replace(model, chart_faces=np.array([True, False]))
    np.testing.assert_array_equal(replace(part, name="other").chart_faces, [True, False])


def test_colours_are_linear_in_their_own_encoding(model: FaceModel) -> None:
    mode = np.full((1, 70, 3), 0.1, np.float32)
    painted = replace(
        model, albedo_mean=np.full((70, 3), 0.5, np.float32), albedo=mode,
        albedo_names=("bright",), albedo_sigma=np.array([2.0]),
    )  # fmt: skip
    colors = painted.colors({"bright": 0.5})
    assert colors is not None
    # sRGB 0.5 + 0.5 * 2 * 0.1 = 0.6, decoded by IEC 61966-2-1
    np.testing.assert_allclose(colors, ((0.6 + 0.055) / 1.055) ** 2.4, rtol=1e-4)
    light = replace(painted, albedo_encoding="linear").colors([0.5])
    np.testing.assert_allclose(light, 0.6, rtol=1e-6)
    assert painted.colors([1e3]).max() == 1.0  # type: ignore[union-attr]
    with pytest.raises(InputError, match="albedo: no mode 'dark'"):
        painted.colors({"dark": 1.0})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"mean": np.zeros((70, 2))}, "mean: shape"),
        ({"mean": np.full((70, 3), np.nan)}, "mean: holds NaN"),
        ({"faces": np.array([[0, 1, 70]] * 2, np.int32)}, "faces: indices"),
        ({"faces": np.array([[0, 1, 2]] * 2)}, "faces: int64"),
        ({"identity_sigma": np.array([1.0, 0.0])}, "identity_sigma"),
        ({"expression_names": ("smile", "smile")}, "stands twice"),
        ({"regions": {"nose": np.zeros(3, bool)}}, "regions"),
        ({"weights": {"nose": np.full(70, 1.5)}}, "weights"),
        ({"expression_sigma": np.ones(3)}, "expression_sigma: shape"),
        ({"expression_sigma": np.array([1.0, -1.0])}, "expression_sigma: not all"),
        ({"expression_range": (0.5, 1.0)}, "expression_range"),
        ({"chart_faces": np.ones(2, np.int32)}, "chart_faces"),
        ({"unit_mm": 0.0}, "unit_mm"),
        ({"albedo_names": ("dark",)}, "albedo_sigma: shape|albedo: absent"),
        ({"albedo": np.zeros((0, 70, 3))}, "albedo_mean: absent"),
        ({"albedo_mean": np.zeros((70, 4))}, "albedo_mean: shape"),
    ],
)
def test_damaged_models_are_refused(
    model: FaceModel, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ModelFileError, match=complaint):
        replace(model, **changes)
