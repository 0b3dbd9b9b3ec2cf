"""Parity and speed of the evaluators as tables for people."""

from collections.abc import Mapping
from typing import Any


def tables(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `core.commandline.show` prints well.

    Parameters
    ----------
    result : mapping
        As `evaluators_bench.bench_evaluators` returns it.
    """
    families = {name: _family(figures) for name, figures in result.items()}
    quantities = {
        f"{name} {quantity}": _quantity(figures, quantity)
        for name, figures in result.items()
        for quantity in figures["worst"]
    }
    return {
        "families": families,
        "differences": quantities,
        "failed": [
            f"{name} {case}: {why}"
            for name, figures in result.items()
            for case, why in figures["failed"].items()
        ],
    }


def _family(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "cases": figures["cases"],
        "within tolerances": "yes" if figures["within"] else "no",
        "counts equal": "yes" if figures["counts_equal"] else ", ".join(figures["counts_differ"]),
        "CPU s": round(figures["cpu_seconds"], 3),
        "official CPU s": round(figures["official_seconds"], 3),
        "times faster": round(figures["speedup"], 2),
    }


def _quantity(figures: Mapping[str, Any], quantity: str) -> dict[str, Any]:
    tolerance = figures["tolerances"].get(quantity, {})
    return {
        "worst": _short(figures["worst"][quantity]),
        "typical": _short(figures["typical"][quantity]),
        "tolerance, worst": _short(tolerance.get("worst", "none")),
        "tolerance, typical": _short(tolerance.get("typical", "none")),
    }


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.2g}"
