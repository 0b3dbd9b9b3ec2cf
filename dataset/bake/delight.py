"""The light of a take, estimated from its lit texture, and what each vertex receives of it.

    lit = albedo * sum_k light_k * transfer_k(vertex)

`light` are the coefficients of distant light in spherical harmonics; `transfer` is what a
white surface at the vertex returns of each of them, by its normal and by what the head hides
of the surroundings: the shadows under chin and nose are in it. Lamps stand still in the world,
so that one light serves all views. It is taken to be colourless: a colour of the lamps is a
gain of each channel, and so is their power: albedo is known up to one gain a channel unless a
colour chart fixes it.
"""

from dataclasses import dataclass

import numpy as np

from ...core.arrays import AnyFloats, Floats, Floats32, Ints
from ...core.errors import EstimationError
from ...core.geometry.closest import SurfaceQuery

_CHANNELS = np.array([0.70, 0.25, 0.05])
"""Red counts most: blood and pigment vary least in it, and gloss adds least to it."""
_N_ROUNDS = 12
_LEAST_TEXELS = 60
_BRIGHTEST = 2.5


@dataclass(frozen=True, kw_only=True)
class Light:
    """Colourless distant light."""

    coefficients: Floats
    """(9,) of real spherical harmonics to order 2; world frame."""
    spread: float
    """Robust relative standard deviation of skin round what light and one albedo explain."""


def transfer(
    vertices: AnyFloats, normals: AnyFloats, faces: Ints, *, n_rays: int, offset: float
) -> Floats32:
    """Return (V, 9): what a white surface returns of each harmonic of the light.

    Parameters
    ----------
    vertices, normals : (V, 3)
        Unit normals.
    n_rays : int
        Directions over the sphere, the same at all vertices.
    offset : float
        By which rays start off the surface.

    Source
    ------
    Sloan et al., Precomputed radiance transfer for real-time rendering, SIGGRAPH 2002,
    "shadowed" diffuse transfer.
    """
    directions = _sphere(n_rays)
    basis = harmonics(directions)
    query = SurfaceQuery(vertices, faces)
    start = np.asarray(vertices, dtype=np.float64) + offset * np.asarray(normals)
    out = np.zeros((len(vertices), 9))
    for direction, values in zip(directions, basis, strict=True):
        cosine = np.asarray(normals) @ direction
        above = np.flatnonzero(cosine > 0)
        rays = np.broadcast_to(direction, (len(above), 3))
        free = above[~query.occluded(start[above], rays)]
        out[free] += cosine[free, None] * values
    # of light of one all round an unhidden vertex returns one
    return np.asarray(out * (4 / n_rays), dtype=np.float32)


def harmonics(directions: AnyFloats) -> Floats:
    """Return (N, 9) real spherical harmonics to order 2 of unit vectors; the first is 1.

    Source
    ------
    Ramamoorthi and Hanrahan, An efficient representation for irradiance environment maps,
    SIGGRAPH 2001, eq. (3), less the factor that makes the first one 1.
    """
    x, y, z = np.asarray(directions, dtype=np.float64).T
    a, b = np.sqrt(3.0), np.sqrt(15.0)
    return np.stack(
        [
            np.ones_like(x), a * y, a * z, a * x, b * x * y, b * y * z,
            np.sqrt(5.0) / 2 * (3 * z * z - 1), b * x * z, b / 2 * (x * x - y * y),
        ],
        axis=1,
    )  # fmt: skip


def convolved(coefficients: Floats) -> Floats:
    """Return (9,) factors of 1, y, z, x, xy, yz, 3z²-1, xz, x²-y² in an open surface's light.

    Source
    ------
    Ramamoorthi and Hanrahan, SIGGRAPH 2001, eq. (8): the cosine lobe keeps 1, 2/3 and 1/4.
    """
    lobe = np.array([1, *[2 / 3] * 3, *[1 / 4] * 5])
    a, b = np.sqrt(3.0), np.sqrt(15.0)
    scale = np.array([1, a, a, a, b, b, np.sqrt(5.0) / 2, b, b / 2])
    return np.asarray(coefficients * lobe * scale)


def irradiance(coefficients: Floats, normals: AnyFloats) -> Floats:
    """Return (N,) what a white, unhidden surface of these unit normals returns."""
    lobe = np.array([1, *[2 / 3] * 3, *[1 / 4] * 5])
    return np.asarray(harmonics(normals) @ (coefficients * lobe))


def estimate_light(
    colors: AnyFloats, received: AnyFloats, weights: AnyFloats, *, stiffness: float
) -> Light:
    """Find the light from lit skin: of nearly one albedo, robustly.

    Parameters
    ----------
    colors : (N, 3) linear
    received : (N, 9)
        `transfer` there.
    weights : (N,)
        Area times trust times how surely it is skin.
    stiffness : float
        Variance of the albedo against that of the light's coefficients: how firmly light that
        the seen normals do not tell stays even.

    Raises
    ------
    EstimationError
        Too few texels.
    """
    level = np.asarray(colors @ _CHANNELS, dtype=np.float64)
    used = (weights > 0) & (level > 1e-4)
    if used.sum() < _LEAST_TEXELS:
        raise EstimationError(
            f"{used.sum()} texels show skin, {_LEAST_TEXELS} are needed for light"
        )
    y, T, w = level[used], np.asarray(received, np.float64)[used], np.asarray(weights)[used]
    w = w / w.sum()
    scale = _weighted_median(y, w)
    y = y / scale
    ridge = stiffness * np.diag([1e-3, 1, 1, 1, 2, 2, 2, 2, 2])
    robust, light, spread = np.ones(len(y)), np.zeros(9), 1.0
    for _ in range(_N_ROUNDS):
        model = np.maximum(T @ light, 0.2) if light.any() else np.ones(len(y))
        trust = w * robust / model**2  # relative errors
        light = np.linalg.solve((T * trust[:, None]).T @ T + ridge, T.T @ (trust * y))
        away = y / np.maximum(T @ light, 0.05) - 1
        spread = 1.4826 * _weighted_median(np.abs(away), w)
        robust = np.maximum(0, 1 - (away / (3.0 * spread + 1e-3)) ** 2) ** 2  # Tukey
    return Light(coefficients=light * scale, spread=float(spread))


def normalised_light(
    light: Light, received: AnyFloats, towards: Floats, *, darkest: float
) -> tuple[Floats32, Floats]:
    """Return the light (V,) of vertices and the coefficients, both 1 for a sheet facing `towards`.

    Clamped to what a head can receive.

    Parameters
    ----------
    darkest : float
        Least light of a vertex. In creases and nostrils skin lights skin, and a shift of a
        millimetre shows lit skin in the dark: divided by all of their shadow they would glow.
    """
    facing = float(irradiance(light.coefficients, towards[None])[0])
    facing = max(facing, 0.2 * float(light.coefficients[0]), 1e-9)
    coefficients = light.coefficients / facing
    level = np.clip(received @ coefficients, darkest, _BRIGHTEST)
    return np.asarray(level, dtype=np.float32), coefficients


def _sphere(n: int) -> Floats:
    """Return (n, 3) directions evenly over the sphere (Fibonacci's spiral)."""
    i = np.arange(n) + 0.5
    z, turn = 1 - 2 * i / n, np.pi * (1 + np.sqrt(5)) * i
    ring = np.sqrt(1 - z * z)
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), z], axis=1)


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(total, total[-1] / 2)]])
