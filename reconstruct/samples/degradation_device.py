"""What photographs suffer, for a whole batch on a GPU at once; see `degradation`.

The marks of JPEG are left out, and what was small once was equally small in all of a batch.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from ..align import AT_SIZE
from .degradation import LUMA, DegradationConfig

_REACH = 3.0  # standard deviations of a blur's kernel
_EDGE = 0.02  # width of an occluder's soft edge, of the image's side


def degraded_together(
    image: Tensor, mask: Tensor, config: DegradationConfig, chance: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return photographs as worse cameras in a fuller room take them, and their masks.

    Parameters
    ----------
    image, mask : (B, 3, S, S), (B, 1, S, S) in [0, 1]
    chance : Generator
        On the processor: all that the changes depend upon.
    """
    covered = _chosen(len(image), config.occluder_share, chance)
    for count in range(config.occluders):
        more = covered & _chosen(len(image), 1 / (count + 1), chance)
        image, mask = _occluded(image, mask, more, config, chance)
    image = _blurred(image, config, chance)
    image = _recoloured(image, config, chance)
    return _noisy(image, config, chance).clamp(0, 1), mask


def _chosen(n: int, share: float, chance: torch.Generator) -> Tensor:
    return torch.rand(n, generator=chance) < share


def _drawn(n: int, k: int, low: float, high: float, chance: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, k, generator=chance)


def _blurred(image: Tensor, config: DegradationConfig, chance: torch.Generator) -> Tensor:
    n, size = len(image), image.shape[-1]
    # as many each time: a convolution is tuned to its shape once
    soft = torch.randperm(n, generator=chance)[: round(n * config.blur_share)]
    sigma = _drawn(n, 1, 0.2, 1.0, chance)[:, 0] * config.blur_px * size / AT_SIZE
    small = _chosen(n, config.coarse_share, chance)
    times = float(_drawn(1, 1, 1.0, max(1.0, config.coarse_times), chance))
    image = image.clone()
    if len(soft):
        at = soft.to(image.device)
        most = config.blur_px * size / AT_SIZE
        image[at] = _gaussian(image[at], sigma[soft].to(image.device), most=most)
    side = max(8, round(AT_SIZE / times))
    if bool(small.any()) and side < size:
        at = torch.nonzero(small)[:, 0].to(image.device)
        less = functional.adaptive_avg_pool2d(image[at], side)
        image[at] = functional.interpolate(less, (size, size), mode="bilinear")
    return image


def _gaussian(image: Tensor, sigma: Tensor, *, most: float) -> Tensor:
    """Blur each of (B, C, S, S) by its own standard deviation (B,), at most `most` px."""
    n, channels, size, _ = image.shape
    reach = max(1, math.ceil(_REACH * most))
    x = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (x / sigma[:, None].clamp(min=1e-3)) ** 2)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    kernels = kernel.repeat_interleave(channels, dim=0)[:, None]
    flat = functional.pad(image, [reach] * 4, mode="replicate")
    flat = flat.reshape(1, n * channels, size + 2 * reach, size + 2 * reach)
    flat = functional.conv2d(flat, kernels[:, :, None], groups=n * channels)
    flat = functional.conv2d(flat, kernels[..., None], groups=n * channels)
    return flat.reshape(n, channels, size, size)


def _recoloured(image: Tensor, config: DegradationConfig, chance: torch.Generator) -> Tensor:
    n = len(image)
    drawn = _drawn(n, 7, -1.0, 1.0, chance)
    grey = _chosen(n, config.grey_share, chance)
    keep = torch.where(grey, 0.0, 1 + config.saturation * drawn[:, 3])
    gamma, contrast, brightness, keep, cast = (
        values.to(image.device)
        for values in (
            torch.exp(config.gamma * drawn[:, 0]), 1 + config.contrast * drawn[:, 1],
            config.brightness * drawn[:, 2], keep, 1 + config.cast * drawn[:, 4:],
        )
    )  # fmt: skip
    middle = image.mean(dim=(1, 2, 3))
    image = image.clamp(min=1e-4) ** _each(gamma)
    image = (image - _each(middle)) * _each(contrast) + _each(middle)
    image = (image * cast[:, :, None, None] + _each(brightness)).clamp(0, 1)
    luma = image.new_tensor(LUMA)[None, :, None, None]
    return _each(keep) * image + _each(1 - keep) * (image * luma).sum(dim=1, keepdim=True)


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _noisy(image: Tensor, config: DegradationConfig, chance: torch.Generator) -> Tensor:
    n = len(image)
    sigma = config.noise * _drawn(n, 1, 0.0, 1.0, chance)[:, 0] ** 2
    sigma = torch.where(_chosen(n, config.noise_share, chance), sigma, 0.0).to(image.device)
    seed = int(torch.randint(1 << 31, (1,), generator=chance))
    own = torch.Generator(device=image.device).manual_seed(seed)
    field = torch.randn(image.shape, generator=own, device=image.device, dtype=image.dtype)
    return image + _each(sigma) * field


def _occluded(
    image: Tensor,
    mask: Tensor,
    where: Tensor,
    config: DegradationConfig,
    chance: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Hide a part of the images `where` (B,) behind an ellipse or a box; the masks lose it."""
    n, size, device = len(image), image.shape[-1], image.device
    half = 0.5 * config.occluder_size * _drawn(n, 2, 0.2, 1.0, chance)
    centre, angle = _drawn(n, 2, 0.1, 0.9, chance), _drawn(n, 1, 0.0, math.pi, chance)
    power = torch.where(_chosen(n, 0.5, chance), 2.0, 8.0)  # of an ellipse, of nearly a box
    colour, slope = _drawn(n, 3, 0.04, 0.96, chance), _drawn(n, 2, -0.4, 0.4, chance)
    pieces = _chosen(n, 0.5, chance).to(device)
    others = torch.randperm(n, generator=chance).to(device)
    half, centre, angle, power, colour, slope = (
        values.to(device) for values in (half, centre, angle, power, colour, slope)
    )
    at = (torch.arange(size, device=device) + 0.5) / size
    y, x = at[None, :, None] - centre[:, 1:, None], at[None, None, :] - centre[:, :1, None]
    c, s = torch.cos(angle)[..., None], torch.sin(angle)[..., None]
    u, v = (c * x + s * y).abs() / half[:, :1, None], (c * y - s * x).abs() / half[:, 1:, None]
    p = power[:, None, None]
    radius = (u**p + v**p) ** (1 / p)
    cover = ((1 - radius) * half.amin(dim=1)[:, None, None] / _EDGE + 0.5).clamp(0, 1)
    cover = (cover * where.to(device)[:, None, None])[:, None]
    light = 1 + slope[:, :1, None] * x + slope[:, 1:, None] * y
    fill = (colour[:, :, None, None] * light[:, None]).clamp(0, 1)
    fill = torch.where(_each(pieces), image[others].flip(2), fill)  # upside down: no second face
    return image * (1 - cover) + fill * cover, mask * (1 - cover)
