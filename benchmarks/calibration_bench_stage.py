"""The stage of the calibration benchmark: a rig, a two-sided board, photographs, corners.

Everything is drawn from a seed. The photographs are 8192 x 5464 px of an exact lens: depth of
field of f/16, sensor noise, JPEG; only the corners found in them are kept.
"""

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from ..calibration.target.detect import DETECTOR_VERSION, BoardView, detect_board, one_opencv_thread
from ..capture.patterns import board_image, board_size
from ..capture.session import BoardSpec, CameraInfo
from ..capture.targets import board_from_face, faces, n_face_corners, object_points
from ..capture.virtual.board import MARGIN_MM, sheet_from_board, sheet_pose
from ..capture.virtual.layouts import Layout, draw_rig, load_layout
from ..capture.virtual.lights import Lights, led_ring
from ..capture.virtual.plane import Sheet, photograph_sheet
from ..capture.virtual.sensor import Optics
from ..capture.virtual.studio import rng_of
from ..core.arrays import Bytes, Floats
from ..core.console import track
from ..core.errors import InputError, SchemaError
from ..core.files import hash_of, read_json, write_json
from ..core.geometry.camera import Camera, Rig
from ..core.geometry.transform import apply, compose

BOARD = BoardSpec(
    squares_x=17,
    squares_y=12,
    square_mm=12.0,
    marker_mm=9.0,
    dictionary="DICT_5X5_250",
    back_first_id=102,
    thickness_mm=5.0,
)
BACK_SHIFT_MM, BACK_TURN_DEG = (0.6, 0.4, 0.1), 0.15
"""How far the back print is from where it should be, as nobody glues two prints exactly."""
SENSOR_ASPECT = 5464 / 8192
F_NUMBER = 16.0
LENS_BLUR = 0.98 / 8192  # sd in the plane of focus, of the image's width: diffraction at f/16
PIXEL_BLUR_PX = 0.5  # sd of demosaicing; with the lens 1.1 px of 45 MP
READ_NOISE, SHOT_NOISE = 0.0012, 0.0115  # 1.6 of 255 in the grey of a photograph
JPEG_QUALITY = 95
INK, PAPER = 0.04, 0.90  # linear reflectance
YAW_DEG = 100.0  # the board is turned from - to +
_FORMAT = "facekit-bench-corners"


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """What to photograph."""

    seed: int = 0  # another rig, other poses, other noise
    layout: str = "arc30"  # a packaged layout, or a YAML file
    width_px: int = 8192  # of the photographs; their height follows
    n_poses: int = 20  # of the board
    n_workers: int = 2  # photographs at a time, each some 500 MB


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What the photographs show, exactly."""

    config: StageConfig
    layout: Layout
    rig: Rig
    lights: Lights
    board_from_face: tuple[Floats, ...]
    """(3, 4) of each print, as mounted."""
    points: Floats
    """(n_corners, 3) true places of the corners, in the board's frame."""
    world_from_board: dict[str, Floats]
    """Take -> (3, 4), mm."""

    def infos(self) -> list[CameraInfo]:
        """Describe the cameras as EXIF data would: the nominal focal length of the lens."""
        places = zip(self.rig, self.layout.cameras, strict=True)
        return [
            CameraInfo(
                id=camera.name,
                width=camera.width,
                height=camera.height,
                focal_mm=place.focal_mm,
                focal_35mm=place.focal_mm * 36 / self.layout.sensor_width_mm,
            )
            for camera, place in places
        ]

    def true_xy(self, view: BoardView, points: Floats | None = None) -> Floats:
        """Return where the corners of a view truly are, (N, 2) px, of a board of `points`."""
        points = self.points if points is None else points
        world = apply(self.world_from_board[view.take], points[view.ids])
        return self.rig[view.camera].project(world)[0]

    def seen_face(self, take: str, camera: Camera) -> tuple[int, float]:
        """Return which print a camera sees, and its incidence at the middle, degrees."""
        middle = np.array([*np.divide(board_size(BOARD), 2), 0.0])
        steepness = []
        for placed in self.board_from_face:
            world_from_face = compose(self.world_from_board[take], placed)
            away = camera.center - (world_from_face[:, :3] @ middle + world_from_face[:, 3])
            steepness.append(-float(world_from_face[:, 2] @ away) / float(np.linalg.norm(away)))
        face = int(np.argmax(steepness))
        return face, float(np.degrees(np.arccos(np.clip(steepness[face], -1, 1))))

    def n_visible(self, take: str, camera: Camera) -> int:
        """Return how many corners of the print that a camera sees lie in its image."""
        face, _ = self.seen_face(take, camera)
        n = n_face_corners(BOARD)
        world = apply(self.world_from_board[take], self.points[face * n : (face + 1) * n])
        xy, _ = camera.project(world)
        return int(((xy > 0) & (xy < (camera.width, camera.height))).all(axis=1).sum())


