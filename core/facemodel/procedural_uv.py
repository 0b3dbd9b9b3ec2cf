"""UV charts of the built-in head: one for the face, as rigid as possible, others beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from ..arrays import Floats, Ints
from .procedural_grid import (
    EYE_COLS,
    EYE_RINGS,
    EYE_ROWS,
    MOUTH_RINGS,
    MOUTH_ROWS,
    N_COLS,
    HalfGrid,
    row_at,
)

FACE_LAST_ROW = row_at("crown") + 1  # the face chart ends just behind the hairline
_CHARTS = {  # name: (u of the middle, v of the middle, width and height it may fill)
    "face": (0.375, 0.69, 0.73, 0.60),
    "back": (0.375, 0.195, 0.73, 0.37),
    "ear": (0.87, 0.87, 0.22, 0.22),
    "lid": (0.82, 0.42, 0.09, 0.09),
    "mouth": (0.87, 0.29, 0.20, 0.10),
}


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A piece of the left half in the plane."""

    name: str
    triangles: Ints
    """(F, 3) vertices of the left half."""
    vertices: Ints
    """(n,) those used, sorted."""
    uv: Floats
    """(n, 2) in [0, 1]."""
    joined: bool
    """Whether left and right half share the chart along the midline."""


def half_charts(
    half: HalfGrid, points: Floats, triangles: Ints, part: Sequence[str]
) -> list[Chart]:
    """Flatten the left half.

    Parameters
    ----------
    half : HalfGrid
    points : (n, 3) float64, mm
    triangles : (F, 3) int32
    part : (F,) names of `PARTS`
    """
    names = np.asarray(part)
    row_of = np.zeros(half.n_vertices, np.int64)
    used = half.grid >= 0
    row_of[half.grid[used]] = np.nonzero(used)[0]
    on_grid = names == "head"
    front = np.isin(names, ("eye", "mouth")) | (
        on_grid & (row_of[triangles].max(axis=1) <= FACE_LAST_ROW)
    )
    back = (on_grid & ~front) | (names == "neck")
    is_mid = np.zeros(half.n_vertices, bool)
    is_mid[half.midline] = True
    face_mid, back_mid = is_mid.copy(), is_mid.copy()
    back_mid[half.neck[:, -1]] = False  # the back's chart is cut along the throat
    layout = _design(half, points)
    charts = []
    for name, chosen, middle, flat in (
        ("face", front, face_mid, layout),
        ("back", back, back_mid, _with_neck(half, layout)),
    ):
        tri = triangles[chosen]
        used_vertices = np.unique(tri)
        local = np.searchsorted(used_vertices, tri)
        opened, lens = _openings_closed(half, points) if name == "face" else (points, tri[:0])
        uv = as_rigid_as_possible(
            opened[used_vertices],
            np.concatenate([local, np.searchsorted(used_vertices, lens)]),
            flat[used_vertices],
            on_axis=middle[used_vertices],
        )
        uv = unfold(local, uv, on_axis=middle[used_vertices])
        charts.append(_chart(name, tri, used_vertices, uv, joined=True))
    for name, kind, rings, closed in (
        ("ear", "ear", half.ear, True),
        ("lid", "lid_inside", half.eye[EYE_RINGS:], True),
        ("mouth", "mouth_interior", half.mouth[MOUTH_RINGS:], False),
    ):
        tri = triangles[names == kind]
        used_vertices = np.unique(tri)
        uv = np.zeros((half.n_vertices, 2))
        uv[rings] = _polar(points, rings, closed=closed)
        charts.append(_chart(name, tri, used_vertices, uv[used_vertices], joined=not closed))
    return charts


def _chart(name: str, tri: Ints, vertices: Ints, uv: Floats, *, joined: bool) -> Chart:
    """Move and scale a chart into its place; joined ones are symmetric about their middle."""
    u, v, width, height = _CHARTS[name]
    low, high = uv.min(0), uv.max(0)
    if joined:
        low[0], high[0] = -high[0], high[0]
    scale = min(width / (high[0] - low[0]), height / (high[1] - low[1]))
    placed = (uv - (low + high) / 2) * scale + (u, v)
    return Chart(name=name, triangles=tri, vertices=vertices, uv=placed, joined=joined)


def mirrored_uv(chart: Chart) -> Floats:
    """Return the chart's UVs (n, 2) of the right half."""
    if chart.joined:
        return np.column_stack([2 * _CHARTS[chart.name][0] - chart.uv[:, 0], chart.uv[:, 1]])
    moved = {"ear": (0.0, -0.24), "lid": (0.10, 0.0)}[chart.name]
    flipped = np.column_stack([2 * _CHARTS[chart.name][0] - chart.uv[:, 0], chart.uv[:, 1]])
    return np.asarray(flipped + moved)


