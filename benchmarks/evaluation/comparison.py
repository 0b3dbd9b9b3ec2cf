"""The page that compares methods on one benchmark: one table, errors of each side by side."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ... import __version__
from ...core.rendering.colormap import AMOUNT
from ...core.report import (
    Block,
    ColorBar,
    Gallery,
    Grid,
    Picture,
    Section,
    Status,
    Table,
    Text,
    picture,
    plot,
    write_page,
)
from .casefile import load_stored
from .curves import distances_by_group, draw_curves, line_of
from .heatmaps import error_pictures, top_of_scale
from .page import main_metric, page_table
from .protocol import CaseScore, ErrorMesh
from .scoresfile import Evaluation
from .tables import TextTable, case_cell, column_title

_MOST_SHOWN = 6  # cases, a row each
_PLOT_PX = 640


def write_comparison(
    path: Path,
    evaluations: Mapping[str, Evaluation],
    folders: Mapping[str, Path],
    table: TextTable,
    failed: Mapping[str, str],
) -> Path:
    """Write the page; return its path.

    Parameters
    ----------
    evaluations : {method: Evaluation}
    folders : {method: Path}
        Of the results, where the meshes of errors are.
    failed : {method: reason}
    """
    first = next(iter(evaluations.values()))
    blocks: list[Block] = [*page_table(table)]
    blocks += [Text(text=f"{m}: {why}", status=Status.BAD) for m, why in failed.items()]
    sections = [Section(title="Scores", blocks=blocks)]
    curves = _curves(evaluations)
    if curves is not None:
        sections.append(Section(title="Cumulative curves", blocks=[curves]))
    grid = _grid(evaluations, folders)
    if grid:
        sections.append(Section(title="Errors on the surface", blocks=grid))
    return write_page(
        path,
        title=first.benchmark.title,
        subtitle=f"{len(evaluations)} methods, {first.n_cases} cases each",
        sections=sections,
        footer=f"facekit {__version__}. Each method's own page is in its folder.",
    )


def _curves(evaluations: Mapping[str, Evaluation]) -> Gallery | None:
    pooled = {m: distances_by_group(e.scores).get("all") for m, e in evaluations.items()}
    lines = [line_of(m, np.concatenate(parts)) for m, parts in pooled.items() if parts]
    if not lines:
        return None
    return Gallery(pictures=[plot(draw_curves(lines), width=_PLOT_PX)], plain=True, min_width=500)


def _grid(evaluations: Mapping[str, Evaluation], folders: Mapping[str, Path]) -> list[Block]:
    """Return a row of pictures a case, a column a method."""
    by_id: dict[str, dict[str, CaseScore]] = {}
    for method, evaluation in evaluations.items():
        for score in evaluation.scores:
            by_id.setdefault(score.id, {})[method] = score
    meshes: dict[tuple[str, str], ErrorMesh] = {}
    shown = list(by_id)[:_MOST_SHOWN]
    for case in shown:
        for method in by_id[case]:
            mesh = load_stored(folders[method] / "cases", case)
            if mesh is not None:
                meshes[case, method] = mesh
    if not meshes:
        return []
    most = top_of_scale(list(meshes.values()))
    metric = main_metric(next(iter(evaluations.values())).benchmark.metrics)
    rows, figures = [], []
    for case in shown:
        pictures: list[Picture | None] = []
        for method in evaluations:
            mesh = meshes.get((case, method))
            if mesh is None:
                pictures.append(None)
                continue
            image = np.hstack(error_pictures(mesh, most=most))
            pictures.append(picture(image, f"{case}: {method}", max_size=360))
        rows.append((case, Status.NONE, pictures, list[str]()))
        found = [by_id[case].get(method) for method in evaluations]
        values = [None if score is None else score.values.get(metric.name) for score in found]
        figures.append([case, *(case_cell(value, metric) for value in values)])
    scale = ColorBar(colors=AMOUNT, low="0", high=f"{most:g} mm or more", label="error")
    return [
        Grid(columns=list(evaluations), rows=rows),
        Gallery(pictures=[], color_bar=scale, plain=True),
        Table(columns=("", *evaluations), rows=figures, caption=column_title(metric)),
    ]
