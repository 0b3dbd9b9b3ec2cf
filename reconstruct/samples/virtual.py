"""Photographs of virtual people, rendered when they are asked for, with the truth.

A person is photographed in a few takes (expression and light), from a few places each. The
camera is chosen so that its picture *is* the stored crop: nothing is resampled.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from ...capture.virtual.lights import LIGHT_RAYS, LightRays, Lights
from ...capture.virtual.render import snapshot
from ...capture.virtual.scene import Scene, build_scene
from ...capture.virtual.sensor import BACKDROP, Optics
from ...capture.virtual.skin import IRIS, PAINT, PUPIL, SCLERA, relief
from ...capture.virtual.studio import rng_of
from ...core.arrays import Bools, Floats, Floats32
from ...core.errors import ConfigError
from ...core.facemodel.load import load_face_model
from ...core.facemodel.model import FaceModel
from ...core.geometry.camera import Camera
from ...core.geometry.transform import Similarity, look_at
from ...dataset.bake.chart import chart
from ..align import AT_SIZE, MODEL_UNIT_MM, UNIT_PX, five_points
from ..facetensors import reference_points
from .carried import Carried, carry
from .modes import Modes, nearest_modes
from .people import PeopleConfig, draw_expression, draw_lights, draw_person
from .sample import DISPLACEMENT_SIZE, FIELD, Sample, Truth
from .storedcrop import stored_crop

_LANDMARK_PX = (0.4, 2.2)  # sd of a detector's landmarks, px of 224
_FIRST_FOCAL = 1000.0
_FINEST_MM = 0.8  # of relief: about a texel of the true displacement map
_HIDDEN = 0.5
_QUICK_MM = 2.0  # edges of the surface
_QUICK_RAYS = LightRays(panel=2, sky=8)


@dataclass(frozen=True, kw_only=True)
class VirtualConfig:
    """Which virtual people, and how they are photographed."""

    seed: int = 0
    n_people: int = 100
    takes: int = 1  # of a person: expressions and lights
    views: int = 3  # of a take
    size: int = 320  # px a side of a stored crop
    heads: tuple[str, ...] = ("builtin",)  # models that people are drawn from, in turn
    people: PeopleConfig = field(default_factory=PeopleConfig)
    most_yaw_deg: float = 40.0
    distance_mm: tuple[float, float] = (600.0, 1600.0)
    quick: bool = False  # many people for little: coarser surface and relief, fewer rays

    def __post_init__(self) -> None:
        for name in ("n_people", "takes", "views"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}: at least 1")
        if not self.heads:
            raise ConfigError("heads: name at least one face model that people are drawn from")
        if not 64 <= self.size <= 2048:
            raise ConfigError(f"size = {self.size}: from 64 to 2048 px")


@dataclass(frozen=True, kw_only=True)
class _Population:
    """A face model that people are drawn from, in the topology of the trained one."""

    people: FaceModel
    carried: Carried
    modes: Modes
    anchor: Floats32
    """(n, n, 3) mean-face coordinates of the chart's texels, mm."""
    paint: Floats32
    """(n, n, N_PAINT)."""
    valid: Bools
    """(n, n) texels whose relief is known."""


def _population(model: FaceModel, people: FaceModel) -> _Population:
    carried = carry(model, people)
    texels = chart(model, DISPLACEMENT_SIZE)
    paint = np.stack(
        [people.weights.get(name, np.zeros(people.n_vertices)) for name in PAINT], axis=1
    )
    eye = paint[:, [IRIS, PUPIL, SCLERA]].sum(axis=1, keepdims=True)
    known = carried.support * (carried.values(eye)[:, 0] < _HIDDEN)
    return _Population(
        people=people,
        carried=carried,
        modes=nearest_modes(model, carried.support),
        anchor=texels.interpolated(carried.values(people.mean)),
        paint=texels.interpolated(carried.values(paint)),
        valid=texels.inside & (texels.interpolated(known.astype(np.float32)) > 1 - _HIDDEN),
    )


@dataclass(frozen=True, kw_only=True)
class _Take:
    """A person with an expression in a light."""

    key: tuple[int, int]
    marks: Floats
    """(68, 3) mm."""
    scene: Scene
    lights: Lights
    truth: Truth
    """But for the camera."""
    head_from_other: Similarity


