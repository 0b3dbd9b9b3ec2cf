"""Board captures by projection alone: exact corners plus noise, no images."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facekit.calibration.target.detect import BoardView
from facekit.capture.session import BoardSpec, CameraInfo
from facekit.capture.targets import board_from_face, n_face_corners, object_points
from facekit.core.arrays import Floats
from facekit.core.geometry.camera import Camera, Rig
from facekit.core.geometry.transform import apply, compose, look_at

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
    mounting: Floats | None = None,
) -> Capture:
    """Show a board in random poses; cameras that look too steeply at a face do not see it.

    Parameters
    ----------
    mounting : (3, 4), optional
        True place of the back of a two-sided board, against the nominal one.
    """
    n_face = n_face_corners(spec)
    front = object_points(spec)[:n_face]
    middle = front.mean(axis=0)
    half = np.abs(front[:, 0] - middle[0]).max()
    front[:, 2] += bow_mm * (((front[:, 0] - middle[0]) / half) ** 2)
    bowed = [front]
    if spec.back_first_id is not None:
        place = board_from_face(spec, 1)
        place = place if mounting is None else compose(place, mounting)
        bowed.append(apply(place, front))
    widest = 75 if len(bowed) == 1 else 180
    views = []
    for number in range(n_takes):
        angles = (rng.uniform(-widest, widest), rng.uniform(-30, 30), rng.uniform(-180, 180))
        turn = Rotation.from_euler("yxz", angles, degrees=True).as_matrix()
        # the board's z points away from who looks at it: turned to face +z of the world
        R = turn @ np.diag([1.0, -1.0, -1.0])
        pose = np.column_stack([R, rng.uniform(-40, 40, 3) - R @ middle])
        for face, corners in enumerate(bowed):
            world = apply(pose, corners)
            outwards = R[:, 2] if face else -R[:, 2]
            for camera in rig:
                towards = camera.center - world.mean(axis=0)
                cosine = (outwards @ towards) / np.linalg.norm(towards)
                xy, _ = camera.project(world)
                inside = ((xy > 0) & (xy < (camera.width, camera.height))).all(axis=1)
                if cosine < np.cos(np.radians(65)) or inside.sum() < 20:
                    continue
                rows = np.flatnonzero(inside).astype(np.int32)
                seen = xy[rows] + rng.normal(0, noise_px, (len(rows), 2))
                ids = (rows + face * n_face).astype(np.int32)
                views.append(BoardView(take=f"t{number:02d}", camera=camera.name, ids=ids, xy=seen))
    infos = tuple(
        CameraInfo(id=c.name, width=c.width, height=c.height, focal_35mm=85.0) for c in rig
    )
    return Capture(
        spec=spec, cameras=infos, views=tuple(views), rig=rig, corners=np.concatenate(bowed)
    )


@pytest.fixture
def capture() -> Callable[..., Capture]:
    """Give `capture(n_cameras, n_takes, noise_px=, seed=, bow_mm=, spec=, mounting=)`."""

    def make(
        n_cameras: int = 5,
        n_takes: int = 14,
        *,
        noise_px: float = 0.03,
        seed: int = 0,
        bow_mm: float = 0.0,
        spread_deg: float = 120.0,
        spec: BoardSpec = SPEC,
        mounting: Floats | None = None,
    ) -> Capture:
        rng = np.random.default_rng(seed)
        rig = arc_rig(n_cameras, rng, spread_deg=spread_deg)
        return photograph(
            rig, n_takes=n_takes, noise_px=noise_px, rng=rng, bow_mm=bow_mm, spec=spec,
            mounting=mounting,
        )  # fmt: skip

    return make


@pytest.fixture
def two_sided() -> BoardSpec:
    """Give the board of `capture` with a second face."""
    return replace(SPEC, back_first_id=31, thickness_mm=3.0)


@pytest.fixture
def spec() -> BoardSpec:
    """Give the board of `capture`."""
    return replace(SPEC)
