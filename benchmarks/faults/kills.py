"""`kill -9` at random moments of every stage; the same command again has to make it as if never.

Each stage runs once undisturbed. Then, into an empty folder, it is begun, killed at a random
moment of the time it took, and run again to its end. What it leaves has to be what the
undisturbed run left, to the byte; seconds and moments in records are left out (`trees`), and no
unfinished file may be left. What was whole under its own name when the kill came has to be there
afterwards, unchanged: nothing that was acknowledged is lost.
"""

import random
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ...core.console import track
from .bystage import by_stage
from .gate import Gate, Parts
from .trees import Tree, tree_of
from .warm import Ended, run_command
from .workplace import Stage, Workplace

_POINTS, _SAMPLE_POINTS = 50, 2
_SAMPLED = ("ingest", "export hdf5", "erase")


@dataclass(frozen=True, kw_only=True)
class KillFaults(Gate):
    """What came of the kills."""

    stages: dict[str, int] = field(default_factory=dict)
    """Stage -> runs that a kill cut off."""
    lost: int = 0
    """Points after which something acknowledged was gone or changed."""
    differing: int = 0
    """Points after which the second run ended ill, or left something else."""

    def figures(self) -> dict[str, Any]:
        """Return the counts."""
        return {
            "points": self.cases, "lost": self.lost, "differing": self.differing,
            "stages": dict(self.stages),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Point:
    """One kill."""

    was_killed: bool
    lost: list[str]
    said: list[str]
    seconds: float


def kill_faults(folder: Path, *, full: bool, seed: int, sound: Parts | None = None) -> KillFaults:
    """Kill every stage at 50 moments; of the sample the quick ones at two.

    Parameters
    ----------
    sound : Parts, optional
        Stages that need not be tried again.
    """
    names = [stage.name for stage in Workplace(folder).stages()] if full else _SAMPLED
    work = partial(
        _kills_of, folder=folder, points=_POINTS if full else _SAMPLE_POINTS, seed=seed
    )  # fmt: skip
    return by_stage(
        work, names, what="kills", jobs=None if full else 1, kind=KillFaults, sound=sound
    )


def _kills_of(name: str, *, folder: Path, points: int, seed: int) -> KillFaults:
    place = Workplace(folder / name, seed=seed)
    return kill_stages(place, [place.stage(name)], points=points, seed=seed)


def kill_stages(place: Workplace, stages: Sequence[Stage], *, points: int, seed: int) -> KillFaults:
    """Kill each stage so many times."""
    failures: list[str] = []
    killed: dict[str, int] = {}
    lost = differing = 0
    worst = 0.0
    for stage in stages:
        chance = random.Random(f"{seed} {stage.name}")
        before, wanted, seconds = _undisturbed(place, stage)
        if wanted is None:
            failures.append(f"{stage.name}: {before}")
            continue
        killed[stage.name] = 0
        for number in track(range(points), f"kills: {stage.name}", total=points):
            moment = seconds * (number + chance.random()) / points
            point = _point(place, stage, moment, wanted)
            seconds = min(seconds, point.seconds)
            if not point.was_killed:  # the machine was busier before: earlier, then
                point = _point(place, stage, seconds * chance.random() * 0.7, wanted)
            killed[stage.name] += point.was_killed
            lost += bool(point.lost)
            differing += bool(point.said)
            worst = max(worst, point.seconds)
            failures += [
                f"{stage.name}, killed after {moment:.2f} s: {line}"
                for line in (*point.lost, *point.said)
            ]
    return KillFaults(
        cases=points * len(stages), failures=tuple(failures), worst_seconds=worst, stages=killed,
        lost=lost, differing=differing,
    )  # fmt: skip


def _undisturbed(place: Workplace, stage: Stage) -> tuple[str, Tree | None, float]:
    """Run a stage to its end; return what it said, what it left, and its seconds."""
    stage.command(Path())  # makes what it begins with
    run_command(["--version"], log=place.folder / "log.txt")  # starts the warm process
    out = _laid(place, stage)
    ended = _run(place, stage, out)
    if ended.code != 0:
        return _words(ended), None, ended.seconds
    return "", tree_of(out), ended.seconds


def _point(place: Workplace, stage: Stage, moment: float, wanted: Tree) -> _Point:
    out = _laid(place, stage)
    first = _run(place, stage, out, kill_after=moment)
    there = tree_of(out) if out.is_dir() else Tree(hashes={}, strays=())
    whole = {path for path, known in there.hashes.items() if wanted.hashes.get(path) == known}
    second = _run(place, stage, out)
    said = [f"the next run ended ill: {_words(second)}"] if second.code != 0 else []
    left = tree_of(out) if out.is_dir() else Tree(hashes={}, strays=())
    lost = [
        f"{path} was whole and is lost" for path in sorted(whole)
        if left.hashes.get(path) != wanted.hashes[path]
    ]  # fmt: skip
    shutil.rmtree(out, ignore_errors=True)
    return _Point(
        was_killed=first.code == -signal.SIGKILL, lost=lost, said=said + left.differences(wanted),
        seconds=second.seconds,
    )  # fmt: skip


def _laid(place: Workplace, stage: Stage) -> Path:
    """Return the folder that a stage writes into, as it is before the stage."""
    out = place.folder / "run" / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(exist_ok=True)
    if stage.prepare is not None:
        stage.prepare(out)
    return out


def _run(place: Workplace, stage: Stage, out: Path, **how: Any) -> Ended:
    return run_command(stage.command(out), log=place.folder / "log.txt", **how)


def _words(ended: Ended) -> str:
    lines = ended.said.strip().splitlines() or ["nothing was said"]
    return f"exit code {ended.code}, {lines[-1][:200]}"
