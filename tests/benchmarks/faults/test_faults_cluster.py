"""Kills on a cluster: nothing is lost, nothing done twice, the poison take alone is reported."""

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facekit.benchmarks.faults.cluster import cluster_faults, gate_of
from facekit.benchmarks.faults.clusterrun import (
    DisturbedBuild,
    Poison,
    _other_clock,
    disturbed_build,
)
from facekit.core.errors import ConfigError

_GOOD = DisturbedBuild(
    takes=8, poisoned="take_0003", done=7, reported=("take_0003",), reason="its worker died",
    repeated=(), again=0, different=0, compared=3,
    kills={"worker": 1, "coordinator": 1, "scheduler": 0},
    interrupted=1, died_of_poison=12, seconds=60.0,
)  # fmt: skip


def test_the_gate_counts_over_all_builds() -> None:
    gate = gate_of([_GOOD, _GOOD])
    assert gate.passed
    assert gate.cases == 2 * 2 + 2
    figures = gate.figures()
    assert (figures["takes"], figures["done"], figures["reported"]) == (16, 14, 2)
    assert (figures["repeated"], figures["worker_kills"], figures["died_of_poison"]) == (0, 2, 24)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"done": 6}, "6 of 7 sound takes"),
        ({"reported": ()}, "take_0003 cannot be built, but none was reported"),
        ({"reported": ("take_0004",)}, "but take_0004 was reported"),
        ({"reported": ("take_0003", "take_0004")}, "but take_0003, take_0004 was reported"),
        ({"repeated": ("session/take_0001/mesh: build-dataset/depth",)}, "depth: done again"),
        ({"again": 1}, "should have found them all"),
        ({"different": 1}, "1 of 3 meshes differ"),
        ({"reason": "6144 MB were taken, and nobody minded"}, "take_0003: 6144 MB were taken"),
    ],
)
def test_whatever_goes_wrong_fails_the_gate(fault: dict[str, object], said: str) -> None:
    gate = gate_of([_GOOD, dataclasses.replace(_GOOD, **fault)])  # type: ignore[arg-type]
    assert not gate.passed
    (sentence,) = gate.failures
    assert said in sentence


def test_kills_need_takes_to_befall(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    with pytest.raises(ConfigError, match="each kill needs a take"):
        disturbed_build(4, folder=tmp_path, kills={"worker": 2, "coordinator": 1})


def test_another_clock_is_that_of_the_processes_begun_meanwhile(tmp_path: Path) -> None:
    ask = [sys.executable, "-c", "import time; print(time.time())"]
    with _other_clock(tmp_path, 7200.0):
        ahead = float(subprocess.run(ask, capture_output=True, check=True).stdout) - time.time()
    after = float(subprocess.run(ask, capture_output=True, check=True).stdout) - time.time()
    assert 7100 < ahead < 7300 and abs(after) < 100


@pytest.mark.slow
def test_the_sample_passes(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    gate = cluster_faults(tmp_path, full=False, seed=3)
    assert gate.passed, gate.failures
    assert gate.figures()["done"] == gate.figures()["takes"] - 1


@pytest.mark.slow
def test_a_take_that_kills_its_workers_and_a_scheduler_that_dies(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    kills = {"worker": 1, "coordinator": 1, "scheduler": 1}
    found = disturbed_build(8, folder=tmp_path, kills=kills, poison=Poison.KILLS)
    assert gate_of([found]).passed, found
    assert found.kills == kills
    assert found.interrupted >= 1 and found.compared >= 1
    assert found.died_of_poison >= 6


@pytest.mark.slow
def test_a_take_that_takes_all_memory_and_a_clock_that_is_ahead(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    found = disturbed_build(
        6, folder=tmp_path, kills={"worker": 1}, poison=Poison.MEMORY, memory="2GB", clock_s=7200.0
    )
    assert gate_of([found]).passed, found
    assert found.died_of_poison >= 2
