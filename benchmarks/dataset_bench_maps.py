"""A take's maps against those of the true surface, on the same registered mesh."""

from dataclasses import asdict
from typing import Any

import numpy as np

from ..core.arrays import Bools, Floats, Floats32
from ..dataset.bake.bake import bake_maps
from ..dataset.bake.chart import Chart, chart
from ..dataset.bake.config import BakeConfig
from ..dataset.bake.detailed import detailed_mesh
from ..dataset.bake.maps import Maps
from ..dataset.register.registered import Registered, Scan
from .dataset_bench_albedo import albedo_error, true_albedo
from .dataset_bench_band import BandAgreement, band_agreement
from .dataset_bench_metrics import round_trip
from .dataset_bench_truth import TakeTruth

ROUND_TRIP_STEP = 1
"""Texels between the vertices of the mesh that the maps give."""
_ALBEDO_SAMPLING = 2


def true_maps(registered: Registered, truth: TakeTruth, config: BakeConfig) -> Maps:
    """Bake the true fine surface in place of the scan on the same registered mesh."""
    return bake_maps(registered, Scan(mesh=truth.mesh), (), config)


def map_figures(
    registered: Registered, scan: Scan, maps: Maps, true: Maps, truth: TakeTruth
) -> dict[str, Any]:
    """Return displacement's agreement with the truth and the round trip, JSON-able.

    Over the face where two cameras see it: elsewhere a scan is bridged, not measured.
    """
    texels = chart(truth.model, len(maps.displacement))
    on_face = face_texels(texels, truth.measured)
    both = maps.valid & true.valid & on_face
    texel_mm = texels.texel_mm(truth.vertices)
    found = band_agreement(maps.displacement, true.displacement, usable=both, texel_mm=texel_mm)
    canonical = band_agreement(
        maps.displacement, canonical_relief(texels, truth), usable=maps.valid & on_face,
        texel_mm=texel_mm,
    )  # fmt: skip
    back = round_trip(
        detailed_mesh(registered, maps, step=ROUND_TRIP_STEP), scan.mesh, registered,
        face=truth.measured,
    )  # fmt: skip
    return {
        **_named("displacement", found),
        "displacement_corr_canonical": canonical.corr,
        "displacement_median_um": 1000 * _median_off(maps, true, both),
        "valid_percent": 100 * float(maps.valid[on_face].mean()),
        **{f"roundtrip_{name}": value for name, value in asdict(back).items()},
        **_sigma_figures(maps, true, both),
    }


def albedo_figures(maps: Maps, true: Floats32, truth: TakeTruth) -> dict[str, Any]:
    """Return the albedo's errors over the face, JSON-able; `true` as `albedo_truth` gives it."""
    on_face = face_texels(chart(truth.model, len(maps.albedo)), truth.face_region)
    found = albedo_error(maps.albedo, true, maps.albedo_valid & on_face)
    return {
        **{f"albedo_{name}": value for name, value in asdict(found).items()},
        "albedo_valid_percent": 100 * float(maps.albedo_valid[on_face].mean()),
    }


def albedo_truth(truth: TakeTruth, size: int) -> Floats32:
    """Return (size, size, 3) the albedo that the subject is painted with, linear."""
    return true_albedo(truth.model, truth.skin, size, sampling=_ALBEDO_SAMPLING)


def face_texels(texels: Chart, face: Bools) -> Bools:
    """Return (n, n) the texels on triangles whose corners are all of the face (V,)."""
    whole = np.asarray(face[texels.model.faces].all(axis=1))
    return np.asarray(whole[np.maximum(texels.face, 0)] & (texels.face >= 0))


def canonical_relief(texels: Chart, truth: TakeTruth) -> Floats32:
    """Return (n, n) the relief that the studio raised, mm; zero outside the chart."""
    inside = texels.face >= 0
    second, third = texels.weights[inside].astype(np.float64).T
    weights: Floats = np.stack([1 - second - third, second, third], axis=1)
    out = np.zeros(texels.face.shape, np.float32)
    out[inside] = truth.relief_at(texels.face[inside], weights)
    return out


def _named(prefix: str, found: BandAgreement) -> dict[str, Any]:
    return {f"{prefix}_{name}": value for name, value in asdict(found).items()}


def _median_off(maps: Maps, true: Maps, both: Bools) -> float:
    return float(np.median(np.abs(maps.displacement[both] - true.displacement[both])))


def _sigma_figures(maps: Maps, true: Maps, both: Bools) -> dict[str, Any]:
    """Return the share of texels within one stated standard deviation of the truth."""
    known = both & (maps.sigma > 0)
    if not known.any():
        return {"displacement_sigma_coverage": None}
    off = np.abs(maps.displacement[known] - true.displacement[known])
    return {"displacement_sigma_coverage": float((off <= maps.sigma[known]).mean())}
