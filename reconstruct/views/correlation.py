"""Normalised cross-correlation of views over patches of the chart, all pairs at the cost of one.

Evaluated at points of the surface: a view's texture is its picture where the texels project to,
so that the cameras must be known (calibrated, or refined poses).

Source
------
NCC between views over windows on the surface: Goesele et al., ICCV 2007, and Furukawa & Ponce,
PAMI 32(8), 2010, doi:10.1109/TPAMI.2009.161, whose photometric discrepancy is the mean of
1 - NCC over pairs of views. Locally normalised images in place of patches, and with them the sum
over pairs in O(J), are ours.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .pooling import ratio, shown, shown_twice

WINDOW_TEXELS = 7
"""Odd side of the window."""
LEAST_CONTRAST = 0.01
"""Of the local mean: patches with less are mostly noise and count little."""
_LEAST = 1e-12


@dataclass(frozen=True, kw_only=True)
class LocalPatches:
    """Locally normalised textures of J views."""

    values: Tensor
    """(J, 1, n, n): mean 0 and mean square 1 over a window; less where the contrast is low."""
    weight: Tensor
    """(J, 1, n, n): the view's, falling to 0 where half of the window is not shown."""


def box_mean(values: Tensor, window: int) -> Tensor:
    """Return the mean over windows of an odd side, those at the border cut off by it."""
    half = window // 2
    rows = functional.avg_pool2d(
        values, (1, window), stride=1, padding=(0, half), count_include_pad=False
    )
    return functional.avg_pool2d(
        rows, (window, 1), stride=1, padding=(half, 0), count_include_pad=False
    )


def grey(textures: Tensor) -> Tensor:
    """Return (J, 1, n, n) the mean over the channels."""
    return textures if textures.shape[1] == 1 else textures.mean(dim=1, keepdim=True)


def local_normalised(
    textures: Tensor, weight: Tensor, window_texels: int = WINDOW_TEXELS
) -> LocalPatches:
    """Return textures less their local mean, over their local contrast.

    `e = T - mean T`, `z = e / sqrt(mean e^2 + (0.01 mean T)^2)`, means over the texels of the
    window that the view shows. A view's gain cancels; so does, nearly, an offset or a slope
    across the window. A window that is cut off by the view's shadow line has another mean than
    the whole one that another view shows: its texels lose weight, all of it at a half.

    Parameters
    ----------
    textures : (J, 1 or 3, n, n)
        Linear or encoded, the same for all views; colours are averaged.
    weight : (J, 1, n, n)
    window_texels : int
        Odd side of the window.
    """
    seen = (weight > 0).to(textures.dtype)
    share = box_mean(seen, window_texels)
    values = grey(shown(textures, weight))
    whole = (2 * share - 1).clamp(min=0)
    by = seen / share.clamp(min=_LEAST)
    mean = box_mean(values, window_texels) * by
    deviation = values - mean
    energy = box_mean(deviation * deviation, window_texels) * by
    energy = torch.addcmul(energy, mean, mean, value=LEAST_CONTRAST**2)
    return LocalPatches(
        values=deviation * torch.rsqrt(energy + _LEAST), weight=weight.detach() * whole
    )


def patch_ncc(textures: Tensor, weight: Tensor, window_texels: int = WINDOW_TEXELS) -> Tensor:
    """Return 1 - the mean NCC of all pairs of views: 0 for the same, 1 for nothing in common.

    `sum_t 1/W sum_{i<j} w_i w_j z_i z_j`, over the same with `(z_i^2 + z_j^2) / 2` for
    `z_i z_j`. With `sum_{i<j} w_i w_j z_i z_j = ((sum w z)^2 - sum w^2 z^2) / 2` and
    `sum_{i<j} w_i w_j (z_i^2 + z_j^2) = W sum w z^2 - sum w^2 z^2`.

    Parameters
    ----------
    textures : (J, 1 or 3, n, n)
        Linear or encoded, the same for all views.
    weight : (J, 1, n, n)
    window_texels : int
        Odd side of the window.

    Returns
    -------
    () tensor in [0, 2]; 0 where no texel is shown twice or none has any contrast.
    """
    return ncc_of_patches(local_normalised(textures, weight, window_texels))


def ncc_of_patches(patches: LocalPatches) -> Tensor:
    """Return `patch_ncc` of textures that are locally normalised already."""
    weight, values = shown_twice(patches.weight), patches.values
    total = weight.sum(dim=0).clamp(min=_LEAST)
    sum_wz = (weight * values).sum(dim=0)
    square = values * values
    sum_wz2 = (weight * square).sum()
    most = sum_wz2 - (weight * (weight / total) * square).sum()
    return ratio(sum_wz2 - (sum_wz * sum_wz / total).sum(), most)


@torch.no_grad()
def agreement_of_views(
    textures: Tensor, weight: Tensor, window_texels: int = WINDOW_TEXELS
) -> Tensor:
    """Return (J,) in [-1, 1] each view's NCC with the mean of the others: low for a bad view.

    `sum_t a z_j o / sqrt(sum_t a z_j^2 sum_t a o^2)`, `o = sum_{i!=j} w_i z_i / (W - w_j)`,
    `a = w_j (W - w_j) / W`, over the texels that the view shares with another. NaN where there
    is no such texel of any contrast: of that view nothing can be said.
    """
    patches = local_normalised(textures, weight, window_texels)
    total = patches.weight.sum(dim=0)
    weighed = (patches.weight * patches.values).sum(dim=0)
    found = []
    for w, z in zip(patches.weight, patches.values, strict=True):
        others = (total - w).clamp(min=0)
        shared = w * others / total.clamp(min=_LEAST)
        mean = (weighed - w * z) / others.clamp(min=_LEAST)
        square = (shared * z**2).sum() * (shared * mean**2).sum()
        found.append(torch.where(square > 0, (shared * z * mean).sum() / square.sqrt(), torch.nan))
    return torch.stack(found)
