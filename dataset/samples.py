"""`FaceDataset`: captures as samples for a training loop, one dictionary of arrays each.

Made for `torch.utils.data.DataLoader`, but of numpy alone. Only `dataset.json` is read at
first. Shards are opened by the process that reads them, when it does: a handle is neither
pickled (spawn, forkserver) nor used on by a forked child.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError, SchemaError
from .audit import audited_member, open_shard
from .displacementcode import decoded_displacement
from .manifest import SPLITS, SubjectEntry, read_manifest
from .schema import Field, field_of
from .seal import check_seal
from .shardcheck import CaptureFigures, check_shape, read_values, verify_shard

MOST_OPEN = 8
"""Shards a process keeps open: more gains nothing, their index stays in memory."""
DEFAULT_KEYS = ("maps/deformation", "maps/deformation_valid", "maps/displacement", "maps/valid")


class Verify(StrEnum):
    """When a shard is held against its seal and the format, which reads it to its end."""

    OFF = "off"
    """Never: for files that were verified before. Data are still checked as they are read, by
    their checksums, but HDF5 may end the process, or never end, in a damaged file."""
    FIRST = "first"
    """Once by each process."""
    ALWAYS = "always"
    """Whenever it is opened."""


@dataclass
class _Open:
    """The shards that one process has open."""

    pid: int
    files: OrderedDict[Path, h5py.File] = field(default_factory=OrderedDict)
    verified: dict[Path, tuple[int, ...]] = field(default_factory=dict)
    """Shard -> which file that was: another one by the same name has to be verified, too."""


class FaceDataset:
    """Captures of a dataset folder in the order of its manifest.

    A sample is a dictionary: `subject` and `capture` (str), and each key's array, float32 for
    lengths stored shorter (displacement in mm), bool for masks, (H, W, 3) uint8 sRGB for
    photographs and albedo, float32 unit vectors for normals; `images/*` stands for all cameras.

    Parameters
    ----------
    root : path
        Folder with `dataset.json`.
    keys : sequence of str
        Fields as `docs/formats/hdf5.md` names them, within a capture.
    split : str, optional
        `train`, `val` or `test`; all captures by default. A subject is in one split alone.
    verify : Verify or str
        `off`, `first` or `always`.
    skip_incomplete : bool
        Leave out captures that lack one of the keys; else they are an error.

    Raises
    ------
    InputError
        The manifest is absent, a key is no field, or captures lack it.
    """

    def __init__(
        self, root: Path | str, *, keys: Sequence[str] = DEFAULT_KEYS, split: str | None = None,
        verify: Verify | str = Verify.FIRST, skip_incomplete: bool = False,
    ) -> None:  # fmt: skip
        if isinstance(keys, str):
            raise InputError(f"keys {keys!r}: give a list of names, [{keys!r}]")
        self.root = Path(root)
        self.keys = tuple(keys)
        self.verify = _verify_of(verify)
        if split is not None and split not in SPLITS:
            raise InputError(f"split {split!r}: known are {', '.join(SPLITS)}")
        for key in self.keys:
            if _field(key) is None:
                raise InputError(f"{key!r} is no field of a capture; see docs/formats/hdf5.md")
        manifest = read_manifest(self.root)
        subjects = [s for s in manifest.subjects if split is None or s.split == split]
        self._samples = list(self._complete(subjects, skip_incomplete=skip_incomplete))
        self._open = _Open(pid=os.getpid())
        self._inherited: list[_Open] = []

    def _complete(
        self, subjects: Sequence[SubjectEntry], *, skip_incomplete: bool
    ) -> Iterator[tuple[SubjectEntry, CaptureFigures]]:
        for subject in subjects:
            for capture in subject.captures:
                lacking = [key for key in self.keys if not _has(capture, key)]
                if not lacking:
                    yield subject, capture
                elif not skip_incomplete:
                    raise InputError(
                        f"{self.root}: {subject.id}/{capture.name} has no {lacking[0]}; "
                        "leave the key out, or such captures with skip_incomplete=True"
                    )

    @property
    def subjects(self) -> tuple[str, ...]:
        """Names of those in this split, sorted."""
        return tuple(sorted({subject.id for subject, _ in self._samples}))

    def __len__(self) -> int:
        """Return the number of captures."""
        return len(self._samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read one capture.

        Raises
        ------
        IndexError
            There are fewer captures.
        InputError
            Its shard is absent, damaged, or not what the manifest says.
        """
        subject, capture = self._samples[index]
        path = self.root / subject.path
        file = self._file(path)
        sample: dict[str, Any] = {"subject": subject.id, "capture": capture.name}
        for key in self.keys:
            entry = _field(key)
            assert entry is not None
            group, _, name = key.partition("/")
            names = [key] if name != "*" else [f"{group}/{v}" for v in _views(capture, group)]
            for name in names:
                sample[name] = _read(file, path, f"captures/{capture.name}/{name}", entry)
        return sample

    def _file(self, path: Path) -> h5py.File:
        if self._open.pid != os.getpid():
            # a forked child: the parent's handles are left alone, closing them might wait for a
            # lock that a thread of the parent held at that moment
            self._inherited.append(self._open)
            self._open = _Open(pid=os.getpid(), verified=dict(self._open.verified))
        files = self._open.files
        if path in files:
            files.move_to_end(path)
            return files[path]
        which = _which(path)
        is_new = self._open.verified.get(path) != which
        if self.verify is Verify.ALWAYS or (self.verify is Verify.FIRST and is_new):
            # every bit is as it was written, and then it was verified: no need to decode it now
            check_seal(path)
            verify_shard(path)
            self._open.verified[path] = which
        while len(files) >= MOST_OPEN:
            files.popitem(last=False)[1].close()
        file = open_shard(path)
        _check_subject(file, path)
        files[path] = file
        return file

    def close(self) -> None:
        """Close the shards that this process has open; reading opens them again."""
        if self._open.pid == os.getpid():
            for file in self._open.files.values():
                file.close()
            self._open.files.clear()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None, "_inherited": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open = _Open(pid=os.getpid())