@dataclass(frozen=True, kw_only=True)
class Detection:
    """The corners found in one photograph."""

    view: BoardView
    cpu_s: float
    """Of finding them, without rendering and decoding."""


def draw_stage(config: StageConfig) -> Stage:
    """Draw the rig, the board and its poses."""
    layout = load_layout(config.layout)
    megapixels = config.width_px**2 * layout.sensor_height_mm / layout.sensor_width_mm / 1e6
    rig = draw_rig(layout, megapixels=megapixels, rng=rng_of(config.seed, "rig"))
    height = round(config.width_px * SENSOR_ASPECT)
    rig = Rig(cameras=tuple(of_size(camera, config.width_px, height) for camera in rig))
    mounted = tuple(_mounted(BOARD, face) for face in range(len(faces(BOARD))))
    front = object_points(faces(BOARD)[0])
    return Stage(
        config=config,
        layout=layout,
        rig=rig,
        lights=led_ring(rng_of(config.seed, "lights")),
        board_from_face=mounted,
        points=np.concatenate([apply(placed, front) for placed in mounted]),
        world_from_board=_poses(config, np.array(layout.target_mm)),
    )


def photograph_board(stage: Stage, folder: Path) -> list[Detection]:
    """Photograph the board in all its poses and find its corners.

    Parameters
    ----------
    folder : Path
        Keeps the corners of each photograph: those that are there are not taken again.
    """
    sheets = _sheets(stage)
    key = hash_of([_drawn(stage), dataclasses.asdict(BOARD), DETECTOR_VERSION])
    jobs = [(take, camera) for take in stage.world_from_board for camera in stage.rig]

    def shoot(job: tuple[str, Camera]) -> Detection:
        take, camera = job
        path = folder / f"{take}-{camera.name}.json"
        found = _kept(path, key, take, camera.name)
        if found is None:
            found = _detect(photograph(stage, sheets, take, camera), take, camera.name)
            write_json(path, _record(found, key))
        return found

    with one_opencv_thread(), ThreadPoolExecutor(stage.config.n_workers) as pool:
        return list(track(pool.map(shoot, jobs), "photographing the board", total=len(jobs)))


def photograph(stage: Stage, sheets: list[Sheet], take: str, camera: Camera) -> Bytes:
    """Return a JPEG, (N,) uint8, of what a camera sees of the board."""
    face, _ = stage.seen_face(take, camera)
    pose = compose(stage.world_from_board[take], stage.board_from_face[face])
    place = stage.layout.cameras[stage.rig.names.index(camera.name)]
    optics = Optics(
        supersampling=2,
        blur_px=float(np.hypot(PIXEL_BLUR_PX, LENS_BLUR * camera.width)),
        exposure=0.85,
        read_noise=READ_NOISE,
        shot_noise=SHOT_NOISE,
        lens_radius_mm=place.focal_mm / F_NUMBER / 2,
    )
    target = np.array(stage.layout.target_mm)
    image = photograph_sheet(
        sheets[face], sheet_from_board(pose), camera, stage.lights, optics,
        rng=rng_of(stage.config.seed, f"{take}/{camera.name}"),
        focus_mm=float(np.linalg.norm(camera.center - target)),
    )  # fmt: skip
    _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return np.asarray(jpeg, np.uint8)


