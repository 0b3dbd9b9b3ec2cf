"""The stereo benchmark: photographs of a known head to a mesh; its errors and what it cost.

The cameras are the true ones: calibration has a benchmark of its own. The head is one of the
studio's, drawn from a seed, or that of a folder which another renderer left.
"""

import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..core.devices import chosen_device
from ..core.errors import EstimationError
from ..core.files import write_json
from ..core.geometry.mesh import Mesh
from ..core.geometry.meshio import load_mesh
from ..dataset.stereo.colmap import Stereo, require_cuda
from .mesh_accuracy import MeshAccuracy, mesh_error
from .stereo_bench_config import StereoBenchConfig, is_seed, sizes_of
from .stereo_bench_cost import build_cost, check_cost, cost_figures, warm_up
from .stereo_bench_faults import fault_figures
from .stereo_bench_map import PICTURE, draw_error, worst_places
from .stereo_bench_relief import Band
from .stereo_bench_scaling import scaling_figures
from .stereo_bench_scene import BenchScene, SceneTruth, open_scene
from .stereo_bench_sigma import sigma_figures
from .virtual import finite, mesh_figures

__all__ = ["StereoBenchConfig", "bench_stereo"]

log = logging.getLogger(__name__)

RESULT_FILE = "stereo_bench.json"
_MOST_TRIANGLES = 15_000_000  # that are looked at whole; of more, those that count
_SEED = 1  # of the points drawn on the surfaces

QUOTED = {
    "what": "OpenMVS on scene 0 of the stereo scene, 1.5 megapixels: measured once when the "
    "method was chosen and quoted from that record, not run here",
    "dense + mesh": {
        "median_mm": 0.050, "p90_mm": 0.111, "within_0_2mm": 98.5, "relief_corr_2mm": 0.67,
    },
    "dense + mesh + RefineMesh": {
        "median_mm": 0.033, "p90_mm": 0.129, "within_0_2mm": 96.4, "relief_corr_2mm": 0.41,
    },
}  # fmt: skip


def bench_stereo(config: StereoBenchConfig, out: Path) -> dict[str, Any]:
    """Run the stereo benchmark in `out`; photographs of an earlier run are kept.

    Returns
    -------
    dict
        JSON-able, also written to `stereo_bench.json`. Of each size, under `1.5mp` and so on:
        `median_mm` and `p90_mm` of the distance from the reconstruction to the true surface,
        `within_0_1mm`, `within_0_2mm`, `within_0_5mm` (per cent of the true surface that has
        reconstruction so near), `relief_corr_2mm` and `bands` (see `stereo_bench_relief`),
        `cpu_s`, `wall_s`, `peak_gb` of the whole build from photographs to the saved mesh,
        `predicted_cpu_s`, `predicted_gb` as the build told before,
        `stages_cpu_s`, `rig_check_cpu_s` (what precedes it, apart), `sigma_corr` and
        `sigma_coverage` (see `stereo_bench_sigma`), `worst` places. `cameras` is `true`: the
        builds are given the exact rig. With `faults`, of the first size, `faults`: what
        `stereo_bench_faults.fault_figures` returns.

    Raises
    ------
    ConfigError
        Unusable settings.
    InputError
        The scene is no seed and no folder of a stereo scene, or the face model is not there.
    MissingDependencyError
        CUDA is asked for, and torch or pycolmap have none.
    """
    started = time.perf_counter()
    sizes = sizes_of(config)
    device = chosen_device(config.device)
    if config.stereo is Stereo.COLMAP:
        require_cuda()
    drawn = is_seed(config.scene)
    result: dict[str, Any] = {
        "scene": config.scene,
        "subject": config.subject if drawn else "of the folder",
        "layout": config.layout if drawn else "of the folder",
        "cameras": "true",
        "device": str(device),
        "stereo": str(config.stereo),
    }
    for name, megapixels in sizes.items():
        folder = out / name
        scene = open_scene(config, megapixels, folder)
        if config.warm_up and "warm_up_cpu_s" not in result:
            result["warm_up_cpu_s"] = warm_up(scene)
        result[name] = measure(scene, folder, config)
        result["n_views"] = len(scene.rig)
    if config.faults:
        name, megapixels = next(iter(sizes.items()))
        scene = open_scene(config, megapixels, out / name)
        result["faults"] = fault_figures(scene, out / "faults")
    if config.scaling:
        result["scaling"] = scaling_figures(config, out / "scaling", measured=result)
    result["quoted"] = QUOTED
    result["total_s"] = time.perf_counter() - started
    result = finite(result)
    write_json(out / RESULT_FILE, result)
    return result


def measure(scene: BenchScene, folder: Path, config: StereoBenchConfig) -> dict[str, Any]:
    """Build one scene in `folder` and hold the mesh against its truth; JSON-able."""
    cost = build_cost(scene, folder / "build", device=config.device, stereo=config.stereo)
    figures: dict[str, Any] = cost_figures(cost, scene)
    if config.check:
        figures["rig_check_cpu_s"] = check_cost(scene)
    mesh = load_mesh(Path(cost.figures["mesh"]))
    truth = scene.load_truth()
    if len(mesh.faces) > _MOST_TRIANGLES:
        mesh = truth.surface.near(mesh)
    accuracy, bands = compare(mesh, truth)
    figures = {
        **accuracy_figures(accuracy, bands),
        **figures,
        **sigma_figures(mesh, accuracy),
        "worst": worst_places(mesh, accuracy),
    }
    if config.pictures:
        draw_error(folder / PICTURE, mesh, accuracy)
        figures["picture"] = str(folder / PICTURE)
    return figures


def compare(mesh: Mesh, truth: SceneTruth) -> tuple[MeshAccuracy, dict[str, Band] | None]:
    """Hold a mesh of the true frame against the truth; no bands where it covers too little."""
    accuracy = mesh_error(mesh, truth.surface, rng=np.random.default_rng(_SEED))
    try:
        return accuracy, truth.relief.bands(mesh)
    except EstimationError as error:
        log.warning("%s", error)
        return accuracy, None


def accuracy_figures(accuracy: MeshAccuracy, bands: dict[str, Band] | None) -> dict[str, Any]:
    """Return the errors of a mesh, JSON-able."""
    return {
        **mesh_figures(accuracy),
        "relief_corr_2mm": None if bands is None else bands["2mm"].corr,
        "bands": None if bands is None else {name: asdict(band) for name, band in bands.items()},
    }