def _which(path: Path) -> tuple[int, ...]:
    """Return what tells a file from another that took its name."""
    try:
        found = path.stat()
    except OSError as error:
        raise InputError(f"{path}: no such file") from error
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _check_subject(file: h5py.File, path: Path) -> None:
    """Refuse a shard that stands under the name of another subject."""
    try:
        subject = file.attrs.get("subject")
    except (OSError, RuntimeError, ValueError, LookupError) as error:
        file.close()
        raise InputError(f"{path}: damaged; restore it from a copy") from error
    if subject != path.stem:
        file.close()
        raise SchemaError(f"{path}: holds subject {str(subject)[:64]!r}; restore it from a copy")


def _verify_of(name: Verify | str) -> Verify:
    try:
        return Verify(name)
    except ValueError:
        raise InputError(f"verify {name!r}: known are {', '.join(Verify)}") from None


def _field(key: str) -> Field | None:
    group, _, name = key.partition("/")
    return field_of(f"{group}/any") if name == "*" else field_of(key)


def _has(capture: CaptureFigures, key: str) -> bool:
    group, _, name = key.partition("/")
    if group in ("images", "masks"):
        views = _views(capture, group)
        return bool(views) if name == "*" else name in views
    return key in capture.fields


def _views(capture: CaptureFigures, group: str) -> tuple[str, ...]:
    return capture.views if group == "images" else capture.masks


def _read(file: h5py.File, path: Path, where: str, entry: Field) -> Any:
    """Read one field as users want it."""
    data = audited_member(file, path, where)
    check_shape(data, entry, path, where)
    values = read_values(data, path, where)
    if entry.is_file:
        return _decoded(values, entry, f"{path}: {where}")
    if entry.path == "maps/displacement":
        return decoded_displacement(values)
    if values.dtype.kind == "S":
        return tuple(value.decode("ascii", "replace") for value in values)
    if values.dtype == np.uint8:
        return values.astype(bool)
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _decoded(content: NDArray[np.uint8], entry: Field, where: str) -> NDArray[Any]:
    """Decode an image: RGB uint8, unit normals, or bool."""
    import cv2

    image = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
    if image is None:
        raise InputError(f"{where}: no readable image; restore the file from a copy")
    if entry.path in ("masks/*", "maps/albedo_valid"):
        return np.asarray(image if image.ndim == 2 else image[..., 0]) > 127
    if image.ndim != 3 or image.shape[2] != 3:
        raise SchemaError(f"{where}: {image.shape}, not three colours")
    colors = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    if entry.path in ("maps/normal", "maps/tangent_normal"):
        if colors.dtype != np.uint16:
            raise SchemaError(f"{where}: not of 16 bits")
        return colors.astype(np.float32) * np.float32(2 / 65535) - np.float32(1)
    return np.asarray(colors)
