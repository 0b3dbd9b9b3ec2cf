"""Make packed samples of virtual people, of a dataset, or of photographs with landmarks."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.config import to_mapping
from ...core.errors import ConfigError, InputError
from ...core.facemodel.landmark_table import load_landmark_table
from ...core.facemodel.load import load_face_model
from ...core.facemodel.model import FaceModel
from ...core.files import hash_of, sha256_file
from ...dataset.manifest import MANIFEST, SUMS
from ..photograph import photographs_in
from .packed import PackedSource, pack
from .photos import PhotoSource
from .sample import Source
from .shards import ShardSource
from .virtual import VirtualConfig, VirtualSource

TABLES = ("landmarks.csv", "landmarks.json")
"""Looked for beside photographs where no table is named."""


@dataclass(frozen=True, kw_only=True)
class PackConfig:
    """What is packed, and how."""

    model: str = "builtin"  # face model that is trained: its topology and chart are the truth's
    virtual: VirtualConfig = field(default_factory=VirtualConfig)  # where no folder is given
    size: int = 384  # px a side of a stored crop, of datasets and photographs
    split: str | None = "train"  # of a dataset: its other people are kept to be tested on
    landmarks: str | None = None  # table of photographs; landmarks.csv beside them by default
    masks: str | None = None  # folder of the photographs' masks, white on the face
    part: int = 300  # samples a part: what a killed run loses at most, in each process

    def __post_init__(self) -> None:
        if self.part < 1 or self.size < 64:
            raise ConfigError(f"part = {self.part}, size = {self.size}: at least 1 and 64")


def pack_data(data: Path | None, out: Path, config: PackConfig, *, jobs: int = 1) -> dict[str, Any]:
    """Pack samples into `out`, or go on with it; parts that are there are kept.

    Parameters
    ----------
    data : Path, optional
        A dataset's folder, or one of photographs; None: virtual people.

    Returns
    -------
    dict
        `out`, `samples`, `people`, `left_out` (photograph -> why).

    Raises
    ------
    InputError
        The folder is neither, nothing in it can be used, or `out` holds other samples.
    """
    model = load_face_model(config.model)
    source, record = _opened(data, model, config)
    pack(source, out, record={**record, "model": config.model}, part=config.part, jobs=jobs)
    packed = PackedSource(out, n_vertices=model.n_vertices)
    return {
        "out": str(out),
        "samples": len(packed),
        "people": len(set(packed.people)),
        "left_out": dict(getattr(source, "left_out", {})),
    }


def _opened(
    data: Path | None, model: FaceModel, config: PackConfig
) -> tuple[Source, dict[str, Any]]:
    """Return a source and what determines it."""
    if data is None:
        return VirtualSource(model, config.virtual), {"virtual": to_mapping(config.virtual)}
    if (data / MANIFEST).is_file():
        shards = ShardSource(data, model, split=config.split, size=config.size)
        key = [sha256_file(data / SUMS), config.split, config.size]
        return shards, {"dataset": hash_of(key)}
    table = _table(data, config)
    masks = None if config.masks is None else Path(config.masks)
    photographs = PhotoSource(
        [data], load_landmark_table(table), model, masks=masks, size=config.size
    )
    told: list[Any] = [sha256_file(table), config.size, photographs.people]
    if masks is not None:
        told.append([sha256_file(path) for path in photographs_in([masks])])
    return photographs, {"photographs": hash_of(told)}


def _table(data: Path, config: PackConfig) -> Path:
    if config.landmarks is not None:
        return Path(config.landmarks)
    for name in TABLES:
        if (data / name).is_file():
            return data / name
    raise InputError(
        f"{data}: neither a dataset ({MANIFEST}) nor photographs with a table of their landmarks "
        f"({', '.join(TABLES)}); name the table with --set landmarks=FILE"
    )
