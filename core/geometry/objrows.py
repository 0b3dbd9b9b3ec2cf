"""Surfaces as OBJ text with texture coordinates; six decimals, the order of everything kept."""

from collections.abc import Iterator
from typing import TextIO

import numpy as np

from ..arrays import AnyFloats
from .mesh import Mesh
from .objrow_kernels import WIDTH, write_decimals, write_whole

_ROWS_AT_ONCE = 1 << 16
_DECIMALS = 6
_UV_DECIMALS = 8  # a 4096-texel map: 1/24 000 of a texel


def write_points(file: TextIO, mesh: Mesh) -> None:
    """Write a mesh's vertices, and its texture coordinates where it has some."""
    _write_numbers(file, "v", mesh.vertices, decimals=_DECIMALS)
    write_uv(file, mesh)


def write_uv(file: TextIO, mesh: Mesh) -> None:
    """Write a mesh's texture coordinates where it has some."""
    if mesh.uv is not None:
        _write_numbers(file, "vt", mesh.uv, decimals=_UV_DECIMALS)


def write_faces(file: TextIO, mesh: Mesh, part: slice = slice(None)) -> None:
    """Write some of a mesh's triangles, with the texture coordinates of their corners."""
    corners = mesh.faces[part] + 1
    paired = mesh.uv is not None
    if paired:
        corners_uv = (mesh.faces if mesh.faces_uv is None else mesh.faces_uv)[part] + 1
        corners = np.stack([corners, corners_uv], axis=2).reshape(-1, 6)
    for block in _blocks(len(corners)):
        rows = np.ascontiguousarray(corners[block])
        room = _room(rows.shape)
        file.write(_text(room, write_whole(rows, paired, _bytes("f"), room)))


def _write_numbers(file: TextIO, word: str, values: AnyFloats, *, decimals: int) -> None:
    for block in _blocks(len(values)):
        rows = np.ascontiguousarray(values[block], np.float64)
        room = _room(rows.shape)
        used = write_decimals(rows, decimals, _bytes(word), room)
        file.write(_text(room, used) if used >= 0 else _by_python(word, rows, decimals))


def _by_python(word: str, rows: AnyFloats, decimals: int) -> str:
    """Return rows of any numbers: huge ones, and what is none."""
    line = word + f" %.{decimals}f" * rows.shape[1]
    return "\n".join([line % tuple(row) for row in rows.tolist()]) + "\n"


def _room(shape: tuple[int, ...]) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.empty(shape[0] * (shape[1] * WIDTH + 4), np.uint8)


def _text(room: np.ndarray[tuple[int], np.dtype[np.uint8]], used: int) -> str:
    return room[:used].tobytes().decode("ascii")


def _bytes(word: str) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.frombuffer(word.encode("ascii"), np.uint8)


def _blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, _ROWS_AT_ONCE):
        yield slice(start, min(start + _ROWS_AT_ONCE, n))
