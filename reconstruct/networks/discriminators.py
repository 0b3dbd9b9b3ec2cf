"""Discriminators: whether a patch of a map of detail looks as if it had been measured.

PatchGAN: convolutions alone, each of whose scores judges a patch of the map and knows nothing of
the rest. Three layers see 70 x 70 texels, which on the displacement map of 256 are wrinkles and
folds; two see 34 x 34, on the deformation map of 64 a good part of a face. They are trained
against the generators and not kept with them.

Source
------
Isola et al., pix2pix, CVPR 2017, section 3.2.2 and appendix 6.1.2, with instance norm; which map
has which is ours, since HRN (Lei et al., CVPR 2023) does not say.
"""

import itertools

from torch import Tensor, nn

MID_LAYERS, HIGH_LAYERS = 2, 3
"""Strided layers of the discriminators of the deformation map and of the displacement map."""
_KERNEL, _SLOPE, _INITIAL_SIGMA = 4, 0.2, 0.02
_WIDEST = 8  # times the first layer's channels


class PatchDiscriminator(nn.Module):
    """Score overlapping patches of maps: near 1 where they look measured, near 0 where made.

    Parameters
    ----------
    n_in : int
        Channels of the maps.
    width : int
        Channels of the first layer; each further one has twice as many, up to eight times.
    n_layers : int
        Layers that halve the map; two more follow that do not.
    normed : bool
        Instance norm in the layers between. It takes the mean over the whole map: without it a
        score depends on nothing but its patch.
    """

    def __init__(
        self, n_in: int, *, width: int = 64, n_layers: int = HIGH_LAYERS, normed: bool = True
    ) -> None:
        super().__init__()
        self.n_layers = n_layers
        widths = [width * min(1 << i, _WIDEST) for i in range(n_layers + 1)]
        layers: list[nn.Module] = [_conv(n_in, width, stride=2), nn.LeakyReLU(_SLOPE)]
        for i, (n, wider) in enumerate(itertools.pairwise(widths), start=1):
            layers.append(_conv(n, wider, stride=2 if i < n_layers else 1))
            layers += [nn.InstanceNorm2d(wider)] if normed else []
            layers.append(nn.LeakyReLU(_SLOPE))
        layers.append(_conv(widths[-1], 1, stride=1))
        self.model = nn.Sequential(*layers)

    def forward(self, maps: Tensor) -> Tensor:
        """Score maps (B, n_in, S, S): (B, 1, s, s), without a sigmoid."""
        return self.model(maps)

    @property
    def patch(self) -> int:
        """Texels a side of what one score sees: 34 for two layers, 70 for three."""
        side = 1
        for stride in reversed([2] * self.n_layers + [1, 1]):
            side = (side - 1) * stride + _KERNEL
        return side


def _conv(n_in: int, n_out: int, *, stride: int) -> nn.Conv2d:
    layer = nn.Conv2d(n_in, n_out, _KERNEL, stride=stride, padding=1)
    nn.init.normal_(layer.weight, 0.0, _INITIAL_SIGMA)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
