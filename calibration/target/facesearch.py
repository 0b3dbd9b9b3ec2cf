"""Find a face of the board in a grey picture: markers, then the corners between them.

Coordinates count OpenCV's way, the centre of the top-left pixel as (0, 0).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ...capture.patterns import (
    TAG_BORDER,
    charuco_board,
    dictionary_of,
    marker_ids,
    marker_points,
)
from ...capture.session import BoardPattern, BoardSpec
from ...capture.targets import faces
from ...core.arrays import Bools, Bytes, Floats, Ints

MIN_TAGS = 4  # of an AprilGrid, in two rows and columns: fewer fit turned or shifted as well
MAX_TAG_MISFIT = 0.25  # of a tag's side: worse, and the tags stand elsewhere
MAX_STRAYS = 0.4  # of at least four markers, out of their places in the layout
STRAY_SIDES = 0.25  # of a marker: farther off it is out of its place
CHESS_MEGAPIXELS = (1.5, 6.0)  # a checkerboard is searched in pictures reduced to these


@dataclass(frozen=True, kw_only=True)
class FaceSighting:
    """The face that a picture shows, before refinement."""

    face: int
    """Index into `capture.targets.faces`."""
    ids: Ints
    """(N,) corners of the face."""
    xy: Floats
    """(N, 2) px."""
    n_markers: int
    """Markers of the board that were seen, on whichever face."""
    tag_border: int = TAG_BORDER
    """Cells of black round the codes of an AprilGrid's tags, as they read."""


def sight_face(grey: Bytes, spec: BoardSpec) -> FaceSighting:
    """Find the face that is seen, dark on white, and its corners to about a pixel."""
    if spec.pattern is BoardPattern.CHECKERBOARD:
        ids, xy = _checkerboard(grey, spec)
        return FaceSighting(face=0, ids=ids, xy=xy, n_markers=0)
    marker_ids_seen, quads, border = find_markers(grey, spec)
    own = [np.isin(marker_ids_seen, marker_ids(face)) for face in faces(spec)]
    n_seen = [int(rows.sum()) for rows in own]
    face = int(np.argmax(n_seen))
    mine, spec = own[face], faces(spec)[face]
    find = _tag_corners if spec.pattern is BoardPattern.APRILGRID else _charuco_corners
    ids, xy = find(grey, spec, marker_ids_seen[mine], quads[mine])
    return FaceSighting(face=face, ids=ids, xy=xy, n_markers=sum(n_seen), tag_border=border)


def strays(spec: BoardSpec, seen: Ints, quads: Floats) -> float:
    """Return the share of a face's markers that are not where the layout wants them."""
    if len(seen) < 4:
        return 0.0  # so few agree with many layouts
    on_board = marker_points(spec)[seen - spec.first_id][..., :2].reshape(-1, 2)
    # any four markers can be brought to any places, but not with their shapes: all corners
    # count, to a quarter of a side, which leaves room for poor ones of small markers
    side = np.linalg.norm(quads - np.roll(quads, 1, axis=1), axis=-1).mean()
    H, _ = cv2.findHomography(on_board, quads.reshape(-1, 2), cv2.RANSAC, STRAY_SIDES * side)
    if H is None:
        return 0.0
    projected = cv2.perspectiveTransform(on_board[None], H)[0].reshape(-1, 4, 2)
    off = np.linalg.norm(projected - quads, axis=-1).max(axis=1)
    return float((off > STRAY_SIDES * side).mean())


def find_markers(grey: Bytes, spec: BoardSpec) -> tuple[Ints, Floats, int]:
    """Return all markers of the board's dictionary: ids (M,), corners (M, 4, 2) px.

    Third is the border, in cells, that tags of an AprilGrid read with.
    """
    parameters = cv2.aruco.DetectorParameters()
    borders = (TAG_BORDER, 1) if spec.pattern is BoardPattern.APRILGRID else (1,)
    ids, quads, read_with = np.zeros(0, np.int32), np.zeros((0, 4, 2)), borders[0]
    for border in borders:
        parameters.markerBorderBits = border
        found = cv2.aruco.ArucoDetector(dictionary_of(spec), parameters).detectMarkers(grey)
        if found[1] is not None and len(found[1]) > len(ids):
            ids = np.asarray(found[1], np.int32).ravel()
            quads = np.asarray(found[0], np.float64).reshape(-1, 4, 2)
            read_with = border
        if len(ids) >= MIN_TAGS:
            break
    return ids, quads, read_with


def _charuco_corners(
    grey: Bytes, spec: BoardSpec, seen: Ints, quads: Floats
) -> tuple[Ints, Floats]:
    """Let OpenCV find the corners between the markers of one face."""
    if len(seen) == 0:
        return np.zeros(0, np.int32), np.zeros((0, 2))
    corners, ids, _, _ = cv2.aruco.CharucoDetector(charuco_board(spec)).detectBoard(
        grey,
        markerCorners=[quad[None].astype(np.float32) for quad in quads],
        markerIds=seen.reshape(-1, 1),
    )
    if corners is None or ids is None:
        return np.zeros(0, np.int32), np.zeros((0, 2))
    return np.asarray(ids, np.int32).ravel(), np.asarray(corners, np.float64).reshape(-1, 2)


