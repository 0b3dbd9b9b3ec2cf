"""Predicted meshes and landmarks as their methods wrote them: order kept, mistakes told.

Readers of meshes weld, split, reorder or drop vertices; benchmarks that go by vertex numbers
need none of that. An OBJ is read here as it stands: vertex colours behind the coordinates are
left out, polygons are cut as fans in place, `v/vt/vn` and negative indices are understood.
"""

import logging
import re
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.arrays import AnyFloats, Floats, Ints
from ...core.errors import InputError
from ...core.geometry.mesh import Mesh
from ...core.geometry.meshio import load_mesh
from ...core.npzfile import read_npy

log = logging.getLogger(__name__)

MESH_SUFFIXES = (".obj", ".ply")
LANDMARK_SUFFIXES = (".npy", ".txt")

_BEHIND_SLASH = re.compile(rb"/\S*")


def find_beside(stem: Path, suffixes: Sequence[str] = MESH_SUFFIXES) -> Path:
    """Return the file of a name without suffix: the first of the suffixes that is there.

    Where none is, the first suffix, so that a message names a file.
    """
    candidates = [stem.with_name(stem.name + suffix) for suffix in suffixes]
    there = [path for path in candidates if path.is_file()]
    if len(there) > 1:
        log.warning("%s: %s is there, too; it is not read", there[0], there[1].name)
    return there[0] if there else candidates[0]


def read_mesh(path: Path, *, n_vertices: int | None = None) -> Mesh:
    """Read a mesh that can be measured, in the file's unit; float64, vertices in file order.

    Parameters
    ----------
    n_vertices : int, optional
        That it must have, for benchmarks that go by vertex numbers.

    Raises
    ------
    InputError
        The file is absent, damaged, has no vertices or triangles, has coordinates that are not
        finite, a face asks for a vertex that is not there, or the number of vertices is wrong.
    """
    mesh = read_obj_mesh(path) if path.suffix.lower() == ".obj" else load_mesh(path)
    check_mesh(mesh.vertices, mesh.faces, str(path), n_vertices=n_vertices)
    return mesh


def read_shared_mesh(path: Path) -> Mesh:
    """Read a mesh that many cases share, such as a scan: the last two read are kept.

    Raises
    ------
    InputError
        As `read_mesh`.
    """
    there = path.stat() if path.is_file() else None
    return _read_kept(path, None if there is None else (there.st_mtime_ns, there.st_size))


@lru_cache(maxsize=2)
def _read_kept(path: Path, _state: tuple[int, int] | None) -> Mesh:
    return read_mesh(path)


def check_mesh(
    vertices: AnyFloats, faces: Ints, where: str, *, n_vertices: int | None = None
) -> None:
    """Refuse a mesh that cannot be measured; see `read_mesh`.

    Parameters
    ----------
    where : str
        What the sentence begins with: a file, or "prediction".
    """
    vertices, faces = np.asarray(vertices), np.asarray(faces)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise InputError(
            f"{where}: vertices {vertices.shape} and faces {faces.shape}; (V, 3) and (F, 3) needed"
        )
    if len(vertices) == 0 or len(faces) == 0:
        raise InputError(
            f"{where}: {len(vertices)} vertices and {len(faces)} triangles; a surface is needed"
        )
    n_bad = int((~np.isfinite(vertices).all(axis=1)).sum())
    if n_bad:
        raise InputError(
            f"{where}: {n_bad} of {len(vertices)} vertices are NaN or infinite; leave them out"
        )
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise InputError(
            f"{where}: a triangle asks for vertex {int(faces.max())} (counted from 0), but there "
            f"are {len(vertices)}; the file is cut short or counts otherwise"
        )
    if n_vertices is not None and len(vertices) != n_vertices:
        raise InputError(
            f"{where}: {len(vertices)} vertices, but the template has {n_vertices}; another "
            "topology, or a reader merged or split vertices (trimesh: process=False)"
        )


