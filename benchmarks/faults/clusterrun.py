"""A build on a cluster whose processes are killed, and what came of it.

Small takes of a virtual person are built on a local cluster as `facekit build-dataset
--scheduler` builds them, while processes are killed without warning. A coordinator that was
killed is started again with the same command. A ledger, kept beside the work by the workers
themselves, tells what was really executed.
"""

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from ...calibration.rigfile import load_rig
from ...capture.session import load_session
from ...capture.virtual.studio import rng_of
from ...core.devices import require
from ...core.errors import ConfigError, FacekitError
from ...core.files import read_json, sha256_file
from ...core.jobs import engine
from ...core.jobs.certificates import EXTRA
from ...core.jobs.job import Job, Outcome, Where
from ...core.jobs.localcluster import LocalCluster, local_cluster
from ...dataset import groundtruth
from ...dataset.build import SUMMARY, build_take
from ...dataset.groundtruth import NO_MODEL, GroundTruthConfig, build_ground_truth
from ..perf.ledger import Death, Ledger, Line, repeats, unfinished
from ..perf.smalltakes import SmallTakes, SmallTakesConfig, small_takes, take_names

_PATIENCE_S = 300.0  # without a line in the ledger; machines may be busy
_LOOK_S = 0.05
_END_S = 60.0  # of a coordinator whose scheduler has gone

_CLOCK = """\
import time

_now, _now_ns = time.time, time.time_ns
time.time = lambda: _now() + {seconds}
time.time_ns = lambda: _now_ns() + int({seconds} * 1e9)
"""
"""Python runs a module of the name `sitecustomize` when it starts."""

ONE_EACH = {"worker": 1, "coordinator": 1}
"""Kills by default."""


class Poison(StrEnum):
    """What is wrong with the poison take."""

    KILLS = "kills"
    """Whoever begins it is dead at once, as of a broken library."""
    MEMORY = "memory"
    """Whoever begins it takes memory without end."""
    BLANK = "blank"
    """Its photographs show nothing."""


_DEATHS = {Poison.KILLS: Death.KILLED, Poison.MEMORY: Death.MEMORY}


@dataclass(frozen=True, kw_only=True)
class DisturbedBuild:
    """What came of a run in which processes were killed."""

    takes: int
    poisoned: str
    """Id of the poison take."""
    done: int
    """Takes with a mesh in the summary."""
    reported: tuple[str, ...]
    """Takes that the summary calls failed."""
    reason: str
    """Of the first of them."""
    repeated: tuple[str, ...]
    """`take: stage` for each execution of a stage whose record was there already."""
    again: int
    """Stages that a last run executed, which should have found all of them."""
    different: int
    """Of the compared takes, those whose mesh is not that of an undisturbed build, to the byte."""
    compared: int
    kills: dict[str, int]
    """`worker`, `coordinator`, `scheduler` -> times that one was killed."""
    interrupted: int
    """Other takes that were cut off at least once."""
    died_of_poison: int
    """Workers that the poison take ended."""
    seconds: float


