"""Jobs on a cluster's workers, by Dask.distributed; this process is its client.

Every job is sent to a worker that has nothing else to do. Left to itself Dask keeps several jobs
with a worker, blames all of them when it dies, and gives up those that were blamed too often: a
job that kills its workers would take others with it.
"""

import itertools
import json
import logging
import math
import queue
import secrets
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from ... import __version__
from ..console import install_log_handler, show_no_bars
from ..devices import require
from ..errors import EstimationError, FacekitError, InputError
from .certificates import EXTRA
from .job import Job, Outcome, failure_of, outcome_of, perform
from .schedulerfile import SchedulerAddress, scheduler_of, security_of

log = logging.getLogger(__name__)

GPU = "GPU"
"""Name of the resource that a worker with a GPU offers, one for each of its jobs."""
ALLOWED_FAILURES = 5
"""Times that a job's worker may die before the job is given up."""
_CONNECT_S = 20.0
_FETCH_S = 10.0
_LOOK_AGAIN_S = 1.0  # at the table of workers
_REMIND_S = 60.0  # while no worker is there


@dataclass(frozen=True, kw_only=True)
class _Sent:
    """A job that is with a worker."""

    job: Job
    worker: str
    """Its address."""
    future: Any


class Cluster:
    """The workers of a scheduler; see `pools.Pool`."""

    def __init__(self, scheduler: str, *, retries: int) -> None:
        self._distributed = require("distributed", extra=EXTRA)
        self._retries = retries
        self._where = scheduler_of(scheduler)
        self._client = _connected(self._distributed, self._where)
        self._run, self._numbers = secrets.token_hex(4), itertools.count()
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._sent: dict[str, _Sent] = {}
        self._again: list[Job] = []
        self._deaths: Counter[str] = Counter()
        self._workers: dict[str, _Worker] = {}
        self._looked_at = -math.inf
        self._reminded_at = time.monotonic()

    def room(self, *, gpu: bool) -> bool:
        """See `Pool`."""
        self._look()
        if not self.slots(gpu=gpu):
            self._remind(gpu=gpu)
        lost = any(job.gpu == gpu for job in self._again)  # those come first
        return not lost and self._free(gpu=gpu) is not None

    def slots(self, *, gpu: bool) -> int:
        """Return how many jobs may run at a time on workers with GPUs, or on those for the rest.

        Workers with GPUs take other jobs where there are no other workers.
        """
        return sum(self._workers[name].slots(gpu=gpu) for name in self._fit(gpu=gpu))

    @property
    def apart(self) -> bool:
        """See `Pool`."""
        return any(not worker.gpus for worker in self._workers.values())

    def start(self, job: Job) -> None:
        """See `Pool`."""
        worker = self._free(gpu=job.gpu)
        assert worker is not None
        key = f"{job.stage}-{self._run}-{next(self._numbers)}"
        future = self._client.submit(
            perform_on_worker, job.target, json.dumps(dict(job.given)), __version__,
            key=key, pure=False, retries=self._retries, workers=[worker],
            resources={GPU: 1} if job.gpu else None,
        )  # fmt: skip
        self._sent[key] = _Sent(job=job, worker=worker, future=future)
        future.add_done_callback(self._ended.put)

    def ended(self, timeout_s: float) -> list[Outcome]:
        """See `Pool`."""
        futures = []
        with suppress(queue.Empty):
            futures.append(self._ended.get(timeout=timeout_s))
            while True:
                futures.append(self._ended.get_nowait())
        outcomes = [self._outcome(future) for future in futures if future.key in self._sent]
        self._look()
        outcomes += [self._lost_with(key) for key, one in list(self._sent.items())
                     if one.worker not in self._workers]  # fmt: skip
        for job in list(self._again):
            if self._free(gpu=job.gpu) is not None:
                self._again.remove(job)
                self.start(job)
        return [outcome for outcome in outcomes if outcome is not None]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):  # the scheduler may have gone
            self._client.cancel([one.future for one in self._sent.values()], force=True)
        self._sent.clear()
        with suppress(Exception):
            self._client.close(timeout=5)

    def _outcome(self, future: Any) -> Outcome | None:
        """Return what came of a job; None where it is tried again."""
        if future.status == "cancelled":
            raise self._gone()
        job = self._sent[future.key].job
        try:
            outcome = outcome_of(job, future.result(timeout=_FETCH_S))
        except (
            self._distributed.KilledWorker,
            self._distributed.client.FutureCancelledError,
            TimeoutError,  # the answer went with its worker before it was fetched
        ):
            if self._client.status != "running":
                raise self._gone() from None
            return self._lost_with(future.key)
        except Exception as error:
            log.debug("%s failed", job.name, exc_info=True)
            outcome = failure_of(job, error)
        del self._sent[future.key]
        return outcome

    def _lost_with(self, key: str) -> Outcome | None:
        """Try a job again whose worker died, or give it up; it was the only one there."""
        sent = self._sent.pop(key)
        if sent.future.status == "finished":  # before its worker went
            with suppress(Exception):  # the answer may have gone too
                return outcome_of(sent.job, sent.future.result(timeout=_FETCH_S))
        with suppress(Exception):
            sent.future.cancel(force=True)
        self._deaths[sent.job.name] += 1
        times = self._deaths[sent.job.name]
        if times <= ALLOWED_FAILURES:
            log.info("%s: its worker %s has gone; tried again", sent.job.name, sent.worker)
            self._again.append(sent.job)
            return None
        told = EstimationError(
            f"its worker died {times} times while at it: it was killed, or memory ran out; ask "
            "for fewer megapixels or give workers more memory"
        )
        return failure_of(sent.job, told)

    def _gone(self) -> FacekitError:
        return FacekitError(
            f"the scheduler at {self._where.address} has gone; start it again and repeat the "
            "command: what is finished is kept"
        )

    def _fit(self, *, gpu: bool) -> list[str]:
        """Return the workers for a kind of jobs; those with GPUs are kept for their own kind."""
        apart = self.apart
        return [
            name
            for name, worker in self._workers.items()
            if (worker.gpus > 0 if gpu else not (apart and worker.gpus))
        ]

    def _free(self, *, gpu: bool) -> str | None:
        """Return a worker that has nothing to do."""
        busy = Counter(one.worker for one in self._sent.values())
        free = [
            name for name in self._fit(gpu=gpu) if busy[name] < self._workers[name].slots(gpu=gpu)
        ]
        # another client's jobs are seen late, but they are seen
        return min(free, key=lambda name: busy[name] + self._workers[name].busy, default=None)

    def _look(self) -> None:
        """Read the table of workers, if it is old."""
        if time.monotonic() - self._looked_at < _LOOK_AGAIN_S:
            return
        if self._client.status != "running":  # asked now, it would wait for another scheduler
            raise self._gone()
        try:
            # not `scheduler_info`: another thread may empty its table before it is read
            told = self._client.sync(self._client.scheduler.identity, n_workers=-1)
            table = told["workers"]
        except Exception as error:
            raise self._gone() from error
        self._looked_at = time.monotonic()
        self._workers = {
            name: _Worker(
                threads=one["nthreads"],
                gpus=int(one.get("resources", {}).get(GPU, 0)),
                busy=int(one.get("metrics", {}).get("task_counts", {}).get("executing", 0)),
            )
            for name, one in table.items()
            if one.get("status", "running") == "running" or self._is_used(name)
        }

    def _is_used(self, name: str) -> bool:
        return any(one.worker == name for one in self._sent.values())

    def _remind(self, *, gpu: bool) -> None:
        if time.monotonic() - self._reminded_at > _REMIND_S:
            self._reminded_at = time.monotonic()
            what = "worker with a GPU (facekit worker FILE --gpu 1)" if gpu else "worker"
            log.warning("waiting: no %s has joined %s", what, self._where.address)


