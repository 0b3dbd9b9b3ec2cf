"""A gate's stages side by side: each in a process and a folder of its own, then one outcome."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from ...core.console import track
from ...core.jobs.processes import each_apart
from .gate import Gate

Outcome = TypeVar("Outcome", bound=Gate)


def by_stage(
    work: Callable[[str], Outcome], names: Sequence[str], *, what: str, jobs: int | None = None
) -> Outcome:
    """Try every stage and return what came of all.

    Parameters
    ----------
    work
        Name of a stage -> what came of it; importable.
    what : str
        What is done to them, for the bar.
    jobs : int, optional
        Processes; as many as there are processors by default, 1: none but this one.
    """
    jobs = jobs or os.cpu_count() or 1
    if jobs == 1:
        return together([work(name) for name in names])
    ended = track(each_apart(work, names, jobs=jobs), what, total=len(names))
    return together([future.result() for _, future in sorted(ended, key=lambda one: one[0])])


def together(parts: Sequence[Outcome]) -> Outcome:
    """Return one outcome of several: counts and failures add up, the worst of each cost is kept."""
    first = parts[0]
    values = {one.name: [getattr(part, one.name) for part in parts] for one in fields(first)}
    return type(first)(**{name: _sum(of_all) for name, of_all in values.items()})


def _sum(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, dict):
        return {key: value for one in values for key, value in one.items()}
    if isinstance(first, tuple):
        return tuple(item for one in values for item in one)
    if isinstance(first, float):
        return max((value for value in values if not math.isnan(value)), default=math.nan)
    return first if isinstance(first, str) else sum(values)
