"""Supervision of damaged inputs: batches in forked processes; crashes and hangs are counted."""

import json
import logging
import multiprocessing
import os
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from .fuzzchild import Seed, damaged, run_cases
from .onethread import OneThread
from .parser import Parser

LIMIT_SECONDS = 10.0
"""Of processor time for one input."""
_LIMIT_WALL = 120.0  # where it does not work but waits, or the machine is busy with others
_BATCH = 200  # inputs that share a process
_NOBODY = "all"  # as whose the end of the keeping process is told
_MOST_KEPT = 5  # inputs that failed, of each parser
_MOST_FAILURES = 40  # of one parser; it is given up then


@dataclass
class Outcome:
    """What came of a parser's inputs."""

    parser: str
    cases: int = 0
    refused: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)
    """Case and what happened."""
    worst_seconds: float = 0.0
    worst_megabytes: float = 0.0
    seconds: float = 0.0
    """Of processor time, all of them."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How parsers are tried."""

    folder: Path
    """For the inputs."""
    cases: range
    """Numbers of the inputs: with `chance` they tell what is damaged how."""
    chance: int = 0
    """Seed of all damage."""
    limit_seconds: float = LIMIT_SECONDS
    """Of processor time that one input may take."""
    most_seconds: float | None = None
    """A parser's inputs end when they have taken this long, wall clock; None: never."""
    slow_share: int = 1
    """A slow parser has so many times fewer inputs."""


def run_parsers(
    find: Callable[[], Sequence[Parser]],
    trial: Trial,
    names: Sequence[str] | None = None,
    *,
    part: tuple[int, int] = (0, 1),
) -> Iterator[Outcome]:
    """Try damaged inputs on each parser, in a process that has nothing else to lose.

    Parameters
    ----------
    find
        Importable; returns the parsers.
    names : sequence of str, optional
        Those that are tried; all by default.
    part : (int, int)
        Which part of them, of how many: (1, 2) is the second half.

    Yields
    ------
    Outcome
        Of one parser, in the parsers' order.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_keeper, args=(there, find, names, part, trial))
    with OneThread():
        process.start()
    there.close()
    try:
        while (answer := _received(here)) is not None:
            yield answer
            if answer.parser == _NOBODY:
                return
    finally:
        here.close()
        process.join(5)
        process.kill()
        process.join()


def _received(pipe: Connection) -> Outcome | None:
    try:
        answer: Outcome | None = pipe.recv()
    except EOFError:
        words = "the process that keeps the trials died"
        return Outcome(parser=_NOBODY, failures=[(-1, words)])
    return answer


def _keeper(
    pipe: Connection,
    find: Callable[[], Sequence[Parser]],
    names: Sequence[str] | None,
    part: tuple[int, int],
    trial: Trial,
) -> None:
    """Load every library once, then fork: inputs die in copies."""
    import cv2

    cv2.setNumThreads(1)
    logging.disable(logging.CRITICAL)  # readers may say what they lack
    chosen = [parser for parser in find() if names is None or parser.name in names]
    with suppress(BrokenPipeError, ConnectionError):  # nobody listens any more
        for parser in chosen[part[0] :: part[1]]:
            try:
                outcome = _run(parser, trial)
            except Exception as error:  # a valid input that cannot be made or read
                words = f"its valid input: {error!r}"
                outcome = Outcome(parser=parser.name, failures=[(-1, words)])
            pipe.send(outcome)
        pipe.send(None)


def _run(parser: Parser, trial: Trial) -> Outcome:
    place = (trial.folder / parser.name).resolve()
    shutil.rmtree(place, ignore_errors=True)
    home = place / "input"  # as in the trials: some files name the folder that they lie in
    home.mkdir(parents=True)
    parser.make(home)
    seed = Seed.of(parser, home)
    parser.read(home)  # it has to be valid; and what is imported late is here then
    if not seed.targets:
        raise ValueError("no file to damage")
    cases = trial.cases
    if parser.slow and trial.slow_share > 1:
        cases = range(cases.start, cases.start + max(1, len(cases) // trial.slow_share))
    outcome, at, start = Outcome(parser=parser.name), cases.start, time.monotonic()
    while at < cases.stop and len(outcome.failures) < _MOST_FAILURES:
        if trial.most_seconds is not None and time.monotonic() - start > trial.most_seconds:
            break
        batch = range(at, min(at + (1 if parser.alone else _BATCH), cases.stop))
        at = _batch(parser, seed, batch, trial, outcome)
    for case, _ in outcome.failures[:_MOST_KEPT]:
        _keep(parser, seed, case, trial)
    shutil.rmtree(place, ignore_errors=True)
    return outcome


def _keep(parser: Parser, seed: Seed, case: int, trial: Trial) -> None:
    """Leave the input of a failure for who mends it."""
    name, content = damaged(parser, seed, case, chance=trial.chance)
    kept = trial.folder / "failed" / f"{parser.name}-{case}"
    kept.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        (kept / Path(name).name).write_bytes(content)
    else:
        (kept / "what.txt").write_text(f"{name}: {content}\n", encoding="utf-8")


def _batch(parser: Parser, seed: Seed, cases: range, trial: Trial, outcome: Outcome) -> int:
    """Run a batch in a fork; return the case to go on with."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(out)
            place = (trial.folder / parser.name).resolve()
            run_cases(parser, seed, cases, folder=place, chance=trial.chance, report=into)
        except BaseException as error:  # between two inputs: ours, not the reader's
            os.write(into, (json.dumps(["broken", repr(error)[:300]]) + "\n").encode())
        finally:
            os._exit(0)
    os.close(into)
    try:
        running, verdict = _supervised(child, _Lines(out), trial, outcome)
    finally:
        os.close(out)
        _, status = os.waitpid(child, 0)
    died = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else ""
    if running is None:
        if died:
            raise RuntimeError(f"the trial itself died of {died}")
        return cases.stop
    outcome.cases += 1
    outcome.failures.append((running, verdict or f"its process died of {died or 'an early end'}"))
    return running + 1


