"""Depth images of truth and prediction, and the shift along the view that they give.

The official figures come from pyrender on Mesa's software rasterizer. What of it moves results
is done here number by number:

- pyrender keeps sample 0 of four: depth is taken at (0.375, 0.875) of a pixel, y down.
- Back faces are culled. Corners are rounded to 1/256 px, depth is interpolated in float32.
- The depth buffer has 24 bits; resolving the four samples converts it to float32 and back with
  a factor 1/(2^24 - 1) that float32 rounds up, so that far depths grow by one step.
- Depth is decoded in float32 from the buffer. In the lab, near and far planes of 0.1 and 1e5
  leave steps of about 0.8-1.6 mm at 1.4 m: the shift found from it is that coarse.
- The orthographic image is decoded as though it were perspective, and the official code undoes
  that, again in float32.
"""

import numpy as np
from scipy.optimize import minimize

from ...core.arrays import AnyFloats, Bools, Floats, Floats32, Ints
from .clip_kernels import PLANES, cut_triangles
from .depth_kernels import draw_double, draw_single

SIZE = 256
"""px, width and height of the images."""
ORTHO_SCALE = 128.0
"""Official unit of orthographic depth: pixels of the image."""

ORTHO_PLANES = 0.05, 10000.0
LAB_PLANES = 0.1, 100000.0
"""mm, near and far plane."""

_SAMPLE = np.float32(0.375), np.float32(0.125)  # x right, y up
_STEPS = np.float32(16777215)  # 2^24 - 1


def orthographic_depth(vertices: AnyFloats, faces: Ints, *, pupil_scale: float) -> Floats32:
    """Return the official (256, 256) depth of a mesh in the wild, in 1/128 of half the image.

    Parameters
    ----------
    vertices : (V, 3), mm
        Orthographic camera space times `pupil_scale`; the camera looks along -z.

    Returns
    -------
    (256, 256) float32
        Row 0 at the top; 0 where nothing is seen.
    """
    near, far = ORTHO_PLANES
    points = vertices.astype(np.float32)
    clip = np.ones((len(points), 4), np.float32)
    clip[:, :2] = np.float32(1.0 / pupil_scale) * points[:, :2]
    clip[:, 2] = np.float32(2.0 / (near - far)) * points[:, 2] + np.float32(
        (far + near) / (near - far)
    )
    depth = _decoded(_drawn(clip, faces), near, far)
    return undo_perspective_decoding(depth, pupil_scale=pupil_scale)


def undo_perspective_decoding(depth: Floats32, *, pupil_scale: float) -> Floats32:
    """Return orthographic depth of pyrender's, which decodes it as perspective; in float32."""
    near, far = ORTHO_PLANES
    seen = depth != 0
    z = depth[seen]
    z = (np.float32(far + near) - np.float32(2.0 * near * far) / z) / np.float32(far - near)
    z = (z + np.float32((far + near) / (far - near))) * np.float32(far - near) / np.float32(2)
    depth = depth.copy()
    depth[seen] = z
    return np.asarray(depth * np.float32(ORTHO_SCALE / pupil_scale))


def perspective_depth(vertices: AnyFloats, faces: Ints, *, K: Floats) -> Floats32:
    """Return the official (256, 256) depth, mm, of a mesh in the lab.

    Parameters
    ----------
    vertices : (V, 3), mm
        In the camera: x right, y down, z forward.
    K : (3, 3) px

    Returns
    -------
    (256, 256) float32
        Row 0 at the top; 0 where nothing is seen.
    """
    near, far = LAB_PLANES
    x, y, z = vertices.astype(np.float32).T
    shift_x = np.float32(2.0 * K[0, 2] / SIZE - 1.0)
    shift_y = np.float32(1.0 - 2.0 * K[1, 2] / SIZE)
    clip = np.stack(
        [
            np.float32(2.0 * K[0, 0] / SIZE) * x + shift_x * z,
            np.float32(-2.0 * K[1, 1] / SIZE) * y + shift_y * z,
            np.float32((far + near) / (far - near)) * z
            + np.float32(2.0 * near * far / (near - far)),
            z,
        ],
        axis=1,
    )
    return _decoded(_drawn(clip, faces), near, far)


