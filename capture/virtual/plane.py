"""Photographs of a flat printed sheet: the calibration board and the colour chart."""

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from ...core.arrays import Bytes, Floats, Floats32
from ...core.geometry.camera import Camera
from ...core.geometry.transform import apply
from .defocus import REACH, blur_by_depth, largest_blur
from .lights import Lights
from .planegrid import sample_on_grid
from .rays import undistorted
from .sensor import BACKDROP, Optics, develop

_MARGIN_PX = 6  # more than the blur of a sharp lens reaches
_BACK = 0.22
"""Linear grey of the plate that the sheet is glued on, as seen from behind."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A print on a flat plate."""

    art: Floats32
    """(rows, cols, C) linear reflectance; texel (row, col) covers [col, col + 1] x
    [row, row + 1] / `px_per_mm` of the sheet's plane z = 0 (x right, y down as printed)."""
    px_per_mm: float

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height."""
        return self.art.shape[1] / self.px_per_mm, self.art.shape[0] / self.px_per_mm


def photograph_sheet(
    sheet: Sheet,
    world_from_sheet: Floats,
    camera: Camera,
    lights: Lights,
    optics: Optics,
    *,
    rng: np.random.Generator,
    focus_mm: float | None = None,
) -> Bytes:
    """Take a picture of a sheet before the backdrop; safe to call from several threads.

    Parameters
    ----------
    world_from_sheet : (3, 4), mm
        +z of the sheet points into the print.
    focus_mm : float, optional
        Depth in focus of a lens with a pupil (`optics.lens_radius_mm`); by default that of
        the sheet's middle.

    Returns
    -------
    (height, width, C) or (height, width) uint8, sRGB
    """
    n_channels = sheet.art.shape[2]
    radiance = np.full((camera.height, camera.width, n_channels), BACKDROP, np.float32)
    lens = _Lens.of(sheet, world_from_sheet, camera, optics, focus_mm)
    left, top, right, bottom = _window(sheet, world_from_sheet, camera, margin_px=lens.margin_px)
    if right > left and bottom > top:
        part = camera.cropped(left, top, width=right - left, height=bottom - top)
        window = np.zeros((part.height, part.width, n_channels), np.float32)
        _expose(sheet, world_from_sheet, part, lights, optics, window)
        if optics.lens_radius_mm:
            window = blur_by_depth(
                window, world_from_sheet, part, radius_mm=optics.lens_radius_mm,
                focus_mm=lens.focus_mm, blur_px=optics.blur_px, most_px=lens.most_blur_px,
            )  # fmt: skip
        elif optics.blur_px:
            cv2.GaussianBlur(window, (0, 0), optics.blur_px, dst=window)
        radiance[top:bottom, left:right] = window.reshape(part.height, part.width, n_channels)
    image = develop(radiance, optics, rng=rng)
    return image[..., 0] if n_channels == 1 else image


@dataclass(frozen=True, kw_only=True)
class _Lens:
    focus_mm: float
    most_blur_px: float
    margin_px: int
    """More than the blur reaches."""

    @classmethod
    def of(
        cls,
        sheet: Sheet,
        world_from_sheet: Floats,
        camera: Camera,
        optics: Optics,
        focus_mm: float | None,
    ) -> "_Lens":
        if not optics.lens_radius_mm:
            return cls(focus_mm=np.inf, most_blur_px=optics.blur_px, margin_px=_MARGIN_PX)
        if focus_mm is None:
            middle = apply(world_from_sheet, np.array([[*np.divide(sheet.size_mm, 2), 0.0]]))
            focus_mm = float(camera.project(middle)[1][0])
        largest = largest_blur(
            world_from_sheet, sheet.size_mm, camera, radius_mm=optics.lens_radius_mm,
            focus_mm=focus_mm, blur_px=optics.blur_px,
        )  # fmt: skip
        margin = int(np.ceil(REACH * largest)) + 1
        return cls(focus_mm=focus_mm, most_blur_px=largest, margin_px=margin)


def _window(
    sheet: Sheet, world_from_sheet: Floats, camera: Camera, *, margin_px: int
) -> tuple[int, int, int, int]:
    """Pixels (left, top, right, bottom) that the sheet can touch; empty where it is not seen."""
    width, height = sheet.size_mm
    edge = np.linspace(0, 1, 17)
    x, y = np.meshgrid(edge * width, edge * height)
    points = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    xy, depth = camera.project(apply(world_from_sheet, points))
    if not (depth > 0).all():
        return 0, 0, 0, 0
    size = np.array([camera.width, camera.height])
    low = np.clip(np.floor(xy.min(axis=0)) - margin_px, 0, size).astype(int)
    high = np.clip(np.ceil(xy.max(axis=0)) + margin_px, 0, size).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _expose(
    sheet: Sheet, world_from_sheet: Floats, camera: Camera, lights: Lights, optics: Optics,
    out: Floats32,
) -> None:  # fmt: skip
    """Fill in n x n samples a pixel of the light that the sheet returns."""
    n = optics.supersampling
    R, t = world_from_sheet[:, :3], world_from_sheet[:, 3]
    sheet_from_cam = np.ascontiguousarray(R.T @ camera.cam_from_world[:, :3].T)
    origin = R.T @ (camera.center - t)  # the camera in the sheet's frame
    art, facing = sheet.art, -R[:, 2]
    if origin[2] > 0:  # from behind: the bare plate
        art, facing = np.full_like(art, _BACK), -facing
    if optics.lens_radius_mm and art.shape[2] == 1:  # blurred anyway: the quick way will do
        sample_on_grid(
            art[..., 0], sheet.px_per_mm, camera, sheet_from_cam, origin, n=n,
            light=lights.irradiance(facing), backdrop=BACKDROP, out=out[..., 0],
        )  # fmt: skip
        return
    _sample(
        art, sheet.px_per_mm, camera.K, camera.distortion, sheet_from_cam, origin, n,
        np.float32(lights.irradiance(facing)), np.float32(BACKDROP), out,
    )  # fmt: skip


@njit(nogil=True, cache=True)
def _sample(art, scale, K, lens, R, origin, n, light, backdrop, out):  # type: ignore[no-untyped-def]
    """Sample the art n x n times a pixel, bilinear.

    The sheet's coordinates are exact at the pixels' corners and bilinear between them, which
    is off by the sheet's curvature in the image over a pixel: below 1e-4 px.
    """
    rows, cols, n_channels = art.shape
    width = out.shape[1]
    upper, lower = np.zeros((width + 1, 2)), np.zeros((width + 1, 2))
    _corners(0, scale, K, lens, R, origin, lower)
    for row in range(out.shape[0]):
        upper, lower = lower, upper
        _corners(row + 1, scale, K, lens, R, origin, lower)
        for col in range(width):
            for s in range(n * n):
                v, u = (s // n + 0.5) / n, (s % n + 0.5) / n
                a, b = (1 - u) * (1 - v), u * (1 - v)
                c, d = (1 - u) * v, u * v
                x = a * upper[col, 0] + b * upper[col + 1, 0]
                x += c * lower[col, 0] + d * lower[col + 1, 0]
                y = a * upper[col, 1] + b * upper[col + 1, 1]
                y += c * lower[col, 1] + d * lower[col + 1, 1]
                if not (0 <= x < cols and 0 <= y < rows):
                    for k in range(n_channels):
                        out[row, col, k] += backdrop
                    continue
                fx = min(max(x - 0.5, 0.0), cols - 1.001)
                fy = min(max(y - 0.5, 0.0), rows - 1.001)
                i, j = int(fy), int(fx)
                wy, wx = fy - i, fx - j
                for k in range(n_channels):
                    above = art[i, j, k] * (1 - wx) + art[i, j + 1, k] * wx
                    below = art[i + 1, j, k] * (1 - wx) + art[i + 1, j + 1, k] * wx
                    out[row, col, k] += light * (above * (1 - wy) + below * wy)
            for k in range(n_channels):
                out[row, col, k] /= n * n


@njit(nogil=True, cache=True)
def _corners(row, scale, K, lens, R, origin, out):  # type: ignore[no-untyped-def]
    """Fill in where the rays through the pixel corners of a row meet the art, in texels."""
    yd = (row - K[1, 2]) / K[1, 1]
    x, y = (-K[0, 2] - K[0, 1] * yd) / K[0, 0], yd
    for col in range(len(out)):
        xd = (col - K[0, 2] - K[0, 1] * yd) / K[0, 0]
        x, y = undistorted(xd, yd, x, y, lens)
        k = -origin[2] / (R[2, 0] * x + R[2, 1] * y + R[2, 2])
        if k <= 0:  # the plane is behind this ray
            out[col, 0] = out[col, 1] = -1e9
            continue
        out[col, 0] = scale * (origin[0] + k * (R[0, 0] * x + R[0, 1] * y + R[0, 2]))
        out[col, 1] = scale * (origin[1] + k * (R[1, 0] * x + R[1, 1] * y + R[1, 2]))
