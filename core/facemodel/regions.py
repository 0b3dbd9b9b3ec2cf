"""Regions and soft masks of a face, from its 68 landmarks and a few part masks alone.

One set of rules for every model, so that `lips` or `forehead` means the same place on all of
them. Lengths are for a face whose outer eye corners are 89 mm apart and scale with it. The
directions round the vertical axis through the head are called azimuth: 0 is straight ahead.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Bools, Floats

_IRIS_RADIUS_MM = 5.9  # half the horizontal iris diameter of adults, 11.8 mm
_PUPIL_RADIUS_MM = 1.9
_HAIRLINE_DEG = (0.0, 25.0, 45.0, 58.0, 70.0, 82.0, 95.0, 112.0, 135.0, 180.0)
_HAIRLINE_MM = (50.0, 49.0, 42.0, 24.0, 4.0, -6.0, 2.0, -48.0, -72.0, -74.0)  # above the brows


@dataclass(frozen=True, kw_only=True)
class FaceParts:
    """Which vertices belong to what, where the model knows better than landmarks do."""

    skin: Bools
    """(V,): the outer skin: no eyeballs, no inside of the mouth."""
    ears: Bools
    """(V,)."""
    eyeballs: Bools
    """(V,)."""
    mouth_interior: Bools
    """(V,)."""


def face_weights(vertices: Floats, landmarks: Floats, *, parts: FaceParts) -> dict[str, Floats]:
    """Return soft masks (V,) in [0, 1] by name.

    `lips`, `brows`, `eyelids`, `forehead`, `crow_feet`, `nasolabial`, `nose`, `chin`,
    `cheeks`, `cheek_pores`, `face`, `scalp` (where hair grows), `ears`, `neck`, and on the
    eyeballs `iris`, `pupil`, `sclera`.

    Parameters
    ----------
    vertices : (V, 3) float64, mm, head frame
    landmarks : (68, 3) float64, mm, Multi-PIE order
    parts : FaceParts
    """
    s = float(np.linalg.norm(landmarks[45] - landmarks[36])) / 89.0
    skin = parts.skin & ~parts.ears
    front = skin & (vertices[:, 2] > landmarks[[0, 16], 2].mean())
    xy, mark = vertices[:, :2], landmarks[:, :2]
    face = _face_weight(vertices, landmarks, s) * skin

    lips_signed = _inside(xy, mark[48:60])
    near_mouth = vertices[:, 2] > landmarks[[48, 54], 2].mean() - 9 * s
    lips = _step(lips_signed, -0.9 * s, 0.9 * s) * (front & near_mouth)
    brows = np.maximum(
        _along(vertices, landmarks[17:22], radius=4.6 * s),
        _along(vertices, landmarks[22:27], radius=4.6 * s),
    )
    lids = np.maximum(_lid(xy, mark[36:42], s), _lid(xy, mark[42:48], s)) * front
    nose_outline = mark[[27, 39, 31, 32, 33, 34, 35, 42]] + s * np.array(
        [[0, 2], [3, 0], [-6, 2], [-2, -3], [0, -3], [2, -3], [6, 2], [-3, 0]]
    )
    nose = _step(_inside(xy, nose_outline), -2.5 * s, 2.5 * s) * front
    chin_at = 0.45 * landmarks[57] + 0.55 * landmarks[8]
    chin = _blob(vertices, [chin_at], radius=19 * s)
    brow_y = np.interp(
        np.abs(vertices[:, 0]),
        np.abs(landmarks[22:27, 0]),
        (landmarks[22:27, 1] + landmarks[[21, 20, 19, 18, 17], 1]) / 2,
    )
    forehead = face * _step(vertices[:, 1] - brow_y, 3 * s, 12 * s)
    side = np.array([1.0, -0.15, -0.55])
    crow = [
        landmarks[45] + 12 * s * side,
        landmarks[36] + 12 * s * side * (-1, 1, 1),
    ]
    cheek = [
        (0.45 * landmarks[45 + i] + 0.55 * landmarks[54 - j]) + [dx * s, 4 * s, -6 * s]
        for i, j, dx in ((0, 0, 16), (-9, 6, -16))
    ]
    pores = [
        0.5 * landmarks[31 + 4 * k] + 0.5 * landmarks[40 + 6 * k] + [(12 * k - 6) * s, -3 * s, 0]
        for k in (0, 1)
    ]
    fold = [
        np.array(
            [
                landmarks[a] + [5 * d * s, 5 * s, -4 * s],
                landmarks[a] + [11 * d * s, -7 * s, 0],
                landmarks[c] + [6 * d * s, 5 * s, 0],
                landmarks[c] + [8 * d * s, -8 * s, 0],
            ]
        )
        for a, c, d in ((35, 54, 1), (31, 48, -1))
    ]
    weights = {
        "face": face,
        "lips": lips,
        "brows": brows * front,
        "eyelids": lids * (1 - brows),
        "forehead": forehead,
        "crow_feet": _blob(vertices, crow, radius=11 * s) * front,
        "nasolabial": np.maximum(*(_along(vertices, f, radius=7 * s) for f in fold))
        * front
        * (1 - lips),
        "nose": nose,
        "chin": chin * front * (1 - lips),
        "cheeks": _blob(vertices, cheek, radius=24 * s)
        * front
        * (1 - nose)
        * (1 - lips)
        * (1 - lids),
        "cheek_pores": np.maximum(_blob(vertices, pores, radius=17 * s), 0.8 * nose)
        * front
        * (1 - lips)
        * (1 - lids),
        "scalp": _scalp_weight(vertices, landmarks, s) * skin,
        "ears": parts.ears.astype(np.float64),
    }
    weights["neck"] = (
        skin
        * (1 - np.maximum(weights["face"], weights["scalp"]))
        * _step(landmarks[[4, 12], 1].mean() - vertices[:, 1], 0, 10 * s)
    )
    weights.update(eyeball_weights(vertices, parts.eyeballs))
    return {name: np.clip(value, 0.0, 1.0) for name, value in weights.items()}


def face_regions(weights: dict[str, Floats], *, parts: FaceParts) -> dict[str, Bools]:
    """Return the bool masks (V,) by name, from the soft ones and the parts.

    `frontal_face` (the narrow, scored face) is left to the model.
    """
    regions = {
        name: weights[name] > 0.5
        for name in (
            "face", "lips", "brows", "eyelids", "forehead", "nose", "chin", "cheeks", "neck",
        )
    }  # fmt: skip
    regions["eyes"] = parts.eyeballs
    regions["ears"] = parts.ears
    regions["mouth_interior"] = parts.mouth_interior
    regions["back_head"] = parts.skin & ~(regions["face"] | regions["neck"] | parts.ears)
    regions["skin"] = parts.skin
    return regions


def eyeball_weights(vertices: Floats, eyeballs: Bools) -> dict[str, Floats]:
    """Return `iris`, `pupil` and `sclera` of eyeballs that look along +z."""
    radius = np.full(len(vertices), np.inf)
    ahead = np.zeros(len(vertices), bool)
    for side in (1, -1):
        ball = eyeballs & (side * vertices[:, 0] > 0)
        if ball.any():
            low, high = vertices[ball].min(0), vertices[ball].max(0)
            center = (low + high) / 2
            radius[ball] = np.linalg.norm(vertices[ball, :2] - center[:2], axis=1)
            ahead |= ball & (vertices[:, 2] > center[2])
    radius[~ahead] = np.inf
    pupil = _step(-radius, -_PUPIL_RADIUS_MM - 0.3, -_PUPIL_RADIUS_MM + 0.3)
    inside = _step(-radius, -_IRIS_RADIUS_MM - 0.4, -_IRIS_RADIUS_MM + 0.4)
    return {"pupil": pupil, "iris": inside * (1 - pupil), "sclera": eyeballs * (1 - inside)}


def azimuth_deg(vertices: Floats, landmarks: Floats) -> Floats:
    """Return (V,) |angle| round the vertical axis, degrees: 0 straight ahead, 180 behind."""
    axis_z = landmarks[[0, 16], 2].mean() - 0.28 * np.linalg.norm(landmarks[45] - landmarks[36])
    return np.asarray(np.degrees(np.arctan2(np.abs(vertices[:, 0]), vertices[:, 2] - axis_z)))


def _face_weight(vertices: Floats, landmarks: Floats, s: float) -> Floats:
    """One inside the jaw line, hairline and the fronts of the ears."""
    azimuth = azimuth_deg(vertices, landmarks)
    jaw = (landmarks[8:17] + landmarks[8::-1] * (-1, 1, 1)) / 2
    jaw_y = np.interp(azimuth, azimuth_deg(jaw, landmarks), jaw[:, 1])
    below = _step(vertices[:, 1] - jaw_y, -2.5 * s, 2.5 * s)
    sideways = _step(azimuth_deg(jaw[-1:], landmarks) + 6 - azimuth, -3, 3)
    hair = _hairline(vertices, landmarks, s)
    return np.asarray(below * sideways * _step(hair - vertices[:, 1], -4 * s, 4 * s))


def _scalp_weight(vertices: Floats, landmarks: Floats, s: float) -> Floats:
    return _step(vertices[:, 1] - _hairline(vertices, landmarks, s), -4 * s, 4 * s)


def _hairline(vertices: Floats, landmarks: Floats, s: float) -> Floats:
    """Height (V,) of the hairline in the azimuth of each vertex."""
    brow_y = float(landmarks[17:27, 1].mean())
    azimuth = azimuth_deg(vertices, landmarks)
    return np.asarray(brow_y + s * np.interp(azimuth, _HAIRLINE_DEG, _HAIRLINE_MM))


def _lid(xy: Floats, contour: Floats, s: float) -> Floats:
    signed = _inside(xy, contour)
    return np.asarray(_step(signed, -8 * s, -4 * s))


def _step(x: Floats, low: float, high: float) -> Floats:
    """Smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t))


