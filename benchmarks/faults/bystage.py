"""A gate's stages side by side: each in a process and a folder of its own, then one outcome."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from ...core.console import track
from ...core.errors import ConfigError
from ...core.jobs.processes import each_apart
from .gate import Gate, Parts

Outcome = TypeVar("Outcome", bound=Gate)


def by_stage(
    work: Callable[[str], Outcome], names: Sequence[str], *, what: str, jobs: int | None = None,
    kind: type[Outcome], sound: Parts | None = None,
) -> Outcome:  # fmt: skip
    """Try every stage and return what came of all.

    Parameters
    ----------
    work
        Name of a stage -> what came of it; importable.
    what : str
        What is done to them, for the bar.
    jobs : int, optional
        Processes; as many as there are processors by default, 1: none but this one.
    kind : type
        Of what comes of a stage.
    sound : Parts, optional
        Stages that an earlier run found sound: they are not tried again.
    """
    jobs = jobs or os.cpu_count() or 1
    found = {name: _of_record(kind, part) for name, part in (sound or {}).items() if name in names}
    left = [name for name in names if name not in found]
    if jobs == 1:
        found |= {name: work(name) for name in left}
    else:
        ended = track(each_apart(work, left, jobs=jobs), what, total=len(left))
        found |= {left[number]: future.result() for number, future in ended}
    return together([replace(found[name], each={name: _record(found[name])}) for name in names])


def _record(outcome: Gate) -> dict[str, Any]:
    """Return what came of a stage, JSON-able."""
    values = {one.name: getattr(outcome, one.name) for one in fields(outcome)}
    del values["each"]
    return {
        key: None if isinstance(value, float) and math.isnan(value)
        else list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
    }  # fmt: skip


def _of_record(kind: type[Outcome], record: Mapping[str, Any]) -> Outcome:
    """Return what a record tells.

    Raises
    ------
    ConfigError
        It is of another gate or version.
    """
    values: dict[str, Any] = {
        key: math.nan if value is None else tuple(value) if isinstance(value, list) else value
        for key, value in record.items()
    }
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"an earlier result of another gate or version: {error}") from None


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
