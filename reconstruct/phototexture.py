"""The photograph in the face model's chart, with its light: for textured meshes.

Where the photograph does not show the face, or only at a grazing angle, the shaded albedo
takes over, matched to the photograph's colours, with a soft border.
"""

from typing import NamedTuple

import cv2
import numpy as np

from ..core.arrays import AnyFloats, Bools, Bytes, Floats, Floats32
from ..core.facemodel.model import FaceModel
from ..core.geometry.camera import Camera
from ..core.geometry.closest import SurfaceQuery
from ..core.geometry.mesh import vertex_normals
from ..dataset.bake.chart import chart

_GRAZING, _FRONTAL = 0.2, 0.5  # cosines between which the photograph takes over
_BORDER = 64  # soft borders are a texture's side over this, texels
_RIM_PX = 2.0  # px that a silhouette may be off: what lies within is background, perhaps
_MOST_GAIN = 2.0
_SEEN = 0.5
_WHITE = 127  # beyond which a mask shows the face
_PLAUSIBLE = (10, 90)  # percentiles of the brightness that is seen
_OFFSET_MM = 0.5  # rays start this much off their own triangle
_GUTTER = 8
_OUTLINE_PX = 384  # longer side of the picture in which the outline is found
_RIM_MM = 6.0  # from the outline: a fit's may be off by so much; believed from twice that
_REMAP_ROWS = 16_000
_SHARE_TEXELS = 512  # most a side that shares are worked out at: they are soft


class PhotoTexture(NamedTuple):
    """A texture of a photograph."""

    color: Bytes
    """(t, t, 3) sRGB."""
    share: Floats32
    """(t, t) in [0, 1]: how much of a texel is photograph."""


def photo_texture(
    model: FaceModel,
    vertices: AnyFloats,
    camera: Camera,
    pixels: Bytes,
    shaded: AnyFloats,
    *,
    size: int = 1024,
    mask: Bytes | None = None,
) -> PhotoTexture:
    """Bring a photograph into the chart.

    Parameters
    ----------
    vertices : (V, 3) mm, head frame
    camera : Camera
        Of `pixels` (height, width, 3); its world is the head frame.
    shaded : (s, s, 3) in [0, 1], encoded as the photograph
        What stands where the photograph shows nothing.
    size : int
        Texels a side.
    mask : (height, width) uint8, optional
        White where `pixels` shows the face.
    """
    points = chart(model, size).interpolated(vertices)
    share = photo_share(model, vertices, camera, size=size, mask=mask)
    return completed_texture(model, photo_colors(points, camera, pixels), share, shaded)


