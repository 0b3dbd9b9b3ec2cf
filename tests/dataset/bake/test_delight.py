"""Light in spherical harmonics: its laws, and that it is found again."""

import numpy as np
import pytest

from facekit.core.errors import EstimationError
from facekit.dataset.bake.albedo_kernels import weighted_quantile
from facekit.dataset.bake.delight import (
    Light,
    convolved,
    estimate_light,
    harmonics,
    irradiance,
    normalised_light,
    transfer,
)
from facekit.dataset.bake.seams import filled, gains


def _unit_vectors(rng: np.random.Generator, n: int) -> np.ndarray:
    v = rng.standard_normal((n, 3))
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def test_harmonics_are_orthonormal_on_the_sphere(rng: np.random.Generator) -> None:
    basis = harmonics(_unit_vectors(rng, 200_000))
    # 200 000 draws: a standard error of 1 to 2 / sqrt(n)
    np.testing.assert_allclose(basis.T @ basis / len(basis), np.eye(9), atol=0.015)


def test_open_transfer_is_the_irradiance_of_the_harmonics(rng: np.random.Generator) -> None:
    """A lone triangle hides nothing, so that rays must give the analytic convolution."""
    for _ in range(3):
        a = np.eye(3) + 0.2 * rng.standard_normal((3, 3))
        normal = np.cross(a[1] - a[0], a[2] - a[0])
        normal /= np.linalg.norm(normal)
        face = np.array([[0, 1, 2]], np.int32)
        found = transfer(a, np.tile(normal, (3, 1)), face, n_rays=4000, offset=0.01)
        for k in range(9):
            analytic = irradiance(np.eye(9)[k], normal[None])[0]
            assert found[0, k] == pytest.approx(analytic, abs=0.01)


def test_a_wall_takes_half_the_light(rng: np.random.Generator) -> None:
    """Beside a large wall half of the sky is hidden."""
    floor = np.array([[0, 0, 0], [1, 0, 0], [0, 0, -1.0]])  # its normal: +y
    wall = np.array([[-0.01, -1, -9999], [-0.01, -1, 9999], [-0.01, 9999, 0.0]])
    found = transfer(
        np.concatenate([floor, wall]), np.tile([0, 1.0, 0], (6, 1)),
        np.array([[3, 4, 5]], np.int32), n_rays=4000, offset=1e-3,
    )  # fmt: skip
    assert found[0, 0] == pytest.approx(0.5, abs=0.02)


def test_convolved_factors_are_the_same_function(rng: np.random.Generator) -> None:
    n, light = _unit_vectors(rng, 50), rng.standard_normal(9)
    x, y, z = n.T
    k = convolved(light)
    terms = [1 + 0 * x, y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y]
    np.testing.assert_allclose(k @ np.array(terms), irradiance(light, n), atol=1e-12)


def test_light_is_found_under_a_fifth_of_other_albedo(rng: np.random.Generator) -> None:
    normals = _unit_vectors(rng, 6000)
    normals = normals[normals[:, 2] > -0.2]
    received = harmonics(normals) * np.array([1, *[2 / 3] * 3, *[1 / 4] * 5])
    true = np.array([1, 0.3, 0.4, -0.1, 0.02, 0.05, 0.05, 0.03, -0.06])
    albedo = np.array([0.5, 0.3, 0.2]) * rng.normal(1, 0.05, (len(normals), 1))
    brows = rng.random(len(normals)) < 0.2
    albedo[brows] *= 0.25
    colors = albedo * (received @ true)[:, None]
    light = estimate_light(colors, received, np.ones(len(colors)), stiffness=1e-4)
    found, _ = normalised_light(light, received, np.array([0, 0, 1.0]), darkest=0.25)
    ratio = found / (received @ true)
    assert ratio.std() / ratio.mean() < 0.02
    assert light.spread == pytest.approx(0.05, rel=0.5)


def test_too_little_skin_for_light_is_told() -> None:
    with pytest.raises(EstimationError, match="needed for light"):
        estimate_light(np.ones((5, 3)), np.ones((5, 9)), np.ones(5), stiffness=0.1)


def test_weighted_quantile_is_numpys_median_for_equal_weights(rng: np.random.Generator) -> None:
    colors = rng.random((5, 4, 4, 3)).astype(np.float32)
    out = np.zeros((4, 4, 3), np.float32)
    weighted_quantile(0, 4, colors, np.ones((5, 4, 4), np.float32), 0.5, out)
    np.testing.assert_allclose(out, np.median(colors, axis=0), atol=1e-6)


def test_a_view_that_fades_leaves_no_step(rng: np.random.Generator) -> None:
    colors = rng.random((4, 1, 1, 3)).astype(np.float32)
    weights = np.ones((4, 1, 1), np.float32)
    with_, without = np.zeros((2, 1, 1, 3), np.float32)
    weights[2] = 1e-5
    weighted_quantile(0, 1, colors, weights, 0.35, with_)
    weights[2] = 0
    weighted_quantile(0, 1, colors, weights, 0.35, without)
    np.testing.assert_allclose(with_, without, atol=1e-3)


def test_filling_keeps_what_is_known_and_stays_within_it(rng: np.random.Generator) -> None:
    values = rng.uniform(0.2, 0.8, (37, 37, 3)).astype(np.float32)
    known = (rng.random((37, 37)) < 0.3).astype(np.float32)
    out = filled(values * known[..., None], known)
    np.testing.assert_allclose(out[known > 0], values[known > 0], atol=1e-6)
    assert out.min() > 0.19 and out.max() < 0.81


def test_gains_along_a_chain_of_views() -> None:
    """First and last share nothing, and still are brought together."""
    true = np.array([0.7, 1.0, 1.1, 1.3])
    colors = np.ones((4, 20, 20, 3), np.float32) * true[:, None, None, None].astype(np.float32)
    weights = np.zeros((4, 20, 20), np.float32)
    for k in range(4):
        weights[k, :, 4 * k : 4 * k + 8] = 1
    found = gains(0.3 * colors, weights, prior=1e-4)
    product = found * true[:, None]
    np.testing.assert_allclose(product, product[0, 0], rtol=1e-3)


def test_no_vertex_is_darker_than_told(rng: np.random.Generator) -> None:
    """A nostril that receives nothing is divided by `darkest`, not by nothing."""
    normals = _unit_vectors(rng, 200)
    received = harmonics(normals) * np.array([1, *[2 / 3] * 3, *[1 / 4] * 5])
    received[:20] = 0
    light = Light(coefficients=np.array([1.0, 0, 0.5, 0, 0, 0, 0, 0, 0]), spread=0.1)
    level, _ = normalised_light(light, received, np.array([0, 0, 1.0]), darkest=0.4)
    assert level.min() == pytest.approx(0.4) and (level[:20] == level.min()).all()
    free, _ = normalised_light(light, received, np.array([0, 0, 1.0]), darkest=0.01)
    np.testing.assert_array_equal(level[level > 0.4], free[level > 0.4])
