"""A scene that is known exactly: a textured ball before a plain backdrop, ray cast in closed form.

The rig's unit is arbitrary on purpose (the ball is 0.8 units wide), so that nothing may take
lengths for millimetres.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from facekit.capture.plates import mask_by_backdrop
from facekit.capture.session import CameraInfo, Session, Shot, Take, TakeKind, save_session
from facekit.core.files import sha256_file
from facekit.core.geometry.camera import Camera, Rig
from facekit.core.geometry.mesh import Mesh, subdivide_loop
from facekit.core.geometry.transform import look_at
from facekit.core.imaging.imageio import write_image
from facekit.dataset.stereo.views import View, make_view

RADIUS = 0.4
DISTANCE = 2.0
WIDTH, HEIGHT = 144, 160


def view_of(camera: Camera, image: np.ndarray) -> View:
    mask = mask_by_backdrop(image)
    return make_view(camera, image, mask, megapixels=1.0, where=camera.name)


@dataclass(frozen=True)
class Ball:
    """The scene: cameras round a ball at the origin."""

    rig: Rig
    images: dict[str, np.ndarray]
    """Camera -> (HEIGHT, WIDTH, 3) uint8."""
    radius: float = RADIUS
    footprint: float = DISTANCE / 300.0
    """Size of a pixel at the origin."""

    def views(self) -> list[View]:
        """Return the photographs as stereo takes them, mask found from the backdrop."""
        return [view_of(camera, self.images[camera.name]) for camera in self.rig]

    def depth(self, camera: Camera) -> np.ndarray:
        """Return the exact (height, width) depth; NaN off the ball."""
        return ball_depth(camera)

    def mesh(self, *, radius: float = RADIUS, n_times: int = 4) -> Mesh:
        """Return the ball as a mesh of nearly even triangles."""
        return sphere_mesh(radius, n_times)

    def session(self, folder: Path, *, takes: tuple[str, ...] = ("smile",)) -> Session:
        """Write the photographs as a session."""
        return write_ball_session(self, folder, takes)


def ring(n: int = 5, *, spread_deg: float = 50.0) -> Rig:
    """Return `n` cameras on an arc, alternately a little above and below."""
    cameras = []
    for i, yaw in enumerate(np.radians(np.linspace(-spread_deg, spread_deg, n))):
        pitch = np.radians(12.0 if i % 2 else -6.0)
        away = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        K = np.array([[300.0, 0, WIDTH / 2 + 2.3], [0, 300.0, HEIGHT / 2 - 1.7], [0, 0, 1]])
        cameras.append(
            Camera(
                name=f"cam{i}",
                width=WIDTH,
                height=HEIGHT,
                K=K,
                cam_from_world=look_at(DISTANCE * away, np.zeros(3)),
            )
        )
    return Rig(cameras=tuple(cameras), metric=False)


def ball_depth(camera: Camera, xy: np.ndarray | None = None) -> np.ndarray:
    """Return depth along z at pixels (..., 2), by default all; NaN off the ball."""
    directions = camera.unproject(camera.pixel_centers() if xy is None else xy)
    a = (directions**2).sum(-1)
    b = directions @ camera.center
    c = camera.center @ camera.center - RADIUS**2
    with np.errstate(invalid="ignore"):
        return (-b - np.sqrt(b * b - a * c)) / a


def texture(points: np.ndarray) -> np.ndarray:
    """Return (...,) brightness 0.15-0.95 of points on the surface: waves of many directions."""
    rng = np.random.default_rng(5)
    value = np.zeros(points.shape[:-1])
    for wavelength in np.geomspace(3.0, 24.0, 30) * DISTANCE / 300.0:
        direction = rng.normal(size=3)
        direction *= 2 * np.pi / wavelength / np.linalg.norm(direction)
        value += np.sin(points @ direction + rng.uniform(0, 6.28))
    return 0.55 + 0.4 * np.tanh(value / 6.0)


def photograph(camera: Camera, *, n_sub: int = 3, backdrop: float = 0.05) -> np.ndarray:
    """Return (height, width, 3) uint8, each pixel the mean of `n_sub`² rays."""
    total = np.zeros((camera.height, camera.width))
    offsets = (np.arange(n_sub) + 0.5) / n_sub - 0.5
    for dy in offsets:
        for dx in offsets:
            xy = camera.pixel_centers() + (dx, dy)
            depth = ball_depth(camera, xy)
            points = camera.center + depth[..., None] * camera.unproject(xy)
            hit = np.isfinite(depth)
            total[hit] += texture(points[hit])
            total[~hit] += backdrop
    grey = np.rint(255 * total / n_sub**2).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def sphere_mesh(radius: float, n_times: int) -> Mesh:
    """Return a subdivided octahedron, its vertices on the sphere."""
    mesh = Mesh(
        vertices=np.array(
            [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float
        ),
        faces=np.array(
            [
                [0, 2, 4],
                [2, 1, 4],
                [1, 3, 4],
                [3, 0, 4],
                [2, 0, 5],
                [1, 2, 5],
                [3, 1, 5],
                [0, 3, 5],
            ],
            np.int32,
        ),
    )  # fmt: skip
    mesh = subdivide_loop(mesh, n_times=n_times)
    unit = mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
    return Mesh(vertices=radius * unit, faces=mesh.faces)


def write_ball_session(ball: Ball, folder: Path, takes: tuple[str, ...]) -> Session:
    """Write images and `session.json` below `folder`."""
    infos = [CameraInfo(id=c.name, width=WIDTH, height=HEIGHT) for c in ball.rig]
    written = []
    for take in takes:
        shots = []
        for camera in ball.rig:
            file = f"images/{take}/{camera.name}.png"
            write_image(folder / file, ball.images[camera.name])
            path = folder / file
            shots.append(
                Shot(
                    camera=camera.name, file=file, sha256=sha256_file(path),
                    bytes=path.stat().st_size, width=WIDTH, height=HEIGHT,
                )
            )  # fmt: skip
        written.append(Take(id=take, kind=TakeKind.SUBJECT, shots=tuple(shots)))
    session = Session(folder=folder, name="ball", cameras=tuple(infos), takes=tuple(written))
    save_session(session)
    return session


@pytest.fixture(scope="session")
def ball() -> Ball:
    """Give the scene: five cameras, 0.023 megapixels each."""
    rig = ring()
    return Ball(rig=rig, images={camera.name: photograph(camera) for camera in rig})


@pytest.fixture
def cuda() -> str:
    """Give the device for torch; skip where there is none."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return "cuda"
