"""Figures of a virtual session's results against its truth."""

from pathlib import Path
from typing import Any

import numpy as np

from ..capture.virtual.truth import Truth, load_truth
from ..core.errors import EstimationError
from ..core.geometry.camera import Rig
from ..core.geometry.meshio import load_mesh
from .mesh_accuracy import MeshAccuracy, TrueSurface, mesh_error
from .rig_accuracy import CalibrationAccuracy, calibration_error

__all__ = [
    "calibration_error",
    "calibration_figures",
    "evaluate_session",
    "find_meshes",
    "finite",
    "measure_take",
    "mesh_error",
    "mesh_figures",
]

MESH_NAMES = ("mesh.ply", "mesh.obj", "scan.ply")
_SEED = 1  # of the points drawn on the surfaces


def evaluate_session(session_folder: Path, rig: Rig, build_folder: Path | None) -> dict[str, Any]:
    """Measure everything made of a virtual session against its truth.

    Parameters
    ----------
    rig : Rig
        As calibrated.
    build_folder : Path, optional
        Holds `<take>/mesh.ply` for some of the takes.

    Returns
    -------
    dict
        JSON-able: `calibration` (figures) and `meshes` (take -> figures, or `failed`, the
        reason why that take could not be measured).

    Raises
    ------
    InputError
        The session has no truth, or the rig shares fewer than two cameras with it.
    """
    truth = load_truth(session_folder)
    calibration = calibration_error(rig, truth.rig)
    meshes: dict[str, Any] = {}
    for take, path in find_meshes(build_folder).items():
        if not (truth.folder / take).is_dir():
            continue
        try:
            meshes[take] = mesh_figures(measure_take(truth, take, path, calibration))
        except EstimationError as error:
            meshes[take] = {"failed": str(error)}
    return {"calibration": calibration_figures(calibration), "meshes": meshes}


def find_meshes(build_folder: Path | None) -> dict[str, Path]:
    """Return take -> mesh file of a build folder, in the order of names."""
    if build_folder is None or not build_folder.is_dir():
        return {}
    found = {}
    for folder in sorted(path for path in build_folder.iterdir() if path.is_dir()):
        path = next((folder / name for name in MESH_NAMES if (folder / name).is_file()), None)
        if path is not None:
            found[folder.name] = path
    return found


def measure_take(
    truth: Truth, take: str, mesh_file: Path, calibration: CalibrationAccuracy
) -> MeshAccuracy:
    """Measure one mesh over the frontal face that two true cameras see.

    The mesh is taken to the true frame by the alignment of the rigs, never fitted to the
    true surface: an error of the calibration counts as an error of the mesh.
    """
    surface = TrueSurface(truth.mesh(take), region=truth.frontal_face(take), rig=truth.rig)
    return mesh_error(
        load_mesh(mesh_file),
        surface,
        true_from_mesh=calibration.true_from_rig,
        rng=np.random.default_rng(_SEED),
    )


def calibration_figures(found: CalibrationAccuracy) -> dict[str, Any]:
    """Return the figures of a calibration, JSON-able."""
    names = ("center_mm", "rotation_deg", "focal_percent", "principal_point_px", "head_px")
    return finite({
        "scale_ppm": found.scale_ppm,
        "head_mm": found.head_mm,
        "missing": list(found.missing),
        **{f"{name}_mean": found.mean(name) for name in names},
        **{f"{name}_max": found.worst(name) for name in names},
        "cameras": [
            {"name": camera.name, **{name: getattr(camera, name) for name in names}}
            for camera in found.cameras
        ],
    })  # fmt: skip


def mesh_figures(found: MeshAccuracy) -> dict[str, Any]:
    """Return the figures of a mesh, JSON-able; `within_…` are per cent of the true surface."""
    names = ("median_mm", "p90_mm", "mean_mm", "rms_mm", "bias_mm", "outlier_percent",
             "normal_deg", "n_points")  # fmt: skip
    return {
        **{name: getattr(found, name) for name in names},
        **{
            f"within_{limit:g}mm".replace(".", "_"): share
            for limit, share in found.completeness_percent.items()
        },
    }


def finite(value: Any) -> Any:
    """Return JSON-able values with None in place of NaN."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
