"""The de-retouching network: a texture -> the soft-light layer that smooths its skin.

A classic U-Net with batch norm whose up-sampling is bilinear. HRN's weights come with four more
heads, `dsoutc1` to `dsoutc4`, which supervised its inner layers in training; nothing reads them.

Source
------
Ronneberger et al., U-Net, MICCAI 2015; its use: Lei et al., HRN, CVPR 2023, and Lei et al.,
ABPN, CVPR 2022.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

NETWORK_SIZE = 512
"""Side of the texture, in texels, that the released weights are made for."""


class DeretouchNet(nn.Module):
    """U-Net of four halvings, 3 -> 3 channels.

    Parameters
    ----------
    width : int
        Channels at full size, times 2, 4, 8 and 8 further down.
    """

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        self.width = width
        a, b, c, d = (width << i for i in range(4))
        self.inc = _First(3, a)
        self.down1 = _Down(a, b)
        self.down2 = _Down(b, c)
        self.down3 = _Down(c, d)
        self.down4 = _Down(d, d)
        self.up1 = _Up(d + d, c)
        self.up2 = _Up(c + c, b)
        self.up3 = _Up(b + b, a)
        self.up4 = _Up(a + a, a)
        self.outc = _Head(a)
        self.dsoutc4 = _Head(c)
        self.dsoutc3 = _Head(b)
        self.dsoutc2 = _Head(a)
        self.dsoutc1 = _Head(a)

    def forward(self, texture: Tensor) -> Tensor:
        """Return the blend layer (B, 3, S, S) in 0..1 of textures (B, 3, S, S) in -1..1.

        S is at least 16.
        """
        # Pixels together, channels innermost: a third faster on processors, and the same.
        full = self.inc(texture.to(memory_format=torch.channels_last))
        half = self.down1(full)
        quarter = self.down2(half)
        eighth = self.down3(quarter)
        x = self.up1(self.down4(eighth), eighth)
        x = self.up3(self.up2(x, quarter), half)
        return torch.sigmoid(self.outc(self.up4(x, full)))


def blend_layer(network: nn.Module, texture: Tensor, *, size: int = NETWORK_SIZE) -> Tensor:
    """Return the soft-light layer of a texture, at the texture's own size.

    Parameters
    ----------
    network : DeretouchNet
    texture : (B, 3, S, S) float, 0..1
    size : int
        Side of the texture that the network sees.

    Returns
    -------
    Tensor
        (B, 3, S, S) in 0..1; 0.5 changes nothing. See `softlight`.
    """
    layer = network(_resized(2.0 * texture - 1.0, (size, size)))
    return _resized(layer, (texture.shape[2], texture.shape[3]))


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(maps.shape[2:]) == size:
        return maps
    return interpolate(maps, size, mode="bilinear", align_corners=False)


class _Double(nn.Module):
    """Two 3x3 convolutions, each with batch norm and ReLU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, padding=1),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(n_out, n_out, 3, padding=1),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class _First(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = _Double(n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class _Down(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.mpconv = nn.Sequential(nn.MaxPool2d(2), _Double(n_in, n_out))

    def forward(self, x: Tensor) -> Tensor:
        return self.mpconv(x)


class _Up(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = _Double(n_in, n_out)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Double `coarse`, fill it up with zeros to the size of `fine`, and join the two."""
        up = interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=True)
        rows, columns = (fine.shape[i] - up.shape[i] for i in (2, 3))
        up = pad(up, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return self.conv(torch.cat([fine, up], dim=1))


class _Head(nn.Module):
    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)