def _tag_corners(_: Bytes, spec: BoardSpec, seen: Ints, quads: Floats) -> tuple[Ints, Floats]:
    """Bring the tags' corners into the order of the print.

    OpenCV reads a tag turned round against Kalibr's print, and some boards count their tags
    from the top: of all such orders the one whose homography fits is the print's.
    """
    places, once = np.unique(seen - spec.first_id, return_index=True)
    rows, columns = np.divmod(places, spec.squares_x)
    if len(places) < MIN_TAGS or len(np.unique(rows)) < 2 or len(np.unique(columns)) < 2:
        return np.zeros(0, np.int32), np.zeros((0, 2))
    from_top = (spec.squares_y - 1 - rows) * spec.squares_x + columns
    on_board = marker_points(spec)[..., :2]
    side = np.linalg.norm(quads - np.roll(quads, 1, axis=1), axis=-1).mean()
    best, least = (places, quads[once], np.zeros(len(places), bool)), np.inf
    for at in (places, from_top):
        for turn in (2, 0, 1, 3):
            turned = np.roll(quads[once], turn, axis=1)
            misfit = _misfit(on_board[at], turned)
            if np.median(misfit) < 0.8 * least:  # the usual order where several fit
                best, least = (at, turned, misfit < MAX_TAG_MISFIT * side), float(np.median(misfit))
    at, turned, fits = best
    if fits.sum() < MIN_TAGS:
        return np.zeros(0, np.int32), np.zeros((0, 2))
    ids = 4 * at[fits, None] + np.arange(4)
    return ids.ravel().astype(np.int32), turned[fits].reshape(-1, 2)


def _misfit(on_board: Floats, quads: Floats) -> Floats:
    """Return the largest distance of each tag's corners from where a homography puts them, px."""
    H, _ = cv2.findHomography(on_board.reshape(-1, 2), quads.reshape(-1, 2), cv2.LMEDS)
    if H is None:
        return np.full(len(quads), np.inf)
    put = cv2.perspectiveTransform(on_board.reshape(1, -1, 2), H)[0].reshape(quads.shape)
    return np.asarray(np.linalg.norm(put - quads, axis=-1).max(axis=1))


def _checkerboard(grey: Bytes, spec: BoardSpec) -> tuple[Ints, Floats]:
    """Find all inner corners of a checkerboard; it must be seen whole."""
    size = (spec.squares_x - 1, spec.squares_y - 1)
    megapixels = grey.size / 1e6
    for limit in CHESS_MEGAPIXELS:
        scale = min(1.0, float(np.sqrt(limit / megapixels)))
        shape = (round(grey.shape[1] * scale), round(grey.shape[0] * scale))
        small = cv2.resize(grey, shape, interpolation=cv2.INTER_AREA)
        found, corners = cv2.findChessboardCornersSB(
            small, size, flags=cv2.CALIB_CB_NORMALIZE_IMAGE
        )
        if found:
            xy = np.asarray(corners, np.float64).reshape(-1, 2)
            by = np.array([grey.shape[1] / shape[0], grey.shape[0] / shape[1]])
            return _upright(grey, spec, (xy + 0.5) * by - 0.5)
        if scale == 1:
            break
    return np.zeros(0, np.int32), np.zeros((0, 2))


def _upright(grey: Bytes, spec: BoardSpec, xy: Floats) -> tuple[Ints, Floats]:
    """Order the corners as printed: not mirrored, and from the dark corner square."""
    ids = np.arange(len(xy), dtype=np.int32)
    grid = xy.reshape(spec.squares_y - 1, spec.squares_x - 1, 2)
    across, down = grid[0, -1] - grid[0, 0], grid[-1, 0] - grid[0, 0]
    if across[0] * down[1] - across[1] * down[0] < 0:
        grid = grid[:, ::-1]
    if _starts_light(grey, spec, grid):
        grid = grid[::-1, ::-1]
    return ids, np.ascontiguousarray(grid.reshape(-1, 2))


def _starts_light(grey: Bytes, spec: BoardSpec, grid: Floats) -> bool:
    """Whether the squares that should be dark are lighter than the others."""
    middles = (grid[1:, 1:] + grid[1:, :-1] + grid[:-1, 1:] + grid[:-1, :-1]) / 4
    columns, rows = np.rint(middles).astype(int).reshape(-1, 2).T
    levels = grey[
        np.clip(rows, 0, grey.shape[0] - 1), np.clip(columns, 0, grey.shape[1] - 1)
    ].astype(float)
    # the square right below the first corner is diagonal to the dark one at the top left
    dark: Bools = np.indices(middles.shape[:2]).sum(axis=0).ravel() % 2 == 0
    return bool(levels[dark].mean() > levels[~dark].mean())
