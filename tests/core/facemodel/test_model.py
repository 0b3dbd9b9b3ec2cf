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
    ],
)
def test_damaged_models_are_refused(
    model: FaceModel, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ModelFileError, match=complaint):
        replace(model, **changes)
