"""Depth of texels along their normals, by how well the views agree there.

Every texel is moved along its normal in steps; at each step all views' pictures are sampled and
compared. The score of a step is what the consistency terms say of it:

- `ncc`: mean pairwise normalised cross-correlation over a window of texels, (d);
- `photo`: the robust variance over the views of the de-lit log pictures, in units of its noise,
  (b); de-lit by taking out the mean over a window wider than the relief, which light changes
  slowly across.

The best step, between steps by a parabola, is the depth; how sharply the score falls is its
confidence. A window of texels follows the surface, so that no view need face it.

Source
------
Plane sweeping: Collins, CVPR 1996. On a surface's own texels, and the coupling to a smooth depth
that tightens from round to round: Newcombe, Lovegrove and Davison, DTAM, ICCV 2011, sec. 2.2.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .correlation import box_mean
from .sampling import ViewSampler
from .smoothing import robust_weighted

_LEAST = 1e-6
_NOISE2 = 2e-5  # of encoded grey: windows of less variance hold noise
_DARKEST = 0.02  # of encoded grey, below which a logarithm says nothing
_PHOTO_NOISE = 0.018  # sd of de-lit log grey that the best step leaves
_PHOTO_ROBUST = 0.03
_DELIT_TEXELS = 13
_MOST_CURVATURE = 2500.0  # of the score, per mm²: a depth's sd is never below 0.02 mm
_LEAST_CURVATURE = 1e-6


@dataclass(frozen=True, kw_only=True)
class SweepTerms:
    """What scores a step, each with its weight."""

    ncc: float = 1.0
    photo: float = 1.0
    window: int = 7
    """Odd side, texels."""


@dataclass(frozen=True, kw_only=True)
class Swept:
    """Depths of texels (h, w), mm along the normal, + outward."""

    depth: Tensor
    confidence: Tensor
    """>= 0, 1/mm² up to a factor; 0 where nothing is measured."""
    score: Tensor
    """Of the best step."""


def steps_of(reach_mm: float, step_mm: float) -> list[float]:
    """Return depths from -reach to reach."""
    n = max(1, round(reach_mm / step_mm))
    return [step_mm * k for k in range(-n, n + 1)]


def scores(sampler: ViewSampler, start: Tensor, steps: list[float], terms: SweepTerms) -> Tensor:
    """Return (K, h, w) how well the views agree at each step from `start` (h, w)."""
    return torch.stack([score_of(sampler, start + k, terms) for k in steps])


def score_of(sampler: ViewSampler, depth: Tensor, terms: SweepTerms) -> Tensor:
    """Return (h, w) the score of one depth."""
    grey, weight = sampler.sample(depth), sampler.weight
    total = torch.zeros_like(depth)
    if terms.ncc:
        total = total + terms.ncc * ncc_map(grey, weight, terms.window)
    if terms.photo:
        spread = photo_map(delit(grey, weight), weight, terms.window)
        total = total - terms.photo * spread / _PHOTO_NOISE**2
    return total


def ncc_map(grey: Tensor, weight: Tensor, window: int) -> Tensor:
    """Return (h, w) the mean NCC of all pairs of views around each texel.

    Of locally normalised pictures z_j: `sum_{i!=j} w_i w_j z_i z_j = (sum w z)^2 - sum w^2 z^2`.
    """
    z = normalised(grey, weight, window)
    both = (weight * z).sum(dim=0) ** 2 - (weight**2 * z**2).sum(dim=0)
    most = weight.sum(dim=0) ** 2 - (weight**2).sum(dim=0)
    return (box_mean(both[None], window) / box_mean(most[None], window).clamp_min(_LEAST))[0, 0]


def normalised(grey: Tensor, weight: Tensor, window: int) -> Tensor:
    """Return pictures (J, 1, h, w) less their local mean, over their local deviation.

    The deviation is that from the window's own mean. `correlation.local_normalised` takes it of
    what is left here, so that the mean square is 1 everywhere, at the cost of one more window;
    a sweep would count windows that hold nothing but a slope, which tell no depth, as others.
    """
    seen = (weight > 0).to(grey.dtype)
    share = box_mean(seen, window).clamp_min(_LEAST)
    mean = box_mean(grey * seen, window) / share
    variance = box_mean(grey**2 * seen, window) / share - mean**2
    return (grey - mean) * seen / torch.sqrt(variance.clamp_min(0) + _NOISE2)


def delit(grey: Tensor, weight: Tensor, window: int = _DELIT_TEXELS) -> Tensor:
    """Return the logarithm of pictures (J, C, h, w) less its mean over a window."""
    seen = (weight > 0).to(grey.dtype)
    logs = torch.log(grey.clamp_min(_DARKEST)) * seen
    mean = box_mean(logs, window) / box_mean(seen, window).clamp_min(_LEAST)
    return (logs - mean) * seen


def photo_map(values: Tensor, weight: Tensor, window: int) -> Tensor:
    """Return (h, w) the robust variance of values (J, 1, h, w) over the views."""
    total = weight.sum(dim=0)
    mean = (weight * values).sum(dim=0) / total.clamp_min(_LEAST)
    square = (values - mean) ** 2
    robust = square / (1 + square / _PHOTO_ROBUST**2)
    around = box_mean((weight * robust).sum(dim=0)[None], window)
    return (around / box_mean(total[None], window).clamp_min(_LEAST))[0, 0]


def peak(score: Tensor, steps: list[float], known: Tensor) -> Swept:
    """Return the best step of each texel, refined by a parabola.

    Parameters
    ----------
    score : (K, h, w), K >= 3
    known : (h, w) bool
        Texels that two views show; a best step at either end is none.
    """
    step = steps[1] - steps[0]
    best = score.argmax(dim=0)
    at = best.clamp(1, len(steps) - 2)
    before, here, after = (score.gather(0, (at + o)[None])[0] for o in (-1, 0, 1))
    bend = (2 * here - before - after).clamp_min(_LEAST_CURVATURE)
    shift = (0.5 * (after - before) / bend).clamp(-1, 1)
    depth = step * shift + torch.tensor(steps, dtype=score.dtype, device=score.device)[at]
    found = known & (best > 0) & (best < len(steps) - 1)
    confidence = torch.where(
        found, (bend / step**2).clamp_max(_MOST_CURVATURE), torch.zeros_like(bend)
    )
    return Swept(depth=depth, confidence=confidence, score=here)


@dataclass(frozen=True, kw_only=True)
class SweepLevel:
    """One level of texels, searched with a coupling that tightens."""

    size: int
    """Texels a side of the chart."""
    reach_mm: float
    step_mm: float
    window: int
    """Texels."""
    smooth: float
    """Sigma of the smooth depth, texels."""
    soft_mm: float
    """How far from the smooth depth a texel may be found, once there is one."""


_TIGHTER = (math.inf, 0.6, 0.35)
"""Of `soft_mm`, round by round. In the first the pictures speak alone: a coupling to where the
sweep starts would keep it there, the more the less sharply the score falls."""
_ROBUST_STEPS = (3.0, 2.0, 1.5)  # beyond which a texel loses its pull, round by round
_LEAST_SCORE = 0.2
_FAINT = 1e-4  # confidence of what was not measured: it follows, or stays


def swept(sampler: ViewSampler, start: Tensor, level: SweepLevel, terms: SweepTerms) -> Swept:
    """Return a smooth depth for every texel, measured or not."""
    steps = steps_of(level.reach_mm, level.step_mm)
    score = scores(sampler, start, steps, terms)
    places = torch.tensor(steps, dtype=score.dtype, device=score.device)[:, None, None]
    smooth = torch.zeros_like(start)
    known = sampler.seen_twice
    for tighter, robust in zip(_TIGHTER, _ROBUST_STEPS, strict=True):
        soft = tighter * level.soft_mm
        found = peak(score - 0.5 * ((places - smooth) / soft) ** 2, steps, known)
        sure = score.gather(0, _index(found.depth, level, len(steps)))[0]
        trusted = known & (sure > _LEAST_SCORE)
        confidence = found.confidence.clamp_max(50.0) * sure.clamp(0, 1) ** 2
        confidence = torch.where(trusted, confidence, torch.zeros_like(confidence)) + _FAINT
        depth = torch.where(trusted, found.depth, smooth)
        smooth = robust_weighted(depth, confidence, level.smooth, scale=robust * level.step_mm)
    return Swept(depth=start + smooth, confidence=confidence, score=sure)


def _index(depth: Tensor, level: SweepLevel, n: int) -> Tensor:
    return torch.round(depth / level.step_mm + (n - 1) // 2).long().clamp(0, n - 1)[None]
