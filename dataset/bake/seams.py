"""Photographs of one surface brought to one light: gains, a consensus, and smooth differences.

All at a small size of the texture. A seam is what two photographs disagree on: their exposure,
a gloss that one sees, a lens's fall-off. What is left after the gains, each photograph's
*smooth* difference to the consensus, is later taken from its sharp colours, so that they join
without a seam and keep all detail.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ...core.arrays import Floats, Floats32
from .albedo_kernels import weighted_quantile
from .chart import by_rows

_MOST_GAIN = 1.6
_LEAST_OVERLAP = 50  # texels that two views share, for their ratio to count
_MOST_PAIRS = 2000  # of views: those that share most
_LEVEL = 0.004  # linear; below it ratios are noise
_ODD = 0.15  # relative difference to the consensus at which a view counts half
_TINY = 1e-6


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What the views show of each texel at the small size; 0 where they do not see it."""

    colors: Floats32
    """(K, m, m, 3) linear."""
    weights: Floats32
    """(K, m, m) how far each can be trusted."""
    fine: Floats32
    """(K, m, m) pixels that a length of surface has."""
    sharp: Floats32
    """(K, m, m) detail that the picture has there, relative to its level."""


@dataclass(frozen=True, kw_only=True)
class Joined:
    """How photographs are to be joined."""

    consensus: Floats32
    """(m, m, 3) linear, the robust colour of the views."""
    known: Floats32
    """(m, m) sum of the views' weights."""
    offsets: Floats32
    """(K, m, m, 3) smooth difference of each view to the consensus, to be taken from it."""
    shares: Floats32
    """(K, m, m): how much each view counts, 1 for the best of a texel; 0 where not seen."""


def gains(colors: Floats32, weights: Floats32, *, prior: float = 0.02) -> Floats:
    """Find the gain (K, 3) of each view's channels that makes overlaps agree.

    Parameters
    ----------
    colors : (K, m, m, 3) linear
    weights : (K, m, m)
    prior : float
        Standard deviation of log ratios between views against one of gains about 1, squared:
        how firmly gains hold to 1. They multiply to 1.

    Returns
    -------
    (K, 3) float64, within 1 / 1.6 ... 1.6

    Source
    ------
    Least squares on ratios of overlaps after Brown and Lowe, Automatic panoramic image
    stitching, IJCV 74(1), 2007, eq. (29); medians and logarithms are ours.
    """
    n = len(colors)
    flat, weight = colors.reshape(n, -1, 3), weights.reshape(n, -1)
    good = (weight > 0.3 * weight.max(initial=_TINY)) & (flat.min(axis=2) > _LEVEL)
    shared = good.astype(np.float32) @ good.astype(np.float32).T
    pairs = np.argwhere(np.triu(shared, 1) >= _LEAST_OVERLAP)
    pairs = pairs[np.argsort(-shared[tuple(pairs.T)], kind="stable")][:_MOST_PAIRS]
    A, b = prior * np.eye(n), np.zeros((n, 3))
    for i, j in pairs:
        both = good[i] & good[j]
        ratio = np.median(np.log(flat[i, both] / flat[j, both]), axis=0)
        A[i, i] += 1
        A[j, j] += 1
        A[i, j] -= 1
        A[j, i] -= 1
        b[i] -= ratio
        b[j] += ratio
    found = np.linalg.solve(A, b)
    return np.asarray(np.clip(np.exp(found - found.mean(axis=0)), 1 / _MOST_GAIN, _MOST_GAIN))


