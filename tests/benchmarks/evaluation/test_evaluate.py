"""A benchmark is run: files, resuming, failures told, options that are told apart."""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from facekit.benchmarks.evaluation import scoring
from facekit.benchmarks.evaluation.commands import evaluate as command
from facekit.benchmarks.evaluation.evaluate import EvaluationTask, evaluate
from facekit.benchmarks.evaluation.protocol import Case, CaseScore, Options
from facekit.benchmarks.evaluation.scoresfile import read_scores
from facekit.core.commandline import SentenceOnError
from facekit.core.errors import EstimationError, InputError


def run(toy, **changes) -> dict:
    options = changes.pop("options", Options())
    return evaluate(
        EvaluationTask(
            benchmark="toy", data=toy.data, predictions=toy.predictions, out=toy.out,
            options=options, **changes,
        )
    )  # fmt: skip


def invoke(*words: object) -> Result:
    group = SentenceOnError(commands={"eval": command})
    return CliRunner().invoke(group, ["eval", *map(str, words)])


def test_all_files_are_written_and_the_figures_are_those_of_the_distances(toy) -> None:
    head = run(toy)
    assert (head["n_cases"], head["n_scored"], head["failed"]) == (4, 4, [])
    every = {row["label"]: row for row in head["rows"]}
    assert every["all"]["values"]["mean"] == pytest.approx(2.5, abs=0.01)
    assert every["easy"]["n"] == every["hard"]["n"] == 2
    for name in ("official/toy.txt", "scores.json", "table.md", "table.tex", "curves.png",
                 "report.html", "cases/ann.json", "cases/ann.npz"):  # fmt: skip
        assert (toy.out / name).stat().st_size > 0, name
    scores = read_scores(toy.out / "scores.json")
    assert scores["cases"]["dan"]["values"]["mean"] == pytest.approx(4.0, abs=0.02)
    assert scores["rows"] == head["rows"]
    assert [m["name"] for m in scores["leaderboard"]["methods"]][:1] == ["TokenFace"]
    assert all(m["source"] for m in scores["leaderboard"]["methods"])
    assert "**mine**" in (toy.out / "table.md").read_text()
    page = (toy.out / "report.html").read_text()
    assert "Toy &lt;benchmark&gt;" in page
    assert "<benchmark>" not in page


def test_a_second_run_scores_nothing_again_and_writes_the_same_official_bytes(toy) -> None:
    run(toy)
    first = (toy.out / "official" / "toy.txt").read_bytes()
    toy.benchmark.scored.clear()
    run(toy)
    assert toy.benchmark.scored == []
    assert (toy.out / "official" / "toy.txt").read_bytes() == first


def test_a_run_that_was_killed_goes_on(toy, monkeypatch: pytest.MonkeyPatch) -> None:
    run(toy)
    whole = (toy.out / "official" / "toy.txt").read_bytes()
    cases = toy.out / "cases"
    (cases / "bob.json").unlink()  # killed between arrays and record
    (cases / "cat.json").write_text('{"format": "facekit-ca')  # a torn file of another program
    (cases / "dan.npz").write_bytes(b"PK\x03\x04 cut")
    (cases / "bob.1a2b3c4d.part.npz").write_bytes(b"half")
    toy.benchmark.scored.clear()
    run(toy)
    assert toy.benchmark.scored == ["bob", "cat", "dan"]
    assert (toy.out / "official" / "toy.txt").read_bytes() == whole


def test_a_score_is_kept_only_for_the_same_files_and_settings(toy) -> None:
    run(toy)
    toy.benchmark.scored.clear()
    text = (toy.predictions / "cat.obj").read_text()
    (toy.predictions / "cat.obj").write_text(text.replace("v ", "v 1", 1))
    run(toy)
    assert toy.benchmark.scored == ["cat"]
    toy.benchmark.scored.clear()
    run(toy, options=Options(settings={"power": "2"}))
    assert toy.benchmark.scored == ["ann", "bob", "cat", "dan"]


