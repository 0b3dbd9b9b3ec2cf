"""The figures of trained weights as tables for people: all, by head and group, each person."""

from collections.abc import Mapping
from typing import Any

from .heads.people import Group
from .stereo_bench_config import BUILT_IN, ICT

_PARTS = (BUILT_IN, ICT, "model", *map(str, Group))
_OF_PARTS = (
    "n_subjects", "median_mm", "coarse_only_median_mm", "mean_face_median_mm", "gain_over_mean",
    "better_than_coarse", "relief_corr", "normal_deg", "normal_without_displacement_deg",
)  # fmt: skip
_OF_PEOPLE = (
    "group", "median_mm", "coarse_only_median_mm", "mean_face_median_mm", "relief_corr",
    "normal_deg", "seconds",
)  # fmt: skip


def tables(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `core.commandline.show` prints well.

    Parameters
    ----------
    result : mapping
        As `learned_bench.bench_learned` returns it.
    """
    parts = [name for name in _PARTS if name in result]
    apart = {*parts, "subjects", "failed", "weights"}
    shown = {name: value for name, value in result.items() if name not in apart}
    shown["weights"] = result["weights"]["source"]
    shown["parts"] = {name: _cells(result[name], _OF_PARTS) for name in parts}
    shown["people"] = {who: _cells(row, _OF_PEOPLE) for who, row in result["subjects"].items()}
    shown["failed"] = [f"{who}: {why}" for who, why in result["failed"].items()]
    return shown


def _cells(figures: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: figures[name] for name in names if figures.get(name) is not None}
