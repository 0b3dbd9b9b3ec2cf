"""Calibration boards as a whole: their faces and corners, and sheets to print true to size.

Board frame: the frame of the front's print (see `patterns`): origin at its top left, +x along
the rows, +y down the columns, +z into the print; lengths in mm. A two-sided board carries the
same layout with other markers on its back. The sheets carry two rulers, since printers scale:
what they measure goes into `BoardSpec.square_mm`, or between named corners into `lengths`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from ..core.arrays import Floats
from ..core.errors import ConfigError
from ..core.files import atomic_path
from ..core.geometry.transform import apply
from .patterns import black_rectangles, board_size, check_face, face_corners, marker_ids
from .session import BoardPattern, BoardSpec

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


def faces(spec: BoardSpec) -> tuple[BoardSpec, ...]:
    """Return the printed faces as one-sided boards, the front first."""
    front = replace(spec, back_first_id=None, thickness_mm=0.0, lengths=())
    if spec.back_first_id is None:
        return (front,)
    return front, replace(front, first_id=spec.back_first_id)


def check_board(spec: BoardSpec) -> None:
    """Raise where no such board can be made.

    Raises
    ------
    ConfigError
        A face that cannot be (see `patterns.check_face`), faces that share markers, a negative
        thickness, or measured lengths between corners that the board does not have.
    """
    for face in faces(spec):
        check_face(face)
    if spec.back_first_id is not None:
        if spec.pattern is BoardPattern.CHECKERBOARD:
            raise ConfigError(
                "board: the faces of a two-sided checkerboard cannot be told apart; use a ChArUco "
                "board or an AprilGrid"
            )
        front, back = (marker_ids(face) for face in faces(spec))
        if np.intersect1d(front, back).size:
            raise ConfigError(
                f"board: both faces have marker {np.intersect1d(front, back)[0]}; give the back a "
                f"first id of {front[-1] + 1} or more"
            )
    if not (np.isfinite(spec.thickness_mm) and spec.thickness_mm >= 0):
        raise ConfigError(f"board: a plate cannot be {spec.thickness_mm:g} mm thick")
    n_corners = len(faces(spec)) * n_face_corners(spec)
    for length in spec.lengths:
        if not (min(length.first, length.second) >= 0 and length.first != length.second):
            raise ConfigError(
                f"board: a length from corner {length.first} to {length.second} is none"
            )
        if max(length.first, length.second) >= n_corners:
            raise ConfigError(
                f"board: a length names corner {max(length.first, length.second)}, but the corners "
                f"are 0 to {n_corners - 1}"
            )
        if not (0 < length.mm < np.inf and 0 < length.sigma_mm < np.inf):
            raise ConfigError(
                f"board: the length from corner {length.first} to {length.second} and its sigma "
                "must be above zero"
            )


def n_face_corners(spec: BoardSpec) -> int:
    """Return the number of corners of one face; ids of face f start at f times as many."""
    if spec.pattern is BoardPattern.APRILGRID:
        return 4 * spec.squares_x * spec.squares_y
    return (spec.squares_x - 1) * (spec.squares_y - 1)


def object_points(spec: BoardSpec) -> Floats:
    """Return the nominal places of the corners of all faces, row n belonging to corner id n.

    Returns
    -------
    (n_faces * n_face_corners, 3) float64, mm
        In the board frame, face by face.
    """
    corners = face_corners(spec)
    placed = [apply(board_from_face(spec, face), corners) for face in range(len(faces(spec)))]
    return np.concatenate(placed)


def board_from_face(spec: BoardSpec, face: int) -> Floats:
    """Return the nominal place (3, 4) of a face: the frame that its own print defines.

    The back is the front turned round the vertical axis, on the other side of the plate.
    """
    if face == 0:
        return np.eye(3, 4)
    width, _ = board_size(spec)
    return np.array([[-1.0, 0, 0, width], [0, 1, 0, 0], [0, 0, -1, spec.thickness_mm]])


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
    """Write sheets to print at 100 %: a face, its parameters as text, rulers in x and y.

    Parameters
    ----------
    path : Path
        `.pdf` (vector; a two-sided board has two pages) or `.png` (with its resolution set; the
        back is written beside it as `<name>-back.png`).
    paper : str, optional
        Such as `A3`; by default the sheet is as large as the board needs.
    dpi : int
        Of a PNG.

    Returns
    -------
    tuple[float, float]
        Width and height of a sheet, mm.

    Raises
    ------
    ConfigError
        No such board can be made, it does not fit on the paper, or the suffix is another one.
    """
    from matplotlib.backends.backend_pdf import PdfPages

    check_board(spec)
    sheet = sheet_size(spec, paper=paper)
    suffix = path.suffix.lower()
    if suffix not in (".pdf", ".png"):
        raise ConfigError(f"{path}: targets are written as .pdf or .png")
    figures = [_draw_sheet(spec, face, sheet) for face in range(len(faces(spec)))]
    if suffix == ".pdf":
        with atomic_path(path) as part, PdfPages(part, metadata={"CreationDate": None}) as pages:
            for figure in figures:
                pages.savefig(figure)
        return sheet
    for name, figure in zip((path.name, f"{path.stem}-back{path.suffix}"), figures, strict=False):
        with atomic_path(path.with_name(name)) as part:
            figure.savefig(part, format="png", dpi=dpi)
            _set_grey(part, dpi)
    return sheet


def describe(spec: BoardSpec) -> str:
    """Return the board's parameters as one line of text."""
    size = f"{spec.squares_x} x {spec.squares_y}"
    markers = f"{spec.dictionary}, first id {spec.first_id}"
    text = {
        BoardPattern.CHARUCO: f"ChArUco {size} squares, square {spec.square_mm:g} mm, "
        f"marker {spec.marker_mm:g} mm, {markers}",
        BoardPattern.APRILGRID: f"AprilGrid {size} tags, tag {spec.marker_mm:g} mm, "
        f"gap {spec.square_mm - spec.marker_mm:g} mm, {markers}",
        BoardPattern.CHECKERBOARD: f"checkerboard {size} squares, square {spec.square_mm:g} mm",
    }[spec.pattern]
    extras = [
        word for word, on in (("legacy", spec.legacy_pattern), ("inverted", spec.inverted)) if on
    ]
    if spec.back_first_id is not None:
        extras.append(f"two-sided, back from id {spec.back_first_id}")
    if spec.thickness_mm:
        extras.append(f"{spec.thickness_mm:g} mm thick")
    if spec.lengths:
        extras.append(f"{len(spec.lengths)} measured length{'s' if len(spec.lengths) > 1 else ''}")
    return ", ".join([text, *extras])


