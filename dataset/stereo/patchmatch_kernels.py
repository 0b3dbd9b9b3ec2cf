"""The compiled loops of PatchMatch; `patchmatch.py` says what they do."""

import math

import numpy as np
from numba import njit, prange

from .kernels import FAST

WORST = 2.0
RADIUS = 5  # px, of the window
STEP = 2  # px between its samples
N_SAMPLES = (2 * RADIUS // STEP + 1) ** 2
_SIGMA_PX = 4.0  # of the window's Gaussian
_SIGMA_GREY = 0.12  # what differs more from the middle lies on another surface
_LEAST_SQUARE = 1e-6  # variance of a patch that says nothing: 1/4 of an 8-bit level
_ALONE = 0.3  # cost of being seen by one view only
_MOST_SIDEWAYS = 0.96  # sine² of the steepest slant, 78 degrees


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
def _window(grey, mask, row, col, values, weights):  # type: ignore[no-untyped-def]
    """Fill the reference window: weights of sum one, values of weighted mean zero.

    Return the weighted root mean square of the values, 0 where there is no texture.
    """
    height, width = grey.shape
    middle = grey[row, col]
    k, total, mean = 0, 0.0, 0.0
    for dr in range(-RADIUS, RADIUS + 1, STEP):
        r = row + dr
        for dc in range(-RADIUS, RADIUS + 1, STEP):
            c = col + dc
            w, value = 0.0, 0.0
            if r >= 0 and c >= 0 and r < height and c < width and mask[r, c]:
                value = grey[r, c]
                far = (dr * dr + dc * dc) / (2.0 * _SIGMA_PX * _SIGMA_PX)
                other = (value - middle) / _SIGMA_GREY
                w = math.exp(-far - 0.5 * other * other)
            values[k], weights[k] = value, w
            total += w
            mean += w * value
            k += 1
    if total <= 0.0:  # the samples straddle the middle: a lone pixel of the mask has none
        return 0.0
    mean /= total
    square = 0.0
    for k in range(N_SAMPLES):
        weights[k] /= total
        values[k] -= mean
        square += weights[k] * values[k] * values[k]
    return math.sqrt(square) if square > _LEAST_SQUARE else 0.0


@njit(cache=True, fastmath=FAST)
def _cost(  # type: ignore[no-untyped-def]
    values, weights, norm, row, col, d, nx, ny, nz, images, sizes, A, b, K_inverse
):
    """Mean of the two best 1 - NCC of this plane over the source views."""
    x0, y0 = col + 0.5, row + 0.5
    # n . K^-1 (x, y, 1), so that the plane's depth at a pixel is offset / (m . (x, y, 1))
    m0 = nx * K_inverse[0, 0]
    m1 = nx * K_inverse[0, 1] + ny * K_inverse[1, 1]
    m2 = nx * K_inverse[0, 2] + ny * K_inverse[1, 2] + nz
    offset = d * (m0 * x0 + m1 * y0 + m2)
    if offset > -1e-3 * d:  # the plane is seen from behind, or on edge
        return WORST
    m0, m1, m2 = m0 / offset, m1 / offset, m2 / offset
    best, second = WORST, WORST
    for s in range(len(images)):
        # the homography of the plane: A + b m^T
        h00, h01 = A[s, 0, 0] + b[s, 0] * m0, A[s, 0, 1] + b[s, 0] * m1
        h02 = A[s, 0, 2] + b[s, 0] * m2
        h10, h11 = A[s, 1, 0] + b[s, 1] * m0, A[s, 1, 1] + b[s, 1] * m1
        h12 = A[s, 1, 2] + b[s, 1] * m2
        h20, h21 = A[s, 2, 0] + b[s, 2] * m0, A[s, 2, 1] + b[s, 2] * m1
        h22 = A[s, 2, 2] + b[s, 2] * m2
        last_row, last_col = sizes[s, 0] - 1, sizes[s, 1] - 1
        total, square, cross, k, inside = 0.0, 0.0, 0.0, 0, True
        for dr in range(-RADIUS, RADIUS + 1, STEP):
            y = y0 + dr
            p0, p1, p2 = h01 * y + h02, h11 * y + h12, h21 * y + h22
            for dc in range(-RADIUS, RADIUS + 1, STEP):
                weight = weights[k]
                if weight < 1e-3 / N_SAMPLES:
                    k += 1
                    continue
                x = x0 + dc
                w = h20 * x + p2
                if w <= 0:
                    inside = False
                    break
                w = 1.0 / w
                u = (h00 * x + p0) * w - 0.5
                v = (h10 * x + p1) * w - 0.5
                if not (u >= 0 and v >= 0 and u < last_col and v < last_row):
                    inside = False
                    break
                j, i = int(u), int(v)
                fu, fv = u - j, v - i
                top = images[s, i, j] + fu * (images[s, i, j + 1] - images[s, i, j])
                low = images[s, i + 1, j] + fu * (images[s, i + 1, j + 1] - images[s, i + 1, j])
                value = top + fv * (low - top)
                total += weight * value
                square += weight * value * value
                cross += weight * value * values[k]
                k += 1
            if not inside:
                break
        if not inside:
            continue
        variance = square - total * total
        if variance < _LEAST_SQUARE:
            continue
        cost = 1.0 - cross / (norm * math.sqrt(variance))
        if cost < best:
            best, second = cost, best
        elif cost < second:
            second = cost
    if len(images) == 1:
        return best
    return min(0.5 * (best + min(second, best + 2 * _ALONE)), WORST)


@njit(parallel=True, cache=True)
def initialise(  # type: ignore[no-untyped-def]
    grey, mask, images, sizes, A, b, K_inverse, near, far, pixels, plane, cost, n_random, seed
):
    """Give every pixel the best of its guess (where `plane` has one) and random planes."""
    width = grey.shape[1]
    others = (images, sizes, A, b, K_inverse)
    for index in prange(len(pixels)):
        row, col = pixels[index] // width, pixels[index] % width
        values, weights = np.empty(N_SAMPLES), np.empty(N_SAMPLES)
        norm = _window(grey, mask, row, col, values, weights)
        if norm == 0:
            continue
        d, c = plane[row, col, 3], WORST
        nx, ny, nz = plane[row, col, 0], plane[row, col, 1], plane[row, col, 2]
        if d > 0:
            c = _cost(values, weights, norm, row, col, d, nx, ny, nz, *others)
        key = _key(row, col, seed, -1)
        for k in range(n_random):
            e = 1.0 / (1.0 / far + _uniform(key, 3 * k) * (1.0 / near - 1.0 / far))
            mx, my = 1.2 * _uniform(key, 3 * k + 1) - 0.6, 1.2 * _uniform(key, 3 * k + 2) - 0.6
            mz = -math.sqrt(1 - mx * mx - my * my)
            t = _cost(values, weights, norm, row, col, e, mx, my, mz, *others)
            if t < c or not d > 0:
                d, c, nx, ny, nz = e, t, mx, my, mz
        cost[row, col], plane[row, col, 3] = c, d
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
    grey, mask, images, sizes, A, b, K_inverse, near, far, pixels, plane, cost, seed, sweep, guessed
):
    """Offer every listed pixel its neighbours' planes, then random changes of its own."""
    width = grey.shape[1]
    others = (images, sizes, A, b, K_inverse)
    for index in prange(len(pixels)):
        row, col = pixels[index] // width, pixels[index] % width
        values, weights = np.empty(N_SAMPLES), np.empty(N_SAMPLES)
        norm = _window(grey, mask, row, col, values, weights)
        if norm == 0:
            continue
        d, c = plane[row, col, 3], cost[row, col]
        nx, ny, nz = plane[row, col, 0], plane[row, col, 1], plane[row, col, 2]
        rx = K_inverse[0, 0] * (col + 0.5) + K_inverse[0, 1] * (row + 0.5) + K_inverse[0, 2]
        ry = K_inverse[1, 1] * (row + 0.5) + K_inverse[1, 2]
        for region in range(8):
            r, q = _best_of_region(cost, row, col, region)
            if r < 0:
                continue
            mx, my, mz = plane[r, q, 0], plane[r, q, 1], plane[r, q, 2]
            sx = K_inverse[0, 0] * (q + 0.5) + K_inverse[0, 1] * (r + 0.5) + K_inverse[0, 2]
            sy = K_inverse[1, 1] * (r + 0.5) + K_inverse[1, 2]
            along = mx * rx + my * ry + mz
            if along > -1e-3:
                continue
            e = plane[r, q, 3] * (mx * sx + my * sy + mz) / along
            if e < near or e > far:
                continue
            t = _cost(values, weights, norm, row, col, e, mx, my, mz, *others)
            if t < c:
                d, c, nx, ny, nz = e, t, mx, my, mz
        key = _key(row, col, seed, sweep)
        halvings = 0.45 ** (sweep + (2 if guessed else 0))
        for k in range(4):  # depth alone, normal alone, both, both finely
            part = 0.25 if k == 3 else 1.0
            e, mx, my = d, nx, ny
            if k != 1:
                e = d * (1 + 0.08 * halvings * part * (_uniform(key, 3 * k) - 0.5))
            if k != 0:
                spread = 0.9 * math.sqrt(halvings) * part
                mx += spread * (_uniform(key, 3 * k + 1) - 0.5)
                my += spread * (_uniform(key, 3 * k + 2) - 0.5)
            sideways = mx * mx + my * my
            if e < near or e > far or sideways > _MOST_SIDEWAYS:
                continue
            mz = -math.sqrt(1 - sideways)
            t = _cost(values, weights, norm, row, col, e, mx, my, mz, *others)
            if t < c:
                d, c, nx, ny, nz = e, t, mx, my, mz
        plane[row, col, 3], cost[row, col] = d, c
        plane[row, col, 0], plane[row, col, 1], plane[row, col, 2] = nx, ny, nz
