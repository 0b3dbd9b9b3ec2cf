"""How bright skin will be in the photographs, and how much of its texture sensor noise drowns.

Stereo finds a place by what its views agree on. What they disagree on at the right place, one
minus the normalised correlation of their patches, has two parts: a steady one, of gloss, of shape
that patches do not follow and of resampling; and sensor noise, whose variance counts against that
of the skin's own texture. Texture is a share of the light that skin returns, noise is not: shot
noise falls as one over the root of the light, noise of reading and of eight bits faster still. So
dark skin, shaded skin and short exposures are known less exactly. The variance of a matched place
is proportional to what disagrees, and so is that of the surface: from skin that returns 38 % of
the light to skin that returns 12 %, one minus the correlation grew on cheeks by 2.5 and the squared
error by 2.1.

Source
------
Constants fitted on the surfaces of three virtual heads (`docs/rig-plan.md`), with the noise that
the studio puts into its photographs.
"""

from dataclasses import dataclass

import numpy as np

from ...capture.virtual.lights import Lights, led_ring
from ...capture.virtual.sensor import Optics
from ...core.arrays import Floats
from ...core.geometry.closest import SurfaceQuery

STEADY = 0.0127
"""One minus the correlation that would remain without any noise."""
TEXTURE = 0.10
"""Standard deviation of skin's texture within a patch, as a share of its brightness."""
TEXTURE_OF_HAIR = 1.45
"""How much more of it lids and brows have, by their hair and its rims."""
USUAL_LIGHT = 0.3
"""Brightness, of what saturates, for which the constants of `precision` stand."""
_DARKEST, _LIFT_MM = 0.005, 0.5
_LEVELS = 255  # of eight bits, sRGB


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """Noise of a camera, standard deviations where 1 saturates, as of the virtual studio."""

    read: float = Optics.read_noise
    shot: float = Optics.shot_noise  # of a pixel that nearly saturates: 1 / root of its electrons


def irradiance(normals: Floats, points: Floats, surface: SurfaceQuery) -> Floats:
    """Return (N,) the light that points get, 1 being what a sheet that faces the cameras gets.

    The lights are eight panels round the cameras, as the virtual studio has them, some of which
    the head itself hides, and a little light from all sides.
    """
    lights: Lights = led_ring()
    start = points + _LIFT_MM * normals
    total = np.full(len(points), lights.ambient)
    for direction, power in zip(lights.directions, lights.powers, strict=True):
        facing = normals @ direction
        rows = np.flatnonzero(facing > 0)
        rays = np.broadcast_to(direction, (len(rows), 3))
        open_ = rows[~surface.occluded(start[rows], rays)]
        total[open_] += power * facing[open_]
    return total


def relative_noise(light: Floats, sensor: Sensor) -> Floats:
    """Return (N,) the standard deviation of a pixel over its brightness `light`, 0 to 1."""
    signal = np.clip(light, _DARKEST, 1.0)
    step = _slope_of_srgb(signal) / _LEVELS
    variance = sensor.read**2 + sensor.shot**2 * signal + step**2 / 12
    return np.asarray(np.sqrt(variance) / signal)


def disagreement(light: Floats, hair: Floats, sensor: Sensor) -> Floats:
    """Return (N,) one minus the correlation of two views of skin, `light` bright.

    `hair` is 1 on lids and brows, 0 elsewhere.
    """
    texture = TEXTURE * (1 + (TEXTURE_OF_HAIR - 1) * hair)
    return np.asarray(STEADY + (relative_noise(light, sensor) / texture) ** 2)


def dimness(light: Floats, hair: Floats, sensor: Sensor) -> Floats:
    """Return (N,) the factor on the variance of what is measured, 1 for skin in usual light."""
    usual = disagreement(np.array([USUAL_LIGHT]), np.zeros(1), Sensor())
    return np.asarray(disagreement(light, hair, sensor) / usual)


def _slope_of_srgb(linear: Floats) -> Floats:
    """Return (N,) how fast linear light grows with its sRGB code, both 0 to 1.

    Source
    ------
    IEC 61966-2-1: linear = ((code + 0.055) / 1.055)^2.4 above 0.0031308.
    """
    return np.asarray(2.4 / 1.055 * np.maximum(linear, 0.0031308) ** (1.4 / 2.4))
