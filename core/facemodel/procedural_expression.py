"""Expression modes of the built-in head, named as in ARKit; `_L` is the subject's left."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from ..arrays import Floats, Floats32, Ints
from .procedural_fields import Displacement, Push, bell, step, total
from .procedural_grid import EYE_RINGS, EYE_ROWS, MOUTH_RINGS, HalfGrid
from .procedural_identity import eye_weight
from .procedural_shape import EYE_CENTER, EYE_RADIUS

_JAW_AXIS = np.array([0.0, 14.0, 4.0])  # through the jaw joints
_JAW_OPEN_DEG = 19.0
_LOOK_DEG = 25.0
_TAUT_RADIUS = EYE_RADIUS + 1.9  # of a closed lid's skin
_BLINK_LINE = 0.18  # where the closed lids meet, from lower (0) to upper margin (1)

_Triple = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class _Head:
    """What the modes are made from; weights are symmetric."""

    points: Floats
    half: HalfGrid
    mirror: Ints
    upper: Floats
    """(V,) 1 on the upper lip's edge, fading out over the rings round the mouth."""
    lower: Floats
    jaw: Floats
    """(V,) how far a vertex goes along with the jaw."""
    still: Floats
    """(V,) 0 on the eyeballs and lid margins, 1 away from them."""

    def flipped(self, mode: Floats) -> Floats:
        """Return the mode of the other side."""
        return np.asarray(mode[self.mirror] * np.array([-1.0, 1.0, 1.0]))


def expression_modes(
    points: Floats, half: HalfGrid, *, mirror: Ints, right_of: Ints
) -> tuple[tuple[str, ...], Floats32]:
    """Return the modes' names and displacements (n, V, 3), mm at full activation."""
    upper, lower = _lip_weights(half, len(points), right_of)
    jaw = np.zeros(len(points))
    jaw[: half.n_vertices] = _jaw_weight(points[: half.n_vertices], half)
    jaw[right_of] = jaw[: half.n_vertices]
    head = _Head(
        points=points, half=half, mirror=mirror, upper=upper, lower=lower, jaw=jaw,
        still=1 - eye_weight(points, inner=14.0, outer=21.0).max(axis=1),
    )  # fmt: skip
    modes = {**_jaw_modes(head), **_whole_mouth_modes(head)}
    for name, mode in {**_one_sided_modes(head), **_eye_modes(head)}.items():
        modes[f"{name}_L"] = mode
        modes[f"{name}_R"] = head.flipped(mode)
    names = tuple(sorted(modes, key=str.lower))
    return names, np.stack([modes[n] for n in names]).astype(np.float32)


def _jaw_modes(head: _Head) -> dict[str, Floats]:
    p, w = head.points, head.jaw[:, None]
    angle = np.radians(_JAW_OPEN_DEG)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    opened = (p - _JAW_AXIS) @ turn.T + _JAW_AXIS - p
    left = w * np.array([6.0, 0.0, -0.6])
    return {
        "jawOpen": w * opened,
        "jawForward": w * np.array([0, -0.6, 5.0]),
        "jawLeft": left,
        "jawRight": head.flipped(left),
    }


def _whole_mouth_modes(head: _Head) -> dict[str, Floats]:
    p, up, low = head.points, head.upper[:, None], head.lower[:, None]
    round_mouth = bell(p, (0, -34, 84), (27, 19, 26))
    narrow = np.stack([-p[:, 0] * round_mouth, 0 * round_mouth, 0 * round_mouth], 1)
    forward = np.stack([0 * round_mouth, 0 * round_mouth, round_mouth], 1)
    left = Push(center=(0, -36, 86), radii=(30, 19, 28), vector=(7, 0, -0.5), both=False)(p)
    shrug = Push(center=(0, -52, 88), radii=(24, 13, 20), vector=(0, 4.0, 1.0))(p)
    return {
        "mouthPucker": 0.40 * narrow + 5.0 * forward + up * [0, 0.6, 1.6] + low * [0, -0.6, 1.6],
        "mouthFunnel": 0.26 * narrow + 5.0 * forward + up * [0, 3.6, 2.0] + low * [0, -4.6, 2.0],
        "mouthLeft": left,
        "mouthRight": head.flipped(left),
        "mouthRollUpper": up * [0, -1.2, -4.2],
        "mouthRollLower": low * [0, 1.2, -4.2],
        "mouthShrugLower": shrug + 2.4 * (up + low) * [0, 1, 0.3],
        "mouthShrugUpper": Push(
            center=(0, -30, 90), radii=(20, 11, 18), vector=(0, 3.0, 0.8)
        )(p) + low * [0, 2.2, 0.5],
    }  # fmt: skip


