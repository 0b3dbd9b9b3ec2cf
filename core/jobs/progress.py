"""How far a run is: jobs done by stage, their rate, and how long the rest may take.

The time left is told from jobs of this run alone that really computed something, by what they
took where they ran. While a stage has no such job, only a lower bound is told.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from ..console import bars_shown, console
from .job import FRESH, Job, Outcome
from .pools import Pool

log = logging.getLogger(__name__)

_LINE_EVERY_S = 60.0  # between lines of the log where there is no terminal
_NEEDED_TIMES = 2  # jobs that a stage's time is told from; fewer say little


@dataclass
class StageTally:
    """What came of one stage's jobs."""

    expected: int = 0
    """Jobs in all, as far as that is known."""
    added: int = 0
    done: int = 0
    failed: int = 0
    found_finished: int = 0
    """Of those done: there was nothing to compute."""
    likely_finished: int = 0
    """Of those not ended: they will probably find everything there."""
    gpu: bool = False
    seconds: list[float] = field(default_factory=list)
    """Of each job that computed something."""

    @property
    def total(self) -> int:
        """Jobs in all."""
        return max(self.expected, self.added)

    @property
    def left(self) -> int:
        """Jobs that have not ended."""
        return self.total - self.done - self.failed

    @property
    def mean_s(self) -> float | None:
        """Seconds that a job takes; None while too few are known."""
        enough = len(self.seconds) >= min(_NEEDED_TIMES, max(1, self.total))
        return sum(self.seconds) / len(self.seconds) if self.seconds and enough else None


@dataclass
class Tally:
    """Counts of a run by stage, in the order in which stages were met."""

    stages: dict[str, StageTally] = field(default_factory=dict)
    running: dict[str, tuple[Job, float]] = field(default_factory=dict)
    """Name -> job and when it was started, s."""
    began: float = field(default_factory=time.monotonic)

    def expect(self, stage: str, number: int) -> None:
        """Say how many jobs a stage will have in all."""
        self._of(stage).expected = number

    def added(self, job: Job) -> None:
        """Count a job that waits."""
        stage = self._of(job.stage)
        stage.added += 1
        stage.gpu |= job.gpu
        stage.likely_finished += job.done_before

    def started(self, job: Job) -> None:
        """Count a job as running."""
        self.running[job.name] = (job, time.monotonic())

    def ended(self, outcome: Outcome) -> None:
        """Count what came of a job."""
        self.running.pop(outcome.job.name, None)
        stage = self._of(outcome.job.stage)
        stage.likely_finished -= outcome.job.done_before
        if outcome.answer is None:
            stage.failed += 1
            return
        stage.done += 1
        if outcome.answer.get(FRESH, True):
            stage.seconds.append(outcome.seconds)
        else:
            stage.found_finished += 1

    def figures(self) -> dict[str, dict[str, float | int | None]]:
        """Return the counts, JSON-able."""
        return {
            name: {
                "jobs": stage.total,
                "done": stage.done,
                "failed": stage.failed,
                "found_finished": stage.found_finished,
                "seconds_each": None if stage.mean_s is None else round(stage.mean_s, 2),
            }
            for name, stage in self.stages.items()
        }

    def left_s(self, pool: Pool) -> tuple[float, bool] | None:
        """Return how long the rest will take, s, and whether that is all of it.

        Returns
        -------
        (float, bool), optional
            False: stages are left whose time is not known, it takes longer. None: nothing is
            known yet.
        """
        now = time.monotonic()
        work = {True: 0.0, False: 0.0}
        whole, known = True, False
        for name, stage in self.stages.items():
            left = stage.left - max(0, stage.likely_finished)
            if left <= 0:
                continue
            if (each := stage.mean_s) is None:
                whole = False
                continue
            known = True
            begun = sum(
                min(each, now - start)
                for job, start in self.running.values()
                if job.stage == name and not job.done_before
            )
            work[stage.gpu] += max(0.0, left * each - begun)
        if not known and not whole:
            return None
        slots = {gpu: max(1, pool.slots(gpu=gpu)) for gpu in work}
        if pool.apart:
            return max(work[gpu] / slots[gpu] for gpu in work), whole
        return sum(work.values()) / slots[False], whole

    def rate(self, name: str) -> float | None:
        """Return jobs of a stage an hour, as they ended so far; None before the first."""
        stage = self.stages[name]
        fresh = len(stage.seconds)
        return 3600 * fresh / max(1e-3, time.monotonic() - self.began) if fresh else None

    def _of(self, stage: str) -> StageTally:
        return self.stages.setdefault(stage, StageTally())


@contextmanager
def shown(tally: Tally, pool: Pool, *, silent: bool = False) -> Iterator[Callable[[], None]]:
    """Show a bar for each stage and the time left; without a terminal, a line now and then.

    Yields
    ------
    callable
        To be called when something changed.
    """
    if silent:
        yield lambda: None
    elif not bars_shown():
        yield _Lines(tally, pool)
    else:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[said]}"),
        )
        with Progress(*columns, console=console, transient=True) as bars:
            yield _Bars(tally, pool, bars)


class _Lines:
    """A line of the log now and then."""

    def __init__(self, tally: Tally, pool: Pool) -> None:
        self._tally, self._pool = tally, pool
        self._said_at = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._said_at < _LINE_EVERY_S:
            return
        self._said_at = time.monotonic()
        stages = "; ".join(
            ", ".join(
                [f"{name} {stage.done + stage.failed}/{stage.total}", *_said(self._tally, name)]
            )
            for name, stage in self._tally.stages.items()
        )
        log.info("%s; %s", stages, time_left(self._tally, self._pool))


class _Bars:
    """A bar for each stage, and the time left."""

    def __init__(self, tally: Tally, pool: Pool, bars: Progress) -> None:
        self._tally, self._pool, self._bars = tally, pool, bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self) -> None:
        left = time_left(self._tally, self._pool)
        for index, (name, stage) in enumerate(self._tally.stages.items()):
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, said="")
            said = "; ".join([*_said(self._tally, name), *([left] if index == 0 else [])])
            self._bars.update(
                self._tasks[name], completed=stage.done + stage.failed, total=stage.total,
                said=said,
            )  # fmt: skip


def time_left(tally: Tally, pool: Pool) -> str:
    """Say how long the rest may take, as far as that can be known."""
    if not pool.slots(gpu=False):
        return "no worker yet"
    if any(stage.gpu and stage.left for stage in tally.stages.values()) and not pool.slots(
        gpu=True
    ):
        return "no worker with a GPU yet"
    found = tally.left_s(pool)
    if found is None:
        return "time left not known yet"
    seconds, whole = found
    return f"{'about' if whole else 'more than'} {duration(seconds)} left"


def duration(seconds: float) -> str:
    """Return a time in two units at most: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def _said(tally: Tally, name: str) -> list[str]:
    stage, rate = tally.stages[name], tally.rate(name)
    failed = [f"{stage.failed} failed"] if stage.failed else []
    return failed + ([] if rate is None else [f"{rate:.3g} an hour"])
