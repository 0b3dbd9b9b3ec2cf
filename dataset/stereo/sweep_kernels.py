"""The compiled loop of the surface sweep; `sweep.py` says what it does."""

import math

import numpy as np
from numba import njit, prange

from .kernels import FAST

_LEAST_SQUARE = 2e-6  # variance of a patch that is noise alone: 1/3 of an 8-bit level


@njit(cache=True, fastmath=FAST, inline="always")
def _patch(image, height, width, p, x, f, t, b, radius, window, out):  # type: ignore[no-untyped-def]
    """Sample the tangent patch round `x` in a view: weighted mean zero, variance one.

    Return False where it leaves the image or has no texture. The projection is linearised at
    `x` (affine).
    """
    w = p[2, 0] * x[0] + p[2, 1] * x[1] + p[2, 2] * x[2] + p[2, 3]
    u0 = (p[0, 0] * x[0] + p[0, 1] * x[1] + p[0, 2] * x[2] + p[0, 3]) / w
    v0 = (p[1, 0] * x[0] + p[1, 1] * x[1] + p[1, 2] * x[2] + p[1, 3]) / w
    wt = p[2, 0] * t[0] + p[2, 1] * t[1] + p[2, 2] * t[2]
    ut = (p[0, 0] * t[0] + p[0, 1] * t[1] + p[0, 2] * t[2] - u0 * wt) / w * f
    vt = (p[1, 0] * t[0] + p[1, 1] * t[1] + p[1, 2] * t[2] - v0 * wt) / w * f
    wb = p[2, 0] * b[0] + p[2, 1] * b[1] + p[2, 2] * b[2]
    ub = (p[0, 0] * b[0] + p[0, 1] * b[1] + p[0, 2] * b[2] - u0 * wb) / w * f
    vb = (p[1, 0] * b[0] + p[1, 1] * b[1] + p[1, 2] * b[2] - v0 * wb) / w * f
    reach_u = radius * (abs(ut) + abs(ub)) + 1.5
    reach_v = radius * (abs(vt) + abs(vb)) + 1.5
    if w <= 0 or not (
        u0 > reach_u and v0 > reach_v and u0 < width - reach_u and v0 < height - reach_v
    ):
        return False
    mean, k = np.float32(0.0), 0
    for i in range(-radius, radius + 1):
        for j in range(-radius, radius + 1):
            u = u0 + i * ut + j * ub - 0.5
            v = v0 + i * vt + j * vb - 0.5
            col, row = int(u), int(v)
            fu, fv = np.float32(u - col), np.float32(v - row)
            top = image[row, col] + fu * (image[row, col + 1] - image[row, col])
            low = image[row + 1, col] + fu * (image[row + 1, col + 1] - image[row + 1, col])
            value = top + fv * (low - top)
            out[k] = value
            mean += window[k] * value
            k += 1
    square = np.float32(0.0)
    for k in range(len(out)):
        out[k] -= mean
        square += window[k] * out[k] * out[k]
    if square < _LEAST_SQUARE:
        return False
    scale = np.float32(1.0) / math.sqrt(square)
    for k in range(len(out)):
        out[k] *= scale
    return True


@njit(cache=True, fastmath=FAST, inline="always")
def _best_triple(patches, used, window):  # type: ignore[no-untyped-def]
    """Return the best mean of a view's two best NCC with others (of the one, if there is one)."""
    most, n = patches.shape
    n_used = 0
    ncc = np.full((most, most), -1.0, np.float32)
    for c in range(most):
        if not used[c]:
            continue
        n_used += 1
        for e in range(c):
            if used[e]:
                total = np.float32(0.0)
                for k in range(n):
                    total += window[k] * patches[c, k] * patches[e, k]
                ncc[c, e] = total
                ncc[e, c] = total
    best = np.float32(-1.0)
    if n_used < 2:
        return best
    for c in range(most):
        if not used[c]:
            continue
        first, second = np.float32(-1.0), np.float32(-1.0)
        for e in range(most):
            if e != c and used[e]:
                if ncc[c, e] > first:
                    first, second = ncc[c, e], first
                elif ncc[c, e] > second:
                    second = ncc[c, e]
        best = max(best, first if n_used == 2 else np.float32(0.5) * (first + second))
    return best


@njit(cache=True)
def _window(radius):  # type: ignore[no-untyped-def]
    """Return the Gaussian weights of a patch, of sum one.

    Not within the parallel function: there the sum would depend on the number of threads.
    """
    n_side = 2 * radius + 1
    window = np.empty(n_side * n_side, np.float32)
    for a in range(n_side):
        for b in range(n_side):
            far = (a - radius) ** 2 + (b - radius) ** 2
            window[a * n_side + b] = math.exp(-far / (2.0 * (0.65 * radius) ** 2))
    return window / window.sum()


@njit(parallel=True, cache=True, fastmath=FAST)
def score_profiles(  # type: ignore[no-untyped-def]
    vertices, normals, footprint, chosen, images, sizes, P, n_steps, step_px, radius, profile
):
    """Fill `profile` (V, 2 n_steps + 1) with the agreement of the views at each offset."""
    n_side = 2 * radius + 1
    n = n_side * n_side
    most = chosen.shape[1]
    window = _window(radius)
    for v in prange(len(vertices)):
        if chosen[v, 1] < 0:
            continue
        normal = normals[v]
        tangent, other, x = np.empty(3), np.empty(3), np.empty(3)
        if abs(normal[1]) < 0.9:
            tangent[0], tangent[1], tangent[2] = normal[2], 0.0, -normal[0]
        else:
            tangent[0], tangent[1], tangent[2] = 0.0, normal[2], -normal[1]
        tangent /= math.sqrt((tangent * tangent).sum()) + 1e-30
        other[0] = normal[1] * tangent[2] - normal[2] * tangent[1]
        other[1] = normal[2] * tangent[0] - normal[0] * tangent[2]
        other[2] = normal[0] * tangent[1] - normal[1] * tangent[0]
        patches, used = np.empty((most, n), np.float32), np.zeros(most, np.bool_)
        for step in range(-n_steps, n_steps + 1):
            s = step * step_px * footprint[v]
            for k in range(3):
                x[k] = vertices[v, k] + s * normal[k]
            for c in range(most):
                view = chosen[v, c]
                used[c] = view >= 0 and _patch(
                    images[view], sizes[view, 0], sizes[view, 1], P[view], x, footprint[v],
                    tangent, other, radius, window, patches[c],
                )  # fmt: skip
            profile[v, step + n_steps] = _best_triple(patches, used, window)
