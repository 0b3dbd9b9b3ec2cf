"""The network of low frequencies: a crop of a photograph -> coefficients of a face model.

A residual network and one linear head a group of coefficients, whose weights begin at zero: an
untrained network gives the mean face, upright, at the middle of the crop, in HRN's plain light.

Source
------
Lei et al., HRN, CVPR 2023, section 3.1, and its parent, Deng et al., Accurate 3D face
reconstruction with weakly-supervised learning, CVPRW 2019; layout as their code has it.
"""

import torch
from torch import Tensor, nn

from .resnet import BACKBONES

POSE_AND_LIGHT = (3, 27, 2, 1)
"""Sizes of the last four groups: angles, 9 bands of light times 3 colours, x and y, z."""


class CoefficientNet(nn.Module):
    """Crop -> identity, expression, albedo, angles (3), light (27), translation (3).

    Parameters
    ----------
    counts : (identity, expression, albedo)
        Modes of the face model; (80, 64, 80) for BFM, which makes 257 outputs. A group of no
        modes has no head, and the heads after it keep their numbers.
    backbone : str
        A name of `BACKBONES`.
    """

    def __init__(self, counts: tuple[int, int, int], *, backbone: str = "resnet50") -> None:
        super().__init__()
        self.backbone = BACKBONES[backbone]()
        sizes = (*counts, *POSE_AND_LIGHT)
        self.final_layers = nn.ModuleList(
            _head(self.backbone.n_features, n, self.backbone.grid) for n in sizes
        )
        self.n_coefficients = sum(sizes)

    def forward(self, image: Tensor) -> Tensor:
        """Return coefficients (B, n_coefficients) of crops (B, 3, S, S), RGB in 0..1.

        No mean is subtracted from the colours. HRN's weights are made for S = 224.
        """
        return self.of_features(self.backbone(image))

    def of_features(self, features: Tensor) -> Tensor:
        """Return coefficients (B, n_coefficients) of the backbone's features."""
        return torch.cat([head(features) for head in self.final_layers], dim=1).flatten(1)


class _NoHead(nn.Module):
    """Stands where a face model has no modes of a group."""

    def forward(self, features: Tensor) -> Tensor:
        return features[:, :0]


def _head(n_features: int, n_out: int, grid: int) -> nn.Module:
    if n_out == 0:
        return _NoHead()
    head = nn.Conv2d(n_features, n_out, grid)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)  # type: ignore[arg-type]
    return head
