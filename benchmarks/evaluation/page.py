"""The HTML page of an evaluation: table, published results, curves, pictures of errors."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ... import __version__
from ...core.files import atomic_path
from ...core.geometry.mesh import Mesh
from ...core.rendering.colormap import AMOUNT
from ...core.rendering.viewer import viewer_html
from ...core.report import (
    Block,
    ColorBar,
    Fold,
    Gallery,
    KeyFigure,
    KeyFigures,
    Page3D,
    Picture,
    Section,
    Status,
    Table,
    Text,
    picture,
    plot,
    write_page,
)
from .casefile import load_case
from .curves import draw_curves, lines_of
from .heatmaps import error_pictures, top_of_scale
from .protocol import CaseScore, ErrorMesh, Metric
from .scoresfile import Evaluation
from .tables import (
    TextTable,
    case_cell,
    cell,
    column_title,
    own_table,
    published_table,
    text_of,
)

_MOST_CASES = 500  # rows of the table of cases
_MOST_FAILED = 200
_MOST_SHOWN = 9  # cases with pictures: the best, the middle, the worst
_VIEWER_FACES = 12_000
_PLOT_PX = 640
_UNBROKEN = str.maketrans({" ": "\u00a0", "-": "\u2011"})  # names of rows stay on one line


def write_evaluation_page(out: Path, evaluation: Evaluation, keys: Mapping[str, str]) -> Path:
    """Write `report.html`, and `curves.png` where there are distances; return the page.

    Parameters
    ----------
    keys : {case id: key}
        Of the scores in `out/cases`, where the meshes of errors are.
    """
    sections = [_overview(evaluation)]
    if evaluation.board is not None:
        sections.append(_published(evaluation))
    curves = _curves(out, evaluation.scores)
    if curves is not None:
        sections.append(curves)
    errors = _errors(out / "cases", evaluation, keys)
    if errors is not None:
        sections.append(errors)
    sections.append(_cases(evaluation))
    return write_page(
        out / "report.html",
        title=f"{evaluation.benchmark.title}: {evaluation.name}",
        subtitle=_subtitle(evaluation),
        sections=sections,
        footer=f"facekit {__version__}. Scored as the benchmark's official code scores; see "
        "docs/evaluation.md for its oddities.",
    )


def page_table(table: TextTable) -> list[Block]:
    """Return a table as blocks of a page; a run's own rows are set off by an arrow."""
    rows = [
        [("➤ " if i in table.ours else "") + row[0].translate(_UNBROKEN), *row[1:]]
        for i, row in enumerate(table.rows)
    ]
    notes = [Text(text=note) for note in table.notes]
    return [Table(columns=table.columns, rows=rows, caption=table.title), *notes]


def main_metric(metrics: Sequence[Metric]) -> Metric:
    """Return what cases are told apart by: the figure of all regions, else the first."""
    return next((metric for metric in metrics if metric.name == "all"), metrics[0])


def _subtitle(evaluation: Evaluation) -> str:
    options = [f"{key} = {value}" for key, value in evaluation.options.settings.items()]
    if evaluation.options.official_missing:
        options.append("silent about missing predictions, as the official code is")
    return "; ".join([f"{len(evaluation.scores)} of {evaluation.n_cases} cases scored", *options])


def _overview(evaluation: Evaluation) -> Section:
    metrics, rows = evaluation.benchmark.metrics, evaluation.rows
    figures = []
    if rows:
        main = next((row for row in rows if row.label == "all"), rows[0])
        figures += [
            KeyFigure(label=metric.title or metric.name,
                      value=f"{cell(main.values[metric.name], metric)} {metric.unit}".strip(),
                      note=main.label)
            for metric in metrics if metric.name in main.values
        ][:5]  # fmt: skip
    n_failed = len(evaluation.failures)
    figures.append(
        KeyFigure(
            label="Scored",
            value=f"{len(evaluation.scores)} of {evaluation.n_cases}",
            note=f"{evaluation.n_missing} without a prediction, "
            f"{n_failed - evaluation.n_missing} failed",
            status=Status.BAD if evaluation.told else Status.GOOD,
        )
    )
    seconds = sum(score.seconds for score in evaluation.scores)
    figures.append(
        KeyFigure(label="Scoring", value=f"{seconds:.1f} s", note="CPU, of one thread, in all")
    )
    blocks: list[Block] = [KeyFigures(figures=figures)]
    blocks += page_table(own_table("", evaluation.all_rows, metrics))
    blocks += _failed(evaluation)
    return Section(title="Scores", blocks=blocks)


def _failed(evaluation: Evaluation) -> list[Block]:
    told = evaluation.told
    if not told:
        return []
    rows = [[failure.id, failure.reason] for failure in told[:_MOST_FAILED]]
    text = f"{len(told)} predictions are missing or could not be scored; no figure holds them."
    table = Table(columns=("case", "why"), rows=rows)
    return [Text(text=text, status=Status.BAD), Fold(title="Which, and why", blocks=[table])]


