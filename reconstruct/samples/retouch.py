"""Pairs of textures for the de-retouching network: a virtual face as seen, and without its spots.

A person's skin is laid on the chart twice, with freckles and moles and without; relief, light,
gloss and what the camera does not see are the same in both. So wrinkles and shadows stay, and
spots alone go. Everything is a function of seed and number.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ...capture.virtual.lights import N_LIGHTS, Lights
from ...capture.virtual.skin import BROWS, IRIS, LIPS, PUPIL, SCLERA, Skin, SkinValues
from ...capture.virtual.studio import rng_of
from ...capture.virtual.subject import Subject
from ...core.arrays import Bools, Bytes, Floats, Floats32
from ...core.facemodel.model import FaceModel
from ...core.geometry.closest import SurfaceQuery
from ...core.geometry.mesh import vertex_normals
from ...core.imaging.color import srgb_from_linear
from ...dataset.bake.chart import Chart, chart
from .people import PeopleConfig, draw_expression, draw_lights, draw_person
from .skintexels import SkinTexels, albedo_texels, skin_texels, slope_texels, tangents, values_of

_LEAST_FACING = 0.15  # cosine, as photographs are unwrapped
_LIFT_MM = 0.5  # rays start so far off the surface
_SOFTENING = np.array([0.55, 0.32, 0.25])  # of normals by light under the skin, by colour
_OPENNESS = 0.35  # of ambient light that hollows lack
_DISTANCE_MM = 1000.0
_PLAIN = 0.3  # of a mask, below which skin is plain


@dataclass(frozen=True, kw_only=True)
class RetouchConfig:
    """What the virtual pairs are like."""

    size: int = 256  # texels a side
    freckled_share: float = 0.7  # of people with freckles
    moled_share: float = 0.8  # with moles
    most_moles: float = 0.5  # share of the places 13 mm apart that have one
    spread_mm: tuple[float, float] = (0.15, 0.6)  # sd of the camera's blur on the skin
    yaw_deg: float = 40.0  # most that a head is turned
    pitch_deg: float = 20.0
    gloss: float = 0.25  # most of it


class RetouchPair(NamedTuple):
    """A texture and its retouched self; black where the camera does not see the face."""

    raw: Bytes
    """(n, n, 3) sRGB."""
    retouched: Bytes
    """(n, n, 3)."""
    seen: Bools
    """(n, n)."""
    plain: Bools
    """(n, n) seen skin of the face that is no lip, brow or eye: where spots may be painted."""


class _Stage(NamedTuple):
    """A person before the camera, texel by texel; rows as of `SkinTexels`."""

    normals: Floats
    """(N, 3) of the smooth surface."""
    along: Floats
    """(2, N, 3) unit tangents on it."""
    lit: Floats
    """(N, N_LIGHTS) share of each light that is not shadowed."""
    view: Floats
    """(N, 3) unit, to the camera."""
    seen: Bools
    """(N,)."""


def spotless(skin: Skin) -> Skin:
    """Return a skin without freckles and moles: what retouching leaves of it."""
    return replace(skin, freckles=0.0, moles=0.0)


class VirtualPairs:
    """Virtual faces by number; the same seed gives the same ones."""

    def __init__(
        self,
        model: FaceModel,
        config: RetouchConfig | None = None,
        *,
        seed: int,
        people: PeopleConfig | None = None,
    ) -> None:
        self.model, self.config = model, config or RetouchConfig()
        self.seed, self.people = seed, people or PeopleConfig()
        self._texels = skin_texels(model, self.config.size)
        self._plain = _plain_skin(model, self._texels, self.config.size)

    def __getitem__(self, number: int) -> RetouchPair:
        """Draw a person, light and view; return the textures that a photograph would give."""
        model, config, texels = self.model, self.config, self._texels
        rng = rng_of(self.seed, f"retouch {number}")
        person = draw_person(model, self.people, seed=self.seed, number=number)
        expression = draw_expression(model.expression_names, self.people, rng)
        person = replace(person, expression=expression, skin=_spotted(person.skin, config, rng))
        lights = draw_lights(self.people, rng)
        stage = _stage(person, texels, config, lights, rng)
        spread = float(rng.uniform(*config.spread_mm))
        skins = [values_of(model, skin) for skin in (person.skin, spotless(person.skin))]
        normals = _bent(stage, slope_texels(texels, skins[0], spread_mm=spread))
        gloss = float(rng.uniform(0, config.gloss)) * _gloss(normals, stage, lights)[:, None]
        light = _diffuse(normals, stage, lights)
        maps = [_lit(skin, texels, spread, light, gloss, stage.seen, config.size) for skin in skins]
        seen = _mapped(stage.seen, texels, config.size)
        return RetouchPair(maps[0], maps[1], seen=seen, plain=seen & self._plain)


def _spotted(skin: Skin, config: RetouchConfig, rng: np.random.Generator) -> Skin:
    """Return the skin with spots of any number: dark skin has freckles as well."""
    freckles, moles = rng.uniform(0.2, 1.2), config.most_moles * rng.uniform(0.1, 1.0)
    return replace(
        skin,
        freckles=float(freckles) if rng.uniform() < config.freckled_share else 0.0,
        moles=float(moles) if rng.uniform() < config.moled_share else 0.0,
    )


def _stage(
    person: Subject,
    texels: SkinTexels,
    config: RetouchConfig,
    lights: Lights,
    rng: np.random.Generator,
) -> _Stage:
    model, vertices = person.model, person.vertices()
    grid: Chart = chart(model, config.size)
    query = SurfaceQuery(vertices, model.faces)
    smooth = vertex_normals(vertices, model.faces)
    start = vertices + _LIFT_MM * smooth
    yaw = np.radians(config.yaw_deg) * np.clip(rng.normal(0, 0.5), -1, 1)
    pitch = np.radians(config.pitch_deg) * np.clip(rng.normal(0, 0.5), -1, 1)
    away = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    eye = vertices[model.landmarks68].mean(axis=0) + _DISTANCE_MM * away
    free = [~query.occluded(start, _unit(eye - start))]
    free += [~query.occluded(start, np.broadcast_to(d, start.shape)) for d in lights.directions]
    shares = grid.interpolated(np.stack(free, axis=1).astype(np.float32))
    shares = shares.reshape(-1, N_LIGHTS + 1)[texels.rows]
    where = grid.interpolated(vertices).reshape(-1, 3)[texels.rows].astype(np.float64)
    normals = _unit(grid.interpolated(smooth).reshape(-1, 3)[texels.rows].astype(np.float64))
    view = _unit(eye - where)
    facing = (normals * view).sum(axis=1)
    return _Stage(
        normals=normals,
        along=tangents(model, vertices, normals, grid.face.ravel()[texels.rows]),
        lit=shares[:, 1:].astype(np.float64),
        view=view,
        seen=(facing > _LEAST_FACING) & (shares[:, 0] > 0.5),
    )


def _bent(stage: _Stage, slopes: Floats32) -> Floats:
    """Return the normals (N, 3) of the skin with its relief."""
    bent = stage.normals - slopes[:, :1] * stage.along[0] - slopes[:, 1:] * stage.along[1]
    return _unit(bent)


def _diffuse(normals: Floats, stage: _Stage, lights: Lights) -> Floats:
    """Return the irradiance (N, 3): shading is soft, for red most of all."""
    out = np.empty((len(normals), 3))
    for c, soft in enumerate(_SOFTENING):
        turned = _unit(soft * stage.normals + (1 - soft) * normals)
        facing = np.maximum(turned @ lights.directions.T, 0) * stage.lit
        hollow = 1 - _OPENNESS * (1 - stage.lit.mean(axis=1))
        out[:, c] = lights.ambient * hollow * (1 + 0.25 * turned[:, 1]) + facing @ lights.powers
    return out


def _gloss(normals: Floats, stage: _Stage, lights: Lights) -> Floats:
    """Return the gloss (N,) of an oily skin; Blinn's half vectors."""
    total = np.zeros(len(normals))
    for k, direction in enumerate(lights.directions):
        half = _unit(stage.view + direction)
        shine = np.maximum((normals * half).sum(axis=1), 0) ** 24
        total += lights.powers[k] * stage.lit[:, k] * shine * (normals @ direction > 0)
    return total


