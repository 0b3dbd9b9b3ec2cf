"""How far a view is to be believed at a texel: seen, faced, and seen sharply.

Maps (J, 1, n, n) of J views, row 0 at v = 1. Nothing here is differentiated.
"""

import torch
from torch import Tensor

from .correlation import box_mean, grey
from .pooling import shown

_LEAST = 1e-12


@torch.no_grad()
def view_weight(visible: Tensor, cosine: Tensor, sharpness: Tensor | None = None) -> Tensor:
    """Return (J, 1, n, n) in [0, 1]: visibility x n.v x relative sharpness.

    Parameters
    ----------
    visible : (J, 1, n, n) in [0, 1]
    cosine : (J, 1, n, n)
        Of the normal and the direction to the camera; turned away counts as 0.
    sharpness : (J, 1, n, n) >= 0, optional
        In any unit, `pixels_per_mm` say: what counts is its ratio to that of the sharpest view
        that shows the texel.

    Source
    ------
    Visibility x n.v: weights of texture blending, e.g. Debevec, Taylor & Malik, SIGGRAPH 1996.
    The sharpness is ours. `pixels_per_mm` already falls as sqrt(n.v); that the product falls as
    (n.v)^1.5 is wanted: near grazing, errors of geometry move the picture by most and gloss is
    strongest.
    """
    weight = visible * cosine.clamp(min=0)
    if sharpness is None:
        return weight
    known = torch.where(weight > 0, sharpness, 0.0)
    best = known.amax(dim=0, keepdim=True)
    return weight * known / best.clamp(min=_LEAST)


@torch.no_grad()
def pixels_per_mm(pixels: Tensor, points: Tensor, visible: Tensor) -> Tensor:
    """Return (J, 1, n, n) how many pixels a view spends on a millimetre of surface.

    `sqrt(|dp/dc x dp/dr| / |dP/dc x dP/dr|)`: the root of the area that the texel takes in the
    picture over its area on the surface, both from differences to the neighbours down and across
    the map that the view shows. 0 where there is none such along either.

    Parameters
    ----------
    pixels : (J, 2, n, n) px
        Where texels are projected to.
    points : (3, n, n) mm
    visible : (J, 1, n, n)
    """
    found = []
    for place, seen in zip(pixels, visible > 0, strict=True):
        both = torch.cat([place, points.to(place.dtype)])
        across, down = _difference(both, seen, -1), _difference(both, seen, -2)
        on_image = (across[0] * down[1] - across[1] * down[0]).abs()
        on_head = torch.linalg.cross(across[2:], down[2:], dim=0).norm(dim=0)
        known = seen[0] & (on_head > _LEAST)
        found.append(torch.where(known, on_image / on_head.clamp(min=_LEAST), 0.0).sqrt())
    return torch.stack(found)[:, None]


def _difference(values: Tensor, seen: Tensor, dim: int) -> Tensor:
    """Return the sum of the differences to the next and from the last texel, where both are seen.

    Over one texel or two: a ratio of two such differences does not depend on it.
    """
    n = values.shape[dim]
    both = seen.narrow(dim, 1, n - 1) & seen.narrow(dim, 0, n - 1)
    step = values.narrow(dim, 1, n - 1) - values.narrow(dim, 0, n - 1)
    step = torch.where(both, step, 0.0)
    out = torch.zeros_like(values)
    out.narrow(dim, 0, n - 1).add_(step)
    out.narrow(dim, 1, n - 1).add_(step)
    return out


@torch.no_grad()
def focus_measure(textures: Tensor, weight: Tensor, *, window_texels: int = 15) -> Tensor:
    """Return (J, 1, n, n) the local contrast of fine detail: what a blurred view lacks.

    The root mean square over a window of the Laplacian of the grey texture over its mean. As all
    views are sampled at the same texels, the same skin has the same contrast in all of them but
    for blur (and noise: a dark, noisy view measures too sharp). To be multiplied to
    `pixels_per_mm` where some views are out of focus.

    Parameters
    ----------
    textures : (J, 1 or 3, n, n)
        Linear or encoded, the same for all views.
    weight : (J, 1, n, n)

    Source
    ------
    Energy of the Laplacian: Subbarao, Choi & Nikzad, Optical Engineering 32(11), 1993,
    doi:10.1117/12.147706.
    """
    seen = (weight > 0).to(textures.dtype)
    values = grey(shown(textures, weight))
    inner = torch.zeros_like(values)
    ring = values[..., 1:-1, 2:] + values[..., 1:-1, :-2]
    ring = ring + values[..., 2:, 1:-1] + values[..., :-2, 1:-1]
    inner[..., 1:-1, 1:-1] = ring - 4 * values[..., 1:-1, 1:-1]
    around = torch.zeros_like(seen)
    around[..., 1:-1, 1:-1] = seen[..., 1:-1, 1:-1] * seen[..., 1:-1, 2:] * seen[..., 1:-1, :-2]
    around[..., 1:-1, 1:-1] *= seen[..., 2:, 1:-1] * seen[..., :-2, 1:-1]
    energy = box_mean(around * inner**2, window_texels) / box_mean(around, window_texels).clamp(
        min=_LEAST
    )
    mean = box_mean(values, window_texels) / box_mean(seen, window_texels).clamp(min=_LEAST)
    return seen * energy.sqrt() / mean.clamp(min=_LEAST)
