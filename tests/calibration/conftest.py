"""Board captures by projection alone: exact corners plus noise, no images."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facekit.calibration.detect import BoardView
from facekit.capture.session import BoardSpec, CameraInfo
from facekit.capture.targets import object_points
from facekit.core.arrays import Floats
from facekit.core.geometry.camera import Camera, Rig
from facekit.core.geometry.transform import apply, look_at

SPEC = BoardSpec(
    squares_x=9, squares_y=7, square_mm=22.0, marker_mm=16.0, dictionary="DICT_5X5_250"
)


@dataclass(frozen=True, kw_only=True)
class Capture:
    """What a rig saw of a board, and the truth."""

    spec: BoardSpec
    cameras: tuple[CameraInfo, ...]
    views: tuple[BoardView, ...]
    rig: Rig
    """True."""
    corners: Floats
    """(n_corners, 3) true corners of the bowed board, mm."""


def arc_rig(n_cameras: int, rng: np.random.Generator, *, spread_deg: float = 120.0) -> Rig:
    """Cameras with 85 mm lenses on an arc of 1 m, 2000 x 3000 px."""
    cameras = []
    for index, yaw in enumerate(np.linspace(-spread_deg / 2, spread_deg / 2, n_cameras)):
        direction = Rotation.from_euler("yx", [yaw, rng.uniform(-15, 15)], degrees=True)
        center = direction.apply([0, 0, 1000 + rng.uniform(-20, 20)])
        pose = look_at(center, rng.uniform(-10, 10, 3))
        roll = Rotation.from_euler("z", rng.uniform(-1.5, 1.5), degrees=True).as_matrix()
        focal = 7700 * (1 + rng.uniform(-0.008, 0.008))
        K = np.array([[focal, 0, 1000 + rng.uniform(-9, 9)], [0, focal * 1.0005, 1500], [0, 0, 1]])
        cameras.append(
            Camera(
                name=f"C{index:02d}",
                width=2000,
                height=3000,
                K=K,
                cam_from_world=roll @ pose,
                distortion=np.array([0.08, -0.6, 2e-4, -1e-4, 0]),
            )
        )
    return Rig(cameras=tuple(cameras))


def photograph(
    rig: Rig,
    *,
    n_takes: int,
    noise_px: float,
    rng: np.random.Generator,
    bow_mm: float = 0.0,
    spec: BoardSpec = SPEC,
) -> Capture:
    """Show a board in random poses; cameras that look at its back or too steeply see nothing."""
    points = object_points(spec)
    middle = points.mean(axis=0)
    half = np.abs(points[:, 0] - middle[0]).max()
    bowed = points.copy()
    bowed[:, 2] += bow_mm * (((points[:, 0] - middle[0]) / half) ** 2)
    views = []
    for number in range(n_takes):
        angles = (rng.uniform(-75, 75), rng.uniform(-30, 30), rng.uniform(-180, 180))
        turn = Rotation.from_euler("yxz", angles, degrees=True).as_matrix()
        # the board's z points away from who looks at it: turned to face +z of the world
        R = turn @ np.diag([1.0, -1.0, -1.0])
        pose = np.column_stack([R, rng.uniform(-40, 40, 3) - R @ middle])
        world = apply(pose, bowed)
        for camera in rig:
            towards = camera.center - world.mean(axis=0)
            cosine = -(R[:, 2] @ towards) / np.linalg.norm(towards)
            xy, _ = camera.project(world)
            inside = ((xy > 0) & (xy < (camera.width, camera.height))).all(axis=1)
            if cosine < np.cos(np.radians(65)) or inside.sum() < 20:
                continue
            ids = np.flatnonzero(inside).astype(np.int32)
            seen = xy[ids] + rng.normal(0, noise_px, (len(ids), 2))
            views.append(BoardView(take=f"t{number:02d}", camera=camera.name, ids=ids, xy=seen))
    infos = tuple(
        CameraInfo(id=c.name, width=c.width, height=c.height, focal_35mm=85.0) for c in rig
    )
    return Capture(spec=spec, cameras=infos, views=tuple(views), rig=rig, corners=bowed)


@pytest.fixture
def capture() -> Callable[..., Capture]:
    """Give `capture(n_cameras, n_takes, noise_px=, seed=, bow_mm=)`."""

    def make(
        n_cameras: int = 5,
        n_takes: int = 14,
        *,
        noise_px: float = 0.03,
        seed: int = 0,
        bow_mm: float = 0.0,
        spread_deg: float = 120.0,
    ) -> Capture:
        rng = np.random.default_rng(seed)
        rig = arc_rig(n_cameras, rng, spread_deg=spread_deg)
        return photograph(rig, n_takes=n_takes, noise_px=noise_px, rng=rng, bow_mm=bow_mm)

    return make


@pytest.fixture
def spec() -> BoardSpec:
    """Give the board of `capture`."""
    return replace(SPEC)
