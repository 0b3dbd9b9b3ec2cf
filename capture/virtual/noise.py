"""Procedural 3-D noise for skin and sensor, a pure function of place and an integer seed."""

import math

import numpy as np
from numba import njit


@njit(cache=True, inline="always")
def _hash(x, y, z, seed):  # type: ignore[no-untyped-def]
    """Mix a lattice point to 32 bits; numba widens products, so each is cut back."""
    h = np.uint32(np.uint32(x) * np.uint32(0x8DA6B343))
    h = np.uint32(h ^ np.uint32(np.uint32(y) * np.uint32(0xD8163841)))
    h = np.uint32(h ^ np.uint32(np.uint32(z) * np.uint32(0xCB1AB31F)))
    h = np.uint32(h ^ np.uint32(np.uint32(seed) * np.uint32(0x9E3779B1)))
    h = np.uint32(np.uint32(h ^ (h >> np.uint32(15))) * np.uint32(0x2C1B3C6D))
    h = np.uint32(np.uint32(h ^ (h >> np.uint32(12))) * np.uint32(0x297A2D39))
    return np.uint32(h ^ (h >> np.uint32(15)))


@njit(cache=True, inline="always")
def _slope(h, x, y, z):  # type: ignore[no-untyped-def]
    """Dot product with one of the twelve edge directions of a cube."""
    k = h % np.uint32(12)
    a = x if k < 8 else y
    b = y if k < 4 else z
    return (-a if h & np.uint32(0x10000) else a) + (-b if h & np.uint32(0x20000) else b)


@njit(cache=True)
def gradient_noise(x, y, z, seed):  # type: ignore[no-untyped-def]
    """Smooth noise of unit wavelength: zero at the lattice, within [-1, 1], mean zero, sd 0.25.

    Source
    ------
    Perlin, Improving noise, SIGGRAPH 2002 (quintic fade, edge gradients); the hash is ours.
    """
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    x0, y0, z0 = x - i, y - j, z - k
    x1, y1, z1 = x0 - 1.0, y0 - 1.0, z0 - 1.0
    u = x0 * x0 * x0 * (x0 * (x0 * 6.0 - 15.0) + 10.0)
    v = y0 * y0 * y0 * (y0 * (y0 * 6.0 - 15.0) + 10.0)
    w = z0 * z0 * z0 * (z0 * (z0 * 6.0 - 15.0) + 10.0)
    a = _slope(_hash(i, j, k, seed), x0, y0, z0)
    b = _slope(_hash(i + 1, j, k, seed), x1, y0, z0)
    c = _slope(_hash(i, j + 1, k, seed), x0, y1, z0)
    d = _slope(_hash(i + 1, j + 1, k, seed), x1, y1, z0)
    e = _slope(_hash(i, j, k + 1, seed), x0, y0, z1)
    f = _slope(_hash(i + 1, j, k + 1, seed), x1, y0, z1)
    g = _slope(_hash(i, j + 1, k + 1, seed), x0, y1, z1)
    h = _slope(_hash(i + 1, j + 1, k + 1, seed), x1, y1, z1)
    near = a + u * (b - a)
    near += v * (c + u * (d - c) - near)
    far = e + u * (f - e)
    far += v * (g + u * (h - g) - far)
    return near + w * (far - near)


@njit(cache=True)
def dents(x, y, z, seed, density, smallest, largest):  # type: ignore[no-untyped-def]
    """Round dents strewn one a unit cell at most: 0 outside, 1 at a dent's centre.

    `density` is the share of cells with a dent; radii lie in [`smallest`, `largest`] cells
    (below 0.5, so that a dent reaches no further than the next cell).
    """
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    reach = largest
    a0, a1 = (-1 if x - i < reach else 0), (2 if x - i > 1 - reach else 1)
    b0, b1 = (-1 if y - j < reach else 0), (2 if y - j > 1 - reach else 1)
    c0, c1 = (-1 if z - k < reach else 0), (2 if z - k > 1 - reach else 1)
    deepest = 0.0
    for a in range(a0, a1):
        for b in range(b0, b1):
            for c in range(c0, c1):
                h = _hash(i + a, j + b, k + c, seed)
                if (h & np.uint32(0xFFFF)) > density * 65535.0:
                    continue
                g = _hash(i + a, j + b, k + c, seed + 1)
                dx = i + a + (g & np.uint32(0xFF)) / 255.0 - x
                dy = j + b + ((g >> np.uint32(8)) & np.uint32(0xFF)) / 255.0 - y
                dz = k + c + ((g >> np.uint32(16)) & np.uint32(0xFF)) / 255.0 - z
                r = smallest + (largest - smallest) * (g >> np.uint32(24)) / 255.0
                q = (dx * dx + dy * dy + dz * dz) / (r * r)
                if q < 1.0:
                    deepest = max(deepest, (1 - q) * (1 - q))
    return deepest


@njit(cache=True, inline="always")
def smooth_step(x, low, high):  # type: ignore[no-untyped-def]
    """Rise smoothly from 0 at `low` to 1 at `high`."""
    t = min(1.0, max(0.0, (x - low) / (high - low)))
    return t * t * (3.0 - 2.0 * t)


@njit(cache=True, inline="always")
def normal_deviate(counter, seed):  # type: ignore[no-untyped-def]
    """Give the `counter`-th number of a stream of near-normal deviates: mean 0, sd 1.

    The sum of the eight bytes of a 64-bit hash: no farther out than 4.9, excess kurtosis -0.15.

    Source
    ------
    Hash: SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA 2014).
    """
    h = np.uint64(counter) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    h ^= h >> np.uint64(31)
    # bytes in pairs, then the four 16-bit sums: 0 to 2040, mean 1020, sd 209.02
    pairs = (h & np.uint64(0x00FF00FF00FF00FF)) + (
        (h >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
    )
    total = (pairs * np.uint64(0x0001000100010001)) >> np.uint64(48)
    return (np.float64(total) - 1020.0) * (1.0 / 209.0212)
