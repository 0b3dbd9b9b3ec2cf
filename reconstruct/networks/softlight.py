"""Soft-light blending: how the de-retouching network moves moles and freckles into the albedo.

    retouched = soft_light(texture, layer) = (1 - 2 layer) texture^2 + 2 layer texture

The ratio of a texture and its retouched self is what smooth skin lacks; multiplied onto the
smooth albedo of a face model it makes the spots a matter of colour, not of shape. Colours are
display values in 0..1, in any layout; nothing here looks at neighbours.

Source
------
Lei et al., ABPN, CVPR 2022, section 3.3 (the layer), and Lei et al., HRN, CVPR 2023, section
3.1 (its use); constants as their code has them. The two quotients are multiplied out or
regrouped here, so that single precision loses nothing in them.
"""

import torch
from torch import Tensor

NEUTRAL = 0.5
"""The layer that changes nothing."""

_DARK_GAIN, _DARK_FLOOR = 1e6, 1e-6
_LEAST_CHANGE = 1.0 / 255.0
_LEAST_DENOMINATOR = 1e-10
_ROUNDING = 1e-5  # of a layer in single precision, where the change is a level or more


def soft_light(texture: Tensor, layer: Tensor) -> Tensor:
    """Return `texture` with the layer blended in; both 0..1, and so is the result."""
    return texture * (texture + 2.0 * layer * (1.0 - texture))


def blend_target(
    texture: Tensor, retouched: Tensor, *, skin: Tensor | None = None, saturated: bool = False
) -> Tensor:
    """Return the layer that takes `texture` to `retouched`: the inverse of `soft_light`.

    Parameters
    ----------
    texture, retouched : (..., 3, H, W) float, 0..1
    skin : (..., 1, H, W), optional
        The layer is neutral where this is not positive.
    saturated : bool
        Where no layer gives the change, return the one that comes nearest (0 or 1), not the
        neutral one: a dark mole cannot be lifted all of the way, but most of it.

    Returns
    -------
    Tensor
        In 0..1; neutral where no layer gives the change, unless `saturated`, or where it is below
        one level of 255.
    """
    change = retouched - texture
    # B = (g - s^2) / (2 s (1 - s)), written round its neutral value: no difference of near
    # numbers is divided by a small one.
    twice = 2.0 * texture * (1.0 - texture)
    is_usable = (twice > _LEAST_DENOMINATOR) & (change.abs() >= _LEAST_CHANGE)
    layer = NEUTRAL + change / torch.where(is_usable, twice, torch.ones_like(twice))
    if not saturated:
        is_usable = is_usable & ((layer - NEUTRAL).abs() <= NEUTRAL + _ROUNDING)
    if skin is not None:
        is_usable = is_usable & (skin > 0.0)
    return torch.where(is_usable, layer.clamp(0.0, 1.0), torch.full_like(layer, NEUTRAL))


def deretouched_albedo(albedo: Tensor, texture: Tensor, layer: Tensor) -> Tensor:
    """Return the albedo with the spots that the layer takes out of the texture.

    The ratio of texture and retouched texture, damped to 1 where the latter is dark.

    Parameters
    ----------
    albedo, texture, layer : (..., 3, H, W) float
        `texture` and `layer` in 0..1.

    Returns
    -------
    Tensor
        Shape of `albedo`; not clamped.
    """
    retouched = soft_light(texture, layer)
    # (T + 1 / phi) / (T0 + 1 / phi) with phi = 1e6 T0^3 + 1e-6; 1 / phi would reach a million.
    phi = _DARK_GAIN * retouched.clamp(min=0.0) ** 3 + _DARK_FLOOR
    return albedo * ((texture * phi + 1.0) / (retouched.clamp(min=0.0) * phi + 1.0))
