"""The solid of the built-in head: skull, jaw, nose, lips and lids as blended simple solids.

Every number is a length in mm in the head frame (+x left, +y up, +z out of the face; origin
between the ears), placed by common anthropometric proportions: head 228 high, 152 wide,
196 deep, pupils 63 apart. Only the left half is described; points of the right are mirrored.
Ears are no part of the solid (`procedural_ear`).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats
from .implicit import chain, ellipsoid, smooth_curve, smooth_max, smooth_min

EYE_CENTER = np.array([31.5, 35.0, 58.5])
EYE_RADIUS = 12.0
_LID_THICKNESS = 1.7


def head_distance(points: Floats) -> Floats:
    """Return the approximate signed distance (N,), mm, of points (N, 3) to the skin."""
    p = points.copy()
    p[:, 0] = np.sqrt(points[:, 0] ** 2 + 1.5)  # a smooth |x|: no crease down the middle
    d = _cheeks_and_jaw(p, _cranium(p))
    d = _locally(_orbits, p, d, center=(26, 42, 66), radius=72)
    d = _locally(_nose, p, d, center=(6, 12, 86), radius=52)
    d = _locally(_mouth, p, d, center=(10, -38, 84), radius=48)
    return _locally(_lids, p, d, center=EYE_CENTER, radius=34)


def _locally(
    sculpt: Callable[[Floats, Floats], Floats],
    p: Floats,
    d: Floats,
    *,
    center: ArrayLike,
    radius: float,
) -> Floats:
    """Apply `sculpt(p, d)` within `radius` of `center`, fading out over the last quarter."""
    distance = np.sqrt(((p - np.asarray(center)) ** 2).sum(1))
    near = distance < radius
    fade = np.minimum((radius - distance[near]) / (0.25 * radius), 1.0)
    d[near] += fade * fade * (3 - 2 * fade) * (sculpt(p[near], d[near]) - d[near])
    return d


def _cranium(p: Floats) -> Floats:
    d = smooth_min(
        ellipsoid(p, (0, 70, -24), (76, 77, 69)), ellipsoid(p, (0, 66, 12), (67, 72, 65)), 34
    )
    neck = chain(p, [(0, -20, -24), (0, -95, -28), (0, -180, -46)], [51, 53, 62])
    d = smooth_min(d, neck, 34)
    base = ellipsoid(p, (0, 12, 0), (69, 50, 54))
    d = smooth_min(d, base, 24)
    face = ellipsoid(p, (0, -2, 20), (61, 74, 59))
    return smooth_min(d, face, 25)


def _cheeks_and_jaw(p: Floats, d: Floats) -> Floats:
    muzzle = ellipsoid(p, (0, -28, 46), (35, 36, 36.5))
    d = smooth_min(d, muzzle, 20)
    jaw = chain(p, [(55, 10, 0), (46, -38, 10), (28, -59, 44), (9, -66, 64)], [7, 10, 10.5, 12])
    d = smooth_min(d, jaw, 30)
    chin = ellipsoid(p, (0, -66, 70), (13, 12.5, 13))
    d = smooth_min(d, chin, 15)
    cheek = ellipsoid(p, (39, 9, 48), (17, 16, 18))
    d = smooth_min(d, cheek, 26)
    buccal = ellipsoid(p, (40, -20, 35), (18, 24, 24))
    d = smooth_min(d, buccal, 20)
    temple = ellipsoid(p, (94, 54, 46), (18, 24, 24))
    return smooth_max(d, -temple, 30)


def _orbits(p: Floats, d: Floats) -> Floats:
    brow = chain(
        p,
        smooth_curve(
            [(0, 51, 71.5), (12, 50.5, 72), (29, 56, 66.5), (43, 51.5, 55.5), (52, 38, 41)], n=11
        ),
        np.linspace(7, 5.5, 11),
    )
    d = smooth_min(d, brow, 22)
    socket = ellipsoid(p, (25.5, 33.5, 87), (15, 10, 17))
    return smooth_max(d, -socket, 20)


def _nose(p: Floats, d: Floats) -> Floats:
    bridge = chain(p, [(0, 42, 74.0), (0, 22, 84.0), (0, 8, 93.0)], [5.4, 5.6, 7.0])
    root = chain(p, [(3.5, 40, 64), (6.5, 14, 77.0), (10.0, -1, 79.5)], [6, 6.6, 7.5])
    nose = smooth_min(bridge, root, 12)
    nose = smooth_min(nose, ellipsoid(p, (0, 3.0, 94.8), (9.0, 7.6, 9.4)), 7)
    ala = ellipsoid(p, (11.2, -3.2, 86.0), (6.2, 6.8, 9.6))
    nose = smooth_min(nose, ala, 9)
    columella = chain(p, [(0, -3, 98), (0, -8.5, 88)], [3.2, 3.8])
    nose = smooth_min(nose, columella, 6)
    d = smooth_min(d, nose, np.interp(p[:, 1], [-4, 16, 36], [4.0, 11.0, 14.0]))
    nostril = chain(p, [(7.6, -13, 88.5), (6.3, -8.5, 90.5), (5.4, -8.5, 95.5)], [2.6, 3.0, 1.6])
    return smooth_max(d, -nostril, 2.5)


def _mouth(p: Floats, d: Floats) -> Floats:
    philtrum = chain(p, [(0, -13, 93), (0, -22, 95.0)], [2.4, 3.0])
    d = smooth_max(d, -philtrum, 6)
    upper = chain(
        p,
        smooth_curve([(0, -29.6, 84.8), (5, -28.8, 85.2), (14, -30.6, 81.2), (23.5, -33.6, 73)]),
        np.interp(np.linspace(0, 1, 12), [0, 0.35, 0.7, 1], [4.7, 4.9, 4.0, 2.2]),
    )
    lower = chain(
        p,
        smooth_curve([(0, -39.4, 82.6), (7, -39.2, 82.1), (15, -37.4, 78.5), (23.5, -34.4, 72.5)]),
        np.interp(np.linspace(0, 1, 12), [0, 0.35, 0.7, 1], [5.8, 5.8, 4.2, 2.2]),
    )
    lips = smooth_min(smooth_min(d, upper, 6), smooth_min(d, lower, 7), 1.5)
    sulcus = chain(p, [(0, -53.5, 92.5), (11, -51.5, 88)], [5, 4])
    lips = smooth_max(lips, -sulcus, 12)
    corner = ellipsoid(p, (27.5, -35, 79.5), (3.0, 3.0, 5))
    return smooth_max(lips, -corner, 7)


def _lids(p: Floats, d: Floats) -> Floats:
    q = p - EYE_CENTER
    ball = np.sqrt((q * q).sum(1)) - (EYE_RADIUS + _LID_THICKNESS)
    blend = np.interp(q[:, 1], [-7, 6, 9], [9.0, 3.5, 2.0])
    d = smooth_min(d, ball, blend)
    fold = chain(p, [(20, 46.5, 64.3), (32, 48.6, 62.6), (46, 42.6, 53.6)], [4.6, 5.5, 6.0])
    return smooth_min(d, fold, np.interp(q[:, 1], [6.5, 10, 15], [3.0, 8.0, 18.0]))
