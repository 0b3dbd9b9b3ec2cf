"""The pictures of all views, brought into the face model's chart by the shape as known so far."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ...core.arrays import AnyFloats, Bools, Floats, Floats32
from ...core.facemodel.model import FaceModel
from ...core.geometry.camera import Camera
from ...core.geometry.closest import SurfaceQuery
from ...core.geometry.mesh import vertex_normals
from ...dataset.bake.chart import Chart, chart
from .correlation import local_normalised

_STEEP = 0.2  # cosine of skin and view below which a texel is too foreshortened
_LIFT_MM = 0.3  # rays start so far off the surface
_MOST_SHRINK = 1.5  # pixels a texel beyond which pictures are made smaller first
_CONTRAST_TEXELS = 21  # window whose mean and contrast are taken away


@dataclass(frozen=True, kw_only=True)
class ChartedViews:
    """J pictures as textures (n, n) of one shape."""

    chart: Chart
    points: Floats32
    """(n, n, 3) mm, head frame; 0 outside of the chart."""
    normals: Floats32
    """(n, n, 3) unit, or 0."""
    shown: Bools
    """(J, n, n) where a view shows the face."""
    textures: Floats32
    """(J, n, n) with local mean 0 and contrast 1; 0 where not shown."""
    texel_mm: float
    """Median side of a texel on the face."""


def charted_views(
    face: FaceModel,
    region: Bools,
    vertices: Sequence[Floats],
    cameras: Sequence[Camera],
    images: Sequence[Floats32],
    *,
    size: int,
) -> ChartedViews:
    """Bring pictures into the chart.

    Parameters
    ----------
    region : (V,) bool
        The part of the head to be looked at.
    vertices : J x (V, 3)
        The shape that each view shows, mm, head frame.
    cameras : J cameras
        Whose world is the head frame.
    images : J x (H, W, 3)
    """
    over = chart(face, size)
    inside = over.interpolated(region.astype(np.float32)) > 0.99
    texel_mm = float(np.median(over.texel_mm(vertices[0])[inside]))
    shown = np.zeros((len(cameras), size, size), bool)
    grey = np.zeros((len(cameras), size, size), np.float32)
    for view, (shape, camera, image) in enumerate(zip(vertices, cameras, images, strict=True)):
        xy, seen = _projected(over, shape, camera)
        grey[view] = _sampled(image, camera, xy, texel_mm=texel_mm, shape=shape)
        shown[view] = seen & inside
    weight = torch.from_numpy(shown[:, None].astype(np.float32))
    normalised = local_normalised(torch.from_numpy(grey[:, None]), weight, _CONTRAST_TEXELS)
    textures = (normalised.values * (normalised.weight > 0))[:, 0].numpy()
    return ChartedViews(
        chart=over,
        points=over.interpolated(vertices[0]),
        normals=_unit(over.interpolated(vertex_normals(vertices[0], face.faces))),
        shown=shown & (normalised.weight[:, 0] > 0).numpy(),
        textures=textures,
        texel_mm=texel_mm,
    )


def _projected(over: Chart, vertices: Floats, camera: Camera) -> tuple[Floats32, Bools]:
    """Return where texels are seen, (n, n, 2) px, and whether they are, (n, n)."""
    normals = vertex_normals(vertices, over.model.faces)
    towards = camera.center - vertices
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    cosine = (normals * towards).sum(axis=1)
    query = SurfaceQuery(vertices, over.model.faces)
    seen = (cosine > 0) & query.sees(camera, vertices + _LIFT_MM * normals)
    xy, _ = camera.project(vertices)
    table = np.column_stack([xy, seen, cosine])
    maps = over.interpolated(np.nan_to_num(table, nan=-1e4))
    x, y = maps[..., 0], maps[..., 1]
    within = (x > 1) & (y > 1) & (x < camera.width - 1) & (y < camera.height - 1)
    return maps[..., :2], within & (maps[..., 2] > 0.99) & (maps[..., 3] > _STEEP)


def _sampled(
    image: Floats32, camera: Camera, xy: Floats32, *, texel_mm: float, shape: Floats
) -> Floats32:
    """Return (n, n) the grey of a picture, made smaller first where texels hold many pixels."""
    grey = np.ascontiguousarray(image.mean(axis=2), np.float32)
    depth = float(np.median(camera.project(shape)[1]))
    shrink = texel_mm * float(camera.K[0, 0]) / max(depth, 1.0)
    if shrink > _MOST_SHRINK:
        size = (max(8, round(camera.width / shrink)), max(8, round(camera.height / shrink)))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)
        xy = xy * np.array([size[0] / camera.width, size[1] / camera.height], np.float32)
    return bilinear(grey, xy - np.float32(0.5))  # OpenCV counts from pixel centres


def bilinear(values: Floats32, at: Floats32) -> Floats32:
    """Return an image (H, W, ...) at columns and rows `at` (..., 2) as OpenCV counts them.

    The border's values beyond it.
    """
    x, y = (np.ascontiguousarray(at[..., k], np.float32) for k in (0, 1))
    sampled = cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, np.float32)


def _unit(vectors: AnyFloats) -> Floats32:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)
