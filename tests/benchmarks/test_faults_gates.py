"""The frame of the fault suite: what its result says, its page, its exit code."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from facekit.benchmarks.faults import gates
from facekit.benchmarks.faults.command import bench_faults
from facekit.benchmarks.faults.gate import Gate
from facekit.benchmarks.faults.gates import GATES, FaultsConfig, GateEntry, run_gates
from facekit.benchmarks.faults.page import BEGIN, END, write_table
from facekit.core.errors import ConfigError, InputError, MissingDependencyError


@dataclass(frozen=True, kw_only=True)
class ToyGate(Gate):
    """Counts."""

    def figures(self) -> dict[str, Any]:
        return {"lost": len(self.failures)}


def holds(folder: Path, *, full: bool, seed: int) -> ToyGate:
    (folder / "scratch").write_text("x", encoding="utf-8")
    return ToyGate(cases=100 if full else 5 + seed, failures=(), worst_seconds=0.25)


def breaks(folder: Path, *, full: bool, seed: int) -> ToyGate:
    (folder / "failed").mkdir()
    return ToyGate(cases=5, failures=("point 3: a file was lost",))


def lacks(folder: Path, *, full: bool, seed: int) -> ToyGate:
    raise MissingDependencyError("needs the extra `cluster`")


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the gates be toys."""
    module = ModuleType("facekit.benchmarks.faults.toys")
    module.__dict__.update(holds=holds, breaks=breaks, lacks=lacks)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    entries = {
        name: GateEntry(module="toys", function=function, tries=f"toys that {function}")
        for name, function in (("kills", "holds"), ("writers", "breaks"), ("cluster", "lacks"))
    }
    monkeypatch.setattr(gates, "GATES", entries)
    monkeypatch.setattr("facekit.benchmarks.faults.page.GATES", entries)


def test_a_result_has_the_figures_of_every_gate(toys: None, tmp_path: Path) -> None:
    result = run_gates(FaultsConfig(seed=2), tmp_path)
    assert result["kills"] == {
        "passed": True, "cases": 7, "failed": 0, "failures": [], "lost": 0,
        "seconds": result["kills"]["seconds"], "worst_seconds": 0.25, "worst_megabytes": None,
    }  # fmt: skip
    assert not result["writers"]["passed"] and not result["passed"]
    assert result["writers"]["failures"] == ["point 3: a file was lost"]
    # what failed is kept for who mends it, all else is gone
    assert [path.name for path in tmp_path.iterdir()] == ["writers"]


def test_what_cannot_run_fails_a_release_but_no_sample(toys: None, tmp_path: Path) -> None:
    for full in (False, True):
        result = run_gates(FaultsConfig(full=full, gates=("kills", "cluster")), tmp_path)
        assert result["cluster"]["not_run"] == "needs the extra `cluster`"
        assert result["passed"] is not full


def test_a_gate_that_tried_nothing_is_not_passed() -> None:
    assert not ToyGate(cases=0, failures=()).passed


def test_the_exit_code_tells(toys: None, tmp_path: Path) -> None:
    runner, out = CliRunner(), ["--out", str(tmp_path / "out"), "--json"]
    good = runner.invoke(bench_faults, [*out, "--gate", "kills", "--seed", "1"])
    assert good.exit_code == 0 and json.loads(good.stdout)["kills"]["cases"] == 6
    bad = runner.invoke(bench_faults, [*out, "--set", "gates=[kills, writers]"])
    assert bad.exit_code == 1 and json.loads(bad.stdout)["writers"]["lost"] == 1
    shown = runner.invoke(bench_faults, ["--out", str(tmp_path / "out")])
    assert shown.exit_code == 1 and "a file was" in shown.stdout


def test_unknown_gates_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no gate 'fuz'; there are fuzz, kills"):
        run_gates(FaultsConfig(gates=("fuz",)), tmp_path)


