"""Several views of one face to one face: coarse, then depth that all views agree on, then relief.

1. One face model in all views, with a pose each or one for the rig (`views/coarse.py`).
2. Depth along the normals, swept where the views agree, on ever finer texels; after each level
   the surface is laid anew, and with it what each view sees (`views/sweep.py`).
3. The coefficients follow what was measured; the rest is the deformation map.
4. The relief: sharp disparity, and slopes from the views' differences of light
   (`views/relief.py`): one displacement map for all views.
5. One albedo and each view's light (`views/appearance.py`).

Source
------
The parts of one face and their names: Lei et al., CVPR 2023 (HRN, its multi-view mode). How the
views are made to agree on them is ours: docs/multiview.md.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import cv2
import numpy as np
import torch

from ..core.arrays import Bools, Floats, Floats32, Ints
from ..core.facemodel.model import FaceModel
from ..core.geometry.camera import Camera
from ..core.geometry.transform import Similarity
from .facetensors import model_centre
from .fit_model import fit_model
from .views.alone import ALONE, SIGMA_MM, face_alone, resized
from .views.appearance import Appearance, appearance_of
from .views.coarse import CoarseConfig, fit_coarse
from .views.consistency import ConsistencyWeights
from .views.faceview import FaceViews
from .views.relief import Relief, ReliefConfig, relief
from .views.sampling import ViewSampler
from .views.surfaces import Surfaces
from .views.sweep import SweepLevel, swept
from .views.texels import TexelGrid

_TAPER_TEXELS = 6  # over which relief ends at the face's edge
_LOSS_SIZE = 512  # texels a side of the chart that losses are told at
_STAGES = ("coarse_s", "surface_s", "relief_s", "appearance_s")


@dataclass(frozen=True, kw_only=True)
class MultiViewConfig:
    """How several views become one face."""

    coarse: CoarseConfig = field(default_factory=CoarseConfig)
    levels: tuple[SweepLevel, ...] = (
        SweepLevel(size=512, reach_mm=2.0, step_mm=0.2, window=9, smooth=3.0, soft_mm=1.0),
        SweepLevel(size=512, reach_mm=0.8, step_mm=0.13, window=7, smooth=2.0, soft_mm=0.5),
    )
    """Levels of the surface, which become the deformation map."""
    fine: tuple[SweepLevel, ...] = (
        SweepLevel(size=1024, reach_mm=0.6, step_mm=0.12, window=11, smooth=3.0, soft_mm=0.5),
    )
    """Levels of the relief before the finest."""
    relief: ReliefConfig = field(default_factory=ReliefConfig)
    consistency: ConsistencyWeights = field(default_factory=ConsistencyWeights)
    """Of the terms by which views agree; 0 leaves one out."""
    deformation_size: int = 256
    displacement_size: int = 1024
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True)
class MultiViewFit:
    """One face as several views show it; head frame, mm."""

    model: FaceModel = field(repr=False)
    coarse: Floats32
    """(V, 3)."""
    mid: Floats32
    """(V, 3)."""
    deformation: Floats32
    """(d, d, 3)."""
    displacement: Floats32
    """(n, n) along the smooth normals of `mid`, from its curved surface, + outward."""
    valid: Floats32
    """(n, n) in [0, 1]: how far a texel rests on what two views agree on."""
    sigma: Floats32
    """(n, n) one standard deviation of the displacement; 0 where nothing is valid."""
    n_views: Ints
    """(n, n) how many views show a texel."""
    albedo: Floats32
    """(a, a, 3) encoded."""
    cameras: tuple[Camera, ...]
    """(J) whose world is the head frame."""
    light: Floats
    """(J, 3, 9), each in its camera's frame."""
    identity: Floats
    expression: Floats
    expressions: Floats | None
    """(J, n_expression) where each view has its own."""
    weight: Floats
    """(J,) in [0, 1]: how far each view is believed."""
    remarks: Mapping[str, str]
    """View -> what is wrong with it."""
    world_from_head: Similarity | None
    figures: Mapping[str, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "remarks", MappingProxyType(dict(self.remarks)))
        object.__setattr__(self, "figures", MappingProxyType(dict(self.figures)))


def reconstruct_views(
    views: FaceViews, model: FaceModel, config: MultiViewConfig | None = None
) -> MultiViewFit:
    """Reconstruct the one face that all views show.

    Raises
    ------
    EstimationError
        No view shows a face, or none that fits the others.
    """
    config = config or MultiViewConfig()
    clock = [time.process_time()]
    laid_out = fit_model(model, model_centre(model))
    head = fit_coarse(views, laid_out, model, config.coarse)
    clock.append(time.process_time())
    surfaces = Surfaces(views, model, laid_out, head, config.consistency, device=config.device)
    if (surfaces.weight > 0).sum() < 2:
        return _alone(views, surfaces, config)
    losses = {f"{name}_coarse": loss for name, loss in surfaces.losses(_LOSS_SIZE).items()}
    for level in config.levels:
        surfaces.lay(level)
    coarse, deformation = surfaces.split(config.deformation_size)
    losses |= {f"{name}_mid": loss for name, loss in surfaces.losses(_LOSS_SIZE).items()}
    clock.append(time.process_time())
    sampler, found = _relief(surfaces, config)
    clock.append(time.process_time())
    look = appearance_of(sampler, found.depth, head.cameras)
    clock.append(time.process_time())
    return _result(surfaces, coarse, deformation, sampler, found, look, losses, clock)


