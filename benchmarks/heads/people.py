"""Virtual people as benchmarks draw and photograph them, and what of their surface is scored."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from scipy.spatial.transform import Rotation

from ...capture.virtual.beyond import OffModelSubject, smooth_field
from ...capture.virtual.layouts import Layout
from ...capture.virtual.lights import Lights, led_ring
from ...capture.virtual.scene import Scene
from ...capture.virtual.skin import Skin
from ...capture.virtual.studio import rng_of
from ...capture.virtual.subject import Subject, draw_subject
from ...core.arrays import Bools, Floats
from ...core.assets import find_asset
from ...core.facemodel.model import FaceModel
from ...core.geometry.camera import Camera
from ...core.geometry.mesh import Mesh
from ...core.geometry.transform import Similarity, look_at
from ...reconstruct.samples.people import PeopleConfig, draw_lights
from ..stereo_bench_config import ICT, head_of, heads_of

STRENGTH = 0.7  # sd of identity coefficients, as in the studio
NOISE_PX = 1.5  # of landmarks, where the face fills a crop of 224 px
CROP_MM = 220.0  # that such a crop shows
WIDTH, HEIGHT = 640, 800
"""Of a single photograph, px."""
TURNED_DEG = (10.0, 25.0)  # beyond the five degrees of every photograph
_FIELD_MM = 300.0  # what a single photograph's width shows
_DISTANCE_MM = (800.0, 1300.0)
_ASIDE_DEG = 5.0
_AWAY_DEG = 82.0
_PROFILE_DEG = 97.0  # points of the profile stay on the outline
_MIDDLE_DEG = 6.0
_HEAD_TURN_DEG, _HEAD_SHIFT_MM = 8.0, 40.0  # sd, in the cameras' world


class Group(StrEnum):
    """How a person is photographed."""

    FRONT = "front"
    """Up to five degrees aside, in the studio's ring of lights."""
    TURNED = "turned"
    """Up to thirty degrees aside."""
    WILD = "wild"
    """In light from anywhere."""


_TURNS = (Group.FRONT, Group.TURNED, Group.FRONT, Group.WILD)


@dataclass(frozen=True, kw_only=True)
class Skinned:
    """The fine surface about a face, head frame, mm, relief included."""

    mesh: Mesh
    scored: Bools
    """(F,) which of its triangles are scored."""
    vertices: Bools
    """(V,) which of the whole head's fine vertices it keeps."""


