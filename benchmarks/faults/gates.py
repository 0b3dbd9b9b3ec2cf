"""All gates of the fault suite, and what runs them."""

import importlib
import logging
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ...core.errors import ConfigError, MissingDependencyError
from .gate import Gate

log = logging.getLogger(__name__)

_MOST_TOLD = 40  # failures that a result lists


@dataclass(frozen=True, kw_only=True)
class GateEntry:
    """Where a gate is, and what it tries in a few words."""

    module: str
    function: str
    tries: str


GATES: dict[str, GateEntry] = {
    "fuzz": GateEntry(
        module="fuzz", function="fuzz_faults", tries="damaged files, each reader"
    ),
    "kills": GateEntry(
        module="kills", function="kill_faults", tries="`kill -9` at random points of every stage"
    ),
    "disk_full": GateEntry(
        module="diskfull", function="disk_full_faults", tries="a disk that is full part way"
    ),
    "bit_flips": GateEntry(
        module="bitflips", function="bit_flip_faults", tries="single bits flipped"
    ),
    "writers": GateEntry(
        module="writers", function="writer_faults", tries="two writers on one take"
    ),
    "schemas": GateEntry(
        module="schemas", function="schema_faults", tries="files of older and newer versions"
    ),
    "hostile": GateEntry(
        module="hostile", function="hostile_faults", tries="HDF5, paths and pickles that mean harm"
    ),
    "metadata": GateEntry(
        module="metadata", function="metadata_faults", tries="canaries beside the pixels, exported"
    ),
    "erase": GateEntry(
        module="eraseprobes", function="erase_faults", tries="probes of an erased subject"
    ),
    "cluster": GateEntry(
        module="cluster", function="cluster_faults", tries="killed workers, killed coordinator"
    ),
}  # fmt: skip
"""Name in the result -> gate, in the order that they run."""


@dataclass(frozen=True, kw_only=True)
class FaultsConfig:
    """Which gates run, and how long."""

    full: bool = False  # all that a release needs (hours), not a sample (two minutes)
    seed: int = 0  # of all damage and moments
    gates: tuple[str, ...] = ()  # none named: all


def run_gates(
    config: FaultsConfig, out: Path, *, after: Callable[[dict[str, Any]], None] | None = None
) -> dict[str, Any]:
    """Run gates one after the other; return their figures, JSON-able.

    Parameters
    ----------
    out : Path
        For scratch files, deleted again; inputs that failed are kept in `failed/`.
    after
        Told all figures so far each time that a gate has ended.

    Raises
    ------
    ConfigError
        There is no gate of a name.
    """
    unknown = [name for name in config.gates if name not in GATES]
    if unknown:
        raise ConfigError(f"no gate {unknown[0]!r}; there are {', '.join(GATES)}")
    result: dict[str, Any] = {"full": config.full, "seed": config.seed}
    for name in _chosen(config.gates):
        log.info("gate %s", name)
        result[name] = _run(name, config, out)
        if after is not None:
            after(result)
    result["passed"] = all(result[name]["passed"] for name in _chosen(config.gates))
    return result


def _chosen(names: Sequence[str]) -> list[str]:
    return [name for name in GATES if not names or name in names]


def _run(name: str, config: FaultsConfig, out: Path) -> dict[str, Any]:
    scratch = out / name
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    start = time.perf_counter()
    try:
        found = _gate(name)(scratch, full=config.full, seed=config.seed)
    except MissingDependencyError as error:
        # a sample passes without what is not installed, a release does not
        return {"passed": not config.full, "not_run": str(error), "cases": 0, "failed": 0}
    finally:
        if not (scratch / "failed").is_dir():
            shutil.rmtree(scratch, ignore_errors=True)
    return {
        "passed": found.passed,
        "cases": found.cases,
        "failed": len(found.failures),
        "failures": list(found.failures[:_MOST_TOLD]),
        "seconds": round(time.perf_counter() - start, 1),
        "worst_seconds": _plain(found.worst_seconds),
        "worst_megabytes": _plain(found.worst_megabytes),
        **found.figures(),
    }


def _gate(name: str) -> Any:
    entry = GATES[name]
    module = importlib.import_module(f".{entry.module}", __package__)

    def run(folder: Path, *, full: bool, seed: int) -> Gate:
        return cast("Gate", getattr(module, entry.function)(folder, full=full, seed=seed))

    return run


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 2)
