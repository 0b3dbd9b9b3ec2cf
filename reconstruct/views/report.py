"""One HTML page of a multi-view prediction: what came of it, and whether to believe it.

It opens offline, from a file. Before and after: the coarse surface, which one photograph gives
as well, and the detailed one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...core.arrays import Bytes, Floats32
from ...core.geometry.mesh import Mesh
from ...core.imaging.color import as_bytes
from ...core.rendering.colormap import AMOUNT, SIGNED
from ...core.rendering.viewer import viewer_html
from ...core.report import (
    Block,
    ColorBar,
    Fold,
    Gallery,
    Grid,
    KeyFigure,
    KeyFigures,
    Page3D,
    Picture,
    Section,
    Status,
    Table,
    Text,
    picture,
    write_page,
)
from ...dataset.bake.chart import chart
from ..prediction import face_weight
from .result import MultiViewPrediction, SeenView
from .viewpictures import DIFFERENCE, ViewPictures

REPORT = "report.html"

_VIEWER_FACES = 55_000  # of each of the two: 2.3 MB
_FACE = 0.5  # weight from which a texel is of the face
_MAP_PX = 360
_PICTURE_PX = 240
_BELIEVED = 0.5  # weight below which a view is doubted
_MOST_SHOWN = 24  # views with pictures in the page; the others are in the table
_GUTTER = 8


def write_report(
    path: Path,
    prediction: MultiViewPrediction,
    face: Mesh,
    pictures: Sequence[ViewPictures],
    surfaces: Sequence[tuple[str, Mapping[str, Bytes]]],
) -> Path:
    """Write the page; return `path`.

    Parameters
    ----------
    face : Mesh
        The face of the detailed surface, with colours.
    pictures : of the views, in their order
    surfaces : rows of pictures
        As `viewpictures.surface_pictures` gives them.
    """
    sections = [
        Section(title="Result", blocks=[_key_figures(prediction), *_remarks(prediction)]),
        Section(
            title="Before and after",
            lead="Coarse: the face model's shape that fits all views best, without the maps. "
            "Middle: with the deformation map. Detailed: with the displacement, too.",
            blocks=[_before_and_after(surfaces)],
        ),
        Section(title="In three dimensions", blocks=_viewers(prediction, face)),
        Section(
            title="Views",
            lead="Photograph with landmarks (green: as found, red: the model's), surfaces over it, "
            "and what the result says that the view shows.",
            blocks=[_table(prediction), _grid(prediction, pictures), _legend()],
        ),
        Section(title="Maps", blocks=_maps(prediction)),
        Section(title="Figures", blocks=[Fold(title="All figures", blocks=[_all(prediction)])]),
    ]
    size = "its own size" if prediction.metric else "the face model's size"
    how = "calibrated cameras" if prediction.calibrated else "photographs without a rig"
    return write_page(
        path,
        title=f"Face of {prediction.name}",
        subtitle=f"{len(prediction.views)} views, {how}; the face has {size}. "
        f"Face model {prediction.model.name}, method {prediction.method}.",
        sections=sections,
        footer="Reconstructed by facekit. Millimetres; head frame.",
    )


def _key_figures(prediction: MultiViewPrediction) -> KeyFigures:
    believed = [view for view in prediction.views if view.weight >= _BELIEVED]
    n, n_all = len(believed), len(prediction.views) + len(prediction.left_out)
    landmarks = [v.residual_px for v in believed if v.residual_px is not None]
    colors = [v.color_residual for v in believed if v.color_residual is not None]
    inside = prediction.valid > 0.5
    sigma = prediction.sigma[inside & np.isfinite(prediction.sigma)]
    relief = prediction.displacement[inside]
    figures = [
        KeyFigure(
            label="Views", value=f"{n} of {n_all}", note="believed",
            status=Status.GOOD if n == n_all else Status.NOTE,
        ),
        KeyFigure(label="Landmarks", value=_median(landmarks, "{:.2f} px"), note="off, median"),
        KeyFigure(label="Colour", value=_median(colors, "{:.3f}"), note="of 1 off, median"),
        KeyFigure(label="Relief", value=f"{_sd(relief):.3f} mm", note="standard deviation"),
        KeyFigure(label="Uncertainty", value=_median(sigma, "{:.2f} mm"), note="of it, median"),
        KeyFigure(
            label="Seen by two", value=_share_seen_twice(prediction), note="or more, of the face"
        ),
    ]  # fmt: skip
    if "seconds" in prediction.figures:
        seconds = prediction.figures["seconds"]
        figures.append(KeyFigure(label="Time", value=f"{seconds:.0f} s", note="of the fit"))
    return KeyFigures(figures=figures)


def _median(values: Sequence[float] | Floats32, form: str) -> str:
    return form.format(float(np.median(values))) if len(values) else "–"


def _sd(values: Floats32) -> float:
    return float(values.std()) if values.size else 0.0


def _share_seen_twice(prediction: MultiViewPrediction) -> str:
    texels = chart(prediction.model, len(prediction.n_views))
    face = texels.inside & (texels.interpolated(face_weight(prediction.model)) > _FACE)
    return f"{100 * float((prediction.n_views[face] >= 2).mean()):.0f} %"


def _remarks(prediction: MultiViewPrediction) -> list[Block]:
    said = [
        Text(text=f"{view.name}: {view.remark}", status=_status(view))
        for view in prediction.views
        if view.remark
    ]
    left = [
        Text(text=f"{name}: left out: {reason}", status=Status.BAD)
        for name, reason in prediction.left_out.items()
    ]
    return [*(Text(text=note, status=Status.NOTE) for note in prediction.notes), *said, *left]


def _status(view: SeenView) -> Status:
    if view.weight < _BELIEVED:
        return Status.BAD
    return Status.NOTE if view.remark else Status.GOOD


def _before_and_after(surfaces: Sequence[tuple[str, Mapping[str, Bytes]]]) -> Grid:
    columns = list(surfaces[0][1])
    rows = [
        (name, Status.NONE, [picture(row[c], quality=88) for c in columns], ())
        for name, row in surfaces
    ]
    return Grid(columns=columns, rows=rows)


def _viewers(prediction: MultiViewPrediction, face: Mesh) -> list[Block]:
    clay = Mesh(vertices=face.vertices, faces=face.faces)
    # where they are estimated they say little, and far ones make the face small
    near = prediction.rig if prediction.calibrated else None
    return [
        Page3D(
            html=viewer_html(clay, max_faces=_VIEWER_FACES, rig=near),
            caption="The detailed surface, and the cameras where they are known. Drag to turn it, "
            "scroll to zoom, drag with the right button to move.",
        ),
        Fold(
            title="With its colours",
            blocks=[Page3D(html=viewer_html(face, max_faces=_VIEWER_FACES))],
        ),
    ]


def _table(prediction: MultiViewPrediction) -> Table:
    rows = [
        (
            view.name,
            round(view.weight, 2),
            None if view.residual_px is None else round(view.residual_px, 2),
            None if view.color_residual is None else round(view.color_residual, 3),
            f"{view.camera.width} x {view.camera.height}",
            round(float(np.degrees(np.arccos(-view.camera.cam_from_world[2, 2])))),
            view.focal,
            view.remark,
        )
        for view in prediction.views
    ]
    left = [(name, None, None, None, "", None, "", f"left out: {reason}")
            for name, reason in prediction.left_out.items()]  # fmt: skip
    return Table(
        columns=("view", "weight", "landmarks px", "colour", "px", "turned deg", "focal", "remark"),
        rows=[*rows, *left],
    )


def _grid(prediction: MultiViewPrediction, pictures: Sequence[ViewPictures]) -> Grid:
    status = {view.name: _status(view) for view in prediction.views}
    shown = pictures[:_MOST_SHOWN]
    rows = [
        (
            one.name,
            status[one.name],
            [picture(pixels, max_size=_PICTURE_PX, quality=82) for pixels in one.titled().values()],
            (),
        )
        for one in shown
    ]
    more = len(pictures) - len(shown)
    return Grid(
        columns=list(shown[0].titled()),
        rows=rows,
        caption=f"And {more} more in the folder `residuals`." if more else "",
    )


def _legend() -> Gallery:
    bar = ColorBar(
        colors=SIGNED, low=f"darker by {DIFFERENCE}", high=f"brighter by {DIFFERENCE}",
        middle="as drawn", label="The photograph is",
    )  # fmt: skip
    return Gallery(pictures=[], color_bar=bar)


def _maps(prediction: MultiViewPrediction) -> list[Block]:
    inside = chart(prediction.model, len(prediction.displacement)).inside
    relief = np.where(inside, prediction.displacement, np.nan)
    reach = float(np.nanpercentile(np.abs(relief), 99)) or 1.0
    sigma = np.where(inside & np.isfinite(prediction.sigma), prediction.sigma, np.nan)
    known = np.isfinite(sigma)
    most_sigma = float(np.percentile(sigma[known], 95)) if known.any() else 1.0
    counts = np.where(inside, prediction.n_views, np.nan).astype(np.float32)
    n = len(prediction.views)
    moved = _colored_deformation(prediction)
    pictures = [
        _map(SIGNED(relief, -reach, reach), f"displacement: blue −{reach:.2f} mm, red +"),
        _map(AMOUNT(sigma, 0, max(most_sigma, 1e-6)), f"its uncertainty: 0 to {most_sigma:.2f} mm"),
        _map(AMOUNT(counts, 0, n), f"views that show a texel: 0 to {n}"),
        _map(AMOUNT(np.where(inside, prediction.valid, np.nan), 0, 1), "valid: 0 to 1"),
        _map(moved[0], moved[1]),
        _map(as_bytes((prediction.normal + 1) / 2), "normals"),
        _map(as_bytes(prediction.albedo), "albedo"),
        _map(prediction.texture, "texture"),
    ]
    return [Gallery(pictures=pictures, min_width=220)]


def _colored_deformation(prediction: MultiViewPrediction) -> tuple[Bytes, str]:
    length = np.linalg.norm(prediction.deformation, axis=2)
    most = max(float(np.percentile(length, 99)), 1e-6)
    return AMOUNT(length, 0, most), f"length of the deformation: 0 to {most:.1f} mm"


def _map(pixels: Bytes, caption: str) -> Picture:
    return picture(pixels, caption, max_size=_MAP_PX, quality=84)


def _all(prediction: MultiViewPrediction) -> Table:
    rows = [(key, _shown(key, value)) for key, value in prediction.figures.items()]
    return Table(columns=("figure", "value"), rows=rows)


def _shown(key: str, value: float) -> float | str:
    return f"{value:.2f} s" if key == "seconds" or key.endswith("_s") else float(f"{value:.5g}")
