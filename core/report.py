"""One self-contained HTML page: key figures, tables, pictures, plots, a 3D view.

A page is built from blocks and written as one file that opens offline: pictures are data
URIs, styles stand inline, nothing is fetched. Text is escaped; only pages given to
`Page3D` are taken as HTML, and those are shut into a frame of their own. A policy in the page
itself holds the browser to that: no address is asked for, no script runs but those of the 3D
views, by their hashes.
"""

import base64
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from .arrays import Bytes, Image
from .errors import InputError
from .files import write_text
from .rendering.colormap import ColorMap
from .rendering.packedpage import packed, policy


class Status(StrEnum):
    """How a result stands."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class KeyFigure:
    """A number that a reader should see first."""

    label: str
    value: str
    note: str = ""
    status: Status = Status.NONE


@dataclass(frozen=True, kw_only=True)
class KeyFigures:
    """A row of cards."""

    figures: Sequence[KeyFigure]
    kind: str = field(default="figures", init=False)


@dataclass(frozen=True, kw_only=True)
class Text:
    """A paragraph; `status` colours it as a remark."""

    text: str
    status: Status = Status.NONE
    kind: str = field(default="text", init=False)


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A part that has not been made yet, and how to make it."""

    what: str
    how: str = ""
    kind: str = field(default="missing", init=False)


@dataclass(frozen=True, kw_only=True)
class Badge:
    """A short coloured word in a table cell."""

    text: str
    status: Status


Cell = str | int | float | None | Badge


@dataclass(frozen=True, kw_only=True)
class Table:
    """A compact table; numbers, also those given as text, are set right, others left."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    kind: str = field(default="table", init=False)

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise InputError(
                    f"a table row has {len(row)} cells for {len(self.columns)} columns"
                )


@dataclass(frozen=True, kw_only=True)
class ColorBar:
    """What the colours of a picture mean."""

    colors: ColorMap
    low: str
    high: str
    middle: str = ""
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image as a data URI, made by `picture` or `plot`."""

    uri: str
    caption: str = ""
    status: Status = Status.NONE
    width: int | None = None
    """Width at which it is shown, px; None: as wide as the column allows."""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Pictures side by side, wrapped into rows."""

    pictures: Sequence[Picture]
    caption: str = ""
    min_width: int = 220
    """Narrowest picture, px; decides how many stand in a row."""
    color_bar: ColorBar | None = None
    plain: bool = False
    """No frame round the pictures."""
    kind: str = field(default="gallery", init=False)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A contact sheet: named rows x named columns of thumbnails."""

    columns: Sequence[str]
    rows: Sequence[tuple[str, Status, Sequence[Picture | None], Sequence[str]]]
    """Name, status, a picture or a gap per column, remarks shown below the row."""
    caption: str = ""
    kind: str = field(default="grid", init=False)


@dataclass(frozen=True, kw_only=True)
class Page3D:
    """A whole HTML page in a frame, such as `core.rendering.viewer.viewer_html` gives."""

    html: str
    caption: str = ""
    height: int = 620
    """px."""
    kind: str = field(default="page3d", init=False)

    @property
    def packed(self) -> str:
        """The page as it stands in the file."""
        return packed(self.html)


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Blocks that open on a click."""

    title: str
    blocks: Sequence["Block"]
    kind: str = field(default="fold", init=False)


Block = KeyFigures | Text | Missing | Table | Gallery | Grid | Page3D | Fold


@dataclass(frozen=True, kw_only=True)
class Section:
    """A titled part of the page."""

    title: str
    blocks: Sequence[Block]
    lead: str = ""

    @property
    def anchor(self) -> str:
        """The section's id in links."""
        return "".join(c if c.isalnum() else "-" for c in self.title.lower())


def write_page(
    path: Path, *, title: str, sections: Sequence[Section], subtitle: str = "", footer: str = "",
    marks: Mapping[str, str] | None = None,
) -> Path:  # fmt: skip
    """Write the page atomically; return `path`.

    Parameters
    ----------
    marks : mapping of str to str, optional
        What programs may ask the page for: name -> content of a `<meta>`.
    """
    page = render_page(
        title=title, sections=sections, subtitle=subtitle, footer=footer, marks=marks
    )
    write_text(path, page)
    return path