def eyeball_uv(directions: Floats, *, left: bool) -> Floats:
    """Return (n, 2) of eyeball points given as unit vectors: equidistant round +z."""
    angle = np.arccos(np.clip(directions[:, 2], -1, 1))
    flat = directions[:, :2] / np.maximum(np.hypot(*directions[:, :2].T), 1e-12)[:, None]
    radius = 0.052 * angle / np.pi
    return np.asarray(radius[:, None] * flat + (0.93 if left else 0.81, 0.16))


def _design(half: HalfGrid, points: Floats) -> Floats:
    """Return a first layout without folds: the grid as a rectangle, rings in their holes."""
    flat = np.zeros((half.n_vertices, 2))
    grid = half.grid
    filled = np.where(grid >= 0, grid, 0)
    row_step = np.linalg.norm(np.diff(points[filled[:, -8:]], axis=0), axis=2).mean(1)
    middle = np.linalg.norm(np.diff(points[filled[:, 0]], axis=0), axis=1)
    inside = (grid[:-1, 0] >= 0) & (grid[1:, 0] >= 0)
    row_step = np.where(inside, 0.5 * row_step + 0.5 * middle, 2.0)
    v = np.concatenate([[0], np.cumsum(np.maximum(row_step, 0.8))])
    u = np.concatenate([2.1 * np.arange(EYE_COLS[1] + 1), np.zeros(N_COLS - EYE_COLS[1])])
    u[EYE_COLS[1] + 1 :] = u[EYE_COLS[1]] + 5.0 * np.arange(1, N_COLS - EYE_COLS[1] + 1)
    used = grid >= 0
    flat[grid[used]] = np.stack(np.broadcast_arrays(u[None, :], v[:, None]), -1)[used]
    eye_mid = flat[half.eye[0]].mean(0)
    mouth_mid = np.array([0.0, (v[MOUTH_ROWS[0]] + v[MOUTH_ROWS[1]]) / 2])
    for rings, n, mid in ((half.eye, EYE_RINGS, eye_mid), (half.mouth, MOUTH_RINGS, mouth_mid)):
        t = np.linspace(0, 1, n + 1)[1:, None, None]
        flat[rings[1 : n + 1]] = (1 - 0.72 * t) * flat[rings[0]] + 0.72 * t * mid
    return flat


def _openings_closed(half: HalfGrid, points: Floats) -> tuple[Floats, Ints]:
    """Part the lips a little and close mouth and eye by triangles.

    Otherwise lips that touch would overlap, and the eye's corners fold.
    """
    line, lid = half.mouth[MOUTH_RINGS], half.eye[EYE_RINGS]
    corner = len(line) // 2
    apart = 1.2 * np.sqrt(np.abs(np.arange(len(line)) - corner) / corner)
    opened = points.copy()
    opened[line, 1] += np.where(np.arange(len(line)) < corner, -apart, apart)
    inner, m = (EYE_ROWS[1] - EYE_ROWS[0]) // 2, np.arange(len(lid) // 2 + 1)
    eye = _zip(lid[(inner + m) % len(lid)], lid[(inner - m) % len(lid)])
    return opened, np.concatenate([_zip(line[: corner + 1], line[: corner - 1 : -1]), eye])


def _zip(low: Ints, high: Ints) -> Ints:
    """Return triangles (F, 3) between two chains that may share their ends."""
    lens = np.concatenate([
        np.stack([low[:-1], low[1:], high[:-1]], 1), np.stack([low[1:], high[1:], high[:-1]], 1)
    ])  # fmt: skip
    a, b, c = lens.T
    return lens[(a != b) & (b != c) & (c != a)].astype(np.int32)


def _with_neck(half: HalfGrid, layout: Floats) -> Floats:
    """Unroll the neck beyond the last grid row: nape, then throat."""
    flat = layout.copy()
    top = layout[half.neck[0]].copy()
    n_nape = N_COLS + 1
    top[n_nape:, 0] = top[n_nape - 1, 0] + 4.0 * np.arange(1, len(top) - n_nape + 1)
    top[n_nape:, 1] = top[0, 1]
    rows = np.arange(len(half.neck))[:, None, None]
    flat[half.neck] = top + rows * np.array([0.0, 8.0])
    return flat


def _polar(points: Floats, rings: Ints, *, closed: bool) -> Floats:
    """Rings (R, P) as concentric circles whose distances are the mean lengths between them."""
    step = np.linalg.norm(np.diff(points[rings], axis=0), axis=2).mean(1)
    radius = np.concatenate([np.cumsum(step[::-1])[::-1], [0.0]]) + 0.25 * step.sum()
    n = rings.shape[1]
    turn = np.arange(n) / n * 2 * np.pi if closed else np.arange(n) / (n - 1) * np.pi
    start = 0.0 if closed else -np.pi / 2
    circle = np.stack([np.cos(start + turn), np.sin(start + turn)], axis=1)
    if not closed:
        circle[[0, -1], 0] = 0.0
    return np.asarray(radius[:, None, None] * circle)