def _supervised(
    child: int, lines: "_Lines", trial: Trial, outcome: Outcome
) -> tuple[int | None, str]:
    """Count what a process tells until it ends; return the case that it ended in, and why."""
    running, since, used, verdict = None, 0.0, 0.0, ""
    while (line := lines.next(0.5)) != "":
        if line is None:  # nothing said for a while
            is_over = _cpu_seconds(child) - used > trial.limit_seconds
            if running is not None and (is_over or time.monotonic() - since > _LIMIT_WALL):
                os.kill(child, signal.SIGKILL)
                verdict = f"did not end within {trial.limit_seconds:g} s"
            continue
        said = json.loads(line)
        if said[0] == "broken":
            raise RuntimeError(f"the trial itself is at fault: {said[1]}")
        if said[0] == "start":
            running, since, used = int(said[1]), time.monotonic(), _cpu_seconds(child)
        else:
            _count(outcome, said, trial.limit_seconds)
            running = None
    return running, verdict


def _count(outcome: Outcome, said: list[object], limit_seconds: float) -> None:
    _, case, verdict, seconds, megabytes, words = said
    outcome.cases += 1
    outcome.refused += verdict == "refused"
    outcome.seconds += float(str(seconds))
    outcome.worst_seconds = max(outcome.worst_seconds, float(str(seconds)))
    outcome.worst_megabytes = max(outcome.worst_megabytes, float(str(megabytes)))
    if verdict != "failed" and float(str(seconds)) > limit_seconds:
        verdict, words = "failed", f"took {seconds} s"
    if verdict == "failed":
        outcome.failures.append((int(str(case)), str(words)))


class _Lines:
    """Lines of a pipe, as they come."""

    def __init__(self, handle: int) -> None:
        self._handle, self._rest = handle, b""

    def next(self, seconds: float) -> str | None:
        """Return a line, None where none came in time, an empty one at the end."""
        while b"\n" not in self._rest:
            if not select.select([self._handle], [], [], seconds)[0]:
                return None
            more = os.read(self._handle, 1 << 16)
            if not more:
                return ""
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()


def _cpu_seconds(process: int) -> float:
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="ascii")
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
