"""ChArUco corners of photographs, to sub-pixel accuracy.

The one place where OpenCV's half pixel is added to found points: all coordinates that leave
this module count the centre of the top-left pixel as (0.5, 0.5).

OpenCV finds the board at full resolution; each corner is then refined in a window as large
as may be without reaching a marker: half-window 0.6 d, where d is the projected distance from
the corner to the nearest marker corner. (On rendered boards of known geometry, this window
halves the error of frontal views against OpenCV's own, and never loses. Where not even a
half-window of 4 px keeps clear of the markers, OpenCV's corner stays: on small real boards
a larger window is drawn to the markers, a smaller one is unstable.)
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial import cKDTree

from ..capture.session import BoardSpec, Session, Shot, TakeKind
from ..capture.targets import charuco_board, describe, marker_points, object_points
from ..core.arrays import Bytes, Floats, Image, Ints
from ..core.console import track
from ..core.errors import InputError, SchemaError
from ..core.files import hash_of, read_json, write_json

log = logging.getLogger(__name__)

DETECTOR_VERSION = 3
"""Raised whenever a change moves corners or what is said: older caches are then not used."""

WINDOW_SHARE = 0.6  # of the distance to the nearest marker corner
WINDOW_PX = (4, 30)  # half-window: no refinement below, larger ones blur in perspective
MAX_REFINEMENT_PX = 2.0  # a corner that moves farther was drawn to something else
LAYOUT_MARKERS = 12  # so many without a corner between them: the layout is another
SOME_MARKERS = 2  # a single one may be a chance find in an empty photograph
STRAY_SHARE = 0.4  # of at least four markers, out of their places in the layout
STRAY_SIDES = 0.25  # of a marker: farther off it is out of its place


@dataclass(frozen=True, kw_only=True)
class BoardView:
    """The board as one photograph shows it."""

    take: str
    camera: str
    ids: Ints
    """(N,) corner ids, ascending; rows of `capture.targets.object_points`."""
    xy: Floats
    """(N, 2) px."""
    n_markers: int = 0
    """Markers of this board that were seen."""
    problem: str = ""
    """Why there are no corners, where there are none."""

    @property
    def name(self) -> str:
        """`take/camera`."""
        return f"{self.take}/{self.camera}"


def detect_board(image: Image, spec: BoardSpec) -> tuple[Ints, Floats, int]:
    """Find the board's inner corners.

    Parameters
    ----------
    image : (H, W) or (H, W, 3), uint8 or uint16
        RGB or grey.

    Returns
    -------
    ids : (N,) int32
    xy : (N, 2) float64, px
        N may be zero.
    n_markers : int
        Markers of this board that were seen.
    """
    grey = _grey(image, spec)
    corners, ids, _, marker_ids = _raw_board(grey, spec)
    n_markers = 0 if marker_ids is None else int(np.isin(marker_ids, _ids_of(spec)).sum())
    if corners is None or ids is None or len(ids) == 0:
        return np.zeros(0, np.int32), np.zeros((0, 2)), n_markers
    corner_ids = np.asarray(ids, np.int32).ravel()
    start = np.asarray(corners, np.float64).reshape(-1, 2)
    refined, kept = _refine(grey, start, corner_ids, spec)
    order = np.argsort(corner_ids[kept])
    return corner_ids[kept][order], refined[kept][order].astype(np.float64) + 0.5, n_markers


def board_mismatch(image: Image, spec: BoardSpec) -> str:
    """Say why markers of the dictionary are seen but no board.

    The layout is blamed where another one fits, or where many markers, or their places in
    the photograph, speak against it; few markers in their places are a board seen too small.

    Returns
    -------
    str
        A sentence, or an empty one when there is nothing to say.
    """
    other_corners = {
        f"{spec.squares_y} x {spec.squares_x} squares (sizes exchanged)": replace(
            spec, squares_x=spec.squares_y, squares_y=spec.squares_x
        ),
        "legacy_pattern switched": replace(spec, legacy_pattern=not spec.legacy_pattern),
        "sizes exchanged and legacy_pattern switched": replace(
            spec,
            squares_x=spec.squares_y,
            squares_y=spec.squares_x,
            legacy_pattern=not spec.legacy_pattern,
        ),
        "inverted switched": replace(spec, inverted=not spec.inverted),
    }
    for words, other in other_corners.items():
        ids, _, n_markers = detect_board(image, other)
        if len(ids) >= 4:
            return (
                f"{n_markers} markers are seen, but the board layout does not match "
                f"({describe(spec)}); it fits with {words}"
            )
    ids, quads = _markers(image, spec)
    if len(ids) >= LAYOUT_MARKERS or _strays(ids, quads, spec) > STRAY_SHARE:
        return (
            f"{len(ids)} markers are seen, but the board layout does not match "
            f"({describe(spec)}): check the numbers of squares, the first id and the pattern"
        )
    if len(ids) >= SOME_MARKERS:
        return (
            f"only {len(ids)} markers of the board are seen, no corner between them: go closer "
            "or use more pixels"
        )
    return ""


def _markers(image: Image, spec: BoardSpec) -> tuple[Ints, Floats]:
    """Return the board's markers that are seen: rows (N,) of `marker_points`, (N, 4, 2) px."""
    _, _, quads, ids = _raw_board(_grey(image, spec), spec)
    if ids is None or len(ids) == 0:
        return np.zeros(0, np.int32), np.zeros((0, 4, 2))
    rows = np.asarray(ids, np.int32).ravel() - spec.first_id
    own = (rows >= 0) & (rows < len(_ids_of(spec)))
    return rows[own], np.asarray(quads, np.float64).reshape(-1, 4, 2)[own]


