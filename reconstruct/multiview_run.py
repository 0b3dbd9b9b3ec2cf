"""Sessions and folders in, one face a take or folder out; finished ones are kept.

<out>/<name>/fit.json, fit.npz, cameras.json    see `views/resultfile.py`
<out>/<name>/*.obj, *.glb, *.png, views, residuals    see `views/resultexports.py`
<out>/<name>/report.html, turntable.gif         to look at
<out>/<name>/stage.json                         what it was made of; written last
<out>/contact.jpg                               all faces and their surfaces
<out>/multiview.json                            figures of each, and why others failed
"""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.assets import find_asset
from ..core.console import track
from ..core.errors import InputError
from ..core.facemodel.landmark_table import LandmarkTable
from ..core.facemodel.landmarks import Detector
from ..core.facemodel.load import load_face_model
from ..core.facemodel.model import FaceModel
from ..core.files import (
    STAGE_RECORD,
    StageKey,
    finished,
    hash_of,
    sha256_file,
    stage_run,
    write_bytes,
    write_json,
)
from ..core.folderlock import only_writer
from ..core.imaging.imageio import read_image
from ..core.wording import distinct
from ..dataset.build import EXPECTED, reason_of
from ..dataset.export.encoding import jpeg, smaller
from ..dataset.registerstage import model_hash
from .exports import EXPORTED
from .multiview_config import MultiViewRunConfig
from .multiview_face import face_of_views, faces_as_released
from .predict import (
    CONTACT_SHEET,
    clear,
    finder_of,
    require_folder,
    settings_that_count,
)
from .views.loading import load_face_views
from .views.photosets import PhotoSet, photo_sets
from .views.report import REPORT
from .views.resultexports import (
    MAP_FILES,
    RESIDUALS,
    SURFACE_SHEET,
    VIEW_SHEET,
    VIEWS,
)
from .views.resultfile import ARRAYS_FILE, CAMERAS_FILE, RECORD_FILE

log = logging.getLogger(__name__)

SUMMARY = "multiview.json"
_WRITTEN = (
    STAGE_RECORD, RECORD_FILE, ARRAYS_FILE, CAMERAS_FILE, REPORT, VIEW_SHEET, SURFACE_SHEET,
    "turntable.gif", "turntable.mp4", *MAP_FILES, *EXPORTED,
)  # fmt: skip
"""Into a face's folder, the record that tells it is finished first."""
_VERSION = 1  # of what is made: a change makes older results stale
_QUALITY = 90
_SHEET_PX = 1400
_MOST_ROWS = 40  # of a contact sheet


def reconstruct_view_sets(
    paths: Sequence[Path],
    out: Path,
    config: MultiViewRunConfig | None = None,
    *,
    rig_file: Path | None = None,
    takes: Sequence[str] = (),
    finder: Detector | LandmarkTable | None = None,
) -> dict[str, Any]:
    """Reconstruct one face of each take of a session, and of each folder of photographs.

    Parameters
    ----------
    paths, rig_file, takes
        See `views.photosets.photo_sets`.
    finder : optional
        As the configuration has it by default.

    Returns
    -------
    dict
        `faces`: name -> figures of those reconstructed, now or before; `failed`: name -> reason.
        Also written to `out/multiview.json`.

    Raises
    ------
    FacekitError
        What concerns all faces: no such path, rig or take, no detector, a damaged model, a
        folder that cannot be written to.
    """
    config = MultiViewRunConfig() if config is None else config
    masks = None if config.mask is None else Path(config.mask)
    found = photo_sets(paths, rig_file=rig_file, takes=takes, masks=masks)
    finder = finder_of(config) if finder is None else finder
    require_folder(out)
    model = load_face_model(config.model)
    summary: dict[str, Any] = {"faces": {}, "failed": dict(found.failed)}
    for name, photos in track(named(found.sets), "faces"):
        try:
            summary["faces"][name] = reconstruct_face(photos, out / name, config, model, finder)
        except (*EXPECTED, RuntimeError) as error:  # torch raises the latter
            summary["failed"][name] = reason_of(error)
            _clear(out / name)  # nothing of it, and nothing older, is left to be taken for it
            log.debug("%s: %s", name, summary["failed"][name], exc_info=True)
    if summary["faces"]:
        _write_contact_sheet(out / CONTACT_SHEET, list(summary["faces"]))
        summary["contact_sheet"] = str(out / CONTACT_SHEET)
    else:
        (out / CONTACT_SHEET).unlink(missing_ok=True)
    write_json(out / SUMMARY, summary)
    return summary