def test_missing_and_bad_predictions_are_told_and_the_others_go_on(toy) -> None:
    (toy.predictions / "ann.obj").unlink()
    run(toy)
    (toy.predictions / "cat.obj").write_text("v 0 0 nan\nf 1 1 1\n")
    head = run(toy)
    assert [f["id"] for f in head["failed"]] == ["ann", "cat"]
    assert sorted(p.name for p in (toy.out / "cases").glob("*.json")) == ["bob.json", "dan.json"]
    assert "no such prediction" in head["failed"][0]["reason"]
    assert "NaN" in head["failed"][1]["reason"]
    assert (head["n_scored"], head["n_missing"]) == (2, 1)
    every = {row["label"]: row for row in head["rows"]}
    assert every["all"]["missing"] == 2
    assert every["easy"]["missing"] == 0  # both were hard


def test_official_silence_is_about_missing_predictions_alone(toy) -> None:
    (toy.predictions / "ann.obj").unlink()
    (toy.predictions / "cat.obj").write_text("v 0 0 nan\nf 1 1 1\n")
    head = run(toy, options=Options(official_missing=True))
    assert [f["id"] for f in head["failed"]] == ["cat"]
    assert head["n_missing"] == 1


def test_nothing_scored_is_an_error_that_tells_the_first_reason(toy) -> None:
    for path in toy.predictions.iterdir():
        path.write_text("")
    with pytest.raises(EstimationError, match=r"none of 4 predictions.*0 vertices"):
        run(toy)
    assert len(read_scores(toy.out / "scores.json")["failed"]) == 4
    (toy.predictions / "ann.obj").unlink()  # the first has none: what is wrong is told of others
    with pytest.raises(EstimationError, match=r"bob.obj: 0 vertices"):
        run(toy)


def test_a_fault_of_one_case_leaves_the_others(toy, monkeypatch: pytest.MonkeyPatch) -> None:
    score = toy.benchmark.score

    def faulty(case: Case, options: Options) -> CaseScore:
        if case.id == "bob":
            raise ZeroDivisionError("by nothing")
        return score(case, options)

    monkeypatch.setattr(toy.benchmark, "score", faulty)
    head = run(toy)
    assert head["n_scored"] == 3
    assert "ZeroDivisionError: by nothing" in head["failed"][0]["reason"]


def test_a_process_that_ends_costs_one_case(toy, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def each_apart(work: Callable, batches: Sequence, *, jobs: int) -> Iterator[tuple[int, Future]]:
        """Run here what would run apart; what holds `bob` ends without an answer."""
        for i, batch in enumerate(batches):
            sizes.append(len(batch.cases))
            future: Future = Future()
            if any(case.id == "bob" for case in batch.cases):
                scored = dataclasses.replace(batch, cases=batch.cases[:1], keys=batch.keys[:1])
                if scored.cases[0].id != "bob":
                    work(scored)
                future.set_exception(EstimationError("its process ended without an answer"))
            else:
                future.set_result(work(batch))
            yield i, future

    monkeypatch.setattr(scoring, "each_apart", each_apart)
    monkeypatch.setattr(scoring, "get", lambda name: toy.benchmark)
    monkeypatch.setattr(scoring, "_BATCHES", 1)
    head = run(toy, jobs=2)
    assert [f["id"] for f in head["failed"]] == ["bob"]
    assert "process ended" in head["failed"][0]["reason"]
    assert sizes == [2, 2, 1]
    assert toy.benchmark.scored == ["ann", "cat", "dan"]


def test_fixed_figures_stand_beside_the_official_ones(toy) -> None:
    official = run(toy)
    head = run(toy, options=Options(fixed=True))
    assert head["rows"] == official["rows"]
    assert [row["label"] for row in head["fixed_rows"]] == ["all (fixed)", "easy (fixed)",
                                                            "hard (fixed)"]  # fmt: skip
    assert head["fixed_rows"][0]["values"]["mean"] > head["rows"][0]["values"]["mean"]


def test_numbers_that_are_none_stay_strict_json(toy, monkeypatch: pytest.MonkeyPatch) -> None:
    score = toy.benchmark.score

    def odd(case: Case, options: Options) -> CaseScore:
        found = score(case, options)
        return CaseScore(id=case.id, groups=found.groups, distances=found.distances,
                         values={"median": math.nan, "mean": math.inf})  # fmt: skip

    monkeypatch.setattr(toy.benchmark, "score", odd)
    run(toy)
    scores = json.loads((toy.out / "scores.json").read_text(), parse_constant=pytest.fail)
    assert scores["cases"]["ann"]["values"] == {"median": "nan", "mean": "inf"}
    assert "nan" not in (toy.out / "official" / "toy.txt").read_text()
    assert "inf" in (toy.out / "official" / "toy.txt").read_text()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": Path("/nowhere")}, "no such folder; toy needs its data"),
        ({"predictions": Path("/nowhere")}, "no such folder; predictions"),
        ({"predictions": None}, "give --predictions"),
        ({"data": None}, "facekit assets add toy"),
        ({"options": Options(settings={"powr": "2"})}, "no such setting; it has power"),
        ({"method": "hrn"}, "facekit cannot write"),
        ({"out": "data"}, "holds the data; give another --out"),
        ({"out": "predictions"}, "holds the predictions; give another --out"),
    ],
)
def test_wrong_requests_are_told(toy, changes: dict, said: str) -> None:
    task = {"benchmark": "toy", "data": toy.data, "predictions": toy.predictions, "out": toy.out}
    if isinstance(changes.get("out"), str):
        changes = {"out": task[changes["out"]]}
    with pytest.raises(InputError, match=said):
        evaluate(EvaluationTask(**{**task, **changes}))


