"""What each photograph shows of a surface: its nearest depth, and how far it can be trusted.

Both are kept at a fraction of the photograph's size: a texel is hidden where the surface lies
deeper than the depth buffer allows, and a photograph counts less near the border of its frame,
of its mask, and where the depth jumps: a surface half a millimetre off shows the ear's colour
on the cheek there.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from ...core.arrays import AnyFloats, Bools, Floats32, Ints
from ...core.geometry.camera import Camera
from ..kernels import FAST
from ..stereo.views import View

_JUMP = 6.0  # mm in depth over two pixels; steeper surfaces are not looked at anyway
_FAR = np.float32(1e9)


@dataclass(frozen=True, kw_only=True)
class Sight:
    """Nearest depth and trust of a photograph, at 1 / `factor` of its size."""

    factor: int
    depth: Floats32
    """(h, w) along z, of the nearest surface, world unit; very large where there is none."""
    trust: Floats32
    """(h, w) in [0, 1]: 0 at borders and jumps, 1 where they are `feather` away."""


def sight(
    view: View, vertices: AnyFloats, faces: Ints, *, factor: int, feather: float, unit: float
) -> Sight:
    """Find what a view sees of a mesh.

    Parameters
    ----------
    vertices, faces : (V, 3), (F, 3)
        World frame. All that may hide something belongs to it.
    factor : int
        By how much the buffers are smaller than the photograph.
    feather : float, mm
        Width of the soft border.
    unit : float
        Length of a millimetre in the world's unit.
    """
    camera = view.camera
    width, height = camera.width // factor, camera.height // factor
    depth = depth_buffer(vertices, faces, camera, width=width, height=height, factor=factor)
    inside = _reduced_mask(view.mask, width, height, factor)
    near = depth[depth < _FAR]
    pixel = factor * float(np.median(near)) / camera.K[0, 0] / unit if len(near) else 1.0
    trust = _trust(depth, inside, feather_px=max(feather / pixel, 1.0), jump=_JUMP * unit)
    return Sight(factor=factor, depth=depth, trust=trust)


def depth_buffer(
    vertices: AnyFloats, faces: Ints, camera: Camera, *, width: int, height: int, factor: int = 1
) -> Floats32:
    """Return the nearest depth (height, width) along z of a mesh, at pixel centres.

    Parameters
    ----------
    width, height, factor : int
        The buffer covers `width` x `height` blocks of `factor` x `factor` pixels from the
        image's top left. The camera has no distortion.
    """
    depth = np.full((height, width), _FAR, np.float32)
    in_image = np.asarray(vertices, dtype=np.float64) @ camera.P[:, :3].T + camera.P[:, 3]
    _fill_depth(in_image, faces, 1.0 / factor, depth)
    return depth


def _reduced_mask(mask: Bools, width: int, height: int, factor: int) -> Bools:
    part = mask[: height * factor, : width * factor]
    return np.asarray(part.reshape(height, factor, width, factor).all(axis=(1, 3)))


def _trust(depth: Floats32, inside: Bools, *, feather_px: float, jump: float) -> Floats32:
    """Return the feathered share of trust (h, w)."""
    kernel = np.ones((3, 3), np.uint8)
    with_hole = np.where(depth < _FAR, depth, 0)
    good = inside & (cv2.dilate(depth, kernel) - cv2.erode(with_hole, kernel) < jump)
    framed = np.zeros((good.shape[0] + 2, good.shape[1] + 2), np.uint8)
    framed[1:-1, 1:-1] = good
    away = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    t = np.clip((away - 1) / feather_px, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


@njit(cache=True, fastmath=FAST)
def _fill_depth(in_image, faces, scale, out):  # type: ignore[no-untyped-def]
    """Rasterise; what reaches behind the camera is left out. Both sides of faces count."""
    height, width = out.shape
    for f in range(len(faces)):
        a, b, c = in_image[faces[f, 0]], in_image[faces[f, 1]], in_image[faces[f, 2]]
        if a[2] <= 0 or b[2] <= 0 or c[2] <= 0:
            continue
        ax, ay = a[0] / a[2] * scale, a[1] / a[2] * scale
        bx, by = b[0] / b[2] * scale, b[1] / b[2] * scale
        cx, cy = c[0] / c[2] * scale, c[1] / c[2] * scale
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-12:
            continue
        left = max(0, int(np.ceil(min(ax, bx, cx) - 0.5)))
        right = min(width - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
        top = max(0, int(np.ceil(min(ay, by, cy) - 0.5)))
        bottom = min(height - 1, int(np.floor(max(ay, by, cy) - 0.5)))
        for row in range(top, bottom + 1):
            for col in range(left, right + 1):
                x, y = col + 0.5, row + 0.5
                wb = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area
                wc = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
                wa = 1.0 - wb - wc
                if wa < -1e-9 or wb < -1e-9 or wc < -1e-9:
                    continue
                z = 1.0 / (wa / a[2] + wb / b[2] + wc / c[2])  # 1 / z is linear in the image
                if z < out[row, col]:
                    out[row, col] = z
