"""Photographs of one head, made up: sessions and folders of them, and views of painted skin."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from facekit.calibration.rigfile import save_rig
from facekit.capture.session import CameraInfo, Session, Shot, Take, TakeKind, save_session
from facekit.core.facemodel.landmark_schemes import Scheme
from facekit.core.facemodel.landmark_table import LandmarkTable
from facekit.core.facemodel.landmarks import Detection, box_of
from facekit.core.facemodel.model import FaceModel
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.files import sha256_file
from facekit.core.geometry.camera import Camera, Rig
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.transform import look_at
from facekit.core.imaging.orientation import to_upright
from facekit.core.rendering.preview import Look, MeshPreview
from facekit.reconstruct.facetensors import model_centre
from facekit.reconstruct.fit_model import FitModel, fit_model
from facekit.reconstruct.views.faceview import FaceView, FaceViews
from facekit.reconstruct.views.surface import face_region
from facekit.reconstruct.views.texels import TexelGrid, texel_grid

WIDTH, HEIGHT = 360, 300
YAWS = {"cam_a": -35.0, "cam_b": 0.0, "cam_c": 35.0}
DISTORTION = np.array([-0.12, 0.03, 0.001, -0.0005, 0.0])
TAKE = "neutral"


@dataclass(frozen=True, kw_only=True)
class Studio:
    """Photographs of the built-in head's mean, in a world that is its head frame."""

    model: FaceModel
    rig: Rig
    """Distorted cameras."""
    photographs: Mapping[str, np.ndarray]
    """Camera -> (HEIGHT, WIDTH, 3), distorted."""

    def marks(self, camera: str) -> np.ndarray:
        """Return (68, 2) px of the photograph as stored."""
        return self.rig[camera].project(self.model.mean[self.model.landmarks68])[0]

    def table(self, orientations: Mapping[str, int] | None = None) -> LandmarkTable:
        """Return the landmarks of the photographs turned upright."""
        faces = {}
        for camera in self.rig.names:
            orientation = (orientations or {}).get(camera, 1)
            points = to_upright(self.marks(camera), orientation, width=WIDTH, height=HEIGHT)
            faces["", camera] = Detection(
                points=points, scheme=Scheme.IBUG68, score=1.0, box=box_of(points),
                confidence=np.ones(68), sigma_px=np.zeros(68),
            )  # fmt: skip
        return LandmarkTable(faces=faces)

    def without(self, *cameras: str) -> "Studio":
        """Return a studio that has lost photographs, but not the cameras."""
        kept = {name: p for name, p in self.photographs.items() if name not in cameras}
        return replace(self, photographs=kept)

    def folder(self, path: Path) -> Path:
        """Write the photographs as `<camera>.png` and `rig.json` beside the folder."""
        path.mkdir(parents=True)
        for name, pixels in self.photographs.items():
            PillowImage.fromarray(pixels).save(path / f"{name}.png")
        save_rig(path.parent / "rig.json", self.rig)
        return path

    def session(
        self, path: Path, *, orientations: Mapping[str, int] | None = None, own_rig: bool = True
    ) -> Session:
        """Write a session of one take."""
        shots, infos = [], []
        for name, pixels in self.photographs.items():
            file = path / "images" / TAKE / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            PillowImage.fromarray(pixels).save(file)
            shots.append(
                Shot(
                    camera=name, file=f"images/{TAKE}/{name}.png", sha256=sha256_file(file),
                    bytes=file.stat().st_size, width=WIDTH, height=HEIGHT,
                    orientation=(orientations or {}).get(name, 1),
                )
            )  # fmt: skip
            infos.append(CameraInfo(id=name, width=WIDTH, height=HEIGHT))
        take = Take(id=TAKE, kind=TakeKind.SUBJECT, shots=tuple(shots))
        session = Session(folder=path, name="made up", cameras=tuple(infos), takes=(take,))
        save_session(session)
        if own_rig:
            save_rig(path / "rig.json", self.rig)
        return session


def _camera(name: str, yaw_deg: float, target: np.ndarray) -> Camera:
    yaw = np.radians(yaw_deg)
    center = target + 900 * np.array([np.sin(yaw), 0.05, np.cos(yaw)])
    K = np.array([[700.0, 0, WIDTH / 2 + 3.0], [0, 705.0, HEIGHT / 2 - 2.0], [0, 0, 1]])
    return Camera(
        name=name, width=WIDTH, height=HEIGHT, K=K, cam_from_world=look_at(center, target),
        distortion=DISTORTION,
    )  # fmt: skip


def spotted(model: FaceModel) -> np.ndarray:
    """Return (V, 3) skin with one red spot about the tip of the nose."""
    tip = model.mean[model.landmarks68[30]]
    near = np.linalg.norm(model.mean - tip, axis=1) < 6
    return np.where(near[:, None], (230, 20, 20), (200, 160, 140)).astype(np.uint8)


@pytest.fixture(scope="session")
def studio() -> Studio:
    """Give photographs of three cameras."""
    model = procedural_head()
    target = model.mean[model.landmarks68].mean(axis=0)
    rig = Rig(cameras=tuple(_camera(name, yaw, target) for name, yaw in YAWS.items()))
    preview = MeshPreview(Mesh(vertices=model.mean, faces=model.faces), ambient_occlusion=False)
    photographs = {
        camera.name: preview.draw(
            camera, colors=spotted(model), look=Look(supersampling=1, background=(40, 60, 90))
        )
        for camera in rig
    }
    return Studio(model=model, rig=rig, photographs=photographs)


