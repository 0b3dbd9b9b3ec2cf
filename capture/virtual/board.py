"""Calibration takes and the colour chart: what the sheets look like and where they are held."""

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from ...core.arrays import Floats
from ...core.geometry.camera import Camera, Rig
from ...core.geometry.transform import compose
from ...core.imaging.color import linear_from_srgb
from ..chart import CHART_SRGB
from ..patterns import board_image, board_size
from ..session import BoardSpec
from ..targets import board_from_face, faces
from .plane import Sheet

BOARD = BoardSpec(
    squares_x=17, squares_y=12, square_mm=12.0, marker_mm=9.0, dictionary="DICT_5X5_250"
)
TWO_SIDED_BOARD = replace(BOARD, back_first_id=102, thickness_mm=6.0)
"""The same print on both sides of a plate, the markers of the back counting on."""
MOUNTING_MM = (0.6, 0.4, 0.1)
MOUNTING_DEG = 0.15
"""How far off the back of the two-sided board is glued: along its x, y, z, and turned in plane."""
PX_PER_MM = 8.0
MARGIN_MM = 10.0
"""White round the squares."""


def board_sheet(spec: BoardSpec, *, face: int = 0) -> Sheet:
    """Return a face as printed, one channel, with `MARGIN_MM` of white round it."""
    ink = (
        board_image(faces(spec)[face], px_per_mm=PX_PER_MM, margin_mm=MARGIN_MM).astype(np.float32)
        / 255
    )
    return Sheet(art=(0.04 + 0.86 * ink)[..., None].astype(np.float32), px_per_mm=PX_PER_MM)


def mounted_back(spec: BoardSpec) -> Floats:
    """Return `board_from_back` (3, 4): where the back of a two-sided board really is, mm.

    Glued by hand: a little off the nominal place in the middle of the plate.
    """
    width, height = board_size(spec)
    turn = Rotation.from_euler("z", MOUNTING_DEG, degrees=True).as_matrix()
    middle = np.array([width / 2, height / 2, 0.0])
    glued = np.column_stack([turn, middle - turn @ middle + MOUNTING_MM])
    return compose(board_from_face(spec, 1), glued)


def seen_face(world_from_board: Floats, camera: Camera) -> int:
    """Return which side of the plate a camera looks at: 0 the front, 1 the back."""
    return int(world_from_board[:, 2] @ (camera.center - world_from_board[:, 3]) > 0)


def sheet_from_board(world_from_board: Floats) -> Floats:
    """Return `world_from_sheet` (3, 4) of the sheet that carries the board."""
    R, t = world_from_board[:, :3], world_from_board[:, 3]
    return np.column_stack([R, t - R @ [MARGIN_MM, MARGIN_MM, 0.0]])


def chart_sheet() -> Sheet:
    """Return the colour chart."""
    patch, gap = int(26 * PX_PER_MM), int(4 * PX_PER_MM)
    rows, cols = 4 * (patch + gap) + gap, 6 * (patch + gap) + gap
    art = np.full((rows, cols, 3), 0.03, np.float32)
    for i, color in enumerate(linear_from_srgb(CHART_SRGB)):
        top = gap + (i // 6) * (patch + gap)
        left = gap + (i % 6) * (patch + gap)
        art[top : top + patch, left : left + patch] = color
    return Sheet(art=art, px_per_mm=PX_PER_MM)


def sheet_pose(
    size_mm: tuple[float, float],
    *,
    yaw_deg: float,
    pitch_deg: float = 0.0,
    roll_deg: float = 0.0,
    center: Floats,
) -> Floats:
    """Return `world_from_sheet` (3, 4) of a sheet of this size held at `center`.

    Its print is turned to `yaw_deg`: at zero it faces +z with its rows along +x and its
    columns down (-y).
    """
    turn = Rotation.from_euler("YXZ", [yaw_deg, -pitch_deg, roll_deg], degrees=True)
    R = turn.as_matrix() @ np.diag([1.0, -1.0, -1.0])
    return np.column_stack([R, center - R @ [size_mm[0] / 2, size_mm[1] / 2, 0.0]])


def board_poses(
    spec: BoardSpec, rig: Rig, n_poses: int, *, target: Floats, rng: np.random.Generator
) -> list[Floats]:
    """Return `world_from_board` (3, 4) that sweep the board from one end of the rig to the other.

    Every pose faces some cameras and is seen obliquely by their neighbours, which chains the
    rig; tilt, roll and place vary over the volume of the head. A two-sided board is turned
    beyond the ends of the rig, where the cameras of the other end see its back.
    """
    away = rig.centers - target
    yaws = np.degrees(np.arctan2(away[:, 0], away[:, 2]))
    low, high = yaws.min(), yaws.max()
    inset = min(12.0, (high - low) / 4) if spec.back_first_id is None else -10.0
    poses = []
    for i in range(n_poses):
        along = i / max(1, n_poses - 1)
        poses.append(
            sheet_pose(
                board_size(spec),
                yaw_deg=low + inset + along * (high - low - 2 * inset) + rng.normal(0, 4),
                pitch_deg=(25, -25, 8, -8)[i % 4] + rng.normal(0, 4),
                roll_deg=rng.uniform(-12, 12),
                center=target + rng.uniform([-25, -45, -30], [25, 45, 30]),
            )
        )
    return poses
