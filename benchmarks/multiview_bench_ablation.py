"""What each consistency loss is worth: the same people, with one loss switched off in turn."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import FacekitError
from .multiview_bench_case import load_views
from .multiview_bench_config import MultiViewBenchConfig, Way
from .multiview_bench_views import FaultKind, fault_of
from .multiview_bench_work import LESS_IS_WORSE, Person, summary

log = logging.getLogger(__name__)

ALL, NONE = "all losses", "no loss"
BUMPED_MM = "bumped_median_mm"
"""Median error where one camera has turned since the calibration."""
TOLD = (
    "median_mm", "p90_mm", "mid_median_mm", "detail_corr", "detail_gain", "cpu_s", BUMPED_MM,
)  # fmt: skip
"""Figures of an ablation's table."""
MEANT_FOR = {
    "agreement": BUMPED_MM,
    "photo": "detail_corr",
    "gradient": "detail_corr",
    "ncc": "median_mm",
}
"""Loss -> the figure that it is there for."""


_BY_DEPTH = "agreement"


def ablation(config: MultiViewBenchConfig, out: Path) -> dict[str, dict[str, Any]]:
    """Reconstruct some people with all losses, without each, and without any.

    Returns
    -------
    dict
        `all losses`, `without <loss>`, `no loss` -> `TOLD`, medians over people; of a loss also
        `meant_for`, the figure that it is there for, and `worse_percent`, by how much that is
        worse without it.
    """
    terms = loss_names()
    variants: dict[str, tuple[str, ...]] = {ALL: ()}
    variants |= {f"without {term}": (term,) for term in terms}
    variants[NONE] = terms
    rows: dict[str, dict[str, Any]] = {name: {} for name in variants}
    for index in range(config.ablation_subjects):
        person = Person(config, index, out)
        for name, without in variants.items():
            try:
                figures, _ = person.reconstruct(config.ablation_case, without=without)
                if name in (ALL, f"without {_BY_DEPTH}"):
                    fault = fault_of(FaultKind.BUMPED, load_views(person.path), None)
                    bumped, _ = person.reconstruct(Way.CALIBRATED9, without=without, fault=fault)
                    figures = {**figures, BUMPED_MM: bumped["median_mm"]}
            except FacekitError as error:
                log.warning("%s, %s: %s", person.case.name, name, error)
                continue
            rows[name][person.case.name] = figures
    told = {name: _told(found) for name, found in rows.items()}
    for term in terms:
        figure = MEANT_FOR.get(term, "median_mm")
        one = told[f"without {term}"]
        one["meant_for"] = figure
        one["worse_percent"] = worse_percent(figure, one[figure], told[ALL][figure])
    return told


def _told(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    medians = summary(rows)
    bumped = [figures[BUMPED_MM] for figures in rows.values() if BUMPED_MM in figures]
    medians[BUMPED_MM] = float(np.median(bumped)) if bumped else None
    return {key: medians[key] for key in TOLD}


def loss_names() -> tuple[str, ...]:
    """Return the names of the consistency losses."""
    from ..reconstruct.views.consistency import ConsistencyWeights  # loads torch

    return tuple(field.name for field in dataclasses.fields(ConsistencyWeights))


def worse_percent(figure: str, without: float | None, with_all: float | None) -> float | None:
    """Return by how many per cent a figure is worse without a loss; negative where better."""
    if without is None or with_all is None or with_all == 0:
        return None
    change = 100 * (without / with_all - 1)
    return -change if figure in LESS_IS_WORSE else change
