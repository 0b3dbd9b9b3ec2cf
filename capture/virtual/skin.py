"""Skin as relief: wrinkles, pores and fine texture, true displacement along the normal.

Everything is a function of the *mean-face* coordinates of the face model, so that the pattern
of a subject stays on the same skin in every expression, and at any resolution.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from ...core.arrays import AnyFloats, Floats, Floats32
from ...core.chunks import over_chunks
from .noise import dents, gradient_noise

PAINT = (
    "lips", "brows", "eyelids", "forehead", "crow_feet", "nasolabial", "cheek_pores", "scalp",
    "iris", "pupil", "sclera", "nose", "cheeks", "ears", "chin",
)  # fmt: skip
"""Soft masks of the face model that skin is painted by, in the columns' order."""
N_PAINT = len(PAINT)
(LIPS, BROWS, LIDS, FOREHEAD, CROW, FOLD, PORES, SCALP, IRIS, PUPIL, SCLERA, NOSE, CHEEKS, EARS,
 CHIN) = range(N_PAINT)  # fmt: skip

DEEPEST_MM = 0.5
PORE_SPACING_MM = 1.2
_WAVELENGTHS = (8.7, 4.3, 2.1, 1.05, 0.52, 0.27)  # mm
_AMPLITUDES = (0.15, 0.12, 0.085, 0.055, 0.03, 0.015)  # mm; noise reaches about two thirds of it
_HAIR = ((0.018, 0.014, 0.012), (0.055, 0.033, 0.021), (0.15, 0.09, 0.045), (0.19, 0.18, 0.17))
_EYES = ((0.085, 0.12, 0.16), (0.07, 0.04, 0.02), (0.08, 0.10, 0.055), (0.10, 0.06, 0.025))
_LIGHT, _DARK = np.array([0.59, 0.335, 0.245]), np.array([0.171, 0.085, 0.058])
"""Linear albedo between which skin lies: near the two skin patches of the classic colour chart."""


@dataclass(frozen=True, kw_only=True)
class Skin:
    """What tells one person's skin from another's."""

    seed: int
    tone: tuple[float, float, float]
    """Linear albedo of plain skin."""
    hair: tuple[float, float, float]
    eyes: tuple[float, float, float]
    age: float
    """0 smooth to 1 strongly lined."""
    freckles: float
    moles: float = 0.0
    """Share of the places 13 mm apart that have a mole; it is colour alone, no relief."""


class SkinValues(NamedTuple):
    """`Skin` and the places it needs, as the compiled kernels take it."""

    seed: int
    age: float
    freckles: float
    tone: Floats
    hair: Floats
    eyes: Floats
    eyeballs: Floats
    """(2, 4): centre x, y, z and radius of the subject's right and left eyeball, mean face, mm."""
    eye_corners: Floats
    """(2, 3): outer corners, right and left, from which crow's feet spread."""
    moles: float


def draw_skin(rng: np.random.Generator) -> Skin:
    """Draw a person's skin."""
    melanin = float(rng.beta(1.6, 2.4))
    tone = _LIGHT * (_DARK / _LIGHT) ** melanin * rng.uniform(0.95, 1.05, 3)
    fair = np.array([0.25, 0.4, 0.3, 0.05]) * (1 - melanin) + np.array([1, 0, 0, 0.1]) * melanin
    hair = np.array(_HAIR[int(rng.choice(4, p=fair / fair.sum()))]) * rng.uniform(0.8, 1.2)
    blue = np.array([0.35, 0.2, 0.25, 0.2]) * (1 - melanin) + np.array([0, 1, 0, 0.3]) * melanin
    eyes = np.array(_EYES[int(rng.choice(4, p=blue / blue.sum()))]) * rng.uniform(0.8, 1.2)
    return Skin(
        seed=int(rng.integers(1 << 30)),
        tone=_triple(tone),
        hair=_triple(hair),
        eyes=_triple(eyes),
        age=float(rng.uniform(0.35, 1.0)),
        freckles=float(rng.uniform(0.0, 1.0) * (1 - melanin)),
    )


def skin_values(
    skin: Skin, mean: Floats, *, weights: Mapping[str, Floats], eye_corners: Floats
) -> SkinValues:
    """Put a skin on a face model.

    Parameters
    ----------
    mean : (V, 3) mm
        The model's mean face, with its soft masks `weights`.
    eye_corners : (2, 3) mm
        Outer corners, the subject's right and left.
    """
    eye = sum((weights[name] for name in ("iris", "pupil", "sclera")), np.zeros(len(mean))) > 0.5
    balls = np.tile([0.0, 0.0, 1e6, 1.0], (2, 1))  # a model without eyeballs: out of reach
    for row, side in enumerate((-1, 1)):
        ball = mean[eye & (side * mean[:, 0] > 0)]
        if len(ball):
            low, high = ball.min(axis=0), ball.max(axis=0)
            balls[row] = *((low + high) / 2), (high[0] - low[0]) / 2
    return SkinValues(
        seed=skin.seed,
        age=skin.age,
        freckles=skin.freckles,
        tone=np.array(skin.tone),
        hair=np.array(skin.hair),
        eyes=np.array(skin.eyes),
        eyeballs=balls,
        eye_corners=np.ascontiguousarray(eye_corners, dtype=np.float64),
        moles=skin.moles,
    )


