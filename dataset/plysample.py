"""A few vertices of a large binary PLY, without reading the rest of it."""

from pathlib import Path

import numpy as np

from ..core.arrays import Floats
from ..core.errors import InputError

_TYPES = {"float": "<f4", "float32": "<f4", "double": "<f8", "float64": "<f8", "uchar": "u1",
          "uint8": "u1", "int": "<i4", "int32": "<i4"}  # fmt: skip
_LONGEST_HEADER = 1 << 14


def some_vertices(path: Path, n_wanted: int) -> Floats:
    """Return (N, 3) positions of about `n_wanted` vertices at even steps of their order.

    Raises
    ------
    InputError
        No binary little-endian PLY whose vertices come first, as facekit writes them.
    """
    with path.open("rb") as file:
        head, found, _ = file.read(_LONGEST_HEADER).partition(b"end_header\n")
    lines = [line.split() for line in head.decode("ascii", errors="replace").splitlines()]
    elements = [i for i, words in enumerate(lines) if words[:1] == ["element"]]
    if not found or ["format", "binary_little_endian", "1.0"] not in lines or not elements:
        raise InputError(f"{path}: not a PLY file as facekit writes them; build the take again")
    first = lines[elements[0]]
    end = elements[1] if len(elements) > 1 else len(lines)
    fields = [words for words in lines[elements[0] : end] if words[:1] == ["property"]]
    if first[1] != "vertex" or any(words[1] not in _TYPES for words in fields):
        raise InputError(f"{path}: not a PLY file as facekit writes them; build the take again")
    layout = np.dtype([(words[2], _TYPES[words[1]]) for words in fields])
    data = np.memmap(
        path, dtype=layout, mode="r", offset=len(head) + len(found), shape=(int(first[2]),)
    )
    rows = np.unique(np.linspace(0, len(data) - 1, min(n_wanted, len(data))).astype(np.int64))
    chosen = np.array(data[rows])
    return np.stack([chosen[axis].astype(np.float64) for axis in "xyz"], axis=1)
