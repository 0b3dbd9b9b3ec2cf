"""Whether a rig plan comes true: photograph, build and measure what was foretold.

For each layout a person is photographed by cameras that stand a little off, and the mesh is built
with the true cameras. The plan knows neither the person's shape nor its relief, only how much light
its skin returns. For each part of the face three figures are held against the plan: the error that
68 % of the measured surface stays below, the size of a pixel, and the share that was measured.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..capture.virtual.studio import StudioConfig
from ..capture.virtual.truth import load_truth
from ..core.devices import Device
from ..core.files import write_json, write_text
from ..core.geometry.mesh import Mesh
from ..core.geometry.meshio import load_mesh
from ..dataset.build import BuildConfig, build_dataset
from ..dataset.plan.plan import plan_rig
from ..dataset.plan.planned import PlanConfig
from ..dataset.plan.regionplan import RegionPlan
from ..dataset.rigcheck import RigCheck
from .plan_bench_measure import PartOfScan, measured_parts, reflectance_of
from .stereo_bench_scene import BenchScene, studio_scene
from .virtual import finite

RESULT_FILE = "plan_bench.json"
WITHIN = 0.3
"""A plan is right where it is off by no more than this share of what is measured."""
OTHERS: dict[str, list[dict[str, float]]] = {
    "three wide": [
        {"yaw_deg": yaw, "pitch_deg": pitch} for yaw, pitch in ((-32, 3), (0, -3), (32, 3))
    ],
    "seven far": [
        {"yaw_deg": 25.0 * i, "pitch_deg": 5 if i % 2 else -5, "distance_mm": 1600}
        for i in range(-3, 4)
    ],
}
"""Layouts that do not come with facekit: fewer and wider, and farther away."""
_LEAST_PLANNED = 0.05  # share of a part that shall be seen: a mere rim has no figure of its own
_FIGURES = ("sigma_mm", "gsd_mm", "seen_by_two")


@dataclass(frozen=True, kw_only=True)
class PlanBenchConfig:
    """Which rigs, and how large the photographs are."""

    layouts: tuple[str, ...] = ("nine", "seven", "five", "pair", *OTHERS)  # or YAML files
    megapixels: float = 1.5
    seed: int = 0  # another person, rig, noise
    head: str = StudioConfig.head  # face model of the person
    people: int = 2  # that the plan looks at, beside the mean


def bench_plan(config: PlanBenchConfig, out: Path) -> dict[str, Any]:
    """Plan, photograph, build and measure in `out`; what is finished there is kept.

    Returns
    -------
    dict
        JSON-able, also written to `plan_bench.json`. `layouts`: name -> part of the face ->
        figure (`sigma_mm`, `gsd_mm`, `seen_by_two`) -> `planned`, `measured` and their `ratio`.
        Of `sigma_mm` over all layouts: `n`, `within_30_percent` (share, 0-1), `worst_ratio` (the
        farthest from 1) and `misses`; the same of the others under their names.
    """
    layouts = {
        name: _compare(name, config, out / Path(name).stem.replace(" ", "_"))
        for name in config.layouts
    }
    result = finite({
        "megapixels": config.megapixels,
        "seed": config.seed,
        "head": config.head,
        "layouts": layouts,
        **_summary(layouts, "sigma_mm"),
        **{figure: _summary(layouts, figure) for figure in _FIGURES if figure != "sigma_mm"},
    })  # fmt: skip
    write_json(out / RESULT_FILE, result)
    return result


def _summary(layouts: dict[str, Any], figure: str) -> dict[str, Any]:
    """Return how often a figure came true."""
    ratios = {
        f"{name}: {region}": figures[figure]["ratio"]
        for name, regions in layouts.items()
        for region, figures in regions.items()
        if figure in figures
    }
    misses = {where: ratio for where, ratio in ratios.items() if abs(ratio - 1) > WITHIN}
    worst = max(ratios.values(), key=lambda r: abs(np.log(max(r, 1e-9))), default=float("nan"))
    return {
        "n": len(ratios),
        "within_30_percent": 1 - len(misses) / max(len(ratios), 1),
        "worst_ratio": worst,
        "misses": [f"{where}: {ratio:.2f}" for where, ratio in misses.items()],
    }


def _compare(name: str, config: PlanBenchConfig, folder: Path) -> dict[str, Any]:
    """Return what was planned and what was measured of one layout, by part of the face."""
    layout = name
    if name in OTHERS:
        layout = str(folder / "layout.yaml")
        write_text(folder / "layout.yaml", yaml.safe_dump({"cameras": OTHERS[name]}))
    scene = studio_scene(
        StudioConfig(
            seed=config.seed, head=config.head, layout=layout, megapixels=config.megapixels,
            n_board_poses=0, truth_maps=False,
        ),
        folder / "session",
    )  # fmt: skip
    truth = load_truth(folder / "session")
    measured = measured_parts(_built(scene, folder / "build"), truth)
    plan = plan_rig(
        PlanConfig(
            layout=layout, megapixels=config.megapixels, people=config.people, aperture=0.0,
            reflectance=reflectance_of(truth),
        )
    )  # fmt: skip
    return {
        str(region): _held(plan.regions[region], part)
        for region, part in measured.items()
        if plan.regions[region].seen_by_two >= _LEAST_PLANNED
    }


def _held(plan: RegionPlan, part: PartOfScan) -> dict[str, Any]:
    """Return each figure as planned and as measured."""
    found: dict[str, Any] = {"points": part.points}
    for figure in _FIGURES:
        planned, measured = getattr(plan, figure), getattr(part, figure)
        if measured:
            found[figure] = {
                "planned": planned, "measured": measured, "ratio": planned / measured,
            }  # fmt: skip
    return found


def _built(scene: BenchScene, folder: Path) -> Mesh:
    config = BuildConfig(megapixels=scene.megapixels, check_rig=RigCheck.OFF, device=Device.CPU)
    built = build_dataset(scene.session, scene.rig, folder, config, takes=[scene.take])
    return load_mesh(Path(built["takes"][scene.take]["mesh"]))
