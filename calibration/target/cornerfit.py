"""Refine a face's corners at full resolution, and find those that the search missed.

Each corner is refined in a window as large as may be without reaching anything but the corner
itself: half-window 0.6 d, where d is the projected distance to the nearest other feature of
the print (a marker's corner, the next corner of a checkerboard). On rendered boards of known
geometry this halves the error of frontal views against OpenCV's own window, and never loses.
Where not even a half-window of 4 px keeps clear, the corner stays as found: on small boards a
larger window is drawn to the markers, a smaller one is unstable.

Coordinates count OpenCV's way, the centre of the top-left pixel as (0, 0).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from ...capture.patterns import TAG_BORDER, dictionary_of, face_corners, falling_dark, marker_points
from ...capture.session import BoardPattern, BoardSpec
from ...core.arrays import Bools, Bytes, Floats, Ints

WINDOW_SHARE = 0.6  # of the distance to the nearest other feature
WINDOW_PX = (4, 30)  # half-window: no refinement below, larger ones blur in perspective
RANSAC_PX = 5.0  # and as much again per thousand px of the picture: lenses bend straight lines
OUTLIER_PX = 1.0  # from the smooth map of the others; bends and lenses are part of the map
FILLED_MOVE = 0.25  # of the half-window: a predicted corner that moves farther is none
MIN_LIKENESS = 0.8  # correlation with the ideal corner, of a corner that no marker vouches for
MIN_CONTRAST = 6.0  # grey levels, sd: flat surroundings are no corner
PROBE = 4  # samples each way from the corner's middle, in each quarter


@dataclass(frozen=True, kw_only=True)
class PlaneMap:
    """Where the face's plane falls in the picture: a homography, and its smooth rest."""

    H: Floats
    """(3, 3), px from mm."""
    rest: Floats
    """(n_terms, 2) px: what a lens and a bent plate add, a polynomial of the board's place."""
    middle: Floats
    reach: float
    """The polynomial's arguments are (place - middle) / reach."""

    def __call__(self, on_board: Floats) -> Floats:
        """Return the pixels (N, 2) of places (N, 2) mm."""
        put = _projected(self.H, on_board)
        if len(self.rest) == 0:
            return put
        return np.asarray(put + _terms(self._scaled(on_board), len(self.rest)) @ self.rest)

    def _scaled(self, on_board: Floats) -> Floats:
        return (on_board - self.middle) / self.reach


def refined(
    grey: Bytes,
    spec: BoardSpec,
    ids: Ints,
    start: Floats,
    *,
    max_move: float,
    tag_border: int = TAG_BORDER,
) -> tuple[Floats, Bools, Bools]:
    """Refine corners in windows of their own.

    Returns
    -------
    xy : (N, 2) px
    held : (N,)
        False for corners that moved by more than `max_move` px, drawn to something else, and
        for those whose window the picture's edge cuts.
    sharp : (N,)
        False for corners that have no room for a window and stay where they were.
    """
    H = homography(spec, ids, start, grey.shape)
    windows = (
        np.zeros(len(ids), np.int32)
        if H is None
        else half_windows(spec, ids, H, tag_border=tag_border)
    )
    xy = _subpixel(grey, start, windows)
    held = (np.linalg.norm(xy - start, axis=1) <= max_move) & (_room(grey, xy) >= windows)
    return xy, np.asarray(held), windows > 0


def completed(
    grey: Bytes,
    spec: BoardSpec,
    ids: Ints,
    xy: Floats,
    *,
    tag_border: int = TAG_BORDER,
) -> tuple[Ints, Floats, Ints]:
    """Drop corners off the smooth map of the others, and look where it puts the missing ones.

    Returns
    -------
    ids, xy
        As given, without outliers, with what was found.
    missing : (M,)
        Corners that should be in the picture, but are not seen there.
    """
    on_board = face_corners(spec)[:, :2]
    fitted = plane_map(spec, ids, xy, grey.shape)
    if fitted is None:
        return ids, xy, np.zeros(0, np.int32)
    good = _agrees(fitted(on_board[ids]) - xy)
    ids, xy = ids[good], xy[good]
    absent = np.setdiff1d(np.arange(len(on_board), dtype=np.int32), ids)
    windows = half_windows(spec, absent, fitted.H, tag_border=tag_border)
    put = fitted(on_board[absent])
    inside = (windows > 0) & (_room(grey, put) > windows + 1)
    absent, put, windows = absent[inside], put[inside], windows[inside]
    found = _subpixel(grey, put, windows)
    held = np.linalg.norm(found - put, axis=1) <= FILLED_MOVE * windows
    held &= likeness(grey, spec, absent, found, fitted, tag_border=tag_border) >= MIN_LIKENESS
    ids, xy = np.concatenate([ids, absent[held]]), np.concatenate([xy, found[held]])
    again = plane_map(spec, ids, xy, grey.shape)
    good = np.ones(len(ids), bool) if again is None else _agrees(again(on_board[ids]) - xy)
    return ids[good], xy[good], np.setdiff1d(absent, ids[good])