def exact_orthographic_depth(vertices: AnyFloats, faces: Ints, *, pupil_scale: float) -> Floats:
    """Return the depth as `orthographic_depth` does: at pixel centres, either side, exact."""
    window = np.empty((len(vertices), 3))
    window[:, :2] = (vertices[:, :2] / pupil_scale + 1.0) * (SIZE / 2)
    window[:, 2] = -vertices[:, 2]
    depth = np.full((SIZE, SIZE), np.inf)
    draw_double(window, faces, depth)
    depth = np.where(np.isfinite(depth), depth, 0.0)[::-1]
    return np.ascontiguousarray(depth * (ORTHO_SCALE / pupil_scale))


def exact_perspective_depth(vertices: AnyFloats, faces: Ints, *, K: Floats) -> Floats:
    """Return the depth as `perspective_depth` does: at pixel centres, either side, exact."""
    z = np.where(vertices[:, 2] > 0, vertices[:, 2], np.nan)
    window = np.stack(
        [
            K[0, 0] * vertices[:, 0] / z + K[0, 2],
            SIZE - (K[1, 1] * vertices[:, 1] / z + K[1, 2]),
            -1.0 / z,
        ],
        axis=1,
    )
    inverse = np.full((SIZE, SIZE), np.inf)
    draw_double(window, faces, inverse)
    seen = np.isfinite(inverse)
    return np.ascontiguousarray(np.where(seen, -1.0 / np.where(seen, inverse, 1.0), 0.0)[::-1])


def depth_shift(depth_gt: AnyFloats, depth_pred: AnyFloats, overlap: Bools) -> float:
    """Return the official shift: SLSQP from 0 on the sum of absolute differences.

    It ends within 1e-3 of the median of the differences; where exactly depends on its steps, so
    that they are taken here too.
    """
    truth, prediction = depth_gt[overlap], depth_pred[overlap]

    def error(z: Floats) -> float:
        return float(np.sum(np.abs(truth - z - prediction)))

    return float(minimize(error, 0, method="SLSQP").x[0])


def _drawn(clip: Floats32, faces: Ints) -> Floats32:
    """Draw clip coordinates (V, 4) into window depth (256, 256), row 0 at the top."""
    made, kept = cut_triangles(clip, faces, PLANES)
    clip = np.concatenate([clip, made])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # multiplied by the rounded inverse, as the rasterizer does it, not divided
        inverse = np.where(clip[:, 3:] > 0, np.float32(1) / clip[:, 3:], np.float32(np.nan))
        half = np.array([SIZE / 2, SIZE / 2, 0.5], np.float32)
        window = clip[:, :3] * inverse * half + half
    depth = np.ones((SIZE, SIZE), np.float32)
    draw_single(window, kept, _SAMPLE[0], _SAMPLE[1], depth)
    return np.ascontiguousarray(depth[::-1])


def _decoded(depth: Floats32, near: float, far: float) -> Floats32:
    """Pass window depth through the 24-bit buffer, its resolve and pyrender's decoding."""
    steps = np.rint(depth * _STEPS)
    steps = np.rint(steps * np.float32(1.0 / 16777215.0) * _STEPS)
    stored = np.minimum(steps.astype(np.float64), 16777215.0) / 16777215.0
    z = stored.astype(np.float32)
    seen = (z != 1.0) & (depth < 1.0)
    z = np.float32(2) * z - np.float32(1)
    z[seen] = np.float32(2.0 * near * far) / (
        np.float32(far + near) - z[seen] * np.float32(far - near)
    )
    z[~seen] = 0
    return z
