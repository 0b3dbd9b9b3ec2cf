"""Mean and spread over subjects, for each kind of footage, and their text."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..evaluation.protocol import CaseScore, Row
from .layout import SETTINGS

SUBJECTS = "n_subjects"
"""Key of `CaseScore.counts`: how many subjects the data have."""


def rows_of_settings(scores: Sequence[CaseScore], metric: str) -> list[Row]:
    """Return a row for each kind of footage: mean and standard deviation (ddof 0) of a metric."""
    rows = []
    for setting in SETTINGS:
        values = [score.values[metric] for score in scores if score.groups["setting"] == setting]
        missing = max(0, n_subjects(scores) - len(values))
        rows.append(Row(label=setting, values=mean_and_std(values), n=len(values), missing=missing))
    return rows


def n_subjects(scores: Sequence[CaseScore]) -> int:
    """Return how many subjects the data have, as the scores tell; 0 without scores."""
    return max((score.counts[SUBJECTS] for score in scores), default=0)


def official_rows(rows: Sequence[Row]) -> list[Row]:
    """Return rows as the official code has them, and behind each that lacks some, those scored.

    One missing subject makes the official mean infinite and the deviation NaN.
    """
    out = []
    for row in rows:
        if not row.missing:
            out.append(row)
            continue
        out.append(replace(row, values={"mean": math.inf, "std": math.nan}))
        if row.n:
            out.append(replace(row, label=f"{row.label}, those scored"))
    return out


def text_of_settings(
    scores: Sequence[CaseScore], metric: str, subjects: Sequence[int], *, absent: float
) -> str:
    """Return one line a subject, unrounded, then mean and standard deviation of each setting.

    `absent` stands for those that are missing.
    """
    found = {(int(s.groups["subject"]), s.groups["setting"]): s.values[metric] for s in scores}
    lines = ["\t".join(("subject", *SETTINGS))]
    columns = {name: [found.get((who, name), absent) for who in subjects] for name in SETTINGS}
    for i, who in enumerate(subjects):
        lines.append("\t".join((str(who), *(repr(columns[name][i]) for name in SETTINGS))))
    for name in ("mean", "std"):
        cells = (repr(mean_and_std(columns[setting])[name]) for setting in SETTINGS)
        lines.append("\t".join((name, *cells)))
    return "\n".join(lines) + "\n"


def mean_and_std(values: Sequence[float]) -> Mapping[str, float]:
    """Return `mean` and `std` (ddof 0); what is infinite or NaN stays so, without a warning."""
    if not values or math.inf in values or any(math.isnan(value) for value in values):
        return {"mean": math.inf if math.inf in values else math.nan, "std": math.nan}
    return {"mean": float(np.mean(values)), "std": float(np.std(values))}
