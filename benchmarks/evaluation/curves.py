"""Cumulative curves: how many of all points lie within a distance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.arrays import Floats
from ...core.report import new_plot
from .protocol import CaseScore

_BINS = 100_000  # of NoW's curve
_RANGE_MM = 8.0  # of NoW's plot
_DRAWN = 1500  # points a curve
_MOST_CURVES = 8
_COLORS = ("#2152a0", "#dd6a4c", "#22a884", "#8a5bb5", "#b8860b", "#3a4048", "#43a0c3", "#c23b6b")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A cumulative curve."""

    edges: Floats
    """(N,) mm, lower edges of the bins."""
    percent: Floats
    """(N,) of the points that lie in a bin or below it."""

    def at(self, distance: float) -> float:
        """Return the percentage at a distance, mm: of the last bin that begins below it."""
        bin_ = int(np.searchsorted(self.edges, distance, side="right")) - 1
        return float(self.percent[bin_]) if bin_ >= 0 else 0.0


def cumulative_curve(distances: Floats, *, bins: int = _BINS) -> Curve:
    """Return the curve of distances (N,), N >= 1, as NoW draws it.

    Source
    ------
    NoW: a histogram of 100 000 bins over [min, max], drawn at the bins' lower edges.
    """
    low, high = (float(f(distances)) for f in (np.min, np.max))
    if high - low <= bins * np.spacing(high):  # all alike: numpy makes no bins that thin
        return Curve(edges=np.array([low]), percent=np.array([100.0]))
    count, edges = np.histogram(distances, bins=bins)
    return Curve(edges=edges[:-1], percent=100.0 * np.cumsum(count) / len(distances))


@dataclass(frozen=True, kw_only=True)
class Line:
    """A curve to be drawn."""

    name: str
    curve: Curve
    median: float
    """mm."""
    reach: float
    """mm, that all but one of 1000 distances stay below."""


def line_of(name: str, distances: Floats) -> Line:
    """Return the line of distances (N,), N >= 1."""
    return Line(
        name=name,
        curve=cumulative_curve(distances),
        median=float(np.median(distances)),
        reach=float(np.percentile(distances, 99.9)),
    )


def lines_of(scores: Sequence[CaseScore]) -> list[Line]:
    """Return the line of all distances, and of each group's; empty without any."""
    groups = distances_by_group(scores)
    return [line_of(name, np.concatenate(groups[name])) for name in list(groups)[:_MOST_CURVES]]


def distances_by_group(scores: Sequence[CaseScore]) -> Mapping[str, Sequence[Floats]]:
    """Return all distances that are known, and those of each value of the first group.

    Left as they lie, an array a score: pooled they may be a gigabyte.
    """
    groups: dict[str, list[Floats]] = {"all": []}
    some = [s for s in scores if s.distances is not None and len(s.distances)]
    group = next(iter(some[0].groups), None) if some else None
    for score in some:
        assert score.distances is not None
        known = score.distances
        if not np.isfinite(known).all():
            known = known[np.isfinite(known)]
        groups["all"].append(known)
        if group is not None and group in score.groups:
            groups.setdefault(score.groups[group], []).append(known)
    if len(groups) == 2:  # one group is all
        groups.pop(next(name for name in groups if name != "all"))
    return {name: parts for name, parts in groups.items() if sum(map(len, parts))}


def draw_curves(lines: Sequence[Line]) -> Any:
    """Return a matplotlib figure of the curves, the one of all drawn thicker."""
    figure, axes = new_plot(6.4, 3.8)
    reach = min(_RANGE_MM, max(*(line.reach for line in lines), 1e-3))
    at = np.linspace(0.0, reach, _DRAWN)
    for line, color in zip(lines, _COLORS * len(lines), strict=False):
        percent = np.interp(at, line.curve.edges, line.curve.percent, left=0.0)
        axes.plot(at, percent, color=color, linewidth=2.2 if line.name == "all" else 1.3,
                  label=f"{line.name} (median {line.median:.3f} mm)")  # fmt: skip
    axes.set_xlim(0, reach)
    axes.set_ylim(0, 100)
    axes.set_xlabel("distance, mm")
    axes.set_ylabel("points within, %")
    axes.legend(loc="lower right", frameon=False)
    return figure
