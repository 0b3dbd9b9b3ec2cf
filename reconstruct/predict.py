"""Photographs in, predictions out: one folder a photograph, finished ones are kept.

<out>/<name>/prediction.json, prediction.npz    see `predictionfile.py`
<out>/<name>/*.obj, *.glb, *.png                see `exports.py`
<out>/<name>/overlay.jpg, turntable.gif         to look at
<out>/<name>/stage.json                         what it was made of; written last
<out>/contact.jpg                               all photographs and their surfaces
<out>/reconstruct.json                          figures of each, and why others failed

A photograph that cannot be done is told of, and the others go on.
"""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.config import to_mapping
from ..core.console import track
from ..core.devices import Device, chosen_device
from ..core.errors import ConfigError, InputError
from ..core.facemodel.landmark_table import LandmarkTable
from ..core.facemodel.landmarks import Detector
from ..core.facemodel.load import load_face_model
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
from .contactsheet import contact_sheet
from .exports import EXPORTED, export_prediction
from .facemasks import mask_file, mask_source
from .method import Method
from .photograph import (
    LARGEST,
    CloseUp,
    close_up,
    face_finder,
    face_of_table,
    find_face,
    photographs_in,
    rank_of,
    read_photograph,
)
from .pictures import panels, scene_of
from .prediction import Prediction
from .predictionfile import ARRAYS_FILE, RECORD_FILE, save_prediction
from .shippedweights import NONE, SHIPPED, ChosenWeights, chosen_weights, fit_deretouch
from .surfaces import FaceSurfaces
from .turntable import TurntableConfig, turntable_frames, write_turntable

log = logging.getLogger(__name__)

SUMMARY = "reconstruct.json"
OVERLAY = "overlay.jpg"
CONTACT_SHEET = "contact.jpg"
TURNTABLES = ("gif", "mp4", "none")
_WRITTEN = (
    STAGE_RECORD, RECORD_FILE, ARRAYS_FILE, OVERLAY, "turntable.gif", "turntable.mp4", *EXPORTED,
)  # fmt: skip
"""Into a photograph's folder, the record that tells it is finished first."""
_VERSION = 2  # of what is made: a change makes older results stale
_QUALITY = 90
_SHEET_PX = 1400
_MOST_ROWS = 40  # of a contact sheet


@dataclass(frozen=True, kw_only=True)
class ReconstructConfig:
    """How faces are reconstructed.

    Raises
    ------
    ConfigError
        Settings that do not go together.
    """

    model: str = "builtin"  # face model: builtin, a registered one, or its file
    fit: bool = False  # by optimisation, without any weights
    checkpoint: str | None = None  # of HRN; None: the registered one, else facekit's (`shipped`)
    deretouch: str | None = None  # of the de-retouching network, likewise; or `none`
    landmarks: str | None = None  # a table of points in place of the detector (.csv, .json)
    yunet: str | None = None  # face detector's file; None: the registered one
    facemesh: str | None = None  # landmark network's, likewise
    mask: str | None = None  # of a photograph, or a folder of such: white is face
    face: str = LARGEST  # or a number: 1 is the largest
    focal_px: float | None = None  # of the photographs; None: EXIF's, or a usual portrait's
    device: Device = Device.AUTO
    compat: bool = False  # as the released code computes, quirks and all
    texture_size: int = 1024  # texels a side
    turntable: str = "gif"  # or mp4, none

    def __post_init__(self) -> None:
        if self.turntable not in TURNTABLES:
            raise ConfigError(f"turntable {self.turntable!r}: one of {', '.join(TURNTABLES)}")
        self.check_weights()
        if self.focal_px is not None and not 1 <= self.focal_px < np.inf:
            raise ConfigError(f"focal_px = {self.focal_px}: a positive length in px")
        if self.landmarks is not None and self.face != LARGEST:
            raise ConfigError("a table of landmarks tells which face is meant: leave out face")
        rank_of(self.face)
        if not 16 <= self.texture_size <= 8192:
            raise ConfigError(f"texture_size = {self.texture_size}: 16 to 8192 texels a side")

    def check_weights(self) -> None:
        """Refuse what only weights are for where there are none."""
        if self.fit and (self.checkpoint or self.compat):
            raise ConfigError("a fit has no weights of HRN: leave out checkpoint and compat")


