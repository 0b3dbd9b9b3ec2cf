"""One texture of all views: each texel by those that show it best.

A view counts by how far it can be believed as a whole, by visibility and slope
(`phototexture.photo_share`), by the cosine of the line of sight, by its pixels per millimetre,
and less where it shows something else than albedo and light let expect: a hand, hair, gloss.
Colours are first brought to one exposure. Then two bands are put together: broad colours are
means, so that no border between views shows; fine detail comes from the best view almost alone,
since means of what lies half a pixel apart are blurred.

Source
------
The bands: Burt and Adelson, A Multiresolution Spline with Application to Image Mosaics, ACM
Transactions on Graphics 2(4), 1983, with two levels; the weights are ours.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ...core.arrays import AnyFloats, Bytes, Floats, Floats32
from ...core.facemodel.model import FaceModel
from ...core.geometry.camera import Camera
from ...core.geometry.closest import SurfaceQuery
from ...core.geometry.mesh import vertex_normals
from ...dataset.bake.chart import chart
from ...dataset.bake.curved import sagitta
from ...dataset.bake.normals import detailed_points
from ..fit_light import camera_harmonics
from ..phototexture import PhotoTexture, completed_texture, photo_colors, photo_share

AMBIENT = 0.8
"""Of the first harmonic: what `light` leaves out, as `core.rendering.shading` does."""

_BAND = 48  # the broad band is blurred by a texture's side over this, texels
_UNLIKE = 0.1  # of encoded colour, from which on a view shows something else
_UNLIKE_BLUR = 256  # a texture's side over this is the sigma, texels, at which that is looked at
_SHARP = 6  # power of the weights that choose the view of fine detail
_EXPOSURE_SIZE = 128  # texels a side at which exposures are compared
_MOST_EXPOSURE = float(np.log(1.6))  # stops that views are evened out by, natural logarithm
_DARK, _BRIGHT = 8.0, 247.0  # of 255: beyond, a channel is clipped
_LEAST = 1e-4


class ViewPixels(NamedTuple):
    """A view as its texture needs it."""

    camera: Camera
    """Its world is the head frame."""
    pixels: Bytes
    """(height, width, 3) sRGB."""
    weight: float
    """In [0, 1]."""
    light: Floats
    """(3, 9), see `result.SeenView`."""
    mask: Bytes | None = None
    """(height, width): white where it shows the subject."""
    mid: Floats | None = None
    """(V, 3) mm: what it shows, where its expression is not the others'."""


def merged_texture(
    model: FaceModel,
    mid: AnyFloats,
    displacement: Floats32,
    albedo: Floats32,
    views: Sequence[ViewPixels],
    *,
    size: int,
) -> PhotoTexture:
    """Bring all views into the chart.

    Parameters
    ----------
    mid : (V, 3) mm
    displacement : (n, n) mm
    albedo : (a, a, 3) in [0, 1], encoded
        What stands, in the views' mean light, where none shows anything.
    size : int
        Texels a side.
    """
    vertices = np.asarray(mid, np.float64)
    texels = chart(model, size)
    colors, shares, weights = [], [], []
    shown: Floats | None = None
    for view in views:
        if shown is None or view.mid is not None:
            shown = vertices if view.mid is None else view.mid
            points = _points(model, shown, displacement, size)
            query = SurfaceQuery(shown, model.faces)
            normals = texels.interpolated(vertex_normals(shown, model.faces))
        share = photo_share(model, shown, view.camera, size=size, query=query, mask=view.mask)
        share *= np.float32(view.weight > 0)
        color = photo_colors(points, view.camera, view.pixels)
        lit = shaded_albedo(model, shown, albedo, view.camera, view.light)
        colors.append(color)
        shares.append(share)
        merit = _merit(points, normals, view.camera) * _likeness(color, lit)
        weights.append(share * np.float32(view.weight) * merit)
    weight = np.stack(weights)
    even = _evened(np.stack(colors), weight)
    seen = _two_bands(even, weight)
    shaded = mean_shaded(model, vertices, albedo, views)
    return completed_texture(model, seen, np.max(shares, axis=0), shaded)


def shaded_albedo(
    model: FaceModel, mid: AnyFloats, albedo: Floats32, camera: Camera, light: Floats
) -> Floats32:
    """Return (a, a, 3) the albedo in the light of a view, encoded; may leave [0, 1]."""
    texels = chart(model, len(albedo))
    vertices = np.asarray(mid, np.float64)
    normals = texels.interpolated(vertex_normals(vertices, model.faces)).reshape(-1, 3)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    unit = normals / np.maximum(length, 1e-9)
    gamma = np.asarray(light, np.float64).copy()
    gamma[:, 0] += AMBIENT
    lit = (camera_harmonics(unit, camera.cam_from_world) @ gamma.T).reshape(albedo.shape)
    return np.asarray(albedo * lit, np.float32)


