"""Our evaluators beside the official ones: how far apart, and how many CPU seconds each takes.

Fixtures are inputs with what the official code made of them (inputs as its readers deliver them,
outputs unrounded, its CPU seconds on one thread). They are no part of facekit: a folder of them
is given.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import ConfigError, FacekitError, InputError
from ..core.files import write_json
from ..core.jobs import apart
from .evaluators_bench_case import BenchCase, Limit, Parity

RESULT_FILE = "evaluators_bench.json"
DEFAULT_FIXTURES = Path(__file__).resolve().parents[2] / "shared/fixtures"
"""Beside the checkout, where developers have them."""
FAMILIES = ("realy", "now", "facescape", "micc", "esrc")
_FOLDERS: Mapping[str, str] = {"micc": "micc_ganfit", "esrc": "esrc_fg2018"}
"""Of a family in the fixtures, where it is not its name."""


@dataclass(frozen=True, kw_only=True)
class EvaluatorsBenchConfig:
    """What is measured.

    Raises
    ------
    ConfigError
        Numbers or names that cannot be used.
    """

    repeats: int = 2  # runs of a case, of which the one of fewest CPU seconds counts
    families: tuple[str, ...] = FAMILIES

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise ConfigError(f"repeats = {self.repeats}: at least 1")
        unknown = sorted(set(self.families) - set(FAMILIES))
        if unknown:
            raise ConfigError(f"families: no {unknown[0]!r}; there are {', '.join(FAMILIES)}")


def bench_evaluators(
    config: EvaluatorsBenchConfig, fixtures: Path | None = None, out: Path | None = None
) -> dict[str, Any]:
    """Run all families of fixtures that are in `fixtures`, each in a process with one thread.

    Returns
    -------
    dict
        JSON-able, also written to `evaluators_bench.json` in `out`. Family (`realy`, `now`,
        `facescape`, `micc`, `esrc`) -> the figures of `summary`. A family without fixtures is
        left out.

    Raises
    ------
    InputError
        There is no fixture of any family.
    """
    fixtures = fixtures or DEFAULT_FIXTURES
    found = {name: fixtures / _FOLDERS.get(name, name) for name in config.families}
    found = {name: folder for name, folder in found.items() if folder.is_dir()}
    if not found:
        wanted = ", ".join(_FOLDERS.get(name, name) for name in config.families)
        raise InputError(
            f"{fixtures}: none of the folders {wanted}; say with --fixtures where they are"
        )
    result: dict[str, Any] = {}
    for name, folder in found.items():
        result[name] = apart(run_family, name, folder, config.repeats, threads=1)
    if out is not None:
        write_json(out / RESULT_FILE, result)
    return result


def run_family(name: str, folder: Path, repeats: int) -> dict[str, Any]:
    """Run the cases of one family in this process; see `summary`."""
    from .evaluators_bench_families import FAMILY_CASES, LIMITS

    runs: list[Run] = []
    failed: dict[str, str] = {}
    is_warm = False
    cases = FAMILY_CASES[name](folder)
    while True:
        case_name = "files"
        try:
            case_name, load = next(cases)
            case = load()
            if not is_warm:  # numba loads or compiles, libraries are imported: not timed
                case.work()
                is_warm = True
            runs.append(_run(case_name, case, repeats))
        except StopIteration:
            break
        except FacekitError as error:
            failed[case_name] = str(error)
        except Exception as error:  # one case that breaks us is a result, too
            failed[case_name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return summary(runs, failed, LIMITS[name])


@dataclass(frozen=True, kw_only=True)
class Run:
    """One case that was run."""

    name: str
    parity: Parity
    cpu_seconds: float
    official_seconds: float
    n: int
    """Official results that it stands for."""


def summary(
    runs: Sequence[Run], failed: Mapping[str, str], limits: Mapping[str, Limit]
) -> dict[str, Any]:
    """Return a family's figures.

    Returns
    -------
    dict
        `cases`
            Official results that were compared.
        `worst`, `typical`
            Quantity -> largest and median difference to the official one, in the unit that its
            name ends in; `inf` where one of the two is NaN or shapes differ.
        `worst_difference_mm`
            The largest of those that count and are lengths.
        `counts_equal`, `counts_differ`
            Whether all numbers of iterations are equal; in which cases they are not.
        `cpu_seconds`, `official_seconds`, `speedup`
            Of all cases, on one thread, without reading files; the ratio.
        `within`
            All quantities with a tolerance keep it, and no case failed.
        `per_case`, `failed`
            The same of each case; reasons.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.parity.differences))
    values = {
        name: np.concatenate([run.parity.differences.get(name, ()) for run in runs])
        for name in names
    }
    worst = {name: float(v.max()) for name, v in values.items()}
    typical = {name: float(np.median(v)) for name, v in values.items()}
    cpu = sum(run.cpu_seconds for run in runs)
    official = sum(run.official_seconds for run in runs)
    lengths = [worst[name] for name in limits if name.endswith("_mm") and name in worst]
    return {
        "cases": sum(run.n for run in runs),
        "worst": {name: _plain(value) for name, value in worst.items()},
        "typical": {name: _plain(value) for name, value in typical.items()},
        "worst_difference_mm": _plain(max(lengths, default=0.0)),
        "counts_equal": all(run.parity.counts_equal for run in runs),
        "counts_differ": [run.name for run in runs if not run.parity.counts_equal],
        "cpu_seconds": cpu,
        "official_seconds": official,
        "speedup": official / cpu if cpu else 0.0,
        "within": bool(runs) and not failed and not _beyond(worst, typical, limits),
        "beyond": _beyond(worst, typical, limits),
        "tolerances": {
            name: {"worst": limit.worst}
            | ({} if limit.typical is None else {"typical": limit.typical})
            for name, limit in limits.items()
        },
        "per_case": {run.name: _of_case(run) for run in runs},
        "failed": dict(failed),
    }


def _run(name: str, case: BenchCase, repeats: int) -> Run:
    best, answer = math.inf, None
    for _ in range(repeats):
        start = time.process_time()
        answer = case.work()
        best = min(best, time.process_time() - start)
    return Run(
        name=name,
        parity=case.compare(answer),
        cpu_seconds=best,
        official_seconds=case.official_seconds,
        n=case.n,
    )


def _beyond(
    worst: Mapping[str, float], typical: Mapping[str, float], limits: Mapping[str, Limit]
) -> list[str]:
    """Return the quantities that do not keep their tolerance."""
    return [
        name
        for name, limit in limits.items()
        if name in worst
        and not (
            worst[name] <= limit.worst and (limit.typical is None or typical[name] <= limit.typical)
        )
    ]


def _of_case(run: Run) -> dict[str, Any]:
    return {
        "worst": {name: _plain(max(v)) for name, v in run.parity.differences.items() if len(v)},
        "counts_equal": run.parity.counts_equal,
        "cpu_seconds": run.cpu_seconds,
        "official_seconds": run.official_seconds,
    }


def _plain(value: float) -> float | str:
    """Return a number as strict JSON takes it."""
    return float(value) if math.isfinite(value) else str(float(value))
