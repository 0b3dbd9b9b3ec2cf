"""The built-in head: a face model made of geometry alone, free of any licence.

`procedural_head()` gives a bald adult head with eyeballs, ears, nostrils, the inside of the
lips and a neck that ends at the collar. Millimetres in the head frame: +x to the subject's
left, +y up, +z out of the face, the origin midway between the ears at the height of the nose
tip. Proportions follow common anthropometric averages: about 228 mm from chin to crown, 152
wide, 197 deep, pupils 63 apart at y = 35, nose tip near z = 104, chin near y = -79.

The mean is exactly symmetric (`mirror` pairs the vertices). Nothing in it was measured on a
person or taken from another model: identity modes are named, hand-made variations and no
statistics of a population.
"""

import functools
import itertools
from dataclasses import dataclass

import numpy as np

from ..arrays import Bools, Floats, Ints
from .chartfaces import skin_chart
from .model import FaceModel
from .procedural_ear import place_ear
from .procedural_expression import expression_modes
from .procedural_grid import EYE_RINGS, MOUTH_RINGS, PARTS, HalfGrid, half_grid
from .procedural_identity import identity_modes
from .procedural_landmarks import landmark_vertices
from .procedural_shape import EYE_CENTER, EYE_RADIUS
from .procedural_surface import VERMILION_RING, place
from .procedural_uv import Chart, eyeball_uv, half_charts, mirrored_uv
from .regions import FaceParts, azimuth_deg, face_regions, face_weights

_EYE_SEGMENTS = 32
_EYE_RINGS = 19
_CORNEA_BULGE = 0.7  # mm over the sphere, at its middle
_FRONTAL_AZIMUTH_DEG = 60.0


@dataclass(frozen=True, kw_only=True)
class _Whole:
    """The whole head, before it becomes a `FaceModel`."""

    points: Floats
    quads: Ints
    mirror: Ints
    right_of: Ints
    """(n,) vertex of the right half for each of the left."""
    eye_start: int


@functools.cache
def procedural_head() -> FaceModel:
    """Return the built-in head, made anew once per process (about two seconds)."""
    half = half_grid()
    points = place(half)
    place_ear(points, half.ear)
    whole = _join(half, points)
    faces, faces_uv, uv = _triangles_and_uv(half, points, whole)
    landmarks = landmark_vertices(half, points, mirror=whole.mirror)
    parts, lips = _parts(half, whole)
    weights = face_weights(whole.points, whole.points[landmarks], parts=parts)
    weights["lips"] = lips
    regions = face_regions(weights, parts=parts)
    ahead = azimuth_deg(whole.points, whole.points[landmarks]) < _FRONTAL_AZIMUTH_DEG
    regions["frontal_face"] = regions["face"] & ahead
    identity_names, identity = identity_modes(whole.points, half, mirror=whole.mirror)
    expression_names, expression = expression_modes(
        whole.points, half, mirror=whole.mirror, right_of=whole.right_of
    )
    return FaceModel(
        name="procedural",
        mean=whole.points,
        faces=faces,
        uv=uv,
        faces_uv=faces_uv,
        identity=identity,
        identity_names=identity_names,
        identity_sigma=np.ones(len(identity_names)),
        expression=expression,
        expression_names=expression_names,
        landmarks68=landmarks,
        regions=regions,
        weights=weights,
        quads=whole.quads[whole.quads[:, 2] != whole.quads[:, 3]],
        mirror=whole.mirror,
        chart_faces=skin_chart(uv, faces_uv, faces, regions["skin"]),
    )


def _join(half: HalfGrid, points: Floats) -> _Whole:
    """Mirror the left half, weld the midline and add the eyeballs."""
    n = half.n_vertices
    side = np.ones(n, bool)
    side[half.midline] = False
    right_of = np.arange(n, dtype=np.int32)
    right_of[side] = n + np.arange(side.sum(), dtype=np.int32)
    ball, ball_quads = _eyeball()
    eye_start = n + int(side.sum())
    flip = np.array([-1.0, 1.0, 1.0])
    all_points = np.concatenate([points, points[side] * flip, ball, ball * flip])
    mirror = np.empty(len(all_points), np.int32)
    mirror[:n] = right_of
    mirror[right_of] = np.arange(n)
    left_ball = eye_start + np.arange(len(ball))
    mirror[left_ball], mirror[left_ball + len(ball)] = left_ball + len(ball), left_ball
    quads = np.concatenate([
        half.quads,
        _reversed(right_of[half.quads]),
        ball_quads + eye_start,
        _reversed(ball_quads) + eye_start + len(ball),
    ])  # fmt: skip
    return _Whole(
        points=all_points, quads=quads.astype(np.int32), mirror=mirror, right_of=right_of,
        eye_start=eye_start,
    )  # fmt: skip


def _reversed(quads: Ints) -> Ints:
    """Turn quads over; triangles keep their repeated corner last."""
    turned = quads[:, [1, 0, 3, 2]]
    triangle = quads[:, 2] == quads[:, 3]
    turned[triangle] = quads[triangle][:, [1, 0, 2, 3]]
    return turned


