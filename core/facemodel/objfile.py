"""OBJ files of face models: vertices in the file's order, polygons and UVs as they stand.

Mesh readers weld, split or reorder vertices and cut polygons; a face model needs none of that.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arrays import Floats, Ints
from ..errors import ModelFileError

_MOST_BYTES = 200 << 20


@dataclass(frozen=True, kw_only=True)
class ObjFile:
    """What an OBJ file says."""

    vertices: Floats
    """(V, 3), the file's unit."""
    uv: Floats
    """(T, 2); empty without texture coordinates."""
    corners: Ints
    """(P, 4) int32 vertices of the polygons; the fourth -1 for triangles."""
    corners_uv: Ints
    """(P, 4) int32 rows of `uv` likewise; -1 throughout without texture coordinates."""

    def triangles(self) -> tuple[Ints, Ints]:
        """Return faces (F, 3) and rows of `uv` (F, 3): quads cut 0-1-2, 0-2-3, in place."""
        n_of = np.where(self.corners[:, 3] >= 0, 2, 1)
        second = np.arange(n_of.sum()) - np.repeat(np.cumsum(n_of) - n_of, n_of) == 1
        cut = []
        for corners in (self.corners, self.corners_uv):
            each = np.repeat(corners, n_of, axis=0)
            cut.append(np.where(second[:, None], each[:, [0, 2, 3]], each[:, [0, 1, 2]]))
        return cut[0].astype(np.int32), cut[1].astype(np.int32)


def read_obj(path: Path) -> ObjFile:
    """Read vertices, texture coordinates and polygons of three or four corners.

    Raises
    ------
    ModelFileError
        The file is absent or truncated, a line cannot be read, or an index is out of range.
    """
    lines = _lines(path)
    vertices, uv = _numbers(lines, b"v", 3, path), _numbers(lines, b"vt", 2, path)
    corners, corners_uv = [], []
    for line in lines:
        if line[:2] == b"f ":
            try:
                words = [word.split(b"/") for word in line.split()[1:]]
                corners.append([int(word[0]) - 1 for word in words])
                corners_uv.append([int(w[1]) - 1 if len(w) > 1 and w[1] else -1 for w in words])
            except (ValueError, IndexError) as error:
                raise ModelFileError(f"{path}: faces: cannot read {line[:40]!r}") from error
            if not 3 <= len(words) <= 4:
                raise ModelFileError(f"{path}: faces: {len(words)} corners; 3 or 4 are read")
            if len(words) == 3:
                corners[-1].append(-1)
                corners_uv[-1].append(-1)
            elif corners[-1][3] < 0 or corners_uv[-1][3] < -1:
                raise ModelFileError(f"{path}: faces: a corner is counted from below 1")
    try:
        polygons = np.array(corners, np.int64).reshape(-1, 4)
        polygons_uv = np.array(corners_uv, np.int64).reshape(-1, 4)
    except OverflowError as error:
        raise ModelFileError(f"{path}: faces: a number is too large") from error
    for name, values, limit in (("faces", polygons, len(vertices)), ("vt", polygons_uv, len(uv))):
        low = 0 if name == "faces" else -1
        if values.size and (values[:, :3].min() < low or values.max() >= limit):
            raise ModelFileError(
                f"{path}: faces: {name} 1 to {limit} are there, but a face asks for "
                f"{values.max() + 1}; the file is cut short"
            )
    return ObjFile(
        vertices=vertices,
        uv=uv,
        corners=polygons.astype(np.int32),
        corners_uv=polygons_uv.astype(np.int32),
    )


def read_obj_vertices(path: Path, *, n_vertices: int) -> Floats:
    """Read the vertices alone (n_vertices, 3).

    Raises
    ------
    ModelFileError
        The file is absent, damaged or has another number of vertices.
    """
    vertices = _numbers(_lines(path), b"v", 3, path)
    if len(vertices) != n_vertices:
        raise ModelFileError(f"{path}: {len(vertices)} vertices, but the model has {n_vertices}")
    return vertices


def _lines(path: Path) -> list[bytes]:
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file")
    if path.stat().st_size > _MOST_BYTES:
        raise ModelFileError(f"{path}: larger than any face model's")
    return path.read_bytes().splitlines()


def _numbers(lines: list[bytes], word: bytes, n: int, path: Path) -> Floats:
    """Return (N, n): the first `n` numbers of the lines that begin with `word`."""
    chosen = [line.split()[1 : n + 1] for line in lines if line.startswith(word + b" ")]
    try:
        values = np.array(chosen, dtype=np.float64).reshape(-1, n)
    except ValueError as error:
        raise ModelFileError(
            f"{path}: {word.decode()}: a line has no {n} numbers; the file is damaged"
        ) from error
    if len(values) != len(chosen) or not np.isfinite(values).all():
        raise ModelFileError(f"{path}: {word.decode()}: NaN, infinite or too few numbers")
    return values
