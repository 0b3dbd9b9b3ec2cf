"""Stages of a gate that are tried side by side: one outcome, whoever ended first."""

import json
import math
from dataclasses import replace
from functools import partial

import pytest

from facekit.benchmarks.faults.bystage import by_stage, together
from facekit.benchmarks.faults.gate import sound_parts
from facekit.benchmarks.faults.kills import KillFaults
from facekit.core.errors import ConfigError

_SECONDS = {"a": 1.5, "b": 4.0, "c": math.nan}


def outcome(name: str, *, points: int) -> KillFaults:
    lost = name == "b"
    return KillFaults(
        cases=points, failures=(f"{name} was lost",) if lost else (), stages={name: points - 1},
        lost=int(lost), worst_seconds=_SECONDS[name],
    )  # fmt: skip


@pytest.mark.parametrize("jobs", [1, 2])
def test_counts_add_up_and_the_worst_is_kept(jobs: int) -> None:
    found = by_stage(
        partial(outcome, points=5), ("a", "b", "c"), what="trial", jobs=jobs, kind=KillFaults
    )
    assert replace(found, each={}) == KillFaults(
        cases=15, failures=("b was lost",), stages={"a": 4, "b": 4, "c": 4}, lost=1,
        worst_seconds=4.0,
    )  # fmt: skip
    assert not found.passed
    assert list(found.each) == ["a", "b", "c"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_stages_that_were_sound_are_not_tried_again(jobs: int) -> None:
    work = partial(outcome, points=5)
    first = by_stage(work, ("a", "b", "c"), what="trial", jobs=jobs, kind=KillFaults)
    result = json.loads(json.dumps({"each": first.each}, allow_nan=False))
    sound = sound_parts(result)
    assert list(sound) == ["a", "c"]
    again = by_stage(
        partial(outcome, points=6), ("a", "b", "c"), what="trial", jobs=jobs, kind=KillFaults,
        sound=sound,
    )  # fmt: skip
    assert again.cases == 5 + 6 + 5
    assert again.stages == {"a": 4, "b": 5, "c": 4}
    assert again.worst_seconds == 4.0


def test_a_part_of_another_gate_is_refused() -> None:
    with pytest.raises(ConfigError, match="of another gate or version"):
        by_stage(outcome, ("a",), what="trial", jobs=1, kind=KillFaults, sound={"a": {"x": 1}})


def test_what_no_stage_measured_stays_unmeasured() -> None:
    found = together([outcome("c", points=2), outcome("c", points=1)])
    assert math.isnan(found.worst_seconds)
    assert found.passed
