"""Discriminators: what their layers are, and that a score knows its own patch and nothing else."""

import pytest
import torch
from torch import Tensor

from facekit.reconstruct.networks.discriminators import (
    HIGH_LAYERS,
    MID_LAYERS,
    PatchDiscriminator,
)


def moved_by(judge: PatchDiscriminator, size: int, row: int, column: int) -> Tensor:
    """Return (s, s) bool: scores that change when one texel does."""
    maps = torch.zeros(1, 1, size, size)
    touched = maps.clone()
    touched[..., row, column] = 1.0
    with torch.no_grad():
        return (judge(touched) != judge(maps))[0, 0]


@pytest.mark.parametrize(("n_layers", "size", "patch"), [(2, 64, 34), (3, 256, 70)])
def test_a_score_sees_its_patch_alone(n_layers: int, size: int, patch: int) -> None:
    """The rows that one texel moves span (patch + stride) / stride scores at most."""
    torch.manual_seed(0)
    judge = PatchDiscriminator(1, width=4, n_layers=n_layers, normed=False)
    assert judge.patch == patch
    stride = 1 << n_layers
    at = size // 2 + 1
    moved = moved_by(judge, size, at, at)
    rows = torch.nonzero(moved.any(dim=1))[:, 0]
    assert 1 <= len(rows) <= patch / stride + 1
    # score k sees texels from stride * k - (padding) on: it is near the texel, and nowhere else
    score_at = (rows.double().mean() + 0.5) * size / len(moved)
    assert abs(float(score_at) - at) < patch / 2
    # a gradient asks the other way round: which texels does the middle score look at
    maps = torch.zeros(1, 1, size, size, requires_grad=True)
    judge(maps)[0, 0, len(moved) // 2, len(moved) // 2].backward()
    assert maps.grad is not None
    seen = torch.nonzero(maps.grad[0, 0].abs().sum(dim=0))[:, 0]
    assert int(seen.max() - seen.min()) + 1 == patch


def test_shapes_and_sizes_are_pix2pix_s() -> None:
    """The basic PatchGAN of pix2pix on 3 channels has 2 764 737 numbers and 30 x 30 scores."""
    judge = PatchDiscriminator(3, width=64, n_layers=HIGH_LAYERS)
    # pix2pix leaves biases out before batch norm; instance norm keeps them: 64 + ... + 512 + 1
    kernels = sum(p.numel() for p in judge.parameters() if p.ndim == 4)
    assert kernels == 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    with torch.no_grad():
        assert judge(torch.zeros(2, 3, 256, 256)).shape == (2, 1, 30, 30)
        mid = PatchDiscriminator(3, width=8, n_layers=MID_LAYERS)
        assert mid(torch.zeros(2, 3, 64, 64)).shape == (2, 1, 14, 14)