def heads_here(models: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return (kind, head) of the face models that are there, the registered ICT before others.

    Raises
    ------
    InputError
        None is, or one is not that was named by its file.
    """
    registered = find_asset(ICT)
    if registered is None:
        return heads_of(models)
    return [(kind, str(registered) if kind == ICT else head_of(kind)) for kind in models]


def group_of(index: int, *, n_heads: int) -> Group:
    """Return how the person of a number is photographed: every head in every way."""
    return _TURNS[index // n_heads % len(_TURNS)]


def drawn_person(
    model: FaceModel, *, seed: int, beyond_model_mm: float = 0.0, skin: Skin | None = None
) -> Subject:
    """Draw a person of `model`, or near to it, at rest.

    Parameters
    ----------
    beyond_model_mm : float
        Smooth shape that no coefficient explains, sd per axis.
    skin : Skin, optional
        In place of the person's own; all else stays.
    """
    subject = draw_subject(
        model,
        identity_rng=rng_of(seed, "identity"),
        skin_rng=rng_of(seed, "skin"),
        strength=STRENGTH,
    )
    subject = subject if skin is None else replace(subject, skin=skin)
    if not beyond_model_mm:
        return subject
    field_seed = int(rng_of(seed, "beyond the model").integers(1 << 30))
    return OffModelSubject(
        model=model,
        identity=subject.identity,
        skin=subject.skin,
        beyond=smooth_field(model.mean, sd_mm=beyond_model_mm, seed=field_seed),
    )


def turn_and_light(seed: int, group: Group) -> tuple[float, Lights]:
    """Return by how much a person's camera stands aside, degrees, and the light on them."""
    rng = rng_of(seed, "learned")
    side = float(rng.choice((-1.0, 1.0)) * rng.uniform(*TURNED_DEG))
    wild = draw_lights(PeopleConfig(studio_share=0.0), rng) if group is Group.WILD else None
    lights = led_ring(rng_of(seed, "lights")) if wild is None else wild
    return side if group is Group.TURNED else 0.0, lights


def portrait_camera(model: FaceModel, rng: np.random.Generator, *, turned_deg: float) -> Camera:
    """Return the camera of a single photograph, before the face; its world is the head frame."""
    distance = rng.uniform(*_DISTANCE_MM)
    yaw, pitch = np.radians(rng.uniform(-_ASIDE_DEG, _ASIDE_DEG, 2) + np.array([turned_deg, 0.0]))
    aim = model.mean[model.landmarks68[[36, 45, 30, 48, 54]]].mean(axis=0)
    away = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    focal = distance * WIDTH / _FIELD_MM
    x, y = np.array([WIDTH, HEIGHT]) / 2 + rng.uniform(-20, 20, 2)
    return Camera(
        name="front",
        width=WIDTH,
        height=HEIGHT,
        K=np.array([[focal, 0, x], [0, focal, y], [0, 0, 1.0]]),
        cam_from_world=look_at(aim + distance * away, aim),
    )


def footprint_mm(layout: Layout, cameras: Sequence[Camera]) -> float:
    """Return the size of a pixel on the face, of the camera that sees it finest."""
    places = zip(cameras, layout.cameras, strict=True)
    return float(min(place.distance_mm / camera.K[0, 0] for camera, place in places))


def skin_about_face(scene: Scene, model: FaceModel) -> Skinned:
    """Return the surface about the face, and which of its triangles are scored."""
    about = np.asarray(model.regions["face"][model.faces].any(axis=1))
    kept = np.repeat(about, len(scene.surface.faces) // len(model.faces))
    kept |= scene.frontal
    faces = scene.surface.faces
    vertices = np.zeros(len(scene.surface.vertices), bool)
    vertices[faces[kept]] = True
    return Skinned(
        mesh=Mesh(vertices=scene.surface.vertices, faces=faces).selected(kept),
        scored=scene.frontal[kept],
        vertices=vertices,
    )


def yaw_of(camera: Camera) -> float:
    """Return from where a camera looks at the head, degrees; its world is the head frame."""
    return float(np.degrees(np.arctan2(camera.center[0], camera.center[2])))


def landmarks_seen(marks: Floats, yaw_deg: float) -> Bools:
    """Return (68,) which landmarks (68, 3), head frame, a detector finds from `yaw_deg`.

    By the side of the head that they lie on: what is turned away a little less than the
    outline is still found, hidden by the nose or not, as detectors do.
    """
    side = np.degrees(np.arctan2(marks[:, 0], marks[:, 2]))
    limit = np.where(np.abs(side) < _MIDDLE_DEG, _PROFILE_DEG, _AWAY_DEG)
    return np.asarray(np.abs(side - yaw_deg) < limit)


def landmark_sigma_px(camera: Camera, marks: Floats) -> float:
    """Return the noise of landmarks (68, 3), px of the photograph."""
    depth = float(camera.project(marks.mean(axis=0))[1])
    return NOISE_PX * CROP_MM / 224 * float(camera.K[0, 0]) / depth


def found_landmarks(camera: Camera, marks: Floats, *, seed: int) -> Floats:
    """Return (68, 2) px as a detector finds landmarks (68, 3); NaN where it cannot see them."""
    sigma = landmark_sigma_px(camera, marks)
    noise = rng_of(seed, f"landmarks/{camera.name}").normal(0, sigma, (68, 2))
    seen = landmarks_seen(marks, yaw_of(camera))
    return np.where(seen[:, None], camera.project(marks)[0] + noise, np.nan)


def world_from_head(rng: np.random.Generator) -> Similarity:
    """Return where the head stands in the world of real cameras: somewhere, a little turned."""
    turn = Rotation.from_rotvec(np.radians(rng.normal(0, _HEAD_TURN_DEG, 3)))
    return Similarity(scale=1.0, R=turn.as_matrix(), t=rng.normal(0, _HEAD_SHIFT_MM, 3))
