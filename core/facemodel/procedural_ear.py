"""The built-in head's ear: rings from the side of the head round the helix into the concha.

Each ring is a closed curve round the ear canal. Behind and above, the rings run along the
head under the ear, up its back, over the helix, through the scapha, over the antihelix and
down into the concha; in front they come along the cheek over the tragus straight into it.
"""

import numpy as np

from ..arrays import Floats, Ints
from .implicit import cast_inward
from .procedural_shape import head_distance

_CANAL_FROM = np.array([[68.0, 13.5, -3.5]])
_FLARE = np.radians(22.0)  # of the ear's plane from the side of the head
_LEAN = np.radians(10.0)  # of its long axis, backwards

# outline: distance of the rim from the canal, mm, by angle (0 front, 90 top, 180 back)
_ANGLE = np.array([-20, 0, 20, 40, 60, 80, 100, 125, 150, 180, 210, 240, 265, 285, 303, 320, 340])
_RIM = np.array([8, 8, 10.5, 19, 27, 32, 33.5, 32.5, 29, 25.5, 23.5, 25, 29, 30, 25.5, 14, 8])
_FREE = np.array([0, 0, 0, 0.35, 0.8, 0.98, 1, 1, 1, 1, 1, 1, 1, 0.96, 0.7, 0.2, 0])
_RELIEF = np.array([0, 0, 0.6, 0.9, 1, 1, 1, 1, 1, 1, 0.95, 0.7, 0.25, 0.1, 0, 0, 0])

# rings 1..16 where the ear is free: share of the rim's distance, height over the ear's plane
_FREE_SHARE = [0.86, 0.60, 0.66, 0.82, 0.95, 1.00, 0.995, 0.955, 0.90, 0.845, 0.77, 0.68, 0.60,
               0.47, 0.33, 0.15]  # fmt: skip
_LOBE_SHARE = [0.86, 0.60, 0.66, 0.82, 0.95, 1.00, 0.995, 0.955, 0.88, 0.79, 0.69, 0.59, 0.50,
               0.41, 0.31, 0.15]  # fmt: skip
_FREE_HEIGHT = [0, 0, 0, 0, 1.5, 4.2, 6.6, 7.8, 6.6, 3.6, 4.4, 7.0, 6.6, 2.0, -1.0, -3.0]
_FREE_FLAT = [0, 0, 0, 0, 1.0, 2.6, 4.0, 5.0, 5.2, 5.0, 4.6, 4.0, 3.2, 1.2, -1.0, -3.0]
_N_BACK = 4  # rings 1-2 lie on the head, 3-4 on the back of the ear
# and in front, where it is not: share of the way from the border to the tragus, and so on
_FRONT_WAY = [0.10, 0.20, 0.30, 0.40, 0.50, 0.60, 0.69, 0.77, 0.84, 0.90, 0.95, 1.0]
_FRONT_SHARE = [0.88, 0.74, 0.55, 0.25]
_FRONT_HEIGHT = [3.6, 1.2, -1.0, -3.0]


def place_ear(points: Floats, rings: Ints) -> None:
    """Place `rings` (R + 1, P) in place; row 0, the border on the head, is already there."""
    forward, up, out = _frame()
    canal = _on_head(_CANAL_FROM, out)[0]
    border = points[rings[0]] - canal
    angle = np.degrees(np.arctan2(border @ up, border @ forward))
    angle = _even(angle)
    direction = (
        np.cos(np.radians(angle))[:, None] * forward + np.sin(np.radians(angle))[:, None] * up
    )
    rim = _periodic(angle, _RIM)[:, None]
    free = _periodic(angle, _FREE)[:, None]
    relief = _periodic(angle, _RELIEF)[:, None]

    free_rings = []
    for ridged, plain, high, flat in zip(
        _FREE_SHARE, _LOBE_SHARE, _FREE_HEIGHT, _FREE_FLAT, strict=True
    ):
        share = relief * ridged + (1 - relief) * plain
        height = relief * high + (1 - relief) * flat
        free_rings.append(canal + share * rim * direction + height * out)
    attached = _on_head(free_rings[1], out)
    free_rings[0] = _on_head(0.5 * (points[rings[0]] + attached), out)
    free_rings[1] = attached
    back = free_rings[_N_BACK]
    for k, t, bulge in ((2, 0.30, 1.5), (3, 0.68, 1.5)):
        free_rings[k] = (1 - t) * attached + t * back - bulge * out

    tragus = canal + rim * direction
    tragus = _on_head(tragus, out)
    front_rings = [_on_head((1 - t) * points[rings[0]] + t * tragus, out) for t in _FRONT_WAY]
    front_rings[-2] = front_rings[-2] + 1.2 * out
    front_rings[-1] = front_rings[-1] + 3.2 * out
    front_rings += [
        canal + share * rim * direction + height * out
        for share, height in zip(_FRONT_SHARE, _FRONT_HEIGHT, strict=True)
    ]
    for k, ring in enumerate(rings[1:]):
        points[ring] = free * free_rings[k] + (1 - free) * front_rings[k]
    _smooth_along(points, rings[1:])


def _frame() -> tuple[Floats, Floats, Floats]:
    """Axes of the ear's plane: forward, up along the leaning ear, and out."""
    forward = np.array([-np.sin(_FLARE), 0.0, np.cos(_FLARE)])
    out = np.array([np.cos(_FLARE), 0.0, np.sin(_FLARE)])
    y = np.array([0.0, 1.0, 0.0])
    up = np.cos(_LEAN) * y - np.sin(_LEAN) * forward
    return np.cos(_LEAN) * forward + np.sin(_LEAN) * y, up, out


def _even(angle: Floats) -> Floats:
    """Half-way between the border's own angles and even steps, for rounder rings."""
    order = np.unwrap(np.radians(angle))
    even = order[0] + np.sign(order[-1] - order[0]) * np.linspace(
        0, 2 * np.pi * (1 - 1 / len(angle)), len(angle)
    )
    mixed = np.degrees(0.6 * order + 0.4 * even)
    return np.asarray((mixed + 20) % 360 - 20)


def _periodic(angle: Floats, values: Floats) -> Floats:
    """Interpolate a table over `_ANGLE` smoothly (cosine between the entries)."""
    k = np.clip(np.searchsorted(_ANGLE, angle, side="right") - 1, 0, len(_ANGLE) - 2)
    t = (angle - _ANGLE[k]) / (_ANGLE[k + 1] - _ANGLE[k])
    t = 0.5 * t + 0.5 * t * t * (3 - 2 * t)
    return np.asarray(values[k] + t * (values[k + 1] - values[k]), dtype=np.float64)


def _on_head(p: Floats, out: Floats) -> Floats:
    """Move points along `out` onto the side of the head."""
    return cast_inward(head_distance, p, out[None], start=40.0, n_steps=24)


def _smooth_along(points: Floats, rings: Ints, *, n_rounds: int = 3) -> None:
    """Average along each ring: takes the corners out of the tables."""
    for _ in range(n_rounds):
        p = points[rings]
        points[rings] = 0.5 * p + 0.25 * (np.roll(p, 1, axis=1) + np.roll(p, -1, axis=1))