def photo_colors(points: AnyFloats, camera: Camera, pixels: Bytes) -> Floats32:
    """Return (n, n, 3) 0 to 255: what a photograph shows where points (n, n, 3) project to."""
    xy, _ = camera.project(points.astype(np.float64))
    # OpenCV's pixel centres are whole numbers
    where = np.nan_to_num(xy - 0.5, nan=-1.0).astype(np.float32)
    seen = cv2.remap(
        pixels, where[..., 0], where[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(seen, np.float32)


def completed_texture(
    model: FaceModel, seen: Floats32, share: Floats32, shaded: AnyFloats
) -> PhotoTexture:
    """Complete photographed colours by the shaded albedo, matched to them in colour.

    Parameters
    ----------
    seen : (t, t, 3), 0 to 255
    share : (t, t) in [0, 1]
        How far each texel of `seen` is believed.
    shaded : (s, s, 3) in [0, 1]
    """
    size = len(seen)
    bright = _plausible(np.asarray(shaded, np.float32), share) * np.float32(255)
    bright = chart(model, len(bright)).dilated(bright, n_texels=_GUTTER)  # no black at the seams
    fill = np.asarray(cv2.resize(bright, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)
    fill = np.clip(fill * _gain(seen, fill, share), 0, 255)
    mixed = np.asarray(fill + share[..., None] * (seen - fill), np.float32)
    mixed = chart(model, size).dilated(mixed, n_texels=_GUTTER)
    return PhotoTexture(np.rint(np.clip(mixed, 0, 255)).astype(np.uint8), share)


def photo_share(
    model: FaceModel,
    vertices: AnyFloats,
    camera: Camera,
    *,
    size: int,
    query: SurfaceQuery | None = None,
    mask: Bytes | None = None,
) -> Floats32:
    """Return (size, size) in [0, 1]: how far a photograph can be believed at each texel.

    It has to show the texel, not at a grazing angle, and not near the outline of the head: what
    lies there is background, perhaps.

    Parameters
    ----------
    query : SurfaceQuery, optional
        Of `vertices`, where several cameras look at them.
    mask : (height, width) uint8, optional
        White where the photograph shows the face.
    """
    if size > _SHARE_TEXELS:
        share = photo_share(model, vertices, camera, size=_SHARE_TEXELS, query=query, mask=mask)
        return np.asarray(cv2.resize(share, (size, size), interpolation=cv2.INTER_LINEAR))
    texels = chart(model, size)
    rows = np.flatnonzero(texels.inside.ravel())
    there = texels.interpolated(vertices).reshape(-1, 3)[rows].astype(np.float64)
    normals = texels.interpolated(vertex_normals(vertices, model.faces)).reshape(-1, 3)[rows]
    toward = camera.center - there
    cosine = (normals * toward).sum(axis=1) / np.maximum(
        np.linalg.norm(normals, axis=1) * np.linalg.norm(toward, axis=1), 1e-9
    )
    query = SurfaceQuery(vertices, model.faces) if query is None else query
    xy, depth = camera.project(there)
    seen = query.sees(camera, there, offset_mm=_OFFSET_MM) & _within(xy, camera)
    if mask is not None:
        seen &= _on_mask(mask, xy)
    t = np.clip((cosine - _GRAZING) / (_FRONTAL - _GRAZING), 0, 1)
    share = np.zeros(size * size, np.float32)
    share[rows] = np.where(seen, t * t * (3 - 2 * t) * _off_outline(query, camera, xy, depth), 0)
    grid = share.reshape(size, size)
    border = max(3, size // _BORDER) | 1
    grid = np.asarray(texels.dilated(grid, n_texels=2 * border))  # seams are no borders
    # shrunk, then blurred: hidden texels never take colour from what hides them
    shrunk = cv2.erode(grid, np.ones((border, border), np.uint8))
    return np.asarray(cv2.blur(shrunk, (border, border)), dtype=np.float32)


def _off_outline(query: SurfaceQuery, camera: Camera, xy: Floats, depth: Floats) -> Floats32:
    """Return (N,) in [0, 1]: 0 on the head's outline as the camera sees it, 1 well within.

    Parameters
    ----------
    xy, depth : (N, 2) px, (N,) mm
        Where the camera sees the points.
    """
    shrink = _OUTLINE_PX / max(camera.width, camera.height)
    small = camera.scaled(
        max(1, round(camera.width * shrink)), max(1, round(camera.height * shrink))
    )
    hits = query.cast(small.center, small.unproject(small.pixel_centers().reshape(-1, 2)))
    head = hits.hit.reshape(small.height, small.width).astype(np.uint8)
    # the photograph's edge is no outline
    framed = cv2.copyMakeBorder(head, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    inward = cv2.distanceTransform(framed, cv2.DIST_L2, 5)
    by = np.array([small.width / camera.width, small.height / camera.height])
    # + 1 - 0.5: border, OpenCV's centres
    at = np.nan_to_num(xy * by + 0.5, nan=0.0).astype(np.float32)
    mm = float(np.nanmedian(depth)) / small.K[0, 0]  # of a pixel
    far = np.empty(len(at), np.float32)
    for start in range(0, len(at), _REMAP_ROWS):  # OpenCV's sides are 16 bits
        part = at[start : start + _REMAP_ROWS]
        far[start : start + len(part)] = cv2.remap(
            inward, part[:, :1], part[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )[:, 0]
    return np.clip((far * mm - _RIM_MM) / _RIM_MM, 0, 1).astype(np.float32)


def _within(xy: Floats, camera: Camera) -> Bools:
    size = np.array([camera.width, camera.height])
    inside = (xy > _RIM_PX) & (xy < size - _RIM_PX)
    return np.asarray(inside.all(axis=1) & np.isfinite(xy).all(axis=1))


def _on_mask(mask: Bytes, xy: Floats) -> Bools:
    last = np.array(mask.shape[1::-1]) - 1
    column, row = np.nan_to_num(xy).clip(0, last).astype(int).T
    return np.asarray(mask[row, column] > _WHITE)


def _plausible(shaded: Floats32, share: Floats32) -> Floats32:
    """Return the shaded map no brighter or darker than it is where the photograph shows it.

    Light is known from the sides that are seen; beyond them it is extrapolated, to anything.
    """
    bright = shaded.mean(axis=2)
    seen = cv2.resize(share, bright.shape[::-1], interpolation=cv2.INTER_AREA) > _SEEN
    if not seen.any():
        return shaded
    low, high = np.percentile(bright[seen], _PLAUSIBLE)
    by = np.clip(bright, low, high) / np.maximum(bright, 1e-3)
    return np.asarray(np.where(bright[..., None] > 0, shaded * by[..., None], 0), np.float32)


def _gain(seen: Floats32, fill: Floats32, share: Floats32) -> Floats32:
    """Return (3,) what makes the fill's mean colour the photograph's, where that is seen."""
    total = float(share.sum())
    if total < 1:
        return np.ones(3, np.float32)
    mean_seen = (seen * share[..., None]).sum(axis=(0, 1)) / total
    mean_fill = (fill * share[..., None]).sum(axis=(0, 1)) / total
    gain = mean_seen / np.maximum(mean_fill, 1.0)
    return np.clip(gain, 1 / _MOST_GAIN, _MOST_GAIN).astype(np.float32)
