"""The compiled loop of `resample.py`."""

import math

import numpy as np
from numba import njit

STEP = 4
"""Pixels between the nodes at which places are known exactly.

Between them they are interpolated: distortion bends by some 1e-4 px within so few pixels.
"""


@njit(nogil=True, cache=True)
def _weights(t, out):  # type: ignore[no-untyped-def]
    """Fill (4,) `out` with the weights of the samples at -1, 0, 1 and 2 for a place t in [0, 1)."""
    out[0] = t * (-0.5 + t * (1.0 - 0.5 * t))
    out[1] = 1.0 + t * t * (-2.5 + 1.5 * t)
    out[2] = t * (0.5 + t * (2.0 - 1.5 * t))
    out[3] = t * t * (-0.5 + 0.5 * t)


@njit(nogil=True, cache=True)
def resample_rows(image, nodes, first, n_sub, full, out):  # type: ignore[no-untyped-def]
    """Fill `out` (rows, width, C) with the image at the rows from `first` on; 0 outside of it.

    Each pixel is the mean of `n_sub` by `n_sub` samples, each a cubic convolution, of an image
    (H, W, C), C 1 or 3, whose white is `full`; kept within [0, 1]. `nodes` (gh, gw, 2) are
    places (x, y) in the image, its first pixel's centre at (0.5, 0.5), of every `STEP`th corner
    of the pixels.
    """
    height, width, n_channels = image.shape
    second, third = min(1, n_channels - 1), min(2, n_channels - 1)
    wx, wy = np.zeros(4, np.float32), np.zeros(4, np.float32)
    rows, cols = np.zeros(4, np.int64), np.zeros(4, np.int64)
    factor = np.float32(1.0 / (full * n_sub * n_sub))
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            red, green, blue = np.float32(0), np.float32(0), np.float32(0)
            for i in range(n_sub):
                gy = (first + row + (i + 0.5) / n_sub) / STEP
                r = int(gy)
                fy = gy - r
                for j in range(n_sub):
                    gx = (col + (j + 0.5) / n_sub) / STEP
                    c = int(gx)
                    fx = gx - c
                    a, b = (1 - fy) * (1 - fx), (1 - fy) * fx
                    d, e = fy * (1 - fx), fy * fx
                    x = a * nodes[r, c, 0] + b * nodes[r, c + 1, 0]
                    x += d * nodes[r + 1, c, 0] + e * nodes[r + 1, c + 1, 0]
                    y = a * nodes[r, c, 1] + b * nodes[r, c + 1, 1]
                    y += d * nodes[r + 1, c, 1] + e * nodes[r + 1, c + 1, 1]
                    if not (x >= 0 and y >= 0 and x <= width and y <= height):
                        continue
                    x0, y0 = math.floor(x - 0.5), math.floor(y - 0.5)
                    _weights(x - 0.5 - x0, wx)
                    _weights(y - 0.5 - y0, wy)
                    for m in range(4):
                        rows[m] = min(max(y0 + m - 1, 0), height - 1)
                        cols[m] = min(max(x0 + m - 1, 0), width - 1)
                    for m in range(4):
                        for n in range(4):
                            weight = wy[m] * wx[n]
                            pixel = image[rows[m], cols[n]]
                            red += weight * np.float32(pixel[0])
                            if n_channels > 1:
                                green += weight * np.float32(pixel[second])
                                blue += weight * np.float32(pixel[third])
            # at sharp edges a cubic overshoots
            out[row, col, 0] = min(max(factor * red, np.float32(0)), np.float32(1))
            if n_channels > 1:
                out[row, col, second] = min(max(factor * green, np.float32(0)), np.float32(1))
                out[row, col, third] = min(max(factor * blue, np.float32(0)), np.float32(1))
