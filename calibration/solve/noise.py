"""How noisy each photograph is, from its residuals, and the scale of the robust loss.

Corners on a board seen from the side are two to three times as uncertain as on one seen from the
front. Weighted by what its residuals say, each view counts for what it is worth: where every third
view has three times the noise, centres of cameras come out more than a tenth better.
"""

import numpy as np

from ...core.arrays import Bools, Floats
from .rigstate import Observations, RigState, residuals, rows_by_view

LOSS_MEDIANS = 2.0  # Cauchy's scale, in medians of the residuals
LOSS_FLOOR_PX = 0.02
USUAL_WEIGHT = 100.0  # corners: what the noise of all views is worth against a view's own, which
# with a dozen corners is hardly more than chance


def view_noise(state: RigState, seen: Observations, kept: Bools) -> Floats:
    """Return how noisy the view of each observation is against the usual one, (N,).

    From the median of a view's squared residuals, drawn towards that of all views the more,
    the fewer its corners.

    Parameters
    ----------
    kept : (N,) bool
        Corners that count.
    """
    squared = (residuals(state, seen) ** 2).sum(axis=1)
    views = rows_by_view(seen)
    n = np.array([kept[rows].sum() for rows in views])
    own = np.array([np.median(squared[rows][kept[rows]]) if kept[rows].any() else 0.0
                    for rows in views])  # fmt: skip
    usual = float(np.median(own[n > 0])) if n.any() else 0.0
    noise = np.ones(len(seen))
    if not usual > 0:
        return noise
    relative = np.sqrt((n * own / usual + USUAL_WEIGHT) / (n + USUAL_WEIGHT))
    for rows, value in zip(views, relative, strict=True):
        noise[rows] = value
    return noise


def loss_scale(state: RigState, seen: Observations) -> float:
    """Return the scale of the loss that goes with the residuals, px in a usual view."""
    error = np.linalg.norm(residuals(state, seen), axis=1)
    if seen.noise is not None:
        error = error / seen.noise
    return max(LOSS_MEDIANS * float(np.median(error)), LOSS_FLOOR_PX)
