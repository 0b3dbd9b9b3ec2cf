"""Defocus of a flat sheet: blur that grows with the distance from the plane in focus."""

import cv2
import numpy as np
from numba import njit

from ...core.arrays import Floats, Floats32
from ...core.geometry.camera import Camera

_STRIP_ROWS = 512
_LEVEL_PX = 0.4  # sd between the blurs that are mixed
_NO_BLUR_PX = 0.01  # sd of a kernel of one pixel
REACH = 4.0  # sds that OpenCV's kernel of float images covers


def blur_by_depth(
    light: Floats32, world_from_sheet: Floats, camera: Camera, *, radius_mm: float,
    focus_mm: float, blur_px: float, most_px: float,
) -> Floats32:  # fmt: skip
    """Blur a picture of a plane as a lens of finite aperture does.

    A disc of confusion stands for its Gaussian of equal variance, to which the lens' own
    blur is added. Light spreads from where it comes: each point of the plane is shared out
    between two of a few Gaussians so that its variance is exact. (Where the variance grows
    along the plane, that moves edges by half its slope towards the sharper side, as a lens
    does; to blur each pixel by what its own depth wants would move them by half of that.)

    Parameters
    ----------
    light : (H, W, C) float32
        As a pinhole sees it.
    world_from_sheet : (3, 4), mm
        The plane is z = 0.
    radius_mm : float
        Of the entrance pupil.
    focus_mm : float
        Depth in focus.
    blur_px : float
        Sd there.
    most_px : float
        Largest sd: beyond the sheet its plane may come near the camera.

    Returns
    -------
    (H, W, C) float32

    Source
    ------
    The thin lens: a point at depth z spreads over a disc of diameter
    2 r f |1/focus - 1/z| px, f being the image distance in px; a disc of diameter c has an
    sd of c/4 along each axis.
    """
    spread = radius_mm / 2 * camera.K[0, 0]
    off = -spread * inverse_depth(world_from_sheet, camera)  # affine in (x, y, 1) px
    off[2] += spread / focus_mm
    out = np.empty_like(light)
    height, width = light.shape[:2]
    for top in range(0, height, _STRIP_ROWS):
        bottom = min(top + _STRIP_ROWS, height)
        sds = _levels(off, (top, bottom), width, blur_px, most_px)
        reach = int(np.ceil(REACH * sds[-1])) + 1
        above, below = max(0, top - reach), min(height, bottom + reach)
        total = np.zeros_like(light[above:below])
        variances = np.asarray(sds) ** 2
        for level, sd in enumerate(sds):
            share = _share(light[above:below], variances, level, off, above, blur_px**2)
            total += cv2.GaussianBlur(share, (0, 0), sd).reshape(total.shape)
        out[top:bottom] = total[top - above : bottom - above]
    return out


def inverse_depth(world_from_sheet: Floats, camera: Camera) -> Floats:
    """Return a, b, c so that the plane's depth at pixel (x, y) is 1 / (a x + b y + c).

    Lens distortion, which moves a pixel by a thousandth of the image, is left out.
    """
    normal = camera.cam_from_world[:, :3] @ world_from_sheet[:, 2]
    start = camera.cam_from_world[:, :3] @ world_from_sheet[:, 3] + camera.cam_from_world[:, 3]
    return np.asarray(normal @ np.linalg.inv(camera.K) / (normal @ start))


def largest_blur(
    world_from_sheet: Floats, size_mm: tuple[float, float], camera: Camera, *, radius_mm: float,
    focus_mm: float, blur_px: float,
) -> float:  # fmt: skip
    """Return the largest sd, px, over a sheet of this size."""
    corners = np.array([[x, y, 0.0] for x in (0, size_mm[0]) for y in (0, size_mm[1])])
    world = corners @ world_from_sheet[:, :3].T + world_from_sheet[:, 3]
    _, depth = camera.project(world)
    if not (depth > 0).all():
        return blur_px
    off = radius_mm / 2 * camera.K[0, 0] * np.abs(1 / focus_mm - 1 / depth).max()
    return float(np.hypot(blur_px, off))


def _levels(
    off: Floats, rows: tuple[int, int], width: int, blur_px: float, most_px: float
) -> list[float]:
    """Return the sds, ascending, that span what a strip of rows needs."""
    corners = np.array([[x, y, 1.0] for x in (0, width) for y in rows]) @ off
    low = 0.0 if corners.min() <= 0 <= corners.max() else np.abs(corners).min()
    least = max(float(np.hypot(blur_px, low)), _NO_BLUR_PX)
    most = max(float(np.hypot(blur_px, np.abs(corners).max())), _NO_BLUR_PX)
    least, most = min(least, most_px), min(most, most_px)
    n_levels = max(2, int(np.ceil((most - least) / _LEVEL_PX)) + 1)
    return [float(sd) for sd in np.linspace(least, most + 1e-3, n_levels)]


@njit(nogil=True, cache=True)
def _share(light, variances, level, off, top, least):  # type: ignore[no-untyped-def]
    """Return the light that falls to a level, so that each point's variance is that of its depth.

    Points beyond the first and last level fall to these alone.
    """
    out = np.zeros_like(light)
    last = len(variances) - 1
    for row in range(light.shape[0]):
        for col in range(light.shape[1]):
            disc = off[0] * (col + 0.5) + off[1] * (top + row + 0.5) + off[2]
            wanted = min(max(least + disc * disc, variances[0]), variances[last])
            weight = 0.0
            if level > 0 and variances[level - 1] < wanted <= variances[level]:
                weight = (wanted - variances[level - 1]) / (variances[level] - variances[level - 1])
            elif level < last and variances[level] <= wanted < variances[level + 1]:
                weight = (variances[level + 1] - wanted) / (variances[level + 1] - variances[level])
            elif wanted == variances[level]:
                weight = 1.0
            if weight > 0.0:
                for k in range(light.shape[2]):
                    out[row, col, k] = weight * light[row, col, k]
    return out
