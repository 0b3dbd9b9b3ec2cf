"""The compiled loops of PatchMatch; `patchmatch.py` says what they do.

Depths lie on a grid of half the images' size: a grid pixel's window spans many image pixels, so
that one at every image pixel would say little more. A window's samples are laid out flat and
counted in fixed lanes of eight, which compilers turn into vector instructions; single precision
is enough for them, the geometry that places them is double.
"""

import math

import numpy as np
from numba import njit, prange

from ..kernels import FAST

WORST = 2.0
UNKNOWN_PAIR = 16  # the two best views, one + 16 * other: 0 and 1 until known
MARGIN = 5  # px that a window reaches beyond its middle
_ALONG = (-5, -3, -1, 0, 2, 4)  # image pixels sampled, from the first one right of the middle
_CELLS = [(r, c) for r in _ALONG for c in _ALONG if {r, c} & {-3, -1, 0, 2}]  # no corners: 32
N_SAMPLES = len(_CELLS)
ROWS = np.array([r for r, _ in _CELLS], np.int64)
COLS = np.array([c for _, c in _CELLS], np.int64)
_DY = (ROWS + 0.5).astype(np.float32)
_DX = (COLS + 0.5).astype(np.float32)
_SIGMA_PX = 4.0  # of the window's Gaussian
NEAR = np.exp(-(_DX**2 + _DY**2) / (2 * _SIGMA_PX**2)).astype(np.float32)
_SIGMA_GREY = 0.12  # what differs more from the middle lies on another surface
UNLIKE = np.float32(1 / (8 * _SIGMA_GREY**2))
LEAST_SQUARE = 1e-6  # variance of a patch that says nothing: 1/4 of an 8-bit level
ALONE = 0.3  # cost of being seen by one view only
HOPELESS = 0.15  # added to twice the cost to beat: more in both of the best views is given up
MOST_SIDEWAYS = 0.96  # sine² of the steepest slant, 78 degrees
_BLOCK = 64  # pixels that share a thread's buffers
_ZERO, _ONE = np.float32(0), np.float32(1)


@njit(cache=True)
def _key(row, col, seed, sweep):  # type: ignore[no-untyped-def]
    h = np.uint64(row) * np.uint64(0x9E3779B97F4A7C15)
    h ^= np.uint64(col + 1) * np.uint64(0xC2B2AE3D27D4EB4F)
    h ^= np.uint64(seed + 1) * np.uint64(0x165667B19E3779F9)
    h ^= np.uint64(sweep + 3) * np.uint64(0x27D4EB2F165667C5)
    return h


@njit(cache=True)
def _uniform(key, index):  # type: ignore[no-untyped-def]
    """Return number `index` of the stream `key`, in [0, 1) (SplitMix64)."""
    z = key + np.uint64(index + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)) * (1.0 / 16777216.0)


@njit(cache=True, fastmath=FAST)
def _lanes(work, at):  # type: ignore[no-untyped-def]
    """Sum the samples at `at`, in a fixed order: eight lanes, then pairs of lanes."""
    for k in range(8):
        work[at + k] = (work[at + k] + work[at + k + 8]) + (work[at + k + 16] + work[at + k + 24])
    for k in range(4):
        work[at + k] += work[at + k + 4]
    return (work[at] + work[at + 2]) + (work[at + 1] + work[at + 3])


@njit(cache=True, fastmath=FAST)
def _window(padded, row, col, reference, work):  # type: ignore[no-untyped-def]
    """Fill the reference window round the corner (row, col) of the image's pixels.

    `reference` becomes weights of sum one, then weight times value of weighted mean zero.
    Return the weighted root mean square of the values, 0 where there is no texture.
    """
    n, width = N_SAMPLES, padded.shape[1]
    flat = padded.ravel()
    origin = (row + MARGIN) * width + col + MARGIN
    middle, known = _ZERO, 0
    for k in range(4):
        value = flat[np.uint64(origin - (k & 1) - (k >> 1) * width)]
        if value >= 0:
            middle += value
            known += 1
    if known == 0:
        return 0.0
    middle /= np.float32(known)
    for k in range(n):
        work[2 * n + k] = flat[np.uint64(origin + ROWS[k] * width + COLS[k])]
    for k in range(n):
        value = work[2 * n + k]
        off = value - middle
        like = _ONE / (_ONE + off * off * UNLIKE)  # to the fourth: near a Gaussian, no exp
        like *= like
        weight = NEAR[k] * like * like if value >= 0 else _ZERO
        reference[k] = weight
        reference[n + k] = off
        work[k] = weight
        work[n + k] = weight * off
    total = _lanes(work, 0)
    if total <= 1e-6:  # of the middle alone
        return 0.0
    mean = _lanes(work, n) / total
    for k in range(n):
        weight = reference[k] / total
        off = reference[n + k] - mean
        reference[k] = weight
        reference[n + k] = weight * off
        work[k] = weight * off * off
    square = _lanes(work, 0)
    return math.sqrt(square) if square > LEAST_SQUARE else 0.0


