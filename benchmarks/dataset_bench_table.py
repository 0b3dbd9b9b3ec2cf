"""The dataset benchmark's figures as tables for people: all takes, the worst, then takes apart."""

from collections.abc import Mapping
from typing import Any

from ..capture.virtual.subject import NEUTRAL
from .dataset_bench import FIGURES

_OF_TAKES = (*FIGURES, "scan_median_mm", "landmark_max_mm", "register_s", "maps_s")


def tables(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `core.commandline.show` prints well: single figures, and a table of each group.

    Parameters
    ----------
    result : mapping
        As `dataset_bench.bench_dataset` returns it.
    """
    rest = {name: value for name, value in result.items() if name not in ("takes", "failed")}
    label = {name: _label(name) for name in result["takes"]}
    rest["worst"] = {
        figure: {**found, "take": label.get(found["take"], found["take"])}
        for figure, found in result["worst"].items()
    }
    takes = {
        label[name]: {f: figures[f] for f in _OF_TAKES if figures.get(f) is not None}
        for name, figures in result["takes"].items()
    }
    failed = [f"{name}: {reason}" for name, reason in result["failed"].items()]
    return {**rest, "takes": takes, "failed": failed}


def _label(name: str) -> str:
    """Shorten `00-ict/jawOpen=0.4+...`: every person has one take with an expression."""
    subject, _, take = name.partition("/")
    return f"{subject} {take}" if take in ("", NEUTRAL) else f"{subject} expression"