def render_page(
    *, title: str, sections: Sequence[Section], subtitle: str = "", footer: str = "",
    marks: Mapping[str, str] | None = None,
) -> str:  # fmt: skip
    """Return the page as HTML text."""
    folder = resources.files(__package__).joinpath("templates")
    sources = {
        name: folder.joinpath(name).read_text(encoding="utf-8")
        for name in ("report.html.j2", "report.css")
    }
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(sources),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["badge"] = lambda cell: isinstance(cell, Badge)
    environment.tests["numeric"] = _is_numeric
    environment.filters["cell"] = _cell_text
    return environment.get_template("report.html.j2").render(
        title=title, subtitle=subtitle, footer=footer, sections=sections,
        css=sources["report.css"], marks=marks or {},
        policy=policy(page.html for section in sections for page in _pages(section.blocks)),
    )  # fmt: skip


def _pages(blocks: Sequence[Block]) -> Iterator[Page3D]:
    """Yield the pages among blocks, also those that are folded away."""
    for block in blocks:
        if isinstance(block, Page3D):
            yield block
        elif isinstance(block, Fold):
            yield from _pages(block.blocks)


def picture(
    image: Image,
    caption: str = "",
    *,
    max_size: int | None = None,
    quality: int = 82,
    lossless: bool = False,
    status: Status = Status.NONE,
    width: int | None = None,
) -> Picture:
    """Return an image as a `Picture`.

    Parameters
    ----------
    image : (height, width, 3) or (height, width), uint8
        sRGB or grey.
    max_size : int, optional
        Longer side at most this many px; larger images are reduced by area averaging.
    lossless : bool
        PNG in place of JPEG.
    width : int, optional
        px at which it is shown.
    """
    if image.dtype != np.uint8:
        raise InputError(f"pictures are uint8, not {image.dtype}")
    pixels: Bytes = np.ascontiguousarray(image)
    if max_size is not None and max(pixels.shape[:2]) > max_size:
        factor = max_size / max(pixels.shape[:2])
        size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    bgr = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])
    options = [] if lossless else [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, content = cv2.imencode(".png" if lossless else ".jpg", bgr, options)
    mime = "image/png" if lossless else "image/jpeg"
    return Picture(uri=_data_uri(mime, content.tobytes()), caption=caption, status=status,
                   width=width)  # fmt: skip


def plot(
    figure: Figure,
    caption: str = "",
    *,
    vector: bool = True,
    width: int | None = None,
    dpi: int = 170,
) -> Picture:
    """Return a matplotlib figure as a `Picture`: SVG, or PNG where it has very many marks."""
    stream = io.BytesIO()
    with rc_context({"svg.hashsalt": "facekit"}):  # the same plot gives the same file
        if vector:
            figure.savefig(stream, format="svg", metadata={"Date": None}, bbox_inches="tight")
        else:
            figure.savefig(stream, format="png", dpi=dpi, bbox_inches="tight")
    mime = "image/svg+xml" if vector else "image/png"
    return Picture(uri=_data_uri(mime, stream.getvalue()), caption=caption, width=width)


def plot_title(axes: Any, text: str, *, size: float = 9.5) -> None:
    """Give axes a title in the page's style."""
    axes.set_title(text, fontsize=size, fontweight="bold", color="#3a4048")


def new_plot(width: float = 6.0, height: float = 3.2, **subplots: Any) -> tuple[Figure, Any]:
    """Return a figure (inches) and its axes in the page's style; `subplots` as matplotlib's."""
    with rc_context(_PLOT_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(**subplots)
    return figure, axes


_PLOT_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a9099",
    "axes.labelcolor": "#3a4048",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e8eaed",
    "grid.linewidth": 0.8,
    "xtick.color": "#5a616b",
    "ytick.color": "#5a616b",
    "figure.facecolor": "white",
}


def _data_uri(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def _is_numeric(cell: Cell) -> bool:
    if isinstance(cell, str):
        return re.fullmatch(r"–|[-+−]?\d[\d.,]*", cell) is not None
    return isinstance(cell, (int, float))


def _cell_text(cell: Cell) -> str:
    if cell is None:
        return "–"
    text = f"{cell:.4g}" if isinstance(cell, float) else str(cell)
    return text.replace("-", "−") if _is_numeric(cell) else text
