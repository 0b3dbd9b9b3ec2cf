"""The compiled loops of `visibility.py`."""

import math

import numpy as np
from numba import njit

from ..kernels import FAST


@njit(cache=True, fastmath=FAST)
def face_view(  # type: ignore[no-untyped-def]
    vertices, normals, P, center, focal, mask, least_cosine, margin_px, cosine, pixel
):
    """Fill (V,) `cosine` and `pixel` size; both 0 where the view is out of the question."""
    height, width = mask.shape
    for v in range(len(vertices)):
        cosine[v], pixel[v] = 0, 0
        x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
        dx, dy, dz = center[0] - x, center[1] - y, center[2] - z
        facing = dx * normals[v, 0] + dy * normals[v, 1] + dz * normals[v, 2]
        facing /= math.sqrt(dx * dx + dy * dy + dz * dz)
        depth = P[2, 0] * x + P[2, 1] * y + P[2, 2] * z + P[2, 3]
        if not (facing > least_cosine and depth > 0):
            continue
        u = (P[0, 0] * x + P[0, 1] * y + P[0, 2] * z + P[0, 3]) / depth
        w = (P[1, 0] * x + P[1, 1] * y + P[1, 2] * z + P[1, 3]) / depth
        inside = u > margin_px and w > margin_px
        inside = inside and u < width - margin_px and w < height - margin_px
        if inside and mask[int(w), int(u)]:
            cosine[v], pixel[v] = facing, depth / focal


@njit(cache=True, fastmath=FAST)
def keep_best(cosine, pixel, bits, chosen, best, footprint):  # type: ignore[no-untyped-def]
    """Fill `chosen` and `best` (V, most) with the visible views of largest cosine, in order.

    `footprint` (V,) takes the smallest pixel of them; it stays NaN where there is none.
    """
    n_views, most = cosine.shape[0], chosen.shape[1]
    for v in range(len(chosen)):
        for k in range(n_views):
            if not (bits[v, k // 8] >> (k % 8)) & 1:
                continue
            value, slot = cosine[k, v], most
            while slot > 0 and value > best[v, slot - 1]:
                slot -= 1
            if value <= 0 or slot == most:
                continue
            for i in range(most - 1, slot, -1):
                best[v, i], chosen[v, i] = best[v, i - 1], chosen[v, i - 1]
            best[v, slot], chosen[v, slot] = value, k
        smallest = np.inf
        for i in range(most):
            if chosen[v, i] >= 0:
                smallest = min(smallest, pixel[chosen[v, i], v])
        if smallest < np.inf:
            footprint[v] = smallest
