"""Residual networks for images, without a classifier at the end.

The variant "v1.5": in a bottleneck the 3x3 convolution has the stride. Tensors are named as
everybody's weights name them (`layer1.0.conv1.weight`), so that ImageNet's and HRN's load.

Source
------
He et al., Deep residual learning for image recognition, CVPR 2016, table 1; the stride: Goyal
et al., Accurate, large minibatch SGD, 2017, section 5.1.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a short cut."""

    expansion = 1

    def __init__(self, n_in: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _short_cut(n_in, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, n_in, H, W) to (B, width, H / stride, W / stride)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up to four times the width, beside a short cut."""

    expansion = 4

    def __init__(self, n_in: int, width: int, *, stride: int) -> None:
        super().__init__()
        n_out = width * self.expansion
        self.conv1 = nn.Conv2d(n_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, n_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.downsample = _short_cut(n_in, n_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, n_in, H, W) to (B, 4 width, H / stride, W / stride)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """A stem, four stages of blocks and the mean over the picture.

    Parameters
    ----------
    block : BasicBlock or Bottleneck
        Kind of all blocks.
    counts : four ints
        Blocks a stage; a stage is twice as wide as the one before.
    width : int
        Of the stem and the first stage; the stages are that, times the block's expansion.
    grid : int
        Side of the grid of features that is given: 1, the mean over the picture; or as large as
        the last stage makes it, which tells where things are.
    reduction : int
        Pictures are made so many times smaller first.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        counts: tuple[int, int, int, int],
        *,
        width: int = 64,
        grid: int = 1,
        reduction: int = 1,
    ) -> None:
        super().__init__()
        self.grid, self.reduction = grid, reduction
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        wide = width * block.expansion
        self.layer1 = _stage(block, counts[0], width, width, stride=1)
        self.layer2 = _stage(block, counts[1], wide, 2 * width, stride=2)
        self.layer3 = _stage(block, counts[2], 2 * wide, 4 * width, stride=2)
        self.layer4 = _stage(block, counts[3], 4 * wide, 8 * width, stride=2)
        self.n_features = 8 * wide
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> Tensor:
        """Return the features (B, n_features, grid, grid) of pictures (B, 3, H, W)."""
        x = avg_pool2d(image, self.reduction) if self.reduction > 1 else image
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean((2, 3), keepdim=True) if self.grid == 1 else x


def resnet18() -> ResNet:
    """Return a network of 18 layers: 11.2 million numbers, 512 features."""
    return ResNet(BasicBlock, (2, 2, 2, 2))


def resnet34() -> ResNet:
    """Return a network of 34 layers: 21.3 million numbers, 512 features."""
    return ResNet(BasicBlock, (3, 4, 6, 3))


def resnet50() -> ResNet:
    """Return a network of 50 layers: 23.5 million numbers, 2048 features."""
    return ResNet(Bottleneck, (3, 4, 6, 3))


def resnet18_half() -> ResNet:
    """Return a network of 18 layers, half as wide: 2.8 million numbers, 256 features."""
    return ResNet(BasicBlock, (2, 2, 2, 2), width=32)


def resnet18_half_grid() -> ResNet:
    """Return the same on halved pictures of 224 px, whose 256 features keep their 4 x 4 places.

    What a mean over the picture forgets, where things lie, a head on a grid reads off: it learns
    shape and pose several times faster, at a quarter of the cost.
    """
    return ResNet(BasicBlock, (2, 2, 2, 2), width=32, grid=4, reduction=2)


def resnet18_half_grid7() -> ResNet:
    """Return the same on whole pictures of 224 px, on a grid of 7 x 7: four times the cost."""
    return ResNet(BasicBlock, (2, 2, 2, 2), width=32, grid=7)


BACKBONES: dict[str, Callable[[], ResNet]] = {
    "resnet18_half": resnet18_half,
    "resnet18_half_grid": resnet18_half_grid,
    "resnet18_half_grid7": resnet18_half_grid7,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
}
"""Name in configurations and checkpoints -> the network."""


def _stage(
    block: type[BasicBlock] | type[Bottleneck], count: int, n_in: int, width: int, *, stride: int
) -> nn.Sequential:
    """Return `count` blocks, the first of which takes the stride."""
    blocks = [block(n_in, width, stride=stride)]
    blocks += [block(width * block.expansion, width, stride=1) for _ in range(count - 1)]
    return nn.Sequential(*blocks)


def _short_cut(n_in: int, n_out: int, stride: int) -> nn.Sequential | None:
    """Return what fits `x` to a block's output; None where it fits already."""
    if n_in == n_out and stride == 1:
        return None
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False), nn.BatchNorm2d(n_out)
    )