def reconstruct_photographs(
    paths: Sequence[Path],
    out: Path,
    config: ReconstructConfig | None = None,
    *,
    method: Method | None = None,
    finder: Detector | LandmarkTable | None = None,
) -> dict[str, Any]:
    """Reconstruct the face of each photograph.

    Parameters
    ----------
    paths : sequence of Path
        Photographs, and folders of photographs.
    method, finder : optional
        As the configuration has them by default.

    Returns
    -------
    dict
        `photographs`: name -> figures of those reconstructed, now or before; `failed`: name ->
        reason; `weights`: which were used, of networks. Also written to `out/reconstruct.json`.

    Raises
    ------
    FacekitError
        What concerns all photographs: no such path, no weights, no detector, a damaged model,
        a folder that cannot be written to.
    """
    config = ReconstructConfig() if config is None else config
    photographs = photographs_in(paths)
    weights = None
    if method is None and not config.fit:
        weights = weights_of(config)
    if config.mask is not None:
        mask_source(Path(config.mask), photographs)
    finder = finder_of(config) if finder is None else finder
    require_folder(out)
    method = method_of(config) if method is None else method
    summary: dict[str, Any] = {"photographs": {}, "failed": {}}
    if weights is not None:
        summary["weights"] = weights.record()
    for path, name in track(named(photographs), "photographs"):
        try:
            figures = _one(path, out / name, config, method, finder)
        except (*EXPECTED, RuntimeError) as error:  # torch raises the latter
            summary["failed"][name] = reason_of(error)
            clear(out / name)  # nothing of it, and nothing older, is left to be taken for it
            log.debug("%s: %s", name, summary["failed"][name], exc_info=True)
        else:
            summary["photographs"][name] = figures
    if summary["photographs"]:
        _write_contact_sheet(out / CONTACT_SHEET, list(summary["photographs"]))
        summary["contact_sheet"] = str(out / CONTACT_SHEET)
    else:
        (out / CONTACT_SHEET).unlink(missing_ok=True)
    write_json(out / SUMMARY, summary)
    return summary


def require_folder(out: Path) -> None:
    """Make the folder of the results, before any work for it.

    Raises
    ------
    InputError
        It cannot be written to.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; give a folder for the results")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made ({error.strerror}); give another --out") from error
    if not os.access(out, os.W_OK):
        raise InputError(f"{out}: cannot be written to; give another --out")


def weights_of(config: ReconstructConfig) -> ChosenWeights:
    """Return which weights a configuration uses; see `shippedweights.chosen_weights`.

    Raises
    ------
    ConfigError
        `compat` is asked for, and the weights are facekit's own.
    """
    weights = chosen_weights(config.model, checkpoint=config.checkpoint, deretouch=config.deretouch)
    if config.compat and weights.source == SHIPPED:
        raise ConfigError(
            "compat computes as the released HRN does, and is for its weights: give them by "
            "checkpoint, or leave compat out"
        )
    return weights


def method_of(config: ReconstructConfig) -> Method:
    """Return the method of a configuration, its weights loaded.

    Raises
    ------
    FacekitError
        No weights, or the face model or weights cannot be read.
    """
    # torch takes seconds: it is loaded when all else is well
    if config.fit:
        model = load_face_model(config.model)
        from .fitmethod import FitMethod

        return FitMethod(
            model, texture_size=config.texture_size, deretouch=fit_deretouch(config.deretouch)
        )
    weights = weights_of(config)
    model = load_face_model(config.model)
    from .hrnmethod import HrnMethod

    return HrnMethod(
        model,
        source=config.model,
        checkpoint=weights.checkpoint,
        deretouch=NONE if config.deretouch == NONE else weights.deretouch,
        device=str(chosen_device(config.device)),
        compat=config.compat,
        texture_size=config.texture_size,
        remarks=weights.remarks,
    )


def finder_of(config: ReconstructConfig) -> Detector | LandmarkTable:
    """Return what finds faces, as the configuration has it; see `face_finder`."""
    table, yunet, facemesh = (
        None if given is None else Path(given)
        for given in (config.landmarks, config.yunet, config.facemesh)
    )
    return face_finder(table=table, yunet=yunet, facemesh=facemesh)


def named(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Return each file with a name of its own: its stem, numbered where that is taken."""
    taken = (SUMMARY, CONTACT_SHEET)  # files beside the photographs' folders
    return list(zip(paths, distinct((path.stem for path in paths), taken), strict=True))


