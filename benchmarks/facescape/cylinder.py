"""A head seen from its own axis: a map of radii over 256 angles and 256 heights.

Of the official map, three things move results and are kept:

- Angles are 2 pi column / 255, so that columns 0 and 255 are the same ray.
- A cell keeps the last hit of its ray. Rays restart 1e-4 of the scene's scale behind a hit, in
  float32; some then hit the same triangle again and again, use up the 20 hits that are allowed
  and end on an inner surface.
- Neighbours are compared with wrap-around, while faces are not wrapped: the last column's faces
  reach into the next row, those of the last row beyond the map. The official code stops with an
  IndexError at the latter; here they are left out and counted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...core.arrays import AnyFloats, Bools, Floats, Ints
from .cylinder_kernels import follow, list_candidates, meet, set_up

SIZE = 256
"""Heights and angles of a map."""
HALF_HEIGHT_MM = 150.0
JUMP_MM = 15.0
"""Radii of neighbours that differ by this much are not joined."""

_RESTART = 1e-4  # behind a hit, in 100 / diagonal: trimesh's offset
_MOST_HITS = 20  # of a ray: trimesh's limit


@dataclass(frozen=True, kw_only=True)
class CylinderMap:
    """What the rays of a mesh met last."""

    radius: Floats
    """(256, 256) mm; row 0 at +150 mm; 0 where nothing is met."""
    face: Ints
    """(256, 256) face met, -1 where none is."""
    hits: Ints
    """(256, 256) number of hits on the way."""


@dataclass(frozen=True, kw_only=True)
class CylinderMesh:
    """The surface of a map, in the map's own frame."""

    points: Floats
    """(256, 256, 3) mm, of every cell."""
    joined: Bools
    """(256, 256) whether the cell's two triangles are there."""
    used: Bools
    """(256, 256) whether a triangle has the cell as a corner."""
    faces: Ints
    """(F, 3) cell numbers, row * 256 + column."""
    beyond: int
    """Triangles of the last row that would reach beyond the map."""
    turn: int
    """Columns of a full turn."""

    @property
    def vertices(self) -> Floats:
        """(V, 3) mm: points of used cells, row by row."""
        return self.points[self.used]

    @property
    def vertex_faces(self) -> Ints:
        """(F, 3) rows of `vertices`."""
        number = np.cumsum(self.used.reshape(-1), dtype=np.int32) - 1
        return np.asarray(number[self.faces], dtype=np.int32)


def official_map(vertices: Floats, faces: Ints) -> CylinderMap:
    """Cast the official rays; `vertices` (V, 3) mm in the head's frame (y up, z ahead)."""
    directions, heights = _rays(SIZE - 1)
    ends = np.empty(SIZE * SIZE, np.int64)
    lists = list_candidates(vertices, faces, SIZE, HALF_HEIGHT_MM, SIZE - 1, ends)
    low = vertices.min(axis=0)
    referenced = vertices[_referenced(faces, len(vertices))]
    scale = 100.0 / float(np.sqrt((np.ptp(referenced, axis=0) ** 2).sum()))
    triangles = np.empty((len(faces), 12), np.float32)
    set_up(((vertices - low) * scale).astype(np.float32), faces, triangles)
    face, radius, hits = _empty()
    follow(
        vertices, faces, triangles, lists, ends, heights, directions, low, scale,
        max(_RESTART * scale, 1e-8), _MOST_HITS, face, radius, hits,
    )  # fmt: skip
    shape = (SIZE, SIZE)
    return CylinderMap(
        radius=radius.reshape(shape), face=face.reshape(shape), hits=hits.reshape(shape)
    )


def exact_map(vertices: Floats, faces: Ints, *, outermost: bool) -> CylinderMap:
    """Cast rays at 256 distinct angles in float64; keep the outermost hit, or the first."""
    directions, heights = _rays(SIZE)
    ends = np.empty(SIZE * SIZE, np.int64)
    lists = list_candidates(vertices, faces, SIZE, HALF_HEIGHT_MM, SIZE, ends)
    face, radius, hits = _empty()
    meet(vertices, faces, lists, ends, heights, directions, outermost, face, radius)
    shape = (SIZE, SIZE)
    hits[face >= 0] = 1
    return CylinderMap(
        radius=radius.reshape(shape), face=face.reshape(shape), hits=hits.reshape(shape)
    )


def cylinder_mesh(radius: Floats, *, turn: int = SIZE - 1) -> CylinderMesh:
    """Join neighbouring cells of a map (256, 256) into triangles.

    Parameters
    ----------
    turn : int
        Columns of a full turn: 255 officially; 256 joins the last column to the first.
    """
    height, width = radius.shape
    angle = np.arange(width) * 2 * np.pi / turn
    points = np.empty((height, width, 3))
    points[..., 0] = radius * -np.sin(angle)
    points[..., 1] = -np.linspace(-HALF_HEIGHT_MM, HALF_HEIGHT_MM, height)[:, None]
    points[..., 2] = radius * -np.cos(angle)
    joined = radius != 0
    for down, across in ((1, 0), (0, 1), (1, 1)):
        joined &= np.abs(radius - np.roll(radius, (-down, -across), axis=(0, 1))) < JUMP_MM
    cell: NDArray[np.int64] = np.flatnonzero(joined)
    right: NDArray[np.int64] = cell + 1
    if turn == width:
        right = np.where(cell % width == width - 1, cell + 1 - width, right)
    first = np.stack([cell, right, cell + width], axis=1)
    second = np.stack([right + width, cell + width, right], axis=1)
    faces = np.stack([first, second], axis=1).reshape(-1, 3)
    inside = (faces < height * width).all(axis=1)
    faces = faces[inside].astype(np.int32)
    used = np.zeros(height * width, bool)
    used[faces] = True
    return CylinderMesh(
        points=points, joined=joined, used=used.reshape(height, width), faces=faces,
        beyond=int((~inside).sum()), turn=turn,
    )  # fmt: skip


def _rays(turn: int) -> tuple[Floats, Floats]:
    """Directions of the columns (256, 3) and heights of the rows (256,) mm."""
    angle = np.arange(SIZE) * 2 * np.pi / turn
    directions = np.stack([-np.sin(angle), np.zeros(SIZE), -np.cos(angle)], axis=1)
    length = np.sqrt((directions**2).sum(axis=1, keepdims=True))
    return directions * (1.0 / length), np.linspace(HALF_HEIGHT_MM, -HALF_HEIGHT_MM, SIZE)


def _empty() -> tuple[Ints, Floats, Ints]:
    n = SIZE * SIZE
    return np.full(n, -1, np.int32), np.zeros(n), np.zeros(n, np.int32)


def _referenced(faces: Ints, n_vertices: int) -> Bools:
    used = np.zeros(n_vertices, bool)
    used[faces] = True
    return used


def to_head(vertices: AnyFloats, R: Floats, center: Floats) -> Floats:
    """Move points (V, 3) mm into the head's frame: R^T (v - center), rounded as officially."""
    return np.ascontiguousarray(np.tensordot(R.T, (vertices - center).T, 1).T)
