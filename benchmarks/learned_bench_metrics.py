"""A face reconstructed by trained weights, held against the true one and against the mean face."""

from typing import Any

import numpy as np

from ..core.geometry.mesh import Mesh
from ..reconstruct.detailedsurface import detailed_surface
from ..reconstruct.surfaces import FaceSurfaces
from .face_distance import surface_error
from .face_normal_error import normal_error_deg
from .learned_bench_people import CaseTruth
from .multiview_bench_detail import DetailError, detail_error


def face_figures(found: FaceSurfaces, truth: CaseTruth) -> dict[str, Any]:
    """Measure one found face.

    Returns
    -------
    dict
        Median distance, mm, from points of the true face to a surface, after rigid alignment:
        `median_mm` (and `p90_mm`) to all that was found, `mid_median_mm` to M1,
        `coarse_only_median_mm` to M0, `mean_face_median_mm` to the model's mean; with `scaled_`
        before the name where the alignment may scale. `gain_over_mean`: by what share of the
        mean face's error the found one is smaller. `better_than_coarse`.

        `relief_corr`: correlation of the displacement at wavelengths of 2 to 8 mm with what
        takes M1 to the true surface, where the method vouches for it; `relief_face_corr`: over
        all of the face; `relief_gain`: the part of the true relief that it follows.

        `normal_deg`, `normal_without_displacement_deg`: mean angle between the true surface's
        normals and the found one's, with and without its displacement.
    """
    model = found.model
    meshes = {
        "": found.detailed_mesh(),
        "mid_": found.mesh("mid"),
        "coarse_only_": found.mesh("coarse"),
        "mean_face_": Mesh(vertices=model.mean, faces=model.faces),
    }
    figures: dict[str, Any] = {}
    for name, mesh in meshes.items():
        for scaled, with_scale in (("", False), ("scaled_", True)):
            error = surface_error(truth.face, mesh, model, with_scale=with_scale)
            figures[f"{scaled}{name}median_mm"] = error.median_mm
            if not name:
                figures[f"{scaled}p90_mm"] = error.p90_mm
    figures["gain_over_mean"] = 1 - figures["median_mm"] / figures["mean_face_median_mm"]
    figures["better_than_coarse"] = figures["median_mm"] < figures["coarse_only_median_mm"]
    return figures | detail_figures(found, truth)


def detail_figures(found: FaceSurfaces, truth: CaseTruth) -> dict[str, Any]:
    """Return those of `face_figures` that tell of relief and normals."""
    model = found.model
    smooth = detailed_surface(model, found.mid, np.zeros_like(found.displacement))
    pose = surface_error(truth.face, smooth, model).found_from_true
    detail = detail_error(
        truth.skin, model, found_from_true=pose, mid=found.mid,
        displacement=found.displacement, valid=found.valid,
    )  # fmt: skip
    return relief_figures(detail) | {
        "normal_deg": normal_error_deg(truth.face, found.detailed_mesh(), pose),
        "normal_without_displacement_deg": normal_error_deg(truth.face, smooth, pose),
    }


def relief_figures(detail: DetailError) -> dict[str, Any]:
    """Return figures of a displacement map; None where too little of it is vouched for."""
    band, whole = detail.band, detail.band_of_face
    return {
        "relief_corr": None if band is None else band.corr,
        "relief_gain": None if band is None else band.gain,
        "relief_face_corr": None if whole is None else whole.corr,
        "relief_true_um": None if band is None else band.true_um,
        "relief_valid_percent": detail.valid_percent,
    }
