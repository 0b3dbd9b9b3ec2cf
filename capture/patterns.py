"""One face of a calibration board: its marks, its corners, and what is dark in the print.

Face frame: origin at the top left of the print, +x along the rows, +y down the columns, +z into
the print; lengths in mm. Three patterns:

- *charuco*: a chessboard with a marker in each white square; corners between squares count
  row by row from the top left.
- *aprilgrid*: tags row by row from the lower left, joined at their corners by small black
  squares, which makes each corner of a tag a saddle point; corner 4 * tag + k is the k-th of a
  tag, clockwise from its top left.
- *checkerboard*: corners as for charuco; the top left square is dark.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from ..core.arrays import Bools, Bytes, Floats, Ints
from ..core.errors import ConfigError
from .session import BoardPattern, BoardSpec

TAG_BORDER = 2
"""Cells of black round the code of a printed AprilGrid tag.

Source: Kalibr, kalibr_create_target_pdf (`borderBits=2`); OpenCV's own tags have one.
"""


def check_face(spec: BoardSpec) -> None:
    """Raise where no such face can be printed.

    Raises
    ------
    ConfigError
        The dictionary is unknown, has too few markers, or the sizes make no board.
    """
    if not (np.isfinite(spec.square_mm) and spec.square_mm > 0):
        raise ConfigError(f"board: {spec.square_mm:g} mm is no length of a square")
    if spec.pattern is BoardPattern.CHECKERBOARD:
        _check_checkerboard(spec)
        return
    dictionary_of(spec)
    if spec.pattern is BoardPattern.CHARUCO and min(spec.squares_x, spec.squares_y) < 3:
        raise ConfigError(f"board: {spec.squares_x}x{spec.squares_y} squares; at least 3x3 needed")
    if min(spec.squares_x, spec.squares_y) < 2:
        raise ConfigError(f"board: {spec.squares_x}x{spec.squares_y} tags; at least 2x2 needed")
    if not 0 < spec.marker_mm < spec.square_mm:
        raise ConfigError(
            f"board: markers of {spec.marker_mm} mm do not fit in squares of {spec.square_mm} mm"
        )
    ids = marker_ids(spec)
    n_known = len(dictionary_of(spec).bytesList)
    if spec.first_id < 0 or ids[-1] >= n_known:
        raise ConfigError(
            f"board: needs markers {spec.first_id} to {ids[-1]}, "
            f"but {spec.dictionary} has {n_known}"
        )


def _check_checkerboard(spec: BoardSpec) -> None:
    if min(spec.squares_x, spec.squares_y) < 3:
        raise ConfigError(f"board: {spec.squares_x}x{spec.squares_y} squares; at least 3x3 needed")
    if (spec.squares_x + spec.squares_y) % 2 == 0:
        kind = "odd" if spec.squares_x % 2 else "even"
        raise ConfigError(
            f"board: a checkerboard of {spec.squares_x}x{spec.squares_y} squares (both numbers "
            f"{kind}) looks the same upside down, so cameras cannot agree on its corners: use one "
            "with an odd and an even number, or a ChArUco board"
        )


def dictionary_of(spec: BoardSpec) -> Any:
    """Return OpenCV's dictionary of the board's markers; ConfigError where it is unknown."""
    dictionary_id = getattr(cv2.aruco, spec.dictionary or "-", None)
    if not spec.dictionary.startswith("DICT_") or dictionary_id is None:
        known = ", ".join(sorted(name for name in dir(cv2.aruco) if name.startswith("DICT_")))
        raise ConfigError(f"board: unknown marker dictionary {spec.dictionary!r}; known: {known}")
    return cv2.aruco.getPredefinedDictionary(dictionary_id)


def marker_ids(spec: BoardSpec) -> Ints:
    """Return the ids of the face's markers, in the order of `marker_points`."""
    n_cells = spec.squares_x * spec.squares_y
    n_markers = {
        BoardPattern.CHARUCO: n_cells // 2,
        BoardPattern.APRILGRID: n_cells,
        BoardPattern.CHECKERBOARD: 0,
    }[spec.pattern]
    return np.arange(spec.first_id, spec.first_id + n_markers, dtype=np.int32)


def charuco_board(spec: BoardSpec) -> Any:
    """Return OpenCV's `CharucoBoard` of a face, in mm; ConfigError as `check_face` says."""
    check_face(spec)
    board = cv2.aruco.CharucoBoard(
        (spec.squares_x, spec.squares_y),
        spec.square_mm,
        spec.marker_mm,
        dictionary_of(spec),
        marker_ids(spec),
    )
    if spec.legacy_pattern:
        board.setLegacyPattern(True)
    return board


