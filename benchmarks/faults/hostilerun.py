"""Hostile inputs one after the other, each in a folder of its own, read by a watched process.

The process is a fork of a warm one, has little memory to lose, and may die: the input that it died
of is a failure, and another process goes on with the next.
"""

import hashlib
import json
import logging
import os
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from ...core.errors import FacekitError
from . import canary
from .fuzzchild import limit_memory
from .touches import Touches
from .warm import run_work
from .watch import Watch

_PATIENCE_S = 300.0  # of a batch, wall clock: the machine may be busy with others
_RUNS = ("os.", "pty.", "subprocess", "socket", "urllib", "webbrowser")
_CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.symlink",
            "os.link", "os.truncate")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """A hostile input."""

    name: str
    """Such as `shard: gzip_bomb`."""
    make: Callable[[Path, Path], Any]
    """Writes it into a folder; what it would lead to lies in another one, that it is told."""
    read: Callable[[Path], Any]
    """Reads it as facekit does; raises nothing but a `FacekitError`."""
    must_refuse: bool = True
    """Whether to read it is a failure, even where nothing came of it."""
    no_data: str = ""
    """Name of an HDF5 file no data of which may be read."""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What came of it."""

    case: str
    read: tuple[str, ...] = ()
    """What was read that must not be; also `the file`, where it was to be refused."""
    escaped: tuple[str, ...] = ()
    """What was touched outside of its folder."""
    executed: tuple[str, ...] = ()
    """What it made run."""
    other: str = ""
    """What went wrong otherwise: no sentence, or the process died."""
    seconds: float = 0.0
    """Of processor time."""

    @property
    def failures(self) -> tuple[str, ...]:
        """A sentence for each thing that went wrong."""
        words = [f"read {what}" for what in self.read]
        words += [f"escaped: {what}" for what in self.escaped]
        words += [f"executed {what}" for what in self.executed]
        return tuple(f"{self.case}: {w}" for w in (*words, *([self.other] if self.other else [])))


def try_cases(
    find: Callable[[], Sequence[Case]], batches: Sequence[Sequence[str]], folder: Path
) -> list[Tried]:
    """Try cases by their names.

    Parameters
    ----------
    find
        Importable; returns all cases.
    batches : sequence of sequences of str
        Those of a batch share a process.
    """
    report = folder / "report.jsonl"
    ended = run_work(_keeper, (find, batches, str(folder), str(report)), log=folder / "log.txt")
    found = [Tried(**{k: _as_was(v) for k, v in one.items()}) for one in _told(report)]
    names = [name for batch in batches for name in batch]
    why = "; ".join(ended.said.strip().splitlines()[-1:]) or f"code {ended.code}"
    found += [Tried(case=n, other=f"was not tried: {why}") for n in names[len(found) :]]
    return found


def _as_was(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _told(report: Path) -> list[dict[str, Any]]:
    lines = report.read_text(encoding="utf-8").splitlines() if report.is_file() else []
    return [json.loads(line) for line in lines]


def _keeper(
    find: Callable[[], Sequence[Case]], batches: Sequence[Sequence[str]], folder: str, report: str
) -> None:
    """Load every library once, then fork: inputs die in copies."""
    import cv2

    cv2.setNumThreads(1)
    logging.disable(logging.CRITICAL)  # readers may say what they lack
    cases = {case.name: case for case in find()}
    # not of the gate's own: a reader that looks for something in its folder must not find that
    place = Path(folder) / "case"
    os.environ.setdefault("FACEKIT_ASSETS", str(Path(folder) / "no-assets"))
    for batch in batches:
        left = list(batch)
        while left:
            before = len(_told(Path(report)))
            process = os.fork()
            if process == 0:
                try:
                    _child([cases[name] for name in left], place, report)
                except BaseException:  # ours, not a reader's
                    traceback.print_exc()
                finally:
                    os._exit(0)
            how = _waited(process)
            left = left[len(_told(Path(report))) - before :]
            if left:
                died = Tried(case=left.pop(0), other=f"its process died of it ({how})")
                _tell(Path(report), died)


def _waited(process: int) -> str:
    """Wait for a process, for so long; return how it ended, in words."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            is_killed = os.WIFSIGNALED(status)
            return f"signal {os.WTERMSIG(status)}" if is_killed else "an end of its own"
        if time.monotonic() > until:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return "no end"
        time.sleep(0.01)


def _tell(report: Path, one: Tried) -> None:
    with report.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(vars(one)) + "\n")


def _child(cases: Sequence[Case], place: Path, report: str) -> None:
    """Be the process of a batch."""
    limit_memory()
    warnings.simplefilter("ignore")
    watch = Watch()
    for case in cases:
        _tell(Path(report), tried(case, place, watch))


def tried(case: Case, place: Path, watch: Watch) -> Tried:
    """Read a case in this process."""
    shutil.rmtree(place, ignore_errors=True)
    tempfile.tempdir = None
    root, outside = place / "input", place / "outside"
    for made in (root, outside):
        made.mkdir(parents=True)
    case.make(root, outside)
    was, touches = _content(outside), Touches(outside)
    os.chdir(root)
    tempfile.tempdir = str(root)  # what a reader may need for itself is looked at, too
    canary.sprung.clear()
    read: list[str] = []
    other, is_read = "", False
    start = time.process_time()
    with _data_read(case.no_data, read), watch.over(root):
        try:
            case.read(root)
            is_read = True
        except FacekitError as error:
            if not str(error).strip():
                other = f"{type(error).__name__} without a word"
        except BaseException as error:  # what a user would see as a traceback
            other = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    seconds = time.process_time() - start
    seen = watch.seen
    escaped = [*touches.close(), *(w for w in seen if not _is_run(w) and not _is_own(w))]
    if not escaped and _content(outside) != was:
        escaped.append("what lies outside is not what it was")
    if is_read and case.must_refuse:
        read.append("the file")
    os.chdir("/")
    shutil.rmtree(place, ignore_errors=True)
    return Tried(
        case=case.name, read=tuple(dict.fromkeys(read)), escaped=tuple(escaped[:3]),
        executed=(*canary.sprung, *(what for what in seen if _is_run(what))), other=other,
        seconds=round(seconds, 3),
    )  # fmt: skip


def _is_run(seen: str) -> bool:
    return seen.startswith(_RUNS) and not seen.startswith(_CHANGES)


def _is_own(seen: str) -> bool:
    # `erase` looks for processes that have files open
    return seen.startswith("reads '/proc/") and "fdinfo" in seen


@contextmanager
def _data_read(name: str, noted: list[str]) -> Iterator[None]:
    """Note each dataset of an HDF5 file of which data are read."""
    before = h5py.Dataset.__getitem__, h5py.Dataset.read_direct

    def heard(data: h5py.Dataset) -> None:
        if name and Path(data.file.filename).name == name:
            noted.append(f"data of {data.name}")

    def item(self: h5py.Dataset, *given: Any, **how: Any) -> Any:
        heard(self)
        return before[0](self, *given, **how)

    def direct(self: h5py.Dataset, *given: Any, **how: Any) -> Any:
        heard(self)
        return before[1](self, *given, **how)

    h5py.Dataset.__getitem__, h5py.Dataset.read_direct = item, direct
    try:
        yield
    finally:
        h5py.Dataset.__getitem__, h5py.Dataset.read_direct = before


def _content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        )
        for path in sorted(folder.rglob("*"))
    }