def disturbed_build(
    n_takes: int, *, folder: Path, seed: int = 0, workers: int = 2,
    kills: Mapping[str, int] = ONE_EACH, poison: Poison = Poison.KILLS, compared: int = 3,
    memory: str | None = None, clock_s: float = 0.0,
) -> DisturbedBuild:  # fmt: skip
    """Build takes on a local cluster and kill its processes; tell what came of it.

    Parameters
    ----------
    folder : Path
        For takes and meshes; what an earlier run left there is deleted.
    seed : int
        Draws the poison take, and which process is killed when.
    kills : Mapping[str, int]
        `worker`, `coordinator`, `scheduler` -> times that one is killed.
    compared : int
        Meshes held against those of an undisturbed build, interrupted takes first.
    memory : str, optional
        That a worker may take, such as `2GB`.
    clock_s : float
        By so much the clock of the last worker is ahead of the others', as Python tells it.

    Raises
    ------
    ConfigError
        Fewer takes than kills and poison need.
    MissingDependencyError
        Dask is not installed.
    FacekitError
        The run stands still.
    """
    require("distributed", extra=EXTRA)
    if n_takes < sum(kills.values()) + 2:
        raise ConfigError(f"takes: {n_takes}; each kill needs a take, and two more are needed")
    start = time.monotonic()
    rng = rng_of(seed, "cluster faults")
    bad = take_names(n_takes)[int(rng.integers(n_takes // 4, 3 * n_takes // 4 + 1))]
    for name in ("session", "build", "clean", "ledger"):
        shutil.rmtree(folder / name, ignore_errors=True)
    takes = small_takes(
        folder, n_takes, SmallTakesConfig(seed=seed),
        blank=[bad] if poison is Poison.BLANK else [],
    )  # fmt: skip
    plan = _Plan.of(folder, takes, deadly={bad: _DEATHS[poison]} if poison in _DEATHS else {})
    patience_s = _PATIENCE_S if kills.get("scheduler") else 0.0
    n_right = workers - 1 if clock_s else workers
    with local_cluster(
        folder / "cluster", workers=n_right, patience_s=patience_s, memory=memory
    ) as cluster:
        if clock_s:
            with _other_clock(folder / "clock", clock_s):
                cluster.add_worker()
        run = _Disturbed(plan, cluster, rng)
        run.until_done(_kills(n_takes, kills, rng))
        last = run.once_more()
    told = read_json(plan.build / SUMMARY)
    lines = plan.ledger.lines()
    differing, of = _different(plan, takes, rng, most=compared)
    return DisturbedBuild(
        takes=n_takes,
        poisoned=bad,
        done=sum((plan.build / name / "mesh.ply").is_file() for name in told["takes"]),
        reported=tuple(told["failed"]),
        reason=next(iter(told["failed"].values()), ""),
        repeated=tuple(repeats(lines)),
        again=sum(line.event == "end" for line in last),
        different=differing,
        compared=of,
        kills=dict(run.kills),
        interrupted=len(set(_touched(lines)) - {bad}),
        died_of_poison=sum(
            line.event == "begin" and _take_of(line.item) in plan.deadly for line in lines
        ),
        seconds=time.monotonic() - start,
    )


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What a coordinator is told; may be sent to another process."""

    session: Path
    rig_file: Path
    build: Path
    config: GroundTruthConfig
    ledger: Ledger
    deadly: Mapping[str, Death]
    """Ids of takes -> how who begins them ends."""

    @classmethod
    def of(cls, folder: Path, takes: SmallTakes, *, deadly: Mapping[str, Death]) -> "_Plan":
        """Return the plan of a session of small takes."""
        (folder / "ledger").mkdir(parents=True)
        build = takes.build
        config = GroundTruthConfig(
            megapixels=build.megapixels, start_megapixels=build.start_megapixels,
            check_rig=build.check_rig, model=NO_MODEL,
        )  # fmt: skip
        return cls(
            session=takes.session.folder,
            rig_file=takes.rig_file,
            build=folder / "build",
            config=config,
            ledger=Ledger(path=folder / "ledger" / "ledger.jsonl"),
            deadly=deadly,
        )


class _Disturbed:
    """A coordinator at work, and what befalls it and its workers."""

    def __init__(self, plan: _Plan, cluster: LocalCluster, rng: np.random.Generator) -> None:
        self.plan, self.cluster, self.rng = plan, cluster, rng
        self.kills = dict.fromkeys(("worker", "coordinator", "scheduler"), 0)
        self.coordinator = self._started()

    def until_done(self, kills: Sequence[tuple[int, str]]) -> None:
        """Go on until a coordinator has ended by itself; kill when so many takes are done."""
        left, read = list(kills), self.plan.ledger.follow()
        seen, seen_at = 0, time.monotonic()
        try:
            while self.coordinator.is_alive():
                time.sleep(_LOOK_S)
                lines = read()
                if len(lines) != seen:
                    seen, seen_at = len(lines), time.monotonic()
                elif time.monotonic() - seen_at > _PATIENCE_S:
                    raise FacekitError("the run on the cluster stands still")
                done = len({line.item for line in lines if line.event == "done"})
                if left and done >= left[0][0] and self._kill(left[0][1], lines):
                    self.kills[left.pop(0)[1]] += 1
            if left:
                raise FacekitError("the run on the cluster ended before all of its kills")
        finally:
            if self.coordinator.is_alive():
                self.coordinator.kill()
            self.coordinator.join()

    def once_more(self) -> list[Line]:
        """Run a last coordinator; return the lines that its workers left."""
        before = len(self.plan.ledger.lines())
        self.coordinator = self._started()
        self.until_done([])
        return self.plan.ledger.lines()[before:]

    def _kill(self, what: str, lines: Sequence[Line]) -> bool:
        """Kill a process, a worker in the middle of a stage; False if there is none."""
        if what == "coordinator":
            self.coordinator.kill()
        elif what == "scheduler":
            self.cluster.scheduler.kill()
            self.cluster.scheduler.wait()
            self.coordinator.join(_END_S)  # it ends by itself, with an error
            self.coordinator.kill()
            self.cluster.restart_scheduler()
        if what != "worker":
            self.coordinator.join()
            self.coordinator = self._started()
            return True
        alive = self.cluster.worker_pids()
        within = [line.pid for line in unfinished(lines).values() if line.event == "start"]
        victims = [pid for pid in within if pid in alive]
        if not victims:
            return False
        with suppress(ProcessLookupError):
            os.kill(victims[int(self.rng.integers(len(victims)))], signal.SIGKILL)
        return True

    def _started(self) -> BaseProcess:
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=_coordinate, args=(self.plan, str(self.cluster.file)))
        process.start()
        return process


def _kills(
    n_takes: int, victims: Mapping[str, int], rng: np.random.Generator
) -> list[tuple[int, str]]:
    """Return what is killed when so many takes are done, spread over the run, in order."""
    names = [name for name, times in victims.items() for _ in range(times)]
    rng.shuffle(names)
    moments = np.linspace(0, n_takes - 1, len(names) + 2)[1:-1]
    return [(max(1, int(moment)), name) for moment, name in zip(moments, names, strict=True)]


def _coordinate(plan: _Plan, scheduler: str) -> None:
    """Be a coordinator: `facekit build-dataset --scheduler`, with its jobs watched."""
    rig = load_rig(plan.rig_file)
    with mock.patch.object(groundtruth, "run", _watching(plan)), suppress(FacekitError):
        build_ground_truth(
            load_session(plan.session), rig, plan.build, plan.config,
            rig_file=plan.rig_file, scheduler=scheduler,
        )  # fmt: skip


def _watching(plan: _Plan) -> Callable[..., Iterator[Outcome]]:
    """Return `engine.run` for jobs that leave lines in the ledger."""

    def watch(jobs: Iterable[Job]) -> list[Job]:
        return [
            plan.ledger.watching(job, deadly=plan.deadly.get(_take_of(job.name))) for job in jobs
        ]

    def run(
        jobs: Sequence[Job], where: Where, *,
        then: Callable[[Outcome], Iterable[Job]] | None = None, **more: Any,
    ) -> Iterator[Outcome]:  # fmt: skip
        after = None if then is None else (lambda outcome: watch(then(outcome)))
        return engine.run(watch(jobs), where, then=after, **more)

    return run


@contextmanager
def _other_clock(folder: Path, seconds: float) -> Iterator[None]:
    """Let Python's clock be ahead in every process that is begun meanwhile, and in its children."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(_CLOCK.format(seconds=seconds), encoding="utf-8")
    paths = [str(folder), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, paths))):
        yield


def _take_of(job: str) -> str:
    """Return the id of a job's take: names are `session/take/stage`, or shorter."""
    return next((part for part in job.split("/") if part.startswith("take_")), "")


def _touched(lines: Sequence[Line]) -> list[str]:
    """Return the takes of which an execution was cut off, in order."""
    return list(dict.fromkeys(_take_of(line.item) for line in unfinished(lines).values()))


def _different(
    plan: _Plan, takes: SmallTakes, rng: np.random.Generator, *, most: int
) -> tuple[int, int]:
    """Build a few takes undisturbed, those that were interrupted first; count other meshes."""
    done = {path.parent.name for path in plan.build.glob("*/mesh.ply")}
    touched = _touched(plan.ledger.lines())
    others = [name for name in sorted(done) if name not in touched]
    names = [name for name in touched if name in done]
    names = [*names, *rng.permutation(others)][:most]
    differ = 0
    for name in names:
        clean = plan.build.parent / "clean" / str(name)
        build_take(takes.session, takes.session.take(str(name)), takes.rig, clean, takes.build)
        ours, theirs = clean / "mesh.ply", plan.build / str(name) / "mesh.ply"
        differ += sha256_file(ours) != sha256_file(theirs)
    return differ, len(names)
