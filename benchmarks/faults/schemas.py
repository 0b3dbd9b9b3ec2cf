"""Every versioned format: of its version a file opens; a later minor one too; another is refused.

JSON, NPZ and safetensors formats carry one number, the major version: what a minor one adds are
keys that an older reader does not know, and has to pass over; but for a consent, of which nothing
may be. HDF5 carries three, `MAJOR.MINOR.PATCH`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...core.errors import FacekitError, SchemaError
from ...core.facemodel.checkpoint_check import HEADER
from ...dataset.seal import seal
from .gate import Gate
from .schemadata import data_formats
from .schemaformat import Format
from .schemaresults import result_formats

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


def schema_faults(folder: Path, *, full: bool, seed: int) -> SchemaFaults:
    """Try every format with files of its own version, a later minor, and another major one."""
    failures: list[str] = []
    names: list[str] = []
    n = 0
    for one in (*data_formats(folder / "data", seed), *result_formats(folder / "results", seed)):
        names.append(one.name)
        content = one.path.read_bytes()
        for what, change, is_read in _trials(one):
            n += 1
            try:
                change(one.path)
                said = judged(one, is_read=is_read)
            finally:
                one.path.write_bytes(content)
            failures += [f"{one.name}, {what}: {said}"] if said else []
    return SchemaFaults(
        cases=n, failures=tuple(failures), formats=tuple(names), files=n, wrong=len(failures)
    )


def judged(one: Format, *, is_read: bool) -> str:
    """Return what is wrong with how a file is taken; nothing where all is right."""
    try:
        found = one.opens()
    except SchemaError as error:
        if is_read or one.redone:
            return f"was refused: {error}"
        sound = one.path.name in str(error) and "version" in str(error)
        return "" if sound else f"the sentence names no file or no version: {error}"
    except FacekitError as error:
        return f"was refused for another reason: {error}"
    except Exception as error:  # what a user would see as a traceback
        return f"ended in a {type(error).__name__}: {error}"
    if one.redone and is_read == (found is None):
        return "is done again" if is_read else "was taken for done"
    return "" if is_read or one.redone else "was read"


Change = Callable[[Path], None]


def _trials(one: Format) -> Iterator[tuple[str, Change, bool]]:
    """Yield what is done to a file, and whether it should be read then."""
    yield "as it is written", lambda _: None, True
    if one.path.suffix == ".h5":
        yield "of a later minor version", _of_version("1.9.0"), True
        yield "of a later minor version, with more in it", _of_version("1.9.0", more=True), True
        yield "of a later major version", _of_version("2.0.0"), False
        yield "of an earlier major version", _of_version("0.1.0"), False
        return
    change = _CHANGES[one.path.suffix]
    if not one.strict:
        yield "with more in it", lambda p: change(p, lambda values: {**values, _LATER: 1}), True
        if one.path.suffix != ".npz":
            yield "with more in all of it", lambda p: change(p, _more_in(one.closed)), True
    yield "of a later major version", lambda p: change(p, lambda v: {**v, "version": 99}), False
    yield "of version 0", lambda p: change(p, lambda v: {**v, "version": 0}), False


Edit = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def _more_in(closed: tuple[str, ...]) -> Edit:
    """Return what adds a key to every object but the closed ones."""

    def more(value: Any, place: str) -> Any:
        below = f"{place}." if place else ""
        if isinstance(value, list):
            return [more(entry, f"{below}*") for entry in value]
        if not isinstance(value, Mapping):
            return value
        if place in closed:
            return {key: more(entry, f"{below}*") for key, entry in value.items()}
        return {key: more(entry, f"{below}{key}") for key, entry in value.items()} | {_LATER: 1}

    def edit(values: Mapping[str, Any]) -> Mapping[str, Any]:
        changed: Mapping[str, Any] = more(values, "")
        return changed

    return edit


def _change_json(path: Path, edit: Edit) -> None:
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))


def _change_arrays(path: Path, edit: Edit) -> None:
    with np.load(path, allow_pickle=False) as archive:
        arrays = edit(dict(archive))
    with path.open("wb") as stream:
        kept: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
        np.savez(stream, **kept)


def _change_header(path: Path, edit: Edit) -> None:
    """Edit facekit's header in a safetensors file: a length, JSON of it, then the numbers."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    table = json.loads(content[8:end])
    texts = table["__metadata__"]
    texts[HEADER] = json.dumps(edit(json.loads(texts[HEADER])))
    head = json.dumps(table).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(len(head).to_bytes(8, "little") + head + content[end:])


_CHANGES: Mapping[str, Callable[[Path, Edit], None]] = {
    ".json": _change_json, ".npz": _change_arrays, ".safetensors": _change_header,
}  # fmt: skip


def _of_version(version: str, *, more: bool = False) -> Change:
    def change(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            file.attrs["schema_version"] = version
            if more:
                file.attrs[_LATER] = 1
                for group in (file, *file.get("captures", {}).values()):
                    group.create_dataset(f"{_LATER}/values", data=np.zeros(3), fletcher32=True)
        seal(path)

    return change
