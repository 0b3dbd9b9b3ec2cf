"""Calibration targets: the geometry of a ChArUco board and a sheet to print, true to size.

Board frame: origin at the corner of the board's first square (top left as printed), +x along
the rows, +y down the columns, z = 0; lengths in mm. The sheet carries two rulers, since
printers scale: what they measure goes into `BoardSpec.square_mm`.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as PillowImage

from ..core.arrays import Bools, Bytes, Floats
from ..core.errors import ConfigError
from ..core.files import atomic_path
from .session import BoardSpec

PAPERS_MM = {
    "A4": (210.0, 297.0),
    "A3": (297.0, 420.0),
    "A2": (420.0, 594.0),
    "A1": (594.0, 841.0),
    "A0": (841.0, 1189.0),
    "Letter": (215.9, 279.4),
    "Tabloid": (279.4, 431.8),
}
"""Paper sizes, mm, portrait (ISO 216, ANSI/ASME Y14.1)."""

MARGIN_LEFT_MM = 16.0  # holds the ruler in y
MARGIN_BOTTOM_MM = 26.0  # holds the ruler in x and three lines of text
MARGIN_MM = 8.0  # what printers cannot reach, and some white
RULERS_MM = (100, 50, 20, 10)


def charuco_board(spec: BoardSpec) -> Any:
    """Return OpenCV's `CharucoBoard` of this board, in mm.

    Raises
    ------
    ConfigError
        The dictionary is unknown, has too few markers, or the sizes make no board.
    """
    dictionary_id = getattr(cv2.aruco, spec.dictionary, None)
    if not spec.dictionary.startswith("DICT_") or dictionary_id is None:
        known = ", ".join(sorted(name for name in dir(cv2.aruco) if name.startswith("DICT_")))
        raise ConfigError(f"board: unknown marker dictionary {spec.dictionary!r}; known: {known}")
    if spec.squares_x < 3 or spec.squares_y < 3:
        raise ConfigError(f"board: {spec.squares_x}x{spec.squares_y} squares; at least 3x3 needed")
    if not 0 < spec.marker_mm < spec.square_mm:
        raise ConfigError(
            f"board: markers of {spec.marker_mm} mm do not fit in squares of {spec.square_mm} mm"
        )
    dictionary = cv2.aruco.getPredefinedDictionary(dictionary_id)
    n_markers = spec.squares_x * spec.squares_y // 2
    n_known = len(dictionary.bytesList)
    if spec.first_id < 0 or spec.first_id + n_markers > n_known:
        raise ConfigError(
            f"board: needs markers {spec.first_id} to {spec.first_id + n_markers - 1}, "
            f"but {spec.dictionary} has {n_known}"
        )
    ids = np.arange(spec.first_id, spec.first_id + n_markers, dtype=np.int32)
    board = cv2.aruco.CharucoBoard(
        (spec.squares_x, spec.squares_y), spec.square_mm, spec.marker_mm, dictionary, ids
    )
    if spec.legacy_pattern:
        board.setLegacyPattern(True)
    return board


def object_points(spec: BoardSpec) -> Floats:
    """Return the inner chessboard corners, row n belonging to corner id n, (n_corners, 3) mm."""
    x, y = np.meshgrid(np.arange(1, spec.squares_x), np.arange(1, spec.squares_y))
    flat = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    return np.asarray(flat * spec.square_mm, dtype=np.float64)


def marker_points(spec: BoardSpec) -> Floats:
    """Return the corners of all markers, (n_markers, 4, 3) mm, clockwise from the top left."""
    return np.asarray(charuco_board(spec).getObjPoints(), dtype=np.float64)


def board_size(spec: BoardSpec) -> tuple[float, float]:
    """Return width and height of the board's squares, mm."""
    return spec.squares_x * spec.square_mm, spec.squares_y * spec.square_mm


