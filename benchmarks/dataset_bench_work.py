"""The costly parts of the dataset benchmark, each meant for a process of its own."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..capture.session import load_session
from ..capture.virtual.studio import load_head
from ..capture.virtual.truth import load_truth
from ..core.spent import Spent, timed
from ..dataset.bake.bake import bake_maps
from ..dataset.bake.config import BakeConfig
from ..dataset.bake.mapfile import load_maps, save_maps
from ..dataset.register.register import RegisterConfig, register_takes
from ..dataset.register.registeredfile import load_registered, save_registered
from ..dataset.stereo.views import View, load_views
from .dataset_bench_config import DatasetBenchConfig, ScanKind, SubjectCase
from .dataset_bench_maps import albedo_figures, albedo_truth, map_figures, true_maps
from .dataset_bench_metrics import registration_error
from .dataset_bench_pictures import (
    ALBEDO,
    DISPLACEMENT,
    REGISTERED,
    draw_albedo,
    draw_displacement,
    draw_registered,
)
from .dataset_bench_scan import BUILD, SESSION, load_scan, make_scans
from .dataset_bench_truth import load_take_truth


def scans_work(case: SubjectCase, folder: Path, config: DatasetBenchConfig) -> Spent:
    """Photograph a subject and build its scans; what is finished is kept."""
    return timed(lambda: make_scans(case, folder, config))[1]


def register_work(case: SubjectCase, folder: Path) -> Spent:
    """Register both takes of a subject, and keep them beside the scans."""
    model = load_head(case.head)
    scans = [load_scan(folder, take) for take in case.expressions]
    found, spent = timed(lambda: register_takes(model, scans, RegisterConfig()))
    for take, registered in zip(case.expressions, found, strict=True):
        save_registered(folder / BUILD / take, registered)
    return spent


def bake_work(case: SubjectCase, take: str, folder: Path, config: DatasetBenchConfig) -> Spent:
    """Bake the maps of a registered take, and keep them beside its scan."""
    registered = load_registered(folder / BUILD / take, load_head(case.head))
    scan = load_scan(folder, take)
    views = take_views(folder, take, config)
    maps, spent = timed(lambda: bake_maps(registered, scan, views, bake_config(config)))
    save_maps(folder / BUILD / take, maps)
    return spent


def measure_work(
    case: SubjectCase, take: str, folder: Path, config: DatasetBenchConfig
) -> dict[str, Any]:
    """Hold a take's registration against the truth; JSON-able."""
    truth = load_take_truth(folder / SESSION, take, case.head)
    registered = load_registered(folder / BUILD / take, truth.model)
    scan = load_scan(folder, take)
    error = registration_error(registered, scan.mesh, truth)
    if config.pictures:
        draw_registered(folder / BUILD / take / REGISTERED, registered, scan.mesh, truth)
    return {**asdict(error), "surface_beyond_scan_mm": error.surface_beyond_scan_mm}


def measure_maps_work(
    case: SubjectCase, take: str, folder: Path, config: DatasetBenchConfig
) -> dict[str, Any]:
    """Hold a take's maps against the truth; JSON-able."""
    truth = load_take_truth(folder / SESSION, take, case.head)
    place = folder / BUILD / take
    registered, maps = load_registered(place, truth.model), load_maps(place)
    true = true_maps(registered, truth, bake_config(config))
    figures = map_figures(registered, load_scan(folder, take), maps, true, truth)
    if config.pictures:
        draw_displacement(place / DISPLACEMENT, maps, true, truth)
    if maps.albedo.size:
        albedo = albedo_truth(truth, len(maps.albedo))
        figures |= albedo_figures(maps, albedo, truth)
        if config.pictures:
            draw_albedo(place / ALBEDO, maps, albedo, truth)
    return figures


def bake_config(config: DatasetBenchConfig) -> BakeConfig:
    """Return the baker's settings of the benchmark's."""
    return BakeConfig(
        deformation_size=config.deformation_size,
        displacement_size=config.displacement_size,
        albedo_size=config.albedo_size,
    )


def take_views(folder: Path, take: str, config: DatasetBenchConfig) -> list[View]:
    """Return a take's photographs, as `dataset.build` loads them; none of an ideal scan."""
    if config.scan is ScanKind.IDEAL:
        return []
    session = load_session(folder / SESSION)
    rig = load_truth(folder / SESSION).rig
    return load_views(session, session.take(take), rig, megapixels=config.megapixels)
