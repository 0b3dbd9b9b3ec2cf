"""The stage that bakes a take's maps."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from ..capture.color import COLOR_FILE, load_color
from ..capture.session import Session, Take
from ..core.config import to_mapping
from ..core.facemodel.model import FaceModel
from ..core.files import StageKey, clear_unfinished, finished, hash_of, sha256_file, stage_run
from ..core.folderlock import only_writer
from ..core.geometry.camera import Rig
from .bake.bake import bake_maps
from .bake.config import BakeConfig
from .bake.mapfile import MAPS_FILE, save_maps
from .bake.maps import Maps
from .register.registeredfile import REGISTERED_FILE, load_registered
from .registerstage import fit_figures, load_scan
from .stages import STAGES_FOLDER
from .stereo.views import load_views

log = logging.getLogger(__name__)

_MAPS = "maps"
_VERSION = 1  # of what is baked: a change makes older results stale


def bake_take(
    session: Session, take: Take, rig: Rig, folder: Path, model: FaceModel,
    settings: BakeConfig, *, megapixels: float, auto_mask: bool,
) -> dict[str, Any]:  # fmt: skip
    """Bake a take's maps, if they are not finished; return its figures, JSON-able.

    Parameters
    ----------
    rig : Rig
        That the take's mesh was made with.
    folder : Path
        Of the take.
    megapixels : float
        Of the photographs that the albedo is made from.
    """
    color_file = session.folder / COLOR_FILE
    registered_file, place = folder / REGISTERED_FILE, folder / STAGES_FOLDER / _MAPS
    key = StageKey(
        stage=f"build-dataset/{_MAPS}",
        config={"version": _VERSION, "megapixels": megapixels, **to_mapping(settings)},
        inputs={
            "registered": sha256_file(registered_file),
            "mesh": sha256_file(folder / "mesh.ply"),
            "cameras": hash_of([camera.record() for camera in rig]),
            "photographs": hash_of([shot.sha256 for shot in take.shots]),
            "colors": sha256_file(color_file) if color_file.is_file() else "none",
        },
    )
    registered = load_registered(folder, model)
    with only_writer(folder, wait=True):
        record = finished(place, key, outputs=[f"../../{MAPS_FILE}"])
        if record is None:
            log.info("%s: maps", take.id)
            (folder / MAPS_FILE).unlink(missing_ok=True)
            clear_unfinished(folder)
            with stage_run(place, key) as run:
                views = load_views(session, take, rig, megapixels=megapixels, auto_mask=auto_mask)
                colors = load_color(session.folder) if color_file.is_file() else None
                maps = bake_maps(registered, load_scan(folder), views, settings, colors=colors)
                save_maps(folder, maps)
                run.results.update(map_figures(maps), albedo_calibrated=colors is not None)
            results = run.results
        else:
            log.info("%s: maps finished already", take.id)
            results = record["results"]
    return {"registration": fit_figures(registered), "maps": dict(results)}


def map_figures(maps: Maps) -> dict[str, Any]:
    """Return what was baked, JSON-able."""
    depth = maps.displacement[maps.valid]
    return {
        "displacement_size": len(maps.displacement),
        "deformation_size": len(maps.deformation),
        "albedo_size": len(maps.albedo),
        "valid_percent": round(100 * float(maps.valid.mean()), 1),
        "displacement_rms_mm": float(np.sqrt((depth.astype(np.float64) ** 2).mean()))
        if len(depth)
        else None,
        "sigma_median_mm": float(np.median(maps.sigma[maps.valid])) if len(depth) else None,
    }
