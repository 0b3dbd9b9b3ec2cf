"""The one engine: jobs run here, in processes, or on a cluster; what one leads to runs after it.

No outcome stops another. A pool gets no more jobs than it can start at once: what is still here
can be put in order, and nobody but a job itself is blamed when its worker dies.
"""

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ..errors import InputError
from .job import Job, Outcome, Where
from .pools import Here, Pool, Processes
from .progress import Tally, shown

_LOOK_S = 0.5


def run(
    jobs: Sequence[Job],
    where: Where,
    *,
    then: Callable[[Outcome], Iterable[Job]] | None = None,
    expected: Mapping[str, int] | None = None,
    progress: bool = True,
    tally: Tally | None = None,
) -> Iterator[Outcome]:
    """Run jobs, and what they lead to; yield what came of each, as they end.

    Parameters
    ----------
    then : callable, optional
        Given an outcome, returns the jobs that it makes ready; called before it is yielded.
    expected : Mapping[str, int], optional
        Stage -> its jobs in all, where `then` adds some; otherwise those given.
    progress : bool
        Show rates and the time left while working.
    tally : Tally, optional
        Counts for the caller, by stage.

    Raises
    ------
    InputError
        The scheduler's file is none, it cannot be reached, or two jobs have one name.
    MissingDependencyError
        A scheduler is asked for, and Dask is not installed.
    FacekitError
        The scheduler has gone.
    """
    tally = Tally() if tally is None else tally
    for stage, number in (expected or {}).items():
        tally.expect(stage, number)
    waiting, running = _Waiting(tally), 0
    waiting.add(jobs)
    with pool_of(where) as pool, shown(tally, pool, silent=not progress) as tell:
        while waiting or running:
            while (job := waiting.next(pool)) is not None:
                pool.start(job)
                tally.started(job)
                running += 1
            for outcome in pool.ended(_LOOK_S):
                running -= 1
                tally.ended(outcome)
                if then is not None:
                    waiting.add(then(outcome))
                tell()
                yield outcome
            tell()


def pool_of(where: Where) -> Pool:
    """Return what runs the jobs; the cluster's packages are imported only when it is asked for."""
    if where.scheduler is not None:
        from .cluster import Cluster

        return Cluster(where.scheduler, retries=where.retries)
    if where.jobs > 1:
        return Processes(where.jobs, retries=where.retries)
    return Here(retries=where.retries)


class _Waiting:
    """Jobs that have not been started, the ones for GPUs apart."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._heaps: dict[bool, list[tuple[int, int, Job]]] = {True: [], False: []}
        self._order = itertools.count()
        self._names: set[str] = set()

    def __bool__(self) -> bool:
        return any(self._heaps.values())

    def add(self, jobs: Iterable[Job]) -> None:
        """Take jobs in."""
        for job in jobs:
            if job.name in self._names:
                raise InputError(f"two jobs are called {job.name}")
            self._names.add(job.name)
            self._tally.added(job)
            heapq.heappush(self._heaps[job.gpu], (-job.priority, next(self._order), job))

    def next(self, pool: Pool) -> Job | None:
        """Take out the job to start now; None while there is no room for any."""
        ready = [heap for gpu, heap in self._heaps.items() if heap and pool.room(gpu=gpu)]
        if not ready:
            return None
        return heapq.heappop(min(ready, key=lambda heap: heap[0]))[-1]
