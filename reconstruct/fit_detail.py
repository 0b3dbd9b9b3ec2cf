"""The displacement map of one picture: shading finer than the deformation, in the chart.

Geometry and light stay; texel by texel the normals of the displaced surface are lit and compared
with the picture unwrapped into the chart. Slow differences of colour are albedo by assumption
and taken out first, and so are moles and freckles where a de-retouching network tells them from
shading; what is left is explained by relief as far as its price allows, the rest by albedo.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.rendering.shading import shaded_map
from . import losses
from .align import MODEL_UNIT_MM
from .detailnormals import chart_quads, detail_normals
from .facetensors import FaceTensors
from .fit_camera import CropCamera
from .fit_spots import spot_layer
from .networks.softlight import deretouched_albedo, soft_light
from .photocamera import photo_camera
from .unwrap import Texels, softened, texels_of, unwrap, without_specks

_LEAST_SHADE = 0.05
_DARKEST = 0.4  # of the smooth surface's light, on relief
_MOST = 0.9


@dataclass(frozen=True, kw_only=True)
class DetailConfig:
    """How the displacement is fitted."""

    size: int = 448  # px of the picture
    map_size: int = 256
    n_steps: int = 60
    rate: float = 4e-4  # of Adam, model units
    photo: float = 1.92
    magnitude: float = 15.0  # times the mean absolute displacement, model units
    smooth: float = 2e4
    smooth_std: float = 0.0
    albedo_sigma_px: float = 8.0  # texels of 256 beyond which differences of colour are albedo
    robust: float = 0.1
    largest_mm: float = 0.6


@dataclass(frozen=True, kw_only=True)
class Detail:
    """What the chart shows of the face."""

    displacement: Tensor
    """(1, 1, n, n) model units, + outward; 0 where the picture does not tell."""
    albedo: Tensor
    """(1, 3, n, n) encoded RGB."""
    shaded: Tensor
    """(1, 3, n, n): albedo under the light."""
    valid: Tensor
    """(1, 1, n, n) in [0, 1]."""


def fit_detail(
    face: FaceTensors,
    shape: Tensor,
    rotation: Tensor,
    shift: Tensor,
    camera: CropCamera,
    picture: Tensor,
    albedo: Tensor,
    gamma: Tensor,
    *,
    config: DetailConfig,
    trusted: Tensor | None = None,
    region: Tensor | None = None,
    deretoucher: nn.Module | None = None,
) -> Detail:
    """Fit the displacement of a face whose `shape` (1, V, 3) and light are known.

    Parameters
    ----------
    picture : (1, 3, s, s)
    albedo : (1, V, 3)
        What the coarser stages painted.
    trusted : (1, 1, s, s), optional
    region : (V,) float, optional
        1 on what the picture shows of the head; clothes, say, hide the neck.
    deretoucher : DeretouchNet, optional
        In `eval()`. The spots it finds are albedo; without it they are relief in part.
    """
    n = config.map_size
    posed = shape @ rotation.T + shift
    normals = face.vertex_normals(shape) @ rotation.T
    seen = photo_camera(camera, float(shift[2]))
    texels = texels_of(face, posed, normals, seen, size=n)
    colour, valid = unwrap(texels, picture, seen)
    if trusted is not None:
        valid = valid * unwrap(texels, trusted, seen)[0]
    if region is not None:
        valid = valid * (face.to_uv(region[None, :, None], n) > _MOST).to(valid.dtype)
    # specks that are not seen make no wide holes, but have no colour of their own either
    valid = softened(without_specks(valid)) * valid
    painted = face.to_uv(albedo, n)
    quads = torch.from_numpy(chart_quads(face.model, n))
    smooth = shaded_map(torch.ones_like(painted), texels.normals, gamma)
    sigma = config.albedo_sigma_px * n / 256
    layer = None if deretoucher is None else spot_layer(deretoucher, texels, picture, seen)
    wide = _albedo(colour, painted, smooth, valid, sigma, layer)
    displacement = _relief(texels, colour, wide, valid, quads, gamma, config)
    return _finished(displacement, wide, colour, valid, texels, quads, gamma, config)


def _relief(
    texels: Texels,
    colour: Tensor,
    wide: Tensor,
    valid: Tensor,
    quads: Tensor,
    gamma: Tensor,
    config: DetailConfig,
) -> Tensor:
    """Return the displacement (1, 1, n, n) that explains `colour` by relief on albedo `wide`."""
    displacement = torch.zeros(1, 1, *colour.shape[2:], requires_grad=True)
    adam = torch.optim.Adam([displacement], lr=config.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, config.n_steps)
    for _ in range(config.n_steps):
        d = displacement * texels.inside
        turned = detail_normals(texels.points, texels.normals, d, quads)
        drawn = wide * shaded_map(torch.ones_like(wide), turned, gamma)
        with torch.no_grad():
            gap2 = ((drawn - colour) ** 2).sum(dim=1, keepdim=True)
            pull = valid / (1 + gap2 / config.robust**2) ** 2
        loss = config.photo * losses.photometric(drawn, colour, pull)
        loss = loss + config.magnitude * losses.displacement(d)
        loss = loss + config.smooth * losses.total_variation(d)
        loss = loss + config.smooth_std * losses.total_variation_std(d)
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
    return displacement.detach()


def _finished(
    displacement: Tensor,
    wide: Tensor,
    colour: Tensor,
    valid: Tensor,
    texels: Texels,
    quads: Tensor,
    gamma: Tensor,
    config: DetailConfig,
) -> Detail:
    largest = config.largest_mm / MODEL_UNIT_MM
    d = (displacement * valid).clamp(-largest, largest)
    turned = detail_normals(texels.points, texels.normals, d, quads)
    smooth = shaded_map(torch.ones_like(wide), texels.normals, gamma)
    # a texel that relief turns out of the light would have an albedo without bounds
    light = torch.maximum(shaded_map(torch.ones_like(wide), turned, gamma), _DARKEST * smooth)
    light = light.clamp(min=_LEAST_SHADE)
    told = (colour / light).clamp(0, 1)
    albedo = (wide + valid * (told - wide)).clamp(0, 1) * texels.inside
    return Detail(displacement=d, albedo=albedo, shaded=albedo * light, valid=valid)


@torch.no_grad()
def _albedo(
    colour: Tensor,
    painted: Tensor,
    light: Tensor,
    valid: Tensor,
    sigma: float,
    layer: Tensor | None,
) -> Tensor:
    """Return what albedo is before any relief: the slow one, and on it the spots of a layer."""
    if layer is None:
        return _slow_albedo(colour, painted, light, valid, sigma)
    slow = _slow_albedo(soft_light(colour, layer), painted, light, valid, sigma)
    return deretouched_albedo(slow, colour, layer)


def _slow_albedo(
    colour: Tensor, painted: Tensor, light: Tensor, valid: Tensor, sigma: float
) -> Tensor:
    """Return the painted albedo with the picture's slow differences taken over."""
    ratio = colour / (painted * light).clamp(min=_LEAST_SHADE)
    ratio = torch.where(valid > 0, ratio.clamp(0.3, 3.0), torch.ones_like(ratio))
    weight = _blurred(valid + 1e-3, sigma)
    slow = _blurred(ratio * valid + 1e-3, sigma) / weight
    return painted * slow


def _blurred(maps: Tensor, sigma: float) -> Tensor:
    """Return maps (1, C, n, n) under a Gaussian."""
    reach = int(np.ceil(3 * sigma))
    at = torch.arange(-reach, reach + 1, dtype=maps.dtype)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = kernel / kernel.sum()
    c = maps.shape[1]
    padded = functional.pad(maps, (reach,) * 4, mode="replicate")
    rows = functional.conv2d(padded, kernel.view(1, 1, 1, -1).expand(c, 1, 1, -1), groups=c)
    return functional.conv2d(rows, kernel.view(1, 1, -1, 1).expand(c, 1, -1, 1), groups=c)
