"""Views spoilt on purpose: whether they are named, and what they cost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import FacekitError
from .multiview_bench_case import load_views
from .multiview_bench_config import MultiViewBenchConfig, Way
from .multiview_bench_views import FaultKind, fault_of
from .multiview_bench_work import Person

_KINDS = tuple(kind for kind in FaultKind if kind is not FaultKind.NONE)
_LOST: dict[str, Any] = {"named": False, "wrongly_named": [], "ratio": None, "median_mm": None}
"""Where a fault left no face at all."""


def faults(
    config: MultiViewBenchConfig, out: Path, clean: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Reconstruct some people of nine calibrated views, of which some are spoilt.

    Parameters
    ----------
    clean : mapping
        Person -> figures without a fault, where they are known already.

    Returns
    -------
    dict
        `other`, `black`, `swapped` -> `named` (every spoilt view of every person was doubted),
        `wrongly_named` (sound views doubted, that are not so without the fault), `ratio` (median
        error over that without the fault: the median over people), `worst_ratio`,
        `median_mm`, and `subjects` (name -> its own figures, `remarks` among them).
    """
    rows: dict[str, dict[str, Any]] = {kind: {} for kind in _KINDS}
    people = [Person(config, index, out) for index in range(config.fault_subjects)]
    stranger = people[1] if len(people) > 1 else Person(config, len(people), out)
    for person in people:
        name = person.case.name
        sound = clean.get(name) or person.reconstruct(Way.CALIBRATED9)[0]
        other = stranger if person is not stranger else people[0]
        known = load_views(person.path)
        for kind in _KINDS:
            fault = fault_of(kind, known, other.path)
            try:
                figures, found = person.reconstruct(Way.CALIBRATED9, fault=fault)
            except FacekitError as error:
                rows[kind][name] = {**_LOST, "failed": str(error)}
                continue
            rows[kind][name] = fault_figures(
                figures, sound, spoilt=fault.views, doubted=found.remarks
            )
    return {kind: _summary(found) for kind, found in rows.items()}


def fault_figures(
    figures: Mapping[str, Any],
    sound: Mapping[str, Any],
    *,
    spoilt: tuple[str, ...],
    doubted: Mapping[str, str],
) -> dict[str, Any]:
    """Return what a fault did to one person; `sound` are the figures without it."""
    wrongly = sorted(set(doubted) - set(spoilt) - set(sound["remarks"]))
    return {
        "spoilt": list(spoilt),
        "named": set(spoilt) <= set(doubted),
        "wrongly_named": wrongly,
        "ratio": figures["median_mm"] / sound["median_mm"],
        "median_mm": figures["median_mm"],
        "p90_mm": figures["p90_mm"],
        "detail_corr": figures["detail_corr"],
        "remarks": dict(doubted),
    }


def _summary(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    found = [row for row in rows.values() if row["ratio"] is not None]
    ratios = [row["ratio"] for row in found]
    return {
        "named": all(row["named"] for row in rows.values()),
        "wrongly_named": sum(len(row["wrongly_named"]) for row in rows.values()),
        "ratio": float(np.median(ratios)) if found else None,
        "worst_ratio": max(ratios, default=None),
        "median_mm": float(np.median([row["median_mm"] for row in found])) if found else None,
        "subjects": dict(rows),
    }
