"""Views that the others contradict: found by how well the others foretell their landmarks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from ...core.arrays import Floats
from ...core.errors import EstimationError
from .coarse_landmarks import SeenLandmarks, misfit
from .coarse_state import CoarseState

_FEW = 4  # views up to which every explanation of a bad fit is tried
_BETTER = 0.6  # of the misfit that an explanation must leave at most, to be believed

Fit = Callable[[SeenLandmarks, Floats, CoarseState | None], CoarseState]
"""Fits views at weights (J,), from a state or from none; views of weight 0 get a pose, too."""


@dataclass(frozen=True, kw_only=True)
class Consensus:
    """What the views that agree with each other say."""

    seen: SeenLandmarks
    """With the cameras of exchanged views exchanged."""
    state: CoarseState
    weight: Floats
    """(J,)."""
    misfit: Floats
    """(J,) as the others foretell it; NaN where no landmarks are known."""
    remarks: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _Doubt:
    least: float
    factor: float

    def limit(self, misfits: Floats) -> float:
        """Return the misfit beyond which one of these views is doubted."""
        return max(self.least, self.factor * float(np.median(misfits)))


def consensus(
    seen: SeenLandmarks, fit: Fit, *, least: float, factor: float, exchange: bool
) -> Consensus:
    """Fit all views, leaving out those that the others contradict.

    Parameters
    ----------
    least : float
        Misfit, in tolerances, below which no view is doubted.
    factor : float
        Nor below this many times what is usual among the views.
    exchange : bool
        Whether cameras of two views may be taken for exchanged.
    """
    doubt = _Doubt(least=least, factor=factor)
    remarks = {
        name: "no face was found in it"
        for name, usable in zip(seen.names, seen.usable, strict=True)
        if not usable
    }
    weight = seen.usable.astype(np.float64)
    if seen.one_pose and exchange and 2 <= weight.sum() <= _FEW:
        seen, told = _exchanged_of_few(seen, weight, fit, doubt)
        remarks |= told
    state, weight, off = _without_outliers(seen, weight, fit, doubt)
    if seen.one_pose and exchange:
        swap = _exchanged_pair(seen, state, weight, doubt.limit(off[weight > 0]))
        if swap is not None:
            seen = _exchanged(seen, *swap)
            weight = weight.copy()
            weight[list(swap)] = 1.0
            state = fit(seen, weight, state)
            remarks |= _exchange_remarks(seen, *swap)
    for view in np.flatnonzero((weight == 0) & seen.usable):
        remarks[seen.names[view]] = _sentence(seen, off[view])
    return Consensus(seen=seen, state=state, weight=weight, misfit=off, remarks=remarks)


def _without_outliers(
    seen: SeenLandmarks, weight: Floats, fit: Fit, doubt: _Doubt
) -> tuple[CoarseState, Floats, Floats]:
    """Leave out the view that is foretold worst, until all are foretold well."""
    weight = weight.copy()
    while True:
        state = _fitted(seen, weight, fit)
        off = np.full(len(weight), np.nan)
        active = np.flatnonzero(weight).tolist()
        for view in active if len(active) > 2 else []:
            off[view] = misfit(seen, fit(seen, _without(weight, view), state), view)
        if len(active) <= 2:
            break
        worst = active[int(np.argmax(off[active]))]
        if off[worst] <= doubt.limit(off[_without(weight, worst) > 0]):
            break
        weight[worst] = 0.0
    for view in np.flatnonzero(seen.usable & np.isnan(off)).tolist():
        off[view] = misfit(seen, state, view)
    return state, weight, off


def _fitted(seen: SeenLandmarks, weight: Floats, fit: Fit) -> CoarseState:
    """Fit all; where their landmarks meet nowhere, start at the pair that all like best."""
    try:
        return fit(seen, weight, None)
    except EstimationError:
        best: CoarseState | None = None
        least = np.inf
        active = np.flatnonzero(weight)
        for view in active:
            alone = np.zeros_like(weight)
            alone[view] = 1.0
            state = fit(seen, alone, None)
            total = sum(min(misfit(seen, state, int(other)), 20.0) for other in active)
            if total < least:
                best, least = state, total
        if best is None:
            raise
        return fit(seen, weight, best)


def _without(weight: Floats, view: int) -> Floats:
    left = weight.copy()
    left[view] = 0.0
    return left


def _exchanged_of_few(
    seen: SeenLandmarks, weight: Floats, fit: Fit, doubt: _Doubt
) -> tuple[SeenLandmarks, dict[str, str]]:
    """Exchange the cameras of the two views after which few views fit, and did not before."""

    def worst(tried: SeenLandmarks) -> float:
        state = _fitted(tried, weight, fit)
        return max(misfit(tried, state, int(view)) for view in np.flatnonzero(weight))

    before = worst(seen)
    if before <= doubt.least:
        return seen, {}
    best: tuple[int, int] | None = None
    least = min(_BETTER * before, doubt.least)
    for a, b in _pairs(seen, np.flatnonzero(weight).tolist()):
        after = worst(_exchanged(seen, a, b))
        if after < least:
            best, least = (a, b), after
    if best is None:
        return seen, {}
    return _exchanged(seen, *best), _exchange_remarks(seen, *best)


def _exchanged_pair(
    seen: SeenLandmarks, state: CoarseState, weight: Floats, limit: float
) -> tuple[int, int] | None:
    """Return two views left out that fit with each other's cameras."""
    out = np.flatnonzero((weight == 0) & seen.usable).tolist()
    for a, b in _pairs(seen, out):
        tried = _exchanged(seen, a, b)
        if max(misfit(tried, state, a), misfit(tried, state, b)) <= limit:
            return a, b
    return None


def _pairs(seen: SeenLandmarks, views: Sequence[int]) -> list[tuple[int, int]]:
    sizes = [(camera.width, camera.height) for camera in seen.cameras]
    return [(a, b) for a, b in combinations(views, 2) if sizes[a] == sizes[b]]


def _exchanged(seen: SeenLandmarks, a: int, b: int) -> SeenLandmarks:
    cameras = list(seen.cameras)
    cameras[a] = replace(seen.cameras[b], name=seen.names[a])
    cameras[b] = replace(seen.cameras[a], name=seen.names[b])
    return replace(seen, cameras=tuple(cameras))


def _exchange_remarks(seen: SeenLandmarks, a: int, b: int) -> dict[str, str]:
    return {
        seen.names[one]: (
            f"it was taken by the camera of view {seen.names[other]}, as its landmarks show: the "
            "two were exchanged, and are used so"
        )
        for one, other in ((a, b), (b, a))
    }


def _sentence(seen: SeenLandmarks, off: float) -> str:
    if seen.one_pose:
        return (
            f"its landmarks lie {off:.1f} tolerances from where the other views show them: is it "
            "of another moment, another person or another camera?"
        )
    return (
        f"its landmarks fit no pose of the head that the other views show ({off:.1f} tolerances "
        "off): is it of another person, or of another expression?"
    )
