"""The stereo benchmark's figures as tables for people: sizes side by side, then how cost grows."""

from collections.abc import Mapping
from typing import Any


def tables(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `core.commandline.show` prints well: single figures, and a table of each group.

    Parameters
    ----------
    result : mapping
        As `stereo_bench.bench_stereo` returns it.
    """
    sizes = {
        name: value
        for name, value in result.items()
        if isinstance(value, dict) and "median_mm" in value
    }
    rest = {name: value for name, value in result.items() if name not in (*sizes, "scaling")}
    scaling = result.get("scaling")
    if scaling is not None:
        rest["cost over resolution"] = scaling["over_megapixels"]
        rest["cost over the number of views"] = scaling["over_views"]
        rest["fixed + each x megapixels"] = {
            "cpu_s": scaling["cpu_over_megapixels"], "peak_gb": scaling["gb_over_megapixels"],
        }  # fmt: skip
    return {"sizes": {name: _flat(value) for name, value in sizes.items()}, **rest}


def _flat(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures with those of a group beside them, `cpu_s of <stage>`."""
    flat = {name: value for name, value in figures.items() if not isinstance(value, dict)}
    stages = figures.get("stages_cpu_s", {})
    return {**flat, **{f"cpu_s of {stage}": seconds for stage, seconds in stages.items()}}