def homography(spec: BoardSpec, ids: Ints, xy: Floats, shape: tuple[int, ...]) -> Floats | None:
    """Return px from mm (3, 3) of the face's plane; None where the corners determine none."""
    corners = face_corners(spec)[ids, :2]
    if len(ids) < 4 or np.linalg.matrix_rank(corners - corners.mean(0), tol=1e-6) < 2:
        return None
    tolerance = RANSAC_PX if max(shape) < 4000 else RANSAC_PX * (1 + max(shape) / 4000)
    H, _ = cv2.findHomography(corners, xy.astype(np.float64), cv2.RANSAC, tolerance)
    return None if H is None else np.asarray(H, np.float64)


def plane_map(spec: BoardSpec, ids: Ints, xy: Floats, shape: tuple[int, ...]) -> PlaneMap | None:
    """Fit a `PlaneMap` to corners, outliers apart; None where they determine none."""
    H = homography(spec, ids, xy, shape)
    if H is None:
        return None
    on_board = face_corners(spec)[:, :2]
    middle = (on_board.min(axis=0) + on_board.max(axis=0)) / 2
    fitted = PlaneMap(
        H=H, rest=np.zeros((0, 2)), middle=middle, reach=float(np.abs(on_board - middle).max())
    )
    n_terms = 10 if len(ids) >= 40 else 6 if len(ids) >= 20 else 0
    if n_terms == 0:
        return fitted
    off = xy - fitted(on_board[ids])
    terms = _terms((on_board[ids] - middle) / fitted.reach, n_terms)
    good = np.linalg.norm(off, axis=1) <= max(10 * np.median(np.linalg.norm(off, axis=1)), 1.0)
    rest = np.zeros((n_terms, 2))
    for _ in range(3):
        rest = np.linalg.lstsq(terms[good], off[good], rcond=None)[0]
        good = _agrees(terms @ rest - off)
        if good.sum() < 2 * n_terms:
            return fitted
    return PlaneMap(H=H, rest=rest, middle=middle, reach=fitted.reach)


def jacobian(H: Floats, on_board: Floats) -> Floats:
    """Return d px / d mm, (N, 2, 2), of a homography at places (N, 2) mm."""
    homogeneous = np.column_stack([on_board, np.ones(len(on_board))]) @ H.T
    w = homogeneous[:, 2:, None]
    put = homogeneous[:, :2, None] / w
    return np.asarray((H[:2, :2] - put * H[2, :2]) / w)


def half_windows(
    spec: BoardSpec,
    ids: Ints,
    H: Floats,
    *,
    tag_border: int = TAG_BORDER,
    share: float = WINDOW_SHARE,
) -> Ints:
    """Return the (N,) half-windows, px, of corners; 0: not to be refined.

    `share` is that of the distance to the nearest other feature.
    """
    corners = face_corners(spec)[ids, :2]
    near = _features(spec, tag_border)[ids] + corners[:, None]
    apart = _projected(H, near) - _projected(H, corners)[:, None]
    distance = np.linalg.norm(apart, axis=-1).min(axis=1)
    half = np.floor(np.minimum(share * distance, WINDOW_PX[1]))
    return np.where(half < WINDOW_PX[0], 0, half).astype(np.int32)


def likeness(
    grey: Bytes, spec: BoardSpec, ids: Ints, xy: Floats, fitted: PlaneMap,
    *, tag_border: int = TAG_BORDER,
) -> Floats:  # fmt: skip
    """Correlate the surroundings of corners with the ideal corner of their place, (N,) in ±1."""
    if len(ids) == 0:
        return np.zeros(0)
    step = (np.arange(PROBE) + 0.7) / (PROBE + 0.4)
    line = _clear_mm(spec, tag_border) * np.concatenate([-step[::-1], step])
    dx, dy = (axis.ravel() for axis in np.meshgrid(line, line))
    J = jacobian(fitted.H, face_corners(spec)[ids, :2])
    at = xy[:, None] + np.einsum("nij,mj->nmi", J, np.stack([dx, dy], axis=1))
    at = at.astype(np.float32)
    levels = cv2.remap(
        grey, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.float64)
    ideal = np.where(falling_dark(spec)[ids, None], -1.0, 1.0) * np.sign(dx * dy)
    levels -= levels.mean(axis=1, keepdims=True)
    spread = levels.std(axis=1)
    match = (levels * ideal).mean(axis=1) / np.maximum(spread, 1e-9)
    return np.asarray(np.where(spread < MIN_CONTRAST, 0.0, match))


