"""Several benchmarks in one run, and several methods on one benchmark."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ... import __version__
from ...core.assets import find_data
from ...core.errors import FacekitError, InputError
from ...core.files import write_json, write_text
from ...core.report import Section, Status, Table, Text, write_page
from .evaluate import EvaluationTask, evaluate, run, settings_of
from .page import page_table
from .protocol import Options, Row
from .registry import NAMES, data_name, get
from .scoresfile import Evaluation, table_of_head
from .tables import TextTable, latex, markdown, own_table

log = logging.getLogger(__name__)

SUMMARY = "evaluation.json"


def evaluate_all(task: EvaluationTask) -> dict[str, Any]:
    """Evaluate on every benchmark whose data are there, each in a folder of its name.

    Parameters
    ----------
    task : EvaluationTask
        Its `benchmark` does not count. `data` and `predictions` hold a folder a benchmark
        (`realy`, `now`, ...; data of facescape and micc are shared by two each); data that are
        not there are taken as registered.

    Returns
    -------
    dict
        `benchmarks`: name -> result; `left_out`: name -> why; also `OUT/evaluation.json`.

    Raises
    ------
    InputError
        No benchmark has both data and predictions.
    """
    _refuse_unknown(task.options)
    results: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for name in NAMES:
        try:
            mine = _of_benchmark(name, task)
            results[name] = evaluate(mine)
        except FacekitError as error:
            left_out[name] = str(error)
            log.debug("%s: left out: %s", name, error)
    if not results:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise InputError(f"no benchmark could be run: {reasons}")
    summary = {
        "format": "facekit-evaluation",
        "version": 1,
        "facekit": __version__,
        "benchmarks": results,
        "left_out": left_out,
        "report": str(task.out / "report.html"),
    }
    _write_index(task.out / "report.html", results, left_out)
    write_json(task.out / SUMMARY, summary)
    return summary


def evaluate_methods(task: EvaluationTask, methods: Sequence[str]) -> dict[str, Any]:
    """Compare methods on one benchmark: a folder each, and one table of all.

    Returns
    -------
    dict
        `methods`: name -> result; `failed`: name -> why; `table`; also `OUT/evaluation.json`.

    Raises
    ------
    InputError
        None of them gave a score.
    """
    from .comparison import write_comparison

    results: dict[str, Any] = {}
    evaluations: dict[str, Evaluation] = {}
    keys: dict[str, Path] = {}
    failed: dict[str, str] = {}
    # all methods see the same data
    data = task.data if task.data is not None else _shared_data(task)
    for method in methods:
        mine = dataclasses.replace(task, data=data, method=method, out=task.out / method)
        if task.predictions is not None:
            mine = dataclasses.replace(mine, predictions=task.predictions / method)
        try:
            evaluation, results[method], keys[method] = run(mine)
        except FacekitError as error:
            failed[method] = str(error)
            continue
        if evaluation.scores:
            evaluations[method] = evaluation
        else:
            failed[method] = evaluation.first_reason
    if not evaluations:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise InputError(f"{task.benchmark}: no method gave a score: {reasons}")
    table = methods_table(evaluations)
    write_text(task.out / "table.md", markdown([table]))
    write_text(task.out / "table.tex", latex([table]))
    report = write_comparison(task.out / "report.html", evaluations, keys, table, failed)
    summary = {
        "format": "facekit-evaluation",
        "version": 1,
        "facekit": __version__,
        "benchmark": task.benchmark,
        "methods": results,
        "failed": failed,
        "table": {"columns": table.columns, "rows": table.rows},
        "report": str(report),
    }
    write_json(task.out / SUMMARY, summary)
    return summary


def methods_table(evaluations: dict[str, Evaluation]) -> TextTable:
    """Return the rows of several methods as one table.

    A row that is the same in all of them, such as that of a mean face, is there once.
    """
    first = next(iter(evaluations.values()))
    every = [evaluation.all_rows for evaluation in evaluations.values()]
    shared = [row for row in first.all_rows if all(row in rows for rows in every)]
    rows = shared if len(evaluations) > 1 else []
    for method, evaluation in evaluations.items():
        alone = len(evaluation.all_rows) == 1
        for row in evaluation.all_rows:
            if row in rows:
                continue
            label = method if alone else f"{method}: {row.label}"
            rows.append(Row(label=label, values=row.values, n=row.n, missing=row.missing))
    return own_table(first.benchmark.title, rows, first.benchmark.metrics)


def _shared_data(task: EvaluationTask) -> Path | None:
    """Return where methods share the data that a benchmark makes itself; else None."""
    from .protocol import MakesData

    return task.out / "data" if isinstance(get(task.benchmark), MakesData) else None


def _of_benchmark(name: str, task: EvaluationTask) -> EvaluationTask:
    """Return the task of one benchmark; raises InputError where something is not there."""
    data = None
    if task.data is not None:
        inside = [task.data / name, task.data / data_name(name)]
        data = next((folder for folder in inside if folder.is_dir()), None)
    if data is None and name != "virtual" and find_data(data_name(name)) is None:
        raise InputError(f"no data; give them in DATA/{data_name(name)} or register them")
    predictions = None if task.predictions is None else task.predictions / name
    if task.method is None and (predictions is None or not predictions.is_dir()):
        raise InputError(f"no predictions; give them in PREDICTIONS/{name}, or give --method")
    known = settings_of(get(name))
    settings = {key: value for key, value in task.options.settings.items() if key in known}
    return dataclasses.replace(
        task, benchmark=name, data=data, predictions=predictions, out=task.out / name,
        options=dataclasses.replace(task.options, settings=settings),
    )  # fmt: skip


def _refuse_unknown(options: Options) -> None:
    """Refuse a setting that no benchmark has; each is given to those that have it."""
    known = {key for name in NAMES for key in settings_of(get(name))}
    for key in options.settings:
        if key not in known:
            raise InputError(f"--set {key}: no benchmark has such a setting")


def _write_index(path: Path, results: dict[str, Any], left_out: dict[str, str]) -> None:
    sections = []
    for name, head in results.items():
        blocks = page_table(table_of_head(head))
        blocks.append(Text(text=f"More in {name}/report.html."))
        if head["failed"]:
            text = f"{len(head['failed'])} predictions are missing or could not be scored."
            blocks.append(Text(text=text, status=Status.BAD))
        sections.append(Section(title=head["title"], blocks=blocks))
    if left_out:
        table = Table(columns=("benchmark", "why"), rows=[list(item) for item in left_out.items()])
        sections.append(Section(title="Left out", blocks=[table]))
    write_page(path, title="Benchmarks", sections=sections, footer=f"facekit {__version__}")
