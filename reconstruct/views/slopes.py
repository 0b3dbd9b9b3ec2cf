"""Slopes of the relief from how its light differs between views, (c).

A texel's colour is albedo times light. The albedo is the same in all views, so that what a
view's log picture has beyond the mean of all views is light alone: gloss that comes and goes
with the direction from which a bump is seen. To first order it is linear in the slope of the
relief, with factors that depend on lights, gloss and the surface's own direction: unknown, but
nearly the same over some centimetres. They are learned there: the slopes of the depth that the
views' disparity gives, noisy but right on average, are regressed on the views' deviations. What
comes out has the disparity's scale and the pictures' sharpness, needs no calibrated light, and
does not take spots of colour, which all views share, for relief.

The disparity's depth is blurred by its window; the deviations are blurred alike before the
regression, so that its factors are those of the sharp relief. How far factors learned in one half
of a patch hold in the other half shrinks them: where the pictures tell nothing, nothing is said.

Source
------
Ours. That surfaces of one material teach each other's orientation from their colours: Hertzmann
and Seitz, Example-based photometric stereo, PAMI 27(8), 2005. That relief is sought in
gradients: Nehab et al., SIGGRAPH 2005; Beeler et al., SIGGRAPH 2010, sec. 4.3.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .correlation import box_mean
from .smoothing import gaussian, weighted

HALF_AT = 0.187
"""Sigma over the wavelength at which a Gaussian leaves half of the amplitude."""
_LEAST_SHARE = 0.85  # of a patch's texels that a view must show
_LEAST_TEXELS = 1500
_RIDGE = 1e-6  # of squared log colour: below the noise of any picture
_CHECKER = 20  # texels a side of the halves' squares
_LEAST = 1e-12
_DARKEST = 0.01  # of encoded colour


@dataclass(frozen=True, kw_only=True)
class SlopeConfig:
    """Where slopes are learned."""

    patch_mm: float = 35.0
    """Side of a patch with factors of its own; neighbours overlap by half."""
    longest_mm: float = 8.0
    """Wavelength beyond which differences of light are not relief."""
    fine: float = 0.5
    """Sigma, texels, of the least blur of the pictures."""


def slopes_of(
    colours: Tensor,
    weight: Tensor,
    measured: Tensor,
    confidence: Tensor,
    *,
    spacing_mm: float,
    blur: tuple[int, float],
    config: SlopeConfig,
) -> tuple[Tensor, Tensor]:
    """Return slopes (2, h, w), per texel step right and down, mm, and (h, w) whether learned.

    Parameters
    ----------
    colours : (J, 3, h, w) encoded
    weight : (J, 1, h, w)
    measured : (h, w) mm
        Relief as measured, long waves taken out.
    confidence : (h, w)
        0 where nothing was measured.
    blur : (int, float)
        The measured depth's window, and the sigma of its Gaussian, texels.
    """
    logs = deviations(colours, weight, spacing_mm, config)
    side, sigma = blur
    blurred = gaussian(box_mean(logs, side), sigma)
    target = torch.stack(gradient(measured))
    slopes = torch.zeros_like(target)
    total = torch.zeros_like(confidence)
    size = max(32, round(config.patch_mm / spacing_mm))
    usable = confidence > 0
    for part, taper in _patches(confidence.shape, size, logs.device):
        shown = usable[part]
        if int(shown.sum()) < _LEAST_TEXELS:
            continue
        seen = weight[(slice(None), 0, *part)] > 0
        share = (seen & shown).flatten(1).sum(1) / shown.sum()
        views = torch.nonzero(share > _LEAST_SHARE)[:, 0]
        if len(views) < 2:
            continue
        inside = shown & seen[views].all(dim=0)
        sharp, soft = (_features(values, views, part) for values in (logs, blurred))
        found = _learned(soft, target[(slice(None), *part)], confidence[part], inside)
        predicted = (found.T @ sharp.flatten(1)).reshape(2, *inside.shape)
        by = taper * inside
        slopes[(slice(None), *part)] += by * predicted
        total[part] += by
    return slopes / total.clamp_min(_LEAST), total > 1e-3


def deviations(colours: Tensor, weight: Tensor, spacing_mm: float, config: SlopeConfig) -> Tensor:
    """Return (J, 3, h, w) log colours less their local mean, in the band of the relief."""
    seen = (weight > 0).to(colours.dtype)
    logs = torch.log(colours.clamp_min(_DARKEST))
    wide = HALF_AT * config.longest_mm / spacing_mm
    fine = weighted(logs, seen, config.fine)
    return (fine - weighted(logs, seen, wide)) * seen


def gradient(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return (h, w) central differences to the right and down, per texel."""
    right, down = torch.zeros_like(values), torch.zeros_like(values)
    right[:, 1:-1] = (values[:, 2:] - values[:, :-2]) / 2
    down[1:-1] = (values[2:] - values[:-2]) / 2
    return right, down


def _patches(
    shape: torch.Size, size: int, device: torch.device
) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Yield patches that overlap by half, each with weights that fall to its edges."""
    height, width = shape
    for row in range(-size // 2, height, size // 2):
        for col in range(-size // 2, width, size // 2):
            rows = slice(max(row, 0), min(row + size, height))
            cols = slice(max(col, 0), min(col + size, width))
            if rows.stop - rows.start < 8 or cols.stop - cols.start < 8:
                continue
            falls = [
                torch.sin(
                    torch.pi * (torch.arange(s.start, s.stop, device=device) - at + 0.5) / size
                )
                for s, at in ((rows, row), (cols, col))
            ]
            yield (rows, cols), (falls[0][:, None] * falls[1][None]).float()


def _features(values: Tensor, views: Tensor, part: tuple[slice, slice]) -> Tensor:
    """Return (3 n, h, w): what each view has beyond the mean of all, channel by channel."""
    own = values[(views, slice(None), *part)]
    return (own - own.mean(dim=0)).flatten(0, 1)


def _learned(features: Tensor, target: Tensor, confidence: Tensor, inside: Tensor) -> Tensor:
    """Return (3 n, 2) factors of the slopes, shrunk by how well halves predict each other."""
    rows, cols = (torch.arange(n, device=inside.device) // _CHECKER for n in inside.shape)
    half = ((rows[:, None] + cols[None]) % 2 == 0)[inside]
    X, y = features[:, inside].T.double(), target[:, inside].T.double()
    w = confidence[inside].double()[:, None]
    parts = [(X[m].T @ (w[m] * X[m]), X[m].T @ (w[m] * y[m])) for m in (half, ~half)]
    n = w.sum()
    ridge = _RIDGE * n * torch.eye(X.shape[1], dtype=X.dtype, device=X.device)
    both = torch.linalg.solve(parts[0][0] + parts[1][0] + ridge, parts[0][1] + parts[1][1])
    agreed, square = torch.zeros(2).to(y), torch.zeros(2).to(y)
    for (normal, right), other in zip(parts, (~half, half), strict=True):
        guess = X[other] @ torch.linalg.solve(normal + ridge / 2, right)
        agreed += (w[other] * guess * y[other]).sum(dim=0)
        square += (w[other] * guess**2).sum(dim=0)
    shrink = (agreed / square.clamp_min(_LEAST)).clamp(0, 1)
    factors: Tensor = both * shrink
    return factors.float()
