"""The relief of the finest texels: disparity where it is sharp, slopes where they are sharper.

1. Small windows are swept about the smooth depth: right on average, noisy.
2. The views' differences of light give slopes, learned on that depth (`slopes.py`).
3. One depth is found that has both: `sum c (d - measured)^2 + s sum |grad d - slope|^2`, by
   conjugate gradients. Without slopes the second sum holds the depth smooth.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .sampling import ViewSampler
from .slopes import HALF_AT, SlopeConfig, slopes_of
from .smoothing import weighted
from .sweep import SweepTerms, peak, scores, steps_of

_SOFT = 1.0  # sigma, texels, of the measured depth that slopes are learned on
_MOST_CONFIDENT = 4.0  # of the median confidence
_SIGMA_MM = 1.5  # around a texel, of what is said of its uncertainty
_N_STEPS = 150  # of the conjugate gradients
_TOLERANCE = 1e-4
_LEAST = 1e-12


@dataclass(frozen=True, kw_only=True)
class ReliefConfig:
    """How the finest depth is found."""

    reach_mm: float = 0.28
    step_mm: float = 0.04
    window: int = 3
    """Texels of a window that is swept."""
    data: float = 0.02
    """Weight of a measured depth of usual confidence against slopes of 1 mm a texel."""
    slopes: SlopeConfig = field(default_factory=SlopeConfig)


@dataclass(frozen=True, kw_only=True)
class Relief:
    """Depth (h, w) along the normals, mm."""

    depth: Tensor
    confidence: Tensor
    """Of the disparity, 1 as a rule, 0 where nothing was measured."""
    sigma: Tensor
    """By how much the disparity alone differs from `depth` around each texel, rms: one standard
    deviation, on the safe side."""


def relief(
    sampler: ViewSampler, start: Tensor, config: ReliefConfig, terms: SweepTerms, *, gradient: float
) -> Relief:
    """Refine a smooth depth `start` (h, w).

    Parameters
    ----------
    gradient : float
        Weight of the learned slopes; 0 leaves the smoothness without them.
    """
    inside = torch.from_numpy(sampler.grid.inside).to(start.device)
    known = sampler.seen_twice & inside
    steps = steps_of(config.reach_mm, config.step_mm)
    found = peak(scores(sampler, start, steps, terms), steps, known)
    confidence = _relative(found.confidence, known)
    near = start + weighted(found.depth, confidence, _SOFT)
    spacing = sampler.grid.spacing_mm
    long = weighted(near, inside.float(), HALF_AT * config.slopes.longest_mm / spacing)
    slopes = torch.zeros(2, *start.shape, device=start.device)
    if gradient:
        learned, _ = slopes_of(
            sampler.colours(near), sampler.weight, near - long, confidence,
            spacing_mm=spacing, blur=(config.window, _SOFT), config=config.slopes,
        )  # fmt: skip
        slopes = gradient * learned
    measured = start + found.depth
    short = joined(measured - long, config.data * confidence, slopes, inside)
    depth = long + short
    sigma = weighted((near - depth) ** 2, confidence, _SIGMA_MM / spacing).clamp_min(0).sqrt()
    return Relief(depth=depth, confidence=confidence, sigma=sigma)


def _relative(confidence: Tensor, known: Tensor) -> Tensor:
    """Return confidences with a median of 1, the largest cut."""
    positive = confidence[known & (confidence > 0)]
    if len(positive) == 0:
        return torch.zeros_like(confidence)
    return (confidence / positive.median()).clamp_max(_MOST_CONFIDENT)


def joined(measured: Tensor, weight: Tensor, slopes: Tensor, inside: Tensor) -> Tensor:
    """Return the depth (h, w) that is nearest to measured depths and slopes.

    Parameters
    ----------
    measured, weight : (h, w)
    slopes : (2, h, w)
        Per texel step to the right and down.
    inside : (h, w) bool
        Where a depth is wanted; slopes count between two such texels.
    """
    right, down = (inside[:, 1:] & inside[:, :-1]).float(), (inside[1:] & inside[:-1]).float()
    across = right * (slopes[0][:, 1:] + slopes[0][:, :-1]) / 2
    along = down * (slopes[1][1:] + slopes[1][:-1]) / 2

    def divergence(x: Tensor, y: Tensor) -> Tensor:
        out = torch.zeros_like(measured)
        out[:, 1:] += x
        out[:, :-1] -= x
        out[1:] += y
        out[:-1] -= y
        return out

    def normal(d: Tensor) -> Tensor:
        x, y = right * (d[:, 1:] - d[:, :-1]), down * (d[1:] - d[:-1])
        return divergence(x, y) + (weight + 1e-6) * d

    b = divergence(across, along) + weight * measured
    return _conjugate_gradients(normal, b)


def _conjugate_gradients(matrix: Callable[[Tensor], Tensor], b: Tensor) -> Tensor:
    x = torch.zeros_like(b)
    r = b.clone()
    p, rr = r.clone(), (r * r).sum()
    least = _TOLERANCE**2 * rr
    for _ in range(_N_STEPS):
        if rr <= least:
            break
        ap = matrix(p)
        alpha = rr / (p * ap).sum().clamp_min(_LEAST)
        x, r = x + alpha * p, r - alpha * ap
        new = (r * r).sum()
        p, rr = r + (new / rr) * p, new
    return x
