"""REALY's result files, character for character."""

from collections.abc import Mapping, Sequence

import numpy as np

from ...core.arrays import Floats
from .regions import REGIONS

_MOST_CHARACTERS = 9


def official_text(value_mm: float) -> str:
    """Return a number as the result file has it: the first nine characters of it.

    A value below 1e-4 loses its exponent so: 8.1234567e-05 is written as 8.1234567.
    """
    return str(float(value_mm))[:_MOST_CHARACTERS]


def error_lines(names: Sequence[str], values: Sequence[Mapping[str, float]]) -> str:
    """Return the text of REALY_error.txt: name, and mm of the four regions."""
    lines = []
    for name, of in zip(names, values, strict=True):
        numbers = "".join("\t" + official_text(of[region]) for region in REGIONS)
        lines.append(f"{name}\t{numbers}\n")
    return "".join(lines)


def summary_lines(values: Sequence[Mapping[str, float]]) -> str:
    """Return what the official code prints at the end; it reads its result file to do so."""
    columns = {r: np.array([_read_back(official_text(v[r])) for v in values]) for r in REGIONS}
    lines = []
    for title, statistic in (
        ("average", np.mean),
        ("median", np.median),
        ("standard deviation", sample_std),
    ):
        lines += [f"{title} nmse@{r} = {float(statistic(columns[r])):.3f}\n" for r in REGIONS]
    mean = sum(float(columns[r].mean()) for r in REGIONS) / len(REGIONS)
    return "".join(lines) + f"average nmse@all = {mean:.3f}\n"


def sample_std(values: Floats) -> float:
    """Return the standard deviation of a sample (ddof 1); NaN of a single value."""
    if len(values) < 2:
        return float("nan")
    return float(values.std() * np.sqrt(len(values)) / np.sqrt(len(values) - 1))


def _read_back(text: str) -> float:
    """Read a cut number; the official code stops at one that was cut within its exponent."""
    return float(text.rstrip("-").rstrip("e"))
