"""Which views and corners contradict the rest, after a robust adjustment.

First the robust loss, then rejection: after plain least squares a few wrong photographs pull the
rig so far that good ones look wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.arrays import Bools
from .rigstate import Observations, RigState, residuals, rows_by_view

VIEW_MEDIANS, VIEW_FLOOR_PX = 5.0, 0.3  # a view is rejected whose median residual is beyond
CORNER_MEDIANS, CORNER_FLOOR_PX = 10.0, 1.0  # likewise a corner


@dataclass(frozen=True, kw_only=True)
class RejectedView:
    """A photograph that contradicts the others."""

    take: str
    camera: str
    median_px: float
    n_corners: int


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """What is kept, and what is not."""

    kept: Bools
    """(N,) corners."""
    views: tuple[RejectedView, ...]
    limits_px: dict[str, float]
    """Camera -> median residual up to which a view of it would be kept."""


def reject(
    state: RigState, seen: Observations, names: Sequence[str], takes: Sequence[str]
) -> Rejection:
    """Return which corners to keep, and the views that contradict the others.

    A view's median is held against the usual one of all views and of its own camera, so that
    neither a single wrong corner nor a less sharp camera condemns it.
    """
    error = np.linalg.norm(residuals(state, seen), axis=1)
    views = rows_by_view(seen)
    camera = np.array([seen.camera[rows[0]] for rows in views])
    medians = np.array([np.median(error[rows]) for rows in views])
    overall = float(np.median(medians))
    usual = np.zeros(len(names))
    for index in np.unique(camera):
        usual[index] = max(overall, float(np.median(medians[camera == index])))
    limits = np.maximum(VIEW_MEDIANS * usual, VIEW_FLOOR_PX)
    kept = error <= np.maximum(CORNER_MEDIANS * usual, CORNER_FLOOR_PX)[seen.camera]
    rejected = []
    for rows, index, median in zip(views, camera, medians, strict=True):
        if median <= limits[index]:
            continue
        kept[rows] = False
        rejected.append(
            RejectedView(
                take=takes[seen.take[rows[0]]],
                camera=names[index],
                median_px=float(median),
                n_corners=len(rows),
            )
        )
    return Rejection(
        kept=kept,
        views=tuple(rejected),
        limits_px={name: float(limit) for name, limit in zip(names, limits, strict=True)},
    )