def _alone(views: FaceViews, surfaces: Surfaces, config: MultiViewConfig) -> MultiViewFit:
    """Return what the one believed view tells."""
    view = int(surfaces.weight.argmax())
    name = views.views[view].name
    found = face_alone(views, view, surfaces.model, surfaces.laid_out, surfaces.head.cameras)
    shape, size = found.shape, config.displacement_size
    valid = resized(np.asarray(shape.valid, np.float32), size)
    light = np.zeros((len(views.views), 3, 9))
    light[view] = shape.light
    return MultiViewFit(
        model=surfaces.model,
        coarse=np.asarray(shape.coarse, np.float32),
        mid=np.asarray(shape.mid, np.float32),
        deformation=np.asarray(shape.deformation, np.float32),
        displacement=resized(np.asarray(shape.displacement, np.float32), size),
        valid=valid,
        sigma=np.where(valid > 0, SIGMA_MM, 0).astype(np.float32),
        n_views=(valid > 0).astype(np.int32),
        albedo=np.asarray(shape.albedo, np.float32),
        cameras=found.cameras,
        light=light,
        identity=np.asarray(shape.identity, np.float64),
        expression=np.asarray(shape.expression, np.float64),
        expressions=None,
        weight=surfaces.weight,
        remarks={**surfaces.remarks, name: ALONE},
        world_from_head=found.world_from_head,
        figures=surfaces.head.figures,
    )


def _relief(surfaces: Surfaces, config: MultiViewConfig) -> tuple[ViewSampler, Relief]:
    """Return the relief of the surfaces, at the texels of the displacement map."""
    first = config.fine[0].size if config.fine else config.displacement_size
    grid = surfaces.sampler(first).grid
    depth = torch.zeros(grid.inside.shape, device=config.device)
    for level in config.fine:
        sampler = surfaces.sampler(level.size)
        depth = _carried(depth, grid, sampler.grid)
        depth = swept(sampler, depth, level, surfaces.terms(level.window)).depth
        grid = sampler.grid
    sampler = surfaces.sampler(config.displacement_size)
    depth = _carried(depth, grid, sampler.grid)
    return sampler, relief(
        sampler, depth, config.relief, surfaces.terms(config.relief.window),
        gradient=config.consistency.gradient,
    )  # fmt: skip


def _carried(depth: torch.Tensor, grid: TexelGrid, to: TexelGrid) -> torch.Tensor:
    return torch.from_numpy(grid.resized(depth.cpu().numpy(), to)).to(depth.device)


def _result(
    surfaces: Surfaces,
    coarse: Floats,
    deformation: Floats32,
    sampler: ViewSampler,
    found: Relief,
    look: Appearance,
    losses: dict[str, float],
    clock: list[float],
) -> MultiViewFit:
    grid, head = sampler.grid, surfaces.head
    n = surfaces.laid_out.n_identity
    valid = (found.confidence > 0).float().cpu().numpy() * grid.inside
    fade = _fade(grid.inside, sampler.seen.cpu().numpy())
    figures = {**head.figures, **losses, **dict(zip(_STAGES, np.diff(clock).tolist(), strict=True))}
    return MultiViewFit(
        model=surfaces.model,
        coarse=coarse.astype(np.float32),
        mid=surfaces.vertices[0].astype(np.float32),
        deformation=deformation,
        displacement=grid.whole(found.depth.cpu().numpy() * fade),
        valid=grid.whole(valid * fade),
        sigma=grid.whole(np.where(valid > 0, found.sigma.cpu().numpy(), 0)),
        n_views=grid.whole((sampler.weight > 0).sum(dim=0)[0].cpu().numpy()).astype(np.int32),
        albedo=look.albedo,
        cameras=head.cameras,
        light=look.light,
        identity=surfaces.coefficients[0][:n],
        expression=surfaces.coefficients[0][n:],
        expressions=head.expressions,
        weight=surfaces.weight,
        remarks=surfaces.remarks,
        world_from_head=head.world_from_head,
        figures=figures,
    )


def _fade(inside: Bools, seen: Bools) -> Floats32:
    """Return (h, w) 1 where the face is seen, falling to 0 towards where it is not."""
    closed = cv2.morphologyEx(seen.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    padded = np.pad(closed * inside.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    return np.clip(distance / _TAPER_TEXELS, 0, 1).astype(np.float32)