# --- painted skin: views whose surface is known everywhere ---------------------------------------

ASIDE_DEG = (-50.0, -25.0, 0.0, 25.0, 50.0)
FOCAL_PX = 1500.0  # 1.7 px a mm at 900 mm
_FINE = 512  # texels a side that the skin is made of
_N_WAVES = 60


@dataclass(frozen=True, kw_only=True)
class Skin:
    """The face of the built-in head, painted with waves of 3 to 7 mm, under an even light."""

    model: FaceModel
    laid_out: FitModel
    vertices: np.ndarray
    """(V, 3) mm: the model's, without relief."""
    relief: Callable[[np.ndarray], np.ndarray]
    """Points (..., 3) of the smooth surface -> mm outward (...)."""

    @property
    def region(self) -> np.ndarray:
        """(V,) the vertices of the face."""
        return face_region(self.model)

    def grid(self, size: int) -> TexelGrid:
        """Return the texels of the smooth surface."""
        return texel_grid(self.model, self.vertices[None], self.region, size)

    def surface(self) -> Mesh:
        """Return the true surface, relief included: a vertex for each fine texel."""
        return self._mesh()[0]

    def views(self, cameras: Sequence[Camera]) -> FaceViews:
        """Return what cameras see whose world is the head frame."""
        mesh, inside = self._mesh()
        preview = MeshPreview(mesh, ambient_occlusion=False)
        grey = np.rint(255 * _painted(self.grid(_FINE).points[0][inside])).astype(np.uint8)
        look = Look(lit=False, supersampling=2, background=(90, 90, 90))
        marks = self.vertices[self.model.landmarks68]
        views = []
        for camera in cameras:
            picture = preview.draw(camera, colors=np.repeat(grey[:, None], 3, axis=1), look=look)
            views.append(
                FaceView(
                    name=camera.name, image=picture.astype(np.float32) / 255, camera=camera,
                    landmarks=camera.project(marks)[0], sigma_px=0.5,
                )
            )  # fmt: skip
        return FaceViews(views=tuple(views), calibrated=True, metric=True)

    def _mesh(self) -> tuple[Mesh, np.ndarray]:
        grid = self.grid(_FINE)
        rise = self.relief(grid.points[0])
        points = grid.points[0] + rise[..., None] * grid.normals[0]
        row = np.full(grid.inside.shape, -1)
        row[grid.inside] = np.arange(grid.inside.sum())
        corners = row[:-1, :-1], row[1:, :-1], row[1:, 1:], row[:-1, 1:]
        whole = np.all([c >= 0 for c in corners], axis=0)
        a, b, c, d = (corner[whole] for corner in corners)
        faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
        return Mesh(vertices=points[grid.inside], faces=faces.astype(np.int32)), grid.inside


def _painted(points: np.ndarray) -> np.ndarray:
    """Return grey (N,) in [0, 1] of points (N, 3) mm."""
    rng = np.random.default_rng(4)
    ways = rng.normal(size=(_N_WAVES, 3))
    per_mm = 2 * np.pi / rng.uniform(3, 7, _N_WAVES)
    ways *= (per_mm / np.linalg.norm(ways, axis=1))[:, None]
    waves = np.sin(points @ ways.T + rng.uniform(0, 2 * np.pi, _N_WAVES)).sum(axis=1)
    return np.clip(0.5 + 0.12 * waves / np.sqrt(_N_WAVES / 2), 0.02, 0.98)


def around(yaw_deg: float, *, width: int = 360, height: int = 400) -> Camera:
    """Return a camera that looks at the face of the built-in head from aside."""
    yaw, target = np.radians(yaw_deg), np.array([0.0, 12.0, 60.0])
    center = target + 900 * np.array([np.sin(yaw), 0.1 * np.cos(5 * yaw), np.cos(yaw)])
    K = np.array([[FOCAL_PX, 0, width / 2], [0, FOCAL_PX, height / 2], [0, 0, 1.0]])
    return Camera(
        name=f"yaw{yaw_deg:+.0f}", width=width, height=height, K=K,
        cam_from_world=look_at(center, target),
    )  # fmt: skip


@pytest.fixture(scope="session")
def cameras() -> tuple[Camera, ...]:
    """Give five cameras about a face, whose world is the head frame."""
    return tuple(around(yaw) for yaw in ASIDE_DEG)


@pytest.fixture(scope="session")
def skin() -> Skin:
    """Give the mean face, its skin 0.8 mm above the model's surface everywhere."""
    model = procedural_head()
    return Skin(
        model=model, laid_out=fit_model(model, model_centre(model)), vertices=model.mean,
        relief=lambda points: np.full(points.shape[:-1], 0.8),
    )  # fmt: skip


@pytest.fixture(scope="session")
def skin_views(skin: Skin, cameras: tuple[Camera, ...]) -> FaceViews:
    """Give views of the mean face with its raised skin."""
    return skin.views(cameras)


@pytest.fixture(scope="session")
def aside() -> Camera:
    """Give a camera that sees half of the face behind the nose."""
    return around(65.0)
