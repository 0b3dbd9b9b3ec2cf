"""The photograph in the face model's chart: each texel takes the colour it projects to.

By default a texel is filled only where the camera sees it: inside the image, turned towards the
camera, and not behind another part of the face, which a depth image of the posed mesh tells.
Other texels are 0. Image samples are bilinear between pixel centres at halves.

`compat` does what the released code does, for its weights: no test of visibility; pixels
counted from 0 without the half; the two vertical weights of the bilinear sample exchanged, which
mirrors it within its pixel; texels outside of the chart take the pixel at the bottom left.

Source
------
github.com/youngLBW/HRN; the test of visibility is ours.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..core.rendering.rasterizer import Rasterizer, chosen_rasterizer
from .facetensors import FaceTensors
from .pose import HrnCamera
from .vectors import unit

_LEAST_FACING = 0.15  # cosine to the line of sight: 81 degrees
_SLACK = 0.005  # model units: half a millimetre
_SLACK_PX = 2.0  # of the depth image, on a slope
_DEPTH_SIZE = 512  # px a side of the depth image
_FAR = 1e6
_ERODED, _BLURRED = 3, 11  # texels, as released
_SPECK = 5  # texels: smaller holes come from the depth image's pixels


@dataclass(frozen=True, kw_only=True)
class Texels:
    """Where the texels of a chart lie in front of the camera."""

    points: Tensor
    """(B, 3, S, S) world frame, model units; 0 outside of the chart."""
    normals: Tensor
    """(B, 3, S, S) world frame, as interpolated: a little shorter than 1; 0 outside."""
    inside: Tensor
    """(1, 1, S, S), 1 in the chart."""
    visible: Tensor
    """(B, 1, S, S), 1 where the camera sees the texel, whatever the image's edges."""


def texels_of(
    face: FaceTensors,
    points: Tensor,
    normals: Tensor,
    camera: HrnCamera,
    *,
    size: int = 256,
    rasterizer: Rasterizer | None = None,
) -> Texels:
    """Lay the chart's texels on a posed face.

    Parameters
    ----------
    points, normals : (B, V, 3)
        Posed vertices and their normals, world frame.
    """
    mapped = face.to_uv(torch.cat([points, normals], dim=2), size)
    inside = face.chart_mask(size)
    with torch.no_grad():
        visible = _seen(face, points, mapped, camera.resized(_DEPTH_SIZE), rasterizer) * inside
    return Texels(points=mapped[:, :3], normals=mapped[:, 3:], inside=inside, visible=visible)


def unwrap(
    texels: Texels, image: Tensor, camera: HrnCamera, *, compat: bool = False
) -> tuple[Tensor, Tensor]:
    """Take an image into the chart.

    Parameters
    ----------
    image : (B, C, s, s)
        A square crop; `camera` is resized to it.

    Returns
    -------
    (B, C, S, S), (B, 1, S, S)
        Colours, and 1 where they are the face's: seen, and within the image. With `compat`
        colours are everywhere and the second is the chart.
    """
    camera = camera.resized(image.shape[-1])
    places = texels.points.permute(0, 2, 3, 1)
    if compat:
        x, y_up = camera.project(places).unbind(dim=-1)
        outside = texels.inside[:, 0] == 0
        x = torch.where(outside, torch.zeros_like(x), x)
        row = torch.where(
            outside, torch.full_like(x, image.shape[-1] - 1.0), camera.size - 1 - y_up
        )
        return _released_sample(image, x, row), texels.inside.expand(len(image), -1, -1, -1)
    pixels = camera.pixels(places)
    within = ((pixels > 0) & (pixels < camera.size)).all(dim=-1)[:, None]
    valid = texels.visible * within
    grid = pixels * (2 / camera.size) - 1
    sampled = functional.grid_sample(image, grid, padding_mode="border", align_corners=False)
    return sampled * valid, valid


