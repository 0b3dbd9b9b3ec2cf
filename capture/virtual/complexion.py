"""The colour of skin, hair and eyes, evaluated where a ray hits: sharp at any resolution."""

import math

from numba import njit

from .noise import dents, gradient_noise, smooth_step
from .skin import (
    BROWS,
    CHEEKS,
    CHIN,
    EARS,
    IRIS,
    LIDS,
    LIPS,
    NOSE,
    PORES,
    PUPIL,
    SCALP,
    SCLERA,
    pores,
)

IRIS_MM, PUPIL_MM = 5.9, 2.0
"""Radii: half the usual 11.8 mm of an iris, and a pupil in bright light."""


@njit(cache=True)
def albedo_at(x, y, z, p, skin):  # type: ignore[no-untyped-def]
    """Linear RGB albedo at mean-face coordinates (mm) with masks `p` (N_PAINT,)."""
    eye = min(1.0, p[IRIS] + p[PUPIL] + p[SCLERA])
    if eye > 0.5:
        return _eye(x, y, z, skin)
    seed = skin.seed
    m = _mottling(x, y, z, seed)
    m *= 1 - 0.10 * pores(x, y, z, seed) * (0.4 + 0.6 * p[PORES])
    r, g, b = skin.tone[0] * m, skin.tone[1] * m, skin.tone[2] * m

    # blood: redder nose, cheeks, ears, and in patches; darker round the eyes
    flush = 0.5 * p[CHEEKS] + 0.75 * p[NOSE] + 0.6 * p[EARS] + 0.3 * p[CHIN] + 0.35 * p[LIDS]
    flush += 1.3 * gradient_noise(x / 14, y / 14, z / 14, seed + 28)
    flush += 0.8 * gradient_noise(x / 2.6, y / 2.6, z / 2.6, seed + 34)
    g, b = g * (1 - 0.13 * flush), b * (1 - 0.11 * flush)
    shadow = 1 - 0.14 * p[LIDS]
    r, g, b = r * shadow, g * shadow, b * shadow

    if skin.freckles > 0.05:
        where = min(1.0, 0.35 + p[CHEEKS] + p[NOSE])
        spot = dents(x / 4.5, y / 4.5, z / 4.5, seed + 27, 0.6, 0.08, 0.24)
        k = 0.45 * skin.freckles * where * min(1.0, 1.6 * spot)
        r, g, b = r * (1 - 0.6 * k), g * (1 - k), b * (1 - 1.15 * k)

    if skin.moles > 0:
        spot = dents(x / 13, y / 13, z / 13, seed + 38, skin.moles, 0.07, 0.17)
        k = 0.8 * min(1.0, 2.5 * spot)
        r, g, b = r * (1 - 0.62 * k), g * (1 - 0.8 * k), b * (1 - 0.85 * k)

    if p[LIPS] > 0.01:
        crease = 0.35 * max(0.0, gradient_noise(x / 1.4, y / 9, z / 5, seed + 8))
        lip = p[LIPS] * (1 + crease)
        r, g, b = r * (1 - 0.14 * lip), g * (1 - 0.40 * lip), b * (1 - 0.33 * lip)

    hairy, shade = _hair(x, y, z, p, skin)
    r += hairy * (skin.hair[0] * shade - r)
    g += hairy * (skin.hair[1] * shade - g)
    b += hairy * (skin.hair[2] * shade - b)
    return min(0.95, max(0.008, r)), min(0.95, max(0.008, g)), min(0.95, max(0.008, b))


@njit(cache=True)
def _mottling(x, y, z, seed):  # type: ignore[no-untyped-def]
    """Brightness at all scales down to a fifth of a millimetre: what stereo holds on to."""
    return (
        1.0
        + 0.12 * gradient_noise(x / 21, y / 21, z / 21, seed + 20)
        + 0.09 * gradient_noise(x / 8, y / 8, z / 8, seed + 21)
        + 0.11 * gradient_noise(x / 3.1, y / 3.1, z / 3.1, seed + 22)
        + 0.12 * gradient_noise(x / 1.4, y / 1.4, z / 1.4, seed + 23)
        + 0.13 * gradient_noise(x / 0.7, y / 0.7, z / 0.7, seed + 24)
        + 0.12 * gradient_noise(x / 0.36, y / 0.36, z / 0.36, seed + 25)
        + 0.07 * gradient_noise(x / 0.19, y / 0.19, z / 0.19, seed + 26)
    )


