"""Plans of large runs: hours, and what limits them, by workers with and without GPUs."""

import itertools
from collections.abc import Sequence
from typing import Any

from ...capture.virtual.studio import rng_of
from .fullsize import (
    GPU_MESH_SPEED,
    LOST,
    SIX,
    STORAGE,
    TWENTY_FOUR,
    Capture,
    capture_jobs,
)
from .simulation import Cluster, Pool, Simulated, simulate

GPU_SPEEDS = (2.0, GPU_MESH_SPEED.value, 8.0)
"""How much faster a GPU may make meshes: that was not measured, so plans are told for several."""
STORAGES_GB_S = (STORAGE.value, 5.0)
"""Rates of the shared storage that plans are told for."""


def plan_figures(
    n_captures: int, workers: Sequence[int], *, coordinator_s: float, seed: int
) -> list[dict[str, Any]]:
    """Simulate a run on each number of workers, JSON-able.

    Parameters
    ----------
    coordinator_s : float
        That the coordinator is busy with each job; measured on the small takes.

    Returns
    -------
    list of dict
        `capture`, `captures`, `workers`, `with_gpu` (of them), `gpu_speed` (None without),
        `storage_gb_s`, `hours`, `captures_per_hour`, `cpu_busy`, `gpu_busy`, `storage_busy` and
        `coordinator_busy` (shares), `limit`, `repeated`.
    """
    rows = []
    for capture, n, storage, speed in itertools.product(
        (SIX, TWENTY_FOUR), workers, STORAGES_GB_S, (None, *GPU_SPEEDS)
    ):
        rng = rng_of(seed, f"plan of {n}")  # the same captures, with GPUs or without
        jobs = capture_jobs(capture, n_captures, rng, gpu_speed=speed)
        with_gpu = 0 if speed is None else with_gpu_of(n)
        cluster = Cluster(
            workers={Pool.CPU: n - with_gpu, Pool.GPU: with_gpu},
            coordinator_s=coordinator_s,
            storage_gb_s=storage,
            lost_every_h=LOST.value,
        )
        rows.append(_row(capture, n_captures, cluster, speed, simulate(jobs, cluster, rng)))
    return rows


def with_gpu_of(workers: int) -> int:
    """Return how many of the workers have a GPU: every second one, at least one."""
    return max(1, workers // 2)


def _row(
    capture: Capture, n_captures: int, cluster: Cluster, speed: float | None, found: Simulated
) -> dict[str, Any]:
    hours = found.seconds / 3600
    return {
        "capture": capture.name,
        "captures": n_captures,
        "workers": sum(cluster.workers.values()),
        "with_gpu": cluster.workers[Pool.GPU],
        "gpu_speed": speed,
        "storage_gb_s": cluster.storage_gb_s,
        "hours": hours,
        "captures_per_hour": n_captures / hours,
        "cpu_busy": found.busy.get(Pool.CPU),
        "gpu_busy": found.busy.get(Pool.GPU),
        "storage_busy": found.storage_busy,
        "coordinator_busy": found.coordinator_busy,
        "limit": found.limit,
        "repeated": found.repeated,
    }
