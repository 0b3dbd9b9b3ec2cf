"""What the shaded map lacks of the photograph, as HRN adds it to the texture that it exports.

An offset to the shaded colours of M1 is fitted until its render looks like the crop, smoothly.
Before, the crop's face is swollen a little along its jaw, so that no background bleeds in where
the render reaches further than the face. Light stays in such a texture.

Source
------
The released code of HRN: 100 steps of Adam at 0.01, photometric loss and total variation; the
swelling as its authors tell of it, the widths of its bands our own.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from ..core.arrays import AnyFloats, Bools, Floats, Floats32
from ..core.rendering.rasterizer import Rasterizer, chosen_rasterizer
from . import losses
from .facetensors import FaceTensors
from .maprender import coloured, drawn_places
from .pose import HrnCamera

_JAW, _INNER = slice(0, 17), slice(17, 68)
_BAND = 0.08  # of the crop: half width of the band along the jaw that swells
_SOFT = 0.03  # of the crop: blur of the bands


@dataclass(frozen=True, kw_only=True)
class OffsetConfig:
    """The released settings."""

    n_steps: int = 100
    rate: float = 1e-2
    photo: float = 1.92
    smooth: float = 10.0


def fit_texture_offset(
    face: FaceTensors,
    points: Tensor,
    shaded: Tensor,
    crop: Tensor,
    camera: HrnCamera,
    *,
    config: OffsetConfig | None = None,
    rasterizer: Rasterizer | None = None,
    compat: bool = False,
) -> Tensor:
    """Return the offset (B, 3, S, S) of shaded colours.

    Parameters
    ----------
    points : (B, V, 3)
        Posed vertices of M1.
    shaded : (B, 3, S, S)
        Albedo under the light, with the detail's normals.
    crop : (B, 3, s, s)
        Of `swollen` photographs, as `camera` sees them.
    """
    config = config or OffsetConfig()
    renderer = rasterizer or chosen_rasterizer(device=points.device)
    places = drawn_places(face, points.detach(), camera, rasterizer=renderer, compat=compat)
    offset = torch.zeros_like(shaded, requires_grad=True)
    adam = torch.optim.Adam([offset], lr=config.rate)
    for _ in range(config.n_steps):
        drawn = coloured(face, shaded.detach() + offset, places, rasterizer=renderer, compat=compat)
        loss = config.photo * losses.photometric(drawn.image, crop, drawn.mask)
        loss = loss + config.smooth * losses.total_variation(offset)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return offset.detach()


def swollen(image: Floats32, landmarks: AnyFloats, *, by: float = 0.03) -> Floats32:
    """Return a crop (s, s, 3) whose face reaches further at the jaw.

    Parameters
    ----------
    landmarks : (68, 2) px, y up
        Of the crop; unknown ones are left out.
    by : float
        Part of the distance from the face's middle; the released one.
    """
    size = len(image)
    xy: Floats = np.column_stack([landmarks[:, 0], size - landmarks[:, 1]]).astype(np.float64)
    known: Bools = np.asarray(np.isfinite(xy).all(axis=1))
    if known[_JAW].sum() < 2:
        return image
    weight = _swelling(xy, known, size)
    at = np.arange(size) + 0.5
    x, y = np.meshgrid(at, at)
    middle = xy[known].mean(axis=0)
    # OpenCV's pixel centres are whole numbers
    source = [middle[0] + (x - middle[0]) * (1 - by * weight) - 0.5,
              middle[1] + (y - middle[1]) * (1 - by * weight) - 0.5]  # fmt: skip
    columns, rows = (np.asarray(values, np.float32) for values in source)
    moved = cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def _swelling(xy: Floats, known: Bools, size: int) -> Floats:
    """Return (size, size) in [0, 1]: 1 along the jaw, 0 about brows, eyes, nose and mouth."""
    band, inner = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    jaw = np.rint(xy[_JAW][known[_JAW]]).astype(np.int32)
    cv2.polylines(band, [jaw], isClosed=False, color=1.0, thickness=max(1, round(2 * _BAND * size)))
    features = np.rint(xy[_INNER][known[_INNER]]).astype(np.int32)
    if len(features) > 2:
        cv2.fillConvexPoly(inner, cv2.convexHull(features), 1.0)
    soft = [cv2.GaussianBlur(mask, (0, 0), _SOFT * size) for mask in (band, inner)]
    return np.asarray(soft[0] * (1 - soft[1]), np.float64)
