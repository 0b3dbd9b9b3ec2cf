"""What a folder holds, in a form that two runs of the same work have to agree on."""

import hashlib
import json
import re
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from ...capture.tombstones import ERASED_FILE
from ...core.files import is_unfinished
from ...core.folderlock import WRITING

MEASURED = frozenset(
    {"seconds", "cpu_seconds", "waited", "peak_gb", "created_utc", "expected_finest"}
)
"""Keys of records that tell when and how fast something was made: left out, as are those that end
in `_s`, by which a name says that it is of seconds."""
UNCOMPARED = ("tensorboard/", ".lock", "restricted/pseudonym", "restricted/salt", ERASED_FILE)
"""Left out: curves that trainings write beside their log, a lock, and what is drawn by chance."""
_SECONDS = re.compile(rb"\b[0-9]+(\.[0-9]+)? (s|min)\b")  # in pages


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The files of a folder."""

    hashes: dict[str, str]
    """Path below the folder -> SHA-256 of its content, of JSON without what was measured."""
    strays: tuple[str, ...]
    """Unfinished files and folders."""

    def differences(self, wanted: "Tree") -> list[str]:
        """Tell in words how this differs from what is wanted."""
        paths = sorted({*self.hashes, *wanted.hashes})
        said = []
        for path in paths:
            if path not in self.hashes:
                said.append(f"{path} is missing")
            elif path not in wanted.hashes:
                said.append(f"{path} is too many")
            elif self.hashes[path] != wanted.hashes[path]:
                said.append(f"{path} differs")
        return said + [f"{path} was left behind" for path in self.strays]


def tree_of(folder: Path, *, leave: Collection[str] = ()) -> Tree:
    """Return what a folder holds.

    Parameters
    ----------
    leave : collection of str
        Paths, or beginnings of paths, that are left out.
    """
    hashes, strays = {}, []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.startswith((*UNCOMPARED, *leave)):
            continue
        if is_unfinished(path) or path.name == WRITING:
            strays.append(name)
        elif path.is_file() and not any(is_unfinished(above) for above in path.parents):
            hashes[name] = hashlib.sha256(normal_form(path)).hexdigest()
    return Tree(hashes=hashes, strays=tuple(strays))


def normal_form(path: Path) -> bytes:
    """Return a file's content, without what was measured in JSON, HDF5, safetensors and pages.

    Sums of HDF5 files follow from their content: of `SHA256SUMS` the other lines are compared.
    """
    content = path.read_bytes()
    try:
        if path.suffix == ".json":
            return _json(json.loads(content))
        if path.suffix == ".jsonl":
            return _json([json.loads(line) for line in content.splitlines()])
        if path.suffix == ".h5":
            return _hdf5(path)
        if path.suffix == ".safetensors":
            return _safetensors(content)
        if path.suffix == ".html":
            return _SECONDS.sub(b"", content)
    except (ValueError, OSError, KeyError, struct.error):
        return content  # damaged: as it lies there
    if path.name == "SHA256SUMS":
        lines = content.splitlines(keepends=True)
        return b"".join(line for line in lines if not line.endswith((b".h5\n", b"json\n")))
    return content


def _json(value: Any) -> bytes:
    return json.dumps(_unmeasured(value), sort_keys=True).encode()


def _hdf5(path: Path) -> bytes:
    """Return names, attributes and the stored values of all that is in a file."""
    found = hashlib.sha256()

    def note(name: str, thing: h5py.Group | h5py.Dataset) -> None:
        kept = {k: v for k, v in sorted(thing.attrs.items()) if not _is_measured(k)}
        found.update(repr((name, kept)).encode())
        if isinstance(thing, h5py.Dataset):
            found.update(repr((thing.dtype, thing.shape)).encode() + thing[()].tobytes())

    with h5py.File(path) as file:
        note("/", file)
        file.visititems(note)
    return found.digest()


def _safetensors(content: bytes) -> bytes:
    (size,) = struct.unpack("<Q", content[:8])
    head = json.loads(content[8 : 8 + size])
    told = head.get("__metadata__", {})
    for name, text in told.items():
        if text.startswith("{"):
            told[name] = _unmeasured(json.loads(text))
    return _json(head) + content[8 + size :]


def _unmeasured(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _unmeasured(v) for k, v in value.items() if not _is_measured(k)}
    if isinstance(value, list):
        return [_unmeasured(entry) for entry in value]
    return value


def _is_measured(key: str) -> bool:
    return key in MEASURED or key.endswith("_s")
