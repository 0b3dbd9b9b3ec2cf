"""What the coefficient network learns from: the terms of its objective, each without a weight.

Where the truth is known, it rules: shapes are compared with it, and the terms that everybody has
(colours, landmarks) teach pose, colour and light, but not the shape. In a photograph from
somewhere they teach all of it, held back by the regularisers.

Source
------
Deng et al., Accurate 3D face reconstruction with weakly-supervised learning, CVPRW 2019, section
3.1, as the release of HRN weighs it. The terms of samples with truth are ours.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ...core.rendering.rasterizer import Rasterizer, chosen_rasterizer
from ...core.rendering.shading import shade
from .. import losses
from ..align import MODEL_UNIT_MM
from ..coefficients import Coefficients
from ..facetensors import FaceTensors
from ..fit_model import photographed
from ..maprender import Drawn
from ..pose import HrnCamera, posed, rotated
from ..samples.augment import Batch
from .facepoints import FacePoints
from .rigid import rigid

Terms = dict[str, Tensor]
"""Name of a weight in `losses.LossWeights` -> a scalar."""

_SOFT_MM, _SOFT_PX = 0.05, 0.05  # distances below are squared: no kink at the truth
_TANGENTIAL = 0.25  # of a distance along the surface, against one across
_FAR_PX = 30.0  # a landmark farther off draws no harder
_OTHER_COLOURS, _FAINT = ("lips", "brows", "eyelids", "scalp"), 0.3
_WHOLE = 0.999  # cover of a pixel that shows nothing but the region


class FaceAreas(NamedTuple):
    """Vertices (V,) of a face model, 1 in the area and 0 elsewhere."""

    photographed: Tensor
    """What photographs show of a face: colours are compared there."""
    skin: Tensor
    """Of much the same albedo."""


def face_areas(face: FaceTensors) -> FaceAreas:
    """Return the areas of a face model, as far as it names its regions."""
    shown = photographed(face.model)
    skin = shown & face.model.regions.get("skin", shown)
    for name in _OTHER_COLOURS:
        if name in face.model.weights:
            skin &= face.model.weights[name] < _FAINT
    first, second = (torch.from_numpy(area).to(face.mean) for area in (shown, skin))
    return FaceAreas(photographed=first, skin=second)


def soft_length(vectors: Tensor, soft: float) -> Tensor:
    """Return lengths (...,) of vectors (..., n): 0 at 0, and smooth there."""
    return torch.sqrt((vectors**2).sum(dim=-1) + soft**2) - soft


def supervised(points: FacePoints, found: Coefficients, batch: Batch, camera: HrnCamera) -> Terms:
    """Return the terms of the samples with truth; all 0 where none has."""
    shape = points.shape(found.identity, found.expression)
    true, at = points.of(batch.vertices), points.of(batch.pixels)
    known = points.of(batch.support) * batch.has_truth[:, None]
    everywhere, front = known * points.weight, known * points.front
    own = posed(shape.detach(), found.angles, found.translation)
    placed = posed(true, found.angles, found.translation)
    return {
        "shape": _mean(MODEL_UNIT_MM * soft_length_mm(shape - true), everywhere),
        "aligned": _aligned(points, shape, true, batch.vertices, front),
        "pose": _mean(_apart(camera.project(placed), at), everywhere),
        "reprojection": _mean(_apart(camera.project(own), at), front),
        "truth": _truth(found, batch),
    }


def soft_length_mm(vectors: Tensor) -> Tensor:
    """Return lengths in model units of vectors (..., 3) in model units; see `soft_length`."""
    return soft_length(vectors, _SOFT_MM / MODEL_UNIT_MM)


def _aligned(
    points: FacePoints, shape: Tensor, true: Tensor, surface: Tensor, weights: Tensor
) -> Tensor:
    """Return the mean distance, mm, of the surface from the true one after rigid alignment.

    What lies along the surface is told by the mesh, not by the face: it counts less.
    """
    apart = rigid(shape, true, weights).apply(shape) - true
    across = (apart * points.normals(surface)).sum(dim=-1, keepdim=True)
    distance = soft_length_mm(across) + _TANGENTIAL * soft_length_mm(apart)
    return _mean(MODEL_UNIT_MM * distance, weights)


def _apart(pixels: Tensor, wanted: Tensor) -> Tensor:
    """Return how far pixels (B, K, 2) are from where they belong."""
    return soft_length(pixels - wanted, _SOFT_PX)


def _truth(found: Coefficients, batch: Batch) -> Tensor:
    known = batch.has_truth.to(found.identity.dtype)
    apart = [
        functional.smooth_l1_loss(own, true, reduction="none", beta=0.5).mean(dim=1)
        for own, true in (
            (found.identity, batch.identity),
            (found.expression, batch.expression),
        )
        if own.shape[1]
    ]
    return (torch.stack(apart).sum(dim=0) * known).sum() / known.sum().clamp(min=1.0)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the mean over the samples that have weights of their weighted means; else 0."""
    total = weights.sum(dim=1)
    has = (total > 0).to(values.dtype)
    each = (values * weights).sum(dim=1) / total.clamp(min=1e-6)
    return (each * has).sum() / has.sum().clamp(min=1.0)


