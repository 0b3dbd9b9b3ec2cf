"""The dataset benchmark: registration and maps of virtual people against what is true of them.

The cameras are the true ones, and no landmarks are given. People are drawn from the model that
is then laid on them, as other benchmarks of registration do; `beyond_model_mm` of an ideal scan
adds shape that the model lacks.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..capture.virtual.subject import NEUTRAL
from ..core.errors import EstimationError, FacekitError
from ..core.files import write_json
from ..core.jobs import apart
from ..core.spent import Spent
from .dataset_bench_config import DatasetBenchConfig, ScanKind, SubjectCase, subject_cases
from .dataset_bench_work import (
    bake_work,
    measure_maps_work,
    measure_work,
    register_work,
    scans_work,
)
from .virtual import finite

__all__ = ["DatasetBenchConfig", "bench_dataset"]

log = logging.getLogger(__name__)

RESULT_FILE = "dataset_bench.json"
FULL_MEGAPIXELS, FULL_SIZE = 6.0, 4096

FIGURES = (
    "surface_median_mm", "surface_beyond_scan_mm", "correspondence_median_mm", "landmark_mm",
    "displacement_corr", "displacement_amplitude_ratio", "displacement_corr_canonical",
    "roundtrip_median_mm", "albedo_psnr_db",
)  # fmt: skip
"""The median over takes is told, and the worst take named."""
_LESS_IS_WORSE = ("displacement_corr", "displacement_corr_canonical", "albedo_psnr_db")


def bench_dataset(config: DatasetBenchConfig, out: Path) -> dict[str, Any]:
    """Run the dataset benchmark in `out`; photographs and scans of an earlier run are kept.

    Returns
    -------
    dict
        JSON-able, also written to `dataset_bench.json`. Of `FIGURES` the median over all takes:

        `surface_median_mm`
            Registered vertices of the face to the true surface; `surface_beyond_scan_mm` is
            that less the scan's own median error there.
        `correspondence_median_mm`, `landmark_mm`
            Registered vertices, landmarks to where they truly lie.
        `displacement_corr`, `displacement_amplitude_ratio`
            Displacement of 2 to 8 mm against that of the true surface on the same registered
            mesh; `displacement_corr_canonical` against the studio's own relief.
        `roundtrip_median_mm`
            The maps applied again, from the scan.
        `albedo_psnr_db`
            After one global gain; None without photographs.

        `worst` (figure -> its value and `take`), `register_s` and `maps_s` (wall seconds a
        take), `peak_gb`, `scans_s`, `takes` (name -> all of its figures), `failed` (name ->
        reason), `hdf5` (see `dataset_bench_store.store_figures`).

    Raises
    ------
    ConfigError
        Unusable settings.
    InputError
        The face model is not there.
    EstimationError
        No take could be measured.
    """
    started = time.perf_counter()
    takes: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    for case in subject_cases(config):
        try:
            takes |= _measure_subject(case, out / case.name, config, failed)
        except FacekitError as error:
            failed[case.name] = str(error)
            log.warning("%s: %s", case.name, error)
    if not takes:
        raise EstimationError(f"no take could be measured. {_reasons(failed)}")
    result: dict[str, Any] = {
        "scan": str(config.scan),
        "cameras": "true",
        "landmarks": "none",
        "n_takes": len(takes),
        **summary(takes),
        "failed": failed,
        "takes": takes,
    }
    if config.full:
        result |= full_cost(config, out / "full")
    if config.store:
        from .dataset_bench_store import store_figures

        result["hdf5"] = store_figures(out / "hdf5", config.seed)
    result["total_s"] = time.perf_counter() - started
    result = finite(result)
    write_json(out / RESULT_FILE, result)
    return result


def summary(takes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the medians over takes and the worst of each figure."""
    found: dict[str, Any] = {}
    worst: dict[str, Any] = {}
    for name in FIGURES:
        known = {take: f[name] for take, f in takes.items() if f.get(name) is not None}
        found[name] = _median(list(known.values()))
        if known:
            pick = min if name in _LESS_IS_WORSE else max
            take = pick(known, key=lambda take: _badness(name, known[take]))
            worst[name] = {"value": known[take], "take": take}
    for name in ("register_s", "maps_s", "scans_s"):
        found[name] = _median([f[name] for f in takes.values() if f.get(name) is not None])
    peaks = [f[name] for f in takes.values() for name in ("register_gb", "maps_gb") if name in f]
    found["peak_gb"] = max(peaks, default=None)
    return {**found, "worst": worst}


