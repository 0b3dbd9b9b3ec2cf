"""The judge of hostile files sees a reader that reads, goes or runs too far, and one that dies."""

import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from facekit.benchmarks.faults import hostile, hostilehdf5
from facekit.benchmarks.faults.hostile import hostile_cases, hostile_faults, judged
from facekit.benchmarks.faults.hostilepaths import NAMES, Target, path_cases
from facekit.benchmarks.faults.hostilepickles import would_run
from facekit.benchmarks.faults.hostilerun import Case, Tried, try_cases
from facekit.benchmarks.faults.touches import Touches
from facekit.core.errors import InputError


def nothing(root: Path, outside: Path) -> None:
    """Write a file here and one outside."""
    (root / "a.txt").write_text("a", encoding="utf-8")
    (outside / "b.txt").write_text("b", encoding="utf-8")


def hdf5(root: Path, _: Path) -> None:
    with h5py.File(root / "a.h5", "w") as file:
        file["secret"] = np.zeros(4)


def pickled(kind: str) -> Callable[[Path, Path], None]:
    def make(root: Path, _: Path) -> None:
        (root / "a.pkl").write_bytes(would_run()[kind])

    return make


def read_hdf5(root: Path) -> None:
    with h5py.File(root / "a.h5") as file:
        file["secret"][()]
    raise InputError("too late")


def refuse(_: Path) -> None:
    raise InputError("a sentence")


def unpickle(root: Path) -> Any:
    return pickle.loads((root / "a.pkl").read_bytes())


def go_out(root: Path) -> None:
    (root / "../outside/b.txt").read_text(encoding="utf-8")


def go_out_in_c(root: Path) -> None:
    # numpy's own file object: Python's audit events hear nothing of it
    descriptor = os.open(root / "../outside", os.O_RDONLY)
    os.close(os.open("b.txt", os.O_RDONLY, dir_fd=descriptor))


def write_out(root: Path) -> None:
    (root.parent / "elsewhere.txt").write_text("x", encoding="utf-8")


def die(_: Path) -> None:
    os.kill(os.getpid(), 11)


def trip(_: Path) -> None:
    raise KeyError("no sentence")


def toys() -> Sequence[Case]:
    """Return a case for each way to go wrong, and some good ones."""
    free = {"must_refuse": False}
    return [
        Case(name="good", make=nothing, read=refuse),
        Case(name="read", make=nothing, read=lambda _: None),
        Case(name="data", make=hdf5, read=read_hdf5, no_data="a.h5"),
        Case(name="other data", make=hdf5, read=read_hdf5, no_data="b.h5"),
        Case(name="out", make=nothing, read=go_out, **free),
        Case(name="out in C", make=nothing, read=go_out_in_c, **free),
        Case(name="writes", make=nothing, read=write_out, **free),
        *(Case(name=f"runs {kind}", make=pickled(kind), read=unpickle, **free)
          for kind in would_run()),
        Case(name="dies", make=nothing, read=die),
        Case(name="trips", make=nothing, read=trip),
        Case(name="good again", make=nothing, read=refuse),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tried]:
    """Try the toys, all in one batch."""
    names = [case.name for case in toys()]
    return {one.case: one for one in try_cases(toys, [names], tmp_path_factory.mktemp("toys"))}


def test_each_case_has_an_answer_though_one_of_them_dies(found: dict[str, Tried]) -> None:
    assert list(found) == [case.name for case in toys()]
    assert "signal 11" in found["dies"].other
    assert "KeyError" in found["trips"].other
    for name in ("good", "other data", "good again"):
        assert not found[name].failures


def test_what_reads_too_much_is_told(found: dict[str, Tried]) -> None:
    assert found["read"].read == ("the file",)
    assert found["data"].read == ("data of /secret",)


def test_what_escapes_is_told(found: dict[str, Tried]) -> None:
    assert any("b.txt" in what for what in found["out"].escaped)
    assert any("elsewhere.txt" in what for what in found["writes"].escaped)
    assert found["out in C"].escaped  # Python names such a file from nowhere: the system tells


def test_what_runs_is_told(found: dict[str, Tried]) -> None:
    for kind in would_run():
        assert found[f"runs {kind}"].executed
        assert not found[f"runs {kind}"].escaped


def test_the_gate_counts_them_and_holds_hdf5_to_a_second(found: dict[str, Tried]) -> None:
    slow = Tried(case="slow", seconds=1.5)
    counts = {"hdf5": 2, "paths": 6, "pickles": 3}
    gate = judged([*found.values(), slow], counts, {"slow", "good"})
    assert not gate.passed and gate.cases == len(found) + 1
    figures = gate.figures()
    assert (figures["read"], figures["escaped"], figures["executed"]) == (2, 3, 3)
    assert "slow: took 1.5 s" in gate.failures and gate.worst_seconds == 1.5


def test_touches_are_heard_from_any_library(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.bin").write_bytes(b"abc")
    touches = Touches(tmp_path)
    np.fromfile(tmp_path / "in/a.bin", np.uint8)
    (tmp_path / "b").write_text("x", encoding="utf-8")
    told = touches.close()
    assert any("in/a.bin" in one for one in told)
    assert any(one.startswith("makes") and one.endswith("/b") for one in told)
    assert Touches(tmp_path).close() == []


def test_names_lead_to_a_sound_file_outside(tmp_path: Path) -> None:
    def make(root: Path) -> None:
        (root / "images").mkdir()
        (root / "images/a.txt").write_text("a", encoding="utf-8")

    def put(root: Path, name: str) -> None:
        (root / "list.txt").write_bytes(name.encode("utf-8", "surrogateescape"))

    def read(root: Path) -> None:
        (root / "images" / (root / "list.txt").read_text(encoding="utf-8")).read_text()

    target = Target(name="list", make=make, put=put, read=read, own="images/a.txt",
                    before="images", links=True)  # fmt: skip
    cases = {case.name.removeprefix("list: "): case for case in path_cases((target,))}
    assert set(cases) == {*NAMES, "link", "link of a folder"}
    for number, kind in enumerate(("above", "absolute", "above and deep", "two slashes", "link")):
        root, outside = tmp_path / str(number) / "input", tmp_path / str(number) / "outside"
        root.mkdir(parents=True)
        outside.mkdir()
        cases[kind].make(root, outside)
        if kind == "link":
            assert (root / "images/a.txt").is_symlink()
        else:
            read(root)  # it is there to be found


def test_there_are_as_many_cases_as_a_release_needs() -> None:
    kinds = hostile._kinds()
    assert len(hostilehdf5.ALL) >= 40 and len(kinds["hdf5"]) >= 40
    assert len(kinds["paths"]) >= 30
    readers = {case.name.partition(":")[0] for case in kinds["pickles"]}
    assert {"flame-pkl", "hrn-torch", "hrn-legacy", "landmark-ids", "points-npy", "bfm-mat",
            "settings", "maps"} <= readers  # fmt: skip
    names = [case.name for case in hostile_cases()]
    assert len(set(names)) == len(names)


def test_a_few_of_each_kind_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile, "_SAMPLE", {"hdf5": 3, "paths": 8, "pickles": 8})
    gate = hostile_faults(tmp_path, full=False, seed=3)
    assert gate.failures == ()
    assert gate.cases == 19
