"""The multi-view benchmark's figures as tables for people: ways, people, ablation, faults."""

from collections.abc import Mapping
from typing import Any

from .multiview_bench_config import Way
from .multiview_bench_work import FIGURES

_OF_PEOPLE = ("median_mm", "p90_mm", "detail_corr", "seconds")


def tables(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `core.commandline.show` prints well: single figures, and a table of each group.

    Parameters
    ----------
    result : mapping
        As `multiview_bench.bench_multiview` returns it.
    """
    ways = [way for way in Way if way in result]
    apart = {*Way, "ablation", "faults"}
    shown = {name: value for name, value in result.items() if name not in apart}
    shown["ways"] = {str(way): _cells(result[way], FIGURES) for way in ways}
    shown["worst"] = {
        str(way): {
            name: f"{found['value']:.4g} ({found['subject']})"
            for name, found in result[way]["worst"].items()
            if name in _OF_PEOPLE
        }
        for way in ways
    }
    shown["people"] = {
        f"{who} {way}": _cells(figures, _OF_PEOPLE)
        for way in ways
        for who, figures in result[way]["subjects"].items()
    }
    if "ablation" in result:
        shown["ablation"] = {
            name: _cells(found, tuple(found)) for name, found in result["ablation"].items()
        }
    if "faults" in result:
        shown["faults"] = {
            name: _cells(found, tuple(key for key in found if key != "subjects"))
            for name, found in result["faults"].items()
        }
    shown["failed"] = [
        f"{who}, {way}: {why}" for way in ways for who, why in result[way]["failed"].items()
    ]
    return shown


def _cells(figures: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: figures[name] for name in names if figures.get(name) is not None}
