"""All gates of the fault suite, and what runs them."""

import importlib
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ...core.errors import ConfigError, InputError, MissingDependencyError
from ...core.files import read_json
from .gate import Gate, Parts, sound_parts

log = logging.getLogger(__name__)

_MOST_TOLD = 40  # failures that a result lists


@dataclass(frozen=True, kw_only=True)
class GateEntry:
    """Where a gate is, and what it tries in a few words."""

    module: str
    function: str
    tries: str
    has_parts: bool = False
    """Whether its parts can be tried one without the other."""


GATES: dict[str, GateEntry] = {
    "fuzz": GateEntry(
        module="fuzz", function="fuzz_faults", tries="damaged files, each reader", has_parts=True
    ),
    "kills": GateEntry(
        module="kills", function="kill_faults", tries="`kill -9` at random points of every stage",
        has_parts=True,
    ),
    "disk_full": GateEntry(
        module="diskfull", function="disk_full_faults", tries="a disk that is full part way",
        has_parts=True,
    ),
    "bit_flips": GateEntry(
        module="bitflips", function="bit_flip_faults", tries="single bits flipped"
    ),
    "writers": GateEntry(
        module="writers", function="writer_faults", tries="two writers on one take", has_parts=True
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
    "strangers": GateEntry(
        module="strangers", function="stranger_faults", tries="strangers at the viewer's server"
    ),
    "captures": GateEntry(
        module="captures", function="capture_faults",
        tries="photographs that lack, are exchanged, late, copied, of another expression",
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
    config: FaultsConfig, out: Path, *, after: Callable[[dict[str, Any]], None] | None = None,
    earlier: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Run gates one after the other; return their figures, JSON-able.

    Parameters
    ----------
    out : Path
        For scratch files, deleted again; inputs that failed are kept in `failed/`.
    after
        Told all figures so far each time that a gate has ended.
    earlier : mapping, optional
        What this function returned before: parts of gates (readers, stages) in which nothing
        failed then are taken over, and only the others are tried again.

    Raises
    ------
    ConfigError
        There is no gate of a name, or the earlier result is of another seed or length.
    """
    unknown = [name for name in config.gates if name not in GATES]
    if unknown:
        raise ConfigError(f"no gate {unknown[0]!r}; there are {', '.join(GATES)}")
    result: dict[str, Any] = {"full": config.full, "seed": config.seed}
    for key, value in result.items():
        if earlier is not None and earlier.get(key) != value:
            raise ConfigError(f"{key}: {value}, but the earlier result says {earlier.get(key)}")
    for name in _chosen(config.gates):
        log.info("gate %s", name)
        result[name] = _run(name, config, out, sound_parts((earlier or {}).get(name)))
        if after is not None:
            after(result)
    result["passed"] = all(result[name]["passed"] for name in _chosen(config.gates))
    return result


def read_result(path: Path) -> dict[str, Any]:
    """Read what `run_gates` returned, as it was printed.

    Raises
    ------
    InputError
        The file holds something else.
    """
    result = read_json(path)
    gates = result.values() if isinstance(result, dict) else ()
    parts = [gate.get("each", {}) for gate in gates if isinstance(gate, dict)]
    are_parts = (isinstance(each, dict) and _are_mappings(each.values()) for each in parts)
    if not parts or not all(are_parts):
        raise InputError(f"{path}: not what `facekit bench faults --json` prints")
    return dict(result)


def _are_mappings(values: Iterable[Any]) -> bool:
    return all(isinstance(value, dict) for value in values)


def _chosen(names: Sequence[str]) -> list[str]:
    return [name for name in GATES if not names or name in names]


def _run(name: str, config: FaultsConfig, out: Path, sound: Parts) -> dict[str, Any]:
    scratch = out / name
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    start = time.perf_counter()
    try:
        found = _gate(name, sound)(scratch, full=config.full, seed=config.seed)
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
        **({"each": found.each} if found.each else {}),
        **({"again": ", ".join(p for p in found.each if p not in sound)} if sound else {}),
    }


def _gate(name: str, sound: Parts) -> Any:
    entry = GATES[name]
    module = importlib.import_module(f".{entry.module}", __package__)
    more = {"sound": sound} if entry.has_parts else {}

    def run(folder: Path, *, full: bool, seed: int) -> Gate:
        return cast("Gate", getattr(module, entry.function)(folder, full=full, seed=seed, **more))

    return run


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 2)