def black_rectangles(spec: BoardSpec) -> Floats:
    """Return what is dark in the printed board as disjoint rectangles.

    Returns
    -------
    (N, 4) float64, mm
        x0, y0, x1, y1 in the board frame (y down).
    """
    board = charuco_board(spec)
    dictionary = board.getDictionary()
    n_cells = dictionary.markerSize + 2
    dark: list[tuple[float, float, float, float]] = []
    with_marker: Bools = np.zeros((spec.squares_y, spec.squares_x), dtype=bool)
    cell = spec.marker_mm / n_cells
    corners = marker_points(spec)
    for marker_id, quad in zip(board.getIds().ravel(), corners, strict=True):
        x, y = quad[0, :2]
        with_marker[int(y // spec.square_mm), int(x // spec.square_mm)] = True
        bits = dictionary.generateImageMarker(int(marker_id), n_cells, borderBits=1)
        for row in range(n_cells):
            for start, end in _runs(bits[row] == 0):
                dark.append(
                    (x + start * cell, y + row * cell, x + end * cell, y + (row + 1) * cell)
                )
    s = spec.square_mm
    for row, column in np.argwhere(~with_marker):
        dark.append((column * s, row * s, (column + 1) * s, (row + 1) * s))
    if not spec.inverted:
        return np.array(dark)
    return _complement(np.array(dark), *board_size(spec))


def board_image(spec: BoardSpec, *, px_per_mm: float, margin_mm: float = 0.0) -> Bytes:
    """Draw the board with exact area sampling.

    The board's corner (0, 0) mm lies at pixel (margin, margin) * px_per_mm, where the
    top-left pixel's centre is (0.5, 0.5).

    Returns
    -------
    (H, W) uint8
        Linear in the covered area: 0 dark, 255 white.
    """
    width, height = (length + 2 * margin_mm for length in board_size(spec))
    n_x, n_y = round(width * px_per_mm), round(height * px_per_mm)
    dark = np.zeros((n_y, n_x), np.float32)
    for x0, y0, x1, y1 in (black_rectangles(spec) + margin_mm) * px_per_mm:
        rows, cover_y = _coverage(y0, y1, n_y)
        cols, cover_x = _coverage(x0, x1, n_x)
        dark[rows, cols] += cover_y[:, None] * cover_x[None]
    return np.rint(255 * (1 - np.clip(dark, 0, 1))).astype(np.uint8)


def sheet_size(spec: BoardSpec, *, paper: str | None = None) -> tuple[float, float]:
    """Return width and height of the sheet, mm: as small as may be, or the named paper.

    Raises
    ------
    ConfigError
        The paper is unknown, or the board with its margins does not fit on it.
    """
    width, height = board_size(spec)
    need = (width + MARGIN_LEFT_MM + MARGIN_MM, height + MARGIN_BOTTOM_MM + MARGIN_MM)
    if paper is None:
        return need
    names = {name.lower(): name for name in PAPERS_MM}
    if paper.lower() not in names:
        raise ConfigError(f"unknown paper {paper!r}; known: {', '.join(PAPERS_MM)}")
    short, long = PAPERS_MM[names[paper.lower()]]
    for sheet in ((short, long), (long, short)):
        if need[0] <= sheet[0] and need[1] <= sheet[1]:
            return sheet
    fitting = [
        name
        for name, (a, b) in PAPERS_MM.items()
        if min(need) <= min(a, b) and max(need) <= max(a, b)
    ]
    shrink = max(
        min(
            (sheet[0] - MARGIN_LEFT_MM - MARGIN_MM) / width,
            (sheet[1] - MARGIN_BOTTOM_MM - MARGIN_MM) / height,
        )
        for sheet in ((short, long), (long, short))
    )
    advice = f"{fitting[0]} would do, or " if fitting else ""
    raise ConfigError(
        f"a board of {width:g} x {height:g} mm needs a sheet of {need[0]:g} x {need[1]:g} mm with "
        f"its margins and does not fit on {paper}; {advice}squares of at most "
        f"{np.floor(10 * shrink * spec.square_mm) / 10:g} mm"
    )


def write_target(
    spec: BoardSpec, path: Path, *, paper: str | None = None, dpi: int = 600
) -> tuple[float, float]:
    """Write a sheet to print at 100 %: the board, its parameters as text, rulers in x and y.

    Parameters
    ----------
    path : Path
        `.pdf` (vector) or `.png` (with its resolution set).
    paper : str, optional
        Such as `A3`; by default the sheet is as large as the board needs.
    dpi : int
        Of a PNG.

    Returns
    -------
    tuple[float, float]
        Width and height of the sheet, mm.

    Raises
    ------
    ConfigError
        The board does not fit on the paper, or the suffix is another one.
    """
    sheet = sheet_size(spec, paper=paper)
    suffix = path.suffix.lower()
    if suffix not in (".pdf", ".png"):
        raise ConfigError(f"{path}: targets are written as .pdf or .png")
    figure = _draw_sheet(spec, sheet)
    with atomic_path(path) as part:
        if suffix == ".pdf":
            figure.savefig(part, format="pdf", metadata={"CreationDate": None})
        else:
            figure.savefig(part, format="png", dpi=dpi)
            _set_grey(part, dpi)
    return sheet


def describe(spec: BoardSpec) -> str:
    """Return the board's parameters as one line of text."""
    text = (
        f"ChArUco {spec.squares_x} x {spec.squares_y} squares, square {spec.square_mm:g} mm, "
        f"marker {spec.marker_mm:g} mm, {spec.dictionary}, first id {spec.first_id}"
    )
    extras = [
        word for word, on in (("legacy", spec.legacy_pattern), ("inverted", spec.inverted)) if on
    ]
    return ", ".join([text, *extras])


def _draw_sheet(spec: BoardSpec, sheet: tuple[float, float]) -> Any:
    """Return a matplotlib figure of the sheet, axes in mm from its bottom left."""
    from matplotlib.figure import Figure
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    figure = Figure(figsize=(sheet[0] / 25.4, sheet[1] / 25.4))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, sheet[0]), ylim=(0, sheet[1]))
    axes.axis("off")
    width, height = board_size(spec)
    left = MARGIN_LEFT_MM + (sheet[0] - width - MARGIN_LEFT_MM - MARGIN_MM) / 2
    bottom = MARGIN_BOTTOM_MM + (sheet[1] - height - MARGIN_BOTTOM_MM - MARGIN_MM) / 2
    vertices, codes = [], []
    for x0, y0, x1, y1 in black_rectangles(spec):
        vertices += [(x0, y0), (x0, y1), (x1, y1), (x1, y0), (x0, y0)]
        codes += [Outline.MOVETO, *[Outline.LINETO] * 3, Outline.CLOSEPOLY]
    placed = np.array(vertices) * (1, -1) + (left, bottom + height)
    board = PathPatch(Outline(placed, codes), facecolor="black", linewidth=0)
    board.set_snap(False)  # else a PNG moves edges to whole pixels
    axes.add_patch(board)
    _draw_ruler(axes, (left, bottom - 4), (1, 0), _ruler_length(width))
    _draw_ruler(axes, (left - 4, bottom), (0, 1), _ruler_length(height))
    lines = _instructions(spec)
    # 5 pt = 1.76 mm high, about 0.5 em wide: shrunk to what a narrow sheet holds
    size = min(7.0, (sheet[0] - left - MARGIN_MM) / max(len(line) for line in lines) / 0.21)
    axes.text(left, bottom - 11, "\n".join(lines), fontsize=size, va="top", ha="left")
    return figure


