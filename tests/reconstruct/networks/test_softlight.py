"""Soft light, its inverse, and the albedo made with it, against the plain formulas."""

import pytest
import torch
from torch import Tensor

from facekit.reconstruct.networks.softlight import (
    NEUTRAL,
    blend_target,
    deretouched_albedo,
    soft_light,
)

LEVEL = 1.0 / 255.0


def grid(dtype: torch.dtype = torch.float64, n: int = 101) -> tuple[Tensor, Tensor]:
    axis = torch.linspace(0.0, 1.0, n, dtype=dtype)
    texture, layer = torch.meshgrid(axis, axis, indexing="ij")
    return texture, layer


def test_soft_light_is_the_published_polynomial() -> None:
    texture, layer = grid()
    expected = (1.0 - 2.0 * layer) * texture**2 + 2.0 * layer * texture
    torch.testing.assert_close(soft_light(texture, layer), expected, rtol=0, atol=1e-15)
    assert expected.min() >= 0.0 and expected.max() <= 1.0


def test_the_neutral_layer_changes_nothing() -> None:
    texture, layer = grid()
    neutral = torch.full_like(layer, NEUTRAL)
    torch.testing.assert_close(soft_light(texture, neutral), texture, rtol=0, atol=1e-15)
    torch.testing.assert_close(
        deretouched_albedo(layer, texture, neutral), layer, rtol=0, atol=1e-15
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_target_inverts_soft_light(dtype: torch.dtype, tolerance: float) -> None:
    """Where the change is a level or more, 2 s (1 - s) >= 1 / 255: rounding grows 255-fold.

    Layers of 0 and 1, which rounding takes out of their range, are among them.
    """
    texture, layer = grid(dtype)
    retouched = soft_light(texture, layer)
    changed = (retouched - texture).abs() >= LEVEL
    assert changed.float().mean() > 0.85
    found = blend_target(texture, retouched)
    torch.testing.assert_close(found[changed], layer[changed], rtol=0, atol=tolerance)
    assert (found[~changed] == NEUTRAL).all()


def test_the_target_is_neutral_where_no_layer_will_do() -> None:
    texture = torch.tensor([0.0, 1.0, 0.1, 0.5, 0.5, 0.5])
    retouched = torch.tensor([0.5, 0.5, 0.9, 0.1, 0.5 + 0.9 * LEVEL, 0.5 + 1.1 * LEVEL])
    found = blend_target(texture, retouched)
    assert (found[:5] == NEUTRAL).all() and found[5] > NEUTRAL
    with_none = blend_target(texture[:, None, None], retouched[:, None, None], skin=torch.zeros(1))
    assert (with_none == NEUTRAL).all()


def test_the_albedo_is_the_published_quotient() -> None:
    texture, layer = grid()
    albedo = torch.full_like(texture, 0.7)
    retouched = (1.0 - 2.0 * layer) * texture**2 + 2.0 * layer * texture
    phi = 1e6 * retouched**3 + 1e-6
    expected = albedo * (texture + 1.0 / phi) / (retouched + 1.0 / phi)
    found = deretouched_albedo(albedo, texture, layer)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)


def test_single_precision_keeps_six_digits() -> None:
    """At 1 / phi = 1e6 the published form adds the texture to a million and loses it."""
    texture, layer = grid(torch.float32)
    albedo = torch.full_like(texture, 0.7)
    exact = deretouched_albedo(albedo.double(), texture.double(), layer.double())
    found = deretouched_albedo(albedo, texture, layer).double()
    torch.testing.assert_close(found, exact, rtol=2e-6, atol=0)


def test_dark_texels_keep_their_albedo_and_spots_go_into_it() -> None:
    one = torch.ones(1)
    assert deretouched_albedo(one, torch.zeros(1), torch.zeros(1)).item() == 1.0
    # A mole at half the skin's brightness that the layer lifts by half again makes the albedo
    # two thirds; the damping is 1 / (1e6 * 0.375^3) of that, 2e-5.
    mole, layer = torch.tensor([0.25]), torch.tensor([0.5 + 0.125 / (2 * 0.25 * 0.75)])
    assert soft_light(mole, layer).item() == pytest.approx(0.375)
    assert deretouched_albedo(one, mole, layer).item() == pytest.approx(2 / 3, abs=5e-5)


def test_gradients_are_finite_at_the_ends() -> None:
    texture = torch.tensor([0.0, 0.0, 1.0, 1.0], requires_grad=True)
    layer = torch.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    deretouched_albedo(torch.ones(4), texture, layer).sum().backward()  # type: ignore[no-untyped-call]
    assert texture.grad is not None and torch.isfinite(texture.grad).all()
    assert layer.grad is not None and torch.isfinite(layer.grad).all()


def test_a_saturated_target_comes_as_near_as_a_layer_can() -> None:
    """Of a texture s layers reach s^2 to s (2 - s), all in between."""
    texture, wanted = grid()
    saturated = blend_target(texture, wanted, saturated=True)
    nearest = torch.minimum(torch.maximum(wanted, texture**2), texture * (2.0 - texture))
    torch.testing.assert_close(soft_light(texture, saturated), nearest, rtol=0, atol=LEVEL)
    plain, reachable = blend_target(texture, wanted), (wanted - nearest).abs() < 1e-9
    assert torch.equal(plain[reachable], saturated[reachable])
