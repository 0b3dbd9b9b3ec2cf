"""What a full-size capture costs: the figures that plans of large runs start from, and their basis.

`docs/accuracy.md` has the measurements in full. What was not measured is called assumed and is a
round figure on the careful side; plans vary the one that matters most, the speed of a GPU.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from .simulation import Pool, SimulatedJob


class Basis(StrEnum):
    """Where a figure comes from."""

    MEASURED = "measured"
    EXTRAPOLATED = "extrapolated"
    ASSUMED = "assumed"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number and what it rests on."""

    value: float
    unit: str
    basis: Basis
    where: str
    """What was measured; or why this value."""


def _measured(value: float, unit: str, where: str) -> Figure:
    return Figure(value=value, unit=unit, basis=Basis.MEASURED, where=where)


def _extrapolated(value: float, unit: str, where: str) -> Figure:
    return Figure(value=value, unit=unit, basis=Basis.EXTRAPOLATED, where=where)


def _assumed(value: float, unit: str, where: str) -> Figure:
    return Figure(value=value, unit=unit, basis=Basis.ASSUMED, where=where)


@dataclass(frozen=True, kw_only=True)
class Capture:
    """What one capture costs, by the engine's jobs."""

    name: str
    mesh: Mapping[str, Figure]
    """CPU seconds, by what they go to."""
    registration: Mapping[str, Figure]
    """CPU seconds a take; one job for all takes of a person."""
    maps: Mapping[str, Figure]
    gigabytes: Mapping[str, Figure]
    """Job -> GB read and written for a take."""


_TEXELS = _measured(16, "CPU-s", "9 to 16 CPU-s")
_OF_VERTICES = (
    "78 bytes a vertex in mesh.ply and 86 in mesh.obj (measured on small takes), a third \
more for coarser scales"
)

SIX = Capture(
    name="9 cameras, stereo at 6 MP (default)",
    mesh={
        "rig check": _measured(28, "CPU-s", "nine views of 6 MP"),
        "mesh": _measured(130, "CPU-s", "a head that fills the frame, nine views of 6 MP"),
    },
    registration={
        "registration": _measured(18, "CPU-s", "a scan of 3.15 million triangles"),
    },
    maps={
        "maps of 4096 texels": _TEXELS,
        "albedo": _extrapolated(
            18, "CPU-s", "12 CPU-s of nine views of 1.5 MP, 0.11 CPU-s a megapixel to read more"
        ),
    },
    gigabytes={
        "mesh": _extrapolated(1.5, "GB", f"5.7 million vertices, {_OF_VERTICES}; photographs"),
        "registration": _extrapolated(0.5, "GB", "mesh.ply read"),
        "maps": _assumed(0.8, "GB", "mesh.ply and photographs read, maps of 150 MB written"),
    },
)
TWENTY_FOUR = Capture(
    name="9 cameras, stereo at 24 MP",
    mesh={
        "rig check": _extrapolated(110, "CPU-s", "8 and 28 CPU-s at 1.5 and 6 MP"),
        "mesh": _measured(442, "CPU-s", "nine views of 24 MP, virtual studio, seed 0"),
    },
    registration={
        "registration": _assumed(36, "CPU-s", "twice that of 3.15 million triangles"),
    },
    maps={
        "maps of 4096 texels": _TEXELS,
        "albedo": _extrapolated(
            36, "CPU-s", "12 CPU-s of nine views of 1.5 MP, 0.11 CPU-s a megapixel to read more"
        ),
    },
    gigabytes={
        "mesh": _extrapolated(4.2, "GB", f"17 million vertices, {_OF_VERTICES}; photographs"),
        "registration": _extrapolated(1.4, "GB", "mesh.ply read"),
        "maps": _assumed(1.9, "GB", "mesh.ply and photographs read, maps of 150 MB written"),
    },
)
CORES = _assumed(8, "cores a worker", "four workers on a node of 32 cores")
EFFICIENCY = _assumed(
    0.7, "of its cores at work",
    "loops over vertices and views run on all cores; reading, Poisson and writing do not",
)  # fmt: skip
GPU_MESH_SPEED = _assumed(
    4.0, "times a CPU worker's speed at meshes",
    "sweeps and PatchMatch run on the GPU, rays, reading and colours on its worker's cores; whole "
    "builds on CUDA were not timed",
)  # fmt: skip
SPREAD = _assumed(
    0.25, "standard deviation of log time between takes", "heads fill more or less of a photograph"
)
STORAGE = _assumed(1.0, "GB/s, all workers together", "one file server on 10-gigabit Ethernet")
LOST = _assumed(
    24 * 14, "h between losses of a worker", "reboots, time limits, full memories: twice a month"
)
PER_SESSION = 20
"""Takes of a person: registration of them all is one job, after the last of their meshes."""


def capture_jobs(
    capture: Capture, n_captures: int, rng: np.random.Generator, *,
    gpu_speed: float | None = None, per_session: int = PER_SESSION,
) -> list[SimulatedJob]:  # fmt: skip
    """Return the engine's jobs of a large run: a mesh a take, a registration, maps a take.

    Parameters
    ----------
    gpu_speed : float, optional
        Meshes are made by workers with a GPU, faster by this; by any worker without it.
    """
    jobs: list[SimulatedJob] = []
    pool = Pool.CPU if gpu_speed is None else Pool.GPU
    speed = 1.0 if gpu_speed is None else gpu_speed
    gigabytes = {name: figure.value for name, figure in capture.gigabytes.items()}
    for first in range(0, n_captures, per_session):
        n = min(per_session, n_captures - first)
        sizes = np.exp(SPREAD.value * rng.standard_normal(n)).tolist()
        meshes = range(len(jobs), len(jobs) + n)
        jobs += [
            SimulatedJob(
                stage="mesh", pool=pool, gigabytes=gigabytes["mesh"],
                seconds=size * worker_s(capture.mesh) / speed,
            )
            for size in sizes
        ]  # fmt: skip
        registration = len(jobs)
        jobs.append(
            SimulatedJob(
                stage="registration", pool=Pool.CPU, needs=tuple(meshes),
                seconds=n * worker_s(capture.registration),
                gigabytes=n * gigabytes["registration"],
            )
        )  # fmt: skip
        jobs += [
            SimulatedJob(
                stage="maps", pool=Pool.CPU, needs=(registration,),
                seconds=size * worker_s(capture.maps), gigabytes=gigabytes["maps"],
            )
            for size in sizes
        ]  # fmt: skip
    return jobs


def worker_s(cpu_s: Mapping[str, Figure]) -> float:
    """Return the seconds that a worker takes for a job."""
    return sum(figure.value for figure in cpu_s.values()) / (CORES.value * EFFICIENCY.value)
