"""The photograph of a face: exact rays through the lens, supersampled, in bounded strips."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ...core.arrays import Bytes, Floats, Floats32
from ...core.geometry.camera import Camera
from ...core.geometry.closest import RayHits
from .lights import Lights
from .rays import lens_rays, pixel_rays
from .scene import Scene
from .sensor import BACKDROP, Optics, develop
from .shading import normals_at, shade

_RAYS_AT_ONCE = 1 << 20  # about 150 MB with all buffers
_LENS_SAMPLING = 5  # n x n rays a pixel where a pupil is to be covered
_MARGIN_MM = 5.0  # by which the surface may bulge over the coarse vertices


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """One rendered view with its truth."""

    image: Bytes
    """(height, width, 3) sRGB uint8."""
    depth: Floats32
    """(height, width) mm along z at the pixel centres; NaN off the head."""
    normal: NDArray[np.float16]
    """(height, width, 3) unit, world frame; NaN off the head."""
    albedo: NDArray[np.float16]
    """(height, width, 3) linear; zero off the head."""


@dataclass(frozen=True, kw_only=True)
class _Window:
    """The part of the image that the head can touch, as a camera of its own."""

    camera: Camera
    rows: slice
    cols: slice


def photograph(
    scene: Scene, camera: Camera, lights: Lights, optics: Optics, *, rng: np.random.Generator
) -> Photograph:
    """Take the picture of `scene` that `camera` would take."""
    if optics.lens_radius_mm:
        optics = replace(optics, supersampling=max(optics.supersampling, _LENS_SAMPLING))
    depth = np.full((camera.height, camera.width), np.nan, np.float32)
    normal = np.full((*depth.shape, 3), np.nan, np.float16)
    albedo = np.zeros((*depth.shape, 3), np.float16)
    radiance = np.full((*depth.shape, 3), BACKDROP, np.float32)
    window = _window(scene, camera, optics)
    if window is not None:
        part = window.rows, window.cols
        _fill_truth(scene, window.camera, lights, depth[part], normal[part], albedo[part])
        focus = focus_distance(depth[part])
        _fill_radiance(scene, window.camera, lights, optics, focus, radiance[part], cover=None)
    if optics.blur_px:
        cv2.GaussianBlur(radiance, (0, 0), optics.blur_px, dst=radiance)
    return Photograph(
        image=develop(radiance, optics, rng=rng), depth=depth, normal=normal, albedo=albedo
    )


def snapshot(
    scene: Scene,
    camera: Camera,
    lights: Lights,
    optics: Optics,
    *,
    backdrop: Floats32,
    rng: np.random.Generator,
) -> tuple[Bytes, Floats32]:
    """Take a sharp picture before a backdrop of any kind, without its truth.

    Parameters
    ----------
    backdrop : (height, width, 3)
        Linear radiance where the head is not.

    Returns
    -------
    image : (height, width, 3) sRGB uint8
    cover : (height, width) float32
        Share of each pixel that shows the head.
    """
    radiance = np.zeros((camera.height, camera.width, 3), np.float32)
    cover = np.zeros((camera.height, camera.width), np.float32)
    window = _window(scene, camera, optics)
    if window is not None:
        part = window.rows, window.cols
        _fill_radiance(
            scene, window.camera, lights, replace(optics, lens_radius_mm=0.0), 1.0,
            radiance[part], cover=cover[part],
        )  # fmt: skip
    radiance -= (1 - cover[..., None]) * BACKDROP  # what rays that meet nothing see
    radiance[cover == 0] = 0
    radiance += (1 - cover[..., None]) * backdrop
    if optics.blur_px:
        cv2.GaussianBlur(radiance, (0, 0), optics.blur_px, dst=radiance)
    return develop(radiance, optics, rng=rng), cover


def focus_distance(depth: Floats32) -> float:
    """Return the depth, mm, that is focused on: the nearer part of what is seen of the face."""
    seen = depth[np.isfinite(depth)]
    return float(np.percentile(seen, 25)) if len(seen) else 1000.0


def _window(scene: Scene, camera: Camera, optics: Optics) -> _Window | None:
    """Return where the head can be; None when it is out of sight."""
    # Loop's scheme keeps the coarse vertices first, and near the fine surface
    vertices = scene.surface.vertices[: len(scene.surface.anchor)]
    xy, depth = camera.project(vertices)
    if not np.isfinite(xy).any():
        return None
    nearest = max(float(depth[depth > 0].min()), 1.0)
    margin = camera.K[0, 0] * (_MARGIN_MM + optics.lens_radius_mm) / nearest + 4
    size = (camera.width, camera.height)
    low = np.clip(np.nanmin(xy, axis=0) - margin, 0, size).astype(int)
    high = np.clip(np.nanmax(xy, axis=0) + margin, 0, size).astype(int)
    if (depth <= 0).any():  # close by: no bounds are known
        low, high = np.zeros(2, int), np.array(size)
    if (high <= low).any():
        return None
    width, height = (int(n) for n in high - low)
    return _Window(
        camera=camera.cropped(int(low[0]), int(low[1]), width=width, height=height),
        rows=slice(int(low[1]), int(high[1])),
        cols=slice(int(low[0]), int(high[0])),
    )


def _strips(camera: Camera, n_rays: int) -> Iterator[tuple[int, int]]:
    """Yield (first, end) rows of strips that need about `_RAYS_AT_ONCE` rays."""
    rows = max(1, _RAYS_AT_ONCE // (camera.width * n_rays))
    for top in range(0, camera.height, rows):
        yield top, min(top + rows, camera.height)


def _fill_radiance(
    scene: Scene,
    camera: Camera,
    lights: Lights,
    optics: Optics,
    focus_mm: float,
    out: Floats32,
    *,
    cover: Floats32 | None,
) -> None:
    n = optics.supersampling
    for top, end in _strips(camera, n * n):
        directions = pixel_rays(camera, (top, end), n=n)
        origins: Floats | Floats32 = camera.center
        if optics.lens_radius_mm:
            origins, directions = lens_rays(
                directions, camera, radius_mm=optics.lens_radius_mm, focus_mm=focus_mm,
                top=top, n=n,
            )  # fmt: skip
            origins = origins.reshape(-1, 3)
        hits = scene.query.cast(origins, directions.reshape(-1, 3))
        radiance, _ = _shaded(scene, camera, lights, hits)
        out[top:end] = radiance.reshape(*directions.shape).mean(axis=2)
        if cover is not None:
            cover[top:end] = hits.hit.reshape(directions.shape[:3]).mean(axis=2)


def _fill_truth(
    scene: Scene,
    camera: Camera,
    lights: Lights,
    depth: Floats32,
    normal: NDArray[np.float16],
    albedo: NDArray[np.float16],
) -> None:
    for top, end in _strips(camera, 1):
        directions = pixel_rays(camera, (top, end), n=1)
        hits = scene.query.cast(camera.center, directions.reshape(-1, 3))
        shape = (end - top, camera.width)
        depth[top:end] = np.where(hits.hit, hits.distance, np.nan).reshape(shape)
        _, color = _shaded(scene, camera, lights, hits)
        albedo[top:end] = color.reshape(*shape, 3)
        normal[top:end] = normals_at(hits.face, hits.uv, scene.surface).reshape(*shape, 3)


def _shaded(
    scene: Scene, camera: Camera, lights: Lights, hits: RayHits
) -> tuple[Floats32, Floats32]:
    """Return radiance and albedo (N, 3) of ray hits."""
    return shade(
        hits.face, hits.uv, surface=scene.surface, skin=scene.skin, center=camera.center,
        lights=lights,
    )  # fmt: skip
