"""Check a whole dataset: every file is there, is what it was, and is what the format asks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import InputError, SchemaError
from ..core.files import sha256_file
from .manifest import (
    MANIFEST,
    ORIGINALS,
    SUMS,
    Manifest,
    is_part,
    listed_files,
    read_manifest,
    read_sums,
)
from .seal import check_seal
from .shardcheck import ShardFigures, verify_shard, verify_topology
from .topologyfile import read_topology

_LARGE = ".h5"

__all__ = ["DatasetFigures", "verify_dataset", "verify_shard", "verify_topology"]


@dataclass(frozen=True, kw_only=True)
class DatasetFigures:
    """What a verified dataset holds."""

    subjects: int
    captures: int
    images: int
    files: int
    """Whose hashes were listed."""
    splits: dict[str, int]
    """Split -> subjects."""
    bytes_read: int
    """Of datasets, uncompressed; 0 where data were not read."""
    originals: int
    unfinished: tuple[str, ...]
    """Files that a killed export left; they belong to nothing and may be deleted."""


def verify_dataset(folder: Path, *, read_data: bool = False) -> DatasetFigures:
    """Check a dataset against its manifest, its hashes and the format.

    Parameters
    ----------
    read_data : bool
        Also read every value: hashes, checksums, ranges, images, originals. Else the seals of
        HDF5 files are checked, by which every flipped bit in them is found, their structure and
        shapes, and the hashes of what is text.

    Raises
    ------
    InputError
        A file is missing, too many, or changed: the first is named.
    SchemaError
        Manifest and shards contradict one another or the format.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    manifest = read_manifest(folder)
    sums = read_sums(folder)
    _check_files(folder, sums)
    for name, wanted in sums.items():
        # what is small and text is compared in any case: a changed split is a changed dataset
        is_small = not name.endswith(_LARGE)
        if (read_data or is_small) and sha256_file(folder / name) != wanted:
            raise InputError(
                f"{folder / name}: changed since it was written; restore it from a copy"
            )
    known = []
    for name in manifest.topologies:
        path = folder / "topology" / f"{name}.h5"
        if read_data:
            verify_topology(path, read_data=True)
        known.append(read_topology(path).attributes())  # sealed and as the format asks
    bytes_read = 0
    for subject in manifest.subjects:
        path = folder / subject.path
        if not read_data:  # else with the rest
            check_seal(path)  # HDF5 may never come to an end with a damaged file
        shard = verify_shard(path, read_data=read_data)
        _check_subject(path, shard, manifest)
        if dict(shard.topology) not in known:
            raise SchemaError(f"{path}: its topology is not in {folder / 'topology'}")
        bytes_read += shard.bytes_read
    splits = [subject.split for subject in manifest.subjects]
    return DatasetFigures(
        subjects=len(manifest.subjects), captures=manifest.n_captures, images=manifest.n_images,
        files=len(sums), splits={split: splits.count(split) for split in sorted(set(splits))},
        bytes_read=bytes_read, originals=_check_originals(folder, read_data=read_data),
        unfinished=tuple(str(p.relative_to(folder)) for p in _unfinished(folder)),
    )  # fmt: skip


def _check_files(folder: Path, sums: dict[str, str]) -> None:
    present = set(listed_files(folder))
    missing, odd = sorted(set(sums) - present), sorted(present - set(sums))
    if missing:
        raise InputError(f"{folder / missing[0]}: missing; restore it from a copy")
    if odd:
        raise InputError(
            f"{folder / odd[0]}: not in {SUMS}; delete it, or export again to have it listed"
        )


def _check_subject(path: Path, shard: ShardFigures, manifest: Manifest) -> None:
    said = next(subject for subject in manifest.subjects if subject.id == path.stem)
    if shard.subject != said.id:
        raise SchemaError(f"{path}: holds subject {shard.subject!r}")
    if shard.captures != said.captures:
        raise SchemaError(f"{path}: does not hold the captures that {MANIFEST} says")


def _check_originals(folder: Path, *, read_data: bool) -> int:
    """Check that photographs outside of the shards are named by their hashes; count them."""
    base, count = folder / ORIGINALS, 0
    for path in sorted(base.rglob("*")) if base.is_dir() else ():
        if path.is_symlink():
            raise InputError(f"{path}: a symbolic link; a dataset holds files alone")
        if path.is_dir() or is_part(path):
            continue
        digest = "".join(path.relative_to(base).with_suffix("").parts[1:])
        if re.fullmatch(r"[0-9a-f]{64}", digest) is None:
            raise InputError(f"{path}: not named by its hash; delete it")
        if read_data and sha256_file(path) != digest:
            raise InputError(f"{path}: changed since it was written; restore it from a copy")
        count += 1
    return count


def _unfinished(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if is_part(path))