@njit(cache=True, fastmath=FAST)
def _mismatch(reference, norm, image, start, width, u, v, ux, uy, vx, vy, cells, work):  # type: ignore[no-untyped-def]
    """Return 1 - NCC of the window with its affine image at (u, v); WORST without texture."""
    # three loops: the one that reads scattered places would keep the others from being vectors
    n = N_SAMPLES
    for k in range(n):
        su = u + ux * _DX[k] + uy * _DY[k]
        sv = v + vx * _DX[k] + vy * _DY[k]
        j, i = np.int32(su), np.int32(sv)
        work[k] = su - np.float32(j)
        work[n + k] = sv - np.float32(i)
        cells[k] = start + i * width + j
    for k in range(n):
        at = np.uint64(cells[k])
        low = at + np.uint64(width)
        work[2 * n + k] = image[at]
        work[3 * n + k] = image[at + np.uint64(1)]
        work[4 * n + k] = image[low]
        work[5 * n + k] = image[low + np.uint64(1)]
    for k in range(n):
        fu = work[k]
        top = work[2 * n + k] + fu * (work[3 * n + k] - work[2 * n + k])
        low = work[4 * n + k] + fu * (work[5 * n + k] - work[4 * n + k])
        value = top + work[n + k] * (low - top)
        part = reference[k] * value
        work[k] = part
        work[n + k] = part * value
        work[2 * n + k] = reference[n + k] * value
    total = _lanes(work, 0)
    variance = _lanes(work, n) - total * total
    if variance < LEAST_SQUARE:
        return WORST
    return 1.0 - _lanes(work, 2 * n) / (norm * math.sqrt(variance))


