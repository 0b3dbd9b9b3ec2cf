"""The losses that HRN is trained and fitted with, as plain functions of tensors.

Images are (B, 3, H, W) RGB in [0, 1] and masks (B, 1, H, W); landmarks are in px of the 224 px
crop; maps are (B, C, H, W) in model units of 100 mm. Each function returns a scalar without its
weight; the published weights stand in `LossWeights`.

Source
------
Lei et al., A Hierarchical Representation Network for Accurate and Detailed Face Reconstruction
from In-The-Wild Images, CVPR 2023, and its release github.com/youngLBW/HRN; coefficient, gamma,
reflectance and perceptual terms: Deng et al., CVPR Workshops 2019 (Deep3DFaceRecon_pytorch).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

PHOTO_EPSILON = 1e-6
"""Keeps the photometric term differentiable where the colours agree."""
HEAVY_LANDMARKS = (28, 29, 30, *range(60, 68))
"""Ridge and tip of the nose and the inner lips count 20-fold."""
_HEAVY = 20.0
_IDENTITY, _EXPRESSION, _ALBEDO = 1.0, 0.8, 0.017
N_NEAREST = 5
"""Scan points whose centroid draws a vertex."""
GanMode = Literal["lsgan", "hinge", "vanilla"]


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the training objective: the first ten as the release sets them.

    The others weigh what is only known of samples with truth; those are ours.
    """

    photo: float = 1.92  # of the mid and of the high render alike
    landmark: float = 1.6e-3
    coefficients: float = 3e-4
    gamma: float = 10.0
    reflectance: float = 5.0
    perceptual: float = 0.2
    contour: float = 20.0
    smooth: float = 5e3
    displacement: float = 10.0
    adversarial: float = 1.0
    shape: float = 1.0  # a mm of a vertex, in the head frame
    aligned: float = 2.0  # a mm of the surface, after rigid alignment of the front of the face
    pose: float = 0.1  # a px of the true vertices, posed by the network
    reprojection: float = 0.1  # a px of the network's own vertices, posed by the network
    truth: float = 0.2  # a standard deviation of a coefficient


def photometric(rendered: Tensor, photo: Tensor, mask: Tensor) -> Tensor:
    """Return the mean colour distance within the mask.

    `sum m sqrt(1e-6 + |a - b|^2) / max(sum m, 1)`, summed over the batch.
    """
    distance = torch.sqrt(PHOTO_EPSILON + ((rendered - photo) ** 2).sum(dim=1, keepdim=True))
    return (distance * mask).sum() / mask.sum().clamp(min=1.0)


def landmark_weights(*, device: torch.device | str = "cpu") -> Tensor:
    """Return (68,) how much each landmark counts."""
    weights = torch.ones(68, device=device)
    weights[list(HEAVY_LANDMARKS)] = _HEAVY
    return weights


