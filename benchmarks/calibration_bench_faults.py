"""Faults put into the corners of the calibration benchmark, with the noise they came with."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..calibration.target.detect import BoardView
from ..capture.patterns import board_size
from ..core.arrays import Floats
from .calibration_bench_stage import BOARD, Stage

BOW_MM = 0.3
GROSS_SHARE, GROSS_PX = 0.01, 15.0
PLAIN_DEG = 60.0  # incidence up to which any solver uses a view


def bowed(stage: Stage, views: Sequence[BoardView]) -> list[BoardView]:
    """Bow the plate by `BOW_MM` from its middle to its corners, both prints with it.

    Each corner moves by the exact difference of the two projections.
    """
    middle = np.divide(board_size(BOARD), 2)
    off = stage.points[:, :2] - middle
    height = BOW_MM * (1 - (off**2).sum(axis=1) / float((middle**2).sum()))
    bent = stage.points + np.stack([np.zeros_like(height), np.zeros_like(height), height], axis=1)
    return [
        replace(view, xy=view.xy + stage.true_xy(view, bent) - stage.true_xy(view))
        for view in views
    ]


def swapped(
    stage: Stage, views: Sequence[BoardView], *, rng: np.random.Generator
) -> tuple[list[BoardView], tuple[str, str]]:
    """Exchange two takes of one camera, which both show most of the board, and not steeply.

    Returns
    -------
    views : list[BoardView]
    names : tuple[str, str]
        `take/camera` of the two.
    """
    most = max(len(view.ids) for view in views)
    rich = [
        view
        for view in views
        if len(view.ids) > 0.8 * most
        and stage.seen_face(view.take, stage.rig[view.camera])[1] < PLAIN_DEG
    ]
    first = rich[int(rng.integers(len(rich)))]
    others = [view for view in rich if view.camera == first.camera and view.take != first.take]
    second = others[int(rng.integers(len(others)))]
    exchanged = {
        first.name: replace(second, take=first.take),
        second.name: replace(first, take=second.take),
    }
    return [exchanged.get(view.name, view) for view in views], (first.name, second.name)


def gross(views: Sequence[BoardView], *, rng: np.random.Generator) -> list[BoardView]:
    """Move `GROSS_SHARE` of all corners by `GROSS_PX` in random directions."""
    spoilt = []
    for view in views:
        hit = rng.random(len(view.ids)) < GROSS_SHARE
        angle = rng.uniform(0, 2 * np.pi, len(view.ids))
        step: Floats = GROSS_PX * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        spoilt.append(replace(view, xy=view.xy + hit[:, None] * step))
    return spoilt
