"""Single bits flipped, one at a time, in datasets and originals: `facekit verify` finds each.

Of shards and topology files, `verify --read-data` has to name the file; a sample that is read
with verification on either is what was written or is refused, never something else. Of originals,
`verify --read-data` of their session has to name the file.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...capture.verifysession import verify_session
from ...core.console import track
from ...core.errors import FacekitError
from ...dataset.samples import FaceDataset, Verify
from ...dataset.verify import verify_dataset
from .gate import Gate
from .lab import PEOPLE, make_dataset, make_lab

_FLIPS, _ORIGINALS = 1000, 200
_SAMPLE_FLIPS, _SAMPLE_ORIGINALS = 100, 20
_KEYS = ("maps/deformation", "maps/displacement", "maps/valid", "images/*")


@dataclass(frozen=True, kw_only=True)
class BitFlipFaults(Gate):
    """What came of the flips."""

    flips: int = 0
    originals: int = 0
    """Of the flips, those in photographs as they came from the camera."""
    missed: int = 0
    """Flips that verification did not find."""
    silent: int = 0
    """Samples that were read, verification on, and were not what was written."""

    def figures(self) -> dict[str, Any]:
        """Return the counts."""
        return {
            "flips": self.flips, "originals": self.originals, "missed": self.missed,
            "silent": self.silent,
        }  # fmt: skip


def bit_flip_faults(folder: Path, *, full: bool, seed: int) -> BitFlipFaults:
    """Flip 1000 bits of a dataset and 200 of originals; of the sample 100 and 20."""
    builds = make_lab(folder, people=PEOPLE[:1], seed=seed)
    make_dataset(builds, folder / "data")
    counts = (_FLIPS, _ORIGINALS) if full else (_SAMPLE_FLIPS, _SAMPLE_ORIGINALS)
    return flip_bits(folder / "data", builds[0].parent / "session", counts=counts, seed=seed)


def flip_bits(data: Path, session: Path, *, counts: tuple[int, int], seed: int) -> BitFlipFaults:
    """Flip `counts` bits of a dataset's HDF5 files and of a session's photographs."""
    chance = random.Random(seed)
    shards = sorted(data.rglob("*.h5"))
    photographs = sorted((session / "images").rglob("*.jpg"))
    wanted = _samples(data)
    missed: list[str] = []
    silent: list[str] = []
    for path, bit in track(_drawn(shards, counts[0], chance), "bit flips", total=counts[0]):
        with _flipped(path, bit):
            where = f"{path.name}: bit {bit % 8} of byte {bit // 8}"
            if not _named(lambda: verify_dataset(data, read_data=True), path):
                missed.append(f"{where} was not found by verify --read-data")
            silent += [f"{where}: {line}" for line in _wrong_samples(data, wanted)]
    for path, bit in _drawn(photographs, counts[1], chance):
        with _flipped(path, bit):
            if not _named(lambda: verify_session(session, read_data=True), path):
                missed.append(f"{path.name}: bit {bit} was not found by verify --read-data")
    return BitFlipFaults(
        cases=sum(counts), failures=(*missed, *silent), flips=sum(counts), originals=counts[1],
        missed=len(missed), silent=len(silent),
    )  # fmt: skip


def _drawn(paths: Sequence[Path], count: int, chance: random.Random) -> Iterator[tuple[Path, int]]:
    """Draw files and bits of them: every byte of all files is as likely."""
    sizes = [path.stat().st_size for path in paths]
    for path in chance.choices(paths, weights=sizes, k=count):
        yield path, chance.randrange(8 * path.stat().st_size)


@contextmanager
def _flipped(path: Path, bit: int) -> Iterator[None]:
    """Flip a bit, and flip it back."""
    _flip(path, bit)
    try:
        yield
    finally:
        _flip(path, bit)


def _flip(path: Path, bit: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(bit // 8)
        (byte,) = stream.read(1)
        stream.seek(bit // 8)
        stream.write(bytes([byte ^ (1 << bit % 8)]))


def _named(check: Callable[[], object], path: Path) -> bool:
    """Whether a check fails, in a sentence that names the file."""
    try:
        check()
    except FacekitError as error:
        return path.name in str(error)
    return False


def _samples(data: Path) -> list[dict[str, Any]]:
    dataset = FaceDataset(data, keys=_KEYS, verify=Verify.ALWAYS)
    try:
        return [dataset[index] for index in range(len(dataset))]
    finally:
        dataset.close()


def _wrong_samples(data: Path, wanted: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Tell of samples that can be read and are not what was written."""
    dataset = FaceDataset(data, keys=_KEYS, verify=Verify.ALWAYS)
    try:
        for index, right in enumerate(wanted):
            try:
                found = dataset[index]
            except FacekitError:
                continue
            same = found.keys() == right.keys() and all(
                np.array_equal(found[key], right[key], equal_nan=_is_float(right[key]))
                for key in right
            )
            if not same:
                yield f"sample {index} was read and is another one"
    finally:
        dataset.close()


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"
