"""Procedural noise: ranges, moments and independence of its streams."""

import numpy as np
from numba import njit

from facekit.capture.virtual.noise import dents, gradient_noise, normal_deviate


@njit
def many_gradients(points, seed):
    out = np.zeros(len(points))
    for i in range(len(points)):
        out[i] = gradient_noise(points[i, 0], points[i, 1], points[i, 2], seed)
    return out


@njit
def many_dents(points, seed):
    out = np.zeros(len(points))
    for i in range(len(points)):
        out[i] = dents(points[i, 0], points[i, 1], points[i, 2], seed, 0.75, 0.2, 0.42)
    return out


@njit
def many_deviates(n, seed):
    out = np.zeros(n)
    for i in range(n):
        out[i] = normal_deviate(i, seed)
    return out


def test_gradient_noise_is_centred_bounded_and_zero_on_the_lattice(
    rng: np.random.Generator,
) -> None:
    points = rng.uniform(-50, 50, (20_000, 3))
    values = many_gradients(points, 7)
    assert np.abs(values).max() <= 1
    assert abs(values.mean()) < 0.01  # sd 0.25 over 20,000 draws: 0.002
    assert 0.2 < values.std() < 0.32
    assert np.abs(many_gradients(np.floor(points), 7)).max() == 0


def test_gradient_noise_is_smooth(rng: np.random.Generator) -> None:
    points = rng.uniform(-20, 20, (5_000, 3))
    step = many_gradients(points + [1e-4, 0, 0], 7) - many_gradients(points, 7)
    assert np.abs(step).max() < 5e-4  # the steepest slope is near 3 a cell


def test_seeds_give_unrelated_noise(rng: np.random.Generator) -> None:
    points = rng.uniform(-50, 50, (20_000, 3))
    correlation = np.corrcoef(many_gradients(points, 1), many_gradients(points, 2))[0, 1]
    assert abs(correlation) < 0.03


def test_dents_are_round_and_sparse(rng: np.random.Generator) -> None:
    points = rng.uniform(-50, 50, (50_000, 3))
    values = many_dents(points, 3)
    assert values.min() >= 0 and values.max() <= 1
    # 0.75 balls a cell, mean volume 4/3 pi E[r^3] = 0.134: a tenth of space, less overlaps
    assert 0.06 < (values > 0).mean() < 0.12


def test_dents_have_no_edges(rng: np.random.Generator) -> None:
    points = rng.uniform(-20, 20, (50_000, 3))
    step = many_dents(points + [1e-4, 0, 0], 3) - many_dents(points, 3)
    # d/dr (1 - (r/R)^2)^2 is at most 1.54 / R = 7.7
    assert np.abs(step).max() < 8e-4


def test_deviates_are_normal_and_white() -> None:
    values = many_deviates(200_000, np.uint64(12345))
    assert abs(values.mean()) < 0.01 and abs(values.std() - 1) < 0.01
    assert 0.66 < (np.abs(values) < 1).mean() < 0.70
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.01