def test_two_cases_of_one_name_are_refused(toy, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = toy.benchmark.cases
    monkeypatch.setattr(toy.benchmark, "cases", lambda *given: cases(*given) * 2)
    with pytest.raises(InputError, match="ann is there twice"):
        run(toy)


def test_the_command_prints_the_scores_and_tells_failures(toy) -> None:
    words = ("--benchmark", "toy", "--data", toy.data, "--predictions", toy.predictions,
             "--out", toy.out)  # fmt: skip
    result = invoke(*words, "--json")
    assert result.exit_code == 0, result.output
    head = json.loads(result.stdout)
    for key in ("benchmark", "rows", "n_cases", "n_scored", "failed", "seconds", "official_files",
                "report"):  # fmt: skip
        assert key in head
    assert "cases" not in head
    (toy.predictions / "bob.obj").unlink()
    result = invoke(*words)
    assert result.exit_code == 0
    assert "bob" in result.stderr
    assert "median" in result.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--benchmark", "toyy"], 2, "no benchmark 'toyy'"),
        ([], 2, "give --benchmark NAME, or --all"),
        (["--benchmark", "toy", "--all"], 2, "give --benchmark NAME, or --all"),
        (["--benchmark", "toy", "--set", "power"], 2, "expected key=value"),
        (["--benchmark", "toy", "--reconstruct", "model=ict"], 2, "goes with --method"),
        (["--all", "--data", "/nowhere", "--predictions", "/nowhere"], 2, "no benchmark could"),
    ],
)
def test_the_command_tells_wrong_options_in_a_sentence(toy, words, code: int, said: str) -> None:
    result = invoke(*words, "--out", toy.out)
    assert result.exit_code == code
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_nothing_scored_gives_exit_code_three(toy) -> None:
    for path in toy.predictions.iterdir():
        path.unlink()
    result = invoke("--benchmark", "toy", "--data", toy.data, "--predictions", toy.predictions,
                    "--out", toy.out)  # fmt: skip
    assert result.exit_code == 3
    assert "none of 4 predictions could be scored" in result.stderr


def test_distances_survive_to_the_bit(toy) -> None:
    run(toy)
    with np.load(toy.out / "cases" / "ann.npz") as stored:
        assert stored["distances"].dtype == np.float64
        assert len(stored["distances"]) == stored["array_fixed_distances"].size - 1
