"""Spots of the skin for a fit: the layer that a de-retouching network makes of a photograph.

A freckle is one or two texels of a displacement map, too few to tell it from mottled skin, while
the photograph shows more of it. So the network sees the chart about as finely as the photograph
is: at the texels' centres and at places between them. What it finds at the centres is kept.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .networks.deretouch import blend_layer
from .pose import HrnCamera
from .unwrap import Texels, unwrap

SIDE = 512
"""Places a side of the chart, about: half a millimetre apart, as pixels of a 448 px crop are."""
_HALVINGS = 16  # a U-Net of four halvings takes sides that this divides
_ALL = 1 - 1e-3  # of what lies round a place


@torch.no_grad()
def spot_layer(network: nn.Module, texels: Texels, picture: Tensor, camera: HrnCamera) -> Tensor:
    """Return the soft-light layer (1, 3, n, n) that takes the spots out of an unwrapped picture.

    Parameters
    ----------
    network : DeretouchNet
        In `eval()`. Of textures of any size: spots of all sizes are in its training.
    picture : (1, 3, s, s), 0..1
        `unwrap(texels, picture, camera)` is what the layer is for.
    """
    times = max(1, round(SIDE / texels.points.shape[-1]))
    fine = unwrap(_finer(texels, times), picture, camera)[0]
    side = fine.shape[-1]
    missing = -side % _HALVINGS
    padded = functional.pad(fine, (0, missing, 0, missing))
    return blend_layer(network, padded, size=side + missing)[..., :side:times, :side:times]


def _finer(texels: Texels, times: int) -> Texels:
    """Return texels with `times` - 1 places between two neighbours, 1 + times (n - 1) a side.

    Between a texel that is seen and one that is not, or not in the chart, nothing is seen.
    """
    side = 1 + times * (texels.points.shape[-1] - 1)

    def between(maps: Tensor) -> Tensor:
        return functional.interpolate(maps, (side, side), mode="bilinear", align_corners=True)

    inside = (between(texels.inside) > _ALL).to(texels.inside.dtype)
    seen = (between(texels.visible) > _ALL).to(texels.visible.dtype)
    return Texels(
        points=between(texels.points), normals=between(texels.normals), inside=inside, visible=seen
    )