def _eyeball() -> tuple[Floats, Ints]:
    """Left eyeball: a sphere of rings round +z with a corneal bulge, open at the very back."""
    polar = np.linspace(0, np.pi, _EYE_RINGS + 1)[1:-1]
    turn = np.arange(_EYE_SEGMENTS) / _EYE_SEGMENTS * 2 * np.pi
    unit = np.stack(
        [np.outer(np.sin(polar), np.cos(turn)), np.outer(np.sin(polar), np.sin(turn)),
         np.repeat(np.cos(polar)[:, None], _EYE_SEGMENTS, 1)], axis=-1,
    ).reshape(-1, 3)  # fmt: skip
    unit = np.concatenate([[[0, 0, 1.0]], unit])
    off_axis = np.hypot(unit[:, 0], unit[:, 1]) * EYE_RADIUS
    t = np.clip(1 - (off_axis / 6.0) ** 2, 0, 1) * (unit[:, 2] > 0)
    radius = EYE_RADIUS + _CORNEA_BULGE * t**1.5
    n_rings = len(polar)
    ring = 1 + np.arange(n_rings * _EYE_SEGMENTS).reshape(n_rings, _EYE_SEGMENTS)
    after = np.roll(ring, -1, axis=1)
    body = np.stack([ring[:-1], ring[1:], after[1:], after[:-1]], -1).reshape(-1, 4)
    pole = np.zeros_like(ring[0])
    front = np.stack([ring[0], after[0], pole, pole], 1)
    quads = np.concatenate([front, body]).astype(np.int32)
    return EYE_CENTER + radius[:, None] * unit, quads


def _split(quads: Ints) -> Ints:
    """Split quads into triangles along their first diagonal."""
    whole = quads[:, 2] != quads[:, 3]
    return np.concatenate([quads[:, [0, 1, 2]], quads[whole][:, [0, 2, 3]]]).astype(np.int32)


def _triangles_and_uv(half: HalfGrid, points: Floats, whole: _Whole) -> tuple[Ints, Ints, Floats]:
    """Return faces (F, 3), their rows of uv (F, 3) and uv (T, 2), chart by chart."""
    names = [PARTS[k] for k in half.quad_part]
    is_quad = half.quads[:, 2] != half.quads[:, 3]
    triangles = _split(half.quads)
    part = [*names, *itertools.compress(names, is_quad)]
    faces, faces_uv, uvs, n_uv = [], [], [], 0
    for chart in half_charts(half, points, triangles, part):
        tri, tri_uv, uv = _both_sides(chart, whole)
        faces.append(tri)
        faces_uv.append(tri_uv + n_uv)
        uvs.append(uv)
        n_uv += len(uv)
    ball = _split(_eyeball()[1])
    directions = (whole.points[whole.eye_start :] - EYE_CENTER)[: ball.max() + 1]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    n_ball = len(directions)
    for k, left in ((0, True), (1, False)):
        tri = ball if left else ball[:, [0, 2, 1]]
        faces.append(tri + whole.eye_start + k * n_ball)
        faces_uv.append(tri + n_uv)
        uvs.append(eyeball_uv(directions * (1.0 if left else np.array([-1.0, 1, 1])), left=left))
        n_uv += n_ball
    return (
        np.concatenate(faces).astype(np.int32),
        np.concatenate(faces_uv).astype(np.int32),
        np.concatenate(uvs),
    )


def _both_sides(chart: Chart, whole: _Whole) -> tuple[Ints, Ints, Floats]:
    """Return a chart's triangles on both sides, their uv rows and the uv."""
    local = np.searchsorted(chart.vertices, chart.triangles)
    n = len(chart.vertices)
    right = np.arange(n) + n
    uv, uv_right = chart.uv, mirrored_uv(chart)
    if chart.joined:
        same = np.abs(uv_right - uv).max(axis=1) < 1e-12
        same &= whole.right_of[chart.vertices] == chart.vertices
        right = np.where(same, np.arange(n), np.cumsum(~same) - 1 + n)
        uv_right = uv_right[~same]
    faces = np.concatenate([chart.triangles, whole.right_of[chart.triangles][:, [0, 2, 1]]])
    faces_uv = np.concatenate([local, right[local][:, [0, 2, 1]]])
    return faces, faces_uv, np.concatenate([uv, uv_right])


def _parts(half: HalfGrid, whole: _Whole) -> tuple[FaceParts, Floats]:
    """Return the parts and the weight of the lips, known from the rings."""

    def both(left: Ints) -> Bools:
        mask = np.zeros(len(whole.points), bool)
        mask[left] = mask[whole.right_of[left]] = True
        return mask

    eyeballs = np.arange(len(whole.points)) >= whole.eye_start
    mouth = both(half.mouth[MOUTH_RINGS + 2 :].ravel())
    lid_inside = both(half.eye[EYE_RINGS + 2 :].ravel())
    lips = np.zeros(len(whole.points))
    for ring in range(VERMILION_RING - 1, MOUTH_RINGS + 3):
        weight = np.clip((ring - VERMILION_RING + 1) / 2, 0, 1)
        lips[both(half.mouth[ring])] = weight
    parts = FaceParts(
        skin=~(eyeballs | mouth | lid_inside),
        ears=both(half.ear[2:].ravel()),
        eyeballs=eyeballs,
        mouth_interior=mouth,
    )
    return parts, lips
