"""Samples on disk as they are used: arrays that are mapped into memory, some people a part.

Rendering a photograph takes half a second, reading one from here a millisecond. A part is a
folder, complete or not there; what several views share (the truth of a take) is stored once.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...core.arrays import Bytes
from ...core.console import track
from ...core.errors import InputError
from ...core.files import atomic_folder, clear_unfinished, read_json, write_json
from ...core.folderlock import only_writer
from ...core.jobs import each_apart
from ...core.npzfile import read_npy
from ...dataset.erase.packs import PACK_FILE, PACK_FORMAT, PACK_VERSION
from .sample import Sample, Source, Truth

FORMAT, VERSION, HEADER = PACK_FORMAT, PACK_VERSION, PACK_FILE
_MASK_SHARE = 2  # masks are stored so many times smaller
_PER_TAKE: dict[str, type[np.generic]] = {
    "vertices": np.float32, "support": np.float16, "identity": np.float32,
    "expression": np.float32, "displacement": np.float16, "displacement_valid": np.bool_,
}  # fmt: skip
_LOADED = {"displacement_valid": np.bool_}
_AGAIN = "pack it again"
_PIXELS = ("image", "mask")
_Shape = tuple[str, tuple[int | None, ...]]
_PER_SAMPLE: dict[str, _Shape] = {
    "image": ("u", (None, None, 3)), "mask": ("u", (None, None)), "landmarks": ("f", (68, 2)),
    "K": ("f", (3, 3)), "cam_from_head": ("f", (3, 4)), "take": ("iu", ()),
}  # fmt: skip
_PER_TAKE_SHAPES: dict[str, _Shape] = {
    "has_truth": ("b", ()), "vertices": ("f", (None, 3)), "support": ("f", (None,)),
    "identity": ("f", (None,)), "expression": ("f", (None,)), "displacement": ("f", (None, None)),
    "displacement_valid": ("b", (None, None)),
}  # fmt: skip
"""Array -> kinds of dtype, and its shape behind the rows; None: of any length."""


def pack(source: Source, folder: Path, *, record: dict[str, Any], part: int, jobs: int) -> None:
    """Write all samples of a source; parts that are there are kept.

    Parameters
    ----------
    record : dict
        JSON-able: what determines the source.
    part : int
        Samples a part.
    jobs : int
        Processes.

    Raises
    ------
    InputError
        The folder holds samples of another source.
    """
    header = {"format": FORMAT, "version": VERSION, "source": record, "part": part}
    with only_writer(folder):
        clear_unfinished(folder)
        path = folder / HEADER
        if path.exists():
            if _header(folder) != json.loads(json.dumps(header)):
                raise InputError(
                    f"{folder}: holds samples of another source; choose another folder"
                )
        else:
            write_json(path, header)
        starts = [s for s in range(0, len(source), part) if not _part(folder, s).exists()]
        work = partial(_write_part, source, folder, part)
        for _, future in track(each_apart(work, starts, jobs=jobs), "packing", total=len(starts)):
            future.result()


def _write_part(source: Source, folder: Path, part: int, start: int) -> None:
    """Write the samples from `start` on."""
    samples = [source[i] for i in range(start, min(start + part, len(source)))]
    truths: list[Truth | None] = []
    rows = []
    for sample in samples:
        is_new = not truths or not _same_take(sample.truth, truths[-1])
        if is_new:
            truths.append(sample.truth)
        rows.append(len(truths) - 1)
    unit = np.eye(3), np.eye(3, 4)
    cameras = [unit if s.truth is None else (s.truth.K, s.truth.cam_from_head) for s in samples]
    arrays: dict[str, NDArray[Any]] = {
        "image": np.stack([s.image for s in samples]),
        "mask": np.stack([_smaller(s.mask) for s in samples]),
        "landmarks": np.stack([s.landmarks for s in samples]),
        "K": np.stack([K for K, _ in cameras]),
        "cam_from_head": np.stack([pose for _, pose in cameras]),
        "take": np.array(rows),
        "has_truth": np.array([truth is not None for truth in truths]),
    }
    known = [truth for truth in truths if truth is not None]
    for name, dtype in _PER_TAKE.items():
        like = [np.asarray(getattr(truth, name), dtype) for truth in known]
        if like:
            blank = np.zeros_like(like[0])
            filled = iter(like)
            arrays[name] = np.stack([blank if t is None else next(filled) for t in truths])
    with atomic_folder(_part(folder, start)) as working:
        for name, values in arrays.items():
            np.save(working / f"{name}.npy", values, allow_pickle=False)
        write_json(working / "people.json", [s.person for s in samples])


def _same_take(one: Truth | None, other: Truth | None) -> bool:
    return one is not None and other is not None and one.vertices is other.vertices


def _smaller(mask: Bytes) -> Bytes:
    side = len(mask) // _MASK_SHARE
    return np.asarray(cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


class PackedSource:
    """Samples of a folder that `pack` wrote; parts that are still missing are left out.

    Parameters
    ----------
    n_vertices : int
        Of the face model that is to be trained.

    Raises
    ------
    InputError
        The folder is none of `pack`, holds no part, or is of another face model.
    """

    def __init__(self, folder: Path, *, n_vertices: int) -> None:
        self.folder = folder
        _header(folder)
        self._parts = [_Part.of(path) for path in sorted(folder.glob("part-*"))]
        if not self._parts:
            raise InputError(f"{folder}: holds no samples yet")
        for part in self._parts:
            if part.n_vertices not in (0, n_vertices):
                raise InputError(
                    f"{folder}: its truth has {part.n_vertices} vertices, the face model "
                    f"{n_vertices}; pack the samples for this model"
                )
        self._ends = np.cumsum([len(part.people) for part in self._parts])
        self._open: dict[tuple[int, str], NDArray[Any]] = {}

    @property
    def people(self) -> list[str]:
        """Of whom each sample is."""
        return [person for part in self._parts for person in part.people]

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        which = int(np.searchsorted(self._ends, index, side="right"))
        row = index - (int(self._ends[which - 1]) if which else 0)
        image = np.array(self._array(which, "image")[row])
        mask = np.array(self._array(which, "mask")[row])
        take = int(self._array(which, "take")[row])
        truth = None
        if self._array(which, "has_truth")[take]:
            of_take: dict[str, Any] = {
                name: np.array(self._array(which, name)[take], _LOADED.get(name, np.float32))
                for name in _PER_TAKE
            }
            truth = Truth(
                K=np.array(self._array(which, "K")[row]),
                cam_from_head=np.array(self._array(which, "cam_from_head")[row]),
                **of_take,
            )
        return Sample(
            image=image,
            mask=np.asarray(cv2.resize(mask, image.shape[1::-1]), np.uint8),
            landmarks=np.array(self._array(which, "landmarks")[row]),
            person=self._parts[which].people[row],
            truth=truth,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    def _array(self, which: int, name: str) -> NDArray[Any]:
        if (which, name) not in self._open:
            self._open[which, name] = self._parts[which].array(name)
        return self._open[which, name]


@dataclass(frozen=True, kw_only=True)
class _Part:
    folder: Path
    people: Sequence[str]
    n_vertices: int
    """0: no truth."""

    @classmethod
    def of(cls, folder: Path) -> "_Part":
        people = read_json(folder / "people.json")
        if not isinstance(people, list) or not all(isinstance(one, str) for one in people):
            raise InputError(f"{folder / 'people.json'}: no list of names; {_AGAIN}")
        vertices = folder / "vertices.npy"
        if not vertices.exists():
            return cls(folder=folder, people=people, n_vertices=0)
        shape = read_npy(vertices, mapped=True, again=_AGAIN).shape
        if len(shape) != 3:
            raise InputError(f"{vertices}: shape {shape} is not that of vertices; {_AGAIN}")
        return cls(folder=folder, people=people, n_vertices=shape[1])

    def array(self, name: str) -> NDArray[Any]:
        """Return one of the arrays, mapped, its shape checked."""
        path = self.folder / f"{name}.npy"
        values = read_npy(path, mapped=True, again=_AGAIN)
        rows = len(self.people)
        if name not in _PER_SAMPLE:
            rows = len(read_npy(self.folder / "has_truth.npy", mapped=True, again=_AGAIN))
        kinds, tail = (_PER_SAMPLE | _PER_TAKE_SHAPES)[name]
        lengths = zip(values.shape[1:], tail, strict=False)
        fits = values.ndim == 1 + len(tail) and values.dtype.kind in kinds
        if name in _PIXELS:
            fits = fits and values.dtype == np.uint8 and values.size > 0
        if not fits or len(values) != rows or any(b not in (None, a) for a, b in lengths):
            raise InputError(f"{path}: {values.dtype} of shape {values.shape}; {_AGAIN}")
        if name == "take" and len(values) and not 0 <= values.min() <= values.max() < self._takes:
            raise InputError(f"{path}: names takes that are not there; {_AGAIN}")
        return values

    @property
    def _takes(self) -> int:
        return len(read_npy(self.folder / "has_truth.npy", mapped=True, again=_AGAIN))


def _part(folder: Path, start: int) -> Path:
    return folder / f"part-{start:07d}"


def _header(folder: Path) -> Any:
    """Return what a folder of samples says of itself."""
    return read_json(folder / HEADER, format_name=FORMAT, version=VERSION)
