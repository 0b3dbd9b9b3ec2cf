"""What runs jobs on this machine: this process, or several of their own."""

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Protocol, Self

from ... import __version__
from ..errors import EstimationError
from .job import Job, Outcome, failure_of, outcome_of, perform
from .processes import KeptProcess


class Pool(Protocol):
    """Runs jobs that it has room for, and hands out what came of them."""

    def room(self, *, gpu: bool) -> bool:
        """Tell whether a job would start at once."""
        ...

    def slots(self, *, gpu: bool) -> int:
        """Return how many jobs for GPUs, or other jobs, may run at a time."""
        ...

    @property
    def apart(self) -> bool:
        """Whether these two kinds of jobs keep out of each other's way."""
        ...

    def start(self, job: Job) -> None:
        """Run a job."""
        ...

    def ended(self, timeout_s: float) -> list[Outcome]:
        """Return what has ended since; wait so long for the first."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...  # fmt: skip


class Here:
    """In this process: one job after the other."""

    def __init__(self, *, retries: int) -> None:
        self._retries = retries
        self._job: Job | None = None

    def room(self, *, gpu: bool) -> bool:
        """See `Pool`."""
        return self._job is None

    def slots(self, *, gpu: bool) -> int:
        """See `Pool`."""
        return 1

    @property
    def apart(self) -> bool:
        """See `Pool`."""
        return False

    def start(self, job: Job) -> None:
        """See `Pool`; the work itself waits until its outcome is asked for."""
        self._job = job

    def ended(self, timeout_s: float) -> list[Outcome]:
        """See `Pool`."""
        job, self._job = self._job, None
        if job is None:
            return []
        return [_tried(job, self._retries, lambda work, *given: work(*given))]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class Processes:
    """Processes of this machine, which share its processors."""

    def __init__(self, jobs: int, *, retries: int) -> None:
        self._jobs, self._retries = jobs, retries
        threads = max(1, (os.cpu_count() or 1) // jobs)
        self._idle = [KeptProcess(threads, bars=False) for _ in range(jobs)]
        self._pool = ThreadPoolExecutor(jobs)
        self._running: set[Future[Outcome]] = set()

    def room(self, *, gpu: bool) -> bool:
        """See `Pool`."""
        return len(self._running) < self._jobs

    def slots(self, *, gpu: bool) -> int:
        """See `Pool`."""
        return self._jobs

    @property
    def apart(self) -> bool:
        """See `Pool`."""
        return False

    def start(self, job: Job) -> None:
        """See `Pool`."""
        self._running.add(self._pool.submit(self._run, job))

    def ended(self, timeout_s: float) -> list[Outcome]:
        """See `Pool`."""
        if not self._running:
            time.sleep(timeout_s)
            return []
        done, self._running = wait(self._running, timeout_s, return_when=FIRST_COMPLETED)
        return [future.result() for future in done]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for process in self._idle:
            process.close()

    def _run(self, job: Job) -> Outcome:
        process = self._idle.pop()  # as many as threads
        try:
            return _tried(job, self._retries, process.do)
        finally:
            self._idle.append(process)


def _tried(job: Job, retries: int, do: Callable[..., str]) -> Outcome:
    """Run a job until it ends by itself, `retries` more times at most."""
    asked = (job.target, json.dumps(dict(job.given)), __version__)
    left = retries
    while True:
        try:
            return outcome_of(job, do(perform, *asked))
        except (OSError, MemoryError, EstimationError) as error:  # the last: its process died
            if not left:
                return failure_of(job, error)
            left -= 1