def relief(anchor: AnyFloats, paint: AnyFloats, *, skin: SkinValues, edge_mm: float) -> Floats32:
    """Return the displacement (V,) along the normal, mm, within +-`DEEPEST_MM`.

    Parameters
    ----------
    anchor : (V, 3) mm
        Mean-face coordinates of each vertex.
    paint : (V, N_PAINT)
        Soft masks, `PAINT` order.
    edge_mm : float
        Typical edge of the mesh: what is finer than two edges it cannot carry, and is left out.
    """
    out = np.zeros(len(anchor), np.float32)
    carried = np.clip(np.array(_WAVELENGTHS) / edge_mm - 1.0, 0.0, 1.0)
    amplitudes = np.array(_AMPLITUDES) * carried
    over_chunks(
        lambda start, end: _relief(start, end, anchor, paint, skin, amplitudes, out),
        len(anchor),
        chunk=1 << 16,
    )
    return out


@njit(nogil=True, cache=True)
def _relief(start, end, anchor, paint, skin, amplitudes, out):  # type: ignore[no-untyped-def]
    for i in range(start, end):
        x, y, z = float(anchor[i, 0]), float(anchor[i, 1]), float(anchor[i, 2])
        p = paint[i]
        eye = min(1.0, float(p[IRIS] + p[PUPIL] + p[SCLERA]))
        if eye > 0.5:
            continue
        quiet = (1 - 0.7 * p[LIDS]) * (1 - 0.5 * p[LIPS]) * (1 - eye)
        d = _lines(x, y, z, p, skin) + quiet * _texture(x, y, z, p, skin.seed, amplitudes)
        if p[LIPS] > 0.02:  # fine furrows across
            furrow = gradient_noise(x / 1.4, y / 9, z / 5, skin.seed + 8)
            d -= 0.22 * p[LIPS] * max(0.0, furrow)
        if p[SCALP] > 0.02:  # short hair
            d += 0.15 * p[SCALP] * gradient_noise(x / 1.1, y / 3.2, z / 1.1, skin.seed + 10)
        out[i] = min(DEEPEST_MM, max(-DEEPEST_MM, d))


@njit(cache=True)
def _lines(x, y, z, p, skin):  # type: ignore[no-untyped-def]
    """Forehead lines, crow's feet and nasolabial folds: furrows, so never above zero."""
    d = 0.0
    if p[FOREHEAD] > 0.02:  # about 8 mm apart, bent by a slow noise, broken by another
        bend = 0.8 * gradient_noise(x / 42, y / 26, z / 60, skin.seed)
        phase = y / 8.0 + bend
        away = abs(phase - math.floor(phase) - 0.5)  # of a period, from the furrow's middle
        furrow = max(0.0, 1 - (away / 0.16) ** 2) ** 2
        broken = min(
            1.0, max(0.0, 0.7 + 1.5 * gradient_noise(x / 21, y / 7, z / 40, skin.seed + 1))
        )
        d -= 0.46 * skin.age * p[FOREHEAD] * furrow * broken
    if p[CROW] > 0.02:  # fanning out from the outer eye corner
        side = 0 if x < 0 else 1
        out_x, out_y = abs(x - skin.eye_corners[side, 0]), y - skin.eye_corners[side, 1]
        angle = math.atan2(out_y, out_x + 9.0)
        wobble = 1.5 * gradient_noise(x / 9, y / 9, z / 9, skin.seed + 2)
        d -= 0.34 * skin.age * p[CROW] * max(0.0, math.cos(17.0 * angle + wobble)) ** 4
    if p[FOLD] > 0.02:  # one furrow along the mask's ridge, from the nose wing to the mouth
        d -= 0.42 * skin.age * p[FOLD] ** 6
    return d


@njit(cache=True)
def _texture(x, y, z, p, seed, amplitudes):  # type: ignore[no-untyped-def]
    """Noise at all scales of skin, and pores."""
    d = 0.0
    for octave in range(len(amplitudes)):
        if amplitudes[octave] > 0:
            q = 1.0 / _WAVELENGTHS[octave]
            # a turn in every octave, so that their lattices do not fall together
            u, v = 0.8 * x - 0.6 * y, 0.6 * x + 0.8 * y
            x, y = u, v
            d += amplitudes[octave] * gradient_noise(x * q, y * q, z * q, seed + 3 + 40 * octave)
    return d - (0.02 + 0.06 * p[PORES]) * pores(x, y, z, seed)


@njit(cache=True)
def pores(x, y, z, seed):  # type: ignore[no-untyped-def]
    """Depth of the pore at a place, 0 to 1."""
    q = 1.0 / PORE_SPACING_MM
    return dents(x * q, y * q, z * q, seed + 9, 0.75, 0.2, 0.42)


def _triple(values: Floats) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
