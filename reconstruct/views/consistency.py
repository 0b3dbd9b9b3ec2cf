"""What several views of one face must agree on: losses on maps in the chart.

All are plain functions of maps that J views fill at the same texels: (J, C, n, n), row 0 at
v = 1, with a weight (J, 1, n, n) >= 0 that is 0 where the view does not show the texel
(`view_weight`). Only texels that two views or more show count. Each returns a scalar without its
weight, of order 1 where views differ by its scale, for any number of views (`pooling`).

Source
------
Lei et al., CVPR 2023 (HRN), extend their network to several views; their release shares
identity and deformation map between the views and has no term between views. Feng et al.,
ACM Trans. Graphics 40(4), 2021 (DECA), sec. 4.3, exchange detail codes between photographs of a
person and compare renders; nothing here is that loss. What each term follows stands with it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.errors import InputError
from .correlation import WINDOW_TEXELS, patch_ncc
from .pooling import (
    charbonnier,
    ratio,
    robust_mean,
    robust_spread,
    shown,
    shown_twice,
    view_offsets,
)

DARKEST = 1 / 512
"""Colour and shading below count as this: half a step of 8 bits."""


@dataclass(frozen=True, kw_only=True)
class ConsistencyWeights:
    """What each term weighs; 0 switches it off, and it is not computed."""

    agreement: float = 1.0
    photo: float = 1.0
    gradient: float = 1.0
    ncc: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ConsistencyScales:
    """The difference from which on a term grows linearly, not with the square."""

    agreement_mm: float = 0.1  # of displacement
    photo: float = 0.1  # of log albedo: a tenth
    gradient: float = 0.05  # of log albedo a texel
    window_texels: int = WINDOW_TEXELS  # of patches


@dataclass(frozen=True, kw_only=True)
class ViewMaps:
    """Maps of J views at the same texels. What no term asks for may be missing."""

    weight: Tensor
    """(J, 1, n, n) >= 0."""
    textures: Tensor | None = None
    """(J, 1 or 3, n, n) in the space in which shading multiplies albedo."""
    log_shading: Tensor | None = None
    """(J, 1 or 3, n, n) natural logarithm; missing where the pictures are not to be de-lit."""
    estimates: Tensor | None = None
    """(J, 1 or 3, n, n) mm, of displacement or deformation."""
    canonical: Tensor | None = None
    """(1 or 3, n, n) mm, the one map; missing where estimates are to agree with each other."""


def consistency_loss(
    maps: ViewMaps, weights: ConsistencyWeights, scales: ConsistencyScales | None = None
) -> Tensor:
    """Return the weighted sum of the terms.

    Raises
    ------
    InputError
        A term has a weight and not its maps.
    """
    total = maps.weight.new_zeros(())
    for name, term in consistency_terms(maps, weights, scales).items():
        total = total + getattr(weights, name) * term
    return total


def consistency_terms(
    maps: ViewMaps, weights: ConsistencyWeights, scales: ConsistencyScales | None = None
) -> dict[str, Tensor]:
    """Return the terms that have a weight, by their name in `ConsistencyWeights`, unweighted.

    Raises
    ------
    InputError
        A term has a weight and not its maps.
    """
    scales = scales or ConsistencyScales()
    terms: dict[str, Tensor] = {}
    if weights.agreement:
        estimates = _given(maps.estimates, "agreement", "estimates")
        terms["agreement"] = view_agreement(
            estimates, maps.canonical, maps.weight, scales.agreement_mm
        )
    if weights.photo or weights.gradient:
        textures = _given(maps.textures, "photo and gradient", "textures")
        albedo = log_albedo(textures, maps.log_shading, maps.weight)
        if weights.photo:
            terms["photo"] = _photo(albedo, maps.weight, None, scales.photo)
        if weights.gradient:
            terms["gradient"] = _gradient(albedo, maps.weight, scales.gradient)
    if weights.ncc:
        textures = _given(maps.textures, "ncc", "textures")
        terms["ncc"] = patch_ncc(textures, maps.weight, scales.window_texels)
    return terms


def _given(values: Tensor | None, term: str, name: str) -> Tensor:
    if values is None:
        raise InputError(f"the term {term} has a weight but no {name}; give them or weight 0")
    return values


def canonical_of(estimates: Tensor, weight: Tensor, scale_mm: float) -> Tensor:
    """Return (C, n, n) mm the one map that `view_agreement` of estimates is least for.

    Parameters
    ----------
    estimates : (J, C, n, n) mm
    weight : (J, 1, n, n)
    scale_mm : float
        Estimates further off than this pull no stronger.

    Returns
    -------
    The robust weighted mean; where one view shows a texel its estimate, 0 where none does.
    """
    return robust_mean(estimates, weight, scale_mm)


def view_agreement(
    estimates: Tensor, canonical: Tensor | None, weight: Tensor, scale_mm: float
) -> Tensor:
    """Return how far the views' own displacements are from the one map, or from each other.

    With `canonical` c: `sum_t sum_j w_j rho(|d_j - c|^2 / s^2) / sum_t W` over the texels that
    two views show. Without: c is the views' robust mean and the texel counts with its `degrees`
    (`robust_spread`), which for small differences is the weighted mean over all pairs of
    `|d_i - d_j|^2 / 2 s^2`.

    Parameters
    ----------
    estimates : (J, C, n, n) mm
        Displacement (C = 1) or deformation (C = 3).
    canonical : (C, n, n) mm, or None
    weight : (J, 1, n, n)
    scale_mm : float
        The s: from here on differences count linearly.

    Source
    ------
    Ours; the term that the release of HRN lacks.
    """
    if canonical is None:
        return robust_spread(estimates, weight, scale_mm)
    weight = shown_twice(weight.detach())
    square = ((shown(estimates, weight) - shown(canonical[None], weight)) ** 2).sum(1, keepdim=True)
    return ratio((weight * charbonnier(square / scale_mm**2)).sum(), weight.sum())


def log_albedo(textures: Tensor, log_shading: Tensor | None, weight: Tensor) -> Tensor:
    """Return (J, C, n, n) the logarithm of textures less that of their shading.

    Finite where hidden. Black counts as `DARKEST`, so that a view cannot agree by going dark.
    """
    values = torch.log(shown(textures, weight).clamp(min=DARKEST))
    if log_shading is not None:
        values = values - shown(log_shading, weight)
    return values


def photo_consistency(
    textures: Tensor,
    shading: Tensor,
    weight: Tensor,
    *,
    log_gain: Tensor | None = None,
    scale: float = ConsistencyScales.photo,
) -> Tensor:
    """Return how far the views' de-lit textures differ: `robust_spread` of log(T_j / S_j) - g_j.

    Parameters
    ----------
    textures : (J, C, n, n) in [0, 1]
        In the space in which shading multiplies albedo: linear for a physical light, encoded for
        HRN's, which is fitted to encoded colour.
    shading : (J, 1 or C, n, n)
    weight : (J, 1, n, n)
    log_gain : (J, C), optional
        Known log exposure and white balance of each view, subtracted; by default found:
        `estimate_log_gain`. Zeros for none.
    scale : float
        Natural logarithms; the root mean square over the channels is compared with it.

    Source
    ------
    Ours. Photo-consistency as variance over views: Seitz & Dyer, IJCV 35(2), 1999,
    doi:10.1023/A:1008176507526; of de-lit textures and with gains it is our reasoning.
    """
    log_shading = torch.log(shown(shading, weight).clamp(min=DARKEST))
    return _photo(log_albedo(textures, log_shading, weight), weight, log_gain, scale)


def estimate_log_gain(
    textures: Tensor,
    shading: Tensor,
    weight: Tensor,
    *,
    scale: float = ConsistencyScales.photo,
) -> Tensor:
    """Return (J, C) the views' log gains that make their de-lit textures agree best; sum 0."""
    log_shading = torch.log(shown(shading, weight).clamp(min=DARKEST))
    return view_offsets(
        log_albedo(textures, log_shading, weight), weight, scale * textures.shape[1] ** 0.5
    )