def _one(
    path: Path, folder: Path, config: ReconstructConfig, method: Method,
    finder: Detector | LandmarkTable,
) -> dict[str, Any]:  # fmt: skip
    """Reconstruct a photograph, unless that is done; return its figures."""
    mask = None if config.mask is None else mask_file(Path(config.mask), path)
    key = StageKey(
        stage="reconstruct",
        config={"version": _VERSION, **settings_that_count(config), **method.record},
        inputs={
            "photograph": sha256_file(path),
            "model": model_hash(method.model),
            "landmarks": _landmarks_hash(finder, path),
            **({} if mask is None else {"mask": sha256_file(mask)}),
        },
    )
    record = finished(folder, key, outputs=[ARRAYS_FILE, RECORD_FILE, OVERLAY])
    if record is not None:
        log.info("%s: finished already", folder.name)
        return dict(record["results"])
    with only_writer(folder):
        clear(folder)
        photograph = read_photograph(path, focal_px=config.focal_px, mask=mask)
        face = find_face(photograph, finder, which=config.face)
        with stage_run(folder, key) as run:
            prediction = method(photograph, face)
            write_prediction(folder, prediction, close_up(photograph, face), config)
            run.results.update(figures_of(prediction))
    return run.results


def settings_that_count(config: ReconstructConfig) -> dict[str, Any]:
    """Return the settings that determine a result, less files: their content counts."""
    settings = to_mapping(config)
    for name in ("checkpoint", "deretouch", "landmarks", "yunet", "facemesh", "mask",
                 "device", "model"):  # fmt: skip
        settings.pop(name)
    return settings


def write_prediction(
    folder: Path, prediction: Prediction, view: CloseUp, config: ReconstructConfig
) -> None:
    """Write all files of a prediction.

    Parameters
    ----------
    view : CloseUp
        Of its photograph.
    """
    prediction.detailed_mesh()  # made once, before two threads ask for it
    with ThreadPoolExecutor(1) as beside:  # most of all this lets another thread run
        files = beside.submit(_write_files, folder, prediction, config)
        scene = scene_of(prediction, view)
        sheet = contact_sheet([(prediction.photograph, panels(prediction, scene))])
        write_bytes(folder / OVERLAY, jpeg(sheet, quality=_QUALITY))
        turn(folder, prediction, config.turntable)
        files.result()


def _write_files(folder: Path, prediction: Prediction, config: ReconstructConfig) -> None:
    """Write a prediction's arrays, meshes and maps."""
    save_prediction(folder, prediction, model=config.model)
    export_prediction(folder, prediction)


def turn(folder: Path, surfaces: FaceSurfaces, kind: str) -> None:
    """Write a turntable of a kind among `TURNTABLES`."""
    if kind == "none":
        return
    how = TurntableConfig()
    frames = turntable_frames(surfaces, how)
    path = folder / f"turntable.{kind}"
    write_turntable(path, frames, frames_per_second=how.frames_per_second)


def clear(folder: Path, names: Sequence[str] = _WRITTEN) -> None:
    """Remove all that a run wrote, whole or killed, and the folder where nothing else is in it."""
    written = (folder / name for name in names)
    for path in (*written, *folder.glob("*.part.*")):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _landmarks_hash(finder: Detector | LandmarkTable, path: Path) -> str:
    """Return what determines a photograph's landmarks: the networks, or its rows of a table."""
    if not isinstance(finder, LandmarkTable):
        return finder.name
    face = face_of_table(path, finder)
    return "none" if face is None else hash_of([str(face.scheme), face.points.tolist()])


def figures_of(prediction: Prediction) -> dict[str, Any]:
    """Return what a user wants to know of a prediction at a glance, JSON-able."""
    camera, mid = prediction.camera, prediction.mid.astype(np.float64)
    seen, depth = camera.project(mid[prediction.model.landmarks68])
    off = np.linalg.norm(seen - prediction.landmarks, axis=1)
    known = np.isfinite(off)
    inside = prediction.valid > 0.5
    relief = prediction.displacement[inside]
    moved = np.linalg.norm(prediction.mid - prediction.coarse, axis=1)
    return {
        "landmarks_px": round(float(np.median(off[known])), 2),
        "distance_mm": round(float(depth.mean())),
        "focal_px": round(float(camera.K[0, 0]), 1),
        "turned_deg": round(float(np.degrees(np.arccos(-camera.cam_from_world[2, 2]))), 1),
        "deformation_rms_mm": round(float(np.sqrt((moved**2).mean())), 3),
        "relief_mm": round(float(relief.std()) if relief.size else 0.0, 4),
        **{key: round(float(value), 4) for key, value in prediction.figures.items()},
        "remarks": list(prediction.remarks),
    }


def _write_contact_sheet(path: Path, names: Sequence[str]) -> None:
    """Put the overlays of photographs below each other."""
    overlays = [read_image(path.parent / name / OVERLAY) for name in names[:_MOST_ROWS]]
    rows = [smaller(overlay, _SHEET_PX) for overlay in overlays]
    write_bytes(path, jpeg(np.concatenate(rows), quality=_QUALITY))
