"""What a datasheet tells of a capture: sizes, how much was measured, how well."""

from typing import Any

import numpy as np

from ...core.arrays import AnyFloats, Bools
from ..bake.maps import Maps
from ..register.registered import Registered


def capture_figures(registered: Registered, maps: Maps) -> dict[str, Any]:
    """Return the figures of one capture, JSON-able; None where nothing was measured.

    Shares are of the texels inside the chart (those with an uncertainty), in per cent.
    """
    inside, coarse_inside = maps.sigma > 0, maps.deformation_sigma > 0
    supported = registered.support > 0.5
    size = np.linalg.norm(maps.deformation, axis=2)
    return {
        "deformation_texels": len(maps.deformation),
        "displacement_texels": len(maps.displacement),
        "albedo_texels": len(maps.albedo),
        "deformation_percent": _share(maps.deformation_valid, coarse_inside),
        "displacement_percent": _share(maps.valid, inside),
        "albedo_percent": _share(maps.albedo_valid, _resized(inside, len(maps.albedo))),
        "deformation_median_mm": _median(size[maps.deformation_valid]),
        "displacement_rms_mm": _rms(maps.displacement[maps.valid]),
        "sigma_median_mm": _median(maps.sigma[maps.valid]),
        "sigma_p95_mm": _p95(maps.sigma[maps.valid]),
        "residual_median_mm": _median(np.abs(registered.residual[supported])),
        "residual_p95_mm": _p95(np.abs(registered.residual[supported])),
    }


def _share(valid: Bools, inside: Bools) -> float | None:
    n = int(inside.sum())
    return round(100 * int((valid & inside).sum()) / n, 2) if n else None


def _resized(mask: Bools, size: int) -> Bools:
    """Return a square mask at another size, by the nearest texel."""
    rows = ((np.arange(size) + 0.5) * len(mask) / max(size, 1)).astype(int)
    return np.asarray(mask[rows][:, rows])


def _median(values: AnyFloats) -> float | None:
    return _rounded(np.nanmedian(_known(values))) if _known(values).size else None


def _p95(values: AnyFloats) -> float | None:
    return _rounded(np.percentile(_known(values), 95)) if _known(values).size else None


def _rms(values: AnyFloats) -> float | None:
    known = _known(values).astype(np.float64)
    return _rounded(np.sqrt((known**2).mean())) if known.size else None


def _known(values: AnyFloats) -> AnyFloats:
    return np.asarray(values[np.isfinite(values)])


def _rounded(value: Any) -> float:
    return float(f"{float(value):.4g}")