@dataclass(frozen=True, kw_only=True)
class _Worker:
    """What the scheduler tells of a worker."""

    threads: int
    gpus: int
    busy: int
    """Jobs that it is at, whoever sent them."""

    def slots(self, *, gpu: bool) -> int:
        return min(self.gpus, self.threads) if gpu else self.threads


def perform_on_worker(target: str, given: str, version: str) -> str:
    """Do a job as `job.perform`, and tell of it in the worker's own log."""
    if not logging.getLogger("facekit").handlers:
        install_log_handler()
        show_no_bars()
    return perform(target, given, version)


def _connected(distributed: Any, where: SchedulerAddress) -> Any:
    """Return a client.

    Raises
    ------
    InputError
        Nobody answers, or the scheduler does not take the certificate.
    """
    if where.address.startswith("tcp:"):
        log.warning("%s is not encrypted: whoever reaches it can run code there", where.address)
    try:
        with _quiet():
            return distributed.Client(
                where.address, security=security_of(where.certificates), timeout=_CONNECT_S,
                set_as_default=False, name="facekit",
            )  # fmt: skip
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        first_line = str(error).partition("\n")[0]
        raise InputError(
            f"{where.address}: the scheduler does not answer, or refuses the certificate "
            f"({first_line}); is `facekit cluster` running?"
        ) from None


def _quiet() -> Any:
    """Keep Dask's own lines out of the log: what matters of them is told by us."""
    dask = require("dask", extra=EXTRA)
    for name in ("distributed", "distributed.client", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return dask.config.set({"distributed.comm.timeouts.connect": f"{_CONNECT_S} s"})
