"""How the cost of a build grows with resolution and with the number of cameras."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .stereo_bench_config import StereoBenchConfig, is_seed
from .stereo_bench_cost import build_cost, cost_figures
from .stereo_bench_scene import open_scene

MEGAPIXELS = ("0.5", "1.5", "6")
LAYOUTS = ("five", "nine", "sixteen")
"""Rigs of the studio with 5, 9 and 16 cameras."""
_VIEWS_MEGAPIXELS = 1.5
_STUDIO_SCENE = "0"  # where the scene is a folder, which has its own cameras


def scaling_figures(
    config: StereoBenchConfig, out: Path, *, measured: Mapping[str, Any]
) -> dict[str, Any]:
    """Return costs `over_megapixels` of the scene and `over_views` in the studio, JSON-able.

    Parameters
    ----------
    measured : mapping
        What the benchmark measured already, by `1.5mp` and so on: not built again.
    """
    return {
        "over_megapixels": {
            name: _costs(measured[f"{name}mp"])
            if f"{name}mp" in measured
            else _built(config, float(name), out / f"{name}mp")
            for name in MEGAPIXELS
        },
        "over_views": _over_views(config, out, measured),
    }


def _over_views(
    config: StereoBenchConfig, out: Path, measured: Mapping[str, Any]
) -> dict[str, Any]:
    in_studio = is_seed(config.scene)
    scene = config.scene if in_studio else _STUDIO_SCENE
    found = {}
    for layout in LAYOUTS:
        same = in_studio and layout == config.layout and f"{_VIEWS_MEGAPIXELS:g}mp" in measured
        own = replace(config, scene=scene, layout=layout)
        found[layout] = (
            _costs(measured[f"{_VIEWS_MEGAPIXELS:g}mp"])
            if same
            else _built(own, _VIEWS_MEGAPIXELS, out / layout)
        )
    return found


def _built(config: StereoBenchConfig, megapixels: float, folder: Path) -> dict[str, Any]:
    scene = open_scene(config, megapixels, folder)
    return _costs(cost_figures(build_cost(scene, folder / "build"), scene))


def _costs(figures: Mapping[str, Any]) -> dict[str, Any]:
    wanted = ("megapixels", "cpu_s", "wall_s", "peak_gb", "cpu_s_per_megapixel_view")
    return {name: figures[name] for name in wanted}
