"""The scale benchmark: throughput by workers, cost a take as a data set grows, plans of large runs.

A session of small takes grows step by step and is built after each on a local cluster, through the
engine, the records and the code of `facekit build-dataset`; only the photographs are small. Cost
is processor time of the coordinator, the scheduler and the workers together, since the clock also
shows what else the machine does.
"""

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...core.errors import ConfigError
from ...core.files import sha256_file, write_json
from ...core.jobs.localcluster import LocalCluster, local_cluster
from ...dataset.groundtruth import NO_MODEL, GroundTruthConfig, build_ground_truth
from ..virtual import finite
from .plans import plan_figures
from .processcost import cpu_seconds
from .smalltakes import SmallTakes, SmallTakesConfig, small_takes

__all__ = ["ScaleBenchConfig", "bench_scale"]

log = logging.getLogger(__name__)

RESULT_FILE = "scale_bench.json"
_WARM = 2  # takes a worker builds before anything is timed: it imports and compiles


@dataclass(frozen=True, kw_only=True)
class ScaleBenchConfig:
    """How many takes, on how many workers, and which plans."""

    SHORT_FORMS: ClassVar[dict[str, Callable[[str], Any]]] = {
        "workers": lambda text: tuple(int(part) for part in text.split(","))
    }

    takes: int = 200
    workers: tuple[int, ...] = (1, 2)
    steps: int = 8  # in which the data set grows to all its takes
    layout: str = SmallTakesConfig.layout  # of the small takes
    megapixels: float = SmallTakesConfig.megapixels
    seed: int = 0
    captures: int = 2000  # of the simulated plans
    planned_workers: tuple[int, ...] = (1, 8, 64)

    def __post_init__(self) -> None:
        if not 2 <= self.steps <= self.takes:
            raise ConfigError(f"steps: {self.steps}; give 2 to the number of takes")
        if not self.workers or min(self.workers) < 1 or max(self.workers) > 64:
            raise ConfigError("workers: give one or more numbers from 1 to 64")

    @property
    def sizes(self) -> list[int]:
        """Takes of the data set after each step."""
        return [round(self.takes * (step + 1) / self.steps) for step in range(self.steps)]

    def sizes_on(self, workers: int) -> list[int]:
        """Return the sizes built on so many workers: all on the most, the first on fewer."""
        return self.sizes if workers == max(self.workers) else self.sizes[: max(2, self.steps // 4)]

    @property
    def small(self) -> SmallTakesConfig:
        """What the takes show."""
        return SmallTakesConfig(layout=self.layout, megapixels=self.megapixels, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What it cost to build the takes that came to a data set."""

    takes: int
    """Of the data set, then."""
    added: int
    wall_s: float
    cpu_s: float
    """Of all processes, for the added takes and the look at the finished ones."""
    coordinator_s: float
    """Of that, processor time of this process."""


def bench_scale(config: ScaleBenchConfig, out: Path) -> dict[str, Any]:
    """Run the scale benchmark in `out`, anew each time.

    Returns
    -------
    dict
        JSON-able, also written to `scale_bench.json`. `workers`: number -> `takes` (all on the
        most workers, the first steps on fewer), `takes_per_min` (median over the steps, by the
        clock), `cpu_s_per_take`, `coordinator_s_per_take`, `growth_percent` (of the cost a take,
        from an empty data set to a full one, by a line through the steps), its standard error
        `growth_se_percent`, `growth_ms_per_100` (the same in CPU ms a take, 100 takes on),
        `found_again_s` and `found_again_cpu_s` (a take of a last run that finds all done; so
        much for each finished take is taken off the cost of those that were added), `steps`.
        `speedup`: of the most workers over the fewest. `meshes_differ`: takes whose mesh is not
        the same to the byte whatever the number of workers. `load`: processes that were ready
        to run, others' included, mean over the runs. `plans`: see `plans.plan_figures`.

    Raises
    ------
    InputError
        `out` holds the takes of another seed or size.
    MissingDependencyError
        Dask is not installed.
    """
    started = time.perf_counter()
    measured, hashes = {}, []
    load = []
    for workers in config.workers:
        folder = out / f"workers-{workers}"
        log.info("%d workers", workers)
        measured[str(workers)] = _measured(config, workers, folder)
        hashes.append(_mesh_hashes(folder / "build"))
        load.append(os.getloadavg()[0])
    first, last = measured[str(min(config.workers))], measured[str(max(config.workers))]
    coordinator_s = max(row["coordinator_s_per_take"] for row in measured.values())
    result: dict[str, Any] = finite({
        "takes": config.takes,
        "layout": config.layout,
        "megapixels": config.megapixels,
        "cores": os.cpu_count(),
        "load": float(np.mean(load)),
        "workers": measured,
        "speedup": last["takes_per_min"] / first["takes_per_min"],
        "meshes_differ": _differing(hashes),
        "plans": plan_figures(
            config.captures, config.planned_workers, coordinator_s=coordinator_s, seed=config.seed
        ),
        "total_s": time.perf_counter() - started,
    })  # fmt: skip
    write_json(out / RESULT_FILE, result)
    return result


def _measured(config: ScaleBenchConfig, workers: int, folder: Path) -> dict[str, Any]:
    """Let a data set grow on so many workers; return what that cost."""
    _forget(folder / "build")
    with local_cluster(folder / "cluster", workers=workers) as cluster:
        warm = small_takes(
            folder / "warm", _WARM * workers, dataclasses.replace(config.small, seed=-1)
        )
        _forget(folder / "warm" / "build")
        start_s = _timed(lambda: _build(warm, folder / "warm" / "build", cluster), cluster)[0]
        steps, before = [], 0
        for size in config.sizes_on(workers):
            takes = small_takes(folder, size, config.small)
            wall, cpu, own = _timed(
                lambda takes=takes: _build(takes, folder / "build", cluster),  # type: ignore[misc]
                cluster,
            )
            steps.append(
                Step(
                    takes=size, added=size - before, wall_s=wall, cpu_s=cpu, coordinator_s=own
                )
            )  # fmt: skip
            log.info("%d takes: %.2f CPU-s a take", size, cpu / (size - before))
            before = size
        again, again_cpu, _ = _timed(lambda: _build(takes, folder / "build", cluster), cluster)
    look_cpu_s = again_cpu / before
    return {
        "takes": before,
        "start_s": start_s,
        "takes_per_min": float(np.median([60 * s.added / s.wall_s for s in steps])),
        "cpu_s_per_take": sum(added_cpu_s(s, look_cpu_s) for s in steps) / before,
        "coordinator_s_per_take": sum(s.coordinator_s for s in steps) / before,
        **growth(steps, look_cpu_s=look_cpu_s),
        "found_again_s": again / before,
        "found_again_cpu_s": look_cpu_s,
        "steps": [dataclasses.asdict(step) for step in steps],
    }


def added_cpu_s(step: Step, look_cpu_s: float) -> float:
    """Return what the added takes of a step cost: each run also looks at those that are done."""
    return step.cpu_s - look_cpu_s * (step.takes - step.added)


def growth(steps: Sequence[Step], *, look_cpu_s: float) -> dict[str, float]:
    """Return by how many percent the cost of a take grows from an empty data set to a full one.

    A line through the steps' costs, by least squares; `growth_se_percent` is the standard
    error, NaN of two steps alone.

    Parameters
    ----------
    look_cpu_s : float
        That a look at a finished take costs.
    """
    size = np.array([step.takes - step.added / 2 for step in steps])
    cost = np.array([added_cpu_s(step, look_cpu_s) / step.added for step in steps])
    middle = size - size.mean()
    slope = float(middle @ cost / (middle @ middle))
    at_zero = float(cost.mean() - slope * size.mean())
    rest = cost - at_zero - slope * size
    error = (
        np.sqrt(rest @ rest / (len(steps) - 2) / (middle @ middle)) if len(steps) > 2 else np.nan
    )
    full = steps[-1].takes
    return {
        "growth_percent": 100 * slope * full / at_zero,
        "growth_se_percent": 100 * float(error) * full / at_zero,
        "growth_ms_per_100": 1e5 * slope,
    }


def _build(takes: SmallTakes, out: Path, cluster: LocalCluster) -> None:
    """Build what is not there yet, as `facekit build-dataset --scheduler` does."""
    fields = dataclasses.asdict(takes.build)
    build_ground_truth(
        takes.session, takes.rig, out, GroundTruthConfig(**fields, model=NO_MODEL),
        rig_file=takes.rig_file, scheduler=str(cluster.file),
    )  # fmt: skip


def _timed(work: Callable[[], None], cluster: LocalCluster) -> tuple[float, float, float]:
    """Return seconds by the clock, CPU seconds of all processes, and of this one."""
    wall, own = time.perf_counter(), time.process_time()
    others = _cluster_cpu(cluster)
    work()
    own = time.process_time() - own
    return time.perf_counter() - wall, own + _cluster_cpu(cluster) - others, own


def _cluster_cpu(cluster: LocalCluster) -> float:
    pids = [cluster.scheduler.pid, *(nanny.pid for nanny in cluster.workers)]
    return cpu_seconds([*pids, *cluster.worker_pids()])


def _mesh_hashes(build: Path) -> dict[str, str]:
    return {path.parent.name: sha256_file(path) for path in sorted(build.glob("*/mesh.ply"))}


def _differing(hashes: Sequence[dict[str, str]]) -> int:
    names = set().union(*hashes)
    return sum(len({one[name] for one in hashes if name in one}) > 1 for name in names)


def _forget(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