def _sheets(stage: Stage) -> list[Sheet]:
    """Return the prints, a texel about as large as a pixel."""
    finest = max(camera.K[0, 0] for camera in stage.rig) / 1000
    px_per_mm = float(np.clip(round(finest), 6, 24))
    sheets = []
    for face in faces(BOARD):
        ink = board_image(face, px_per_mm=px_per_mm, margin_mm=MARGIN_MM)[..., None]
        art = (INK + (PAPER - INK) / 255 * ink.astype(np.float32)).astype(np.float32)
        sheets.append(Sheet(art=art, px_per_mm=px_per_mm))
    return sheets


def _detect(jpeg: Bytes, take: str, camera: str) -> Detection:
    image = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE), np.uint8)
    start = time.thread_time()
    ids, xy, n_markers = detect_board(image, BOARD)
    cpu_s = time.thread_time() - start
    view = BoardView(take=take, camera=camera, ids=ids, xy=np.round(xy, 5), n_markers=n_markers)
    return Detection(view=view, cpu_s=cpu_s)


def _record(found: Detection, key: str) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "version": 1,
        "key": key,
        "ids": found.view.ids.tolist(),
        "xy": found.view.xy.tolist(),
        "n_markers": found.view.n_markers,
        "cpu_s": found.cpu_s,
    }


def _kept(path: Path, key: str, take: str, camera: str) -> Detection | None:
    """Return what an earlier run found in the same photograph."""
    try:
        values = read_json(path, format_name=_FORMAT, version=1)
        if values["key"] != key:
            return None
        view = BoardView(
            take=take,
            camera=camera,
            ids=np.array(values["ids"], np.int32),
            xy=np.array(values["xy"], np.float64).reshape(-1, 2),
            n_markers=values["n_markers"],
        )
        return Detection(view=view, cpu_s=values["cpu_s"])
    except (InputError, SchemaError, KeyError):
        return None


def _drawn(stage: Stage) -> dict[str, Any]:
    """Return all that the photographs depend on."""
    return {
        "cameras": [camera.record() for camera in stage.rig],
        "points": stage.points.tolist(),
        "poses": {take: pose.tolist() for take, pose in stage.world_from_board.items()},
        "optics": (
            F_NUMBER,
            LENS_BLUR,
            PIXEL_BLUR_PX,
            READ_NOISE,
            SHOT_NOISE,
            JPEG_QUALITY,
            INK,
            PAPER,
        ),
        "seed": stage.config.seed,
    }


def of_size(camera: Camera, width: int, height: int) -> Camera:
    """Scale a camera to a width; rows are added or taken above and below alike."""
    scale = width / camera.width
    K = camera.K * np.array([[scale], [scale], [1.0]])
    K[1, 2] += (height - scale * camera.height) / 2
    return replace(camera, width=width, height=height, K=K)


def _mounted(spec: BoardSpec, face: int) -> Floats:
    """Return the true place of a print."""
    nominal = board_from_face(spec, face)
    if face == 0:
        return nominal
    axis = np.array([0.5, 0.4, 0.768])  # mostly in the plane, some tilt
    turn = Rotation.from_rotvec(np.radians(BACK_TURN_DEG) * axis / np.linalg.norm(axis))
    return compose(nominal, np.column_stack([turn.as_matrix(), np.array(BACK_SHIFT_MM)]))


def _poses(config: StageConfig, target: Floats) -> dict[str, Floats]:
    """Turn the board from end to end of the rig, tilted and shifted over the head's space."""
    rng = rng_of(config.seed, "board")
    yaws = np.linspace(-YAW_DEG, YAW_DEG, config.n_poses)
    return {
        f"board_{i:02d}": sheet_pose(
            board_size(BOARD),
            yaw_deg=float(yaw + rng.normal(0, 3)),
            pitch_deg=float((25, -25, 8, -8)[i % 4] + rng.normal(0, 4)),
            roll_deg=float(rng.uniform(-15, 15)),
            center=target + rng.uniform([-80, -50, -60], [80, 50, 60]),
        )
        for i, yaw in enumerate(yaws)
    }
