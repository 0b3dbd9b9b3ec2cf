"""A plan as a table for people."""

from collections.abc import Mapping
from typing import Any

from ...core.console import show_table

_COLUMNS = (
    ("by 2", "seen_by_two", 100.0, "{:.0f}"),
    ("by 3", "seen_by_three", 100.0, "{:.0f}"),
    ("worst", "least_seen_by_two", 100.0, "{:.0f}"),
    ("pixel", "gsd_mm", 1.0, "{:.3f}"),
    ("σ", "sigma_mm", 1.0, "{:.3f}"),
    ("blur", "blur_px", 1.0, "{:.2f}"),
    ("near", "angle_deg", 1.0, "{:.0f}"),
    ("wide", "widest_deg", 1.0, "{:.0f}"),
)


def show_plan(record: Mapping[str, Any]) -> None:
    """Print a plan, as `RigPlan.record` gives it, one part of the face a row."""
    rows = [
        (name, *(_cell(plan[key], factor, form) for _, key, factor, form in _COLUMNS))
        for name, plan in record["regions"].items()
    ]
    title = (
        f"{record['layout']}: {record['cameras']} cameras, stereo at "
        f"{record['megapixels']:g} megapixels"
    )
    title += (
        "\nby 2, by 3: % of it that so many cameras see; worst: by 2, of the worst head"
        "\npixel, σ: mm; blur: px; near, wide: degrees between the nearest, the farthest two"
    )
    show_table(title, ["part", *(column[0] for column in _COLUMNS)], rows)


def _cell(value: float | None, factor: float, form: str) -> str:
    return "–" if value is None else form.format(factor * value)
