"""A cluster at work, event by event: what a large run takes, before machines are asked for.

Jobs wait for others, for a free worker of their pool, for the coordinator that sends them out one
after another, and for the shared storage, which serves one request at a time at its full rate.
Workers are lost at random and come back; what they had begun is begun again.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from ...core.errors import ConfigError

_SATURATED = 0.85
"""Share of the time above which what all share is the limit."""


class Pool(StrEnum):
    """A kind of worker."""

    CPU = "cpu"
    GPU = "gpu"


@dataclass(frozen=True, kw_only=True)
class SimulatedJob:
    """One future of the engine."""

    stage: str
    pool: Pool
    seconds: float
    """On a worker of its pool, storage aside."""
    gigabytes: float = 0.0
    """Read and written through the shared storage."""
    needs: tuple[int, ...] = ()
    """Places of the jobs, earlier in the list, that it waits for."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What the jobs run on."""

    workers: Mapping[Pool, int]
    """Those with a GPU take jobs of the CPU's only where there are no others."""
    coordinator_s: float = 0.0
    """That the coordinator is busy with each job."""
    storage_gb_s: float = float("inf")
    """Rate of the shared storage, all workers together."""
    lost_every_h: float = float("inf")
    """Mean time after which a worker is lost."""
    back_after_s: float = 60.0
    """Until a lost worker is there again."""

    def __post_init__(self) -> None:
        if not self.storage_gb_s > 0 or not self.lost_every_h > 0:
            raise ConfigError("storage_gb_s and lost_every_h need to be above 0")


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """What came of a simulated run."""

    seconds: float
    """From the first job sent to the last one done."""
    busy: dict[Pool, float]
    """Share of a pool's time with a job on it, 0-1."""
    storage_busy: float
    """Share of the time that the storage transfers, 0-1."""
    coordinator_busy: float
    repeated: int
    """Jobs begun again because their worker was lost."""

    @property
    def limit(self) -> str:
        """What more of would help most."""
        # a worker that waits for the storage or the coordinator counts as busy: ask these first
        shared = {"storage": self.storage_busy, "coordinator": self.coordinator_busy}
        name = max(shared, key=lambda name: shared[name])
        if shared[name] > _SATURATED:
            return name
        return str(max(self.busy, key=lambda pool: self.busy[pool]))


def simulate(jobs: Sequence[SimulatedJob], cluster: Cluster, rng: np.random.Generator) -> Simulated:
    """Run `jobs` on a cluster that is only thought of.

    Raises
    ------
    ConfigError
        A job needs a pool without workers.
    """
    able = {pool for pool in Pool if _able(cluster, pool)}
    missing = {job.pool for job in jobs} - able
    if missing:
        raise ConfigError(f"no worker of pool {', '.join(sorted(missing))} for its jobs")
    run = _Run(jobs, cluster, rng)
    run.until_done()
    total = max(run.now, 1e-12)
    return Simulated(
        seconds=run.now,
        busy={pool: run.busy_s[pool] / (total * n) for pool, n in cluster.workers.items() if n > 0},
        storage_busy=run.storage_s / total,
        coordinator_busy=run.coordinator_s / total,
        repeated=run.repeated,
    )


def _able(cluster: Cluster, pool: Pool) -> bool:
    """Tell whether some worker takes jobs of a pool."""
    with_gpu = cluster.workers.get(Pool.GPU, 0)
    return with_gpu > 0 or (pool is Pool.CPU and cluster.workers.get(Pool.CPU, 0) > 0)


@dataclass
class _Run:
    """The state of a simulated run."""

    jobs: Sequence[SimulatedJob]
    cluster: Cluster
    rng: np.random.Generator
    now: float = 0.0
    storage_s: float = 0.0
    coordinator_s: float = 0.0
    repeated: int = 0
    busy_s: dict[Pool, float] = field(default_factory=lambda: dict.fromkeys(Pool, 0.0))

    def __post_init__(self) -> None:
        self._free = dict(self.cluster.workers)
        self._events: list[tuple[float, int, str, int, Pool]] = []
        self._count = itertools.count()
        self._storage_free = self._coordinator_free = 0.0
        self._waits_for = [len(job.needs) for job in self.jobs]
        self._leads_to: list[list[int]] = [[] for _ in self.jobs]
        for place, job in enumerate(self.jobs):
            for need in job.needs:
                self._leads_to[need].append(place)
        # what continues something begun goes first: sessions end one by one, not all at the end
        self._begun: dict[Pool, deque[int]] = {pool: deque() for pool in Pool}
        self._new = {
            pool: deque(i for i, job in enumerate(self.jobs) if job.pool is pool and not job.needs)
            for pool in Pool
        }

    def until_done(self) -> None:
        left = len(self.jobs)
        self._send_all()
        while left:
            self.now, _, kind, place, worker = heapq.heappop(self._events)
            if kind == "back":
                self._free[worker] += 1
            elif kind == "lost":
                self.repeated += 1
                self._begun[self.jobs[place].pool].append(place)
                self._at(self.now + self.cluster.back_after_s, "back", place, worker)
            else:
                left -= 1
                self._free[worker] += 1
                for after in self._leads_to[place]:
                    self._waits_for[after] -= 1
                    if not self._waits_for[after]:
                        self._begun[self.jobs[after].pool].append(after)
            self._send_all()

    def _send_all(self) -> None:
        rest = Pool.CPU if self.cluster.workers.get(Pool.CPU, 0) else Pool.GPU
        for pool, worker in ((Pool.GPU, Pool.GPU), (Pool.CPU, rest)):
            while self._free.get(worker, 0) and (self._begun[pool] or self._new[pool]):
                waiting = self._begun[pool] or self._new[pool]
                self._send(waiting.popleft(), worker)

    def _send(self, place: int, worker: Pool) -> None:
        """Give a job to a free worker, and note when it ends there."""
        job = self.jobs[place]
        self._free[worker] -= 1
        start = max(self.now, self._coordinator_free) + self.cluster.coordinator_s
        self._coordinator_free = start
        self.coordinator_s += self.cluster.coordinator_s
        if job.gigabytes:
            transfer = job.gigabytes / self.cluster.storage_gb_s
            start = self._storage_free = max(start, self._storage_free) + transfer
            self.storage_s += transfer
        end, kind = start + job.seconds, "done"
        lost = self.now + self._lifetime_s()
        if lost < end:
            end, kind = lost, "lost"
        self.busy_s[worker] += end - self.now
        self._at(end, kind, place, worker)

    def _lifetime_s(self) -> float:
        if np.isinf(self.cluster.lost_every_h):
            return float("inf")
        return float(self.rng.exponential(3600 * self.cluster.lost_every_h))

    def _at(self, time: float, kind: str, place: int, worker: Pool) -> None:
        heapq.heappush(self._events, (time, next(self._count), kind, place, worker))
