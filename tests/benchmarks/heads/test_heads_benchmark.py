"""The virtual benchmark as `facekit eval` runs it: cases, rows, methods, what is missing."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from facekit.benchmarks.evaluation.commands import evaluate
from facekit.benchmarks.evaluation.protocol import MakesData, MakesPredictions, Options
from facekit.benchmarks.heads import benchmark
from facekit.benchmarks.heads.benchmark import BENCHMARK
from facekit.benchmarks.heads.settings import HeadsConfig
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.meshio import save_mesh

from .conftest import SETTINGS, Made  # type: ignore[import-not-found]

OPTIONS = Options(settings=SETTINGS)


def predicted(made: Made, folder: Path, off_mm: float = 0.0) -> Path:
    """Write a prediction that is the true head without relief, and its landmarks."""
    vertices = made.true.head.vertices + np.array([0, 0, 1.0]) * off_mm * np.sin(
        made.true.head.vertices[:, :1] / 10
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_mesh(folder / f"{made.name}.obj", Mesh(vertices=vertices, faces=made.true.head.faces))
    np.save(folder / f"{made.name}.npy", made.true.face.landmarks)
    return folder


def run(*arguments: str) -> Any:
    given = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    return CliRunner().invoke(evaluate, ["--benchmark", "virtual", *given, *arguments])


def test_it_is_what_the_harness_asks_for() -> None:
    assert isinstance(BENCHMARK, MakesData) and isinstance(BENCHMARK, MakesPredictions)
    assert {"hrn", "fit", "mv-hrn"} == set(BENCHMARK.methods)


def test_tasks_are_those_that_predictions_are_there_of(made: Made, tmp_path: Path) -> None:
    (case,) = BENCHMARK.cases(made.data, tmp_path, OPTIONS)
    assert case.id == made.name and case.groups["task"] == "single"
    assert case.prediction == tmp_path / f"{made.name}.obj" and not case.prediction.exists()
    predicted(made, tmp_path / "multi")
    (case,) = BENCHMARK.cases(made.data, tmp_path, OPTIONS)
    assert case.groups["task"] == "multi" and case.prediction.is_file()
    assert case.inputs["found_landmarks"].name == f"{made.name}.npy"
    both = Options(settings={**SETTINGS, "tasks": "both"})
    cases = BENCHMARK.cases(made.data, tmp_path, both)
    assert [case.id for case in cases] == [f"{made.name}.single", f"{made.name}.multi"]


def test_a_run_scores_what_is_there_and_lists_what_is_not(made: Made, tmp_path: Path) -> None:
    mine = predicted(made, tmp_path / "mine" / "single", off_mm=0.5).parent
    save_mesh(mine / "single" / "nobody.obj", made.true.head)
    out = tmp_path / "out"
    arguments = ["--data", str(made.data), "--predictions", str(mine), "--out", str(out)]
    result = run(*arguments, "--json", "--set", "tasks=both")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["n_scored"] == 1
    (failed,) = told["failed"]
    assert failed["id"] == f"{made.name}.multi" and "no such prediction" in failed["reason"]
    rows = {row["label"]: row["values"] for row in told["rows"]}
    assert set(rows) == {"mean face", "all"}
    # 0.5 mm times a sine: half of its points are more than 0.35 off, less what alignment takes
    assert 0.1 < rows["all"]["median_mm"] < 0.4 < rows["all"]["p90_mm"] < 0.7
    assert rows["mean face"]["median_mm"] > 0.2
    table = (out / "official" / "virtual.csv").read_text().splitlines()
    assert table[0].startswith("case,task,group,head,median_mm") and len(table) == 2


def test_methods_are_run_on_the_data_of_their_task(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def stand_in(
        method: str, names: Sequence[str], data: Path, predictions: Path, config: HeadsConfig
    ) -> dict[str, str]:
        asked.append((method, list(names)))
        folder = predictions / ("multi" if method == "mv-hrn" else "single")
        folder.mkdir(parents=True)
        return {made.name: "no face was found"} if method == "hrn" else {}

    monkeypatch.setattr(benchmark, "reconstruct_heads", stand_in)
    failed = BENCHMARK.predict("hrn", made.data, tmp_path / "a", OPTIONS)
    assert failed == {made.name: "no face was found"}
    BENCHMARK.predict("mv-hrn", made.data, tmp_path / "b", OPTIONS)
    assert asked == [("hrn", [made.name]), ("mv-hrn", [made.name])]
    (case,) = BENCHMARK.cases(made.data, tmp_path / "b", OPTIONS)
    assert case.groups["task"] == "multi"


def test_settings_and_methods_that_are_not_are_told(made: Made, tmp_path: Path) -> None:
    out = ["--data", str(made.data), "--out", str(tmp_path)]
    result = run(*out, "--method", "deca")
    assert "takes hrn, fit, mv-hrn" in str(result.exception)
    result = run(*out, "--predictions", str(tmp_path), "--set", "people=3")
    assert "no such setting" in str(result.exception)


@pytest.mark.slow
def test_the_fit_is_reconstructed_and_scored_in_one_command(made: Made, tmp_path: Path) -> None:
    out = ["--data", str(made.data), "--out", str(tmp_path / "out")]
    result = run(*out, "--method", "fit", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    rows = {row["label"]: row["values"] for row in told["rows"]}
    assert set(rows) == {"mean face", "coarse (M0)", "all"}
    assert rows["all"]["median_mm"] < rows["mean face"]["median_mm"]
    assert np.isfinite(rows["all"]["displacement_corr"])
    again = run(*out, "--method", "fit", "--json")
    first = {k: v for k, v in told.items() if "seconds" not in k}
    second = {k: v for k, v in json.loads(again.stdout).items() if "seconds" not in k}
    assert first == second