def softened(valid: Tensor, *, compat: bool = False) -> Tensor:
    """Return a validity (B, 1, S, S) with a soft edge, by erosion and a box blur.

    By default it is 0 wherever `valid` is 0. As released it erodes less than it blurs, so that
    a little of the maps reaches beyond.
    """
    eroded = _ERODED if compat else _BLURRED
    inner = -functional.max_pool2d(-valid, eroded, stride=1, padding=eroded // 2)
    return functional.avg_pool2d(inner, _BLURRED, stride=1, padding=_BLURRED // 2)


def soft_validity(seen: Tensor, inside: Tensor) -> Tensor:
    """Return V (B, 1, S, S): where a face is seen, with a soft edge.

    Specks are filled, and what lies outside of the chart takes no part: maps reach up to the
    lids, and vertices at the chart's edge sample whole values.

    Parameters
    ----------
    seen : (B, 1, S, S)
    inside : (1, 1, S, S), 1 in the chart
    """
    return softened(torch.where(inside > 0, without_specks(seen), torch.ones_like(seen)))


def without_specks(valid: Tensor) -> Tensor:
    """Return a validity (B, 1, S, S) with holes of up to four texels filled."""
    half = _SPECK // 2
    wider = functional.max_pool2d(valid, _SPECK, stride=1, padding=half)
    return -functional.max_pool2d(-wider, _SPECK, stride=1, padding=half)


def _seen(
    face: FaceTensors,
    points: Tensor,
    mapped: Tensor,
    camera: HrnCamera,
    rasterizer: Rasterizer | None,
) -> Tensor:
    """Return (B, 1, S, S), 1 where a texel faces the camera and nothing lies before it."""
    renderer = rasterizer or chosen_rasterizer(device=str(points.device))
    size = (camera.size, camera.size)
    rast = renderer.rasterize(camera.clip(points).float().contiguous(), face.faces, size).rast
    covered = rast[..., 3] != 0
    depth = _depth(rast[..., 2].to(points.dtype), camera)
    depth = torch.where(covered, depth, torch.full_like(depth, _FAR))[:, None]
    nearest = -functional.max_pool2d(-depth, 3, stride=1, padding=1)
    places = mapped.permute(0, 2, 3, 1)
    at, normal = places[..., :3], unit(places[..., 3:])
    grid = camera.pixels(at) * (2 / camera.size) - 1
    there = functional.grid_sample(
        nearest, grid, mode="nearest", padding_mode="border", align_corners=False
    )[:, 0]
    eye = at.new_tensor([0.0, 0.0, camera.distance])
    facing = (normal * unit(eye - at)).sum(dim=-1)
    slope = torch.sqrt((1 - facing**2).clamp(min=0)) / facing.clamp(min=_LEAST_FACING)
    own = camera.depth(at)
    slack = _SLACK + _SLACK_PX * own / camera.focal * slope
    return ((facing > _LEAST_FACING) & (own < there + slack)).to(mapped.dtype)[:, None]


def _depth(z_over_w: Tensor, camera: HrnCamera) -> Tensor:
    """Return the depth, model units, of the rasteriser's z/w."""
    far, near = camera.far, camera.near
    return 2 * far * near / (far + near - z_over_w * (far - near))


def _released_sample(image: Tensor, x: Tensor, row: Tensor) -> Tensor:
    """Sample (B, C, s, s) at `x`, `row` (B, S, S): vertical weights exchanged, no half pixel."""
    last = image.shape[-1] - 1
    x, row = x.clamp(0, last), row.clamp(0, last)
    left, top = x.detach().floor(), row.detach().floor()
    right, bottom = (left + 1).clamp(max=last), (top + 1).clamp(max=last)
    flat = image.flatten(2)

    def at(r: Tensor, c: Tensor) -> Tensor:
        index = (r * image.shape[-1] + c).long().flatten(1)[:, None]
        picked = flat.gather(2, index.expand(-1, image.shape[1], -1))
        return picked.reshape(len(image), image.shape[1], *x.shape[1:])

    across, down = (x - left)[:, None], (row - top)[:, None]
    upper = (1 - across) * at(top, left) + across * at(top, right)
    lower = (1 - across) * at(bottom, left) + across * at(bottom, right)
    return down * upper + (1 - down) * lower