def face_corners(spec: BoardSpec) -> Floats:
    """Return the corners, row n belonging to corner n of the face, (n_face_corners, 3) mm."""
    if spec.pattern is BoardPattern.APRILGRID:
        return marker_points(spec).reshape(-1, 3)
    x, y = np.meshgrid(np.arange(1, spec.squares_x), np.arange(1, spec.squares_y))
    flat = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    return np.asarray(flat * spec.square_mm, dtype=np.float64)


def marker_points(spec: BoardSpec) -> Floats:
    """Return the corners of all markers, (n_markers, 4, 3) mm, clockwise from the top left.

    Markers in the order of their ids; a checkerboard has none.
    """
    if spec.pattern is BoardPattern.CHECKERBOARD:
        return np.zeros((0, 4, 3))
    if spec.pattern is BoardPattern.CHARUCO:
        return np.asarray(charuco_board(spec).getObjPoints(), dtype=np.float64)
    side = spec.marker_mm
    square = np.array([[0, 0, 0], [side, 0, 0], [side, side, 0], [0, side, 0]])
    gap = spec.square_mm - side
    rows, columns = np.divmod(np.arange(spec.squares_x * spec.squares_y), spec.squares_x)
    down = spec.squares_y - 1 - rows
    top_left = np.stack([columns, down, np.zeros_like(rows)], axis=1) * spec.square_mm
    return np.asarray(top_left[:, None] + square + [gap, gap, 0.0], dtype=np.float64)


def board_size(spec: BoardSpec) -> tuple[float, float]:
    """Return width and height of the print, mm."""
    # an AprilGrid has small black squares all round, as wide as the gaps
    edge = spec.square_mm - spec.marker_mm if spec.pattern is BoardPattern.APRILGRID else 0.0
    return spec.squares_x * spec.square_mm + edge, spec.squares_y * spec.square_mm + edge


def falling_dark(spec: BoardSpec) -> Bools:
    """Return for each corner whether the quarters at its top left and lower right are dark.

    At the other corners it is the two others. Not turned round for inverted boards.
    """
    if spec.pattern is BoardPattern.APRILGRID:
        return np.tile([True, False, True, False], spec.squares_x * spec.squares_y)
    column, row = np.meshgrid(np.arange(spec.squares_x - 1), np.arange(spec.squares_y - 1))
    light_start = spec.legacy_pattern and spec.squares_y % 2 == 0
    return np.asarray((column + row).ravel() % 2 == int(light_start))


def black_rectangles(spec: BoardSpec) -> Floats:
    """Return what is dark in the print as disjoint rectangles.

    Returns
    -------
    (N, 4) float64, mm
        x0, y0, x1, y1 in the face frame (y down).
    """
    check_face(spec)
    dark = [*_dark_cells(spec), *_dark_squares(spec)]
    return _complement(np.array(dark), *board_size(spec)) if spec.inverted else np.array(dark)


def _dark_cells(spec: BoardSpec) -> list[tuple[float, float, float, float]]:
    """Return the dark cells of all markers."""
    if spec.pattern is BoardPattern.CHECKERBOARD:
        return []
    dictionary = dictionary_of(spec)
    border = TAG_BORDER if spec.pattern is BoardPattern.APRILGRID else 1
    n_cells = dictionary.markerSize + 2 * border
    cell = spec.marker_mm / n_cells
    dark: list[tuple[float, float, float, float]] = []
    for marker_id, quad in zip(marker_ids(spec), marker_points(spec), strict=True):
        x, y = quad[0, :2]
        bits = dictionary.generateImageMarker(int(marker_id), n_cells, borderBits=border)
        if spec.pattern is BoardPattern.APRILGRID:
            bits = np.rot90(bits, 2)  # Kalibr prints a tag as its code reads; OpenCV turned round
        for row in range(n_cells):
            for start, end in _runs(bits[row] == 0):
                dark.append(
                    (x + start * cell, y + row * cell, x + end * cell, y + (row + 1) * cell)
                )
    return dark


def _dark_squares(spec: BoardSpec) -> list[tuple[float, float, float, float]]:
    """Return the dark squares between the markers."""
    s = spec.square_mm
    if spec.pattern is BoardPattern.APRILGRID:
        gap = s - spec.marker_mm
        at = [(c * s, r * s) for r in range(spec.squares_y + 1) for c in range(spec.squares_x + 1)]
        return [(x, y, x + gap, y + gap) for x, y in at]
    with_marker: Bools = np.zeros((spec.squares_y, spec.squares_x), dtype=bool)
    if spec.pattern is BoardPattern.CHECKERBOARD:
        with_marker = np.indices(with_marker.shape).sum(axis=0) % 2 == 1
    for x, y in marker_points(spec)[:, 0, :2]:
        with_marker[int(y // s), int(x // s)] = True
    return [
        (column * s, row * s, (column + 1) * s, (row + 1) * s)
        for row, column in np.argwhere(~with_marker)
    ]


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
