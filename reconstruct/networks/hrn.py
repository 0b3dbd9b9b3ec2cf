"""All networks of HRN that are trained or loaded together, named as in its checkpoint."""

import torch
from torch import nn

from ...core.facemodel.checkpoint_tables import HrnLayout
from .coefficient import CoefficientNet
from .generator import DROPOUT, ResnetGenerator
from .landmarks import LandmarkNet

MAP_SCALE = 0.1
"""Times alpha or beta: what an output of 1 of a generator is, in model units of 100 mm."""

INITIAL_GAIN = 0.01
"""Of alpha and beta: untrained maps stay within 0.1 mm."""


class HrnNetworks(nn.Module):
    """The networks, and the gains alpha and beta of the two maps.

    The three of the paper, and where the layout asks for it one of landmarks.

    Parameters
    ----------
    layout : HrnLayout
        Face model's counts, backbone and widths.
    dropout : float
        Of both generators, while they learn.
    """

    def __init__(self, layout: HrnLayout, *, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.layout = layout
        self.net_recon = CoefficientNet(layout.counts, backbone=layout.backbone)
        self.mid_net = ResnetGenerator(
            6, 3, width=layout.mid_width, n_blocks=layout.mid_blocks, dropout=dropout
        )
        self.high_net = ResnetGenerator(
            9, 1, width=layout.high_width, n_blocks=layout.high_blocks, dropout=dropout
        )
        self.landmark_net: LandmarkNet | None = None
        if layout.landmark_width:
            self.landmark_net = LandmarkNet(layout.counts, width=layout.landmark_width)
        self.alpha = nn.Parameter(torch.full((1,), INITIAL_GAIN))
        self.beta = nn.Parameter(torch.full((1,), INITIAL_GAIN))
