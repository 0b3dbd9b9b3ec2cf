"""Spherical-harmonics light in numpy, with its derivative by the normal.

The harmonics are those of `core.rendering.shading`.
"""

import numpy as np

from ..core.arrays import AnyFloats, Floats
from ..core.rendering.shading import K0, K1, K2, K3, K4

_FLIP_YZ = np.array([1.0, -1.0, -1.0])


def sh_basis(normals: AnyFloats) -> Floats:
    """Return (N, 9) of unit normals (N, 3)."""
    x, y, z = np.asarray(normals, np.float64).T
    return np.stack(
        [
            np.full_like(x, K0), -K1 * y, K1 * z, -K1 * x, K2 * x * y, -K2 * y * z,
            K3 * (3 * z * z - 1), -K2 * x * z, K4 * (x * x - y * y),
        ],
        axis=1,
    )  # fmt: skip


def camera_harmonics(normals: AnyFloats, cam_from_world: AnyFloats) -> Floats:
    """Return (..., 9) of unit world normals (..., 3) in the frame of a camera's light.

    That has y up and z towards the camera, where `cam_from_world` has y down and z forward.
    """
    turned = normals @ (np.asarray(cam_from_world)[:, :3].T * _FLIP_YZ)
    return sh_basis(turned.reshape(-1, 3)).reshape(*normals.shape[:-1], 9)


def sh_slope(normals: AnyFloats) -> Floats:
    """Return (N, 9, 3) d basis / d normal."""
    x, y, z = np.asarray(normals, np.float64).T
    out = np.zeros((len(x), 9, 3))
    out[:, 1, 1], out[:, 2, 2], out[:, 3, 0] = -K1, K1, -K1
    out[:, 4, 0], out[:, 4, 1] = K2 * y, K2 * x
    out[:, 5, 1], out[:, 5, 2] = -K2 * z, -K2 * y
    out[:, 6, 2] = 6 * K3 * z
    out[:, 7, 0], out[:, 7, 2] = -K2 * z, -K2 * x
    out[:, 8, 0], out[:, 8, 1] = 2 * K4 * x, -2 * K4 * y
    return out
