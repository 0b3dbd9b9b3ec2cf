"""Corners of calibration boards in photographs, to sub-pixel accuracy.

The one place where OpenCV's half pixel is added to found points: all coordinates that leave
this module count the centre of the top-left pixel as (0.5, 0.5). The search itself is in
`boardsearch`, the refinement in `cornerfit`.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from ...capture.patterns import dictionary_of, marker_ids
from ...capture.session import BoardPattern, BoardSpec, Session, Shot, TakeKind
from ...capture.targets import check_board, describe, faces, n_face_corners, object_points
from ...core.arrays import Bytes, Floats, Image, Ints
from ...core.console import track
from ...core.errors import InputError, SchemaError
from ...core.files import hash_of, read_json, write_json
from .boardsearch import find_face
from .cornermodel import modelled
from .facesearch import MAX_STRAYS, find_markers, strays

log = logging.getLogger(__name__)

DETECTOR_VERSION = 5
"""Raised whenever a change moves corners or what is said: older caches are then not used."""

LAYOUT_MARKERS = 12  # so many without a corner between them: the layout is another
OBLIQUE = 0.45  # openness of markers below which OpenCV gives boards up: some 70 degrees
SOME_MARKERS = 2  # a single one may be a chance find in an empty photograph


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
    seen = find_face(grey, spec)
    face = faces(spec)[seen.face]
    xy = modelled(grey, face, seen.ids, seen.xy, tag_border=seen.tag_border)
    ids = seen.ids + seen.face * n_face_corners(spec)
    order = np.argsort(ids)
    return ids[order].astype(np.int32), xy[order] + 0.5, seen.n_markers


def board_mismatch(image: Image, spec: BoardSpec) -> str:
    """Say why markers of the dictionary are seen but no board.

    The layout is blamed where another one fits, or where many markers, or their places in
    the photograph, speak against it; few markers in their places are a board seen too small.

    Returns
    -------
    str
        A sentence, or an empty one when there is nothing to say.
    """
    checks = spec.pattern is BoardPattern.CHECKERBOARD
    ids, quads = np.zeros(0, np.int32), np.zeros((0, 4, 2))
    if not checks:
        ids, quads, _ = find_markers(_grey(image, spec), spec)
    for words, other in _other_layouts(spec).items():
        if not checks and len(ids) < SOME_MARKERS and other.inverted == spec.inverted:
            continue  # the same markers would be looked for
        other_ids, _, n_markers = detect_board(image, other)
        if len(other_ids) >= 4:
            seen = f"{n_markers} markers are" if n_markers else "a board is"
            return (
                f"{seen} seen, but the board layout does not match ({describe(spec)}); "
                f"it fits with {words}"
            )
    n_seen, astray = 0, 0.0
    own = np.isin(ids, np.concatenate([marker_ids(face) for face in faces(spec)]))
    oblique = own.any() and float(np.median(_openness(quads[own]))) < OBLIQUE
    for face in faces(spec):
        own = np.isin(ids, marker_ids(face))
        n_seen += int(own.sum())
        astray = max(astray, strays(face, ids[own], quads[own]))
    if n_seen >= SOME_MARKERS and oblique and astray <= MAX_STRAYS:
        return (
            f"{n_seen} markers of the board are seen, but too much from the side: turn it more "
            "towards the camera"
        )
    if n_seen >= LAYOUT_MARKERS or astray > MAX_STRAYS:
        return (
            f"{n_seen} markers are seen, but the board layout does not match "
            f"({describe(spec)}): check the numbers of squares, the first id and the pattern"
        )
    if n_seen >= SOME_MARKERS:
        return (
            f"only {n_seen} markers of the board are seen, no corner between them: go closer "
            "or use more pixels"
        )
    return ""


def _openness(quads: Floats) -> Floats:
    """Return how open quads (M, 4, 2) are: 1 for a square, 0 for one seen from the side."""
    first, second = quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1]
    longest = np.maximum((first**2).sum(axis=1), (second**2).sum(axis=1))
    across = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    return np.asarray(across / longest)


def _other_layouts(spec: BoardSpec) -> dict[str, BoardSpec]:
    """Return the boards that are often meant in place of this one, by how they differ."""
    across, down = spec.squares_x, spec.squares_y
    inverted = replace(spec, inverted=not spec.inverted)
    if spec.pattern is BoardPattern.CHECKERBOARD:
        whole = replace(spec, squares_x=across + 1, squares_y=down + 1)
        inner = f"{across + 1} x {down + 1} squares (squares count, not inner corners)"
        return {inner: whole}
    exchanged = replace(spec, squares_x=down, squares_y=across)
    if spec.pattern is BoardPattern.APRILGRID:
        tags = f"{down} x {across} tags (sizes exchanged)"
        return {**({tags: exchanged} if across != down else {}), "inverted switched": inverted}
    other = {
        f"{down} x {across} squares (sizes exchanged)": exchanged,
        "legacy_pattern switched": replace(spec, legacy_pattern=not spec.legacy_pattern),
        "sizes exchanged and legacy_pattern switched": replace(
            exchanged, legacy_pattern=not spec.legacy_pattern
        ),
        "inverted switched": inverted,
    }
    if spec.back_first_id is None:
        n_markers = len(marker_ids(spec))
        follows = replace(spec, first_id=spec.first_id + n_markers)
        if follows.first_id + n_markers <= len(dictionary_of(spec).bytesList):
            other[f"first_id {follows.first_id}, the back of a two-sided board"] = follows
    return other


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
    ConfigError
        No such board can be.
    """
    check_board(spec)
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

    with one_opencv_thread(), ThreadPoolExecutor(max(1, n_workers)) as pool:
        views = tuple(track(pool.map(detect, jobs), "finding the board", total=len(jobs)))
    found = sum(len(view.ids) > 0 for view in views)
    log.info("board found in %d of %d photographs", found, len(views))
    return views


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Keep OpenCV to the calling thread: photographs side by side need no second level."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


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
    layout = (spec.pattern, spec.squares_x, spec.squares_y, ratio, spec.dictionary)
    ids = (spec.first_id, spec.back_first_id)
    return hash_of([layout, spec.legacy_pattern, spec.inverted, ids, DETECTOR_VERSION])


def _grey(image: Image, spec: BoardSpec) -> Bytes:
    """Return 8-bit grey in which the board is dark on white."""
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    return np.asarray(255 - grey, np.uint8) if spec.inverted else np.ascontiguousarray(grey)


def usable(views: Sequence[BoardView], *, min_corners: int, spec: BoardSpec) -> list[BoardView]:
    """Return the views with enough corners of one face that do not lie on one line."""
    points = object_points(spec)

    def spread(view: BoardView) -> float:
        on_board = points[view.ids] - points[view.ids].mean(axis=0)
        return float(np.linalg.svd(on_board, compute_uv=False)[1])

    return [
        view
        for view in views
        if len(view.ids) >= max(min_corners, 4) and spread(view) > 0.5 * spec.square_mm
    ]