def _one_sided_modes(head: _Head) -> dict[str, Floats]:
    """Modes of the left side that move skin only."""
    p = head.points
    on_left = step(p[:, 0], -7, 9)
    up, low = (head.upper * on_left)[:, None], (head.lower * on_left)[:, None]

    def corner(vector: _Triple, radii: _Triple = (14, 12, 18)) -> Displacement:
        return _left((25.5, -34, 77), radii, vector)

    cheek_up = _left((40, 6, 64), (16, 14, 22), (1.6, 4.2, 2.4))
    fields: dict[str, Displacement] = {
        "mouthSmile": total(corner((6.0, 6.0, -4.5)), cheek_up,
                            _left((30, -16, 76), (9, 12, 16), (1.5, 1.0, 1.6))),
        "mouthFrown": total(corner((0.6, -5.5, -1.0)),
                            _left((24, -50, 76), (12, 12, 16), (0, -1.5, 1))),
        "mouthDimple": corner((3.2, 0.6, -4.4), (10, 10, 16)),
        "mouthStretch": total(corner((8.0, -2.4, -5.0)),
                              _left((36, -52, 54), (16, 16, 24), (2.5, -1, 0))),
        "cheekPuff": _left((42, -27, 60), (20, 19, 26), (7.0, 0, 4.5)),
        "cheekSquint": _left((38, 14, 66), (17, 10, 22), (0, 3.6, 1.6)),
        "noseSneer": total(_left((13, -1, 87), (8, 11, 15), (0.6, 3.4, 0.2)),
                           _left((9, 18, 84), (7, 12, 14), (0, 1.5, 1.2))),
        "browDown": _left((18, 53, 79), (21, 10, 24), (-1.8, -4.6, 0.8)),
        "browInnerUp": _left((9, 55, 82), (13, 15, 24), (0, 6.0, -0.4)),
        "browOuterUp": _left((39, 55, 71), (16, 15, 26), (0, 5.6, -0.6)),
    }  # fmt: skip
    modes = {name: field(p) * head.still[:, None] for name, field in fields.items()}
    modes["mouthUpperUp"] = up * [0.4, 4.2, 0.6]
    modes["mouthLowerDown"] = low * [0.4, -5.0, 0.2]
    modes["noseSneer"] = modes["noseSneer"] + up * [0, 1.4, 0.2]
    return modes


def _left(center: _Triple, radii: _Triple, vector: _Triple) -> Displacement:
    return Push(center=center, radii=radii, vector=vector, both=False)


def _eye_modes(head: _Head) -> dict[str, Floats]:
    """Modes of the left eye: lids along the eyeball, and gaze."""
    blink = _close_lids(head, upper=1 - _BLINK_LINE, lower=_BLINK_LINE)
    squint = _close_lids(head, upper=0.16, lower=0.26)
    squint = squint + (
        _left((34, 21, 70), (17, 8, 16), (0, 1.8, 1.0))(head.points) * head.still[:, None]
    )
    wide = _close_lids(head, upper=-0.20, lower=-0.06)
    ball = np.linalg.norm(head.points - EYE_CENTER, axis=1) < 13.0
    ball &= np.arange(len(head.points)) >= head.points.shape[0] - _n_balls(head)
    modes = {"eyeBlink": blink, "eyeSquint": squint, "eyeWide": wide}
    for name, axis, sign, lids in (
        ("eyeLookUp", (1, 0, 0), -1.0, 0.8 * wide),
        ("eyeLookDown", (1, 0, 0), 1.0, 0.42 * blink),
        ("eyeLookIn", (0, 1, 0), -1.0, 0 * blink),
        ("eyeLookOut", (0, 1, 0), 1.0, 0 * blink),
    ):
        q = head.points - EYE_CENTER
        a, k = np.radians(_LOOK_DEG) * sign, np.array(axis, dtype=np.float64)
        turned = q * np.cos(a) + np.cross(k, q) * np.sin(a) + np.outer(q @ k, k) * (1 - np.cos(a))
        modes[name] = np.where(ball[:, None], turned - q, lids)
    return modes


def _n_balls(head: _Head) -> int:
    """Count the eyeballs' vertices: those after both halves."""
    return len(head.points) - 2 * head.half.n_vertices + len(head.half.midline)