def _draw_sheet(spec: BoardSpec, face: int, sheet: tuple[float, float]) -> Any:
    """Return a matplotlib figure of a face's sheet, axes in mm from its bottom left."""
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
    for x0, y0, x1, y1 in black_rectangles(faces(spec)[face]):
        vertices += [(x0, y0), (x0, y1), (x1, y1), (x1, y0), (x0, y0)]
        codes += [Outline.MOVETO, *[Outline.LINETO] * 3, Outline.CLOSEPOLY]
    placed = np.array(vertices) * (1, -1) + (left, bottom + height)
    board = PathPatch(Outline(placed, codes), facecolor="black", linewidth=0)
    board.set_snap(False)  # else a PNG moves edges to whole pixels
    axes.add_patch(board)
    _draw_ruler(axes, (left, bottom - 4), (1, 0), _ruler_length(width))
    _draw_ruler(axes, (left - 4, bottom), (0, 1), _ruler_length(height))
    lines = _instructions(spec, face)
    # 5 pt = 1.76 mm high, about 0.5 em wide: shrunk to what a narrow sheet holds
    size = min(7.0, (sheet[0] - left - MARGIN_MM) / max(len(line) for line in lines) / 0.21)
    axes.text(left, bottom - 11, "\n".join(lines), fontsize=size, va="top", ha="left")
    return figure


def _instructions(spec: BoardSpec, face: int) -> list[str]:
    width, height = board_size(spec)
    which = ""
    if spec.back_first_id is not None:
        which = f"{('FRONT', 'BACK')[face]} of a two-sided board, top up on both sides; "
    side = {
        BoardPattern.APRILGRID: "Measured length over all / nominal is the factor for tag and gap.",
    }.get(
        spec.pattern,
        f"Measured board width / {spec.squares_x} is the true square: give it as square_mm.",
    )
    return [
        which + describe(faces(spec)[face]),
        "Print at 100 % (no 'fit to page'), glue it on something flat and stiff, then measure:",
        f"the rulers must be {_ruler_length(width)} mm in x and {_ruler_length(height)} mm in y, "
        f"the board {width:g} x {height:g} mm.",
        side,
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
