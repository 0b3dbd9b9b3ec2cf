"""Two commands at once in one folder: one of them waits or is refused, and nothing is torn.

Both are begun within moments of each other. One at least has to end well; the other ends well,
too, or with a sentence that says who is in the way. What is left is what one of them leaves
alone, to the byte. A reader that opens the dataset again and again while subjects are added to it
gets whole samples or a sentence. And a subject is erased while a command works with its data:
after both, and an erasure more where that was the one refused, nothing of the subject is left.
"""

import random
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...core.errors import FacekitError
from ...dataset.samples import FaceDataset, Verify
from .bystage import by_stage
from .gate import Gate, Parts
from .lab import PEOPLE, home_of
from .trees import Tree, tree_of
from .warm import Ended, run_command
from .workplace import Stage, Workplace

_PAIRS, _SAMPLE_PAIRS = 20, 1
_STAGES = ("ingest", "calibrate", "mesh", "export hdf5", "export files", "render", "train coarse")
_SAMPLED = ("export hdf5",)
_BESIDE = "a reader, an erasure"
_REFUSED = ("another process", "another training")


@dataclass(frozen=True, kw_only=True)
class WriterFaults(Gate):
    """What came of commands that met."""

    torn: int = 0
    """Pairs after which a folder was not what one command alone leaves."""
    refused: int = 0
    """Commands that were told to wait."""
    reads: int = 0
    """Samples read while others were written."""

    def figures(self) -> dict[str, Any]:
        """Return the counts."""
        return {
            "pairs": self.cases, "torn": self.torn, "refused": self.refused, "reads": self.reads,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Met:
    """How two commands ended that met."""

    said: list[str]
    refused: int = 0
    reads: int = 0


def writer_faults(
    folder: Path, *, full: bool, seed: int, sound: Parts | None = None
) -> WriterFaults:
    """Let two commands meet in each folder, 20 times; of the sample in one, once.

    Parameters
    ----------
    sound : Parts, optional
        Folders' commands that need not be tried again.
    """
    work = partial(_met_at, folder=folder, pairs=_PAIRS if full else _SAMPLE_PAIRS, seed=seed)
    names = [*(_STAGES if full else _SAMPLED), _BESIDE]
    return by_stage(
        work, names, what="two at once", jobs=None if full else 1, kind=WriterFaults, sound=sound
    )


def _met_at(name: str, *, folder: Path, pairs: int, seed: int) -> WriterFaults:
    place = Workplace(folder / name, seed=seed)
    if name == _BESIDE:
        return beside_a_writer(place, pairs=pairs, seed=seed)
    return writers_meet(place, [place.stage(name)], pairs=pairs, seed=seed)


def writers_meet(
    place: Workplace, stages: Sequence[Stage], *, pairs: int, seed: int
) -> WriterFaults:
    """Let two runs of each stage meet so many times."""
    chance = random.Random(seed)
    met: list[_Met] = []
    for stage in stages:
        out = _empty(place)
        first = run_command(stage.command(out), log=place.folder / "log-0.txt")
        wanted = tree_of(out)
        for _ in range(pairs):
            pause = 0.5 * first.seconds * chance.random()
            met.append(_two_writers(place, stage, wanted, pause))
    return _faults(met)


def beside_a_writer(place: Workplace, *, pairs: int, seed: int) -> WriterFaults:
    """Let a reader meet a writer so many times, and an erasure an export."""
    chance = random.Random(seed)
    met = [_reader_and_writer(place) for _ in range(pairs)]
    met += [_erased_at_work(place, 0.5 * chance.random()) for _ in range(pairs)]
    return _faults(met)


def _faults(met: Sequence[_Met]) -> WriterFaults:
    failures = [line for one in met for line in one.said]
    return WriterFaults(
        cases=len(met), failures=tuple(failures), torn=sum(bool(one.said) for one in met),
        refused=sum(one.refused for one in met), reads=sum(one.reads for one in met),
    )  # fmt: skip


def _empty(place: Workplace) -> Path:
    out = place.folder / "run" / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(exist_ok=True)
    return out


def _together(place: Workplace, commands: Sequence[Sequence[str]], pause: float) -> list[Ended]:
    """Run commands at once, each begun a moment after the one before."""
    with ThreadPoolExecutor(len(commands)) as pool:
        running = []
        for number, command in enumerate(commands):
            log = place.folder / f"log-{number}.txt"
            running.append(pool.submit(run_command, command, log=log))
            time.sleep(pause)
        return [one.result() for one in running]


def _clean(ended: Ended) -> bool:
    """Whether a command ended well, or was refused in a sentence."""
    if ended.code == 0:
        return True
    return ended.code in (2, 3) and any(words in ended.said for words in _REFUSED)


def _ill(name: str, ends: Sequence[Ended]) -> Iterator[str]:
    for ended in ends:
        if not _clean(ended):
            last = (ended.said.strip().splitlines() or ["nothing"])[-1]
            yield f"{name}: exit code {ended.code}, {last[:200]}"
    if all(ended.code != 0 for ended in ends):
        yield f"{name}: no command ended well"


def _two_writers(place: Workplace, stage: Stage, wanted: Tree, pause: float) -> _Met:
    out = _empty(place)
    ends = _together(place, [stage.command(out)] * 2, pause)
    said = list(_ill(stage.name, ends))
    said += [f"{stage.name}: {line}" for line in tree_of(out).differences(wanted)]
    return _Met(said=said, refused=sum(ended.code != 0 for ended in ends))


def _reader_and_writer(place: Workplace) -> _Met:
    """Read a dataset while a subject is added to it."""
    out = _empty(place)
    log = place.folder / "log-0.txt"
    run_command(["export", place.builds[0], "--hdf5", str(out)], log=log)
    ended = threading.Event()
    counts, said = [0], []

    def read() -> None:
        while not ended.is_set():
            dataset = FaceDataset(out, verify=Verify.ALWAYS)
            for index in range(len(dataset)):
                try:
                    dataset[index]
                    counts[0] += 1
                except FacekitError as error:
                    said.append(f"a reader beside a writer: {error}")
            dataset.close()

    reader = threading.Thread(target=read)
    reader.start()
    writer = run_command(["export", *place.builds, "--hdf5", str(out)], log=log)
    ended.set()
    reader.join()
    return _Met(said=[*said, *_ill("export beside a reader", [writer])], reads=counts[0])


def _erased_at_work(place: Workplace, pause: float) -> _Met:
    """Erase a subject while its build is exported into the same tree."""
    out = _empty(place)
    shutil.copytree(place.lab, out)
    build = home_of(out, PEOPLE[0]) / "build"
    erase = ["erase", PEOPLE[0], "--in", str(out), "--json"]
    export = ["export", str(build), "--files", str(out / "files"), "--format", "png16"]
    commands = [export, erase] if pause < 0.25 else [erase, export]
    ends = dict(zip((c[0] for c in commands), _together(place, commands, pause), strict=True))
    said = []
    if not (_clean(ends["export"]) or not build.exists()):
        said.append(f"export beside erase: {ends['export'].said[-200:]}")
    if not _clean(ends["erase"]):
        said.append(f"erase beside export: {ends['erase'].said[-200:]}")
    refused = sum(ended.code != 0 for ended in ends.values())
    if ends["erase"].code != 0:
        again = run_command(erase, log=place.folder / "log-1.txt")
        said += [f"erase after export: {again.said[-200:]}"] if again.code != 0 else []
    left = [p for p in out.rglob("*") if PEOPLE[0] in p.name]
    said += [f"{path.relative_to(out)} is left of an erased subject" for path in left]
    return _Met(said=said, refused=refused)
