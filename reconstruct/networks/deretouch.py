"""The de-retouching network: a texture -> the soft-light layer that smooths its skin.

A classic U-Net with batch norm whose up-sampling is bilinear. Four more heads, `dsoutc1` to
`dsoutc4`, supervise its inner layers in training; nothing else reads them.

Source
------
Ronneberger et al., U-Net, MICCAI 2015; its use: Lei et al., HRN, CVPR 2023, and Lei et al.,
ABPN, CVPR 2022.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

NETWORK_SIZE = 512
"""Side of the texture, in texels, that HRN's released weights are made for."""


class DeretouchNet(nn.Module):
    """U-Net of four halvings, 3 -> 3 channels.

    Parameters
    ----------
    width : int
        Channels at full size, times 2, 4, 8 and 8 further down.
    size : int
        Side of the texture, in texels, that the weights are made for.
    """

    def __init__(self, *, width: int = 64, size: int = NETWORK_SIZE) -> None:
        super().__init__()
        self.width, self.size = width, size
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
        return torch.sigmoid(self.outc(self._features(texture)[-1]))

    def supervised(self, texture: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return what `forward` does, and the layers that the inner heads make of it.

        Those are (B, 3, s, s) in 0..1 with s = S, S / 2, S / 4 and S / 8.
        """
        features = self._features(texture)
        heads = (self.dsoutc4, self.dsoutc3, self.dsoutc2, self.dsoutc1)
        inner = [torch.sigmoid(h(x)) for h, x in zip(heads, features, strict=True)]
        return torch.sigmoid(self.outc(features[-1])), tuple(inner[::-1])

    def _features(self, texture: Tensor) -> list[Tensor]:
        """Return the features on the way up, at an eighth of the size to the whole."""
        # Pixels together, channels innermost: a third faster on processors, and the same.
        full = self.inc(texture.to(memory_format=torch.channels_last))
        half = self.down1(full)
        quarter = self.down2(half)
        eighth = self.down3(quarter)
        up = [self.up1(self.down4(eighth), eighth)]
        for step, fine in ((self.up2, quarter), (self.up3, half), (self.up4, full)):
            up.append(step(up[-1], fine))
        return up


def blend_layer(network: nn.Module, texture: Tensor, *, size: int | None = None) -> Tensor:
    """Return the soft-light layer of a texture, at the texture's own size.

    Parameters
    ----------
    network : DeretouchNet
    texture : (B, 3, S, S) float, 0..1
    size : int, optional
        Side of the texture that the network sees; the network's own by default.

    Returns
    -------
    Tensor
        (B, 3, S, S) in 0..1; 0.5 changes nothing. See `softlight`.
    """
    side = getattr(network, "size", NETWORK_SIZE) if size is None else size
    layer = network(_resized(2.0 * texture - 1.0, (side, side)))
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
