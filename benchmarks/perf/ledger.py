"""An append-only ledger of what workers really did, kept beside the work that is watched.

`Ledger.watching` wraps a job of the engine: the work itself, its records and its answer stay what
they are, and each stage that begins, ends or is found finished leaves a line. Lines are appended
by one write each, so that many processes may write and a killed one leaves no half of a line.
"""

import contextlib
import dataclasses
import importlib
import json
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from unittest import mock

from ...core.jobs.job import Job

_WATCHED = ("facekit.dataset.stages", "facekit.dataset.rigcheck")
"""Modules that look for finished stages and run the others."""
_BLOCK, _MOST_BLOCKS, _BLOCK_S = 64 << 20, 96, 0.02


class Death(StrEnum):
    """How who begins a job ends."""

    KILLED = "killed"
    """At once, as of a broken library."""
    MEMORY = "memory"
    """It takes more and more memory until its watcher ends it."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One event."""

    event: str
    """`begin`, `found`, `start`, `end`, `done` (of a stage between the first and the last)."""
    item: str
    """Name of the job."""
    attempt: str
    """Drawn for each execution of the job."""
    pid: int
    time: float
    """s, of the clock that the machine's processes share."""
    stage: str = ""
    cpu_s: float = 0.0
    """Of the job, where it is done."""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Where the lines are kept."""

    path: Path

    def lines(self) -> list[Line]:
        """Return what was written up to now."""
        return self.follow()()

    def follow(self) -> Callable[[], list[Line]]:
        """Return what returns, at each call, all lines up to then; it reads only new ones."""
        found: list[Line] = []
        at = 0

        def lines() -> list[Line]:
            nonlocal at
            with contextlib.suppress(FileNotFoundError), self.path.open("rb") as stream:
                stream.seek(at)
                new = stream.read()
                whole = new[: new.rfind(b"\n") + 1]
                found.extend(Line(**json.loads(line)) for line in whole.splitlines())
                at += len(whole)
            return found

        return lines

    def watching(self, job: Job, *, deadly: Death | None = None) -> Job:
        """Return the job, watched.

        Parameters
        ----------
        deadly : Death, optional
            It ends the process that begins it.
        """
        given = {
            "ledger": str(self.path), "item": job.name, "target": job.target,
            "given": dict(job.given), "deadly": deadly,
        }  # fmt: skip
        return dataclasses.replace(job, work=watched, given=given)


def watched(
    *, ledger: str, item: str, target: str, given: Mapping[str, Any], deadly: Death | None
) -> Mapping[str, Any]:
    """Do a job's own work and keep the ledger of it; runs on a worker."""
    path, attempt = Path(ledger), secrets.token_hex(6)
    cpu = time.process_time()

    def note(event: str, stage: str = "", cpu_s: float = 0.0) -> None:
        line = Line(
            event=event, item=item, attempt=attempt, pid=os.getpid(), time=time.monotonic(),
            stage=stage, cpu_s=cpu_s,
        )  # fmt: skip
        _append(path, json.dumps(dataclasses.asdict(line)))

    note("begin")
    if deadly is not None:
        _die(Death(deadly))  # it may have come as a text
    module, _, name = target.partition(":")
    work = getattr(importlib.import_module(module), name)
    with _noted_stages(note):
        answer: Mapping[str, Any] = work(**given)
    note("done", cpu_s=time.process_time() - cpu)
    return answer


def repeats(lines: Sequence[Line]) -> list[str]:
    """Return `job: stage` for each execution of a stage whose result was acknowledged before.

    Acknowledged is what was ended, its record written, or what was found with its record.
    """
    acknowledged: set[tuple[str, str]] = set()
    again: dict[tuple[str, str, str], None] = {}
    for line in lines:
        key = (line.item, line.stage)
        if line.event == "start" and key in acknowledged:
            again[(*key, line.attempt)] = None
        elif line.event == "end":
            if key in acknowledged:  # two at a time did the same
                again[(*key, line.attempt)] = None
            acknowledged.add(key)
        elif line.event == "found":
            acknowledged.add(key)
    return [f"{item}: {stage}" for item, stage, _ in again]


def unfinished(lines: Sequence[Line]) -> dict[str, Line]:
    """Return the executions that began and did not end: attempt -> its last line, in order."""
    ended = {line.attempt for line in lines if line.event == "done"}
    return {line.attempt: line for line in lines if line.attempt not in ended}


def _die(how: Death) -> None:
    """End this process, or have it ended.

    Raises
    ------
    RuntimeError
        Nobody minded the memory.
    """
    if how is Death.KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    held = []
    for _ in range(_MOST_BLOCKS):
        held.append(b"\x01" * _BLOCK)  # zeros would take none
        time.sleep(_BLOCK_S)
    raise RuntimeError(f"{len(held) * _BLOCK >> 20} MB were taken, and nobody minded")


@contextmanager
def _noted_stages(note: Callable[..., None]) -> Iterator[None]:
    """Note the stages of this process while the block runs."""
    with contextlib.ExitStack() as stack:
        for name in _WATCHED:
            module = importlib.import_module(name)
            stack.enter_context(
                mock.patch.object(module, "finished", _noted_finding(module.finished, note))
            )
            stack.enter_context(
                mock.patch.object(module, "stage_run", _noted_run(module.stage_run, note))
            )
        yield


def _noted_finding(finished: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
    def find(folder: Path, key: Any, **more: Any) -> Any:
        record = finished(folder, key, **more)
        if record is not None:
            note("found", key.stage)
        return record

    return find


def _noted_run(stage_run: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
    @contextmanager
    def run(folder: Path, key: Any) -> Iterator[Any]:
        note("start", key.stage)
        with stage_run(folder, key) as inner:
            yield inner
        note("end", key.stage)  # its record is written

    return run


def _append(path: Path, line: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, (line + "\n").encode())
    finally:
        os.close(handle)