def full_cost(config: DatasetBenchConfig, folder: Path) -> dict[str, Any]:
    """Return the cost of one person at 6 megapixels and maps of 4096 texels.

    `register_s` and `maps_s` a take and `peak_gb`, in place of those at the benchmark's size.
    """
    large = replace(
        config, scan=ScanKind.STEREO, beyond_model_mm=0.0, megapixels=FULL_MEGAPIXELS,
        displacement_size=FULL_SIZE, albedo_size=FULL_SIZE, pictures=False,
    )  # fmt: skip
    case = replace(subject_cases(large)[0], expressions=(NEUTRAL,))
    place = folder / case.name
    scans: Spent = apart(scans_work, case, place, large)
    registered: Spent = apart(register_work, case, place)
    maps: Spent = apart(bake_work, case, NEUTRAL, place, large)
    return {
        "register_s": registered.wall_s,
        "maps_s": maps.wall_s,
        "peak_gb": max(registered.peak_gb, maps.peak_gb),
        "full": {
            "megapixels": FULL_MEGAPIXELS,
            "map_size": FULL_SIZE,
            "scan_s": scans.wall_s,
            "register_cpu_s": registered.cpu_s,
            "register_gb": registered.peak_gb,
            "maps_cpu_s": maps.cpu_s,
            "maps_gb": maps.peak_gb,
        },
    }


def _measure_subject(
    case: SubjectCase, folder: Path, config: DatasetBenchConfig, failed: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """Return take -> figures of one person; what fails is put into `failed`."""
    log.info("%s: scans", case.name)
    scans: Spent = apart(scans_work, case, folder, config)
    log.info("%s: registration", case.name)
    registered: Spent = apart(register_work, case, folder)
    n_takes = len(case.expressions)
    rows = {}
    for take in case.expressions:
        name = f"{case.name}/{take}"
        log.info("%s: maps", name)
        figures: dict[str, Any] = {
            "model": case.kind,
            "subject": case.name,
            "expression": take,
            "scans_s": scans.wall_s / n_takes,
            "register_s": registered.wall_s / n_takes,
            "register_cpu_s": registered.cpu_s / n_takes,
            "register_gb": registered.peak_gb,
        }
        try:
            figures |= apart(measure_work, case, take, folder, config)
            rows[name] = figures
            maps: Spent = apart(bake_work, case, take, folder, config)
            figures |= {
                "maps_s": maps.wall_s, "maps_cpu_s": maps.cpu_s, "maps_gb": maps.peak_gb,
            }  # fmt: skip
            figures |= apart(measure_maps_work, case, take, folder, config)
        except FacekitError as error:
            failed[name] = str(error)
            log.warning("%s: %s", name, error)
        log.info("%s: %s", name, _sentence(figures))
    return rows


def _sentence(figures: dict[str, Any]) -> str:
    told = (
        f"{name} {figures[name]:.3g}" for name in FIGURES if isinstance(figures.get(name), float)
    )
    return ", ".join(told)


def _badness(name: str, value: float) -> float:
    """Return what ranks a figure, larger is worse but for those of `_LESS_IS_WORSE`."""
    return abs(np.log(max(value, 1e-6))) if name == "displacement_amplitude_ratio" else value


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def _reasons(failed: dict[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in failed.items())
