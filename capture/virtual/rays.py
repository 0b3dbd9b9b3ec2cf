"""Rays through the pixels of a distorted lens, from its centre or from all over its pupil."""

import math

import numpy as np
from numba import njit

from ...core.arrays import Floats, Floats32
from ...core.chunks import over_chunks
from ...core.geometry.camera import Camera

_CHUNK = 1 << 15  # pixels at a time


def pixel_rays(camera: Camera, rows: tuple[int, int], *, n: int) -> Floats32:
    """Return world directions (rows, width, n * n, 3), camera-z one, n x n to a pixel.

    They leave from the camera's centre. With n = 1 they go through the pixels' centres.
    """
    out = np.zeros((rows[1] - rows[0], camera.width, n * n, 3), np.float32)
    R = np.ascontiguousarray(camera.cam_from_world[:, :3])

    def run(start: int, end: int) -> None:
        _pixel_rays(rows[0] + start, n, camera.K, camera.distortion, R, out[start:end])

    over_chunks(run, len(out), chunk=_rows_at_once(camera))
    return out


def lens_rays(
    directions: Floats32,
    camera: Camera,
    *,
    radius_mm: float,
    focus_mm: float,
    top: int,
    n: int,
) -> tuple[Floats32, Floats32]:
    """Spread rays over a thin lens that images the plane at depth `focus_mm` sharply.

    Parameters
    ----------
    directions : (rows, width, n * n, 3)
        Of `pixel_rays` whose first row is `top`.

    Returns
    -------
    origins : (rows, width, n * n, 3) float32, mm
        On the pupil, a disc of `radius_mm` round the camera's centre.
    directions : (rows, width, n * n, 3) float32
        With camera-z one.

    Source
    ------
    Thin lens by distributed rays: Cook, Porter and Carpenter, SIGGRAPH 1984.
    """
    origins = np.zeros_like(directions)
    bent = np.zeros_like(directions)
    R: Floats = np.ascontiguousarray(camera.cam_from_world[:, :3])

    def run(start: int, end: int) -> None:
        _spread(
            directions[start:end], camera.center, R, radius_mm, focus_mm, top + start, n,
            origins[start:end], bent[start:end],
        )  # fmt: skip

    over_chunks(run, len(directions), chunk=_rows_at_once(camera))
    return origins, bent


def _rows_at_once(camera: Camera) -> int:
    return max(1, _CHUNK // camera.width)


@njit(cache=True, inline="always")
def undistorted(xd, yd, x, y, lens):  # type: ignore[no-untyped-def]
    """Undo Brown distortion by Newton's method from (x, y); as in `core.geometry.camera`."""
    k1, k2, p1, p2, k3 = lens[0], lens[1], lens[2], lens[3], lens[4]
    for _ in range(12):
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        slope = 2 * (k1 + r2 * (2 * k2 + 3 * r2 * k3))
        mx = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) - xd
        my = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y - yd
        xx = radial + slope * x * x + 2 * p1 * y + 6 * p2 * x
        yy = radial + slope * y * y + 6 * p1 * y + 2 * p2 * x
        xy = slope * x * y + 2 * p1 * x + 2 * p2 * y
        det = xx * yy - xy * xy
        x -= (yy * mx - xy * my) / det
        y -= (xx * my - xy * mx) / det
        if abs(mx) + abs(my) < 1e-10:  # the step just taken squares this
            break
    return x, y


@njit(nogil=True, cache=True)
def _pixel_rays(top, n, K, lens, R, out):  # type: ignore[no-untyped-def]
    for row in range(out.shape[0]):
        x = y = 0.0
        for col in range(out.shape[1]):
            for s in range(n * n):
                yd = (top + row + (s // n + 0.5) / n - K[1, 2]) / K[1, 1]
                xd = (col + (s % n + 0.5) / n - K[0, 2] - K[0, 1] * yd) / K[0, 0]
                if col == 0 and s == 0:
                    x, y = xd, yd
                x, y = undistorted(xd, yd, x, y, lens)
                for i in range(3):
                    out[row, col, s, i] = x * R[0, i] + y * R[1, i] + R[2, i]


@njit(nogil=True, cache=True)
def _spread(directions, center, R, radius, focus, top, n, origins, bent):  # type: ignore[no-untyped-def]
    """One place on the pupil for each of a pixel's rays: a spiral, turned from pixel to pixel."""
    n_rays = n * n
    golden = math.pi * (3 - math.sqrt(5.0))
    for row in range(directions.shape[0]):
        for col in range(directions.shape[1]):
            # interleaved gradient: neighbours' spirals differ as much as may be
            turn = 52.9829189 * ((0.06711056 * col + 0.00583715 * (top + row)) % 1.0)
            turn = 2 * math.pi * (turn % 1.0)
            for s in range(n_rays):
                # stride through the spiral, so that a ray's place in pixel and pupil are unrelated
                k = (s * 7 + 3 * (s // n)) % n_rays if n_rays % 7 else s
                r = radius * math.sqrt((k + 0.5) / n_rays)
                a, b = r * math.cos(k * golden + turn), r * math.sin(k * golden + turn)
                for i in range(3):
                    shift = a * R[0, i] + b * R[1, i]
                    origins[row, col, s, i] = center[i] + shift
                    bent[row, col, s, i] = directions[row, col, s, i] - shift / focus
