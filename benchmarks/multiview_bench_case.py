"""A virtual person before many cameras: the views that a reconstruction gets, and the truth.

People are drawn as the studio draws them, relief and all, and photographed by a packaged layout
of cameras without distortion. Cameras are given in a world of their own, in which the head stands
somewhere, a little turned, as it does before real ones. Landmarks are true ones with noise as of
a detector; those of a side that is turned away are not known.

A case is kept as one `.npz`, so that photographs are rendered once.
"""

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from scipy.spatial.transform import Rotation

from ..capture.virtual.beyond import OffModelSubject, smooth_field
from ..capture.virtual.layouts import Layout, draw_rig, load_layout
from ..capture.virtual.lights import led_ring
from ..capture.virtual.render import photograph
from ..capture.virtual.scene import Scene, build_scene
from ..capture.virtual.sensor import Optics
from ..capture.virtual.studio import load_head, rng_of
from ..capture.virtual.subject import Subject, draw_subject
from ..core.arrays import Bools, Bytes, Floats
from ..core.console import track
from ..core.errors import InputError
from ..core.facemodel.model import FaceModel
from ..core.files import atomic_path
from ..core.geometry.camera import Camera
from ..core.geometry.mesh import Mesh
from ..core.geometry.transform import Similarity
from .face_distance import TrueFace

Answer = TypeVar("Answer")

STRENGTH = 0.7  # sd of identity coefficients, as in the studio
NOISE_PX = 1.5  # of landmarks, where the face fills a crop of 224 px
CROP_MM = 220.0  # that such a crop shows
_VERSION = 1
_TURNED_DEG = 82.0
_PROFILE_DEG = 97.0  # points of the profile stay on the outline
_MIDDLE_DEG = 6.0
_HEAD_TURN_DEG, _HEAD_SHIFT_MM = 8.0, 40.0  # sd, in the cameras' world


@dataclass(frozen=True, kw_only=True)
class CaseKey:
    """What determines a case."""

    head: str
    """As the studio calls the model."""
    seed: int
    layout: str = "nine"
    megapixels: float = 1.0
    beyond_model_mm: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CaseViews:
    """What a reconstruction may know."""

    cameras: tuple[Camera, ...]
    """Without distortion, in the cameras' world, mm."""
    images: Bytes
    """(J, H, W, 3) sRGB."""
    masks: Bools
    """(J, H, W)."""
    landmarks: Floats
    """(J, 68, 2) px, with noise; NaN on a side that is turned away."""
    sigma_px: Floats
    """(J,) of the landmarks' noise."""
    yaw_deg: Floats
    """(J,) from where a camera looks at the head: 0 in front, + from the subject's left."""

    def nearest(self, aside_deg: float) -> int:
        """Return the camera that stands nearest to an angle."""
        return int(np.argmin(np.abs(self.yaw_deg - aside_deg)))


@dataclass(frozen=True, kw_only=True)
class CaseTruth:
    """What is true of it, head frame, mm."""

    model: FaceModel
    vertices: Floats
    """(V, 3): the model's, without relief."""
    skin: Mesh
    """The fine surface about the face, relief included."""
    face: TrueFace
    """The part of it that is scored."""
    world_from_head: Similarity
    """Into the cameras' world."""


def make_case(path: Path, key: CaseKey) -> Path:
    """Photograph a person, unless `path` holds this very case already."""
    if _holds(path, key):
        return path
    layout = load_layout(key.layout)
    rig = draw_rig(
        replace(layout, distortion=(0.0, 0.0, 0.0, 0.0)),
        megapixels=key.megapixels,
        rng=rng_of(key.seed, "rig"),
    )
    subject = _subject(key)
    lights = led_ring(rng_of(key.seed, "lights"))
    scene = build_scene(
        subject, lights, footprint_mm=_footprint(layout, rig.cameras),
        rng=rng_of(key.seed, "light visibility"),
    )  # fmt: skip
    images, masks, landmarks, sigmas = [], [], [], []
    marks = subject.vertices()[subject.model.landmarks68]
    for camera in track(rig.cameras, f"photographs of {path.stem}"):
        picture = photograph(
            scene, camera, lights, Optics(), rng=rng_of(key.seed, f"noise/{camera.name}")
        )
        images.append(picture.image)
        masks.append(np.isfinite(picture.depth))
        sigma = _sigma_px(camera, marks)
        noise = rng_of(key.seed, f"landmarks/{camera.name}").normal(0, sigma, (68, 2))
        seen = landmarks_seen(marks, yaw_of(camera))
        landmarks.append(np.where(seen[:, None], camera.project(marks)[0] + noise, np.nan))
        sigmas.append(sigma)
    arrays = {
        "images": np.stack(images), "masks": np.packbits(np.stack(masks), axis=-1),
        "landmarks": np.stack(landmarks), "sigma_px": np.array(sigmas),
        "yaw_deg": np.array([yaw_of(camera) for camera in rig]),
        "vertices": subject.vertices(), **_surface_arrays(scene, subject.model),
    }  # fmt: skip
    world = _world_from_head(rng_of(key.seed, "world"))
    about = {
        "version": _VERSION,
        "key": _record(key),
        "cameras": [camera.moved(world).record() for camera in rig],
        "world_from_head": {"R": world.R.tolist(), "t": world.t.tolist()},
    }
    with atomic_path(path) as part:
        np.savez_compressed(part, about=np.array(json.dumps(about)), **arrays)
    return path


