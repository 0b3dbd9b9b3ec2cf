"""The simulated cluster keeps the laws of queues; a large run has the jobs that the engine has."""

import math

import numpy as np
import pytest

from facekit.benchmarks.perf.fullsize import SIX, TWENTY_FOUR, capture_jobs, worker_s
from facekit.benchmarks.perf.plans import GPU_SPEEDS, STORAGES_GB_S, plan_figures
from facekit.benchmarks.perf.simulation import Cluster, Pool, SimulatedJob, simulate
from facekit.core.errors import ConfigError


def _jobs(n: int, **fields: float) -> list[SimulatedJob]:
    return [SimulatedJob(stage="mesh", pool=Pool.CPU, **{"seconds": 2.0} | fields)
            for _ in range(n)]  # fmt: skip


def _cpu(n: int, **fields: float) -> Cluster:
    return Cluster(workers={Pool.CPU: n}, **fields)


@pytest.mark.parametrize("workers", [1, 3, 7, 40])
def test_equal_jobs_go_in_rounds(workers: int, rng: np.random.Generator) -> None:
    found = simulate(_jobs(20), _cpu(workers), rng)
    assert found.seconds == pytest.approx(2.0 * math.ceil(20 / workers))
    assert found.busy[Pool.CPU] == pytest.approx(40 / (workers * found.seconds))
    assert found.repeated == 0


def test_one_follows_the_other_where_it_needs_it(rng: np.random.Generator) -> None:
    chain = [
        SimulatedJob(stage="a", pool=Pool.CPU, seconds=1.0 + i, needs=(i - 1,) if i else ())
        for i in range(4)
    ]
    assert simulate(chain, _cpu(9), rng).seconds == pytest.approx(1 + 2 + 3 + 4)


def test_the_storage_serves_one_after_another(rng: np.random.Generator) -> None:
    found = simulate(_jobs(50, gigabytes=3.0), _cpu(50, storage_gb_s=1.5), rng)
    assert found.seconds == pytest.approx(50 * 3.0 / 1.5 + 2.0)  # the last one computes, too
    assert found.limit == "storage"


def test_the_coordinator_sends_one_after_another(rng: np.random.Generator) -> None:
    found = simulate(_jobs(50, seconds=0.01), _cpu(50, coordinator_s=0.5), rng)
    assert found.seconds == pytest.approx(50 * 0.5 + 0.01)
    assert found.limit == "coordinator"


def test_a_job_for_gpus_runs_there_alone(rng: np.random.Generator) -> None:
    jobs = [SimulatedJob(stage="mesh", pool=Pool.GPU, seconds=1.0) for _ in range(6)]
    found = simulate(jobs, Cluster(workers={Pool.CPU: 10, Pool.GPU: 2}), rng)
    assert found.seconds == pytest.approx(3.0)
    assert found.busy == {Pool.CPU: 0.0, Pool.GPU: pytest.approx(1.0)}
    with pytest.raises(ConfigError, match="no worker of pool gpu"):
        simulate(jobs, _cpu(10), rng)


def test_workers_with_gpus_take_the_rest_only_where_there_are_no_others(
    rng: np.random.Generator,
) -> None:
    alone = simulate(_jobs(4), Cluster(workers={Pool.CPU: 0, Pool.GPU: 2}), rng)
    assert alone.seconds == pytest.approx(4.0)
    beside = simulate(_jobs(4), Cluster(workers={Pool.CPU: 1, Pool.GPU: 2}), rng)
    assert beside.seconds == pytest.approx(8.0)


def test_what_a_lost_worker_had_begun_is_begun_again(rng: np.random.Generator) -> None:
    calm = simulate(_jobs(400, seconds=60), _cpu(4), rng)
    rough = simulate(_jobs(400, seconds=60), _cpu(4, lost_every_h=0.2, back_after_s=120), rng)
    # 400 minutes of work and one loss in 12 minutes: 33 are expected, 6 is their deviation
    assert 10 < rough.repeated < 70
    assert rough.seconds > calm.seconds + rough.repeated * 120 / 4


@pytest.mark.parametrize("capture", [SIX, TWENTY_FOUR], ids=["6 MP", "24 MP"])
def test_a_large_run_has_the_jobs_of_the_engine(capture, rng: np.random.Generator) -> None:  # type: ignore[no-untyped-def]
    jobs = capture_jobs(capture, 50, rng, per_session=20)
    stages = [job.stage for job in jobs]
    assert {stage: stages.count(stage) for stage in set(stages)} == {
        "mesh": 50, "registration": 3, "maps": 50,
    }  # fmt: skip
    meshes = [job for job in jobs if job.stage == "mesh"]
    assert np.mean([job.seconds for job in meshes]) == pytest.approx(
        worker_s(capture.mesh), rel=0.15  # 50 draws of 25 %: 3.5 % of their mean
    )  # fmt: skip
    for job in jobs:
        if job.stage == "registration":
            assert {jobs[need].stage for need in job.needs} == {"mesh"}
        if job.stage == "maps":
            assert [jobs[need].stage for need in job.needs] == ["registration"]
    assert sum(len(job.needs) for job in jobs if job.stage == "registration") == 50


def test_a_faster_gpu_makes_meshes_alone_faster(rng: np.random.Generator) -> None:
    slow, fast = (
        capture_jobs(SIX, 20, np.random.default_rng(1), gpu_speed=speed) for speed in (1.0, 4.0)
    )
    for one, other in zip(slow, fast, strict=True):
        factor = 4.0 if one.stage == "mesh" else 1.0
        assert one.seconds == pytest.approx(other.seconds * factor)
        assert (one.pool is Pool.GPU) == (one.stage == "mesh")


def test_plans_are_within_what_the_work_allows() -> None:
    rows = plan_figures(200, (1, 8), coordinator_s=0.01, seed=0)
    assert len(rows) == 2 * 2 * len(STORAGES_GB_S) * (1 + len(GPU_SPEEDS))
    hours = {
        (r["capture"], r["workers"], r["storage_gb_s"], r["gpu_speed"]): r["hours"] for r in rows
    }
    for (capture, workers, storage, speed), found in hours.items():
        if workers == 8:
            assert found < hours[(capture, 1, storage, speed)]
            assert found > hours[(capture, 1, storage, speed)] / 8 * 0.99 or speed is not None
        if storage == STORAGES_GB_S[0]:
            assert found >= hours[(capture, workers, STORAGES_GB_S[1], speed)] * 0.95
