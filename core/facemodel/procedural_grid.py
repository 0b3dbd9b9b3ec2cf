"""Topology of the built-in head: a grid from ear to ear with rings round eye, mouth and ear.

The left half is a grid whose columns run from the midline (0) to the ear and whose rows turn
about the ear axis: from under the jaw over the face and the crown to the nape. A rectangle is
cut out round the eye and, at the midline, round half the mouth; each is filled with rings of
quads that lead to the lid margin and to the line between the lips and on to the inside. The
neck hangs below the first and last row. The ear closes the last column with rings of its own.
The right half is the mirror image, welded on the midline.
"""

from dataclasses import dataclass

import numpy as np

from ..arrays import Ints

N_COLS = 36  # quads from the midline to the ear
ROW_COUNTS = {
    "throat": 5,  # under the jaw, to the menton
    "chin": 12,  # to below the lower lip
    "mouth": 18,
    "nose": 24,
    "eye": 18,
    "forehead": 14,
    "crown": 20,
    "nape": 9,
}
N_ROWS = sum(ROW_COUNTS.values())
MOUTH_COLS = 16
EYE_COLS = (6, 25)
EYE_RINGS = 9  # on the skin, before the lid margin
EYE_INNER_RINGS = 4
MOUTH_RINGS = 13  # on the skin, before the line between the lips
MOUTH_INNER_RINGS = 6
NECK_ROWS = 14
EAR_RINGS = 16


def row_at(section: str) -> int:
    """Return the first row of a section of `ROW_COUNTS`."""
    names = list(ROW_COUNTS)
    return sum(ROW_COUNTS[n] for n in names[: names.index(section)])


MOUTH_ROWS = (row_at("mouth"), row_at("mouth") + ROW_COUNTS["mouth"])
EYE_ROWS = (row_at("eye"), row_at("eye") + ROW_COUNTS["eye"])


@dataclass(frozen=True, kw_only=True)
class HalfGrid:
    """Index maps of the left half; -1 where a grid point is cut out."""

    n_vertices: int
    grid: Ints
    """(N_ROWS + 1, N_COLS + 1): vertices of the main grid."""
    eye: Ints
    """(rings + 1, P): closed rings; row 0 is the rectangle, counter-clockwise seen from the
    front, from the corner nearest the nose and the brow."""
    mouth: Ints
    """(rings + 1, P): open half rings from the midline below the mouth to the one above."""
    ear: Ints
    """(rings + 1, P): closed rings; row 0 is the last column of the grid, nape first."""
    neck: Ints
    """(NECK_ROWS + 1, P): row 0 is the nape (midline to ear), then the throat (back)."""
    quads: Ints
    """(Q, 4) counter-clockwise seen from outside; triangles repeat their last corner."""
    quad_part: Ints
    """(Q,): index into `PARTS`."""
    midline: Ints
    """Vertices on x = 0."""


PARTS = ("head", "eye", "mouth", "ear", "neck", "mouth_interior", "lid_inside")


def half_grid() -> HalfGrid:
    """Build the topology of the left half."""
    rows, cols = N_ROWS + 1, N_COLS + 1
    cut = np.zeros((rows, cols), bool)
    cut[MOUTH_ROWS[0] + 1 : MOUTH_ROWS[1], :MOUTH_COLS] = True
    cut[EYE_ROWS[0] + 1 : EYE_ROWS[1], EYE_COLS[0] + 1 : EYE_COLS[1]] = True
    grid = np.where(cut, -1, np.cumsum(~cut).reshape(rows, cols) - 1).astype(np.int32)
    n = int((~cut).sum())

    eye, n = _rings(_rectangle(grid), EYE_RINGS + EYE_INNER_RINGS, n)
    mouth, n = _rings(_half_rectangle(grid), MOUTH_RINGS + MOUTH_INNER_RINGS, n)
    ear, n = _rings(grid[::-1, -1], EAR_RINGS, n)
    chain = np.concatenate([grid[-1], grid[0, ::-1]])
    neck, n = _rings(chain, NECK_ROWS, n)

    pieces = [
        (_grid_quads(grid), "head"),
        (_ring_quads(eye[: EYE_RINGS + 1], closed=True), "eye"),
        (_ring_quads(eye[EYE_RINGS:], closed=True), "lid_inside"),
        (_ring_quads(mouth[: MOUTH_RINGS + 1], closed=False), "mouth"),
        (_ring_quads(mouth[MOUTH_RINGS:], closed=False), "mouth_interior"),
        (_zipper(mouth[-1]), "mouth_interior"),
        (_ring_quads(ear, closed=True), "ear"),
        (_zipper(ear[-1]), "ear"),
        (_ring_quads(neck, closed=False), "neck"),
    ]
    quads = np.concatenate([q for q, _ in pieces])
    part = np.concatenate([np.full(len(q), PARTS.index(p), np.int32) for q, p in pieces])
    midline = np.concatenate(
        [grid[:, 0][grid[:, 0] >= 0], mouth[1:, [0, -1]].ravel(), neck[1:, [0, -1]].ravel()]
    )
    return HalfGrid(
        n_vertices=n, grid=grid, eye=eye, mouth=mouth, ear=ear, neck=neck,
        quads=quads, quad_part=part, midline=midline.astype(np.int32),
    )  # fmt: skip


def _rectangle(grid: Ints) -> Ints:
    """Border of the eye's hole: from its inner top corner down, outwards, up and back."""
    (r0, r1), (c0, c1) = EYE_ROWS, EYE_COLS
    return np.concatenate(
        [grid[r1:r0:-1, c0], grid[r0, c0:c1], grid[r0:r1, c1], grid[r1, c1:c0:-1]]
    )


def _half_rectangle(grid: Ints) -> Ints:
    """Border of the mouth's hole from the midline below, outwards, up, back to the midline."""
    (r0, r1), c1 = MOUTH_ROWS, MOUTH_COLS
    return np.concatenate([grid[r0, :c1], grid[r0:r1, c1], grid[r1, c1::-1]])


def _rings(first: Ints, n_rings: int, n: int) -> tuple[Ints, int]:
    """Stack `n_rings` new rings under `first`; return them and the new vertex count."""
    new = n + np.arange(n_rings * len(first), dtype=np.int32).reshape(n_rings, len(first))
    return np.concatenate([first[None], new]).astype(np.int32), n + new.size


def _grid_quads(grid: Ints) -> Ints:
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]
    quads = np.stack([a, b, c, d], axis=-1).reshape(-1, 4)
    return np.asarray(quads[(quads >= 0).all(axis=1)])


def _ring_quads(rings: Ints, *, closed: bool) -> Ints:
    outer, inner = rings[:-1], rings[1:]
    if closed:
        outer = np.concatenate([outer, outer[:, :1]], axis=1)
        inner = np.concatenate([inner, inner[:, :1]], axis=1)
    quads = np.stack([outer[:, :-1], outer[:, 1:], inner[:, 1:], inner[:, :-1]], axis=-1)
    return quads.reshape(-1, 4).astype(np.int32)


def _zipper(ring: Ints) -> Ints:
    """Close a ring, or a half ring on the midline, by quads between its two sides."""
    n = len(ring)
    quads = []
    for k in range((n - 1) // 2):
        a, b, c, d = ring[k], ring[k + 1], ring[n - 2 - k], ring[n - 1 - k]
        quads.append((a, b, c, d) if b != c else (a, b, d, d))
    return np.array(quads, dtype=np.int32)
