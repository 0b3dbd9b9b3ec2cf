"""What a mesh covers of a picture, when all that is known are its projected vertices."""

import numpy as np
import torch

from ...core.arrays import Bytes, Floats, Ints
from ...core.rendering.numba_backend import NumbaRasterizer


def outline(pixels: Floats, faces: Ints, size: int) -> Bytes:
    """Return (size, size), 255 where a triangle covers the centre of a pixel.

    Parameters
    ----------
    pixels : (V, 2) px, y down
    faces : (F, 3) int32
    """
    flat = np.zeros((len(pixels), 4), np.float32)
    flat[:, :2] = 2 * pixels / size - 1
    flat[:, 3] = 1
    triangle, _ = NumbaRasterizer().visibility(
        torch.from_numpy(flat), torch.from_numpy(np.ascontiguousarray(faces)), (size, size)
    )
    return np.where(triangle[0].numpy() >= 0, 255, 0).astype(np.uint8)