def _blob(points: Floats, centers: Sequence[Floats], *, radius: float) -> Floats:
    """Bell round the nearest centre: 1 there, 0.5 at 0.7 `radius`, 0 at 1.4 `radius`."""
    distance = np.min([np.linalg.norm(points - c, axis=1) for c in centers], axis=0)
    return 1 - _step(distance, 0, 1.4 * radius)


def _along(points: Floats, line: Floats, *, radius: float) -> Floats:
    """Bell round a polyline (N, 3): 1 on it, 0 at 1.4 `radius`."""
    return np.asarray(1 - _step(_line_distance(points, line), 0.3 * radius, 1.4 * radius))


def _line_distance(points: Floats, line: Floats) -> Floats:
    """Distance (V,) of points (V, D) to a polyline (N, D)."""
    best = np.full(len(points), np.inf)
    for a, b in itertools.pairwise(line):
        t = np.clip((points - a) @ (b - a) / max(float((b - a) @ (b - a)), 1e-12), 0, 1)
        best = np.minimum(best, np.linalg.norm(points - a - t[:, None] * (b - a), axis=1))
    return best


def _inside(points: Floats, polygon: Floats) -> Floats:
    """Signed distance (V,) to a closed polygon (N, 2) in the plane, positive inside."""
    a, b = polygon, np.roll(polygon, -1, axis=0)
    crossing = np.zeros(len(points), bool)
    for p, q in zip(a, b, strict=True):
        spans = (p[1] > points[:, 1]) != (q[1] > points[:, 1])
        rise = q[1] - p[1] if q[1] != p[1] else 1.0
        crossing ^= spans & (points[:, 0] < (q[0] - p[0]) * (points[:, 1] - p[1]) / rise + p[0])
    distance = _line_distance(points, np.concatenate([polygon, polygon[:1]]))
    return np.asarray(np.where(crossing, distance, -distance))