def landmark(found: Tensor, wanted: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the weighted mean squared distance of landmarks (B, 68, 2), px^2."""
    weights = landmark_weights(device=found.device) if weights is None else weights
    squared = ((found - wanted) ** 2).sum(dim=-1)
    return (squared * weights).sum() / (found.shape[0] * found.shape[1])


def coefficients(identity: Tensor, expression: Tensor, albedo: Tensor) -> Tensor:
    """Return the squared lengths of coefficients (B, n), weighed 1, 0.8 and 0.017."""
    total = (
        _IDENTITY * (identity**2).sum()
        + _EXPRESSION * (expression**2).sum()
        + _ALBEDO * (albedo**2).sum()
    )
    return total / identity.shape[0]


def gamma(light: Tensor) -> Tensor:
    """Return how far light (B, 3, 9) is from white: its variance over the colours."""
    return ((light - light.mean(dim=1, keepdim=True)) ** 2).mean()


def reflectance(albedo: Tensor, skin: Tensor) -> Tensor:
    """Return the variance of albedo over the skin.

    Parameters
    ----------
    albedo : (B, V, 3) RGB in [0, 1]
    skin : (V,) or (1, V), 1 on skin
    """
    weight = skin.reshape(1, -1, 1).to(albedo.dtype)
    count = weight.sum().clamp(min=1.0)
    mean = (weight * albedo).sum(dim=1, keepdim=True) / count
    return ((weight * (albedo - mean)) ** 2).sum() / (albedo.shape[0] * count)


def perceptual(
    rendered: Tensor,
    photo: Tensor,
    rendered_from_crop: Tensor,
    photo_from_crop: Tensor,
    recognise: Callable[[Tensor], Tensor],
) -> Tensor:
    """Return how unlike two faces are to a recognition network: 1 - cosine, batch mean.

    Parameters
    ----------
    rendered, photo : (B, 3, H, W)
    rendered_from_crop, photo_from_crop : (B, 2, 3)
        Where a point (x, y) px of the network's crop lies in the image, y down, pixel centres
        at halves: `recognition_crops` makes them of five points.
    recognise : (B, 3, 112, 112) in [-1, 1] -> (B, n)
        The user's network, of which none comes with the package.
    """
    first = recognise(2 * _warped(rendered, rendered_from_crop) - 1)
    second = recognise(2 * _warped(photo, photo_from_crop) - 1)
    return (1 - functional.cosine_similarity(first, second, dim=-1)).mean()


RECOGNITION_PX = 112
RECOGNITION_POINTS = (
    (38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655),
    (70.7299, 92.2041),
)  # fmt: skip
"""Eyes, tip of the nose and corners of the mouth in the crop of ArcFace, px, the left of the
image first."""


def recognition_crops(points: Tensor) -> Tensor:
    """Return (B, 2, 3) image-from-crop similarities for five points (B, 5, 2), px, y down.

    Least squares from the places of `RECOGNITION_POINTS`, closed form.
    """
    place = torch.tensor(RECOGNITION_POINTS, dtype=points.dtype, device=points.device)
    place_mean, mean = place.mean(dim=0), points.mean(dim=1, keepdim=True)
    source, target = place - place_mean, points - mean
    size = (source**2).sum()
    a = (source * target).sum(dim=(1, 2)) / size
    b = (source[:, 0] * target[..., 1] - source[:, 1] * target[..., 0]).sum(dim=1) / size
    linear = torch.stack([torch.stack([a, -b], dim=-1), torch.stack([b, a], dim=-1)], dim=-2)
    shift = mean[:, 0] - (linear @ place_mean)
    return torch.cat([linear, shift[:, :, None]], dim=-1)


def _warped(image: Tensor, image_from_crop: Tensor) -> Tensor:
    """Return the crop (B, C, 112, 112), bilinear; zero outside the image."""
    n, height, width = RECOGNITION_PX, image.shape[2], image.shape[3]
    at = torch.arange(n, dtype=image.dtype, device=image.device) + 0.5
    y, x = torch.meshgrid(at, at, indexing="ij")
    crop = torch.stack([x, y, torch.ones_like(x)], dim=-1)
    xy = torch.einsum("bij,hwj->bhwi", image_from_crop, crop)
    half = torch.tensor([width / 2, height / 2], dtype=image.dtype, device=image.device)
    return functional.grid_sample(image, xy / half - 1, align_corners=False)


def total_variation(values: Tensor) -> Tensor:
    """Return twice the mean squared step down plus twice that across, per sample."""
    batch, channels, height, width = values.shape
    down, across = _steps(values)
    return (
        2
        * (
            (down**2).sum() / (channels * (height - 1) * width)
            + (across**2).sum() / (channels * height * (width - 1))
        )
        / batch
    )


def total_variation_std(values: Tensor) -> Tensor:
    """Return how uneven the squared steps are: sums, not means, of their squared deviations."""
    total = values.new_zeros(())
    for step in _steps(values):
        squared = step**2
        total = total + ((squared - squared.mean()) ** 2).sum()
    return 2 * total / values.shape[0]


def _steps(values: Tensor) -> tuple[Tensor, Tensor]:
    return values[:, :, 1:] - values[:, :, :-1], values[..., 1:] - values[..., :-1]


def displacement(values: Tensor) -> Tensor:
    """Return the mean absolute displacement."""
    return values.abs().mean()


def adversarial(score: Tensor, *, real: bool, generator: bool, mode: GanMode = "lsgan") -> Tensor:
    """Return the loss of a discriminator's scores (no sigmoid applied).

    Parameters
    ----------
    real : bool
        What the scores should say.
    generator : bool
        Whether the generator learns from it; only the hinge loss differs for the two, and its
        generator knows no other target than `real`.
    """
    target = torch.full_like(score, 1.0 if real else 0.0)
    if mode == "lsgan":
        return ((score - target) ** 2).mean()
    if mode == "vanilla":
        return functional.binary_cross_entropy_with_logits(score, target)
    if generator:
        return -score.mean()
    return functional.relu(1 - score if real else 1 + score).mean()


def scan_attraction(vertices: Tensor, scan: Tensor, *, n_nearest: int = N_NEAREST) -> Tensor:
    """Return the mean L1 distance of vertices to the centroid of their nearest scan points.

    Parameters
    ----------
    vertices : (B, V, 3)
    scan : (B, N, 3), N >= `n_nearest`
        Which points are nearest is settled by the current places and not differentiated.
    """
    total = vertices.new_zeros(())
    for own, points in zip(vertices, scan, strict=True):
        with torch.no_grad():
            nearest = _nearest(own, points, n_nearest)
        total = total + (own - points[nearest].mean(dim=1)).abs().sum(dim=-1).mean()
    return total / vertices.shape[0]


def landmark_3d(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean L1 distance of landmarks (B, L, 3) to the scan's."""
    return (found - wanted).abs().sum(dim=-1).mean()


def _nearest(vertices: Tensor, points: Tensor, n_nearest: int) -> Tensor:
    """Return (V, n_nearest) rows of `points`, in strips of bounded memory."""
    strips = vertices.split(max(1, 20_000_000 // len(points)))
    return torch.cat(
        [torch.cdist(strip, points).topk(n_nearest, largest=False).indices for strip in strips]
    )
