"""Identity modes of the built-in head: named variations, one standard deviation each."""

import numpy as np

from ..arrays import Floats, Floats32, Ints
from .procedural_fields import Displacement, Push, Stretch, bell, side, step, total
from .procedural_grid import EYE_RINGS, HalfGrid
from .procedural_shape import EYE_CENTER, EYE_RADIUS


def _head_width(p: Floats) -> Floats:
    return p * np.array([0.03, 0, 0])


def _head_depth(p: Floats) -> Floats:
    behind = step(-p[:, 2], -60, 60)
    return np.stack([0 * behind, 0 * behind, -5.5 * behind], 1)


def _skull_height(p: Floats) -> Floats:
    return np.stack([0 * p[:, 0], 0.045 * np.maximum(p[:, 1] - 40, 0) ** 1.0, 0 * p[:, 0]], 1)


def _face_length(p: Floats) -> Floats:
    front = step(p[:, 2], -40, 60)
    down = -np.clip((25 - p[:, 1]) / 100, 0, 1.1) * 4.0
    return np.stack([0 * down, down * front, 0 * down], 1)


def _face_width(p: Floats) -> Floats:
    w = np.exp(-(((p[:, 1] - 5) / 55) ** 2)) * step(p[:, 2], -45, 25)
    return np.stack([0.042 * p[:, 0] * w, 0 * w, 0 * w], 1)


def _neck_width(p: Floats) -> Floats:
    w = step(-p[:, 1], 55, 115)
    return np.stack([0.06 * p[:, 0] * w, 0 * w, 0.05 * (p[:, 2] + 38) * w], 1)


def _shear(axis: int, amount: float, center: tuple[float, float, float],
           radii: tuple[float, float, float]) -> Displacement:  # fmt: skip
    """Move the left side one way and the right side the other way."""

    def field(p: Floats) -> Floats:
        out = np.zeros_like(p)
        out[:, axis] = amount * bell(p, center, radii) * side(p, width=12)
        return out

    return field


def _sideways(amount: float, center: tuple[float, float, float],
              radii: tuple[float, float, float]) -> Displacement:  # fmt: skip
    """Move what lies round `center` to the subject's left."""
    return Push(center=center, radii=radii, vector=(amount, 0, 0), both=False)


def _push(center: tuple[float, float, float], radii: tuple[float, float, float],
          vector: tuple[float, float, float]) -> Displacement:  # fmt: skip
    return Push(center=center, radii=radii, vector=vector)


def _stretch(center: tuple[float, float, float], radii: tuple[float, float, float],
             factors: tuple[float, float, float]) -> Displacement:  # fmt: skip
    return Stretch(center=center, radii=radii, factors=factors)