@njit(cache=True)
def _hair(x, y, z, p, skin):  # type: ignore[no-untyped-def]
    """Cover of brows, lashes and short scalp hair, 0 to 1, and its brightness."""
    cover, shade = 0.0, 1.0
    seed = skin.seed
    if p[BROWS] > 0.02:  # strokes that lean outward
        out = abs(x)
        stroke = gradient_noise((out - 0.8 * y) / 0.62, (y + 0.6 * out) / 4.5, z / 4, seed + 29)
        edge = p[BROWS] + 0.25 * gradient_noise(x / 2.5, y / 2.5, z / 2.5, seed + 35)
        cover = smooth_step(edge, 0.15, 0.75) * min(1.0, max(0.0, 0.72 + 1.5 * stroke))
        shade = 1 + 0.9 * stroke
    if p[SCALP] > 0.02:
        edge = p[SCALP] + 0.35 * gradient_noise(x / 4, y / 4, z / 4, seed + 30)
        strand = gradient_noise(x / 0.75, y / 2.8, z / 0.75, seed + 31)
        tuft = gradient_noise(x / 3.3, y / 6.0, z / 3.3, seed + 36)
        on_scalp = 0.8 * smooth_step(edge, 0.2, 0.9) * min(1.0, max(0.0, 0.8 + 1.2 * strand))
        if on_scalp > cover:
            cover, shade = on_scalp, 1 + 0.8 * strand + 0.5 * tuft
    if p[LIDS] > 0.02:  # lashes: a dark rim where the upper lid meets the eye
        ball = skin.eyeballs[0 if x < 0 else 1]
        dx, dy, dz = x - ball[0], y - ball[1], z - ball[2]
        gap = math.sqrt(dx * dx + dy * dy + dz * dz) - ball[3]
        rim = (0.75 if dy > 0 else 0.35) * (1 - smooth_step(gap, 0.7, 1.7))
        if rim > cover:
            cover, shade = rim, 0.8
    return cover, shade


@njit(cache=True)
def _eye(x, y, z, skin):  # type: ignore[no-untyped-def]
    ball = skin.eyeballs[0 if x < 0 else 1]
    dx, dy = x - ball[0], y - ball[1]
    r = math.sqrt(dx * dx + dy * dy) if z > ball[2] else 99.0
    angle = math.atan2(dy, dx)
    seed = skin.seed + 32
    vein = 0.07 * max(0.0, gradient_noise(x / 1.6, y / 0.7, z / 1.6, seed))
    red, green, blue = 0.56, 0.50 - 2 * vein, 0.47 - 2 * vein
    iris = 1 - smooth_step(r, IRIS_MM - 0.35, IRIS_MM + 0.35)
    if iris > 0:
        fibre = gradient_noise(7 * math.cos(angle), 7 * math.sin(angle), r / 3, seed + 1)
        fibre += 0.7 * gradient_noise(16 * math.cos(angle), 16 * math.sin(angle), r / 2, seed + 2)
        collar = 0.25 * (1 - smooth_step(r, 2.6, 4.0))
        limbus = 1 - 0.75 * smooth_step(r, 4.7, IRIS_MM)
        k = (1 + 0.8 * fibre + collar) * limbus * smooth_step(r, PUPIL_MM - 0.15, PUPIL_MM + 0.15)
        red += iris * (skin.eyes[0] * k * (1 + collar) + 0.006 - red)
        green += iris * (skin.eyes[1] * k + 0.006 - green)
        blue += iris * (skin.eyes[2] * k + 0.006 - blue)
    return max(0.005, red), max(0.005, green), max(0.005, blue)