def _instructions(spec: BoardSpec) -> list[str]:
    width, height = board_size(spec)
    return [
        describe(spec),
        "Print at 100 % (no 'fit to page'), glue it on something flat and stiff, then measure:",
        f"the rulers must be {_ruler_length(width)} mm in x and {_ruler_length(height)} mm in y, "
        f"the board {width:g} x {height:g} mm.",
        f"Measured board width / {spec.squares_x} is the true square: give it as square_mm.",
    ]


def _ruler_length(available: float) -> int:
    return next((length for length in RULERS_MM if length <= available), RULERS_MM[-1])


def _draw_ruler(axes: Any, start: tuple[float, float], along: tuple[int, int], length: int) -> None:
    """Draw a ruler from `start` mm: ticks every mm, longer at 5 and 10, ends marked."""
    x, y = start
    dx, dy = along
    axes.plot([x, x + dx * length], [y, y + dy * length], color="black", linewidth=0.3, snap=False)
    for at in range(length + 1):
        tick = 3.0 if at in (0, length) else 2.0 if at % 10 == 0 else 1.4 if at % 5 == 0 else 0.8
        ends_x = [x + dx * at, x + dx * at - dy * tick]
        ends_y = [y + dy * at, y + dy * at - dx * tick]
        axes.plot(ends_x, ends_y, color="black", linewidth=0.2, solid_capstyle="butt", snap=False)
    label = (x + dx * length / 2 - dy * 4.5, y + dy * length / 2 - dx * 4.5)
    rotation = 90 if dy else 0
    text = f"{length} mm in {'y' if dy else 'x'}"
    axes.text(*label, text, fontsize=6, ha="center", va="center", rotation=rotation)


def _set_grey(path: Path, dpi: int) -> None:
    """Rewrite a PNG as 8-bit grey with its resolution in the file."""
    with PillowImage.open(path) as picture:
        grey = picture.convert("L")
    grey.save(path, format="PNG", dpi=(dpi, dpi))


def _runs(dark: Bools) -> list[tuple[int, int]]:
    """Return (start, end) of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], dark.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _complement(rectangles: Floats, width: float, height: float) -> Floats:
    """Return the rest of the board's area as disjoint rectangles."""
    levels = _distinct([0.0, height, *rectangles[:, 1], *rectangles[:, 3]])
    rest: list[tuple[float, float, float, float]] = []
    for y0, y1 in pairwise(levels):
        middle = (y0 + y1) / 2
        here = rectangles[(rectangles[:, 1] < middle) & (rectangles[:, 3] > middle)]
        at = 0.0
        for x0, _, x1, _ in here[np.argsort(here[:, 0])]:
            if x0 - at > 1e-6:
                rest.append((at, y0, float(x0), y1))
            at = float(x1)
        if width - at > 1e-6:
            rest.append((at, y0, width, y1))
    return np.array(rest)


def _distinct(values: Sequence[float]) -> list[float]:
    ordered = np.sort(values)
    return [float(v) for v in ordered[np.concatenate([[True], np.diff(ordered) > 1e-6])]]


def _coverage(start: float, end: float, n: int) -> tuple[slice, Floats]:
    """Return which of n unit cells [start, end] touches, and how much of each it covers."""
    first, last = max(int(np.floor(start)), 0), min(int(np.ceil(end)), n)
    cells = np.arange(first, last)
    cover = np.minimum(cells + 1, end) - np.maximum(cells, start)
    return slice(first, last), np.clip(cover, 0, 1)