def read_obj_mesh(path: Path) -> Mesh:
    """Read an OBJ as the module says.

    Raises
    ------
    InputError
        The file is absent, or a line of it cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror})") from error
    points = [line[2:] for line in lines if line[:2] in (b"v ", b"v\t")]
    polygons = [line[2:] for line in lines if line[:2] in (b"f ", b"f\t")]
    if any(b"/" in line for line in polygons):
        polygons = [_BEHIND_SLASH.sub(b"", line) for line in polygons]
    vertices = _vertices(points, path)
    indices, sizes = _indices(polygons, path)
    if indices.size and indices.min() < 0:
        indices = _absolute(indices, sizes, lines)
    if (indices == 0).any():
        raise InputError(f"{path}: a face asks for vertex 0, but an OBJ counts from 1")
    return Mesh(vertices=vertices, faces=_fans(indices - 1, sizes))


def read_points(path: Path, n_points: int) -> Floats:
    """Read landmarks: (n, 3) or (1, n, 3) of a `.npy`, or 3 n numbers of a text.

    Raises
    ------
    InputError
        The file is absent or damaged, or holds another number of points, or NaN.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; the benchmark needs {n_points} landmarks in it")
    try:
        if path.suffix.lower() == ".npy":
            values = np.asarray(read_npy(path), dtype=np.float64)
        else:
            words = path.read_text(encoding="utf-8").replace(",", " ").split()
            values = np.array([float(word) for word in words])
    except (ValueError, TypeError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: not readable as landmarks ({reason})") from error
    if values.size != 3 * n_points:
        raise InputError(
            f"{path}: {values.size} numbers of shape {values.shape}; {n_points} landmarks of 3 "
            "coordinates are needed"
        )
    if values.ndim >= 2 and values.shape[-1] != 3:
        raise InputError(f"{path}: shape {values.shape}; ({n_points}, 3) is needed")
    points = values.reshape(n_points, 3)
    if not np.isfinite(points).all():
        missing = [str(k + 1) for k in np.flatnonzero(~np.isfinite(points).all(axis=1))]
        raise InputError(f"{path}: landmark {', '.join(missing)} is NaN or infinite")
    return points


def _vertices(lines: list[bytes], path: Path) -> Floats:
    """Return (V, 3): the first three numbers of each line."""
    if not lines:
        return np.zeros((0, 3))
    values = _numbers(lines, np.float64)
    width = len(lines[0].split())
    # the same number of words in a line, nearly always: 3, or 6 with colours, or 4 with w
    if width >= 3 and len(values) == width * len(lines):
        return np.ascontiguousarray(values.reshape(-1, width)[:, :3])
    try:
        rows = [[float(word) for word in line.split()[:3]] for line in lines]
        return np.array(rows, dtype=np.float64).reshape(-1, 3)
    except ValueError as error:
        raise InputError(f"{path}: a vertex has no 3 numbers; the file is damaged") from error


def _indices(lines: list[bytes], path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all indices in a row, and how many each polygon has."""
    sizes = np.array([len(line.split()) for line in lines], dtype=np.int64)
    values = _numbers(lines, np.int64)
    if len(values) != sizes.sum():
        bad = next((line for line in lines if not _whole(line)), b"")
        raise InputError(f"{path}: cannot read the face {bad[:40].decode(errors='replace')!r}")
    if (sizes < 3).any():
        raise InputError(f"{path}: a face has {int(sizes.min())} corners; 3 or more are needed")
    return values, sizes


def _numbers(lines: list[bytes], kind: type) -> NDArray[Any]:
    """Return the numbers of the lines in a row; fewer than there are where one is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return np.fromstring(b" ".join(lines).decode("latin-1"), dtype=kind, sep=" ")
        except ValueError:
            return np.zeros(0, kind)


def _whole(line: bytes) -> bool:
    return all(word.lstrip(b"-").isdigit() for word in line.split())


def _absolute(
    indices: NDArray[np.int64], sizes: NDArray[np.int64], lines: list[bytes]
) -> NDArray[np.int64]:
    """Return indices counted from the first vertex; negative ones count back from the face."""
    heads = [line[:2].rstrip() for line in lines]
    seen = np.cumsum([head == b"v" for head in heads])
    so_far = seen[np.flatnonzero([head == b"f" for head in heads])]
    return np.where(indices < 0, indices + np.repeat(so_far, sizes) + 1, indices)


def _fans(indices: NDArray[np.int64], sizes: NDArray[np.int64]) -> Ints:
    """Return (F, 3): polygons cut 0-1-2, 0-2-3, ... in place."""
    if len(sizes) == 0:
        return np.zeros((0, 3), np.int32)
    first = np.cumsum(sizes) - sizes
    n_of = sizes - 2
    start = np.repeat(first, n_of)
    number = np.arange(n_of.sum()) - np.repeat(np.cumsum(n_of) - n_of, n_of)
    corners = np.stack([start, start + number + 1, start + number + 2], axis=1)
    return indices[corners].astype(np.int32)