_FIELDS: dict[str, Displacement] = {
    "head_width": _head_width,
    "head_depth": _head_depth,
    "skull_height": _skull_height,
    "face_width": _face_width,
    "face_length": _face_length,
    "forehead_slope": _push((0, 100, 60), (60, 34, 50), (0, 0, -4.0)),
    "forehead_bulge": _push((20, 82, 76), (24, 20, 30), (0, 0, 2.0)),
    "temple_fullness": _push((64, 58, 38), (22, 24, 24), (2.4, 0, 1.0)),
    "brow_ridge": _push((20, 52, 80), (24, 8, 24), (0, -0.4, 2.2)),
    "brow_height": _push((28, 55, 74), (24, 9, 24), (0, 2.2, 0)),
    "glabella": _push((0, 52, 84), (9, 11, 20), (0, 0, 1.8)),
    "eye_distance": _push((31.5, 35, 62), (26, 22, 30), (1.7, 0, 0)),
    "eye_height": _push((31.5, 35, 62), (28, 20, 30), (0, 1.8, 0)),
    "eye_depth": _push((31.5, 36, 62), (24, 17, 30), (0, 0, -1.8)),
    "upper_lid_fold": _push((33, 47, 67), (16, 4.5, 14), (0, -1.6, 1.3)),
    "tear_trough": _push((27, 23, 72), (14, 6, 16), (0, 0, 1.4)),
    "cheekbone_prominence": _push((47, 14, 58), (18, 14, 22), (1.8, 0.3, 1.8)),
    "cheekbone_height": _push((46, 10, 58), (18, 22, 24), (0, 2.4, 0)),
    "cheek_fullness": _push((44, -24, 48), (20, 22, 28), (3.0, 0, 1.8)),
    "cheek_hollow": _push((54, -12, 34), (14, 18, 20), (-2.2, 0, -0.8)),
    "nasolabial_fold": total(
        _push((25, -14, 80), (6, 10, 12), (0, 0, 1.4)),
        _push((20, -18, 84), (4, 9, 12), (0, 0, -1.2)),
    ),
    "nose_length": _push((0, -2, 96), (24, 15, 26), (0, -2.4, 0)),
    "nose_projection": _push((0, 0, 102), (17, 17, 20), (0, 0, 2.8)),
    "nose_width": _push((15, -3, 87), (9, 11, 15), (1.9, 0, 0)),
    "nose_bridge_width": _push((9, 20, 84), (9, 18, 18), (1.3, 0, 0)),
    "nose_bridge_height": _push((0, 32, 84), (9, 15, 18), (0, 0, 2.0)),
    "nose_hump": _push((0, 20, 94), (9, 9, 16), (0, 0, 1.7)),
    "nose_tip_up": _push((0, 3, 103), (12, 9, 13), (0, 2.0, 0.5)),
    "nose_tip_size": _stretch((0, 3, 97), (13, 11, 14), (0.13, 0.11, 0.05)),
    "nostril_flare": _push((14, -7, 86), (7, 6, 12), (1.3, 0.9, 0)),
    "columella_drop": _push((0, -9, 95), (5, 6, 11), (0, -1.2, 0)),
    "philtrum_length": _push((0, -34, 88), (36, 15, 34), (0, -1.9, 0)),
    "mouth_width": _push((24, -34, 76), (11, 13, 18), (2.0, 0, -0.4)),
    "mouth_protrusion": _push((0, -34, 88), (24, 18, 24), (0, 0, 2.2)),
    "mouth_corners_up": _push((25, -34, 77), (9, 9, 16), (0, 1.5, 0)),
    "upper_lip_fullness": _push((0, -27.5, 91), (17, 4.2, 14), (0, 0.9, 1.3)),
    "lower_lip_fullness": _push((0, -41, 90), (16, 4.6, 14), (0, -0.9, 1.4)),
    "cupids_bow": total(
        _push((6, -23.8, 91), (3.5, 3.5, 10), (0, 0.8, 0.4)),
        _push((0, -25, 91), (3, 3.5, 10), (0, -0.8, 0)),
    ),
    "mentolabial_depth": _push((0, -52, 86), (16, 6, 16), (0, 0, -1.6)),
    "jaw_width": _push((54, -44, 22), (24, 26, 34), (3.4, 0, 0)),
    "jaw_angle_height": _push((54, -48, 18), (20, 20, 26), (0, -3.4, 0)),
    "chin_length": _push((0, -74, 70), (24, 17, 34), (0, -3.0, 0)),
    "chin_projection": _push((0, -66, 82), (22, 16, 28), (0, 0, 3.0)),
    "chin_width": _push((15, -67, 74), (13, 13, 20), (2.2, 0, 0)),
    "chin_cleft": _push((0, -67, 84), (3.5, 8, 12), (0, 0, -1.1)),
    "double_chin": _push((0, -88, 44), (34, 15, 26), (0, -4.0, 1.0)),
    "neck_width": _neck_width,
    "asymmetry_jaw": _sideways(1.6, (0, -68, 66), (40, 26, 44)),
    "asymmetry_nose": _sideways(1.1, (0, 2, 98), (15, 18, 18)),
    "asymmetry_mouth": _shear(1, 0.8, (20, -34, 80), (14, 13, 20)),
    "asymmetry_eyes": _shear(1, 0.7, (31.5, 37, 62), (22, 18, 28)),
    "asymmetry_cheeks": _shear(2, 1.1, (46, 4, 56), (22, 26, 30)),
}

_ASYMMETRIC = tuple(name for name in _FIELDS if name.startswith("asymmetry"))


