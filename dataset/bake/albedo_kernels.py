"""The compiled loops of `albedo.py`: photographs reduced, looked at from texels, added up."""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from ...core.arrays import Bytes, Floats, Floats32, Ints
from ..kernels import FAST


class Texels(NamedTuple):
    """The texels of a chart on a surface."""

    face: Ints
    """(n, n), -1 outside the chart."""
    weights: Floats32
    """(n, n, 2): what the face's second and third corner weigh."""
    faces: Ints
    """(F, 3)."""
    vertices: Floats32
    """(V, 3), world."""
    normals: Floats32
    """(V, 3) smooth, unit, world."""
    displacement: Floats32
    """(d, d) along the normal, world unit; (0, 0) for none."""


class Eye(NamedTuple):
    """A photograph as the kernels take it."""

    image: Bytes
    """(h, w, 3) sRGB-coded, at 1 / `scale` of the camera's image."""
    scale: float
    P: Floats
    """(3, 4) for the camera's image."""
    center: Floats
    """(3,)."""
    depth: Floats32
    """Nearest depth, at 1 / `depth_scale` of the camera's image."""
    depth_scale: float
    bias: float
    """By which a texel may lie behind the nearest depth."""
    focal: float
    table: Floats32
    """(256,) linear light of the codes."""
    black: Floats
    """(3,) linear."""
    matrix: Floats
    """(3, 3), exposure and gain included."""
    falloff: Floats
    """(2,): k1, k2 of the lens's fall-off."""


@njit(nogil=True, cache=True, fastmath=FAST)
def reduce_image(start, stop, image, factor, encode, clip_low, clip_high, color, exposed, detail):  # type: ignore[no-untyped-def]
    """Average blocks of `factor` pixels in linear light; tell how well they are exposed.

    `exposed` (h, w) takes the share of pixels within the sensor's range, `detail` (h, w) the
    mean difference of neighbouring greens, relative: how sharp the picture is there.
    """
    table, codes = encode
    width, last = exposed.shape[1], len(codes) - 1
    for row in range(start, stop):
        for col in range(width):
            total = np.zeros(3)
            good, change, level = 0, 0.0, 0.0
            for i in range(row * factor, (row + 1) * factor):
                for j in range(col * factor, (col + 1) * factor):
                    most = 0
                    for c in range(3):
                        total[c] += table[image[i, j, c]]
                        most = max(most, image[i, j, c])
                    good += clip_low <= most <= clip_high
                    g = float(image[i, j, 1])
                    below = float(image[min(i + 1, image.shape[0] - 1), j, 1])
                    right = float(image[i, min(j + 1, image.shape[1] - 1), 1])
                    change += abs(g - below) + abs(g - right)
                    level += g
            n = factor * factor
            for c in range(3):
                color[row, col, c] = codes[int(total[c] / n * last + 0.5)]
            exposed[row, col] = good / n
            detail[row, col] = change / (level + 10.0 * n)


