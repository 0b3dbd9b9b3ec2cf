"""The face drawn from a colour map in its chart: how HRN's three levels become images."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..core.rendering.rasterizer import Rasterizer, chosen_rasterizer, face_index
from .facetensors import FaceTensors
from .pose import HrnCamera

_LEAST_COVER = 1e-3


class Drawn(NamedTuple):
    """Images of a batch of faces, row 0 at the top."""

    image: Tensor
    """(B, C, s, s), 0 where there is no face."""
    mask: Tensor
    """(B, 1, s, s), 1 where the face's chart is seen."""


def draw(
    face: FaceTensors,
    points: Tensor,
    colours: Tensor,
    camera: HrnCamera,
    *,
    rasterizer: Rasterizer | None = None,
    compat: bool = False,
) -> Drawn:
    """Draw colour maps on posed faces.

    Parts off the chart (eyes, inside of the mouth) hide what lies behind them and stay empty.
    At the chart's edges colours are not mixed with what lies outside; with `compat` they are,
    and the parts off the chart are drawn, too, as released.

    Parameters
    ----------
    points : (B, V, 3)
        Posed vertices, world frame.
    colours : (B, C, S, S)
        Row 0 at v = 1.
    """
    places = drawn_places(face, points, camera, rasterizer=rasterizer, compat=compat)
    return coloured(face, colours, places, rasterizer=rasterizer, compat=compat)


class Places(NamedTuple):
    """Where in the chart each pixel of a batch of images lies."""

    uv: Tensor
    """(B, s, s, 2) as rasterisers count v."""
    mask: Tensor
    """(B, s, s) bool: where the face is drawn."""
    seen: Tensor
    """(B, s, s) int64 triangle at each pixel, -1: none."""


def drawn_places(
    face: FaceTensors,
    points: Tensor,
    camera: HrnCamera,
    *,
    rasterizer: Rasterizer | None = None,
    compat: bool = False,
) -> Places:
    """Find them, for faces to be drawn in many colours."""
    renderer = rasterizer or chosen_rasterizer(device=points.device)
    fragments = renderer.rasterize(camera.clip(points), face.faces, (camera.size, camera.size))
    uv = renderer.interpolate(texture_uv(face.uv)[None], fragments, face.faces_uv)
    seen = face_index(fragments)
    table = torch.cat([face.chart_faces, face.chart_faces.new_zeros(1)])  # its last: background
    return Places(uv=uv, mask=seen >= 0 if compat else table[seen], seen=seen)


def coloured(
    face: FaceTensors,
    colours: Tensor,
    places: Places,
    *,
    rasterizer: Rasterizer | None = None,
    compat: bool = False,
) -> Drawn:
    """Return images of colour maps (B, C, S, S) at places found before."""
    renderer = rasterizer or chosen_rasterizer(device=colours.device)
    mask = places.mask.to(colours.dtype)[..., None]
    if compat:
        sampled = renderer.texture(colours.permute(0, 2, 3, 1), places.uv)
    else:
        inside = face.chart_mask(colours.shape[-1])
        covered = torch.cat([colours * inside, inside.expand(len(colours), -1, -1, -1)], dim=1)
        sampled = renderer.texture(covered.permute(0, 2, 3, 1), places.uv)
        sampled = sampled[..., :-1] / sampled[..., -1:].clamp(min=_LEAST_COVER)
    image = (sampled * mask).permute(0, 3, 1, 2)
    return Drawn(image=image, mask=mask.permute(0, 3, 1, 2))


def texture_uv(uv: Tensor) -> Tensor:
    """Return where `uv` (..., 2) lies in a map whose row 0 is v = 1, as rasterisers count v."""
    return torch.stack([uv[..., 0], 1 - uv[..., 1]], dim=-1)
