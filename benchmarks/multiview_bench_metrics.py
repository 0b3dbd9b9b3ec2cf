"""A found face held against the true one: figures of a case of the multi-view benchmark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.geometry.mesh import Mesh
from ..core.geometry.transform import Similarity
from ..reconstruct.detailedsurface import detailed_surface
from .face_distance import SurfaceError, surface_error, surface_error_at
from .multiview_bench_case import CaseTruth
from .multiview_bench_config import Way
from .multiview_bench_detail import DetailError, detail_error
from .multiview_bench_methods import FoundFace

RELATIVE = (Way.UNCALIBRATED3,)
"""Ways whose figures allow a scale: nothing tells how large a face is."""
CALIBRATED = (Way.CALIBRATED9, Way.CALIBRATED3)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One found face beside the truth."""

    surface: Mesh
    """Detailed, as found."""
    error: SurfaceError
    """Aligned as the way's figures are."""
    detail: DetailError
    figures: dict[str, Any]


def measure_face(found: FoundFace, truth: CaseTruth, way: Way) -> Measured:
    """Measure one found face.

    `figures`, mm from points of the true face to the found surface: `median_mm`, `p90_mm`,
    aligned rigidly, and with scale where nothing tells the scale; `scaled_median_mm`, with scale
    always; `unaligned_median_mm`, where calibrated cameras say that the surface lies;
    `coarse_median_mm` and `mid_median_mm` of the coarser surfaces. Of the displacement:
    `detail_corr` and what else `_detail_figures` has.
    """
    model, with_scale = truth.model, way in RELATIVE
    displacement = np.asarray(found.displacement, np.float32)
    surface = detailed_surface(model, found.mid, displacement)
    error = surface_error(truth.face, surface, model, with_scale=with_scale)
    scaled = (
        error if with_scale else surface_error(truth.face, surface, model, with_scale=True)
    )  # fmt: skip
    figures: dict[str, Any] = {
        "median_mm": error.median_mm,
        "p90_mm": error.p90_mm,
        "scaled_median_mm": scaled.median_mm,
        "scaled_p90_mm": scaled.p90_mm,
        "scale_percent": 100 * (scaled.found_from_true.scale - 1),
    }
    if way in CALIBRATED and found.world_from_head is not None:
        there = surface_error_at(
            truth.face, surface, found_from_true(found.world_from_head, truth.world_from_head)
        )
        figures |= {"unaligned_median_mm": there.median_mm, "unaligned_p90_mm": there.p90_mm}
    for level in ("coarse", "mid"):
        mesh = Mesh(vertices=np.asarray(getattr(found, level), np.float64), faces=model.faces)
        figures[f"{level}_median_mm"] = surface_error(
            truth.face, mesh, model, with_scale=with_scale
        ).median_mm
    detail = detail_error(
        truth.skin, model, found_from_true=error.found_from_true, mid=found.mid,
        displacement=displacement, valid=found.valid,
    )  # fmt: skip
    figures |= _detail_figures(detail)
    return Measured(surface=surface, error=error, detail=detail, figures=figures)


def found_from_true(world_from_found: Similarity, world_from_true: Similarity) -> Similarity:
    """Return the similarity from the true head frame to the found one."""
    R = world_from_found.R.T @ world_from_true.R
    scale = world_from_true.scale / world_from_found.scale
    t = (world_from_true.t - world_from_found.t) @ world_from_found.R / world_from_found.scale
    return Similarity(scale=scale, R=R, t=t)


def mean_figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the means of figures over the faces that one reconstruction found."""
    return {name: _mean([row[name] for row in rows]) for name in rows[0]}


def _detail_figures(detail: DetailError) -> dict[str, Any]:
    """Return figures of a displacement map: its band of 2 to 8 mm against the true one's.

    None where the method vouches for too little of it. `detail_face_corr` is over all of the
    face, whatever it vouches for.
    """
    band, whole = detail.band, detail.band_of_face
    return {
        "detail_corr": None if band is None else band.corr,
        "detail_gain": None if band is None else band.gain,
        "detail_amplitude_ratio": None if band is None else band.amplitude_ratio,
        "detail_true_um": None if band is None else band.true_um,
        "detail_error_um": None if band is None else band.error_um,
        "detail_valid_percent": detail.valid_percent,
        "detail_compared_percent": detail.compared_percent,
        "detail_face_corr": None if whole is None else whole.corr,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