class VirtualSource:
    """Virtual people, rendered when they are asked for.

    Samples are in the order of people, takes, views. Asked for in that order, the views of a take
    cost little more than their pictures.

    Parameters
    ----------
    model : FaceModel
        That is trained: its topology and chart are the truth's.

    Raises
    ------
    InputError
        A head is neither a face model's name nor its file.
    """

    def __init__(self, model: FaceModel, config: VirtualConfig) -> None:
        self.model, self.config = model, config
        loaded = [load_face_model(head) for head in config.heads]
        self._heads = [model if head.name == model.name else head for head in loaded]
        self._last: _Take | None = None
        self._populations: dict[int, _Population] = {}
        self._reference = reference_points(model)

    @property
    def people(self) -> list[str]:
        """Of whom each sample is."""
        each = self.config.takes * self.config.views
        return [self._name(index // each) for index in range(len(self))]

    def _name(self, number: int) -> str:
        return f"virtual-{self.config.seed}-{number}"

    def __len__(self) -> int:
        return self.config.n_people * self.config.takes * self.config.views

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number, rest = divmod(index, self.config.takes * self.config.views)
        number_take, view = divmod(rest, self.config.views)
        take = self._take(number, number_take)
        rng = rng_of(self.config.seed, f"person {number} take {number_take} view {view}")
        camera, landmarks = self._camera(take.marks, rng)
        image, cover = snapshot(
            take.scene, camera, take.lights, _optics(rng, quick=self.config.quick),
            backdrop=something(self.config.size, rng), rng=rng,
        )  # fmt: skip
        return Sample(
            image=image,
            mask=np.where(cover > _HIDDEN, 255, 0).astype(np.uint8),
            landmarks=landmarks.astype(np.float32),
            person=self._name(number),
            truth=replace(
                take.truth, K=camera.K,
                cam_from_head=take.head_from_other.of_camera(camera.cam_from_world),
            ),
        )  # fmt: skip

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_populations": {}, "_last": None}

    def _population(self, head: int) -> _Population:
        """Return what is known of a head's people, found when it is first asked for."""
        if head not in self._populations:
            self._populations[head] = _population(self.model, self._heads[head])
        return self._populations[head]

    def _take(self, number: int, take: int) -> _Take:
        """Return a take; the last one is kept, for its other views."""
        if self._last is not None and self._last.key == (number, take):
            return self._last
        c = self.config
        population = self._population(number % len(self._heads))
        subject = draw_person(population.people, c.people, seed=c.seed, number=number)
        rng = rng_of(c.seed, f"person {number} take {take}")
        expression = draw_expression(population.people.expression_names, c.people, rng)
        subject = replace(subject, expression=expression)
        lights = draw_lights(c.people, rng)
        footprint = MODEL_UNIT_MM / UNIT_PX * AT_SIZE * FIELD / c.size
        scene = build_scene(
            subject, lights, footprint_mm=_QUICK_MM if c.quick else footprint, rng=rng,
            light_rays=_QUICK_RAYS if c.quick else LIGHT_RAYS,
        )  # fmt: skip
        self._last = _Take(
            key=(number, take),
            marks=np.asarray(scene.coarse.vertices[subject.model.landmarks68], np.float64),
            scene=scene,
            lights=lights,
            truth=self._truth(population, scene),
            head_from_other=population.carried.head_from_other,
        )
        return self._last

    def _truth(self, population: _Population, scene: Scene) -> Truth:
        """Return the truth of a take but for its camera."""
        vertices = population.carried.vertices(scene.coarse.vertices)
        identity, expression = population.modes.nearest(vertices)
        height = relief(
            population.anchor.reshape(-1, 3), population.paint.reshape(-1, len(PAINT)),
            skin=scene.skin, edge_mm=max(_FINEST_MM, scene.edge_mm),
        ).reshape(population.valid.shape)  # fmt: skip
        return Truth(
            vertices=vertices.astype(np.float32),
            support=population.carried.support,
            identity=identity,
            expression=expression,
            K=np.eye(3),
            cam_from_head=np.eye(3, 4),
            displacement=np.where(population.valid, height, 0).astype(np.float32),
            displacement_valid=population.valid,
        )

    def _camera(self, marks: Floats, rng: np.random.Generator) -> tuple[Camera, Floats]:
        """Place a camera whose picture is the stored crop; return it and noisy landmarks."""
        size = self.config.size
        eye = _viewpoint(marks, self.config, rng)
        pose = _rolled(look_at(eye, five_points(marks).mean(axis=0)), rng.normal(0, 5))
        first = Camera(
            name="crop", width=size, height=size,
            K=np.diag([_FIRST_FOCAL, _FIRST_FOCAL, 1.0]), cam_from_world=pose,
        )  # fmt: skip
        exact = first.project(marks)[0]
        scale = stored_crop(exact, size=size, reference5=self._reference).scale
        sigma = rng.uniform(*_LANDMARK_PX) * size / FIELD / AT_SIZE / scale
        noisy = exact + rng.normal(0, sigma, exact.shape)
        crop = stored_crop(noisy, size=size, reference5=self._reference)
        return replace(first, K=crop.K_of(first.K)), crop.points(noisy)


def _viewpoint(marks: Floats, config: VirtualConfig, rng: np.random.Generator) -> Floats:
    """Return where the camera stands: half of them nearly in front."""
    front = rng.uniform() < 0.5
    yaw = np.radians(rng.normal(0, 5) if front else rng.uniform(-1, 1) * config.most_yaw_deg)
    pitch = np.radians(rng.normal(0, 4 if front else 9))
    away = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    return np.asarray(five_points(marks).mean(axis=0) + rng.uniform(*config.distance_mm) * away)


def _rolled(cam_from_world: Floats, degrees: float) -> Floats:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ cam_from_world


def _optics(rng: np.random.Generator, *, quick: bool) -> Optics:
    """Draw what lens and sensor do."""
    noise = float(rng.uniform(0.5, 4))
    return Optics(
        supersampling=1 if quick else Optics.supersampling,
        blur_px=float(rng.uniform(0.3, 1.0)),
        exposure=float(rng.uniform(0.75, 1.25)),
        read_noise=0.0015 * noise,
        shot_noise=0.0045 * noise,
    )


def something(size: int, rng: np.random.Generator) -> Floats32:
    """Return linear radiance (size, size, 3) of what may be behind a head."""
    kind = rng.uniform()
    if kind < 0.35:
        return np.full((size, size, 3), BACKDROP, np.float32)
    grey = rng.uniform(0, 1) + rng.normal(0, 0.1, 3)
    cells = int(rng.integers(2, 14))
    busy = rng.uniform(0, 0.6) if kind > 0.55 else 0.05
    coarse = (grey + busy * rng.normal(0, 1, (cells, cells, 3))).astype(np.float32)
    how = cv2.INTER_NEAREST if kind > 0.9 else cv2.INTER_CUBIC
    wide = cv2.resize(coarse, (size, size), interpolation=how)
    wide += rng.normal(0, rng.uniform(0, 0.04), (size, size, 1)).astype(np.float32)
    return np.asarray(np.clip(wide, 0, 1) ** 2.2, np.float32)
