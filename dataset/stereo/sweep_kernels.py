"""The compiled loops of the surface sweep; `sweep.py` says what they do.

Vertices are taken 64 at a time, and every loop over them is one of plain vector arithmetic;
only the reads of the images go one by one. Images come packed: a 32-bit word holds a pixel's
grey in its low half and that of the pixel to the right in its high half, so that a bilinear
sample is two reads.
"""

import math

import numpy as np
from numba import njit, prange

from ..kernels import FAST

LANES = 64
"""Vertices in one block."""

REACH = 64
"""Pixels that a patch may reach from its vertex's projection, and empty pixels before an image."""

FULL = 65535
"""Packed value of grey 1."""

LEAST_SQUARE = 2e-6 * FULL**2
"""Variance of a patch that is noise alone: 1/3 of an 8-bit level."""


@njit(cache=True, fastmath=FAST)
def _project(vertex, normal, size, p, width, height, start, reach_steps, radius, geometry, lane):  # type: ignore[no-untyped-def]
    """Linearise a view's projection at a vertex; return the word its offsets count from, or -1.

    `geometry[:, lane]` takes the vertex's place (u, v) counted from that word, and the change
    of (u, v) for a footprint along the normal, the first and the second tangent; then that of
    the depth along the normal, as a share. -1 where the patch may leave the image.
    """
    n0, n1, n2 = normal[0], normal[1], normal[2]
    if abs(n1) < 0.9:
        t0, t1, t2 = n2, 0.0, -n0
    else:
        t0, t1, t2 = 0.0, n2, -n1
    shorten = 1 / (math.sqrt(t0 * t0 + t1 * t1 + t2 * t2) + 1e-30)
    t0, t1, t2 = shorten * t0, shorten * t1, shorten * t2
    b0, b1, b2 = n1 * t2 - n2 * t1, n2 * t0 - n0 * t2, n0 * t1 - n1 * t0
    x, y, z = vertex[0], vertex[1], vertex[2]
    w = p[2, 0] * x + p[2, 1] * y + p[2, 2] * z + p[2, 3]
    if w <= 0:
        return -1
    u = (p[0, 0] * x + p[0, 1] * y + p[0, 2] * z + p[0, 3]) / w
    v = (p[1, 0] * x + p[1, 1] * y + p[1, 2] * z + p[1, 3]) / w
    s = size / w
    wn = p[2, 0] * n0 + p[2, 1] * n1 + p[2, 2] * n2
    un = s * (p[0, 0] * n0 + p[0, 1] * n1 + p[0, 2] * n2 - u * wn)
    vn = s * (p[1, 0] * n0 + p[1, 1] * n1 + p[1, 2] * n2 - v * wn)
    wt = p[2, 0] * t0 + p[2, 1] * t1 + p[2, 2] * t2
    ut = s * (p[0, 0] * t0 + p[0, 1] * t1 + p[0, 2] * t2 - u * wt)
    vt = s * (p[1, 0] * t0 + p[1, 1] * t1 + p[1, 2] * t2 - v * wt)
    wb = p[2, 0] * b0 + p[2, 1] * b1 + p[2, 2] * b2
    ub = s * (p[0, 0] * b0 + p[0, 1] * b1 + p[0, 2] * b2 - u * wb)
    vb = s * (p[1, 0] * b0 + p[1, 1] * b1 + p[1, 2] * b2 - v * wb)
    # two pixels more: for the bilinear neighbours, and for what the perspective adds
    reach_u = radius * (abs(ut) + abs(ub)) + reach_steps * abs(un) + 2.0
    reach_v = radius * (abs(vt) + abs(vb)) + reach_steps * abs(vn) + 2.0
    if not (
        reach_u < min(u, width - u, float(REACH)) and reach_v < min(v, height - v, float(REACH))
    ):
        return -1
    # counted from a word that is near: float32 then holds 1e-5 of a pixel in any image
    col, row = int(u - 0.5), int(v - 0.5)
    geometry[0, lane], geometry[1, lane] = u - 0.5 - col + REACH, v - 0.5 - row + REACH
    geometry[2, lane], geometry[3, lane] = un, vn
    geometry[4, lane], geometry[5, lane] = ut, vt
    geometry[6, lane], geometry[7, lane] = ub, vb
    geometry[8, lane] = s * wn
    return start + (row - REACH) * width + col - REACH