def mean_shaded(
    model: FaceModel, mid: AnyFloats, albedo: Floats32, views: Sequence[ViewPixels]
) -> Floats32:
    """Return (a, a, 3) in [0, 1]: the albedo in the mean light of the believed views.

    Without the light's colour: beyond what is seen it is extrapolated, channel by channel.
    """
    total, sum_of_weights = np.zeros_like(albedo), 0.0
    for view in views:
        if view.weight > 0:
            white = np.tile(view.light.mean(axis=0), (3, 1))
            lit = shaded_albedo(model, mid, albedo, view.camera, white)
            total += np.float32(view.weight) * lit
            sum_of_weights += view.weight
    return np.clip(total / np.float32(max(sum_of_weights, 1e-9)), 0, 1)


def _points(model: FaceModel, mid: Floats, displacement: Floats32, size: int) -> Floats32:
    """Return (size, size, 3) mm: the detailed surface at the texels of a texture."""
    n = len(displacement)
    spread = np.asarray(chart(model, n).dilated(displacement, n_texels=4), np.float32)
    method = cv2.INTER_AREA if size < n else cv2.INTER_LINEAR
    fitted = np.asarray(cv2.resize(spread, (size, size), interpolation=method), np.float32)
    texels = chart(model, size)
    return detailed_points(texels, mid, fitted + sagitta(texels, mid))


def _merit(points: Floats32, normals: Floats32, camera: Camera) -> Floats32:
    """Return (size, size): cosine of the line of sight, times the square of px per mm."""
    toward = (camera.center - points).astype(np.float32)
    distance = np.linalg.norm(toward, axis=2)
    length = np.maximum(distance * np.linalg.norm(normals, axis=2), 1e-9)
    cosine = np.clip((normals * toward).sum(axis=2) / length, 0, 1)
    density = np.float32(np.sqrt(camera.K[0, 0] * camera.K[1, 1])) / np.maximum(distance, 1e-9)
    return np.asarray(cosine * density**2, np.float32)


def _likeness(color: Floats32, lit: Floats32) -> Floats32:
    """Return (n, n) in (0, 1]: whether colours (n, n, 3), 0 to 255, are what `lit` says."""
    size = len(color)
    expected = np.clip(cv2.resize(lit, (size, size), interpolation=cv2.INTER_LINEAR), 0, 1)
    off = np.abs(color / np.float32(255) - expected).max(axis=2)
    off = cv2.GaussianBlur(off, (0, 0), size / _UNLIKE_BLUR)
    return np.asarray(1 / (1 + (off / _UNLIKE) ** 2), np.float32)


def _evened(colors: Floats32, weight: Floats32) -> Floats32:
    """Return the colours (J, n, n, 3) at one exposure: the one that differs least from all.

    Of each channel, the logarithms of the views' gains are found by least squares from the
    ratios on texels that two of them show.
    """
    n_views, size = len(colors), min(_EXPOSURE_SIZE, colors.shape[1])
    small = [cv2.resize(c, (size, size), interpolation=cv2.INTER_AREA) for c in colors]
    believed = [cv2.resize(w, (size, size), interpolation=cv2.INTER_AREA) for w in weight]
    gains = np.zeros((n_views, 3))
    for channel in range(3):
        A, b = 1e-3 * np.eye(n_views), np.zeros(n_views)
        for j in range(n_views):
            for k in range(j):
                one, other = small[j][..., channel], small[k][..., channel]
                both = np.minimum(believed[j], believed[k])
                plain = (np.minimum(one, other) > _DARK) & (np.maximum(one, other) < _BRIGHT)
                both = np.where(plain & (both > 0), both / max(weight.max(), 1e-9), 0)
                total = float(both.sum()) / size**2
                if total < _LEAST:
                    continue
                ratio = np.log(np.maximum(other, 1) / np.maximum(one, 1))
                mean = float((both * ratio).sum() / both.sum())
                # gain of j less that of k is the mean ratio
                A[[j, k], [j, k]] += total
                A[[j, k], [k, j]] -= total
                b[j] += total * mean
                b[k] -= total * mean
        gains[:, channel] = np.linalg.solve(A, b)
    factor = np.exp(np.clip(gains, -_MOST_EXPOSURE, _MOST_EXPOSURE)).astype(np.float32)
    return colors * factor[:, None, None]


def _two_bands(colors: Floats32, weight: Floats32) -> Floats32:
    """Return (n, n, 3) the views' colours (J, n, n, 3) put together; 0 where no weight is."""
    size = colors.shape[1]
    sigma = size / _BAND
    broad_weight = np.stack([cv2.GaussianBlur(w, (0, 0), sigma) for w in weight])
    broad, fine = np.zeros(colors.shape[1:], np.float32), np.zeros(colors.shape[1:], np.float32)
    best = weight / np.maximum(weight.max(axis=0), 1e-12)
    best = np.asarray(best**_SHARP, np.float32)
    for j, color in enumerate(colors):
        # a blur that takes nothing from where the view shows nothing
        low = cv2.GaussianBlur(color * weight[j][..., None], (0, 0), sigma)
        low = low / np.maximum(broad_weight[j], 1e-12)[..., None]
        broad += weight[j][..., None] * low
        fine += best[j][..., None] * (color - low)
    total, chosen = weight.sum(axis=0)[..., None], best.sum(axis=0)[..., None]
    merged = broad / np.maximum(total, 1e-12) + fine / np.maximum(chosen, 1e-12)
    return np.where(total > 0, merged, 0).astype(np.float32)
