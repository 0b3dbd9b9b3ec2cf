"""The networks of middle and high frequencies: maps in the model's UV chart -> a map of detail.

Positions in the tensors' names count every layer, those without numbers as well: the dropout
inside a block is why its second convolution is `conv_block.6`. Dropout sleeps in `eval()`.

Source
------
Johnson et al., Perceptual losses for real-time style transfer, ECCV 2016, with the layers of
Isola et al., pix2pix, CVPR 2017, as HRN (Lei et al., CVPR 2023, section 3.1) uses them.
"""

from torch import Tensor, nn

DROPOUT = 0.5
"""As HRN has it."""
_INITIAL_SIGMA = 0.02
_N_HALVINGS = 2


class ResnetGenerator(nn.Module):
    """Two halvings, residual blocks, two doublings; instance norm without numbers; tanh.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    width : int
        Channels of the first layer, times 4 in the blocks.
    n_blocks : int
        Residual blocks.
    dropout : float
        Share of a block's inner numbers that are dropped while it learns; small networks learn
        faster with none. The tensors' names stay.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        width: int = 64,
        n_blocks: int = 9,
        dropout: float = DROPOUT,
    ) -> None:
        super().__init__()
        deep = width << _N_HALVINGS
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(n_in, width, 7)]
        layers += _normed(width)
        for i in range(_N_HALVINGS):
            n = width << i
            layers += [nn.Conv2d(n, 2 * n, 3, stride=2, padding=1), *_normed(2 * n)]
        layers += [ResidualBlock(deep, dropout=dropout) for _ in range(n_blocks)]
        for i in range(_N_HALVINGS):
            n = deep >> i
            up = nn.ConvTranspose2d(n, n // 2, 3, stride=2, padding=1, output_padding=1)
            layers += [up, *_normed(n // 2)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, n_out, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        self.apply(_begin)

    @property
    def last(self) -> nn.Conv2d:
        """The last convolution, whose tanh is the answer."""
        layer = self.model[-2]
        assert isinstance(layer, nn.Conv2d)
        return layer

    def silence(self) -> None:
        """Let it answer 0 to everything, until it has learnt something else."""
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, n_in, S, S) to (B, n_out, S, S) in -1..1; S a multiple of 4, at least 8."""
        return self.model(maps)


class ResidualBlock(nn.Module):
    """x -> x + conv(dropout(relu(conv(x)))), each convolution with instance norm."""

    def __init__(self, n: int, *, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(n, n, 3),
            *_normed(n),
            nn.Dropout(dropout),
            nn.ReflectionPad2d(1),
            nn.Conv2d(n, n, 3),
            nn.InstanceNorm2d(n),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, n, S, S)."""
        return x + self.conv_block(x)


def _normed(n: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(n), nn.ReLU(inplace=True)]


def _begin(module: nn.Module) -> None:
    if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d) or module.weight.is_meta:
        return  # on the meta device torch would load its compiler to draw numbers
    nn.init.normal_(module.weight, 0.0, _INITIAL_SIGMA)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
