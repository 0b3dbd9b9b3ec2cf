"""A subject erased from a lab's folder: nothing of it is left, and nothing of the others changed.

Probes are drawn here, from the subject's own files and by other means than `erase` draws them:
runs of 32 bytes out of photographs, arrays and stored chunks. After `facekit erase` every file of
the tree is searched for them and for the pseudonym, and the files of the other subjects are
compared with what they were.
"""

import random
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...core.errors import FacekitError
from ...core.files import sha256_file
from ...dataset.erase.erase import erase
from ...dataset.verify import verify_dataset
from .gate import Gate
from .lab import PEOPLE, home_of, make_dataset, make_lab

_PROBES, _SAMPLE_PROBES = 200, 40
_BYTES = 32
_LEAST_DIFFERENT = 13  # of a probe's bytes: others may stand anywhere by chance


@dataclass(frozen=True, kw_only=True)
class EraseFaults(Gate):
    """What came of the erasures."""

    probes: int = 0
    probes_found: int = 0
    """Probes, and mentions of the pseudonym, found after the erasure."""
    others_changed: int = 0
    """Files of other subjects that are not what they were."""

    def figures(self) -> dict[str, Any]:
        """Return the counts."""
        return {
            "probes": self.probes, "probes_found": self.probes_found,
            "others_changed": self.others_changed,
        }  # fmt: skip


def erase_faults(folder: Path, *, full: bool, seed: int) -> EraseFaults:
    """Erase each of three subjects from a folder of its own; of the sample the first."""
    gone = PEOPLE if full else PEOPLE[:1]
    failures: list[str] = []
    probes = found = changed = 0
    for who in gone:
        root = folder / f"without-{who.lower()}"
        make_dataset(make_lab(root, seed=seed), root / "data")
        drawn = _probes(root, who, random.Random(seed), _PROBES if full else _SAMPLE_PROBES)
        others = _of_others(root, who)
        try:
            result = erase(who, [root])
        except FacekitError as error:
            failures.append(f"{who} could not be erased: {error}")
            continue
        probes += len(drawn)
        left = list(_left(root, who, drawn))
        differing = [name for name, was in others.items() if _hash(root / name) != was]
        failures += [*left, *(f"{name} is another subject's, and changed" for name in differing)]
        failures += _odd(result, root / "data")
        found, changed = found + len(left), changed + len(differing)
    return EraseFaults(
        cases=len(gone), failures=tuple(failures), probes=probes, probes_found=found,
        others_changed=changed,
    )  # fmt: skip


def _odd(result: dict[str, Any], data: Path) -> Iterator[str]:
    """Tell where `erase` itself says that something is left, or the dataset is not whole."""
    if result["erase"]["probes"] == 0 or result["erase"]["probes_found"]:
        yield f"erase found {result['erase']['probes_found']} of {result['erase']['probes']} probes"
    yield from (f"erase could not search {line}" for line in result["not_searched"])
    try:
        verify_dataset(data, read_data=True)
    except FacekitError as error:
        yield f"the dataset that is left: {error}"


def _hash(path: Path) -> str:
    return sha256_file(path) if path.is_file() else ""


def _of_others(root: Path, who: str) -> dict[str, str]:
    """Return name -> hash of the files that are other subjects' alone."""
    names = [name for name in PEOPLE if name != who]
    paths = [
        path
        for name in names
        for path in (*home_of(root, name).rglob("*"), root / "data/subjects" / f"{name}.h5")
    ]
    return {p.relative_to(root).as_posix(): sha256_file(p) for p in paths if p.is_file()}


def _probes(root: Path, who: str, chance: random.Random, count: int) -> set[bytes]:
    """Draw strings that only the subject's files hold."""
    contents = list(_contents(root, who))
    probes: set[bytes] = set()
    for number in range(50 * count):
        content = contents[number % len(contents)]
        if len(content) >= _BYTES:
            start = chance.randrange(len(content) - _BYTES + 1)
            probe = content[start : start + _BYTES]
            if len(set(probe)) >= _LEAST_DIFFERENT:
                probes.add(probe)
        if len(probes) == count:
            break
    return probes


def _contents(root: Path, who: str) -> Iterator[bytes]:
    """Yield the subject's measurements as they lie in its files."""
    for path in sorted(home_of(root, who).rglob("*")):
        if path.suffix == ".jpg":
            content = path.read_bytes()
            yield content[content.rfind(b"\xff\xda") + 16 : -2]
        elif path.suffix == ".npz":
            yield from _packed(path, ("offset", "displacement", "albedo", "deformation"))
    with h5py.File(root / "data/subjects" / f"{who}.h5") as shard:
        for capture in shard["captures"].values():
            for name in ("maps/deformation", "mesh/vertices", "images/cam0"):
                if name in capture:
                    values = capture[name][()].tobytes()
                    yield values[len(values) // 2 :]


def _packed(path: Path, names: Sequence[str]) -> Iterator[bytes]:
    """Yield arrays of an archive, their values and as they are stored."""
    with np.load(path, allow_pickle=False) as arrays, zipfile.ZipFile(path) as archive:
        for name in names:
            if name in arrays.files:
                yield arrays[name].tobytes()
                member = archive.getinfo(f"{name}.npy")
                if member.compress_type == zipfile.ZIP_DEFLATED:
                    start = member.header_offset + 256  # beyond names and headers
                    yield path.read_bytes()[start : start + member.compress_size - 256]


def _left(root: Path, who: str, probes: set[bytes]) -> Iterator[str]:
    """Tell in which files something of the subject is left."""
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if who in path.name:
            yield f"{name} is called after the subject"
        if not path.is_file():
            continue
        content = path.read_bytes()
        if who.encode() in content:
            yield f"{name} names the subject"
        yield from (f"{name} holds a probe" for probe in probes if probe in content)