def without_truth(found: Coefficients, where: Tensor) -> Coefficients:
    """Return coefficients whose shape and pose are not learnt through, for samples `where` (B,).

    Where truth tells them it tells better: landmarks of other face models than the trained one
    lie pixels beside its own, and the colours of a picture draw on its outline only.
    """
    told = ("identity", "expression", "angles", "translation")
    values = {name: getattr(found, name) for name in told}
    return replace(
        found,
        **{name: torch.where(where[:, None], v.detach(), v) for name, v in values.items()},
    )


def weak(points: FacePoints, found: Coefficients, batch: Batch, camera: HrnCamera) -> Terms:
    """Return the terms of every sample that need no picture."""
    free = without_truth(found, batch.has_truth)
    shape = points.shape(free.identity, free.expression)[:, -68:]
    places = camera.project(posed(shape, free.angles, free.translation))
    known = torch.isfinite(batch.landmarks).all(dim=-1)
    wanted = torch.where(known[..., None], batch.landmarks, places.detach())
    far = (places - wanted).detach().norm(dim=-1, keepdim=True)
    apart = (places - wanted) * (_FAR_PX / far.clamp(min=_FAR_PX)).sqrt()
    return {
        "landmark": losses.landmark(apart, torch.zeros_like(apart)),
        "coefficients": losses.coefficients(found.identity, found.expression, found.albedo),
        "gamma": losses.gamma(found.gamma),
    }


def pictured(
    face: FaceTensors,
    areas: FaceAreas,
    found: Coefficients,
    batch: Batch,
    camera: HrnCamera,
    *,
    rasterizer: Rasterizer | None = None,
    recognise: Callable[[Tensor], Tensor] | None = None,
) -> Terms:
    """Return the terms of samples that are drawn: colours, albedo, and likeness.

    Parameters
    ----------
    found, batch : of B faces
    camera : HrnCamera
        Of the pictures to be drawn; the photographs are reduced to its size.
    recognise : (B, 3, 112, 112) in [-1, 1] -> (B, n), optional
        A recognition network of the user's.
    """
    free = without_truth(found, batch.has_truth)
    albedo = face.vertex_albedo(found.albedo)
    drawn = drawn_coarse(face, areas.photographed, free, albedo, camera, rasterizer=rasterizer)
    size = (camera.size, camera.size)
    photo = functional.adaptive_avg_pool2d(batch.crop, size)
    mask = functional.adaptive_avg_pool2d(batch.mask, size) * drawn.mask
    terms = {
        "photo": losses.photometric(drawn.image, photo, mask),
        "reflectance": losses.reflectance(albedo, areas.skin),
    }
    if recognise is not None:
        terms["perceptual"] = _likeness(face, free, drawn, batch, camera, recognise)
    return terms


def drawn_coarse(
    face: FaceTensors,
    region: Tensor,
    found: Coefficients,
    albedo: Tensor,
    camera: HrnCamera,
    *,
    rasterizer: Rasterizer | None = None,
) -> Drawn:
    """Draw the coarse face in its vertices' colours.

    Parameters
    ----------
    region : (V,)
        Where the mask of the picture is 1; the rest hides what lies behind it.
    albedo : (B, V, 3)
    """
    renderer = rasterizer or chosen_rasterizer(device=albedo.device)
    shape = face.shape(found.identity, found.expression)
    at = posed(shape, found.angles, found.translation)
    normals = rotated(face.vertex_normals(shape), found.angles)
    colours = shade(albedo, normals, found.gamma)
    values = torch.cat([colours, region.to(albedo).expand(len(at), -1)[..., None]], dim=2)
    fragments = renderer.rasterize(camera.clip(at), face.faces, (camera.size, camera.size))
    image = renderer.interpolate(values, fragments, face.faces).permute(0, 3, 1, 2)
    mask = (image[:, 3:].detach() > _WHOLE).to(image.dtype)
    return Drawn(image=image[:, :3] * mask, mask=mask)


def _likeness(
    face: FaceTensors,
    found: Coefficients,
    drawn: Drawn,
    batch: Batch,
    camera: HrnCamera,
    recognise: Callable[[Tensor], Tensor],
) -> Tensor:
    """Return the perceptual term of the samples whose five points are known; else 0."""
    scale = camera.size / batch.crop.shape[-1]
    wanted = _five_points(batch.landmarks) * scale
    known = torch.isfinite(wanted).flatten(1).all(dim=1)
    if not bool(known.any()):
        return drawn.image.sum() * 0.0
    shape = face.shape(found.identity, found.expression)[:, face.landmarks]
    own = _five_points(camera.project(posed(shape, found.angles, found.translation)))
    photo = functional.adaptive_avg_pool2d(batch.crop, (camera.size, camera.size))
    own_crops, wanted_crops = (
        losses.recognition_crops(torch.stack([p[..., 0], camera.size - p[..., 1]], dim=-1))
        for p in (own.detach()[known], wanted[known])
    )
    return losses.perceptual(drawn.image[known], photo[known], own_crops, wanted_crops, recognise)


def _five_points(landmarks: Tensor) -> Tensor:
    """Return (B, 5, 2) as `align.five_points`."""
    eyes = [landmarks[:, pair].mean(dim=1) for pair in ([36, 39], [42, 45])]
    return torch.stack([*eyes, *(landmarks[:, i] for i in (30, 48, 54))], dim=1)