@njit(cache=True, inline="always")
def _place(texels, row, col, n):  # type: ignore[no-untyped-def]
    """Return position and normal of a texel."""
    f = texels.face[row, col]
    a, b, c = texels.faces[f, 0], texels.faces[f, 1], texels.faces[f, 2]
    wb, wc = texels.weights[row, col, 0], texels.weights[row, col, 1]
    wa = 1 - wb - wc
    v, m = texels.vertices, texels.normals
    nx = wa * m[a, 0] + wb * m[b, 0] + wc * m[c, 0]
    ny = wa * m[a, 1] + wb * m[b, 1] + wc * m[c, 1]
    nz = wa * m[a, 2] + wb * m[b, 2] + wc * m[c, 2]
    k = 1.0 / (math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12)
    nx, ny, nz = nx * k, ny * k, nz * k
    up = 0.0
    d = len(texels.displacement)
    if d > 0:
        up = texels.displacement[row * d // n, col * d // n]
    x = wa * v[a, 0] + wb * v[b, 0] + wc * v[c, 0] + up * nx
    y = wa * v[a, 1] + wb * v[b, 1] + wc * v[c, 1] + up * ny
    z = wa * v[a, 2] + wb * v[b, 2] + wc * v[c, 2] + up * nz
    return x, y, z, nx, ny, nz


@njit(cache=True, inline="always")
def _seen(eye, x, y, z, nx, ny, nz, least_cosine):  # type: ignore[no-untyped-def]
    """Return pixel place, cosine and pixels a length of surface; cosine 0 where it is not seen."""
    P = eye.P
    depth = P[2, 0] * x + P[2, 1] * y + P[2, 2] * z + P[2, 3]
    if depth <= 0:
        return 0.0, 0.0, 0.0, 0.0
    dx, dy, dz = eye.center[0] - x, eye.center[1] - y, eye.center[2] - z
    cosine = (dx * nx + dy * ny + dz * nz) / math.sqrt(dx * dx + dy * dy + dz * dz)
    if cosine < least_cosine:
        return 0.0, 0.0, 0.0, 0.0
    u = (P[0, 0] * x + P[0, 1] * y + P[0, 2] * z + P[0, 3]) / depth
    w = (P[1, 0] * x + P[1, 1] * y + P[1, 2] * z + P[1, 3]) / depth
    i, j = int(w / eye.depth_scale), int(u / eye.depth_scale)
    if u < 0 or w < 0 or i >= eye.depth.shape[0] or j >= eye.depth.shape[1]:
        return 0.0, 0.0, 0.0, 0.0
    # a pixel of the buffer spans this much depth on the slope
    slope = eye.depth_scale * depth / eye.focal * math.sqrt(1 - cosine * cosine) / cosine
    if depth > eye.depth[i, j] + eye.bias + slope:
        return 0.0, 0.0, 0.0, 0.0
    return u, w, cosine, cosine * eye.focal / depth


@njit(cache=True, inline="always")
def _corrected(eye, r, g, b, u, w):  # type: ignore[no-untyped-def]
    """Take the file's linear light to the session's, at the camera's pixel (u, w)."""
    width, height = eye.image.shape[1] * eye.scale, eye.image.shape[0] * eye.scale
    x, y = u - width / 2, w - height / 2
    r2 = 4 * (x * x + y * y) / (width * width + height * height)
    k = 1.0 / (1 + r2 * (eye.falloff[0] + eye.falloff[1] * r2))
    r, g, b = (r - eye.black[0]) * k, (g - eye.black[1]) * k, (b - eye.black[2]) * k
    M = eye.matrix
    return (
        M[0, 0] * r + M[0, 1] * g + M[0, 2] * b,
        M[1, 0] * r + M[1, 1] * g + M[1, 2] * b,
        M[2, 0] * r + M[2, 1] * g + M[2, 2] * b,
    )


@njit(cache=True, inline="always")
def _linear_tap(values, x, y):  # type: ignore[no-untyped-def]
    """Interpolate a map (h, w) bilinearly at a place in its own pixels."""
    height, width = values.shape
    x, y = min(max(x - 0.5, 0.0), width - 1.001), min(max(y - 0.5, 0.0), height - 1.001)
    j, i = int(x), int(y)
    fx, fy = x - j, y - i
    upper = values[i, j] * (1 - fx) + values[i, j + 1] * fx
    lower = values[i + 1, j] * (1 - fx) + values[i + 1, j + 1] * fx
    return upper * (1 - fy) + lower * fy


@njit(cache=True, inline="always")
def _cubic(t):  # type: ignore[no-untyped-def]
    """Weights of four samples round a place (Keys, a = -1/2)."""
    t2, t3 = t * t, t * t * t
    return (
        -0.5 * t + t2 - 0.5 * t3,
        1 - 2.5 * t2 + 1.5 * t3,
        0.5 * t + 2 * t2 - 1.5 * t3,
        -0.5 * t2 + 0.5 * t3,
    )


@njit(cache=True, inline="always")
def _color(eye, u, w):  # type: ignore[no-untyped-def]
    """Linear light of the photograph at the camera's pixel (u, w), and its largest code."""
    height, width = eye.image.shape[:2]
    x, y = u / eye.scale - 0.5, w / eye.scale - 0.5
    j, i = math.floor(x), math.floor(y)
    wx, wy = _cubic(x - j), _cubic(y - i)
    r, g, b, most = 0.0, 0.0, 0.0, 0
    for di in range(4):
        row = min(max(i - 1 + di, 0), height - 1)
        for dj in range(4):
            col = min(max(j - 1 + dj, 0), width - 1)
            k = wy[di] * wx[dj]
            p = eye.image[row, col]
            r += k * eye.table[p[0]]
            g += k * eye.table[p[1]]
            b += k * eye.table[p[2]]
            most = max(most, p[0], p[1], p[2])
    return r, g, b, most


@njit(nogil=True, cache=True, fastmath=FAST)
def look(  # type: ignore[no-untyped-def]
    start, stop, texels, eye, trust, exposed, detail, least_cosine, color, weight, fine, sharp
):
    """Fill what a view shows of each texel: colour, trust and how finely it is resolved.

    `weight` (n, n) is 0 where the texel is not seen; `fine` takes the pixels that a length of
    surface has, `sharp` the picture's `detail`.
    """
    n = len(weight)
    for row in range(start, stop):
        for col in range(n):
            weight[row, col], fine[row, col], sharp[row, col] = 0.0, 0.0, 0.0
            if texels.face[row, col] < 0:
                continue
            x, y, z, nx, ny, nz = _place(texels, row, col, n)
            u, w, cosine, pixels = _seen(eye, x, y, z, nx, ny, nz, least_cosine)
            if cosine <= 0:
                continue
            r, g, b, _ = _color(eye, u, w)
            r, g, b = _corrected(eye, r, g, b, u, w)
            color[row, col, 0], color[row, col, 1] = max(r, 0.0), max(g, 0.0)
            color[row, col, 2] = max(b, 0.0)
            s = eye.scale
            edge = min(1.0, (cosine - least_cosine) / 0.25)
            open_ = 0.02 + 0.98 * _linear_tap(trust, u / s, w / s)
            lit = 0.01 + 0.99 * _linear_tap(exposed, u / s, w / s)
            weight[row, col] = (0.02 + 0.98 * edge) * open_ * lit * cosine
            fine[row, col], sharp[row, col] = pixels, _linear_tap(detail, u / s, w / s)


@njit(nogil=True, cache=True, fastmath=FAST)
def add_view(  # type: ignore[no-untyped-def]
    start, stop, texels, eye, share, offset, clip, least_cosine, least_share, total, weight, count
):
    """Add a view's colours, less its smooth `offset` (m, m, 3), weighted by `share` (m, m).

    `share` is 1 for the view that shows a texel best. A view of a small share is not looked
    at, for speed.
    """
    n, m = len(weight), len(share)
    for row in range(start, stop):
        for col in range(n):
            if texels.face[row, col] < 0:
                continue
            sx, sy = (col + 0.5) * m / n, (row + 0.5) * m / n
            k = _linear_tap(share, sx, sy)
            if k < least_share:
                continue
            x, y, z, nx, ny, nz = _place(texels, row, col, n)
            u, w, cosine, _ = _seen(eye, x, y, z, nx, ny, nz, least_cosine)
            if cosine <= 0:
                continue
            r, g, b, most = _color(eye, u, w)
            if most > clip:
                k *= 0.05
            r, g, b = _corrected(eye, r, g, b, u, w)
            weight[row, col] += k
            count[row, col] += 1
            total[row, col, 0] += k * (r - _linear_tap(offset[:, :, 0], sx, sy))
            total[row, col, 1] += k * (g - _linear_tap(offset[:, :, 1], sx, sy))
            total[row, col, 2] += k * (b - _linear_tap(offset[:, :, 2], sx, sy))


@njit(nogil=True, cache=True, fastmath=FAST)
def weighted_quantile(start, stop, colors, weights, share, out):  # type: ignore[no-untyped-def]
    """Fill (n, n, 3) with the weighted quantile over the views of (K, n, n, 3), each channel.

    Piecewise linear in the weights, so that it changes smoothly where a view fades out.
    """
    n_views = len(weights)
    for row in range(start, stop):
        value, mass = np.zeros(n_views), np.zeros(n_views)
        for col in range(weights.shape[2]):
            for c in range(3):
                k = 0
                for view in range(n_views):
                    w = weights[view, row, col]
                    if w <= 0:
                        continue
                    v, i = colors[view, row, col, c], k
                    while i > 0 and value[i - 1] > v:
                        value[i], mass[i] = value[i - 1], mass[i - 1]
                        i -= 1
                    value[i], mass[i] = v, w
                    k += 1
                out[row, col, c] = _quantile(value, mass, k, share) if k > 0 else 0.0


@njit(cache=True)
def _quantile(value, mass, k, share):  # type: ignore[no-untyped-def]
    wanted, before = share * mass[:k].sum(), 0.0
    middle, last_middle, last = 0.0, 0.0, value[0]
    for i in range(k):
        middle = before + 0.5 * mass[i]
        if middle >= wanted:
            if i == 0:
                return value[0]
            t = (wanted - last_middle) / max(middle - last_middle, 1e-12)
            return last + t * (value[i] - last)
        before += mass[i]
        last_middle, last = middle, value[i]
    return last


@njit(nogil=True, cache=True, fastmath=FAST)
def divide_light(  # type: ignore[no-untyped-def]
    start, stop, texels, light, normals, coefficients, softness, most_detail, darkest, color
):
    """Divide colours (n, n, 3) by the light (V,) of the vertices, and by that of fine normals.

    No light is taken to be less than `darkest`.
    `normals` (d, d, 3), world; (0, 0, 3) for none. `coefficients` (9,) of the light as
    `delight.irradiance` takes them.
    """
    n, d = len(color), len(normals)
    for row in range(start, stop):
        for col in range(n):
            f = texels.face[row, col]
            if f < 0:
                continue
            wb, wc = texels.weights[row, col, 0], texels.weights[row, col, 1]
            e = (1 - wb - wc) * light[texels.faces[f, 0]]
            e += wb * light[texels.faces[f, 1]] + wc * light[texels.faces[f, 2]]
            if d > 0:
                _, _, _, nx, ny, nz = _place(texels, row, col, n)
                fine = normals[row * d // n, col * d // n]
                plain = _irradiance(coefficients, nx, ny, nz)
                x = softness * nx + (1 - softness) * fine[0]
                y = softness * ny + (1 - softness) * fine[1]
                z = softness * nz + (1 - softness) * fine[2]
                k = 1.0 / (math.sqrt(x * x + y * y + z * z) + 1e-12)
                bumped = _irradiance(coefficients, x * k, y * k, z * k)
                if plain > 0 and bumped > 0:
                    e *= min(max(bumped / plain, 1 / most_detail), most_detail)
            e = max(e, darkest)
            for c in range(3):
                color[row, col, c] /= e


@njit(cache=True, inline="always")
def _irradiance(k, x, y, z):  # type: ignore[no-untyped-def]
    """Irradiance by the nine products of the normal, each with its convolved coefficient."""
    return (
        k[0] + k[1] * y + k[2] * z + k[3] * x + k[4] * x * y + k[5] * y * z
        + k[6] * (3 * z * z - 1) + k[7] * x * z + k[8] * (x * x - y * y)
    )  # fmt: skip
