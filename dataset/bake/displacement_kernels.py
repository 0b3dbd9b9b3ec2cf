"""Compiled loops of `displacement.py`."""

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def rays_of(index, face, weights, faces, vertices, normals, origins, rays):  # type: ignore[no-untyped-def]
    """Fill origin and unit direction (N, 3) of the rays of texels `index` (N,)."""
    for i in range(len(index)):
        t = index[i]
        f = face[t]
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        w1, w2 = weights[t, 0], weights[t, 1]
        w0 = 1 - w1 - w2
        square = 0.0
        for k in range(3):
            origins[i, k] = w0 * vertices[a, k] + w1 * vertices[b, k] + w2 * vertices[c, k]
            n = w0 * normals[a, k] + w1 * normals[b, k] + w2 * normals[c, k]
            rays[i, k] = n
            square += n * n
        length = max(math.sqrt(square), 1e-9)
        for k in range(3):
            rays[i, k] /= length


@njit(nogil=True, cache=True)
def judge(  # type: ignore[no-untyped-def]
    index, rays, far_out, face_out, uv_out, far_in, face_in, uv_in, faces, normals, table,
    reach, least_cosine, out,
):  # fmt: skip
    """Choose the nearest hit that is the same surface, and fill `out` (texels, 1 + k).

    Column 0 is the displacement, NaN where there is none; the others are the columns of `table`
    (S, k + 1) but the last, which says where the scan can be used. A nearer hit on something
    else (another layer, turned away) spoils the texel.
    """
    k = table.shape[1] - 1
    for i in range(len(index)):
        t = index[i]
        outward = far_out[i] <= far_in[i]
        d = far_out[i] if outward else far_in[i]
        f = face_out[i] if outward else face_in[i]
        out[t, 0] = np.nan
        if f < 0 or d > reach:
            continue
        u = uv_out[i, 0] if outward else uv_in[i, 0]
        v = uv_out[i, 1] if outward else uv_in[i, 1]
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        cosine, square = 0.0, 0.0
        for j in range(3):
            n = (1 - u - v) * normals[a, j] + u * normals[b, j] + v * normals[c, j]
            cosine += n * rays[i, j]
            square += n * n
        cosine /= max(math.sqrt(square), 1e-9)
        usable = (1 - u - v) * table[a, k] + u * table[b, k] + v * table[c, k]
        if cosine < least_cosine or usable < 0.5:
            continue
        out[t, 0] = d if outward else -d
        for j in range(k):
            out[t, 1 + j] = (1 - u - v) * table[a, j] + u * table[b, j] + v * table[c, j]
        out[t, k] /= cosine


@njit(nogil=True, cache=True)
def remove_spikes(values, valid, index, most, reach, spike):  # type: ignore[no-untyped-def]
    """Set `spike` at those of the texels `index` that lie too far from the median around."""
    height, width = values.shape
    around = np.empty((2 * reach + 1) ** 2, np.float32)
    for i in range(len(index)):
        r, c = index[i] // width, index[i] % width
        n = 0
        for y in range(max(0, r - reach), min(height, r + reach + 1)):
            for x in range(max(0, c - reach), min(width, c + reach + 1)):
                if valid[y, x]:
                    around[n] = values[y, x]
                    n += 1
        if n < 5 or abs(values[r, c] - np.median(around[:n])) > most[r, c]:
            spike[r, c] = True