def load_views(path: Path) -> CaseViews:
    """Read what a reconstruction may know of a case.

    Raises
    ------
    InputError
        No case is there.
    """

    def read(arrays: Any, about: dict[str, Any]) -> CaseViews:
        cameras = tuple(_camera(entry) for entry in about["cameras"])
        width = cameras[0].width
        return CaseViews(
            cameras=cameras,
            images=arrays["images"],
            masks=np.unpackbits(arrays["masks"], axis=-1, count=width).astype(bool),
            landmarks=arrays["landmarks"],
            sigma_px=arrays["sigma_px"],
            yaw_deg=arrays["yaw_deg"],
        )

    return _read(path, read)


def load_truth(path: Path) -> CaseTruth:
    """Read what is true of a case.

    Raises
    ------
    InputError
        No case is there, or its face model is not.
    """

    def read(arrays: Any, about: dict[str, Any]) -> CaseTruth:
        model = load_head(about["key"]["head"])
        skin = Mesh(vertices=arrays["skin_vertices"], faces=arrays["skin_faces"])
        vertices = arrays["vertices"]
        pose = about["world_from_head"]
        return CaseTruth(
            model=model,
            vertices=vertices,
            skin=skin,
            face=TrueFace(
                mesh=skin.selected(arrays["scored"]), landmarks=vertices[model.landmarks68]
            ),
            world_from_head=Similarity(scale=1.0, R=np.array(pose["R"]), t=np.array(pose["t"])),
        )

    return _read(path, read)


def yaw_of(camera: Camera) -> float:
    """Return from where a camera looks at the head, degrees; its world is the head frame."""
    return float(np.degrees(np.arctan2(camera.center[0], camera.center[2])))


def landmarks_seen(marks: Floats, yaw_deg: float) -> Bools:
    """Return (68,) which landmarks (68, 3), head frame, a detector finds from `yaw_deg`.

    By the side of the head that they lie on: what is turned away a little less than the
    outline is still found, hidden by the nose or not, as detectors do.
    """
    side = np.degrees(np.arctan2(marks[:, 0], marks[:, 2]))
    limit = np.where(np.abs(side) < _MIDDLE_DEG, _PROFILE_DEG, _TURNED_DEG)
    return np.asarray(np.abs(side - yaw_deg) < limit)


def _subject(key: CaseKey) -> Subject:
    subject = draw_subject(
        load_head(key.head),
        identity_rng=rng_of(key.seed, "identity"),
        skin_rng=rng_of(key.seed, "skin"),
        strength=STRENGTH,
    )
    if not key.beyond_model_mm:
        return subject
    field_seed = int(rng_of(key.seed, "beyond the model").integers(1 << 30))
    return OffModelSubject(
        model=subject.model,
        identity=subject.identity,
        skin=subject.skin,
        beyond=smooth_field(subject.model.mean, sd_mm=key.beyond_model_mm, seed=field_seed),
    )


def _footprint(layout: Layout, cameras: tuple[Camera, ...]) -> float:
    places = zip(cameras, layout.cameras, strict=True)
    return float(min(place.distance_mm / camera.K[0, 0] for camera, place in places))


def _sigma_px(camera: Camera, marks: Floats) -> float:
    """Return the landmarks' noise, px of the photograph."""
    depth = float(camera.project(marks.mean(axis=0))[1])
    return NOISE_PX * CROP_MM / 224 * float(camera.K[0, 0]) / depth


def _surface_arrays(scene: Scene, model: FaceModel) -> dict[str, Any]:
    """Return the surface about the face: some of the fine triangles, and which are scored."""
    about = np.asarray(model.regions["face"][model.faces].any(axis=1))
    kept = np.repeat(about, len(scene.surface.faces) // len(model.faces))
    kept |= scene.frontal
    skin = Mesh(vertices=scene.surface.vertices, faces=scene.surface.faces).selected(kept)
    return {
        "skin_vertices": skin.vertices,
        "skin_faces": skin.faces,
        "scored": scene.frontal[kept],
    }


def _world_from_head(rng: np.random.Generator) -> Similarity:
    turn = Rotation.from_rotvec(np.radians(rng.normal(0, _HEAD_TURN_DEG, 3)))
    return Similarity(scale=1.0, R=turn.as_matrix(), t=rng.normal(0, _HEAD_SHIFT_MM, 3))


def _record(key: CaseKey) -> dict[str, Any]:
    return {
        "head": key.head, "seed": key.seed, "layout": key.layout,
        "megapixels": key.megapixels, "beyond_model_mm": key.beyond_model_mm,
    }  # fmt: skip


def _camera(entry: dict[str, Any]) -> Camera:
    return Camera(
        name=entry["name"], width=entry["width"], height=entry["height"],
        K=np.array(entry["K"]), cam_from_world=np.array(entry["cam_from_world"]),
    )  # fmt: skip


def _holds(path: Path, key: CaseKey) -> bool:
    try:
        return _read(path, lambda _, about: bool(about["key"] == _record(key)))
    except InputError:
        return False


def _read(path: Path, read: Callable[[Any, dict[str, Any]], Answer]) -> Answer:
    try:
        with np.load(path) as arrays:
            about = json.loads(str(arrays["about"]))
            if about["version"] != _VERSION:
                raise InputError(f"{path}: made by another version; remove it")
            return read(arrays, about)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a case of the multi-view benchmark ({error})") from error
