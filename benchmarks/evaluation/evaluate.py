"""Runs one benchmark on one set of predictions and writes all that comes of it.

OUT/official/*         as the official code writes them
OUT/scores.json        see docs/formats/scores.md
OUT/table.md, .tex     this run beside the published results
OUT/curves.png         cumulative, where there are distances
OUT/report.html        to look at
OUT/cases/<id>.json    a score each, written as it is found: a second run goes on
OUT/predictions/       where facekit reconstructed first (`--method`)
"""

import logging
import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...core.assets import find_data
from ...core.errors import EstimationError, InputError
from ...core.files import write_text
from .leaderboards import Leaderboard, load_leaderboard
from .page import write_evaluation_page
from .protocol import Benchmark, Case, CaseScore, HasSettings, MakesData, Options, Row
from .reconstructed import Reconstruction, make_predictions
from .registry import data_name, get
from .scoresfile import SCORES_FILE, Evaluation, head_of, write_scores
from .scoring import Failure, Scored, score_cases
from .tables import TextTable, latex, markdown, own_table, published_table

log = logging.getLogger(__name__)

_SAFE_ID = re.compile(r"[\w.+@=-]+")


@dataclass(frozen=True, kw_only=True)
class EvaluationTask:
    """What is to be evaluated."""

    benchmark: str
    out: Path
    data: Path | None = None
    """None: as registered by `facekit assets add`."""
    predictions: Path | None = None
    """None with `method`: `out/predictions`."""
    method: str | None = None
    """That facekit reconstructs with first."""
    reconstruct: Mapping[str, Any] = field(default_factory=dict)
    """Settings of `facekit reconstruct`, for `method`."""
    jobs: int = 1
    options: Options = field(default_factory=Options)


def evaluate(task: EvaluationTask) -> dict[str, Any]:
    """Run a benchmark; resumable.

    Returns
    -------
    dict
        What `scores.json` holds but for the cases, and where the files are.

    Raises
    ------
    InputError
        Data are missing or not as they should be, or a setting is wrong.
    EstimationError
        Not one prediction could be scored; one reason is told.
    """
    evaluation, head, folder = run(task)
    if evaluation.n_cases and not evaluation.scores:
        raise EstimationError(
            f"{evaluation.benchmark.name}: none of {evaluation.n_cases} predictions could be "
            f"scored; one of them: {evaluation.first_reason}; all are in {folder / SCORES_FILE}"
        )
    return head


def run(task: EvaluationTask) -> tuple[Evaluation, dict[str, Any], Path]:
    """Run a benchmark and write its files, also where nothing could be scored."""
    benchmark = get(task.benchmark)
    check_settings(benchmark, task.options)
    out = _out_folder(task.out)
    data = data_of(benchmark, task.data, out, task.options)
    predictions, not_made = _predictions(benchmark, task, data, out)
    for folder, what in ((predictions, "predictions"), (data, "data")):
        if folder.resolve() == out.resolve():
            raise InputError(f"{out}: holds the {what}; give another --out for the results")
    cases = benchmark.cases(data, predictions, task.options)
    _check_cases(cases, benchmark)
    scored = score_cases(benchmark, cases, task.options, out / "cases", jobs=task.jobs)
    scored = _with_reasons(scored, not_made)
    name = task.method or predictions.name
    evaluation = _evaluation(benchmark, name, task.options, cases, scored)
    head = head_of(evaluation)
    official = _write_official(benchmark, cases, scored, out, task.options)
    head["official_files"] = [str(path) for path in official]
    report = write_evaluation_page(out, evaluation, scored.keys)
    head |= {"report": str(report), "table": str(out / "table.md"), "predictions": str(predictions)}
    tables = tables_of(evaluation)
    write_text(out / "table.md", markdown(tables))
    write_text(out / "table.tex", latex(tables))
    write_scores(out / SCORES_FILE, head, evaluation.scores)
    return evaluation, head, out


def data_of(benchmark: Benchmark, data: Path | None, out: Path, options: Options) -> Path:
    """Return the folder of a benchmark's data: given, registered, or made.

    Raises
    ------
    InputError
        There is none.
    """
    if data is None and not isinstance(benchmark, MakesData):
        data = find_data(data_name(benchmark.name))
        if data is None:
            name = data_name(benchmark.name)
            raise InputError(
                f"{benchmark.name}: where are its data? give --data FOLDER, or once "
                f"`facekit assets add {name} FOLDER`"
            )
    if isinstance(benchmark, MakesData):
        data = out / "data" if data is None else data
        benchmark.prepare(data, options)
        return data
    assert data is not None
    if not data.is_dir():
        raise InputError(f"{data}: no such folder; {benchmark.name} needs its data there")
    return data


def check_settings(benchmark: Benchmark, options: Options) -> None:
    """Refuse settings that a benchmark does not know."""
    known = settings_of(benchmark)
    for key in options.settings:
        if key not in known:
            there = ", ".join(known) or "none"
            raise InputError(f"--set {key}: {benchmark.name} has no such setting; it has {there}")


