"""Spherical-harmonics light: constants, signs, and what they stand for."""

import math

import numpy as np
import torch

from facekit.core.rendering.shading import irradiance, sh_basis, shade


def test_constants_are_the_published_ones() -> None:
    x, y, z = 0.36, 0.48, 0.8  # a unit vector
    k0, k1, k2, k3, k4 = 0.886227, 1.772454, 2.427032, 0.700624, 1.213516
    expected = [
        k0, -k1 * y, k1 * z, -k1 * x, k2 * x * y, -k2 * y * z, k3 * (3 * z * z - 1),
        -k2 * x * z, k4 * (x * x - y * y),
    ]  # fmt: skip
    found = sh_basis(torch.tensor([x, y, z], dtype=torch.float64))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_without_light_the_ambient_part_is_left() -> None:
    normals = torch.nn.functional.normalize(torch.randn(2, 5, 7, 3), dim=-1)
    lit = irradiance(normals, torch.zeros(2, 3, 9))
    torch.testing.assert_close(lit, torch.full((2, 5, 7, 3), 0.8 * 0.886227), atol=1e-6, rtol=0)


def test_harmonics_are_orthonormal_but_for_a_factor_a_band() -> None:
    """Integrals over 20,000 evenly spread directions are good to 1e-3."""
    n = 20000
    i = np.arange(n) + 0.5
    z = 1 - 2 * i / n
    angle = np.pi * (1 + math.sqrt(5)) * i
    r = np.sqrt(1 - z * z)
    directions = torch.tensor(np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=1))
    factors = [math.pi] + [2 * math.pi / math.sqrt(3)] * 3 + [2 * math.pi / math.sqrt(8)] * 5
    pure = sh_basis(directions) / torch.tensor(factors)
    gram = pure.T @ pure * (4 * math.pi / n)
    torch.testing.assert_close(gram, torch.eye(9).double(), atol=1e-3, rtol=0)


def test_light_from_the_left_brightens_the_left() -> None:
    gamma = torch.zeros(1, 3, 9)
    gamma[..., 3] = 0.3  # its harmonic is -x
    sides = torch.tensor([[[-1.0, 0, 0], [1.0, 0, 0]]])
    left, right = irradiance(sides, gamma)[0, :, 0]
    assert left > right


def test_colour_is_albedo_times_light_each_batch_its_own() -> None:
    gamma = torch.randn(3, 3, 9)
    normals, albedo = torch.randn(3, 4, 5, 3), torch.rand(3, 4, 5, 3)
    together = shade(albedo, normals, gamma)
    for b in range(3):
        alone = albedo[b] * irradiance(normals[b : b + 1], gamma[b : b + 1])[0]
        torch.testing.assert_close(together[b], alone)
    factor = gamma[1].clone()
    factor[:, 0] += 0.8
    by_hand = sh_basis(normals[1, 2, 3]) @ factor.T
    torch.testing.assert_close(together[1, 2, 3], albedo[1, 2, 3] * by_hand)