def _lit(
    skin: SkinValues,
    texels: SkinTexels,
    spread_mm: float,
    light: Floats,
    gloss: Floats,
    seen: Bools,
    size: int,
) -> Bytes:
    albedo = albedo_texels(texels, skin, spread_mm=spread_mm)
    shown = srgb_from_linear((albedo * light + gloss).clip(0, 1).astype(np.float32))
    levels = np.where(seen[:, None], np.rint(shown * 255), 0).astype(np.uint8)
    return np.asarray(_mapped(levels, texels, size))


def _plain_skin(model: FaceModel, texels: SkinTexels, size: int) -> Bools:
    other = texels.paint[:, [BROWS, IRIS, LIPS, PUPIL, SCLERA]].max(axis=1)
    face = np.asarray(model.regions.get("face", np.ones(model.n_vertices, bool)))
    on_face = chart(model, size).interpolated(face.astype(np.float32)) > 0.5
    return np.asarray(on_face & _mapped(other < _PLAIN, texels, size))


def _mapped(values: Bytes | Bools, texels: SkinTexels, size: int):  # type: ignore[no-untyped-def]
    out = np.zeros((size * size, *values.shape[1:]), values.dtype)
    out[texels.rows] = values
    return out.reshape(size, size, *values.shape[1:])


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))