def join(looks: Looks, *, quantile: float, smooth_px: float, sharpness: float) -> Joined:
    """Find consensus, smooth differences and shares of views.

    Parameters
    ----------
    looks
        Their colours after the gains.
    quantile : float
        Which one of the views' colours is their consensus: below one half, since gloss only
        adds light.
    smooth_px : float
        Sigma of what counts as smooth, texels.
    sharpness : float
        Power of resolution in the shares: the larger, the fewer views a texel is blended of.
    """
    colors, weights = looks.colors, looks.weights
    consensus = np.zeros(colors.shape[1:], np.float32)
    by_rows(
        lambda a, b: weighted_quantile(a, b, colors, weights, quantile, consensus), len(consensus)
    )
    offsets, shares = np.zeros_like(colors), np.zeros_like(weights)
    level = _blurred(consensus.mean(axis=2), weights.max(axis=0), smooth_px) + 0.01
    for k, weight in enumerate(weights):
        away = colors[k] - consensus
        # outliers (hair before the face, a hand) must not spread into the smooth difference
        calm = weight / (1 + (np.abs(away).max(axis=2) / (0.5 * level)) ** 2)
        for c in range(3):
            offsets[k, ..., c] = _blurred(away[..., c], calm, smooth_px)
        smooth = np.abs(offsets[k]).mean(axis=2) / level
        rough = np.abs(away - offsets[k]).mean(axis=2) / level
        rough = _blurred(rough, weight, smooth_px / 2)
        odd = 1 / (1 + (smooth / _ODD) ** 2) / (1 + (rough / (2 * _ODD)) ** 2)
        fine = _blurred(looks.fine[k], weight, smooth_px / 2)
        shares[k] = weight * odd * fine**sharpness
    shares *= _focus(looks.sharp, weights, smooth_px)
    shares /= np.maximum(shares.max(axis=0), 1e-30)
    return Joined(consensus=consensus, known=weights.sum(axis=0), offsets=offsets, shares=shares)


def _focus(sharp: Floats32, weights: Floats32, smooth_px: float) -> Floats32:
    """Return (K, m, m) in (0, 1]: less where a view shows less detail than others do.

    Detail beyond the best is no merit (the edge of what hides the face has much), so that it
    is measured against the mean of the views.
    """
    # an edge is where trust ends: squares keep it out
    smooth = np.stack(
        [_blurred(s, w**2, 1.5 * smooth_px) for s, w in zip(sharp, weights, strict=True)]
    )
    mean = (smooth * weights).sum(axis=0) / np.maximum(weights.sum(axis=0), _TINY)
    ratio = smooth / np.maximum(mean, _TINY)
    return np.asarray(np.clip(ratio, 0.1, 1.0) ** 2)


def filled(values: Floats32, known: Floats32, *, n_levels: int = 10) -> Floats32:
    """Return `values` (m, m, C) with unknown texels filled smoothly from known ones (pull-push).

    Source
    ------
    Gortler et al., The lumigraph, SIGGRAPH 1996, section 3.4.
    """
    weight = np.clip(known, 0, 1).astype(np.float32)
    levels = [(values * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 1 and len(levels) < n_levels:
        v, w = levels[-1]
        size = (-(-w.shape[1] // 2), -(-w.shape[0] // 2))
        v, w = _resized(v, size), _resized(w, size)
        grown = np.minimum(1, 4 * w)  # a quarter covered is known
        levels.append((v * (grown / np.maximum(w, _TINY))[..., None], grown))
    v, w = levels[-1]
    out: Floats32 = np.asarray(v / np.maximum(w, _TINY)[..., None], dtype=np.float32)
    for v, w in levels[-2::-1]:
        out = v + (1 - w)[..., None] * _resized(out, (w.shape[1], w.shape[0]))
    return out


def _resized(values: Floats32, size: tuple[int, int]) -> Floats32:
    """Resize (h, w, ...) to (width, height), by area where it gets smaller."""
    way = cv2.INTER_AREA if size[0] < values.shape[1] else cv2.INTER_LINEAR
    out = cv2.resize(values, size, interpolation=way)
    return np.asarray(out, dtype=np.float32).reshape(size[1], size[0], *values.shape[2:])


def _blurred(values: Floats32, weights: Floats32, sigma: float) -> Floats32:
    """Blur (m, m) by a Gaussian that counts texels by their weights."""
    if sigma <= 0:
        return values
    known = cv2.GaussianBlur(weights, (0, 0), sigma)
    return np.asarray(
        cv2.GaussianBlur(values * weights, (0, 0), sigma) / np.maximum(known, _TINY),
        dtype=np.float32,
    )
