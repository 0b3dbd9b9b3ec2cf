"""The judge of kills: what it calls lost or different, and a real kill of the quickest stage."""

import json
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from facekit.benchmarks.faults import kills
from facekit.benchmarks.faults.kills import kill_stages
from facekit.benchmarks.faults.trees import normal_form, tree_of
from facekit.benchmarks.faults.warm import Ended, run_command
from facekit.benchmarks.faults.workplace import Stage, Workplace
from facekit.core.errors import InputError

Writer = Callable[[Path, bool], int]


def test_a_tree_leaves_out_what_was_measured_alone(tmp_path: Path) -> None:
    (tmp_path / "stage.json").write_text('{"seconds": 1.5, "results": {"rms": 0.25}}')
    one = tree_of(tmp_path)
    (tmp_path / "stage.json").write_text('{"results": {"rms": 0.25}, "seconds": 9}')
    assert tree_of(tmp_path).differences(one) == []
    (tmp_path / "stage.json").write_text('{"results": {"rms": 0.26}, "seconds": 9}')
    assert tree_of(tmp_path).differences(one) == ["stage.json differs"]
    (tmp_path / "mesh.0123abcd.part.ply").write_text("half")
    (tmp_path / "stage.json").unlink()
    assert tree_of(tmp_path).differences(one) == [
        "stage.json is missing", "mesh.0123abcd.part.ply was left behind",
    ]  # fmt: skip


def test_a_shard_is_compared_by_what_is_in_it(tmp_path: Path) -> None:
    forms = []
    for second, value in ((1, 0.5), (2, 0.5), (2, 0.25)):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.attrs["created_utc"] = f"2026-01-01T00:00:0{second}Z"
            file["depth"] = np.full(3, value)
        forms.append(normal_form(tmp_path / "a.h5"))
    assert forms[0] == forms[1] != forms[2]


@pytest.fixture
def stage() -> Stage:
    """Give a stage whose command is the folder that it writes into."""
    return Stage(name="s", command=lambda out: [str(out)])


def put_in_place(monkeypatch: pytest.MonkeyPatch, writer: Writer) -> None:
    """Let a function stand for the command: told the folder and whether it is killed."""

    def run(arguments: Sequence[str], *, log: Path, kill_after: float | None = None) -> Ended:
        if arguments == ["--version"]:
            return Ended(code=0, seconds=0, said="")
        code = writer(Path(arguments[0]), kill_after is not None)
        is_killed = kill_after is not None
        return Ended(code=-signal.SIGKILL if is_killed else code, seconds=1.0, said="facekit: ill")

    monkeypatch.setattr(kills, "run_command", run)


def write(out: Path, *names: str) -> int:
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        (out / name).write_text(json.dumps(name))
    return 0


def lost_by(out: Path, is_killed: bool) -> int:
    """Stand for a stage that begins anew, and forgets the first file when it does."""
    if is_killed:
        return write(out, "a.json")
    was_there = (out / "a.json").exists()
    if was_there:
        (out / "a.json").unlink()
        return write(out, "b.json")
    return write(out, "a.json", "b.json")


def stray_of(out: Path, is_killed: bool) -> int:
    return write(out, "a.0123abcd.part.json") if is_killed else write(out, "a.json")


def stuck_after(out: Path, is_killed: bool) -> int:
    if is_killed:
        return write(out, "lock.json")
    return 2 if (out / "lock.json").exists() else write(out, "a.json")


def sound(out: Path, is_killed: bool) -> int:
    return write(out, "a.json") if is_killed else write(out, "a.json", "b.json")


@pytest.mark.parametrize(
    ("writer", "lost", "differing", "said"),
    [
        (sound, 0, 0, None),
        (lost_by, 2, 2, "a.json was whole and is lost"),
        (stray_of, 0, 2, "a.0123abcd.part.json was left behind"),
        (stuck_after, 0, 2, "the next run ended ill: exit code 2"),
    ],
)
def test_what_a_kill_costs_is_told(
    tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch, writer: Writer, lost: int,
    differing: int, said: str | None,
) -> None:  # fmt: skip
    put_in_place(monkeypatch, writer)
    found = kill_stages(Workplace(tmp_path), [stage], points=2, seed=0)
    figures: dict[str, Any] = found.figures()
    assert figures == {"points": 2, "lost": lost, "differing": differing, "stages": {"s": 2}}
    assert found.passed == (said is None)
    assert said is None or any(said in line for line in found.failures)


def test_commands_beside_leave_the_settings_of_this_process_alone(tmp_path: Path) -> None:
    before = dict(os.environ)
    with ThreadPoolExecutor(2) as pool:
        logs = (tmp_path / "a.txt", tmp_path / "b.txt")
        ends = [pool.submit(run_command, ["--version"], log=log) for log in logs]
        assert [end.result().code for end in ends] == [0, 0]
    assert dict(os.environ) == before


def test_every_stage_has_a_name_of_its_own(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    names = [stage.name for stage in place.stages()]
    assert len(set(names)) == len(names)
    assert list(tmp_path.iterdir()) == []  # nothing is made before it is asked for
    with pytest.raises(InputError, match=r"'nonsense': known are .*ingest"):
        place.stage("nonsense")


@pytest.mark.slow
def test_stages_that_are_really_killed_lose_nothing(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    stages = [place.stage(name) for name in ("ingest", "calibrate", "export hdf5", "erase")]
    found = kill_stages(place, stages, points=3, seed=1)
    assert found.failures == ()
    assert sum(found.stages.values()) >= 10