@njit(cache=True, fastmath=FAST)
def _place(geometry, s, grid, width, word, frac_u, frac_v, middle):  # type: ignore[no-untyped-def]
    """Find where the samples of the patches lie at `s` footprints along the normals."""
    for lane in range(LANES):
        along = s / (np.float32(1) + s * geometry[8, lane])
        middle[0, lane] = geometry[0, lane] + along * geometry[2, lane]
        middle[1, lane] = geometry[1, lane] + along * geometry[3, lane]
    for k in range(len(word)):
        a, b = grid[0, k], grid[1, k]
        for lane in range(LANES):
            u = middle[0, lane] + a * geometry[4, lane] + b * geometry[6, lane]
            v = middle[1, lane] + a * geometry[5, lane] + b * geometry[7, lane]
            col, row = np.int32(u), np.int32(v)
            frac_u[k, lane] = u - np.float32(col)
            frac_v[k, lane] = v - np.float32(row)
            word[k, lane] = np.int32(np.int32(row * width[lane]) + col)


@njit(cache=True)
def _read(packed, begin, width, word, upper, lower):  # type: ignore[no-untyped-def]
    """Read the words of the upper and the lower row of each sample."""
    for k in range(len(word)):
        for lane in range(LANES):
            at = np.uint64(begin[lane] + np.int64(word[k, lane]))  # unsigned: no wrap-around
            upper[k, lane] = packed[at]
            lower[k, lane] = packed[at + np.uint64(width[lane])]


@njit(cache=True, fastmath=FAST)
def _compare(upper, lower, frac_u, frac_v, grid, inside, patch, used, scale, mean):  # type: ignore[no-untyped-def]
    """Interpolate; leave each patch times the roots of its weights, of weighted mean zero.

    `scale` takes the inverse of its deviation, `used` whether it has texture.
    """
    low = np.int32(FULL)
    for lane in range(LANES):
        mean[lane], scale[lane] = np.float32(0), np.float32(0)
    for k in range(len(upper)):
        weight = grid[2, k]
        for lane in range(LANES):
            a, b, f = upper[k, lane], lower[k, lane], frac_u[k, lane]
            a0, a1 = np.float32(np.int32(a & low)), np.float32(np.int32((a >> 16) & low))
            b0, b1 = np.float32(np.int32(b & low)), np.float32(np.int32((b >> 16) & low))
            above, below = a0 + f * (a1 - a0), b0 + f * (b1 - b0)
            value = above + frac_v[k, lane] * (below - above)
            patch[k, lane] = value
            mean[lane] += weight * value
    for k in range(len(upper)):
        root = grid[3, k]
        for lane in range(LANES):
            value = root * (patch[k, lane] - mean[lane])
            patch[k, lane] = value
            scale[lane] += value * value
    for lane in range(LANES):
        textured = scale[lane] > np.float32(LEAST_SQUARE)
        used[lane] = inside[lane] if textured else np.float32(0)
        scale[lane] = np.float32(1) / math.sqrt(scale[lane] if textured else np.float32(1))


@njit(cache=True, fastmath=FAST)
def _best_triples(patches, used, scale, first, second, total, best):  # type: ignore[no-untyped-def]
    """Fill `best` with the best mean of a view's two best NCC with others; -1 of fewer than two.

    Of the one NCC where only two views are used.
    """
    most, n = patches.shape[0], patches.shape[1]
    none = np.float32(-1)
    for c in range(most):
        for lane in range(LANES):
            first[c, lane], second[c, lane] = none, none
    for c in range(1, most):
        for e in range(c):
            for lane in range(LANES):
                total[lane] = np.float32(0)
            for k in range(n):
                for lane in range(LANES):
                    total[lane] += patches[c, k, lane] * patches[e, k, lane]
            for lane in range(LANES):
                ncc = total[lane] * scale[c, lane] * scale[e, lane]
                ncc = ncc if used[c, lane] * used[e, lane] > 0 else none
                lesser = min(ncc, first[c, lane])
                first[c, lane] = max(ncc, first[c, lane])
                second[c, lane] = max(lesser, second[c, lane])
                lesser = min(ncc, first[e, lane])
                first[e, lane] = max(ncc, first[e, lane])
                second[e, lane] = max(lesser, second[e, lane])
    for lane in range(LANES):
        total[lane], best[lane] = np.float32(0), none
    for c in range(most):
        for lane in range(LANES):
            total[lane] += used[c, lane]
    for c in range(most):
        for lane in range(LANES):
            pair = total[lane] < np.float32(2.5)
            both = np.float32(0.5) * (first[c, lane] + second[c, lane])
            best[lane] = max(best[lane], first[c, lane] if pair else both)