def identity_modes(
    points: Floats, half: HalfGrid, *, mirror: Ints
) -> tuple[tuple[str, ...], Floats32]:
    """Return the modes' names and displacements (n, V, 3), mm for one standard deviation.

    The eyeballs move rigidly and the lids go with them, so that lids stay on the eyes.
    """
    modes = [_with_rigid_eyes(field, points) for field in _FIELDS.values()]
    names = list(_FIELDS)
    ears = _ear_weight(points, half, mirror)
    for name, mode in (
        ("ear_size", ears * (points - [0, 14, -2]) * [0, 0.07, 0.08]),
        (
            "ear_protrusion",
            ears
            * np.column_stack([2.4 * side(points), 0 * points[:, :1], 0 * points[:, :1] - 0.6]),
        ),
        ("eye_opening", _lid_shift(points, half, mirror, up=(0, 0.9, 0), down=(0, -0.6, 0))),
        ("eye_tilt", _eye_tilt(points)),
    ):
        names.append(name)
        modes.append(mode)
    stacked = np.stack(modes)
    for k, name in enumerate(names):
        if name not in _ASYMMETRIC:
            stacked[k] = (stacked[k] + stacked[k][mirror] * np.array([-1, 1, 1])) / 2
    return tuple(names), stacked.astype(np.float32)


def eye_weight(points: Floats, *, inner: float = 15.0, outer: float = 27.0) -> Floats:
    """Return (V, 2): how far each vertex goes along with the left and the right eyeball."""
    distance = np.stack(
        [np.linalg.norm(points - EYE_CENTER * (s, 1, 1), axis=1) for s in (1, -1)], axis=1
    )
    return 1 - step(distance, inner, outer)


def _ear_weight(points: Floats, half: HalfGrid, mirror: Ints) -> Floats:
    """Return (V, 1): 0 on the head and before the ear canal, rising to 1 on the free ear."""
    ring = step(np.arange(len(half.ear), dtype=np.float64), 0.0, 5.0)[:, None]
    at = ring * step(-points[half.ear, 2], -9.0, 9.0)
    for _ in range(8):
        beside = (np.roll(at, 1, axis=1) + np.roll(at, -1, axis=1)) / 2
        at[1:-1] = 0.4 * at[1:-1] + 0.3 * beside[1:-1] + 0.15 * (at[:-2] + at[2:])
    weight = np.zeros((len(points), 1))
    weight[half.ear] = weight[mirror[half.ear]] = at[..., None]
    return weight


def _with_rigid_eyes(field: Displacement, points: Floats) -> Floats:
    moved = field(points)
    weight = eye_weight(points)
    for k, s in enumerate((1, -1)):
        at_eye = field(EYE_CENTER[None] * (s, 1, 1) + [0, 0, 6.0])
        moved += weight[:, k : k + 1] * (at_eye - moved)
    return moved


def _lid_shift(
    points: Floats, half: HalfGrid, mirror: Ints, *, up: tuple[float, float, float],
    down: tuple[float, float, float],
) -> Floats:  # fmt: skip
    """Move upper and lower lids of both eyes along the eyeball."""
    out = np.zeros_like(points)
    ring = half.eye
    margin = points[ring[EYE_RINGS]]
    rise = (margin[:, 1] - np.interp(margin[:, 0], [16, 45], [33, 35])) / 6.0
    along = np.where(rise > 0, rise, 0)[:, None] * np.array(up) + np.where(rise < 0, -rise, 0)[
        :, None
    ] * np.array(down)
    for k, vertices in enumerate(ring):
        share = float(step(np.array(min(k / EYE_RINGS, 1.0)), 0, 1))
        out[vertices] = share * along
    return keep_on_eyeball(points, out, mirror)


def keep_on_eyeball(points: Floats, moved: Floats, mirror: Ints) -> Floats:
    """Lift lids that would sink into the left eyeball; then mirror to the right."""
    target = points + moved
    ray = target - EYE_CENTER
    new = np.linalg.norm(ray, axis=1)
    old = np.linalg.norm(points - EYE_CENTER, axis=1)
    floor = np.minimum(old, EYE_RADIUS + 1.5)
    sunk = (new < floor) & (np.abs(moved).sum(1) > 0)
    target[sunk] = EYE_CENTER + ray[sunk] * (floor[sunk] / new[sunk])[:, None]
    out = np.where((np.abs(moved).sum(1) > 0)[:, None], target - points, 0.0)
    return np.asarray(out + out[mirror] * np.array([-1, 1, 1]))


def _eye_tilt(points: Floats) -> Floats:
    """Turn the lid opening round the view axis: outer corners up."""
    out = np.zeros_like(points)
    for k, s in enumerate((1, -1)):
        weight = eye_weight(points, inner=13.0, outer=26.0)[:, k]
        q = points - EYE_CENTER * (s, 1, 1)
        angle = np.radians(3.0) * s * weight
        out[:, 0] -= angle * q[:, 1]
        out[:, 1] += angle * q[:, 0]
    return out