@njit(cache=True, fastmath=FAST)
def _in_view(s, norm, spot, inverse, m0, m1, others, buffers):  # type: ignore[no-untyped-def]
    """Return 1 - NCC in source view s of the plane of inverse depth `inverse` and gradient m."""
    flat, width, sizes, A, b, _ = others
    reference, cells, work = buffers
    x, y, dx, dy = spot
    w = A[s, 2, 0] * x + A[s, 2, 1] * y + A[s, 2, 2] + b[s, 2] * inverse
    if w <= 0:
        return WORST
    w = 1.0 / w
    u = (A[s, 0, 0] * x + A[s, 0, 1] * y + A[s, 0, 2] + b[s, 0] * inverse) * w
    v = (A[s, 1, 0] * x + A[s, 1, 1] * y + A[s, 1, 2] + b[s, 1] * inverse) * w
    # the homography A + b m^T, affine round (x, y)
    wx, wy = A[s, 2, 0] + b[s, 2] * m0, A[s, 2, 1] + b[s, 2] * m1
    ux, uy = (A[s, 0, 0] + b[s, 0] * m0 - u * wx) * w, (A[s, 0, 1] + b[s, 0] * m1 - u * wy) * w
    vx, vy = (A[s, 1, 0] + b[s, 1] * m0 - v * wx) * w, (A[s, 1, 1] + b[s, 1] * m1 - v * wy) * w
    u += ux * dx + uy * dy - 0.5
    v += vx * dx + vy * dy - 0.5
    reach_u, reach_v = MARGIN * (abs(ux) + abs(uy)), MARGIN * (abs(vx) + abs(vy))
    inside = u - reach_u >= 0 and u + reach_u < sizes[s, 1] - 1
    if not (inside and v - reach_v >= 0 and v + reach_v < sizes[s, 0] - 1):
        return WORST
    return _mismatch(
        reference, norm, flat, np.int32(s * (len(flat) // len(A))), np.int32(width),
        np.float32(u), np.float32(v), np.float32(ux), np.float32(uy), np.float32(vx),
        np.float32(vy), cells, work,
    )  # fmt: skip


@njit(cache=True, fastmath=FAST)
def _cost(norm, spot, d, nx, ny, nz, to_beat, pair, others, buffers):  # type: ignore[no-untyped-def]
    """Return the mean of the two best 1 - NCC of a plane over the source views, and which two.

    `spot` is the grid pixel's place (x, y) in the image, and the way from there to the middle
    of the window. A plane that `pair`, the best two of the plane before, finds hopeless is not
    looked at in the other views.
    """
    K_inverse, n_views = others[5], len(others[3])
    # n . K^-1 (x, y, 1): inverse depth is (m . (x, y, 1)) / (d m . (x0, y0, 1))
    m0 = nx * K_inverse[0, 0]
    m1 = nx * K_inverse[0, 1] + ny * K_inverse[1, 1]
    m2 = nx * K_inverse[0, 2] + ny * K_inverse[1, 2] + nz
    facing = m0 * spot[0] + m1 * spot[1] + m2
    if facing > -1e-3:  # the plane is seen from behind, or on edge
        return WORST, pair
    inverse = 1.0 / d
    m0, m1 = m0 * inverse / facing, m1 * inverse / facing
    one, two = pair & 15, pair >> 4
    best, second, at_best, at_second = WORST, WORST, one, two
    for turn in range(n_views):
        s = one if turn == 0 else two
        if turn > 1:  # the others in order
            s = turn - 2
            if s >= min(one, two):
                s += 1
            if s >= max(one, two):
                s += 1
            if turn == 2 and best > 2 * to_beat + HOPELESS:
                return WORST, pair
        cost = _in_view(s, norm, spot, inverse, m0, m1, others, buffers)
        if cost < best:
            best, second, at_best, at_second = cost, best, s, at_best
        elif cost < second:
            second, at_second = cost, s
    if n_views == 1:
        return best, pair
    if at_second == at_best:
        at_second = one if at_best != one else two
    return min(0.5 * (best + min(second, best + 2 * ALONE)), WORST), at_best + 16 * at_second


@njit(cache=True)
def _spot(index, width, scale):  # type: ignore[no-untyped-def]
    """Return a grid pixel's row and column, its window's corner, and its `spot` (see `_cost`)."""
    row, col = index // width, index % width
    x, y = (col + 0.5) * scale[0], (row + 0.5) * scale[1]
    corner_row, corner_col = int(y + 0.5), int(x + 0.5)
    return row, col, corner_row, corner_col, (x, y, corner_col - x, corner_row - y)


@njit(cache=True)
def _buffers():  # type: ignore[no-untyped-def]
    """Return room for a window's reference, its cells in a source image, and sums."""
    return (
        np.empty(2 * N_SAMPLES, np.float32),
        np.empty(N_SAMPLES, np.int32),
        np.empty(6 * N_SAMPLES, np.float32),
    )


@njit(parallel=True, cache=True)
def initialise(  # type: ignore[no-untyped-def]
    padded, images, sizes, A, b, K_inverse, scale, near, far, pixels, plane, cost, pair, n_random,
    seed
):  # fmt: skip
    """Give every pixel the best of its guess (where `plane` has one) and random planes."""
    width = cost.shape[1]
    others = (images.ravel(), images.shape[2], sizes, A, b, K_inverse)
    for block in prange((len(pixels) + _BLOCK - 1) // _BLOCK):
        buffers = _buffers()
        for index in range(block * _BLOCK, min(len(pixels), (block + 1) * _BLOCK)):
            row, col, corner_row, corner_col, spot = _spot(pixels[index], width, scale)
            norm = _window(padded, corner_row, corner_col, buffers[0], buffers[2])
            if norm == 0:
                continue
            d, c, best_two = plane[row, col, 3], WORST, 16
            nx, ny, nz = plane[row, col, 0], plane[row, col, 1], plane[row, col, 2]
            if d > 0:
                c, best_two = _cost(norm, spot, d, nx, ny, nz, c, best_two, others, buffers)
            key = _key(row, col, seed, -1)
            for k in range(n_random):
                e = 1.0 / (1.0 / far + _uniform(key, 3 * k) * (1.0 / near - 1.0 / far))
                mx = 1.2 * _uniform(key, 3 * k + 1) - 0.6
                my = 1.2 * _uniform(key, 3 * k + 2) - 0.6
                mz = -math.sqrt(1 - mx * mx - my * my)
                t, two = _cost(norm, spot, e, mx, my, mz, c, best_two, others, buffers)
                if t < c or not d > 0:
                    d, c, nx, ny, nz, best_two = e, t, mx, my, mz, two
            cost[row, col], plane[row, col, 3], pair[row, col] = c, d, best_two
            plane[row, col, 0], plane[row, col, 1], plane[row, col, 2] = nx, ny, nz


@njit(cache=True)
def _best_of_region(cost, row, col, region):  # type: ignore[no-untyped-def]
    """Return the cheapest pixel of the other colour in one of eight regions, or (-1, -1).

    Regions 0-3 are the near wedges up, down, left, right; 4-7 the far lines.
    """
    height, width = cost.shape
    best, at_row, at_col = WORST, -1, -1
    side = region % 4
    n = 4 if region < 4 else 9
    for k in range(n):
        if region < 4:  # one step ahead; two steps ahead and one aside; three ahead
            ahead, aside = (1, 0) if k == 0 else ((2, 2 * k - 3) if k < 3 else (3, 0))
        else:
            ahead, aside = 5 + 2 * k, 0
        r = row - ahead if side == 0 else (row + ahead if side == 1 else row + aside)
        c = col - ahead if side == 2 else (col + ahead if side == 3 else col + aside)
        if r < 0 or c < 0 or r >= height or c >= width:
            continue
        if cost[r, c] < best:
            best, at_row, at_col = cost[r, c], r, c
    return at_row, at_col


@njit(parallel=True, cache=True)
def propagate(  # type: ignore[no-untyped-def]
    padded, images, sizes, A, b, K_inverse, scale, near, far, pixels, plane, cost, pair, n_regions,
    seed, sweep, spread
):  # fmt: skip
    """Offer every listed pixel its neighbours' planes, then random changes of its own.

    `spread` is 1 for changes as wide as a blind search needs, less for a refinement.
    """
    width = cost.shape[1]
    others = (images.ravel(), images.shape[2], sizes, A, b, K_inverse)
    for block in prange((len(pixels) + _BLOCK - 1) // _BLOCK):
        buffers = _buffers()
        for index in range(block * _BLOCK, min(len(pixels), (block + 1) * _BLOCK)):
            row, col, corner_row, corner_col, spot = _spot(pixels[index], width, scale)
            norm = _window(padded, corner_row, corner_col, buffers[0], buffers[2])
            if norm == 0:
                continue
            d, c, best_two = plane[row, col, 3], cost[row, col], np.int64(pair[row, col])
            nx, ny, nz = plane[row, col, 0], plane[row, col, 1], plane[row, col, 2]
            rx = K_inverse[0, 0] * spot[0] + K_inverse[0, 1] * spot[1] + K_inverse[0, 2]
            ry = K_inverse[1, 1] * spot[1] + K_inverse[1, 2]
            for region in range(n_regions):
                r, q = _best_of_region(cost, row, col, region)
                if r < 0:
                    continue
                mx, my, mz = plane[r, q, 0], plane[r, q, 1], plane[r, q, 2]
                ox, oy = (q + 0.5) * scale[0], (r + 0.5) * scale[1]
                sx = K_inverse[0, 0] * ox + K_inverse[0, 1] * oy + K_inverse[0, 2]
                sy = K_inverse[1, 1] * oy + K_inverse[1, 2]
                along = mx * rx + my * ry + mz
                if along > -1e-3:
                    continue
                e = plane[r, q, 3] * (mx * sx + my * sy + mz) / along
                if e < near or e > far:
                    continue
                t, two = _cost(norm, spot, e, mx, my, mz, c, best_two, others, buffers)
                if t < c:
                    d, c, nx, ny, nz, best_two = e, t, mx, my, mz, two
            key = _key(row, col, seed, sweep)
            for k in range(4):  # depth alone, normal alone, both, both finely
                part = 0.25 if k == 3 else 1.0
                e, mx, my = d, nx, ny
                if k != 1:
                    e = d * (1 + 0.08 * spread * part * (_uniform(key, 3 * k) - 0.5))
                if k != 0:
                    turn = 0.9 * math.sqrt(spread) * part
                    mx += turn * (_uniform(key, 3 * k + 1) - 0.5)
                    my += turn * (_uniform(key, 3 * k + 2) - 0.5)
                sideways = mx * mx + my * my
                if e < near or e > far or sideways > MOST_SIDEWAYS:
                    continue
                mz = -math.sqrt(1 - sideways)
                t, two = _cost(norm, spot, e, mx, my, mz, c, best_two, others, buffers)
                if t < c:
                    d, c, nx, ny, nz, best_two = e, t, mx, my, mz, two
            plane[row, col, 3], cost[row, col], pair[row, col] = d, c, best_two
            plane[row, col, 0], plane[row, col, 1], plane[row, col, 2] = nx, ny, nz
