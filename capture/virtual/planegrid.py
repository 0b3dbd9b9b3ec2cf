"""A fast way to look up a flat sheet through a lens: exact rays on a grid, linear between."""

import numpy as np
from numba import njit

from ...core.arrays import Floats, Floats32
from ...core.geometry.camera import Camera
from .rays import undistorted

_LARGEST_STEP = 4
_AWAY = -1e9  # coordinate of rays that do not meet the plane


def sample_on_grid(
    art: Floats32, scale: float, camera: Camera, sheet_from_cam: Floats, origin: Floats, *, n: int,
    light: float, backdrop: float, out: Floats32,
) -> None:  # fmt: skip
    """Fill in (height, width) with n x n bilinear samples a pixel of one channel.

    The sheet's coordinates are exact on a grid of a few pixels and bilinear between. At 70
    degrees of incidence that is off by 6e-4 px at most: the plane's curvature in the image,
    2 tan(70 deg) / f, times an eighth of the step squared.

    Parameters
    ----------
    art : (rows, cols) float32
    scale : float
        Texels a mm.
    sheet_from_cam : (3, 3)
        Rotation.
    origin : (3,), mm
        The camera's centre in the sheet's frame.
    light, backdrop : float
        Irradiance of the sheet; radiance beside it.
    """
    step = int(np.clip(round(np.sqrt(8e-4 * camera.K[0, 0])), 1, _LARGEST_STEP))
    shape = (camera.height // step + 2, camera.width // step + 2, 2)
    nodes = np.empty(shape)
    _nodes(step, scale, camera.K, camera.distortion, sheet_from_cam, origin, nodes)
    _fill(art, nodes, step, n, np.float32(light), np.float32(backdrop), out)


@njit(nogil=True, cache=True)
def _nodes(step, scale, K, lens, R, origin, out):  # type: ignore[no-untyped-def]
    """Fill in where the rays through every `step`-th pixel corner meet the art, in texels."""
    for row in range(out.shape[0]):
        yd = (row * step - K[1, 2]) / K[1, 1]
        x, y = (-K[0, 2] - K[0, 1] * yd) / K[0, 0], yd
        for col in range(out.shape[1]):
            xd = (col * step - K[0, 2] - K[0, 1] * yd) / K[0, 0]
            x, y = undistorted(xd, yd, x, y, lens)
            k = -origin[2] / (R[2, 0] * x + R[2, 1] * y + R[2, 2])
            if k <= 0:  # the plane is behind this ray
                out[row, col, 0] = out[row, col, 1] = _AWAY
                continue
            out[row, col, 0] = scale * (origin[0] + k * (R[0, 0] * x + R[0, 1] * y + R[0, 2]))
            out[row, col, 1] = scale * (origin[1] + k * (R[1, 0] * x + R[1, 1] * y + R[1, 2]))


@njit(nogil=True, cache=True)
def _fill(art, nodes, step, n, light, backdrop, out):  # type: ignore[no-untyped-def]
    height, width = out.shape
    share = np.float32(1.0 / (n * n))
    for row in range(height):
        for col in range(width):
            out[row, col] = 0
        for s in range(n):
            v = (row + (s + 0.5) / n) / step
            i = int(v)
            f = v - i
            for cell in range((width + step - 1) // step):
                x = (1 - f) * nodes[i, cell, 0] + f * nodes[i + 1, cell, 0]
                y = (1 - f) * nodes[i, cell, 1] + f * nodes[i + 1, cell, 1]
                dx = (1 - f) * nodes[i, cell + 1, 0] + f * nodes[i + 1, cell + 1, 0] - x
                dy = (1 - f) * nodes[i, cell + 1, 1] + f * nodes[i + 1, cell + 1, 1] - y
                first = cell * step
                end = min(first + step, width)
                _fill_cell(art, x, y, dx, dy, step, n, light, backdrop, out[row, first:end])
        for col in range(width):
            out[row, col] *= share


@njit(nogil=True, cache=True, inline="always")
def _fill_cell(art, x, y, dx, dy, step, n, light, backdrop, out):  # type: ignore[no-untyped-def]
    """Add one line of samples to a few pixels, from texel (x, y) on to (x + dx, y + dy)."""
    rows, cols = art.shape
    low_x, high_x = min(x, x + dx), max(x, x + dx)
    low_y, high_y = min(y, y + dy), max(y, y + dy)
    if high_x < 0 or low_x >= cols or high_y < 0 or low_y >= rows:
        for col in range(len(out)):
            out[col] += n * backdrop
        return
    inner = low_x >= 0.5 and low_y >= 0.5 and high_x < cols - 0.6 and high_y < rows - 0.6
    dx /= step * n
    dy /= step * n
    x += 0.5 * dx
    y += 0.5 * dy
    for col in range(len(out)):
        for _ in range(n):
            fx, fy = x - 0.5, y - 0.5
            if not inner:
                if not (0 <= x < cols and 0 <= y < rows):
                    out[col] += backdrop
                    x += dx
                    y += dy
                    continue
                fx = min(max(fx, 0.0), cols - 1.001)
                fy = min(max(fy, 0.0), rows - 1.001)
            i, j = int(fy), int(fx)
            wx, wy = np.float32(fx - j), np.float32(fy - i)
            above = art[i, j] + wx * (art[i, j + 1] - art[i, j])
            below = art[i + 1, j] + wx * (art[i + 1, j + 1] - art[i + 1, j])
            out[col] += light * (above + wy * (below - above))
            x += dx
            y += dy
