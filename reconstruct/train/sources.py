"""Where samples come from: folders of packed samples, datasets, photographs with landmarks."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...core.errors import InputError
from ...core.facemodel.landmark_table import load_landmark_table
from ...core.facemodel.model import FaceModel
from ..samples.packed import HEADER, PackedSource
from ..samples.photos import PhotoSource
from ..samples.sample import Sample, Source
from ..samples.shards import ShardSource

DATASET = "dataset.json"
TABLES = ("landmarks.csv", "landmarks.json")
"""Beside photographs: the table of their landmarks."""


def open_source(folder: Path, model: FaceModel) -> Source:
    """Open a folder of samples, a `facekit-hdf5` dataset, or photographs with a landmark table.

    Packed samples are quick; of the others each is cut anew whenever it is asked for.

    Raises
    ------
    InputError
        It is none of them, is damaged, or goes with another face model.
    """
    if (folder / HEADER).is_file():
        return PackedSource(folder, n_vertices=model.n_vertices)
    if (folder / DATASET).is_file():
        return ShardSource(folder, model, split="train")  # never those kept to test with
    for name in TABLES:
        if (folder / name).is_file():
            return PhotoSource([folder], load_landmark_table(folder / name), model)
    raise InputError(
        f"{folder}: neither samples of facekit train pack ({HEADER}), nor a dataset ({DATASET}), "
        f"nor photographs with a table of their landmarks ({', '.join(TABLES)})"
    )


class Joined:
    """Sources one behind the other."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sources)
        self._ends = np.cumsum([len(source) for source in sources])

    @property
    def people(self) -> list[str]:
        """Of whom each sample is."""
        return [person for source in self.sources for person in people_of(source)]

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        which = int(np.searchsorted(self._ends, index, side="right"))
        return self.sources[which][index - (int(self._ends[which - 1]) if which else 0)]


class Kept:
    """A slow source whose samples stay in memory once made: as many as `most`, the latest."""

    def __init__(self, source: Source, *, most: int) -> None:
        self.source, self.most = source, most
        self._samples: OrderedDict[int, Sample] = OrderedDict()

    @property
    def people(self) -> list[str]:
        """Of whom each sample is."""
        told = getattr(self.source, "people", None)
        return list(told) if told is not None else [self[i].person for i in range(len(self))]

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Sample:
        if index not in self._samples:
            self._samples[index] = self.source[index]
            if len(self._samples) > self.most:
                self._samples.popitem(last=False)
        self._samples.move_to_end(index)
        return self._samples[index]


def people_of(source: Source) -> list[str]:
    """Return of whom each sample is; of a source that does not tell, by looking at all."""
    told = getattr(source, "people", None)
    return list(told) if told is not None else [source[i].person for i in range(len(source))]
