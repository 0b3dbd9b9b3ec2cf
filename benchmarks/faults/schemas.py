"""Every versioned format: of its version a file opens; a later minor one too; another is refused.

JSON and NPZ formats carry one number, the major version: what a minor one adds are keys that an
older reader does not know, and has to pass over; but for a consent, of which nothing may be. HDF5
carries three, `MAJOR.MINOR.PATCH`.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...calibration.rigfile import load_rig
from ...capture.color import ColorCalibration, load_color, save_color
from ...capture.session import load_session
from ...capture.sidecar import load_consent
from ...capture.tombstones import ERASED_FILE, bury, erased_on
from ...core.errors import FacekitError, SchemaError
from ...core.facemodel.landmark_table import LANDMARKS_FORMAT, load_landmark_table
from ...core.facemodel.procedural import procedural_head
from ...core.files import StageKey, finished, write_json
from ...dataset.bake.mapfile import load_maps
from ...dataset.export.hdf5 import ExportConfig, export_hdf5
from ...dataset.manifest import MANIFEST, read_manifest
from ...dataset.register.registeredfile import load_registered
from ...dataset.seal import seal
from ...dataset.shardcheck import verify_shard, verify_topology
from .gate import Gate
from .lab import PEOPLE, home_of, make_dataset, make_lab

_LATER = "of_a_later_minor_version"


@dataclass(frozen=True, kw_only=True)
class SchemaFaults(Gate):
    """What came of files of other versions."""

    formats: tuple[str, ...] = ()
    files: int = 0
    wrong: int = 0
    """Files that were refused and are sound, or were read and are of another version."""

    def figures(self) -> dict[str, Any]:
        """Return the counts."""
        return {"files": self.files, "wrong": self.wrong, "formats": list(self.formats)}


@dataclass(frozen=True, kw_only=True)
class _Format:
    """A format, a file of it, and what opens that."""

    name: str
    path: Path
    opens: Callable[[], object]
    """Raises where the file is refused."""
    strict: bool = False
    """Refuses what it does not know on purpose: a consent may say that something is forbidden."""


def schema_faults(folder: Path, *, full: bool, seed: int) -> SchemaFaults:
    """Try every format with files of its own version, a later minor, and another major one."""
    failures: list[str] = []
    n = 0
    formats = list(_formats(folder, seed))
    for one in formats:
        content = one.path.read_bytes()
        for what, change, is_read in _trials(one):
            n += 1
            try:
                change(one.path)
                said = _judged(one, is_read=is_read)
            finally:
                one.path.write_bytes(content)
            failures += [f"{one.name}, {what}: {said}"] if said else []
    return SchemaFaults(
        cases=n, failures=tuple(failures), formats=tuple(one.name for one in formats), files=n,
        wrong=len(failures),
    )  # fmt: skip


def _judged(one: _Format, *, is_read: bool) -> str:
    """Return what is wrong with how a file is taken; nothing where all is right."""
    try:
        one.opens()
    except SchemaError as error:
        sound = one.path.name in str(error) and "version" in str(error)
        if is_read:
            return f"was refused: {error}"
        return "" if sound else f"the sentence names no file or no version: {error}"
    except FacekitError as error:
        return f"was refused for another reason: {error}"
    return "" if is_read else "was read"


Change = Callable[[Path], None]


def _trials(one: _Format) -> Iterator[tuple[str, Change, bool]]:
    """Yield what is done to a file, and whether it should be read then."""
    path = one.path
    yield "as it is written", lambda _: None, True
    if path.suffix == ".h5":
        yield "of a later minor version", _of_version("1.9.0"), True
        yield "of a later major version", _of_version("2.0.0"), False
        yield "of an earlier major version", _of_version("0.1.0"), False
    else:
        change = _changed_json if path.suffix == ".json" else _changed_arrays
        if not one.strict:
            yield "with more in it", lambda p: change(p, {_LATER: 1}), True
        yield "of a later major version", lambda p: change(p, {"version": 99}), False
        yield "of version 0", lambda p: change(p, {"version": 0}), False


def _changed_json(path: Path, changes: Mapping[str, Any]) -> None:
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | dict(changes)))


def _changed_arrays(path: Path, changes: Mapping[str, Any]) -> None:
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    arrays |= {name: np.array(value) for name, value in changes.items()}
    with path.open("wb") as stream:
        np.savez(stream, **arrays)


def _of_version(version: str) -> Change:
    def change(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            file.attrs["schema_version"] = version
        seal(path)

    return change


def _formats(folder: Path, seed: int) -> Iterator[_Format]:
    """Make a file of every format."""
    (build,) = make_lab(folder, people=PEOPLE[:1], seed=seed)
    home, data = home_of(folder, PEOPLE[0]), folder / "data"
    make_dataset([build], data)
    session, take, model = home / "session", build / "neutral", procedural_head()
    one = _Format
    yield one(name="session", path=session / "session.json", opens=lambda: load_session(session))
    yield one(name="rig", path=home / "calibration/rig.json",
              opens=lambda: load_rig(home / "calibration"))  # fmt: skip
    yield one(name="consent", path=session / "restricted/consent.json",
              strict=True, opens=lambda: load_consent(session))  # fmt: skip
    yield one(name="maps", path=take / "maps.npz", opens=lambda: load_maps(take))
    yield one(name="registered", path=take / "registered.npz",
              opens=lambda: load_registered(take, model))  # fmt: skip
    yield one(name="dataset", path=data / MANIFEST, opens=lambda: read_manifest(data))
    yield one(name="export", path=data / "export.json",
              opens=lambda: export_hdf5([build], data, ExportConfig(name="lab")))  # fmt: skip
    shard = data / "subjects" / f"{PEOPLE[0]}.h5"
    yield one(name="hdf5 shard", path=shard, opens=lambda: verify_shard(shard))
    topology = data / "topology" / f"{model.name}.h5"
    yield one(name="hdf5 topology", path=topology, opens=lambda: verify_topology(topology))
    yield from _small_formats(folder)


def _small_formats(folder: Path) -> Iterator[_Format]:
    """Make files of the formats that need no build."""
    save_color(folder, ColorCalibration(corrections={}, missing={"cam0": "no chart"}))
    yield _Format(name="color", path=folder / "color.json", opens=lambda: load_color(folder))
    bury(folder, "AAAAAAA", ["0" * 64])
    yield _Format(name="erased", path=folder / ERASED_FILE,
                  opens=lambda: erased_on(folder, "AAAAAAA"))  # fmt: skip
    marks = folder / "landmarks.json"
    point = {"camera": "cam0", "landmark": 0, "x": 1.0, "y": 2.0}
    write_json(marks, {"format": LANDMARKS_FORMAT, "version": 1, "points": [point]})
    yield _Format(name="landmarks", path=marks, opens=lambda: load_landmark_table(marks))
    key = StageKey(stage="s", config={}, inputs={})
    stage = folder / "stage" / "stage.json"
    write_json(stage, {"format": "facekit-stage", "version": 1, "key": key.hash(), "results": {}})

    def taken() -> None:
        # a record of another version is no error: the stage is done again
        if finished(stage.parent, key, outputs=[]) is None:
            raise SchemaError(f"{os.fspath(stage)}: another version, the stage is done again")

    yield _Format(name="stage", path=stage, opens=taken)