def test_the_page_has_a_row_for_each_gate_and_keeps_the_others(toys: None, tmp_path: Path) -> None:
    page = tmp_path / "reliability.md"
    page.write_text(f"Above.\n{BEGIN}\n{END}\nBelow.\n", encoding="utf-8")
    write_table(page, run_gates(FaultsConfig(gates=("writers", "kills")), tmp_path / "a"))
    first = page.read_text(encoding="utf-8")
    assert first.startswith("Above.\n") and first.endswith("\nBelow.\n")
    rows = [line for line in first.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows] == ["| gate", "| kills", "| writers"]
    assert "| sample | 5 | 1 | – | – | lost 1 | `facekit bench faults --gate writers` |" in first
    write_table(page, run_gates(FaultsConfig(gates=("kills",), full=True), tmp_path / "b"))
    second = page.read_text(encoding="utf-8")
    assert "| full | 100 | 0 | 0.25 |" in second and "--gate kills --full" in second
    assert rows[2] in second


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no table", encoding="utf-8")
    with pytest.raises(InputError, match="between which the table goes"):
        write_table(page, {"full": False})


def test_the_page_has_a_row_as_soon_as_its_gate_has_ended(toys: None, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    known = []

    def after(result: dict[str, Any]) -> None:
        write_table(page, result)
        known.append([name for name in ("kills", "writers") if f"| {name} |" in page.read_text()])

    run_gates(FaultsConfig(gates=("kills", "writers")), tmp_path / "a", after=after)
    assert known == [["kills"], ["kills", "writers"]]


def test_a_page_that_takes_no_table_is_told_before_any_gate_runs(
    toys: None, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text("no table", encoding="utf-8")
    out = tmp_path / "out"
    told = CliRunner().invoke(bench_faults, ["--page", str(page), "--out", str(out)])
    assert isinstance(told.exception, InputError)
    assert not out.exists()


def test_gates_are_those_that_the_result_is_known_by() -> None:
    assert list(GATES) == [
        "fuzz", "kills", "disk_full", "bit_flips", "writers", "schemas", "hostile", "metadata",
        "strangers", "captures", "erase", "cluster",
    ]  # fmt: skip


def parted(folder: Path, *, full: bool, seed: int, sound: dict[str, dict[str, Any]]) -> ToyGate:
    each = {name: {"cases": 1, "failures": []} for name in ("one", "two", "three")}
    if "two" not in sound and seed == 0:
        each["two"]["failures"] = ["lost"]
    tried = sorted(set(each) - set(sound))
    lines = tuple(line for part in each.values() for line in part["failures"])
    (folder / "tried").write_text(" ".join(tried), encoding="utf-8")
    return ToyGate(cases=3, failures=lines, each=each)


@pytest.fixture
def parts(toys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one gate have parts."""
    sys.modules["facekit.benchmarks.faults.toys"].__dict__.update(parted=parted)
    entry = GateEntry(module="toys", function="parted", tries="toys in parts", has_parts=True)
    monkeypatch.setitem(gates.GATES, "kills", entry)


def test_only_parts_that_failed_are_tried_again(parts: None, tmp_path: Path) -> None:
    config = FaultsConfig(gates=("kills",))
    first = run_gates(config, tmp_path)
    assert not first["passed"] and "again" not in first["kills"]
    second = run_gates(config, tmp_path, earlier=json.loads(json.dumps(first)))
    assert second["kills"]["again"] == "two"
    with pytest.raises(ConfigError, match="seed: 4, but the earlier result says 0"):
        run_gates(FaultsConfig(gates=("kills",), seed=4), tmp_path, earlier=first)


@pytest.mark.parametrize("text", ["[]", "{}", '{"full": true}', '{"kills": {"each": [1]}}'])
def test_an_earlier_result_that_is_none_is_refused(toys: None, tmp_path: Path, text: str) -> None:
    (tmp_path / "earlier.json").write_text(text, encoding="utf-8")
    ended = CliRunner().invoke(bench_faults, ["--again", str(tmp_path / "earlier.json")])
    assert ended.exit_code != 0
    assert "not what" in str(ended.exception)