def _subpixel(grey: Bytes, start: Floats, windows: Ints) -> Floats:
    """Refine corners (N, 2), each in its half-window; 0: left as it is."""
    xy = np.array(start, np.float64)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-4)
    for half in np.unique(windows[windows > 0]):
        rows = np.flatnonzero(windows == half)
        points = np.ascontiguousarray(start[rows].reshape(-1, 1, 2), dtype=np.float32)
        size = (int(half), int(half))
        xy[rows] = cv2.cornerSubPix(grey, points, size, (-1, -1), criteria).reshape(-1, 2)
    return xy


def _projected(H: Floats, on_board: Floats) -> Floats:
    """Return the pixels (..., 2) of places (..., 2) mm."""
    homogeneous = on_board @ H[:, :2].T + H[:, 2]
    return np.asarray(homogeneous[..., :2] / homogeneous[..., 2:])


def _room(grey: Bytes, xy: Floats) -> Floats:
    """Return how far corners are from the picture's edge, (N,) px."""
    far = np.array(grey.shape[1::-1]) - 1.0 - xy
    return np.asarray(np.minimum(xy, far).min(axis=1))


def _agrees(off: Floats) -> Bools:
    """Whether residuals (N, 2) px are no outliers."""
    distance = np.linalg.norm(off, axis=1)
    return np.asarray(distance <= max(OUTLIER_PX, 8 * float(np.median(distance))))


def _terms(scaled: Floats, n: int) -> Floats:
    """Return the first n monomials, up to the third degree, of places (N, 2): (N, n)."""
    x, y = scaled.T
    monomials = [np.ones_like(x), x, y, x * x, x * y, y * y]
    monomials += [x**3, x * x * y, x * y * y, y**3]
    return np.stack(monomials[:n], axis=1)


def _features(spec: BoardSpec, tag_border: int) -> Floats:
    """Return what is nearest to each corner, (n_face_corners, n, 2) mm from it."""
    corners = face_corners(spec)[:, :2]
    if spec.pattern is BoardPattern.CHECKERBOARD:
        cross = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]]) * spec.square_mm
        return np.tile(cross, (len(corners), 1, 1))
    if spec.pattern is BoardPattern.APRILGRID:
        # the sides of the small square, and the inner edge of the tag's border
        gap, border = spec.square_mm - spec.marker_mm, _border_mm(spec, tag_border)
        cross = np.array([[gap, 0], [-gap, 0], [0, gap], [0, -gap]])
        into_tag = border * np.array([[1.0, 1], [-1, 1], [-1, -1], [1, -1]])
        each = np.stack([np.concatenate([cross, into_tag[k : k + 1]]) for k in range(4)])
        return np.tile(each, (len(corners) // 4, 1, 1))
    markers = marker_points(spec).reshape(-1, 4, 3)[..., :2].reshape(-1, 2)
    found = cKDTree(markers).query(corners, k=4)
    distance, nearest = np.asarray(found[0]), np.asarray(found[1])
    # of the four nearest only those of the corner's own markers count: the two nearest
    # distances of the board repeat twice, the others are a square away
    own = distance <= 1.01 * distance.min(axis=1, keepdims=True)
    nearest = np.where(own, nearest, nearest[:, :1])
    return np.asarray(markers[nearest] - corners[:, None])


def _border_mm(spec: BoardSpec, cells: int) -> float:
    """Return the width of a tag's black border of so many cells, mm."""
    return cells * spec.marker_mm / (dictionary_of(spec).markerSize + 2 * cells)


def _clear_mm(spec: BoardSpec, tag_border: int) -> float:
    """Return how far from a corner, along both axes, nothing but the corner is printed, mm."""
    if spec.pattern is BoardPattern.CHECKERBOARD:
        return spec.square_mm / 2
    if spec.pattern is BoardPattern.APRILGRID:
        return min(spec.square_mm - spec.marker_mm, _border_mm(spec, tag_border))
    return (spec.square_mm - spec.marker_mm) / 2