def _strays(rows: Ints, quads: Floats, spec: BoardSpec) -> float:
    """Return the share of markers that are not where the others and the layout want them."""
    if len(rows) < 4:
        return 0.0  # so few agree with many layouts
    on_board = marker_points(spec)[rows][..., :2].reshape(-1, 2)
    # any four markers can be brought to any places, but not with their shapes: all corners
    # count, to a quarter of a side, which leaves room for poor ones of small markers
    side = np.linalg.norm(quads - np.roll(quads, 1, axis=1), axis=-1).mean()
    H, _ = cv2.findHomography(on_board, quads.reshape(-1, 2), cv2.RANSAC, STRAY_SIDES * side)
    if H is None:
        return 0.0
    projected = cv2.perspectiveTransform(on_board[None], H)[0].reshape(-1, 4, 2)
    off = np.linalg.norm(projected - quads, axis=-1).max(axis=1)
    return float((off > STRAY_SIDES * side).mean())


def detect_session(
    session: Session, spec: BoardSpec, *, cache: Path, n_workers: int = 2
) -> tuple[BoardView, ...]:
    """Find the board in all photographs of takes of kind `target`.

    Parameters
    ----------
    cache : Path
        Folder that keeps the corners of each file, by its content and the board.
    n_workers : int
        Photographs at a time; each needs some ten bytes a pixel.

    Returns
    -------
    tuple[BoardView, ...]
        One for each photograph, in the order of takes and cameras.

    Raises
    ------
    InputError
        A photograph cannot be read.
    """
    jobs = [(take.id, shot) for take in session.takes_of(TakeKind.TARGET) for shot in take.shots]

    def detect(job: tuple[str, Shot]) -> BoardView:
        take, shot = job
        return _cached(
            cache / f"{shot.sha256[:16]}-{_board_hash(spec)}.json",
            BoardView(
                take=take, camera=shot.camera, ids=np.zeros(0, np.int32), xy=np.zeros((0, 2))
            ),
            lambda: session.read(shot),
            spec,
        )

    with ThreadPoolExecutor(max(1, n_workers)) as pool:
        views = tuple(track(pool.map(detect, jobs), "finding the board", total=len(jobs)))
    found = sum(len(view.ids) > 0 for view in views)
    log.info("board found in %d of %d photographs", found, len(views))
    return views


def _cached(path: Path, empty: BoardView, read: Callable[[], Image], spec: BoardSpec) -> BoardView:
    """Return what `path` keeps, else detect and keep it."""
    if path.is_file():
        try:
            values = read_json(path, format_name="facekit-corners", version=DETECTOR_VERSION)
            return replace(
                empty,
                ids=np.array(values["ids"], np.int32),
                xy=np.array(values["xy"], np.float64).reshape(-1, 2),
                n_markers=values["n_markers"],
                problem=values["problem"],
            )
        except (InputError, SchemaError, KeyError, ValueError):
            log.debug("%s: damaged cache, detecting again", path)
    image = read()
    ids, xy, n_markers = detect_board(image, spec)
    problem = ""
    if len(ids) == 0:
        problem = board_mismatch(image, spec) or "no board seen"
    values = {
        "format": "facekit-corners",
        "version": DETECTOR_VERSION,
        "ids": ids.tolist(),
        "xy": np.round(xy, 5).tolist(),
        "n_markers": n_markers,
        "problem": problem,
    }
    write_json(path, values)
    return replace(empty, ids=ids, xy=np.round(xy, 5), n_markers=n_markers, problem=problem)


