"""What the fit of several views found, completed: normals, one texture, each view's record."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.arrays import Floats32
from ..core.imaging.color import as_bytes
from .prediction import surface_normals_of
from .views.loading import LoadedViews
from .views.mergedtexture import ViewPixels, merged_texture
from .views.photosets import PhotoSet
from .views.result import MultiViewPrediction, SeenView, expression_offsets

if TYPE_CHECKING:  # torch takes seconds: it is loaded when all else is well
    from .multiview import MultiViewFit


def prediction_of_views(
    fit: "MultiViewFit",
    loaded: LoadedViews,
    photos: PhotoSet,
    *,
    method: str,
    texture_size: int,
    seconds: float,
) -> MultiViewPrediction:
    """Complete what the fit found: normals, the merged texture, what is known of each view."""
    displacement = np.ascontiguousarray(fit.displacement, np.float32)
    normal, tangent_normal = surface_normals_of(fit.model, fit.mid, displacement)
    albedo: Floats32 = np.clip(fit.albedo, 0, 1).astype(np.float32)
    views = loaded.views.views
    offsets = None
    if fit.expressions is not None:
        offsets = expression_offsets(fit.model, fit.expressions)
    texture = merged_texture(
        fit.model, fit.mid, displacement, albedo,
        [
            ViewPixels(
                camera, as_bytes(view.image), float(weight), light,
                None if view.mask is None else as_bytes(view.mask),
                None if offsets is None else fit.mid + offsets[row],
            )
            for row, (view, camera, weight, light) in enumerate(
                zip(views, fit.cameras, fit.weight, fit.light, strict=True)
            )
        ],
        size=texture_size,
    )  # fmt: skip
    return MultiViewPrediction(
        model=fit.model,
        name=photos.name,
        method=method,
        views=tuple(_seen_views(fit, loaded, photos)),
        left_out=loaded.views.remarks,
        calibrated=loaded.views.calibrated,
        metric=loaded.views.metric,
        world_from_head=fit.world_from_head,
        notes=loaded.notes,
        identity=np.asarray(fit.identity, np.float64),
        expression=np.asarray(fit.expression, np.float64),
        expressions=fit.expressions,
        coarse=fit.coarse,
        mid=fit.mid,
        deformation=fit.deformation,
        displacement=displacement,
        valid=fit.valid,
        sigma=np.where(fit.sigma > 0, fit.sigma, np.inf).astype(np.float32),
        n_views=fit.n_views,
        normal=normal,
        tangent_normal=tangent_normal,
        albedo=albedo,
        texture=texture.color,
        texture_valid=texture.share,
        figures={**fit.figures, "seconds": seconds},
    )


def _seen_views(fit: "MultiViewFit", loaded: LoadedViews, photos: PhotoSet) -> list[SeenView]:
    seen = []
    for row, view in enumerate(loaded.views.views):
        shot = photos.take.shot(view.name)
        assert shot is not None
        found, judged = loaded.remarks.get(view.name, ""), fit.remarks.get(view.name, "")
        said = (judged,) if found in judged else (found, judged)
        seen.append(
            SeenView(
                name=view.name,
                file=Path(shot.file).name,
                sha256=shot.sha256,
                camera=fit.cameras[row],
                focal=loaded.focal[view.name],
                weight=float(fit.weight[row]),
                landmarks=view.landmarks,
                light=np.asarray(fit.light[row], np.float64),
                residual_px=None,
                color_residual=None,
                remark="; ".join(filter(None, said)),
            )
        )
    return seen


def figures_of(prediction: MultiViewPrediction) -> dict[str, Any]:
    """Return what a user wants to know of a prediction at a glance, JSON-able."""
    inside = prediction.valid > 0.5
    relief = prediction.displacement[inside]
    sigma = prediction.sigma[inside & np.isfinite(prediction.sigma)]
    moved = np.linalg.norm(prediction.mid - prediction.coarse, axis=1)
    residuals = [
        v.residual_px for v in prediction.views if v.residual_px is not None and v.weight > 0
    ]
    return {
        "views": {
            view.name: {
                "weight": round(view.weight, 3),
                "residual_px": _rounded(view.residual_px, 2),
                "color_residual": _rounded(view.color_residual, 4),
                "remark": view.remark,
            }
            for view in prediction.views
        },
        "left_out": dict(prediction.left_out),
        "residual_px": round(float(np.median(residuals)), 2) if residuals else None,
        "calibrated": prediction.calibrated,
        "metric": prediction.metric,
        "method": prediction.method,
        "deformation_rms_mm": round(float(np.sqrt((moved.astype(float) ** 2).mean())), 3),
        "relief_mm": round(float(relief.std()) if relief.size else 0.0, 4),
        "sigma_mm": round(float(np.median(sigma)), 4) if sigma.size else None,
        "fit": {key: round(float(value), 4) for key, value in prediction.figures.items()},
        "remarks": list(prediction.notes),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