def _close_lids(head: _Head, *, upper: float, lower: float) -> Floats:
    """Turn the left lids by these shares of the opening round the eyeball's middle."""
    ring = head.half.eye
    n = ring.shape[1]
    inner = (EYE_ROWS[1] - EYE_ROWS[0]) // 2
    m = np.arange(n // 2 + 1)
    low_at, up_at = (inner + m) % n, (inner - m) % n
    margin = head.points[ring[EYE_RINGS]] - EYE_CENTER
    elevation = np.arctan2(margin[:, 1], margin[:, 2])
    gap = elevation[up_at] - elevation[low_at]
    turn = np.zeros(n)
    turn[up_at] = -upper * gap
    turn[low_at] += lower * gap
    closing = np.clip(np.abs(turn) / gap.max(), 0, 1) * (upper > 0)
    out = np.zeros_like(head.points)
    for k, vertices in enumerate(ring):
        share = float(step(np.array(min(k / EYE_RINGS, 1.0) ** 0.8), 0, 1))
        q = head.points[vertices] - EYE_CENTER
        c, s = np.cos(share * turn), np.sin(share * turn)
        target = np.stack([q[:, 0], c * q[:, 1] + s * q[:, 2], c * q[:, 2] - s * q[:, 1]], 1)
        radius = np.linalg.norm(q, axis=1)
        # skin that lay in the fold above is drawn taut over the ball
        taut = radius - share * closing * np.maximum(radius - _TAUT_RADIUS, 0.0)
        out[vertices] = target * (taut / radius)[:, None] - q
    return out


def _lip_weights(half: HalfGrid, n: int, right_of: Ints) -> tuple[Floats, Floats]:
    """Return (V,) weights of the upper and of the lower lip."""
    upper, lower = np.zeros(n), np.zeros(n)
    corner = half.mouth.shape[1] // 2
    along = np.abs(np.arange(half.mouth.shape[1]) - corner) / corner
    open_share = step(along, 0.0, 0.75)
    n_inner = len(half.mouth) - 1 - MOUTH_RINGS
    inside = np.linspace(1, 0, n_inner + 1)[1:]
    by_ring = np.concatenate([step(np.linspace(0, 1, MOUTH_RINGS + 1), 0, 1), inside])
    weight = by_ring[:, None] * open_share
    upper[half.mouth[:, corner + 1 :]] = weight[:, corner + 1 :]
    lower[half.mouth[:, :corner]] = weight[:, :corner]
    for w in (upper, lower):
        w[right_of] = w[: half.n_vertices]
    return upper, lower


def _jaw_weight(points: Floats, half: HalfGrid) -> Floats:
    """Harmonic weight on the left half: 1 on chin and lower lip, 0 on skull and upper lip."""
    n = half.n_vertices
    quads = half.quads
    a = np.concatenate([quads[:, k] for k in range(4)])
    b = np.concatenate([quads[:, (k + 1) % 4] for k in range(4)])
    keep = a != b
    a, b = a[keep], b[keep]
    pull = 1 / np.maximum(np.linalg.norm(points[a] - points[b], axis=1), 0.3)
    W = sparse.coo_array((np.r_[pull, pull], (np.r_[a, b], np.r_[b, a])), shape=(n, n)).tocsr()
    L = sparse.csr_array(sparse.diags_array(W.sum(axis=1)) - W)
    value = np.full(n, np.nan)
    _, y, z = points.T
    value[(y < -53) & (y > -84) & (z > 40 - 0.9 * (y + 60).clip(-30, 0))] = 1.0
    value[(y > -4) | (z < -8) | (y < -112)] = 0.0
    corner = half.mouth.shape[1] // 2
    along = np.abs(np.arange(half.mouth.shape[1]) - corner) / corner
    apart = 0.5 * step(along, 0.0, 0.7) * np.sign(corner - np.arange(half.mouth.shape[1]))
    value[half.mouth[MOUTH_RINGS - 4 :]] = 0.5 + apart  # so that the open mouth is an oval
    value[half.ear] = 0.0
    free = np.isnan(value)
    weight = np.where(free, 0.0, value)
    known = L[free][:, ~free] @ weight[~free]
    weight[free] = splu(sparse.csc_array(L[free][:, free])).solve(-known)
    smooth = sparse.csr_array(sparse.diags_array(1 / W.sum(axis=1)) @ W)
    lips = np.zeros(n, bool)
    lips[half.mouth[MOUTH_RINGS - 4 :]] = True
    for _ in range(6):
        weight = np.where(lips, weight, 0.5 * weight + 0.5 * (smooth @ weight))
    return np.asarray(weight)