def _published(evaluation: Evaluation) -> Section:
    assert evaluation.board is not None
    board, metrics = evaluation.board, evaluation.benchmark.metrics
    table = published_table(board, evaluation.rows, metrics, name=evaluation.name)
    sources = Table(
        columns=("method", "standing", "source"),
        rows=[[m.name, str(m.standing), m.source] for m in board.methods],
    )
    blocks = [*page_table(table), Fold(title="Where each number was read", blocks=[sources])]
    return Section(title="Published results", blocks=blocks)


def _curves(out: Path, scores: Sequence[CaseScore]) -> Section | None:
    """Return the curves, also written as `curves.png`; None without distances."""
    lines = lines_of(scores)
    path = out / "curves.png"
    if not lines:
        path.unlink(missing_ok=True)
        return None
    figure = draw_curves(lines)
    with atomic_path(path) as part:
        figure.savefig(part, format="png", dpi=150, metadata={"Software": None})
    shown = Gallery(pictures=[plot(figure, width=_PLOT_PX)], plain=True, min_width=500)
    lead = "How many of all points lie within a distance of the prediction."
    return Section(title="Cumulative curves", blocks=[shown], lead=lead)


def _errors(folder: Path, evaluation: Evaluation, keys: Mapping[str, str]) -> Section | None:
    """Return pictures of the best, the middle and the worst cases; None without meshes."""
    metric = main_metric(evaluation.benchmark.metrics)
    meshes: list[tuple[CaseScore, ErrorMesh]] = []
    for score in _chosen(evaluation.scores, metric):
        whole = load_case(folder, score.id, key=keys[score.id])
        if whole is not None and whole.error_mesh is not None and len(whole.error_mesh.faces):
            meshes.append((score, whole.error_mesh))
    if not meshes:
        return None
    most = top_of_scale([mesh for _, mesh in meshes])
    pictures: list[Picture] = []
    for score, mesh in meshes:
        row = np.hstack(error_pictures(mesh, most=most))
        figure = _metric_of(score, metric)
        pictures.append(picture(row, f"{score.id}: {metric.name} {figure}".rstrip(": ")))
    scale = ColorBar(colors=AMOUNT, low="0", high=f"{most:g} mm or more", label="error")
    blocks: list[Block] = [
        Gallery(pictures=pictures, color_bar=scale, min_width=420,
                caption=f"By {column_title(metric)}, best first; from either side.")
    ]  # fmt: skip
    score, mesh = meshes[-1]
    surface = Mesh(vertices=np.asarray(mesh.vertices, np.float64), faces=mesh.faces)
    view = viewer_html(
        surface, colors=AMOUNT(mesh.error, 0.0, most), max_faces=_VIEWER_FACES, yaw_deg=0.0
    )
    blocks.append(
        Fold(title=f"The worst to turn about: {score.id}", blocks=[Page3D(html=view, height=520)])
    )
    return Section(title="Errors on the surface", blocks=blocks)


def _chosen(scores: Sequence[CaseScore], metric: Metric) -> list[CaseScore]:
    """Return the best, the middle and the worst cases by a metric, best first."""

    def rank(score: CaseScore) -> float:
        value = score.values.get(metric.name)
        if value is None:
            value = next(iter(score.values.values()), 0.0)
        if not np.isfinite(value):
            return float("inf")
        return value if metric.lower_is_better else -value

    ordered = sorted(scores, key=rank)
    if len(ordered) <= _MOST_SHOWN:
        return ordered
    places = np.linspace(0, len(ordered) - 1, _MOST_SHOWN).round().astype(int)
    return [ordered[i] for i in places]


def _metric_of(score: CaseScore, metric: Metric) -> str:
    value = score.values.get(metric.name)
    return "" if value is None else f"{case_cell(value, metric)} {metric.unit}".rstrip()


def _cases(evaluation: Evaluation) -> Section:
    names = list(dict.fromkeys(name for score in evaluation.scores for name in score.values))
    groups = list(dict.fromkeys(name for score in evaluation.scores for name in score.groups))
    known = {metric.name: metric for metric in evaluation.benchmark.metrics}
    rows = [
        [score.id, *(score.groups.get(g, "") for g in groups),
         *(_figure(score.values.get(n), known.get(n)) for n in names),
         "; ".join(score.remarks)]
        for score in evaluation.scores[:_MOST_CASES]
    ]  # fmt: skip
    titles = [column_title(known[n]) if n in known else n for n in names]
    columns = ("case", *groups, *titles, "remarks")
    caption = ""
    if len(evaluation.scores) > _MOST_CASES:
        caption = f"The first {_MOST_CASES} of {len(evaluation.scores)}; all are in scores.json."
    fold = Fold(title="All cases", blocks=[Table(columns=columns, rows=rows, caption=caption)])
    return Section(title="Cases", blocks=[fold])


def _figure(value: float | None, metric: Metric | None) -> str:
    return text_of(value, 4) if metric is None else case_cell(value, metric, more_decimals=1)
