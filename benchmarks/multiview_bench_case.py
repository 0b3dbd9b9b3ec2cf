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

from ..capture.virtual.layouts import draw_rig, load_layout
from ..capture.virtual.lights import led_ring
from ..capture.virtual.render import photograph
from ..capture.virtual.scene import Scene, build_scene
from ..capture.virtual.sensor import Optics
from ..capture.virtual.studio import load_head, rng_of
from ..core.arrays import Bools, Bytes, Floats
from ..core.console import track
from ..core.errors import InputError
from ..core.facemodel.model import FaceModel
from ..core.files import atomic_path
from ..core.geometry.camera import Camera
from ..core.geometry.mesh import Mesh
from ..core.geometry.transform import Similarity
from .face_distance import TrueFace
from .heads.people import (
    drawn_person,
    footprint_mm,
    found_landmarks,
    landmark_sigma_px,
    skin_about_face,
    world_from_head,
    yaw_of,
)

Answer = TypeVar("Answer")

_VERSION = 1


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
    subject = drawn_person(load_head(key.head), seed=key.seed, beyond_model_mm=key.beyond_model_mm)
    lights = led_ring(rng_of(key.seed, "lights"))
    scene = build_scene(
        subject, lights, footprint_mm=footprint_mm(layout, rig.cameras),
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
        landmarks.append(found_landmarks(camera, marks, seed=key.seed))
        sigmas.append(landmark_sigma_px(camera, marks))
    arrays = {
        "images": np.stack(images), "masks": np.packbits(np.stack(masks), axis=-1),
        "landmarks": np.stack(landmarks), "sigma_px": np.array(sigmas),
        "yaw_deg": np.array([yaw_of(camera) for camera in rig]),
        "vertices": subject.vertices(), **_surface_arrays(scene, subject.model),
    }  # fmt: skip
    world = world_from_head(rng_of(key.seed, "world"))
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


def _surface_arrays(scene: Scene, model: FaceModel) -> dict[str, Any]:
    """Return the surface about the face: some of the fine triangles, and which are scored."""
    skin = skin_about_face(scene, model)
    return {
        "skin_vertices": skin.mesh.vertices,
        "skin_faces": skin.mesh.faces,
        "scored": skin.scored,
    }


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
