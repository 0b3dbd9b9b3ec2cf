"""Predictions that cannot be meant as they are: told in one sentence, before they are scored."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ...core.arrays import AnyFloats, Ints
from ...core.errors import InputError
from ..evaluation.predictions import check_mesh

Render = Callable[[AnyFloats, Ints], AnyFloats]

_SUSPICIOUS_MM = 8.0  # median difference of depth after the shift; methods stay below
_BETTER = 0.35  # other axes must leave no more than this share of the difference
_LEAST_OVERLAP = 0.25  # of the truth's pixels, for a difference to mean something
_LARGEST = 1e9  # of a coordinate, in any unit


@dataclass(frozen=True, kw_only=True)
class View:
    """How the prediction is seen."""

    render: Render
    """(vertices mm, faces) -> depth image."""
    y_up: bool
    """The camera looks along -z with y up, or else along +z with y down."""
    unit_mm: float
    """Of the prediction's file."""


def check_placed(vertices: AnyFloats, faces: Ints, what: str) -> None:
    """Refuse a mesh that cannot be measured, or that has no extent or too much of it.

    Raises
    ------
    InputError
    """
    check_mesh(vertices, faces, what)
    largest = float(np.abs(vertices).max())
    if largest > _LARGEST:
        raise InputError(f"{what} has coordinates up to {largest:.1e}: no face in any unit")
    if not np.ptp(vertices, axis=0).any():
        raise InputError(f"all vertices of {what} are in one place")


def check_overlap(
    depth_gt: AnyFloats, depth_pred: AnyFloats, vertices: AnyFloats, faces: Ints, view: View
) -> str | None:
    """Refuse a prediction that cannot be meant where it is; return a remark on a doubtful one.

    Parameters
    ----------
    depth_gt, depth_pred : (256, 256)
        Depth images; 0 where nothing is seen.
    vertices, faces : (V, 3) mm, (F, 3)
        The prediction, in the camera.

    Raises
    ------
    InputError
        It covers nothing of the truth, or its depth fits only with axes or faces reversed.
    """
    nothing = not ((depth_gt != 0) & (depth_pred != 0)).any()
    if nothing and not (depth_gt != 0).any():
        raise InputError(
            "nothing of the truth is seen in its image: pupil scale or camera belong to another"
        )
    as_it_is = _misfit(depth_gt, depth_pred)
    if as_it_is < _SUSPICIOUS_MM:
        return None
    reversal, best = _best_reversal(depth_gt, vertices, faces, view)
    if best < _BETTER * as_it_is and best < _SUSPICIOUS_MM:
        wanted = "y up, z towards the viewer" if view.y_up else "y down, z away from the viewer"
        fit = f"to {as_it_is:.0f} mm" if np.isfinite(as_it_is) else "hardly at all"
        raise InputError(
            f"the prediction fits the truth's depth {fit} as it is, and to {best:.1f} mm with "
            f"{reversal} reversed; wanted are x right, {wanted}, and corners counter-clockwise "
            "from outside"
        )
    if nothing:
        raise InputError(_where_it_is(vertices, view))
    return "the prediction's depth hardly fits the truth: another place, size or pose?"


def _best_reversal(
    depth_gt: AnyFloats, vertices: AnyFloats, faces: Ints, view: View
) -> tuple[str, float]:
    """Return which reversal of axes and corners fits best, and its misfit; the simplest wins."""
    middle = vertices.mean(axis=0)
    found = ("", float("inf"))
    for n in range(4):
        for axes in combinations(range(3), n):
            turned = np.array(vertices)
            for axis in axes:  # x and y about the image's middle, z about the mesh's own
                turned[:, axis] = (2 * middle[axis] if axis == 2 else 0.0) - turned[:, axis]
            for corners in (faces, faces[:, ::-1]):
                misfit = _misfit(depth_gt, view.render(turned, corners))
                if misfit < 0.7 * found[1]:
                    names = ["xyz"[axis] for axis in axes]
                    names += [] if corners is faces else ["the order of corners"]
                    found = (" and ".join(names), misfit)
    return found


def _misfit(depth_gt: AnyFloats, depth_pred: AnyFloats) -> float:
    """Median absolute difference of depth after the best shift; inf with little overlap."""
    overlap = (depth_gt != 0) & (depth_pred != 0)
    if overlap.sum() <= _LEAST_OVERLAP * (depth_gt != 0).sum():
        return float("inf")
    difference = depth_gt[overlap].astype(np.float64) - depth_pred[overlap]
    return float(np.median(np.abs(difference - np.median(difference))))


def _where_it_is(vertices: AnyFloats, view: View) -> str:
    low = vertices[:, :2].min(axis=0) / view.unit_mm
    high = vertices[:, :2].max(axis=0) / view.unit_mm
    size = float((high - low).max())
    if view.y_up:
        wanted = "should be in the orthographic space of the image, [-1, 1] in x and y"
        wanted += ": pixels, or mm?" if size > 20 else ": another unit?" if size < 0.1 else ""
    else:
        wanted = "should stand before the camera at its place in the image"
    return (
        f"the prediction covers nothing of the truth: it is {size:.3g} units wide about x = "
        f"{(low[0] + high[0]) / 2:.3g}, y = {(low[1] + high[1]) / 2:.3g}, and {wanted}"
    )