def named(sets: Sequence[PhotoSet]) -> list[tuple[str, PhotoSet]]:
    """Return each set with a name of its own: numbered where that is taken."""
    taken = (SUMMARY, CONTACT_SHEET)
    return list(zip(distinct((photos.name for photos in sets), taken), sets, strict=True))


def reconstruct_face(
    photos: PhotoSet,
    folder: Path,
    config: MultiViewRunConfig,
    model: FaceModel,
    finder: Detector | LandmarkTable,
) -> dict[str, Any]:
    """Reconstruct one face of its photographs, unless that is done; return its figures.

    Raises
    ------
    FacekitError
        No photograph can be used, or nothing can be made of them.
    """
    _refuse_sources(folder, photos)
    key = _key(photos, config, model, finder)
    whole = [] if config.compat else [ARRAYS_FILE, RECORD_FILE, REPORT]
    record = finished(folder, key, outputs=[*whole, VIEW_SHEET])
    if record is not None:
        log.info("%s: finished already", folder.name)
        return dict(record["results"])
    with only_writer(folder):
        _clear(folder)
        start = time.perf_counter()
        loaded = load_face_views(photos, finder, config.loading)
        with stage_run(folder, key) as run:
            make = faces_as_released if config.compat else face_of_views
            run.results.update(make(photos, loaded, folder, config, model))
            run.results["seconds"] = round(time.perf_counter() - start, 1)
    return run.results


def _refuse_sources(folder: Path, photos: PhotoSet) -> None:
    """Refuse to write among the photographs.

    Raises
    ------
    InputError
        They lie in `folder`.
    """
    for shot in photos.take.shots:
        if folder.resolve() in photos.session.path(shot).resolve().parents:
            raise InputError(
                f"{folder}: holds the photographs themselves; give another --out for the results"
            )


def _clear(folder: Path) -> None:
    """Remove all that a run wrote, whole or killed."""
    for inner in (folder / VIEWS).glob("*/"):  # as released
        clear(inner)
    for inner in (folder / VIEWS, folder / RESIDUALS):
        clear(inner, [path.name for path in inner.glob("*.jpg")])
    clear(folder, _WRITTEN)


def _key(
    photos: PhotoSet,
    config: MultiViewRunConfig,
    model: FaceModel,
    finder: Detector | LandmarkTable,
) -> StageKey:
    """Return what determines a result."""
    inputs = {"model": model_hash(model), "landmarks": _landmarks_hash(photos, finder)}
    for shot in photos.take.shots:
        mask = photos.session.mask_path(shot)
        inputs[f"photograph of {shot.camera}"] = shot.sha256
        inputs[f"mask of {shot.camera}"] = "none" if mask is None else sha256_file(mask)
    inputs["unit"] = "none" if photos.rig is None else str(photos.rig.metric)
    for camera in photos.rig or ():
        inputs[f"calibration of {camera.name}"] = hash_of(camera.record())
    for name in ("checkpoint", "deretouch") if config.with_networks else ():
        given: str | None = getattr(config, name)
        path = find_asset("hrn" if name == "checkpoint" else name) if given is None else Path(given)
        inputs[name] = "none" if path is None else sha256_file(path)
    settings = {"version": _VERSION, "method": config.method, **settings_that_count(config)}
    settings["left_out"] = sorted(photos.remarks)
    return StageKey(stage="reconstruct-views", config=settings, inputs=inputs)


def _landmarks_hash(photos: PhotoSet, finder: Detector | LandmarkTable) -> str:
    """Return what determines the landmarks: the networks, or the rows of a table."""
    if not isinstance(finder, LandmarkTable):
        return finder.name
    rows: Mapping[str, Any] = {
        shot.camera: finder.of(photos.take.id, shot.camera) for shot in photos.take.shots
    }
    return hash_of(
        {name: face and [face.scheme, face.points.tolist()] for name, face in rows.items()}
    )


def _write_contact_sheet(path: Path, names: Sequence[str]) -> None:
    """Put the views' sheets of all faces below each other."""
    sheets = [read_image(path.parent / name / VIEW_SHEET) for name in names[:_MOST_ROWS]]
    rows = [smaller(sheet, _SHEET_PX) for sheet in sheets]
    widest = max(row.shape[1] for row in rows)
    padded = [
        np.pad(row, ((0, 0), (0, widest - row.shape[1]), (0, 0)), constant_values=247)
        for row in rows
    ]
    write_bytes(path, jpeg(np.concatenate(padded), quality=_QUALITY))
