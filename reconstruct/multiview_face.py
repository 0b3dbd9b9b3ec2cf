"""One face of several views, and its files: all views together, or as released."""

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.devices import chosen_device
from ..core.errors import EstimationError
from ..core.facemodel.model import FaceModel
from ..core.files import write_bytes
from ..core.imaging.imageio import read_image
from ..dataset.export.encoding import jpeg
from .multiview_config import MultiViewRunConfig
from .multiview_result import figures_of, prediction_of_views
from .predict import OVERLAY, turn, write_prediction
from .predict import figures_of as figures_of_single
from .surfaces import FaceSurfaces
from .views.faceview import FaceViews
from .views.loading import LoadedViews
from .views.photosets import PhotoSet
from .views.report import REPORT, write_report
from .views.result import MultiViewPrediction
from .views.resultexports import (
    VIEW_SHEET,
    VIEWS,
    export_multiview,
    export_pictures,
)
from .views.resultfile import ARRAYS_FILE, CAMERAS_FILE, RECORD_FILE, save_multiview
from .views.viewpictures import face_previews, surface_pictures, view_pictures

if TYPE_CHECKING:  # torch takes seconds: it is loaded when all else is well
    from .hrn import Hrn
    from .multiview import MultiViewFit

log = logging.getLogger(__name__)

_QUALITY = 90


def face_of_views(
    photos: PhotoSet,
    loaded: LoadedViews,
    folder: Path,
    config: MultiViewRunConfig,
    model: FaceModel,
) -> dict[str, Any]:
    """Make one face of all views, and its files; return the figures."""
    shared = photos.at_once if config.expressions == "auto" else config.expressions == "shared"
    start = time.perf_counter()
    fit = fitted(loaded.views, model, config, share_expression=shared)
    prediction = prediction_of_views(
        fit, loaded, photos, method="fit", texture_size=config.texture_size,
        seconds=time.perf_counter() - start,
    )  # fmt: skip
    images = {view.name: view.image for view in loaded.views.views}
    previews = face_previews(prediction)
    pictures, prediction = view_pictures(prediction, previews, images, size=config.picture_px)
    alone = _alone(prediction, loaded, model, config) if config.compare else None
    surfaces = surface_pictures(prediction, previews, alone=alone, size=config.picture_px)
    save_multiview(folder, prediction, model=config.model)
    files = [ARRAYS_FILE, RECORD_FILE, CAMERAS_FILE, REPORT]
    files += export_multiview(folder, prediction, images)
    files += export_pictures(folder, pictures, surfaces)
    write_report(folder / REPORT, prediction, previews.detail.mesh, pictures, surfaces)
    turn(folder, prediction, config.turntable)
    if config.turntable != "none":
        files.append(f"turntable.{config.turntable}")
    return {**figures_of(prediction), "files": sorted(files)}


def _alone(
    prediction: MultiViewPrediction,
    loaded: LoadedViews,
    model: FaceModel,
    config: MultiViewRunConfig,
) -> FaceSurfaces | None:
    """Return the face that the most frontal believed view alone gives; None where it gives none."""
    believed = [
        view for view in prediction.views if view.weight > 0 and view.residual_px is not None
    ]
    if not believed:
        return None
    # the third row is the optical axis: -1 looks straight at the face
    frontal = min(believed, key=lambda view: view.camera.cam_from_world[2, 2]).name
    kept = tuple(view for view in loaded.views.views if view.name == frontal)
    try:
        fit = fitted(replace(loaded.views, views=kept), model, config, share_expression=True)
    except EstimationError as error:
        log.info("%s alone: %s", frontal, error)
        return None
    return replace(
        prediction, coarse=fit.coarse, mid=fit.mid,
        displacement=np.ascontiguousarray(fit.displacement, np.float32),
        views=prediction.views[:1], expressions=None, name=f"{prediction.name}, {frontal} alone",
    )  # fmt: skip


def fitted(
    views: FaceViews, model: FaceModel, config: MultiViewRunConfig, *, share_expression: bool
) -> "MultiViewFit":
    """Fit one face to all views, with the settings of a run."""
    from .multiview import MultiViewConfig, reconstruct_views
    from .views.coarse import Expressions

    settings = MultiViewConfig(device=str(chosen_device(config.device)))
    expressions = Expressions.SHARED if share_expression else Expressions.PER_VIEW
    settings = replace(settings, coarse=replace(settings.coarse, expressions=expressions))
    return reconstruct_views(views, model, settings)


def faces_as_released(
    photos: PhotoSet,
    loaded: LoadedViews,
    folder: Path,
    config: MultiViewRunConfig,
    model: FaceModel,
) -> dict[str, Any]:
    """Make one face a view as the released code does, and their files; return the figures."""
    from .multiview_compat import compat_predictions
    from .views.compatviews import compat_reconstruction

    hrn = _networks(config, model) if config.with_networks else None
    result = compat_reconstruction(
        loaded.views, model, hrn=hrn, quirks=hrn is not None,
        device=str(chosen_device(config.device)),
    )  # fmt: skip
    made = compat_predictions(
        result, loaded, photos, method=config.method, texture_size=config.texture_size
    )
    views, sheets = {}, []
    for name, (prediction, close) in made.items():
        write_prediction(folder / VIEWS / name, prediction, close, config)
        sheets.append(read_image(folder / VIEWS / name / OVERLAY))
        told = figures_of_single(prediction)
        views[name] = {
            "weight": 1.0,
            "residual_px": told["landmarks_px"],
            "remark": "; ".join(told["remarks"]),
        }
    write_bytes(folder / VIEW_SHEET, jpeg(np.concatenate(sheets), quality=_QUALITY))
    return {
        "views": views,
        "left_out": dict(result.remarks),
        "residual_px": float(np.median([view["residual_px"] for view in views.values()])),
        "calibrated": False,
        "metric": False,
        "method": config.method,
        "fit": {key: round(float(value), 4) for key, value in result.figures.items()},
        "remarks": [*loaded.notes, "as released: a mesh a view, in the folder `views`"],
        "files": [VIEW_SHEET, *(f"{VIEWS}/{name}" for name in views)],
    }


def _networks(config: MultiViewRunConfig, model: FaceModel) -> "Hrn":
    from .hrnmethod import HrnMethod

    method = HrnMethod(
        model,
        source=config.model,
        checkpoint=None if config.checkpoint is None else Path(config.checkpoint),
        deretouch=None if config.deretouch is None else Path(config.deretouch),
        device=str(chosen_device(config.device)),
        compat=True,
    )
    return method.hrn
