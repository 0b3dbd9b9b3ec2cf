"""Spherical-harmonics light in numpy, with its derivative by the normal.

Source
------
Deng et al., CVPR Workshops 2019 (Deep3DFaceRecon_pytorch): signs, constants, ambient offset.
"""

import numpy as np

from ..core.arrays import AnyFloats, Floats

AMBIENT = 0.8
"""Added to the first band of every colour."""
_K0, _K1, _K2, _K3, _K4 = 0.886227, 1.772454, 2.427032, 0.700624, 1.213516


def sh_basis(normals: AnyFloats) -> Floats:
    """Return (N, 9) of unit normals (N, 3)."""
    x, y, z = np.asarray(normals, np.float64).T
    return np.stack(
        [
            np.full_like(x, _K0), -_K1 * y, _K1 * z, -_K1 * x, _K2 * x * y, -_K2 * y * z,
            _K3 * (3 * z * z - 1), -_K2 * x * z, _K4 * (x * x - y * y),
        ],
        axis=1,
    )  # fmt: skip


def sh_slope(normals: AnyFloats) -> Floats:
    """Return (N, 9, 3) d basis / d normal."""
    x, y, z = np.asarray(normals, np.float64).T
    out = np.zeros((len(x), 9, 3))
    out[:, 1, 1], out[:, 2, 2], out[:, 3, 0] = -_K1, _K1, -_K1
    out[:, 4, 0], out[:, 4, 1] = _K2 * y, _K2 * x
    out[:, 5, 1], out[:, 5, 2] = -_K2 * z, -_K2 * y
    out[:, 6, 2] = 6 * _K3 * z
    out[:, 7, 0], out[:, 7, 2] = -_K2 * z, -_K2 * x
    out[:, 8, 0], out[:, 8, 1] = 2 * _K4 * x, -2 * _K4 * y
    return out
