"""One fixture: what is run on it, and how its outcome compares with the official one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.arrays import AnyFloats


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far an outcome is from the official one."""

    differences: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Quantity, its unit at the end -> absolute differences; inf where they do not compare."""
    counts_equal: bool = True
    """All numbers of iterations, of points and such."""


@dataclass(frozen=True, kw_only=True)
class BenchCase:
    """A fixture whose inputs are in memory."""

    work: Callable[[], Any]
    """What is timed."""
    compare: Callable[[Any], Parity]
    """Of what `work` returned."""
    official_seconds: float
    """CPU seconds of the official code on one thread, without reading files."""
    n: int = 1
    """Official results in it."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """How far a quantity may be off."""

    worst: float
    typical: float | None = None
    """Of the median over all its values."""


def off(found: float, official: float) -> float:
    """Return the difference of two numbers: 0 where both are NaN, inf where one is."""
    if np.isnan(found) and np.isnan(official):
        return 0.0
    difference = abs(float(found) - float(official))
    return difference if np.isfinite(difference) else float("inf")


def most_off(found: AnyFloats, official: AnyFloats) -> float:
    """Return the largest difference of two arrays: inf where shapes differ or one has a NaN."""
    if np.shape(found) != np.shape(official):
        return float("inf")
    if np.size(official) == 0:
        return 0.0
    both_nan = np.isnan(found) & np.isnan(official)
    difference = np.where(both_nan, 0.0, np.abs(np.asarray(found) - np.asarray(official)))
    return float(np.where(np.isfinite(difference), difference, np.inf).max())
