"""Kills on a cluster: workers, coordinator, scheduler, and a take that ends whoever works on it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .clusterrun import DisturbedBuild, Poison, disturbed_build
from .gate import Gate

_SAMPLE_TAKES = 8
_TAKES = 200
_APART_TAKES, _APART_S, _MEMORY = 24, 7200.0, "2GB"
_ROUGH_TAKES, _ROUGH_KILLS = 60, {"worker": 20, "coordinator": 10, "scheduler": 3}


@dataclass(frozen=True, kw_only=True)
class ClusterFaults(Gate):
    """What came of builds on a cluster whose processes were killed."""

    takes: int
    done: int
    """Takes built in the end."""
    reported: int
    """Takes that the summaries call failed: one poison take in each build."""
    repeated: int
    """Stages executed although their record was there already."""
    compared: int
    """Meshes held against those of an undisturbed build."""
    killed: dict[str, int]
    """`worker`, `coordinator`, `scheduler` -> times that one was killed."""
    died_of_poison: int
    """Workers."""
    clock_s: float = 0.0
    """By so much workers' clocks were apart, at most."""

    def figures(self) -> dict[str, Any]:
        """Return the counts."""
        return {
            "takes": self.takes, "done": self.done, "reported": self.reported,
            "repeated": self.repeated, "compared": self.compared,
            **{f"{name}_kills": times for name, times in self.killed.items()},
            "died_of_poison": self.died_of_poison, "clocks_apart_s": self.clock_s,
        }  # fmt: skip


def cluster_faults(folder: Path, *, full: bool, seed: int) -> ClusterFaults:
    """Build small takes on a local cluster of two workers while its processes are killed.

    In full 200 takes with a worker and the coordinator killed once each and a take that kills
    whoever begins it; 60 with many more kills, of the scheduler, too, and a blank take; and a few
    with workers whose clocks are hours apart and a take that takes memory without end.

    Raises
    ------
    MissingDependencyError
        Dask is not installed.
    """
    if not full:
        sample = disturbed_build(
            _SAMPLE_TAKES, folder=folder / "sample", seed=seed, poison=Poison.BLANK, compared=1
        )
        return gate_of([sample])
    calm = disturbed_build(_TAKES, folder=folder / "calm", seed=seed, poison=Poison.KILLS)
    rough = disturbed_build(
        _ROUGH_TAKES, folder=folder / "rough", seed=seed, kills=_ROUGH_KILLS, poison=Poison.BLANK
    )
    apart = disturbed_build(
        _APART_TAKES, folder=folder / "apart", seed=seed, kills={"worker": 1},
        poison=Poison.MEMORY, memory=_MEMORY, clock_s=_APART_S,
    )  # fmt: skip
    return replace(gate_of([calm, rough, apart]), clock_s=_APART_S)


def gate_of(builds: Sequence[DisturbedBuild]) -> ClusterFaults:
    """Return the gate over builds."""
    killed: dict[str, int] = {}
    for build in builds:
        for name, times in build.kills.items():
            killed[name] = killed.get(name, 0) + times
    return ClusterFaults(
        cases=sum(killed.values()) + len(builds),
        failures=tuple(sentence for build in builds for sentence in complaints(build)),
        worst_seconds=max(build.seconds for build in builds),
        takes=sum(build.takes for build in builds),
        done=sum(build.done for build in builds),
        reported=sum(len(build.reported) for build in builds),
        repeated=sum(len(build.repeated) + build.again for build in builds),
        compared=sum(build.compared for build in builds),
        killed=killed,
        died_of_poison=sum(build.died_of_poison for build in builds),
    )


def complaints(build: DisturbedBuild) -> list[str]:
    """Return what is wrong with what came of a build, a sentence each."""
    said = []
    if build.done != build.takes - 1:
        said.append(f"{build.done} of {build.takes - 1} sound takes were built")
    if build.reported != (build.poisoned,):
        told = ", ".join(build.reported) or "none"
        said.append(f"{build.poisoned} cannot be built, but {told} was reported")
    if "nobody minded" in build.reason:
        said.append(f"{build.poisoned}: {build.reason}")
    said += [f"{stage}: done again although its record was there" for stage in build.repeated]
    if build.again:
        said.append(f"{build.again} stages were done by a run that should have found them all")
    if build.different:
        said.append(f"{build.different} of {build.compared} meshes differ from an undisturbed run")
    return said
