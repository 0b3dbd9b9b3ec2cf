"""Deformation and displacement maps of facekit's own methods against what they should hold."""

import numpy as np

from ...core.arrays import Floats
from ...core.geometry.closest import SurfaceQuery
from ...core.geometry.mesh import vertex_normals
from ...core.geometry.transform import Similarity
from ...reconstruct.surfaces import FaceSurfaces
from ..multiview_bench_detail import detail_error
from .relief import heights_along
from .truth import TrueHead

_REACH_MM = 15.0  # along a normal; farther off there is another part of the head
_NOTHING_MM = 1e-3  # less than that is no deformation, but rounding


def map_figures(
    surfaces: FaceSurfaces, true: TrueHead, found_from_true: Similarity
) -> dict[str, float]:
    """Measure the maps of a prediction.

    Parameters
    ----------
    found_from_true : Similarity
        Where the prediction was aligned.

    Returns
    -------
    dict
        `deformation_corr`, `deformation_rms_mm`: how far the deformation takes the coarse surface
        along its normals, over the face, against what leads from it to the true surface without
        relief. `displacement_corr`: the displacement at wavelengths of 2 to 8 mm against what
        leads from the middle surface to the true one, where the method vouches for it;
        `displacement_face_corr`: over all of the face. NaN where there is too little.
    """
    detail = detail_error(
        true.skin, surfaces.model, found_from_true=found_from_true, mid=surfaces.mid,
        displacement=surfaces.displacement, valid=surfaces.valid,
    )  # fmt: skip
    band, whole = detail.band, detail.band_of_face
    return {
        **_deformation(surfaces, true, found_from_true),
        "displacement_corr": np.nan if band is None else band.corr,
        "displacement_face_corr": np.nan if whole is None else whole.corr,
    }


def _deformation(
    surfaces: FaceSurfaces, true: TrueHead, found_from_true: Similarity
) -> dict[str, float]:
    model = surfaces.model
    on_face = np.asarray(model.regions["frontal_face"])
    coarse = np.asarray(surfaces.coarse, np.float64)
    points, normals = coarse[on_face], vertex_normals(coarse, model.faces)[on_face]
    there: Floats = found_from_true(true.smooth)
    of_face = np.asarray(model.regions["face"])[model.faces].any(axis=1)  # no eyes, no teeth
    mid = SurfaceQuery(surfaces.mid, model.faces[of_face])
    added = heights_along(points, normals, mid, reach_mm=_REACH_MM)
    needed = heights_along(
        points, normals, SurfaceQuery(there, true.skin.faces), reach_mm=_REACH_MM
    )
    known = np.isfinite(added) & np.isfinite(needed)
    if not known.any():
        return {"deformation_corr": np.nan, "deformation_rms_mm": np.nan}
    added, needed = added[known], needed[known]
    moved = float(np.abs(surfaces.mid - surfaces.coarse)[on_face].max(initial=0.0))
    varies = moved > _NOTHING_MM and needed.std() > _NOTHING_MM
    return {
        "deformation_corr": float(np.corrcoef(added, needed)[0, 1]) if varies else np.nan,
        "deformation_rms_mm": float(np.sqrt(((added - needed) ** 2).mean())),
    }
