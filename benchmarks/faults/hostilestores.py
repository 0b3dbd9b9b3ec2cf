"""Hostile HDF5 files before the readers of shards, of topology files, and of a training."""

import tempfile
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...core.errors import FacekitError
from ...dataset.manifest import write_manifest
from ...dataset.samples import FaceDataset
from ...dataset.seal import seal
from ...dataset.shardcheck import verify_shard, verify_topology
from ...dataset.topologyfile import read_topology, write_topology
from ..dataset_bench_store import drawn_capture, drawn_topology, write_drawn
from . import hostilehdf5 as hostile
from .hostilerun import Case

_SHARD, _TOPOLOGY = "subjects/DRAWN00.h5", "topology/drawn.h5"
_OF_MASK = (hostile.raw_storage, hostile.raw_storage_of_the_machine, hostile.raw_storage_beside,
            hostile.virtual, hostile.virtual_beside, hostile.chunk_that_unfolds)  # fmt: skip


def store_cases() -> list[Case]:
    """Return a case for each kind of harm and each reader that it is meant for."""
    _made(_dataset)  # here, once: those who try the cases are forks
    cases = []
    for fill in hostile.ALL:
        cases.append(_case("shard", fill, _SHARD, _refused_by(
            _SHARD, (verify_shard, partial(verify_shard, read_data=True)))))  # fmt: skip
    for fill in hostile.OF_DATASETS:
        cases.append(_case("topology", fill, _TOPOLOGY, _refused_by(
            _TOPOLOGY, (verify_topology, read_topology))))  # fmt: skip
        key = "masks/cam00" if fill in _OF_MASK else "maps/sigma"
        cases.append(_case("training", fill, _SHARD, partial(_sample, key)))
    return cases


def _case(reader: str, fill: hostile.Fill, name: str, read: Callable[[Path], Any]) -> Case:
    return Case(
        name=f"{reader}: {fill.__name__}", make=partial(_make, fill, name), read=read,
        no_data=Path(name).name,
    )  # fmt: skip


def _make(fill: hostile.Fill, name: str, root: Path, outside: Path) -> None:
    sound_dataset(root)
    hostile.make_other(outside)
    with h5py.File(root / name, "r+") as file:
        fill(file, outside)
    seal(root / name)  # who made it can seal it, too


def sound_dataset(root: Path) -> None:
    """Write a small dataset of one subject, `DRAWN00`, with capture `E01`."""
    lay(_dataset, root)


def lay(make: Callable[[Path], object], root: Path) -> None:
    """Write what `make` writes, which is made once in a process."""
    for path, content in _made(make).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


@cache
def _made(make: Callable[[Path], object]) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root)
        return {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }


def _dataset(root: Path) -> None:
    write_topology(root / _TOPOLOGY, drawn_topology())
    record = drawn_capture(np.random.default_rng(0), fine=48, coarse=16, n_views=2)
    write_drawn(root / _SHARD, [record])
    write_manifest(root, name="drawn", licence="CC0-1.0")


def _refused_by(name: str, readers: Sequence[Callable[[Path], Any]]) -> Callable[[Path], None]:
    """Return a reader that refuses what each of several refuses."""

    def read(root: Path) -> None:
        refused: list[FacekitError] = []
        for reader in readers:
            try:
                reader(root / name)
            except FacekitError as error:
                refused.append(error)
        if len(refused) == len(readers):
            raise refused[-1]

    return read


def _sample(key: str, root: Path) -> None:
    data = FaceDataset(root, keys=(key,), verify="off")
    try:
        data[0]
    finally:
        data.close()
