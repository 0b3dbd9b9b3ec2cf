"""The released MV-HRN's faces as predictions: one a view, of one identity and deformation."""

from pathlib import Path

import numpy as np

from ..core.imaging.color import as_bytes
from .facetensors import as_array
from .method import Shape, prediction_of
from .photograph import CloseUp, Face, Photograph
from .prediction import Prediction
from .views.compatviews import CompatResult, CompatView
from .views.faceview import FaceView
from .views.loading import LoadedViews
from .views.mergedtexture import shaded_albedo
from .views.photosets import PhotoSet
from .views.viewstart import ViewStart


def compat_predictions(
    result: CompatResult, loaded: LoadedViews, photos: PhotoSet, *, method: str, texture_size: int
) -> dict[str, tuple[Prediction, CloseUp]]:
    """Return view -> its prediction, and its image, to which the prediction's camera belongs."""
    images = {view.name: view for view in loaded.views.views}
    starts = {start.name: start for start in result.starts}
    return {
        one.name: (
            _prediction(
                result, one, starts[one.name], images[one.name], loaded, photos,
                method=method, texture_size=texture_size,
            ),
            CloseUp(as_bytes(images[one.name].image), 1.0, np.zeros(2)),
        )
        for one in result.views
    }  # fmt: skip


def _prediction(
    result: CompatResult,
    one: CompatView,
    start: ViewStart,
    view: FaceView,
    loaded: LoadedViews,
    photos: PhotoSet,
    *,
    method: str,
    texture_size: int,
) -> Prediction:
    shot = photos.take.shot(view.name)
    assert shot is not None
    photograph = Photograph(
        path=Path(shot.file), sha256=shot.sha256, pixels=as_bytes(view.image), focal_px=None
    )
    face = Face(
        landmarks=view.landmarks, confidence=np.ones(len(view.landmarks)), score=1.0, finder="",
        remarks=tuple(filter(None, (loaded.remarks.get(view.name),))),
    )  # fmt: skip
    albedo = as_array(start.albedo[0].permute(1, 2, 0))
    light = as_array(one.coefficients.gamma[0]).astype(np.float64)
    lit = shaded_albedo(result.model, one.mid, albedo.astype(np.float32), one.camera, light)
    shape = Shape(
        coarse=one.coarse,
        mid=one.mid,
        deformation=result.deformation,
        displacement=one.displacement,
        valid=as_array(start.valid[0, 0]),
        albedo=albedo,
        shaded=np.clip(lit, 0, 1),
        identity=result.identity,
        expression=as_array(one.coefficients.expression[0]),
        light=light,
    )
    return prediction_of(
        shape, result.model, photograph, face, one.camera, method=method,
        texture_size=texture_size, figures=result.figures, compat=result.deformation_at_corners,
    )  # fmt: skip
