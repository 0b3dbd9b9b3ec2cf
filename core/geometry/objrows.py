"""Surfaces as OBJ text with texture coordinates; six decimals, the order of everything kept."""

from collections.abc import Iterator
from typing import TextIO

import numpy as np

from ..arrays import AnyFloats, Ints
from .mesh import Mesh

_ROWS_AT_ONCE = 1 << 16
_UV_DECIMALS = 8  # a 4096-texel map: 1/24 000 of a texel


def write_points(file: TextIO, mesh: Mesh) -> None:
    """Write a mesh's vertices, and its texture coordinates where it has some."""
    _write_rows(file, "v %.6f %.6f %.6f", mesh.vertices)
    write_uv(file, mesh)


def write_uv(file: TextIO, mesh: Mesh) -> None:
    """Write a mesh's texture coordinates where it has some."""
    if mesh.uv is not None:
        _write_rows(file, f"vt %.{_UV_DECIMALS}f %.{_UV_DECIMALS}f", mesh.uv)


def write_faces(file: TextIO, mesh: Mesh, part: slice = slice(None)) -> None:
    """Write some of a mesh's triangles, with the texture coordinates of their corners."""
    corners = mesh.faces[part] + 1
    if mesh.uv is None:
        _write_rows(file, "f %d %d %d", corners)
        return
    corners_uv = (mesh.faces if mesh.faces_uv is None else mesh.faces_uv)[part] + 1
    both = np.stack([corners, corners_uv], axis=2).reshape(-1, 6)
    _write_rows(file, "f %d/%d %d/%d %d/%d", both)


def _write_rows(file: TextIO, line: str, rows: AnyFloats | Ints) -> None:
    for block in _blocks(len(rows)):
        values = rows[block].tolist()
        file.write("\n".join([line % tuple(row) for row in values]) + "\n")


def _blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, _ROWS_AT_ONCE):
        yield slice(start, min(start + _ROWS_AT_ONCE, n))
