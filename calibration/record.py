"""What a calibration leaves in its folder: `rig.json`, `residuals.json`, figures per camera.

Both formats are described in `docs/formats/`. All RMS are those of OpenCV's `calibrateCamera`:
the root of the mean squared *distance* between projected and seen points,
sqrt(mean(dx² + dy²)), over the points that determined the result.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..capture.session import CameraInfo
from ..core.arrays import Bools, Floats
from ..core.files import write_json
from ..core.geometry.camera import Camera, Rig
from .rigfile import RIG_FILE, save_rig

RESIDUALS_FILE = "residuals.json"
RESIDUALS_FORMAT = "facekit-residuals"
RESIDUALS_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Residuals:
    """Where one camera saw points, and how far off its model puts them."""

    xy: Floats
    """(N, 2) px, as seen."""
    error: Floats
    """(N, 2) px, projected minus seen."""
    kept: Bools
    """(N,) False: rejected, did not determine the result."""


def rms(error: Floats) -> float:
    """Return the root mean square length of `error` (N, 2); zero for none."""
    return float(np.sqrt((error**2).sum(axis=1).mean())) if len(error) else 0.0


def joint_rms(residuals: Mapping[str, Residuals], *, rejected: bool = False) -> float:
    """Return the RMS over the points of all cameras, px; over the kept ones by default."""
    return rms(np.concatenate([one.error[one.kept | rejected] for one in residuals.values()]))


def coverage(camera: Camera, one: Residuals) -> float:
    """Return the part of a camera's image in which it saw points that were kept."""
    extent = np.ptp(one.xy[one.kept], axis=0) if one.kept.any() else np.zeros(2)
    return float(extent.prod()) / (camera.width * camera.height)


def rejected_share(one: Residuals) -> float:
    """Return the part of a camera's points that were rejected; zero of none."""
    return 1 - float(one.kept.mean()) if len(one.kept) else 0.0


def camera_figures(rig: Rig, residuals: Mapping[str, Residuals]) -> dict[str, dict[str, Any]]:
    """Return figures of each camera by itself, JSON-able: residuals, place, focal length."""
    figures: dict[str, dict[str, Any]] = {}
    for camera in rig:
        one = residuals[camera.name]
        error = one.error[one.kept]
        length = np.linalg.norm(error, axis=1)
        figures[camera.name] = {
            "n_points": len(error),
            "n_points_rejected": int((~one.kept).sum()),
            "rms_px": rms(error),
            "p95_px": float(np.percentile(length, 95)) if len(length) else 0.0,
            "focal_px": float(camera.K[[0, 1], [0, 1]].mean()),
            "center_mm": camera.center.tolist(),
        }
    return figures


def write_record(
    out: Path,
    rig: Rig,
    residuals: Mapping[str, Residuals],
    *,
    infos: Mapping[str, CameraInfo],
    figures: Mapping[str, Mapping[str, Any]],
    provenance: Mapping[str, Any],
) -> None:
    """Write `out/residuals.json`, then `out/rig.json`.

    Parameters
    ----------
    infos : Mapping[str, CameraInfo]
        What `rig.json` says of each camera's body and lens.
    figures : Mapping[str, Mapping[str, Any]]
        Camera -> further JSON-able fields of `rig.json`.
    """
    write_json(
        out / RESIDUALS_FILE,
        {
            "format": RESIDUALS_FORMAT,
            "version": RESIDUALS_VERSION,
            "cameras": {
                name: {
                    "xy": np.round(one.xy, 2).tolist(),
                    "error": np.round(one.error, 4).tolist(),
                    "kept": one.kept.tolist(),
                }
                for name, one in residuals.items()
            },
        },
    )
    # the centre follows from the pose: kept in one place only
    own = {name: {k: v for k, v in f.items() if k != "center_mm"} for name, f in figures.items()}
    details = {name: {**_equipment(infos[name]), **own.get(name, {})} for name in rig.names}
    save_rig(out / RIG_FILE, rig, details=details, provenance=provenance)


def _equipment(info: CameraInfo) -> dict[str, Any]:
    fields = ("make", "model", "serial", "lens", "lens_serial", "focal_mm")
    values = {name: getattr(info, name) for name in fields}
    return {name: value for name, value in values.items() if value is not None}