@njit(parallel=True, cache=True, fastmath=FAST)
def score_profiles(  # type: ignore[no-untyped-def]
    rows, vertices, normals, footprint, chosen, packed, starts, sizes, P, steps, grid, profile
):
    """Fill the `rows` of `profile` (V, n) with the views' agreement at `steps` (n,), footprints.

    The steps reach equally far to both sides. `grid` (4, S) holds the samples of a patch: places
    along the tangents, weights of sum one, and their roots.
    """
    n, most = grid.shape[1], chosen.shape[1]
    radius, reach = grid[0].max(), steps.max()
    for block in prange((len(rows) + LANES - 1) // LANES):
        begin = np.zeros((most, LANES), np.int64)
        width = np.zeros((most, LANES), np.int32)
        geometry = np.zeros((most, 9, LANES), np.float32)
        inside = np.zeros((most, LANES), np.float32)
        used, scale = np.zeros((most, LANES), np.float32), np.zeros((most, LANES), np.float32)
        first, second = np.zeros((most, LANES), np.float32), np.zeros((most, LANES), np.float32)
        word, upper = np.zeros((n, LANES), np.int32), np.zeros((n, LANES), np.int32)
        lower = np.zeros((n, LANES), np.int32)
        frac_u, frac_v = np.zeros((n, LANES), np.float32), np.zeros((n, LANES), np.float32)
        middle, total = np.zeros((2, LANES), np.float32), np.zeros(LANES, np.float32)
        best, patches = np.zeros(LANES, np.float32), np.zeros((most, n, LANES), np.float32)
        n_lanes = min(LANES, len(rows) - block * LANES)
        for c in range(most):
            for lane in range(n_lanes):
                v = rows[block * LANES + lane]
                view = chosen[v, c]
                if view < 0:
                    continue
                begin[c, lane] = _project(
                    vertices[v], normals[v], footprint[v], P[view], sizes[view, 1],
                    sizes[view, 0], starts[view], reach, radius, geometry[c], lane,
                )  # fmt: skip
                if begin[c, lane] < 0:
                    begin[c, lane] = 0
                    geometry[c, :, lane] = 0
                else:
                    inside[c, lane] = 1
                    width[c, lane] = sizes[view, 1]
        for i in range(len(steps)):
            for c in range(most):
                _place(geometry[c], steps[i], grid, width[c], word, frac_u, frac_v, middle)
                _read(packed, begin[c], width[c], word, upper, lower)
                _compare(
                    upper, lower, frac_u, frac_v, grid, inside[c], patches[c], used[c],
                    scale[c], total,
                )  # fmt: skip
            _best_triples(patches, used, scale, first, second, total, best)
            for lane in range(n_lanes):
                profile[rows[block * LANES + lane], i] = best[lane]


@njit(parallel=True, cache=True, fastmath=FAST)
def smooth_profiles(starts, neighbours, profile, out):  # type: ignore[no-untyped-def]
    """Fill `out` with each profile blended with its neighbours', 0.4 to 0.6; -1 is unmeasured."""
    n = profile.shape[1]
    for v in prange(len(profile)):
        total, count = np.zeros(n, np.float32), np.zeros(n, np.float32)
        for i in range(starts[v], starts[v + 1]):
            j = neighbours[i]
            for k in range(n):
                value = profile[j, k]
                known = np.float32(1) if value > np.float32(-1) else np.float32(0)
                total[k] += known * value
                count[k] += known
        for k in range(n):
            value = profile[v, k]
            around = total[k] / max(count[k], np.float32(1e-6))
            blended = np.float32(0.4) * value + np.float32(0.6) * around
            out[v, k] = blended if value > np.float32(-1) else np.float32(-1)


@njit(cache=True, fastmath=FAST)
def update_tops(smooth, start, top, largest):  # type: ignore[no-untyped-def]
    """Take the columns of `smooth` (V, C), which are `start` and on, into the largest so far."""
    for v in range(len(smooth)):
        for k in range(smooth.shape[1]):
            if smooth[v, k] > largest[v]:
                largest[v] = smooth[v, k]
                top[v] = start + k


@njit(parallel=True, cache=True, fastmath=FAST)
def find_peaks(profile, tops, least_score, offset, score, curvature):  # type: ignore[no-untyped-def]
    """Fill (V,) `offset` in steps from the middle, `score` and `curvature` (per squared step).

    `tops` (V,) are the smoothed profiles' peaks. `score` stays -1 where that is at an end, or
    measures nothing.
    """
    n = profile.shape[1]
    for v in prange(len(profile)):
        top = tops[v]
        score[v] = -1
        if top == 0 or top == n - 1:
            continue
        # the raw profile's own peak within one step of the smoothed one
        near = top - 1
        for k in range(top, top + 2):
            if profile[v, k] > profile[v, near]:
                near = k
        near = min(max(near, 1), n - 2)
        left, mid, right = profile[v, near - 1], profile[v, near], profile[v, near + 1]
        if not (mid > least_score and left > -1 and right > -1):
            continue
        bend = 2 * mid - left - right
        shift = 0.5 * (right - left) / bend if bend > 1e-6 else 0.0
        offset[v] = near - n // 2 + min(max(shift, -0.75), 0.75)
        score[v] = mid
        curvature[v] = max(bend, np.float32(0))
