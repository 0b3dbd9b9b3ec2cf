"""`scores.json`: what came of a benchmark, for other programs; see docs/formats/scores.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import __version__
from ...core.config import known_fields
from ...core.files import read_json, write_json
from .casefile import numbers, plain
from .leaderboards import Leaderboard
from .protocol import Benchmark, CaseScore, Metric, Options, Row
from .scoring import Failure
from .tables import TextTable, own_table

SCORES_FILE = "scores.json"
FORMAT = "facekit-scores"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All that came of one benchmark and one set of predictions."""

    benchmark: Benchmark
    name: str
    """Of the method, or of the folder of its predictions."""
    options: Options
    n_cases: int
    scores: tuple[CaseScore, ...]
    failures: tuple[Failure, ...]
    rows: tuple[Row, ...]
    fixed_rows: tuple[Row, ...]
    """Without official oddities; empty unless asked for."""
    board: Leaderboard | None

    @property
    def n_missing(self) -> int:
        """Cases without any prediction."""
        return sum(failure.missing for failure in self.failures)

    @property
    def first_reason(self) -> str:
        """Why nothing is scored: the first prediction that is there and fails, else that is not."""
        ordered = sorted(self.failures, key=lambda failure: failure.missing)  # stable
        return ordered[0].reason if ordered else "the data hold no case"

    @property
    def told(self) -> tuple[Failure, ...]:
        """Failures that are listed: without the missing where the official code is imitated."""
        quiet = self.options.official_missing
        return tuple(f for f in self.failures if not (quiet and f.missing))

    @property
    def all_rows(self) -> tuple[Row, ...]:
        """Official rows, then those without oddities."""
        return self.rows + self.fixed_rows


def head_of(evaluation: Evaluation) -> dict[str, Any]:
    """Return what `--json` prints, less the files."""
    options, benchmark = evaluation.options, evaluation.benchmark
    head: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "facekit": __version__,
        "benchmark": benchmark.name,
        "title": benchmark.title,
        "method": evaluation.name,
        "options": {
            "fixed": options.fixed,
            "official_missing": options.official_missing,
            "settings": dict(options.settings),
        },
        "metrics": [_metric(metric) for metric in benchmark.metrics],
        "rows": [_row(row) for row in evaluation.rows],
        "n_cases": evaluation.n_cases,
        "n_scored": len(evaluation.scores),
        "n_missing": evaluation.n_missing,
        "failed": [{"id": f.id, "reason": f.reason} for f in evaluation.told],
        "seconds": round(sum(score.seconds for score in evaluation.scores), 3),
    }
    if evaluation.fixed_rows:
        head["fixed_rows"] = [_row(row) for row in evaluation.fixed_rows]
    remarks = {s.id: list(s.remarks) for s in evaluation.scores if s.remarks}
    if remarks:
        head["remarks"] = remarks
    if evaluation.board is not None:
        head["leaderboard"] = _board(evaluation.board, evaluation.rows)
    return head


def write_scores(path: Path, head: Mapping[str, Any], scores: Sequence[CaseScore]) -> None:
    """Write `scores.json`: the head and the figures of every case."""
    cases = {
        score.id: {
            "groups": dict(score.groups),
            "values": plain(score.values),
            **({"fixed": plain(score.fixed)} if score.fixed else {}),
            "counts": dict(score.counts),
            "seconds": score.seconds,
        }
        for score in scores
    }
    write_json(path, {**head, "cases": cases})


def table_of_head(head: Mapping[str, Any]) -> TextTable:
    """Return the table of a result as `scores.json` has it."""
    metrics = tuple(Metric(**known_fields(Metric, metric)) for metric in head["metrics"])
    rows = [
        Row(**{**known_fields(Row, row), "values": numbers(row["values"])})
        for row in (*head["rows"], *head.get("fixed_rows", ()))
    ]
    return own_table(f"{head['title']}: {head['method']}", rows, metrics)


def read_scores(path: Path) -> dict[str, Any]:
    """Read `scores.json`; figures that are no number are texts there: see the format's page.

    Raises
    ------
    InputError
        The file is absent, damaged or of another version.
    """
    value: dict[str, Any] = read_json(path, format_name=FORMAT, version=VERSION)
    return value


def _metric(metric: Metric) -> dict[str, Any]:
    return {
        "name": metric.name,
        "title": metric.title or metric.name,
        "unit": metric.unit,
        "decimals": metric.decimals,
        "lower_is_better": metric.lower_is_better,
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "label": row.label, "n": row.n, "missing": row.missing, "values": plain(row.values),
    }  # fmt: skip


def _board(board: Leaderboard, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the published results of the rows there are, and where each was read."""
    here = {row.label for row in rows}
    return {
        "title": board.title,
        "note": board.note,
        "comparable_rows": [label for label in board.rows if label in here],
        "methods": [
            {
                "name": m.name,
                "values": {row: dict(values) for row, values in m.values.items()},
                "source": m.source,
                "standing": str(m.standing),
            }
            for m in board.methods
        ],
    }
