"""How the cost of a build grows with resolution and with the number of cameras."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .stereo_bench_config import StereoBenchConfig, is_seed
from .stereo_bench_cost import build_cost, cost_figures
from .stereo_bench_scene import open_scene

MEGAPIXELS = ("0.5", "1.5", "6")
LAYOUTS = ("five", "nine", "sixteen")
"""Rigs of the studio with 5, 9 and 16 cameras."""
VIEWS_MEGAPIXELS = 1.5
_STUDIO_SCENE = "0"  # where the scene is a folder, which has its own cameras


def scaling_figures(
    config: StereoBenchConfig, out: Path, *, measured: Mapping[str, Any]
) -> dict[str, Any]:
    """Return costs `over_megapixels` of the scene and `over_views` in the studio, JSON-able.

    `cpu_over_megapixels` and `gb_over_megapixels` say how straight the growth with resolution is.

    Parameters
    ----------
    measured : mapping
        What the benchmark measured already, by `1.5mp` and so on: not built again.
    """
    over_megapixels = {
        name: _costs(measured[f"{name}mp"])
        if f"{name}mp" in measured
        else _built(config, float(name), out / f"{name}mp")
        for name in MEGAPIXELS
    }
    costs = list(over_megapixels.values())
    size = [cost["megapixels"] for cost in costs]
    return {
        "over_megapixels": over_megapixels,
        "cpu_over_megapixels": straightness(size, [cost["cpu_s"] for cost in costs]),
        "gb_over_megapixels": straightness(size, [cost["peak_gb"] for cost in costs]),
        "over_views": _over_views(config, out, measured),
    }


def straightness(x: Sequence[float], y: Sequence[float]) -> dict[str, float]:
    """Return the line y = `fixed` + `each` x, and by how many per cent of y it misses at most.

    Least squares of what is missed as a share of y, which takes small sizes as seriously as
    large ones.
    """
    at, value = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    A = np.stack([1 / value, at / value], axis=1)
    fixed, each = np.linalg.lstsq(A, np.ones(len(value)), rcond=None)[0]
    missed = np.abs(A @ np.array([fixed, each]) - 1)
    return {
        "fixed": float(fixed), "each": float(each), "missed_percent": 100 * float(missed.max()),
    }  # fmt: skip


def _over_views(
    config: StereoBenchConfig, out: Path, measured: Mapping[str, Any]
) -> dict[str, Any]:
    in_studio = is_seed(config.scene)
    scene = config.scene if in_studio else _STUDIO_SCENE
    found = {}
    for layout in LAYOUTS:
        same = in_studio and layout == config.layout and f"{VIEWS_MEGAPIXELS:g}mp" in measured
        own = replace(config, scene=scene, layout=layout)
        found[layout] = (
            _costs(measured[f"{VIEWS_MEGAPIXELS:g}mp"])
            if same
            else _built(own, VIEWS_MEGAPIXELS, out / layout)
        )
    return found


def _built(config: StereoBenchConfig, megapixels: float, folder: Path) -> dict[str, Any]:
    scene = open_scene(config, megapixels, folder)
    return _costs(cost_figures(build_cost(scene, folder / "build", device=config.device), scene))


def _costs(figures: Mapping[str, Any]) -> dict[str, Any]:
    wanted = (
        "megapixels", "n_views", "vertices", "cpu_s", "predicted_cpu_s", "peak_gb", "predicted_gb",
        "wall_s", "cpu_s_per_megapixel_view",
    )  # fmt: skip
    return {name: figures[name] for name in wanted}
