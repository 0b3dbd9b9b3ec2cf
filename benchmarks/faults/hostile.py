"""Files of somebody who means harm: HDF5, names of files, pickles; none reads, writes or runs more.

Each input goes to the readers that a user's file of that kind meets, in a process that is watched:
what it opens outside of its folder, what it runs, and which data of an HDF5 file it reads.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from .gate import Gate
from .hostilepaths import path_cases
from .hostilepickles import pickle_cases
from .hostilerun import Case, Tried, try_cases
from .hostilestores import store_cases
from .hostiletargets import targets
from .parsers import all_parsers

LIMIT_SECONDS = 1.0
"""Of processor time, in which an HDF5 file has to be refused."""
_SAMPLE = {"hdf5": 12, "paths": 60, "pickles": 60}


@dataclass(frozen=True, kw_only=True)
class HostileFaults(Gate):
    """What came of hostile files."""

    hdf5: int = 0
    paths: int = 0
    pickles: int = 0
    read: int = 0
    """Inputs that were read and should not be, or data of theirs."""
    escaped: int = 0
    """Inputs by which something outside of their folder was touched."""
    executed: int = 0
    """Inputs that made something run."""

    def figures(self) -> dict[str, Any]:
        """Return the counts."""
        names = ("hdf5", "paths", "pickles", "read", "escaped", "executed")
        return {name: getattr(self, name) for name in names}


def hostile_faults(folder: Path, *, full: bool, seed: int) -> HostileFaults:
    """Try all hostile files; of the sample some of each kind, drawn by `seed`."""
    chosen: dict[str, list[Case]] = {}
    for kind, cases in _kinds().items():
        wanted = len(cases) if full else min(_SAMPLE[kind], len(cases))
        drawn = sorted(random.Random(seed).sample(range(len(cases)), wanted))
        chosen[kind] = [cases[i] for i in drawn]
    # the HDF5 library keeps in mind what was damaged: a process each
    batches = [[case.name] for case in chosen["hdf5"]]
    for kind in ("paths", "pickles"):
        batches += [[c.name for c in some] for _, some in groupby(chosen[kind], key=_reader)]
    found = try_cases(hostile_cases, batches, folder.resolve())
    of_hdf5 = {case.name for case in chosen["hdf5"]}
    return judged(found, {kind: len(some) for kind, some in chosen.items()}, of_hdf5)


def judged(found: Sequence[Tried], counts: dict[str, Any], hdf5: set[str]) -> HostileFaults:
    """Return what came of inputs.

    Parameters
    ----------
    counts : dict
        `hdf5`, `paths`, `pickles` -> inputs.
    hdf5 : set of str
        Cases that have a limit of time.
    """
    failures: list[str] = []
    for one in found:
        failures += one.failures
        if one.case in hdf5 and one.seconds > LIMIT_SECONDS:
            failures.append(f"{one.case}: took {one.seconds} s")
    return HostileFaults(
        cases=len(found), failures=tuple(failures), **counts,
        read=sum(bool(one.read) for one in found),
        escaped=sum(bool(one.escaped) for one in found),
        executed=sum(bool(one.executed) for one in found),
        worst_seconds=max((one.seconds for one in found if one.case in hdf5), default=float("nan")),
    )  # fmt: skip


def hostile_cases() -> list[Case]:
    """Return all cases."""
    return [case for cases in _kinds().values() for case in cases]


@cache
def _kinds() -> dict[str, list[Case]]:
    return {
        "hdf5": store_cases(),
        "paths": path_cases(targets()),
        "pickles": pickle_cases(all_parsers()),
    }


def _reader(case: Case) -> str:
    return case.name.partition(":")[0]
