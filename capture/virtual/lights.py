"""Eight LED panels round the cameras, and how much of each the face sees."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...core.arrays import AnyFloats, Floats, Floats32, Ints
from ...core.geometry.closest import SurfaceQuery
from ...core.geometry.mesh import vertex_normals

N_LIGHTS = 8
_YAW_DEG = (-75, -48, -20, 20, 48, 75, -32, 32)
_PITCH_DEG = (12, 36, 58, 58, 36, 12, -34, -34)
_AMBIENT_SHARE = 0.18
_PANEL_SD = 0.09  # radians: panels of about 15 degrees, for soft edges of shadows
_START_MM = 0.5  # rays start so far off the surface, against hitting it


class LightRays(NamedTuple):
    """Rays from a vertex that tell how much of the light it sees: fewer are quicker and rougher."""

    panel: int = 6
    """To each LED."""
    sky: int = 32


LIGHT_RAYS = LightRays()


@dataclass(frozen=True, kw_only=True)
class Lights:
    """Distant lights, so bright that a white sheet facing +z is exposed to one."""

    directions: Floats
    """(N_LIGHTS, 3) unit, from the head towards the light."""
    powers: Floats
    """(N_LIGHTS,) irradiance at normal incidence."""
    ambient: float
    """Irradiance from all sides."""

    def irradiance(self, normal: Floats) -> float:
        """Return the irradiance of an unshadowed surface with this unit normal (3,)."""
        facing = np.maximum(self.directions @ normal, 0.0)
        return float(self.ambient + self.powers @ facing)


def led_ring(rng: np.random.Generator | None = None) -> Lights:
    """Place eight LEDs round the cameras, each a little stronger or weaker than the next.

    Without `rng` all are equally strong.
    """
    yaw, pitch = np.radians(_YAW_DEG), np.radians(_PITCH_DEG)
    directions = np.stack(
        [np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)], axis=1
    )
    powers = np.ones(N_LIGHTS) if rng is None else rng.uniform(0.85, 1.15, N_LIGHTS)
    powers *= (1 - _AMBIENT_SHARE) / float(powers @ directions[:, 2])
    return Lights(directions=directions, powers=powers, ambient=_AMBIENT_SHARE)


def light_visibility(
    vertices: AnyFloats, faces: Ints, lights: Lights, *, rng: np.random.Generator,
    light_rays: LightRays = LIGHT_RAYS,
) -> Floats32:  # fmt: skip
    """Return (V, N_LIGHTS + 1): how much of each LED, and of the sky, each vertex sees.

    The last column is the open part of the hemisphere (ambient occlusion).
    """
    query = SurfaceQuery(vertices, faces)
    normals = vertex_normals(vertices, faces)
    start = np.asarray(vertices) + _START_MM * normals
    seen = np.zeros((len(vertices), N_LIGHTS + 1), np.float32)
    for light in range(N_LIGHTS):
        for _ in range(light_rays.panel):
            ray = lights.directions[light] + rng.normal(0, _PANEL_SD, 3)
            rays = np.broadcast_to(ray / np.linalg.norm(ray), start.shape)
            seen[:, light] += ~query.occluded(start, rays)
    seen[:, :N_LIGHTS] /= light_rays.panel
    for _ in range(light_rays.sky):
        ray = rng.normal(size=3)
        rays = normals + 0.98 * ray / np.linalg.norm(ray)  # cosine-weighted round each normal
        seen[:, N_LIGHTS] += ~query.occluded(start, rays)
    seen[:, N_LIGHTS] /= light_rays.sky
    return seen
