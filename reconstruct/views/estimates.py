"""Each view's own opinion of the depth: where its picture agrees best with all others', (a).

What all views together agree on can hide that one of them disagrees: a camera that has moved
since its calibration, a face that moved before its shutter. Its own depths are then off from the
canonical ones, and mostly to the same side or by much.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .correlation import box_mean
from .sampling import ViewSampler
from .sweep import normalised, peak

_LEAST = 1e-6
_LEAST_OTHERS = 0.3  # weight of other views that a texel needs


@dataclass(frozen=True, kw_only=True)
class ViewEstimates:
    """Depths along the normals by view, mm."""

    depth: Tensor
    """(J, h, w)."""
    confidence: Tensor
    """(J, h, w), 0 where the view has no opinion."""


def depth_by_view(
    sampler: ViewSampler, start: Tensor, steps: list[float], window: int
) -> ViewEstimates:
    """Sweep each view against the mean of the others, about a depth `start` (h, w)."""
    weight = sampler.weight
    seen = (weight > 0).to(weight.dtype)
    share = box_mean(seen, window).clamp_min(_LEAST)
    others = (weight.sum(dim=0, keepdim=True) - weight).clamp_min(0)
    found = []
    for step in steps:
        z = normalised(sampler.sample(start + step), weight, window)
        total = (weight * z).sum(dim=0, keepdim=True)
        mean = (total - weight * z) / others.clamp_min(_LEAST)
        found.append((box_mean(z * mean * seen, window) / share)[:, 0])
    score = torch.stack(found, dim=1)
    known = (weight[:, 0] > 0) & (others[:, 0] > _LEAST_OTHERS)
    peaks = [peak(s, steps, k) for s, k in zip(score, known, strict=True)]
    return ViewEstimates(
        depth=torch.stack([start + p.depth for p in peaks]),
        confidence=torch.stack([p.confidence for p in peaks]) * weight[:, 0],
    )


def offset_of_views(estimates: ViewEstimates, canonical: Tensor) -> Tensor:
    """Return (J,) mm the weighted median distance of each view's depths from the canonical ones.

    NaN for a view without an opinion.
    """
    out = []
    for depth, confidence in zip(estimates.depth, estimates.confidence, strict=True):
        sure = confidence > 0
        off, order = (depth - canonical)[sure].abs().sort()
        if len(off) == 0:
            out.append(torch.tensor(torch.nan, device=depth.device))
            continue
        share = confidence[sure][order].cumsum(0)
        out.append(off[torch.searchsorted(share, share[-1:] / 2)[0].clamp_max(len(off) - 1)])
    return torch.stack(out)
