"""`dataset.json` and `SHA256SUMS`: what a dataset holds, and the hash of every file of it.

    dataset/
      dataset.json          subjects, captures, fields, splits
      SHA256SUMS            of every file below, as `sha256sum --check` reads it
      topology/<name>.h5    see `topologyfile`
      subjects/<id>.h5      see `store`
      originals/sha256/ab/cd….jpg    optional; named by their hashes, so not listed again

Readers that only want to know what there is read `dataset.json` and open no shard.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core.errors import InputError, SchemaError
from ..core.files import (
    is_unfinished,
    read_json,
    sha256_file,
    stays_inside,
    write_json,
    write_text,
)
from ..core.folderlock import WRITING
from .diskfile import disk_errors
from .schema import NAME
from .shardcheck import CaptureFigures, ShardFigures, verify_shard, verify_topology

MANIFEST = "dataset.json"
SUMS = "SHA256SUMS"
ORIGINALS = "originals"
SPLITS: Mapping[str, float] = {"train": 0.8, "val": 0.1, "test": 0.1}
"""Split -> its share of the subjects, where none are given."""

_SUM = re.compile(r"([0-9a-f]{64}) [ *](.+)")


@dataclass(frozen=True, kw_only=True)
class SubjectEntry:
    """A subject of `dataset.json`."""

    id: str
    split: str
    captures: tuple[CaptureFigures, ...]

    @property
    def path(self) -> str:
        """Of the shard, relative to the dataset."""
        return f"subjects/{self.id}.h5"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What `dataset.json` says."""

    name: str
    licence: str
    created_utc: str
    topologies: tuple[str, ...]
    """Names of the files in `topology/`."""
    subjects: tuple[SubjectEntry, ...]

    @property
    def n_captures(self) -> int:
        """Of all subjects."""
        return sum(len(subject.captures) for subject in self.subjects)

    @property
    def n_images(self) -> int:
        """Of all captures."""
        return sum(len(c.views) for subject in self.subjects for c in subject.captures)


def write_manifest(
    folder: Path, *, name: str, licence: str, splits: Mapping[str, str] | None = None
) -> Manifest:
    """Write `dataset.json` and `SHA256SUMS` for the shards that lie in `folder`.

    Call it again when a shard has been added or taken away. The shards' structure is checked,
    their data are not read but for the hashes.

    Parameters
    ----------
    splits : mapping, optional
        Subject -> `train`, `val` or `test`; those it lacks go where `split_of` says.

    Raises
    ------
    InputError
        A shard or topology file is damaged, or belongs to a topology that is not there; the
        disk is full.
    """
    shards = [verify_shard(path) for path in files_of(folder / "subjects", ".h5")]
    topologies = {p.stem: verify_topology(p) for p in files_of(folder / "topology", ".h5")}
    if not shards:
        raise InputError(f"{folder / 'subjects'}: no shard to list")
    given = dict(splits or {})
    for path, shard in zip(files_of(folder / "subjects", ".h5"), shards, strict=True):
        _check_shard(path, shard, topologies)
    manifest = Manifest(
        name=name,
        licence=licence,
        created_utc=max(str(shard.attributes["created_utc"]) for shard in shards),
        topologies=tuple(sorted(topologies)),
        subjects=tuple(
            SubjectEntry(
                id=shard.subject,
                split=given.get(shard.subject) or split_of(shard.subject),
                captures=shard.captures,
            )
            for shard in shards
        ),
    )
    with disk_errors(folder / MANIFEST):
        write_json(folder / MANIFEST, _as_json(manifest))
        lines = [f"{sha256_file(folder / path)}  {path}\n" for path in listed_files(folder)]
        write_text(folder / SUMS, "".join(lines))
    return manifest


def _check_shard(path: Path, shard: ShardFigures, topologies: Mapping[str, Any]) -> None:
    if path.stem != shard.subject:
        raise SchemaError(f"{path}: holds subject {shard.subject!r}; rename the file")
    keys = ("model", "topology_sha256", "uv_sha256", "n_vert", "n_face")
    for found in topologies.values():
        if all(found[key] == shard.topology[key] for key in keys):
            return
    raise SchemaError(
        f"{path}: of topology {shard.topology['model']!r}, which is not in topology/; export it too"
    )


