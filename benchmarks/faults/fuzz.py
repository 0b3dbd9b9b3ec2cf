"""The gate of damaged files: every reader refuses with a sentence, within its time and memory."""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.console import track
from .fuzzrun import Outcome, Trial, run_parsers
from .gate import Gate, Parts
from .parsers import all_parsers

FULL_CASES = 10_000
SAMPLE_CASES = 40
SLOW_SHARE = 50
"""A reader that takes a tenth of a second has so many times fewer inputs in the sample."""


@dataclass(frozen=True, kw_only=True)
class FuzzFaults(Gate):
    """What came of damaged inputs."""

    outcomes: tuple[Outcome, ...]

    def figures(self) -> dict[str, Any]:
        """Return counts of all readers, and of each."""
        return {
            "untyped": len(self.failures),
            "parsers": len(self.outcomes),
            "refused": sum(one.refused for one in self.outcomes),
            "least_cases": min((one.cases for one in self.outcomes), default=0),
        }  # fmt: skip


def fuzz_faults(
    folder: Path, *, full: bool, seed: int, cases: int | None = None,
    parsers: Sequence[str] | None = None, jobs: int | None = None, sound: Parts | None = None,
) -> FuzzFaults:  # fmt: skip
    """Damage small valid files of every kind, and read them.

    A failure is a crash, more than ten seconds of processor time, a process that needs 2 GB
    more, an exception that is no `FacekitError`, a file touched outside of the input's folder,
    or code that the file brought along.

    Parameters
    ----------
    folder : Path
        For the inputs; those that failed are kept in `failed/`.
    cases : int, optional
        Inputs a reader.
    parsers : sequence of str, optional
        Names of readers; all by default.
    jobs : int, optional
        Processes; two for all of them, else one.
    sound : Parts, optional
        Readers that need not be tried again.
    """
    n = cases or (FULL_CASES if full else SAMPLE_CASES)
    jobs = jobs or (2 if full else 1)
    share = 1 if full else SLOW_SHARE
    trial = Trial(folder=folder, cases=range(n), chance=seed, slow_share=share)
    found: list[Outcome] = []
    if sound:
        names = [parser.name for parser in all_parsers()]
        found = [_of_record(name, sound[name]) for name in names if name in sound]
        parsers = [name for name in names if name not in sound]

    def run(part: int) -> list[Outcome]:
        return list(run_parsers(all_parsers, trial, parsers, part=(part, jobs)))

    with ThreadPoolExecutor(jobs) as pool:
        for future in track([pool.submit(run, k) for k in range(jobs)], "damaged files"):
            found += future.result()
    return FuzzFaults(
        cases=sum(one.cases for one in found),
        failures=tuple(_sentence(one, *failure) for one in found for failure in one.failures),
        worst_seconds=max((one.worst_seconds for one in found), default=math.nan),
        worst_megabytes=max((one.worst_megabytes for one in found), default=math.nan),
        each={one.parser: _record(one) for one in found},
        outcomes=tuple(found),
    )


def _record(outcome: Outcome) -> dict[str, Any]:
    return {
        "cases": outcome.cases, "refused": outcome.refused, "untyped": len(outcome.failures),
        "worst_seconds": round(outcome.worst_seconds, 2),
        "worst_megabytes": round(outcome.worst_megabytes, 1),
    }  # fmt: skip


def _of_record(name: str, record: Mapping[str, Any]) -> Outcome:
    return Outcome(
        parser=name, cases=record["cases"], refused=record["refused"],
        worst_seconds=record["worst_seconds"], worst_megabytes=record["worst_megabytes"],
    )  # fmt: skip


def _sentence(outcome: Outcome, case: int, words: str) -> str:
    return f"{outcome.parser}, input {case}: {words}"
