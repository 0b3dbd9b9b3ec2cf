"""A benchmark's table beside the published results: text, Markdown, LaTeX."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .leaderboards import MARKS, Leaderboard, Standing
from .protocol import Metric, Row

_MISSING = "–"
_LEGEND = {
    Standing.SECOND_HAND: "† second-hand: quoted by others",
    Standing.RECALLED: "‡ recalled: not checked against the source",
}
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "†": r"$\dagger$", "‡": r"$\ddagger$", "–": "--", "±": r"$\pm$", "°": r"$^\circ$",
    "×": r"$\times$", "−": "$-$",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """A table of text; all columns but the first are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    ours: frozenset[int] = field(default_factory=frozenset)
    """Rows of this run, set off from the published ones."""


def own_table(title: str, rows: Sequence[Row], metrics: Sequence[Metric]) -> TextTable:
    """Return the rows of a run."""
    shown = [m for m in metrics if any(m.name in row.values for row in rows)]
    return TextTable(
        title=title,
        columns=("", *(column_title(m) for m in shown), "n", "missing"),
        rows=tuple(
            (
                row.label,
                *(cell(row.values.get(m.name), m) for m in shown),
                str(row.n),
                str(row.missing),
            )
            for row in rows
        ),
    )


def published_table(
    board: Leaderboard, rows: Sequence[Row], metrics: Sequence[Metric], *, name: str
) -> TextTable:
    """Return the published results with this run's rows among them, best first.

    Parameters
    ----------
    name : str
        Of the method that was run.
    """
    ours = {row.label: row.values for row in rows}
    columns = _columns(board, metrics, [label for label in board.rows if label in ours])
    lines: list[tuple[str, Mapping[str, Mapping[str, float]], bool]] = [
        (m.name + MARKS[m.standing], m.values, False)
        for m in board.methods
        if any(metric.name in m.values.get(row, {}) for row, metric in columns)
    ]
    if any(row in ours for row, _ in columns):
        lines.append((name, ours, True))
    ranked = _most_known_first(columns, board)
    lines.sort(key=lambda line: (_rank(line[1], ranked), not line[2]))
    used = {m.standing for m in board.methods}
    notes = (board.note, "; ".join(text for s, text in _LEGEND.items() if s in used))
    return TextTable(
        title=board.title,
        columns=("method", *(f"{board.rows[row]} {column_title(m)}" for row, m in columns)),
        rows=tuple(
            (label, *(cell(values.get(row, {}).get(m.name), m) for row, m in columns))
            for label, values, _ in lines
        ),
        notes=tuple(note for note in notes if note),
        ours=frozenset(i for i, line in enumerate(lines) if line[2]),
    )


def column_title(metric: Metric) -> str:
    """Return a metric's title with its unit."""
    title = metric.title or metric.name
    return f"{title} ({metric.unit})" if metric.unit else title


def cell(value: float | None, metric: Metric) -> str:
    """Return a figure with its metric's decimals."""
    return text_of(value, metric.decimals)


def case_cell(value: float | None, metric: Metric, *, more_decimals: int = 0) -> str:
    """Return a case's figure as its metric's column has it: a ratio in %, where that is in %."""
    scaled = None if value is None else value * metric.of_case
    return text_of(scaled, metric.decimals + more_decimals)


def text_of(value: float | None, decimals: int) -> str:
    """Return a number with so many decimals, also one that is NaN, infinite or not there."""
    if value is None:
        return _MISSING
    return f"{value:.{decimals}f}" if math.isfinite(value) else str(value)


def plain_text(table: TextTable) -> str:
    """Return a table as lines of text, never wrapped: wide ones scroll, or go to a file."""
    lines = [table.columns, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    rows = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    rule = "-" * max(len(row) for row in rows)
    return "\n".join([table.title, rule, rows[0], rule, *rows[1:], rule])


def markdown(tables: Sequence[TextTable]) -> str:
    """Return tables as Markdown; this run's rows among published ones are bold."""
    parts = []
    for table in tables:
        lines = [
            f"### {table.title}", "",
            "| " + " | ".join(_pipe(c) for c in table.columns) + " |",
            "|" + "|".join(["---"] + ["---:"] * (len(table.columns) - 1)) + "|",
        ]  # fmt: skip
        for i, row in enumerate(table.rows):
            cells = [f"**{_pipe(c)}**" if i in table.ours else _pipe(c) for c in row]
            lines.append("| " + " | ".join(cells) + " |")
        lines += [f"\n{note}" for note in table.notes]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def latex(tables: Sequence[TextTable]) -> str:
    """Return tables as LaTeX (booktabs)."""
    parts = []
    for table in tables:
        lines = [
            f"% {table.title}",
            *(f"% {line}" for note in table.notes for line in note.splitlines()),
            r"\begin{tabular}{l" + "r" * (len(table.columns) - 1) + "}",
            r"\toprule",
            " & ".join(_escaped(c) for c in table.columns) + r" \\",
            r"\midrule",
        ]
        for i, row in enumerate(table.rows):
            cells = [_escaped(c) for c in row]
            cells = [rf"\textbf{{{c}}}" if i in table.ours else c for c in cells]
            lines.append(" & ".join(cells) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}"]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _columns(
    board: Leaderboard, metrics: Sequence[Metric], comparable: Sequence[str]
) -> list[tuple[str, Metric]]:
    """Return (row, metric) of every column that some published method fills.

    Of the rows that the run has, too; of all where it has none of them.
    """
    return [
        (row, metric)
        for row in comparable or board.rows
        for metric in metrics
        if any(metric.name in m.values.get(row, {}) for m in board.methods)
    ]


def _most_known_first(
    columns: Sequence[tuple[str, Metric]], board: Leaderboard
) -> list[tuple[str, Metric]]:
    """Return the columns, those first that most published methods have."""

    def n_known(column: tuple[str, Metric]) -> int:
        row, metric = column
        return sum(metric.name in m.values.get(row, {}) for m in board.methods)

    return sorted(columns, key=lambda column: -n_known(column))


def _rank(
    values: Mapping[str, Mapping[str, float]], columns: Sequence[tuple[str, Metric]]
) -> tuple[float, ...]:
    """Return what a method is sorted by: its figures, the better the lower."""
    ranks = []
    for row, metric in columns:
        value = values.get(row, {}).get(metric.name, math.nan)
        sign = 1.0 if metric.lower_is_better else -1.0
        ranks.append(sign * value if math.isfinite(value) else math.inf)
    return tuple(ranks)


def _pipe(text: str) -> str:
    return text.replace("|", "\\|")


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)
