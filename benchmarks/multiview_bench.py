"""The benchmark of multi-view reconstruction: virtual people before nine cameras.

Each person is reconstructed of all views with known cameras, of three with and without, of one
alone, and of three as HRN's release does it; each time in a process of its own. The model is the
one that the person was drawn from, as in other benchmarks of the kind; `beyond_model_mm` adds
shape that it lacks, and the relief of skin is never in it.
"""

import logging
import time
from pathlib import Path
from typing import Any

from ..core.errors import EstimationError, FacekitError
from ..core.files import write_json
from .multiview_bench_ablation import ablation
from .multiview_bench_config import MultiViewBenchConfig, Way
from .multiview_bench_faults import faults
from .multiview_bench_work import Person, summary
from .virtual import finite

__all__ = ["MultiViewBenchConfig", "bench_multiview"]

log = logging.getLogger(__name__)

RESULT_FILE = "multiview_bench.json"
_TOLD = ("median_mm", "p90_mm", "detail_corr", "seconds")


def bench_multiview(config: MultiViewBenchConfig, out: Path) -> dict[str, Any]:
    """Run the benchmark in `out`; photographs of an earlier run are kept.

    Returns
    -------
    dict
        JSON-able, also written to `multiview_bench.json` after every person. Under
        `calibrated9`, `calibrated3`, `uncalibrated3`, `single` and `compat3`, medians over
        people:

        `median_mm`, `p90_mm`
            Distance from points of the true face, relief and all, to the detailed surface found:
            after rigid alignment, for `uncalibrated3` after a similarity. Of several meshes
            (`compat3`) the mean.
        `unaligned_median_mm`
            Where the calibrated cameras say that the surface lies.
        `scaled_median_mm`, `scaled_p90_mm`
            After a similarity, for comparisons between all ways.
        `coarse_median_mm`, `mid_median_mm`
            As `median_mm`, of the coarse surface and the one with the deformation map.
        `detail_corr`, `detail_gain`, `detail_valid_percent`
            Displacement of 2 to 8 mm against what would take the found surface to the true one,
            where the method vouches for it, and over how much of the face that is;
            `detail_face_corr`: over all of the face.
        `seconds`, `cpu_s`, `peak_gb`
            Of the reconstruction, photographs and face model loaded before.

        and `worst` (figure -> its value and `subject`), `subjects` (name -> all of its figures),
        `failed` (name -> reason). `gain_over_compat_percent`: by how much the scaled median
        error of `uncalibrated3` is below that of `compat3`. `ablation` and `faults` where asked
        for: see `multiview_bench_ablation.py` and `multiview_bench_faults.py`.

    Raises
    ------
    InputError
        The face model is not there.
    EstimationError
        Nothing could be reconstructed.
    """
    started = time.perf_counter()
    rows: dict[str, dict[str, Any]] = {way: {} for way in config.cases}
    failed: dict[str, dict[str, str]] = {way: {} for way in config.cases}
    result: dict[str, Any] = {}
    for index in range(config.subjects):
        person = Person(config, index, out)
        for way in config.cases:
            _measure(person, way, rows[way], failed[way])
        result = _told(config, rows, failed)
        write_json(out / RESULT_FILE, finite(result))
    if not any(rows.values()):
        raise EstimationError(f"nothing could be reconstructed. {_reasons(failed)}")
    if config.ablation:
        result["ablation"] = ablation(config, out)
    if config.faults:
        result["faults"] = faults(config, out, rows.get(Way.CALIBRATED9, {}))
    result["total_s"] = time.perf_counter() - started
    result = finite(result)
    write_json(out / RESULT_FILE, result)
    return result


def _measure(person: Person, way: Way, rows: dict[str, Any], failed: dict[str, str]) -> None:
    name = person.case.name
    try:
        rows[name], _ = person.reconstruct(way)
    except FacekitError as error:
        failed[name] = str(error)
        log.warning("%s, %s: %s", name, way, error)
        return
    told = (f"{key} {rows[name][key]:.3g}" for key in _TOLD if rows[name][key] is not None)
    log.info("%s, %s: %s", name, way, ", ".join(told))


def _told(
    config: MultiViewBenchConfig,
    rows: dict[str, dict[str, Any]],
    failed: dict[str, dict[str, str]],
) -> dict[str, Any]:
    """Return the result so far."""
    result: dict[str, Any] = {
        "seed": config.seed,
        "n_subjects": config.subjects,
        "layout": config.layout,
        "megapixels": config.megapixels,
        "beyond_model_mm": config.beyond_model_mm,
        "uncalibrated_focal": f"known within {100 * config.focal_error:g} %",
    }
    for way in config.cases:
        result[str(way)] = {
            **summary(rows[way]), "failed": failed[way], "subjects": rows[way],
        }  # fmt: skip
    pair = [result.get(way, {}).get("scaled_median_mm") for way in (Way.UNCALIBRATED3, Way.COMPAT3)]
    if None not in pair:
        result["gain_over_compat_percent"] = 100 * (1 - pair[0] / pair[1])
    return result


def _reasons(failed: dict[str, dict[str, str]]) -> str:
    told = (f"{who}, {way}: {why}" for way, each in failed.items() for who, why in each.items())
    return "; ".join(told)