def _as_json(manifest: Manifest) -> dict[str, Any]:
    return {
        "format": "facekit-dataset",
        "version": 1,
        "layout": "facekit-hdf5/1",
        **asdict(manifest),
        "counts": {
            "subjects": len(manifest.subjects),
            "captures": manifest.n_captures,
            "images": manifest.n_images,
        },
    }


def read_manifest(folder: Path) -> Manifest:
    """Read `dataset.json`.

    Raises
    ------
    InputError
        Absent or no JSON.
    SchemaError
        Of another format or version, or a part of it is not as it should be.
    """
    path = folder / MANIFEST
    value = read_json(path, format_name="facekit-dataset", version=1)
    try:
        manifest = Manifest(
            name=_text(value["name"]),
            licence=_text(value["licence"]),
            created_utc=_text(value["created_utc"]),
            topologies=tuple(_name(name) for name in value["topologies"]),
            subjects=tuple(_subject(entry) for entry in value["subjects"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SchemaError(f"{path}: not as the format has it ({error})") from error
    ids = [subject.id for subject in manifest.subjects]
    if len(set(ids)) != len(ids):
        raise SchemaError(f"{path}: a subject stands twice")
    return manifest


def _subject(entry: Mapping[str, Any]) -> SubjectEntry:
    if entry["split"] not in SPLITS:
        raise ValueError(f"split {entry['split']!r} is none of {', '.join(SPLITS)}")
    captures = tuple(
        CaptureFigures(
            name=_name(capture["name"]),
            fields=tuple(_text(path) for path in capture["fields"]),
            views=tuple(_name(view) for view in capture["views"]),
            masks=tuple(_name(view) for view in capture["masks"]),
        )
        for capture in entry["captures"]
    )
    return SubjectEntry(id=_name(entry["id"]), split=entry["split"], captures=captures)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _name(value: object) -> str:
    # a name becomes part of a path: nothing may lead out of the folder
    if not isinstance(value, str) or NAME.fullmatch(value) is None:
        raise ValueError(f"{value!r} is no name")
    return value


def split_of(subject: str) -> str:
    """Return the split of a subject by a hash of its name: the same whoever else is there."""
    digest = hashlib.sha256(f"facekit split {subject}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    reached = 0.0
    for split, share in SPLITS.items():
        reached += share
        if place < reached:
            return split
    return next(iter(SPLITS))


def files_of(folder: Path, suffix: str) -> list[Path]:
    """Return the published files of a folder, sorted; unfinished ones are left out."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix == suffix and not is_part(p))


def is_part(path: Path) -> bool:
    """Whether this is the unfinished file of a writer that works or was killed."""
    return is_unfinished(path) or path.name == WRITING


def listed_files(folder: Path) -> list[str]:
    """Return the paths, relative to a dataset, of all files that `SHA256SUMS` has to name."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in _walk(folder)
        if path.name != SUMS and not is_part(path)
    )


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            raise InputError(f"{path}: a symbolic link; a dataset holds files alone")
        if path.is_dir():
            if path != folder / ORIGINALS and path.name != ORIGINALS:
                yield from _walk(path)
        else:
            yield path


def read_sums(folder: Path) -> dict[str, str]:
    """Read `SHA256SUMS`: path relative to the dataset -> hex SHA-256.

    Raises
    ------
    InputError
        Absent, not readable, or a path leads out of the dataset.
    """
    path = folder / SUMS
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; export the dataset again") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable ({error})") from error
    sums: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        found = _SUM.fullmatch(line)
        if found is None or found[2] in sums:
            raise InputError(f"{path}: line {number} is no hash and path of its own")
        _check_inside(found[2], f"{path}: line {number}")
        sums[found[2]] = found[1]
    return sums


def _check_inside(name: str, where: str) -> None:
    if (
        not stays_inside(name)
        or "." in name.split("/")
        or re.search(r"[\\:\x00-\x1f\x7f]", name)
        or not name.isascii()
    ):
        raise InputError(f"{where}: {name[:80]!r} is no plain path within the dataset")