def as_rigid_as_possible(
    points: Floats, triangles: Ints, start: Floats, *, on_axis: np.ndarray, n_rounds: int = 40
) -> Floats:
    """Flatten a disc with as little stretch as its curvature allows.

    Parameters
    ----------
    points : (n, 3) float64, mm
    triangles : (F, 3) int32
    start : (n, 2) float64
        A layout without folds.
    on_axis : (n,) bool
        Vertices that must stay at u = 0.

    Source
    ------
    Liu et al., A local/global approach to mesh parameterization, SGP 2008, section 4; weights
    clamped to be positive.
    """
    corners = points[triangles]
    e1, e2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    x1 = np.linalg.norm(e1, axis=1)
    x2 = (e1 * e2).sum(1) / x1
    y2 = np.linalg.norm(np.cross(e1, e2), axis=1) / x1
    zero = np.zeros_like(x1)
    local = np.stack([np.stack([zero, zero], 1), np.stack([x1, zero], 1), np.stack([x2, y2], 1)], 1)
    after, before = [1, 2, 0], [2, 0, 1]
    edge = local[:, after] - local  # (F, 3, 2): of side k, from corner k to k + 1
    to_a, to_b = local - local[:, before], local[:, after] - local[:, before]
    area2 = np.abs(x1 * y2)[:, None]
    cot = np.clip((to_a * to_b).sum(2) / area2, 0.05, 8.0)

    n = len(points)
    i, j = triangles.ravel(), triangles[:, after].ravel()
    w = cot.ravel()
    L = sparse.csc_array(
        sparse.coo_array(
            (np.r_[-w, -w, w, w], (np.r_[i, j, i, j], np.r_[j, i, i, j])), shape=(n, n)
        )
    )
    free_u = np.flatnonzero(~on_axis)
    free_v = np.arange(1, n)
    solve_u = splu(sparse.csc_array(L[free_u][:, free_u]))
    solve_v = splu(sparse.csc_array(L[free_v][:, free_v]))
    uv = start - start[:1] * [0, 1]
    uv[on_axis, 0] = 0.0
    for _ in range(n_rounds):
        stretched = uv[triangles[:, after]] - uv[triangles]
        S = np.einsum("fk,fki,fkj->fij", cot, stretched, edge)
        c, s = S[:, 0, 0] + S[:, 1, 1], S[:, 1, 0] - S[:, 0, 1]
        norm = np.maximum(np.hypot(c, s), 1e-12)
        c, s = (c / norm)[:, None], (s / norm)[:, None]
        turned = np.stack(
            [c * edge[..., 0] - s * edge[..., 1], s * edge[..., 0] + c * edge[..., 1]], -1
        )
        pull = (cot[..., None] * turned).reshape(-1, 2)
        rhs = np.stack(
            [np.bincount(j, pull[:, a], n) - np.bincount(i, pull[:, a], n) for a in (0, 1)], 1
        )
        uv[free_u, 0] = solve_u.solve(rhs[free_u, 0])
        uv[free_v, 1] = solve_v.solve(rhs[free_v, 1])
    return np.asarray(uv)


def unfold(
    triangles: Ints, uv: Floats, *, on_axis: np.ndarray, least: float = 0.02, n_rounds: int = 200
) -> Floats:
    """Relax a layout where it folds over, until no triangle is turned or a sliver.

    Only the corners of bad triangles move, towards the mean of their neighbours.

    Parameters
    ----------
    least : float
        Triangles flatter than this share of the mean of their neighbourhood are bad as well.
    """
    uv, n = uv.copy(), len(uv)
    i = triangles[:, [0, 1, 2, 1, 2, 0]].ravel()
    j = triangles[:, [1, 2, 0, 0, 1, 2]].ravel()
    links = sparse.csr_array(sparse.coo_array((np.ones(len(i)), (i, j)), shape=(n, n)))
    links.data[:] = 1.0
    degree: Floats = np.asarray(links.sum(axis=1))
    for _ in range(n_rounds):
        a, b, c = (uv[triangles[:, k]] for k in range(3))
        area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
        total = np.bincount(triangles.ravel(), np.repeat(np.abs(area), 3), n)
        count = np.bincount(triangles.ravel(), minlength=n)
        around = (total / np.maximum(count, 1))[triangles].mean(axis=1)
        bad = area < least * around
        if not bad.any():
            break
        move = np.unique(triangles[bad])
        mean = np.asarray(links @ uv) / degree[:, None]
        uv[move] = 0.5 * uv[move] + 0.5 * mean[move]
        uv[on_axis, 0] = 0.0
    return uv
