"""Bake every map of a take: deformation first, then what M1, built from it, lacks of the scan."""

import functools
import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...capture.color import ColorCalibration
from ...core.arrays import Bools, Floats, Floats32, Ints
from ...core.errors import EstimationError, RegistrationError
from ...core.facemodel.model import FaceModel
from ..register.registered import Registered, Scan
from ..stereo.views import View
from .albedo import bake_albedo
from .chart import Chart, chart
from .config import BakeConfig
from .curved import sagitta
from .deformation import bake_deformation, shape_from_map
from .displacement import Measured, measure
from .maps import Base, Maps
from .normals import detailed_normals, tangent_frames, tangent_from_object
from .scansurface import ScanSurface

log = logging.getLogger(__name__)

_MODEL_SIGMA_MM = 3.0  # of what follows the morphable model alone: its typical error on faces
_LEAST_COVERED = 0.01


def bake_maps(
    registered: Registered,
    scan: Scan,
    views: Sequence[View],
    config: BakeConfig,
    *,
    colors: ColorCalibration | None = None,
) -> Maps:
    """Bake the ground-truth maps of one take.

    Parameters
    ----------
    views : sequence of View
        Undistorted photographs; without any there is no albedo.
    colors : ColorCalibration, optional
        Of the session; without it colours are the cameras' own.

    Raises
    ------
    InputError
        The model has no usable chart.
    RegistrationError
        The scan is hardly met anywhere: not this scan's registration.
    """
    surface = ScanSurface.of(scan, registered, margin_mm=config.margin_mm)
    deformation = bake_deformation(
        registered, config.deformation_size, sigma_mm=registration_sigma(registered, surface)
    )
    vertices = shape_from_map(registered, deformation.offset)
    texels = chart(registered.model, config.displacement_size)
    measured = measure(texels, vertices, surface, config)
    covered = float(measured.valid.sum() / max(texels.inside.sum(), 1))
    if covered < _LEAST_COVERED:
        raise RegistrationError(
            f"maps: the scan lies within {config.reach_mm:g} mm of the registered surface over "
            f"{covered:.1%} of the chart; register this scan anew"
        )
    normal = detailed_normals(texels, vertices, measured.displacement)
    frames = tangent_frames(registered.model, vertices)
    albedo, albedo_valid = _albedo(
        registered, vertices, measured, normal, views, config, colors=colors
    )
    if views:
        albedo_valid &= near_scan(registered.model, vertices, surface, config)
    measured = _on_base(measured, texels, vertices, config)
    log.info("maps: %.0f%% of the chart rests on the scan", 100 * covered)
    return Maps(
        deformation=deformation.offset,
        deformation_valid=deformation.valid,
        deformation_sigma=deformation.sigma,
        displacement=measured.displacement,
        sigma=measured.sigma,
        normal=normal,
        tangent_normal=tangent_from_object(texels, frames, normal),
        valid=measured.valid,
        albedo=albedo,
        albedo_valid=albedo_valid,
        base=config.base,
    )


def _on_base(measured: Measured, texels: Chart, vertices: Floats, config: BakeConfig) -> Measured:
    """Return what was measured from M1's triangles as measured from `config.base`."""
    if config.base is Base.FLAT:
        return measured
    exact = measured.displacement - sagitta(texels, vertices)
    displacement = np.clip(exact, -config.reach_mm, config.reach_mm)
    return measured._replace(
        displacement=displacement, valid=measured.valid & (exact == displacement)
    )


def near_scan(
    model: FaceModel, vertices: Floats, surface: ScanSurface, config: BakeConfig
) -> Bools:
    """Return the texels (a, a) of the albedo that lie on, or next to, what was measured.

    A photograph shows something at every texel that faces it; but where the scan is another
    surface, such as hair over the scalp, or there is none, that is not the colour of M1.

    Parameters
    ----------
    vertices : (V, 3)
        M1, head frame.
    """
    closest = surface.query.closest(vertices)
    corner = surface.faces[closest.face]
    is_near = (closest.distance < config.reach_mm) & (surface.measured[corner].max(axis=1) > 0)
    texels = chart(model, config.albedo_size)
    return np.asarray(texels.interpolated(is_near.astype(np.float32)) > 0.5) & texels.inside


def registration_sigma(registered: Registered, surface: ScanSurface) -> Floats:
    """Return (V,) mm, one standard deviation of each registered vertex along its normal.

    The scan's own where the vertex rests on it, with what is left between the two; the model's
    error, far larger, as the support fades.
    """
    scan_sigma = surface.sigma[_nearest_vertex(registered, surface)].astype(np.float64)
    residual = np.nan_to_num(registered.residual.astype(np.float64))
    support = registered.support.astype(np.float64)
    on_scan = scan_sigma**2 + residual**2
    return np.asarray(np.sqrt(support * on_scan + (1 - support) * _MODEL_SIGMA_MM**2))


def _nearest_vertex(registered: Registered, surface: ScanSurface) -> Ints:
    """Return (V,) a corner of the scan's face nearest to each registered vertex."""
    closest = surface.query.closest(registered.shape())
    return np.asarray(surface.faces[closest.face, 0])


def _albedo(
    registered: Registered,
    vertices: Floats,
    measured: Measured,
    normal: Floats32,
    views: Sequence[View],
    config: BakeConfig,
    *,
    colors: ColorCalibration | None,
) -> tuple[Floats32, Bools]:
    if not views:
        return np.zeros((0, 0, 3), np.float32), np.zeros((0, 0), bool)
    world = registered.world_from_head
    bake = functools.partial(
        bake_albedo,
        world(vertices),
        registered.model,
        views,
        size=config.albedo_size,
        displacement=measured.displacement * np.float32(world.scale),
        normals=normal @ world.R.T.astype(np.float32),
        colors=colors,
    )
    try:
        baked = bake(config.albedo)
    except EstimationError as error:
        if not config.albedo.delight:
            raise
        log.warning("the albedo keeps the light of the photographs: %s", error)
        baked = bake(replace(config.albedo, delight=False))
    return baked.rgb, baked.valid