def settings_of(benchmark: Benchmark) -> Mapping[str, str]:
    """Return the settings that a benchmark takes, with a line on each."""
    return benchmark.settings if isinstance(benchmark, HasSettings) else {}


def tables_of(evaluation: Evaluation) -> list[TextTable]:
    """Return a run's table, and the published results with the run among them."""
    metrics = evaluation.benchmark.metrics
    title = f"{evaluation.benchmark.title}: {evaluation.name}"
    tables = [own_table(title, evaluation.all_rows, metrics)]
    if evaluation.board is not None:
        board = published_table(evaluation.board, evaluation.rows, metrics, name=evaluation.name)
        tables.append(board)
    return tables


def _evaluation(
    benchmark: Benchmark, name: str, options: Options, cases: Sequence[Case], scored: Scored
) -> Evaluation:
    rows, fixed_rows = list[Row](), list[Row]()
    if scored.scores:
        rows = benchmark.rows(scored.scores, options)
        if options.fixed and any(score.fixed for score in scored.scores):
            fixed = benchmark.rows([_fixed(score) for score in scored.scores], options)
            fixed_rows = [replace(row, label=f"{row.label} (fixed)") for row in fixed]
    counted = [_counted(row, cases, scored.failures) for row in rows]
    return Evaluation(
        benchmark=benchmark,
        name=name,
        options=options,
        n_cases=len(cases),
        scores=scored.scores,
        failures=scored.failures,
        rows=tuple(counted),
        fixed_rows=tuple(_counted(row, cases, scored.failures) for row in fixed_rows),
        board=_board(benchmark),
    )


def _board(benchmark: Benchmark) -> Leaderboard | None:
    return None if benchmark.leaderboard is None else load_leaderboard(benchmark.leaderboard)


def _fixed(score: CaseScore) -> CaseScore:
    """Return the score as it is without official oddities."""
    if not score.fixed:
        return score
    distances = score.arrays.get("fixed_distances", score.distances)
    return replace(score, values={**score.values, **score.fixed}, distances=distances)


def _counted(row: Row, cases: Sequence[Case], failures: Sequence[Failure]) -> Row:
    """Return the row with the cases that have no score, where the benchmark did not count."""
    if row.missing:
        return row
    failed = {failure.id for failure in failures}
    label = row.label.removesuffix(" (fixed)")
    label = label.split(",")[0]  # "frontal, median" is of the frontal cases
    of_row = [case for case in cases if label in case.groups.values()] or cases
    return replace(row, missing=sum(case.id in failed for case in of_row))


def _predictions(
    benchmark: Benchmark, task: EvaluationTask, data: Path, out: Path
) -> tuple[Path, Mapping[str, str]]:
    """Return where predictions are, and case id -> why facekit made none."""
    if task.method is None:
        if task.predictions is None:
            raise InputError("give --predictions FOLDER, or --method for facekit's own")
        if not task.predictions.is_dir():
            raise InputError(f"{task.predictions}: no such folder; predictions are read from it")
        return task.predictions, {}
    predictions = out / "predictions" if task.predictions is None else task.predictions
    predictions.mkdir(parents=True, exist_ok=True)
    how = Reconstruction(method=task.method, settings=task.reconstruct)
    return predictions, make_predictions(benchmark, how, data, predictions, task.options)


def _with_reasons(scored: Scored, not_made: Mapping[str, str]) -> Scored:
    """Return failures with the reason why facekit made no prediction, where it made none."""
    failures = tuple(
        replace(f, reason=not_made[f.id]) if f.missing and f.id in not_made else f
        for f in scored.failures
    )
    return replace(scored, failures=failures)


def _check_cases(cases: Sequence[Case], benchmark: Benchmark) -> None:
    """Refuse no cases, and ids that would share a file."""
    if not cases:
        raise InputError(f"{benchmark.name}: the data hold no case to score")
    twice = [name for name, n in Counter(case.id for case in cases).items() if n > 1]
    if twice:
        raise InputError(
            f"{benchmark.name}: {twice[0]} is there twice in the data's list; keep one"
        )
    odd = next((c.id for c in cases if not _SAFE_ID.fullmatch(c.id) or c.id[0] == "."), None)
    if odd is not None:
        raise InputError(f"{benchmark.name}: {odd!r} cannot be a file name; rename it")


def _write_official(
    benchmark: Benchmark, cases: Sequence[Case], scored: Scored, out: Path, options: Options
) -> list[Path]:
    folder = out / "official"
    shutil.rmtree(folder, ignore_errors=True)
    if not scored.scores:
        return []
    folder.mkdir(parents=True)
    return benchmark.write_official(cases, scored.scores, folder, options)


def _out_folder(out: Path) -> Path:
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; give a folder for the results")
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise InputError(f"{out}: cannot be written to; give another --out")
    return out
