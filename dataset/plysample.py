"""Vertices of a large binary PLY as they lie in the file, without a reader of meshes.

Open3D's reader can crash on damaged files; nothing reads with it.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import Floats
from ..core.errors import InputError

_TYPES = {"float": "<f4", "float32": "<f4", "double": "<f8", "float64": "<f8", "uchar": "u1",
          "uint8": "u1", "int": "<i4", "int32": "<i4"}  # fmt: skip
_LONGEST_HEADER = 1 << 14


def vertex_rows(path: Path) -> NDArray[Any]:
    """Map the vertices of a file into memory: a record each, its fields as the header names them.

    Raises
    ------
    InputError
        No binary little-endian PLY whose vertices come first, with x, y and z; or it is cut short.
    """
    try:
        with path.open("rb") as file:
            head, found, _ = file.read(_LONGEST_HEADER).partition(b"end_header\n")
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror})") from error
    lines = [line.split() for line in head.decode("ascii", errors="replace").splitlines()]
    elements = [i for i, words in enumerate(lines) if words[:1] == ["element"]]
    if not found or ["format", "binary_little_endian", "1.0"] not in lines or not elements:
        raise InputError(f"{path}: not a PLY file as facekit writes them; build the take again")
    first = lines[elements[0]]
    end = elements[1] if len(elements) > 1 else len(lines)
    fields = [words for words in lines[elements[0] : end] if words[:1] == ["property"]]
    named = {words[2]: words[1] for words in fields if len(words) == 3}
    is_plain = len(named) == len(fields) and all(kind in _TYPES for kind in named.values())
    is_counted = len(first) == 3 and first[1] == "vertex" and first[2].isdecimal()
    if not is_plain or not is_counted or len(first[2]) > 12 or not {"x", "y", "z"} <= set(named):
        raise InputError(f"{path}: not a PLY file as facekit writes them; build the take again")
    layout = np.dtype([(name, _TYPES[kind]) for name, kind in named.items()])
    n, start = int(first[2]), len(head) + len(found)
    if n == 0:
        return np.zeros(0, layout)
    if path.stat().st_size < start + n * layout.itemsize:
        raise InputError(f"{path}: cut short; build the take again")
    return np.memmap(path, dtype=layout, mode="r", offset=start, shape=(n,))


def some_vertices(path: Path, n_wanted: int) -> Floats:
    """Return (N, 3) positions of about `n_wanted` vertices at even steps of their order.

    Raises
    ------
    InputError
        As `vertex_rows`; or there is no vertex.
    """
    data = vertex_rows(path)
    if len(data) == 0:
        raise InputError(f"{path}: has no vertices; build the take again")
    rows = np.unique(np.linspace(0, len(data) - 1, min(n_wanted, len(data))).astype(np.int64))
    chosen = np.array(data[rows])
    return np.stack([chosen[axis].astype(np.float64) for axis in "xyz"], axis=1)
