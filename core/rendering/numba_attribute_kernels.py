"""Compiled loops of `numba_backend.py`: values of vertices at pixels, and their gradient."""

import numpy as np
from numba import njit

from .numba_raster_kernels import triangle_at


@njit(nogil=True, cache=True)
def interpolate(tri, rast, bits, attribute, top, end, out):  # type: ignore[no-untyped-def]
    """Fill rows [top, end) of `out` (H, W, C) with `attribute` (V, C); 0 where nothing is seen."""
    n_channels = attribute.shape[1]
    for row in range(top, end):
        for column in range(rast.shape[1]):
            t = triangle_at(rast, bits, row, column)
            if t < 0 or t >= len(tri):
                for k in range(n_channels):
                    out[row, column, k] = 0.0
                continue
            a, b, c = tri[t, 0], tri[t, 1], tri[t, 2]
            u, v = rast[row, column, 0], rast[row, column, 1]
            rest = np.float32(1.0) - u - v
            for k in range(n_channels):
                out[row, column, k] = (
                    u * attribute[a, k] + v * attribute[b, k] + rest * attribute[c, k]
                )


@njit(nogil=True, cache=True)
def derivatives(tri, rast, bits, db, attribute, top, end, out):  # type: ignore[no-untyped-def]
    """Fill rows of `out` (H, W, 2 C): every channel's derivative by x, then by y, per pixel."""
    for row in range(top, end):
        for column in range(rast.shape[1]):
            t = triangle_at(rast, bits, row, column)
            for k in range(attribute.shape[1]):
                along_u, along_v = np.float32(0.0), np.float32(0.0)
                if t >= 0 and t < len(tri):
                    last = attribute[tri[t, 2], k]
                    along_u = attribute[tri[t, 0], k] - last
                    along_v = attribute[tri[t, 1], k] - last
                for axis in range(2):
                    out[row, column, 2 * k + axis] = (
                        along_u * db[row, column, axis] + along_v * db[row, column, 2 + axis]
                    )


@njit(nogil=True, cache=True)
def gradient_to_rast(tri, rast, bits, attribute, gradient, top, end, out):  # type: ignore[no-untyped-def]
    """Fill rows of `out` (H, W, 4), zero before: the gradient by u and v."""
    for row in range(top, end):
        for column in range(rast.shape[1]):
            t = triangle_at(rast, bits, row, column)
            if t < 0 or t >= len(tri):
                continue
            a, b, c = tri[t, 0], tri[t, 1], tri[t, 2]
            g_u, g_v = np.float32(0.0), np.float32(0.0)
            for k in range(attribute.shape[1]):
                g, last = gradient[row, column, k], attribute[c, k]
                g_u += g * (attribute[a, k] - last)
                g_v += g * (attribute[b, k] - last)
            out[row, column, 0], out[row, column, 1] = g_u, g_v


@njit(nogil=True, cache=True)
def gradient_to_attribute(tri, rast, bits, gradient, top, end, out):  # type: ignore[no-untyped-def]
    """Add the gradient of rows [top, end) to `out` (V, C), the piece's own."""
    n_channels = gradient.shape[2]
    for row in range(top, end):
        for column in range(rast.shape[1]):
            t = triangle_at(rast, bits, row, column)
            if t < 0 or t >= len(tri):
                continue
            a, b, c = tri[t, 0], tri[t, 1], tri[t, 2]
            u, v = rast[row, column, 0], rast[row, column, 1]
            rest = np.float32(1.0) - u - v
            for k in range(n_channels):
                g = gradient[row, column, k]
                out[a, k] += u * g
                out[b, k] += v * g
                out[c, k] += rest * g