def _board_hash(spec: BoardSpec) -> str:
    """Hash what detection depends on: the layout, and the sizes only by their ratio."""
    ratio = round(spec.marker_mm / spec.square_mm, 6)
    layout = (spec.squares_x, spec.squares_y, ratio, spec.dictionary)
    return hash_of([layout, spec.legacy_pattern, spec.inverted, spec.first_id, DETECTOR_VERSION])


def _ids_of(spec: BoardSpec) -> Ints:
    n_markers = spec.squares_x * spec.squares_y // 2
    return np.arange(spec.first_id, spec.first_id + n_markers, dtype=np.int32)


def _grey(image: Image, spec: BoardSpec) -> Bytes:
    """Return 8-bit grey in which the board is dark on white."""
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    return np.asarray(255 - grey, np.uint8) if spec.inverted else np.ascontiguousarray(grey)


def _raw_board(grey: Bytes, spec: BoardSpec) -> Any:
    """Return OpenCV's corners, their ids, marker corners and marker ids; None for what is not."""
    return cv2.aruco.CharucoDetector(charuco_board(spec)).detectBoard(grey)


def _refine(grey: Bytes, start: Floats, ids: Ints, spec: BoardSpec) -> tuple[Floats, Ints]:
    """Refine corners (N, 2) in windows of their own; return them and the rows that held."""
    refined = start.copy()
    windows = _half_windows(start, ids, spec)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-4)
    for half in np.unique(windows[windows > 0]):
        rows = np.flatnonzero(windows == half)
        points = np.ascontiguousarray(start[rows].reshape(-1, 1, 2), dtype=np.float32)
        size = (int(half), int(half))
        refined[rows] = cv2.cornerSubPix(grey, points, size, (-1, -1), criteria).reshape(-1, 2)
    moved = np.linalg.norm(refined - start, axis=1)
    return refined, np.flatnonzero(moved <= MAX_REFINEMENT_PX).astype(np.int32)


def _half_windows(xy: Floats, ids: Ints, spec: BoardSpec) -> Ints:
    """Return the (N,) half-windows, px, of corners at `xy`; 0: not to be refined."""
    corners = object_points(spec)[ids, :2]
    if len(ids) < 4 or np.linalg.matrix_rank(corners - corners.mean(0), tol=1e-6) < 2:
        return np.zeros(len(ids), np.int32)
    H, _ = cv2.findHomography(corners, xy.astype(np.float64), cv2.RANSAC, 5.0)
    if H is None:
        return np.zeros(len(ids), np.int32)
    markers = marker_points(spec).reshape(-1, 4, 3)[..., :2].reshape(-1, 2)
    _, nearest = cKDTree(markers).query(corners, k=4)
    projected = cv2.perspectiveTransform(markers[nearest.ravel()][None], H)[0].reshape(-1, 4, 2)
    centre = cv2.perspectiveTransform(corners[None], H)[0]
    # of the four nearest only those of the corner's own markers count: the two nearest
    # distances of the board repeat twice, the others are a square away
    distance = np.linalg.norm(projected - centre[:, None], axis=-1)
    on_board = np.linalg.norm(markers[nearest] - corners[:, None], axis=-1)
    distance[on_board > 1.01 * on_board.min(axis=1, keepdims=True)] = np.inf
    half = np.floor(np.minimum(WINDOW_SHARE * distance.min(axis=1), WINDOW_PX[1]))
    return np.where(half < WINDOW_PX[0], 0, half).astype(np.int32)


def usable(views: Sequence[BoardView], *, min_corners: int, spec: BoardSpec) -> list[BoardView]:
    """Return the views with enough corners that do not lie on one line."""
    points = object_points(spec)[:, :2]

    def spread(view: BoardView) -> float:
        on_board = points[view.ids] - points[view.ids].mean(axis=0)
        return float(np.linalg.svd(on_board, compute_uv=False)[1])

    return [
        view
        for view in views
        if len(view.ids) >= max(min_corners, 4) and spread(view) > 0.5 * spec.square_mm
    ]
