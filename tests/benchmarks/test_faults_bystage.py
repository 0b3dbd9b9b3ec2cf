"""Stages of a gate that are tried side by side: one outcome, whoever ended first."""

import math
from functools import partial

import pytest

from facekit.benchmarks.faults.bystage import by_stage, together
from facekit.benchmarks.faults.kills import KillFaults

_SECONDS = {"a": 1.5, "b": 4.0, "c": math.nan}


def outcome(name: str, *, points: int) -> KillFaults:
    lost = name == "b"
    return KillFaults(
        cases=points, failures=(f"{name} was lost",) if lost else (), stages={name: points - 1},
        lost=int(lost), worst_seconds=_SECONDS[name],
    )  # fmt: skip


@pytest.mark.parametrize("jobs", [1, 2])
def test_counts_add_up_and_the_worst_is_kept(jobs: int) -> None:
    found = by_stage(partial(outcome, points=5), ("a", "b", "c"), what="trial", jobs=jobs)
    assert found == KillFaults(
        cases=15, failures=("b was lost",), stages={"a": 4, "b": 4, "c": 4}, lost=1,
        worst_seconds=4.0,
    )  # fmt: skip
    assert not found.passed


def test_what_no_stage_measured_stays_unmeasured() -> None:
    found = together([outcome("c", points=2), outcome("c", points=1)])
    assert math.isnan(found.worst_seconds)
    assert found.passed
