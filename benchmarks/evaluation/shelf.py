"""Arrays that are put on a shelf: in one file that is mapped, so that they need no memory.

Distances of NoW's 2054 images are a gigabyte. Files of cases cannot be mapped one by one: each
map keeps a file open, and there are more cases than a process may have files.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from ...core.arrays import Bytes
from .protocol import CaseScore

_LEAST_BYTES = 4096  # of an array: smaller ones stay where they are
_ALIGNED = 64


@dataclass(frozen=True)
class _Place:
    """Where an array of a score lies in the file."""

    score: int
    name: str | None
    """Of `CaseScore.arrays`; None: the distances."""
    start: int
    dtype: np.dtype
    shape: tuple[int, ...]


class Shelf:
    """Takes scores, one at a time, and gives all of them back with arrays that are mapped.

    Parameters
    ----------
    folder : Path
        Where there is room. The file has no name there: nothing is left of it, however the
        process ends.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  lives as long as the shelf
        self._scores: list[CaseScore] = []
        self._places: list[_Place] = []

    def __enter__(self) -> Self:
        """Return the shelf; at the end the file is closed, what was given back stays."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def put(self, score: CaseScore) -> None:
        """Take a score; its large arrays go to the file."""
        number, arrays = len(self._scores), dict(score.arrays)
        for name in [name for name, array in arrays.items() if array.nbytes >= _LEAST_BYTES]:
            self._write(number, name, arrays.pop(name))
        distances = score.distances
        if distances is not None and distances.nbytes >= _LEAST_BYTES:
            self._write(number, None, distances)
            distances = None
        self._scores.append(replace(score, distances=distances, arrays=arrays))

    def scores(self) -> Sequence[CaseScore]:
        """Return all scores, in the order that they came."""
        if not self._places:
            return self._scores
        self._file.flush()
        content: Bytes = np.asarray(np.memmap(self._file, np.uint8, "r"))
        scores = list(self._scores)
        for place in self._places:
            n_bytes = int(np.prod(place.shape)) * place.dtype.itemsize
            array = content[place.start : place.start + n_bytes].view(place.dtype)
            array = array.reshape(place.shape)
            score = scores[place.score]
            if place.name is None:
                scores[place.score] = replace(score, distances=array)
            else:
                scores[place.score] = replace(score, arrays={**score.arrays, place.name: array})
        return scores

    def _write(self, score: int, name: str | None, array: np.ndarray) -> None:
        start = -(-self._file.tell() // _ALIGNED) * _ALIGNED
        self._file.write(bytes(start - self._file.tell()))
        self._file.write(np.ascontiguousarray(array).data)
        place = _Place(score=score, name=name, start=start, dtype=array.dtype, shape=array.shape)
        self._places.append(place)
