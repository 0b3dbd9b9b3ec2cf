"""Whether a rig plan comes true: photograph, build and measure what was foretold.

For each layout a person whose shape the plan does not know is photographed by cameras that stand a
little off, the mesh is built with the true cameras, and for each part of the face the error that
68 % of the measured surface stays below is held against the sigma of the plan.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..capture.virtual.studio import StudioConfig, load_head
from ..capture.virtual.truth import Truth, load_truth
from ..core.arrays import Ints
from ..core.devices import Device
from ..core.facemodel.model import FaceModel
from ..core.files import write_json, write_text
from ..core.geometry.closest import SurfaceQuery
from ..core.geometry.mesh import Mesh
from ..core.geometry.meshio import load_mesh
from ..dataset.build import BuildConfig, build_dataset
from ..dataset.plan.plan import plan_rig
from ..dataset.plan.planned import PlanConfig, Skin
from ..dataset.plan.regions import REGIONS, region_of_vertices
from ..dataset.rigcheck import RigCheck
from .mesh_accuracy import TrueSurface
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
_LEAST_POINTS = 200  # of a part of the face, to say anything
_LEAST_PLANNED = 0.05  # share of a part that shall be seen: a mere rim has no figure of its own
_MOST_POINTS = 60_000
_DARK_BELOW = 0.33  # reflectance; skins of the studio have 0.17 to 0.59
_GROSS_MM = 5.0  # farther away is another thing than the face
_SEED = 1


@dataclass(frozen=True, kw_only=True)
class PlanBenchConfig:
    """Which rigs, and how large the photographs are."""

    layouts: tuple[str, ...] = ("nine", "seven", "five", "pair", *OTHERS)  # or YAML files
    megapixels: float = 1.5
    seed: int = 0  # another person, rig, noise
    people: int = 2  # that the plan looks at, beside the mean


def bench_plan(config: PlanBenchConfig, out: Path) -> dict[str, Any]:
    """Plan, photograph, build and measure in `out`; what is finished there is kept.

    Returns
    -------
    dict
        JSON-able, also written to `plan_bench.json`. `layouts`: name -> part of the face ->
        `planned_mm`, `measured_mm`, their `ratio`, `planned_seen` and `points`. Over all of them
        `n`, `within_30_percent` (share, 0-1), `worst_ratio` (the farthest from 1) and `misses`.
    """
    layouts = {
        name: _compare(name, config, out / Path(name).stem.replace(" ", "_"))
        for name in config.layouts
    }
    ratios = {
        f"{name}: {region}": figures["ratio"]
        for name, regions in layouts.items()
        for region, figures in regions.items()
    }
    misses = {where: ratio for where, ratio in ratios.items() if abs(ratio - 1) > WITHIN}
    result = finite({
        "megapixels": config.megapixels,
        "layouts": layouts,
        "n": len(ratios),
        "within_30_percent": 1 - len(misses) / max(len(ratios), 1),
        "worst_ratio": max(ratios.values(), key=lambda r: abs(np.log(r)), default=float("nan")),
        "misses": [f"{where}: {ratio:.2f}" for where, ratio in misses.items()],
    })  # fmt: skip
    write_json(out / RESULT_FILE, result)
    return result


def _compare(name: str, config: PlanBenchConfig, folder: Path) -> dict[str, dict[str, float]]:
    """Return what was planned and what was measured of one layout, by part of the face."""
    layout = name
    if name in OTHERS:
        layout = str(folder / "layout.yaml")
        write_text(folder / "layout.yaml", yaml.safe_dump({"cameras": OTHERS[name]}))
    scene = studio_scene(
        StudioConfig(
            seed=config.seed, layout=layout, megapixels=config.megapixels,
            n_board_poses=0, truth_maps=False,
        ),
        folder / "session",
    )  # fmt: skip
    measured = measured_sigma(_built(scene, folder / "build"), load_truth(folder / "session"))
    plan = plan_rig(
        PlanConfig(layout=layout, megapixels=config.megapixels, people=config.people, aperture=0.0)
    )
    found = {}
    for region, (value, n) in measured.items():
        planned = plan.regions[region]
        if planned.seen_by_two < _LEAST_PLANNED:
            continue
        found[str(region)] = {
            "planned_mm": planned.sigma_mm,
            "measured_mm": value,
            "ratio": planned.sigma_mm / value,
            "planned_seen": planned.seen_by_two,
            "points": n,
        }
    return found


def skin_of(truth: Truth) -> Skin:
    """Return what to call the skin of a virtual person, by its red reflectance."""
    skin = truth.subject["skin"]
    assert isinstance(skin, dict)
    return Skin.DARK if skin["tone"][0] < _DARK_BELOW else Skin.FAIR


def _built(scene: BenchScene, folder: Path) -> Mesh:
    config = BuildConfig(megapixels=scene.megapixels, check_rig=RigCheck.OFF, device=Device.CPU)
    built = build_dataset(scene.session, scene.rig, folder, config, takes=[scene.take])
    return load_mesh(Path(built["takes"][scene.take]["mesh"]))


def measured_sigma(mesh: Mesh, truth: Truth, *, take: str = "neutral") -> dict[Any, Any]:
    """Return part of the face -> (what 68 % of its points err by at most, mm; points).

    Of the vertices that lie on surface which two true cameras see at a usable angle; parts with
    hardly any are left out.
    """
    true, model = truth.mesh(take), load_head(str(truth.subject["head"]))
    surface = TrueSurface(true, rig=truth.rig)
    rng = np.random.default_rng(_SEED)
    rows = rng.permutation(len(mesh.vertices))[:_MOST_POINTS]
    points = np.asarray(mesh.vertices[rows], dtype=np.float64)
    near = SurfaceQuery(true.vertices, true.faces).closest(points)
    owner = owner_of_faces(model)[near.face // (len(true.faces) // len(model.faces))]
    counts = surface.closest(points)[2] & (near.distance < _GROSS_MM)
    found = {}
    for i, region in enumerate(REGIONS):
        error = near.distance[counts & (owner == i)]
        if len(error) >= _LEAST_POINTS:
            found[region] = (float(np.percentile(error, 68.27)), len(error))
    return found


def owner_of_faces(model: FaceModel) -> Ints:
    """Return (F,) the number in `REGIONS` of most corners of each face; -1 for none."""
    a, b, c = region_of_vertices(model)[model.faces].T
    return np.where(b == c, b, a)
