"""Places the vertices of the built-in head's left half on its solid."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from ..arrays import Bools, Floats, Ints
from .implicit import cast_inward, gradient, project, smooth_curve
from .procedural_fields import bell
from .procedural_grid import (
    EYE_COLS,
    EYE_RINGS,
    EYE_ROWS,
    MOUTH_COLS,
    MOUTH_RINGS,
    MOUTH_ROWS,
    N_COLS,
    N_ROWS,
    NECK_ROWS,
    ROW_COUNTS,
    HalfGrid,
)
from .procedural_shape import EYE_CENTER, EYE_RADIUS, head_distance

_CAST_FROM = np.array([0.0, 15.0, -4.0])  # on the ear axis
# where each section of rows begins on the midline, (y, z), and where the last one ends
_MIDLINE = np.array([
    (-84, 44), (-78, 72), (-53, 86), (-14, 93), (21, 92), (50, 86), (106, 70), (62, -92),
    (-30, -76),
])  # fmt: skip
_EAR_ROWS = [0, 17, 35, 59, 77, 91, N_ROWS]
_EAR_ANGLES_DEG = [-86.0, -42.0, -8.0, 32.0, 66.0, 96.0, 267.0]
_NECK_BASE_Y = -150.0
_NOSTRIL = (6.5, -9.0, 91.0)  # the grid is drawn together there

UPPER_LID = [(44.9, 35.0), (42.6, 37.4), (37.5, 40.0), (30.5, 41.0), (24.0, 39.2), (19.3, 35.6),
             (16.6, 32.8)]  # fmt: skip
LOWER_LID = [(16.6, 32.8), (19.5, 32.0), (24.0, 30.6), (30.5, 29.6), (37.0, 30.2), (42.0, 32.6),
             (44.9, 35.0)]  # fmt: skip
UPPER_VERMILION = [(26.6, -34.2), (19.0, -29.6), (12.0, -26.0), (5.8, -23.8), (0.0, -25.2)]
LOWER_VERMILION = [(0.0, -43.6), (7.0, -43.2), (14.0, -41.2), (20.5, -37.6), (26.6, -34.2)]
LIP_LINE = [(0.0, -34.0), (4.5, -33.4), (11.0, -33.2), (18.0, -33.6), (23.8, -34.4)]
VERMILION_RING = 6


def place(half: HalfGrid) -> Floats:
    """Return (n_vertices, 3) positions of the left half, mm; the ear's rings are left at 0."""
    points = np.zeros((half.n_vertices, 3))
    pinned = np.zeros(half.n_vertices, bool)
    on_skin = np.zeros(half.n_vertices, bool)
    _place_grid(half, points)
    on_skin[half.grid[half.grid >= 0]] = True
    n_eye, n_mouth = half.eye.shape[1], half.mouth.shape[1]
    canthus = (EYE_ROWS[1] - EYE_ROWS[0]) // 2
    points[half.eye[EYE_RINGS]] = _on_front(_eye_contour(n_eye))
    points[half.mouth[VERMILION_RING]] = _on_front(_vermilion())
    points[half.mouth[MOUTH_RINGS]] = _on_front(_lip_line())
    for rings, corners, first_fixed in (
        (half.eye[: EYE_RINGS + 1], (canthus, canthus + n_eye // 2), EYE_RINGS - 3),
        (half.mouth[: VERMILION_RING + 1], (n_mouth // 2,), VERMILION_RING),
        (half.mouth[VERMILION_RING : MOUTH_RINGS + 1], (n_mouth // 2,), 0),
    ):
        _between(points, rings)
        on_skin[rings] = True
        pinned[rings[-1]] = True
        for corner in corners:  # the pointed ends would fold over when relaxed
            pinned[rings[first_fixed:, corner - 3 : corner + 4]] = True
    _place_neck(half, points)
    on_skin[half.neck] = True
    pinned[half.neck[-1]] = True
    loose = on_skin & ~pinned
    points[loose] = project(head_distance, points[loose], n_steps=1)
    relax(half, points, on_skin=on_skin, pinned=pinned)
    _place_lid_inside(half, points)
    _place_mouth_inside(half, points)
    points[half.midline, 0] = 0.0
    return points


def _place_grid(half: HalfGrid, points: Floats) -> None:
    """Cast the grid's rows and columns from the ear axis."""
    starts = np.cumsum([0, *ROW_COUNTS.values()])
    angle = np.arctan2(_MIDLINE[:, 0] - _CAST_FROM[1], _MIDLINE[:, 1] - _CAST_FROM[2])
    angle = np.where(angle < -np.pi / 2, angle + 2 * np.pi, angle)
    row = np.arange(N_ROWS + 1)
    middle = np.interp(row, starts, angle)
    ear = np.radians(np.interp(row, _EAR_ROWS, _EAR_ANGLES_DEG))
    x = np.concatenate([2.1 * np.arange(EYE_COLS[1] + 1)])
    tilt = np.arcsin(x / 76.0)
    rest = np.linspace(tilt[-1], np.arcsin(71.5 / 76.0), N_COLS - EYE_COLS[1] + 1)[1:]
    tilt = np.concatenate([tilt, rest])
    t = tilt / tilt[-1]
    blend = t**2.5
    phi = middle[:, None] * (1 - blend) + ear[:, None] * blend
    radius = 95.0 * np.cos(tilt)
    directions = np.stack(
        [np.broadcast_to(76.0 * np.sin(tilt), phi.shape), radius * np.sin(phi),
         radius * np.cos(phi)], axis=-1,
    )  # fmt: skip
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    used = half.grid >= 0
    points[half.grid[used]] = cast_inward(
        head_distance, _CAST_FROM[None], directions[used], start=150.0
    )


def _on_front(xy: Floats) -> Floats:
    """Lift (N, 2) front-view points onto the skin along z."""
    origins = np.column_stack([xy, np.zeros(len(xy))])
    return cast_inward(head_distance, origins, np.array([[0.0, 0.0, 1.0]]), start=125.0)


def _eye_contour(n: int) -> Floats:
    n_side = EYE_ROWS[1] - EYE_ROWS[0]
    n_half = n // 2
    lower, upper = _spaced(LOWER_LID, n_half), _spaced(UPPER_LID, n_half)
    return np.roll(np.concatenate([lower[:-1], upper[:-1]]), n_side // 2, axis=0)


def _lip_line() -> Floats:
    n_half = MOUTH_COLS + (MOUTH_ROWS[1] - MOUTH_ROWS[0]) // 2
    line = _spaced(LIP_LINE, n_half)
    return np.concatenate([line, line[-2::-1]])


def _vermilion() -> Floats:
    n_half = MOUTH_COLS + (MOUTH_ROWS[1] - MOUTH_ROWS[0]) // 2
    return np.concatenate([_spaced(LOWER_VERMILION, n_half), _spaced(UPPER_VERMILION, n_half)[1:]])


def _spaced(knots: ArrayLike, n: int) -> Floats:
    """Return (n + 1, D) points evenly spaced along the smooth curve through `knots`."""
    fine = smooth_curve(knots, n=400)
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))]
    at = np.linspace(0, length[-1], n + 1)
    return np.stack([np.interp(at, length, c) for c in fine.T], axis=1)


def _between(points: Floats, rings: Ints) -> None:
    """Fill the rings between the first and the last linearly, lifted onto the skin."""
    t = np.linspace(0, 1, len(rings))[1:-1, None, None]
    xy = ((1 - t) * points[rings[0]] + t * points[rings[-1]])[..., :2]
    points[rings[1:-1]] = _on_front(xy.reshape(-1, 2)).reshape(*xy.shape[:2], 3)


def _place_neck(half: HalfGrid, points: Floats) -> None:
    top = points[half.neck[0]]
    axis_z = -38.0
    angle = np.arctan2(top[:, 0], -(top[:, 2] - axis_z))  # 0 at the nape, pi at the throat
    even = np.linspace(0, np.pi, len(angle))
    angle = 0.5 * angle + 0.5 * even
    base = np.stack(
        [62 * np.sin(angle), np.full_like(angle, _NECK_BASE_Y), axis_z - 60 * np.cos(angle)], 1
    )
    t = np.linspace(0, 1, NECK_ROWS + 1)[1:, None, None]
    points[half.neck[1:]] = (1 - t) * top + t * base


def relax(
    half: HalfGrid, points: Floats, *, on_skin: Bools, pinned: Bools, n_rounds: int = 14
) -> None:
    """Even out the spacing along the skin, in place; each edge keeps its share of length."""
    move = on_skin & ~pinned
    weights = _spring_weights(half, points)
    is_mid = np.zeros(len(points), bool)
    is_mid[half.midline] = True
    for _ in range(n_rounds):
        step = weights @ points - points
        step[is_mid, 0] = 0.0
        step[~move] = 0.0
        g = gradient(head_distance, points[move])
        g /= np.maximum(np.linalg.norm(g, axis=1, keepdims=True), 1e-6)
        step[move] -= (step[move] * g).sum(1, keepdims=True) * g
        points[move] += 0.6 * step[move]
        points[move] -= 0.9 * head_distance(points[move])[:, None] * g
        points[is_mid, 0] = 0.0
    points[move] = project(head_distance, points[move])
    points[is_mid, 0] = 0.0


def _spring_weights(half: HalfGrid, points: Floats) -> sparse.csr_array:
    """Row-stochastic (V, V): neighbours pull with the inverse of their design distance."""
    pairs = []
    grid = half.grid
    for a, b in ((grid[:-1], grid[1:]), (grid[:, :-1], grid[:, 1:])):
        used = (a >= 0) & (b >= 0)
        pairs.append(np.stack([a[used], b[used]], 1))
    for rings, n, closed in (
        (half.eye, EYE_RINGS, True), (half.mouth, MOUTH_RINGS, False), (half.neck, NECK_ROWS, False)
    ):  # fmt: skip
        ring = rings[: n + 1]
        pairs.append(np.stack([ring[:-1].ravel(), ring[1:].ravel()], 1))
        along = ring[1:]
        after = np.roll(along, -1, axis=1)
        if not closed:
            along, after = along[:, :-1], after[:, :-1]
        pairs.append(np.stack([along.ravel(), after.ravel()], 1))
    pairs.append(np.array([[grid[0, -1], grid[-1, -1]]] * 6))  # the gap below the ear
    edges = np.concatenate(pairs)
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    middle = points[edges].mean(axis=1)
    pulls = (1 + 2.5 * bell(middle, _NOSTRIL, 7.0)) / np.clip(length, 0.5, 12.0)
    n = len(points)
    W = sparse.coo_array(
        (np.r_[pulls, pulls], (np.r_[edges[:, 0], edges[:, 1]], np.r_[edges[:, 1], edges[:, 0]])),
        shape=(n, n),
    ).tocsr()
    total = np.maximum(W.sum(axis=1), 1e-12)
    return sparse.csr_array(sparse.diags_array(1 / total) @ W)


def _place_lid_inside(half: HalfGrid, points: Floats) -> None:
    """Turn the lid margin in to the eyeball and back behind the lid."""
    margin = points[half.eye[EYE_RINGS]]
    center = margin.mean(0)
    outward = margin - center
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    ray = margin - EYE_CENTER
    distance = np.linalg.norm(ray, axis=1, keepdims=True)
    ray /= distance
    ball = EYE_CENTER + (EYE_RADIUS + 0.05) * ray
    inner = half.eye[EYE_RINGS + 1 :]
    points[inner[0]] = margin + 0.4 * (ball - margin) - 0.25 * outward
    points[inner[1]] = ball - 0.1 * outward
    for ring, back, depth in ((inner[2], 1.5, 0.7), (inner[3], 3.5, 1.5)):
        behind = ball + back * outward - EYE_CENTER
        behind /= np.linalg.norm(behind, axis=1, keepdims=True)
        points[ring] = EYE_CENTER + (EYE_RADIUS - depth) * behind


def _place_mouth_inside(half: HalfGrid, points: Floats) -> None:
    """Line the mouth: from the line between the lips back and apart, closed behind."""
    line = points[half.mouth[MOUTH_RINGS]]
    n = len(line)
    side = np.where(np.arange(n) < n // 2, -1.0, 1.0) * np.sqrt(
        np.clip(np.abs(np.arange(n) - n // 2) / 6.0, 0, 1)
    )
    inner = half.mouth[MOUTH_RINGS + 1 :]
    for ring, back, open_mm, narrow in zip(
        inner, (1.2, 3.5, 8.0, 15, 24, 32), (0.5, 2.0, 6.0, 9, 10, 9),
        (1.0, 1.0, 1.0, 1.0, 0.92, 0.8), strict=True,
    ):  # fmt: skip
        points[ring] = line + np.stack([0 * side, open_mm * side, np.full(n, -back)], 1)
        points[ring, 0] = narrow * line[:, 0]