def _photo(albedo: Tensor, weight: Tensor, log_gain: Tensor | None, scale: float) -> Tensor:
    scale *= albedo.shape[1] ** 0.5
    gain = view_offsets(albedo.detach(), weight, scale) if log_gain is None else log_gain
    return robust_spread(albedo - gain[:, :, None, None], weight, scale)


def gradient_consistency(
    textures: Tensor,
    log_shading: Tensor,
    weight: Tensor,
    *,
    scale: float = ConsistencyScales.gradient,
) -> Tensor:
    """Return how far the views differ in the gradient of log T_j - log S_j.

    That is the gradient of the one log albedo, if the shading S_j rendered from the one detail
    is right. `robust_spread` of the forward differences across and down, two channels a colour.
    A gain does not change it, light that varies slowly hardly does.

    Parameters
    ----------
    textures : (J, C, n, n) in [0, 1]
        As in `photo_consistency`.
    log_shading : (J, 1 or C, n, n)
    weight : (J, 1, n, n)
        A difference counts as the least of the texel and its two neighbours.
    scale : float
        Natural logarithms a texel; the root mean square over the colours is compared with it.

    Source
    ------
    Ours. Wu, Wilburn, Matsushita & Theobalt, CVPR 2011, compare
    gradients of pictures with gradients of shading for refinement of multi-view stereo, albedo
    taken as constant locally; here albedo is free, and the views must share it.
    """
    return _gradient(log_albedo(textures, log_shading, weight), weight, scale)


def _gradient(albedo: Tensor, weight: Tensor, scale: float) -> Tensor:
    here, right, below = albedo[..., :-1, :-1], albedo[..., :-1, 1:], albedo[..., 1:, :-1]
    joint = torch.minimum(weight[..., :-1, 1:], weight[..., 1:, :-1])
    joint = torch.minimum(weight[..., :-1, :-1], joint)
    steps = torch.cat([right - here, below - here], dim=1)
    return robust_spread(steps, joint, scale * albedo.shape[1] ** 0.5)
