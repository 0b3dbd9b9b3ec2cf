"""What the joint adjustment determines, what was seen, and the derivatives between them.

Parameters per camera: fx, fy, cx, cy, k1, k2, p1, p2, k3, then rotation increment w
(`R <- exp(w) R`) and translation of `cam_from_rig`; per take the same six of
`rig_from_board`; per corner its place on the board.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from ...core.arrays import Bools, Floats, Ints
from ...core.geometry.camera import Camera
from ...core.geometry.transform import apply, compose, invert

N_INTRINSICS = 9
N_CAMERA = N_INTRINSICS + 6
N_POSE = 6
N_DEFOCUS = 2
N_VIEW = N_CAMERA + N_POSE + N_DEFOCUS


@dataclass(frozen=True, kw_only=True)
class Observations:
    """Corners seen in photographs, one row each."""

    camera: Ints
    """(N,) row of `RigState.cameras`."""
    take: Ints
    """(N,) row of `RigState.rig_from_board`."""
    corner: Ints
    """(N,) row of `RigState.points`."""
    xy: Floats
    """(N, 2) px."""
    noise: Floats | None = None
    """(N,) how noisy each is against the usual one, the same for all of a photograph; None: all
    alike."""

    def __len__(self) -> int:
        return len(self.xy)

    def __getitem__(self, rows: Bools | Ints) -> "Observations":
        return Observations(
            camera=self.camera[rows],
            take=self.take[rows],
            corner=self.corner[rows],
            xy=self.xy[rows],
            noise=None if self.noise is None else self.noise[rows],
        )


@dataclass(frozen=True, kw_only=True)
class RigState:
    """All that the adjustment determines."""

    cameras: tuple[Camera, ...]
    """`cam_from_world` is `cam_from_rig`; the rig's origin should lie amid the boards: the
    adjustment turns cameras about it, which is nearly linear in the image only there."""
    rig_from_board: Floats
    """(n_takes, 3, 4), mm."""
    points: Floats
    """(n_corners, 3) the board's corners, mm."""
    defocus: Floats | None = None
    """(n_cameras, 2) px² mm² and px² mm, see `defocus`; None: what is out of focus is not
    displaced."""

    @property
    def n_camera_side(self) -> int:
        """Number of parameters of cameras, takes and defocus."""
        each = N_CAMERA + N_DEFOCUS
        return each * len(self.cameras) + N_POSE * len(self.rig_from_board)

    def columns(self, camera: int, take: int) -> Ints:
        """Return where the 23 parameters of a view stand among those of the camera side."""
        take_start = N_CAMERA * len(self.cameras) + N_POSE * take
        own = np.arange(N_CAMERA) + N_CAMERA * camera
        last = N_CAMERA * len(self.cameras) + N_POSE * len(self.rig_from_board)
        defocus = np.arange(N_DEFOCUS) + last + N_DEFOCUS * camera
        return np.concatenate([own, np.arange(N_POSE) + take_start, defocus]).astype(np.int32)

    def scaled(self, scale: float) -> "RigState":
        """Return the state with all lengths multiplied by `scale`."""
        size = np.array([1, 1, 1, scale])
        return replace(
            self,
            cameras=tuple(replace(c, cam_from_world=c.cam_from_world * size) for c in self.cameras),
            rig_from_board=self.rig_from_board * size,
            points=self.points * scale,
            defocus=None if self.defocus is None else self.defocus * [scale**2, scale],
        )

    def shifted(self, origin: Floats) -> "RigState":
        """Return the state with `origin` (3,) of the rig's frame as its origin."""
        to_origin = np.column_stack([np.eye(3), -origin])
        return replace(
            self,
            cameras=tuple(
                replace(c, cam_from_world=compose(c.cam_from_world, invert(to_origin)))
                for c in self.cameras
            ),
            rig_from_board=compose(to_origin, self.rig_from_board),
        )

    def in_board_frame(self, board_from_now: Floats) -> "RigState":
        """Return the state with the board described in another frame, (3, 4) from the present."""
        return replace(
            self,
            rig_from_board=compose(self.rig_from_board, invert(board_from_now)),
            points=apply(board_from_now, self.points),
        )

    def stepped(self, camera_side: Floats, points: Floats) -> "RigState":
        """Return the state a step further.

        Parameters
        ----------
        camera_side : (n_camera_side,)
            Steps of cameras, takes and defocus, in the order of the module's docstring.
        points : (n_corners, 3), mm
        """
        n = N_CAMERA * len(self.cameras)
        per_camera = camera_side[:n].reshape(-1, N_CAMERA)
        cameras = tuple(
            _stepped_camera(camera, step)
            for camera, step in zip(self.cameras, per_camera, strict=True)
        )
        last = n + N_POSE * len(self.rig_from_board)
        per_take = camera_side[n:last].reshape(-1, N_POSE)
        defocus = self.defocus
        if defocus is not None:
            defocus = defocus + camera_side[last:].reshape(-1, N_DEFOCUS)
        boards = np.array(
            [_stepped_pose(p, s) for p, s in zip(self.rig_from_board, per_take, strict=True)]
        )
        return replace(
            self,
            cameras=cameras,
            rig_from_board=boards,
            points=self.points + points,
            defocus=defocus,
        )


def rows_by_view(seen: Observations) -> list[Ints]:
    """Return the rows of each photograph, in a fixed order."""
    order = np.lexsort((seen.corner, seen.camera, seen.take)).astype(np.int32)
    view = np.stack([seen.take[order], seen.camera[order]], axis=1)
    starts = np.flatnonzero((np.diff(view, axis=0) != 0).any(axis=1)) + 1
    return list(np.split(order, starts))


def in_rig(state: RigState, seen: Observations) -> Floats:
    """Return the seen corners in the rig's frame, (N, 3) mm."""
    found = np.empty((len(seen), 3))
    for take in np.flatnonzero(np.bincount(seen.take, minlength=len(state.rig_from_board))):
        rows = np.flatnonzero(seen.take == take)
        found[rows] = apply(state.rig_from_board[take], state.points[seen.corner[rows]])
    return found


def residuals(state: RigState, seen: Observations) -> Floats:
    """Return projected minus seen, (N, 2) px; far off where a corner lies behind a camera."""
    corners = in_rig(state, seen)
    found = np.full((len(seen), 2), np.nan)
    for index, camera in enumerate(state.cameras):
        rows = seen.camera == index
        found[rows] = camera.project(corners[rows])[0]
    if state.defocus is not None:
        by_defocus = defocus_terms(state, seen)
        found += np.einsum("nek,nk->ne", by_defocus, state.defocus[seen.camera])
    return np.nan_to_num(found - seen.xy, nan=1e6)


def defocus_terms(state: RigState, seen: Observations) -> Floats:
    """Return the derivatives of the projections by the defocus of their cameras, (N, 2, 2).

    A point out of focus is a disc; on a tilted plane the discs grow towards one side, and a blurred
    edge moves towards the other by half the slope of the variance, s ds/dx. The disc's
    standard deviation is s = k |1/z - 1/z_focus|, and 1/z of a plane is affine in the image:
    with its gradient g per px the corners move by -k² (1/z - 1/z_focus) g, which is linear in k²
    and k²/z_focus, the two numbers of a camera. (With 94 mm at f/16 and 45 MP, 0.01 px.)
    """
    poses = np.array([camera.cam_from_world for camera in state.cameras])[seen.camera]
    normal = np.einsum("nij,nj->ni", poses[:, :, :3], state.rig_from_board[seen.take, :, 2])
    in_cam = np.einsum("nij,nj->ni", poses[:, :, :3], in_rig(state, seen)) + poses[:, :, 3]
    focal = np.array([camera.K[[0, 1], [0, 1]] for camera in state.cameras])[seen.camera]
    slope = normal[:, :2] / ((normal * in_cam).sum(axis=1)[:, None] * focal)
    return np.stack([-slope / in_cam[:, 2:], slope], axis=2)


def jacobians(state: RigState, seen: Observations) -> tuple[Floats, Floats]:
    """Return the derivatives of the residuals.

    Returns
    -------
    view : (N, 2, 23) float64
        By the 15 parameters of the observation's camera, the 6 of its take, the 2 of defocus;
        what that displaces is taken as fixed in the image when camera or take move.
    point : (N, 2, 3) float64, px / mm
        By its corner.
    """
    Rb = state.rig_from_board[seen.take, :, :3]
    on_board = np.einsum("nij,nj->ni", Rb, state.points[seen.corner])
    corners = on_board + state.rig_from_board[seen.take, :, 3]
    poses = np.array([camera.cam_from_world for camera in state.cameras])[seen.camera]
    Rc = poses[:, :, :3]
    turned = np.einsum("nij,nj->ni", Rc, corners)
    by_point, by_intrinsics = _projection(state, seen, turned + poses[:, :, 3])
    by_rig = by_point @ Rc  # of points in the rig's frame
    view = np.concatenate(
        [
            by_intrinsics,
            -by_point @ skew(turned),
            by_point,
            -by_rig @ skew(on_board),
            by_rig,
            defocus_terms(state, seen),
        ],
        axis=2,
    )
    return view, by_rig @ Rb


def _projection(state: RigState, seen: Observations, in_cam: Floats) -> tuple[Floats, Floats]:
    """Return d(px)/d(in_cam) (N, 2, 3) and d(px)/d(intrinsics) (N, 2, 9)."""
    K = np.array([camera.K for camera in state.cameras])[seen.camera]
    k1, k2, p1, p2, k3 = np.array([camera.distortion for camera in state.cameras])[seen.camera].T
    fx, fy = K[:, 0, 0], K[:, 1, 1]
    depth = in_cam[:, 2]
    x, y = in_cam[:, 0] / depth, in_cam[:, 1] / depth
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    slope = 2 * (k1 + r2 * (2 * k2 + 3 * r2 * k3))
    xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    yd = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    xx = radial + slope * x * x + 2 * p1 * y + 6 * p2 * x
    yy = radial + slope * y * y + 6 * p1 * y + 2 * p2 * x
    xy = slope * x * y + 2 * p1 * x + 2 * p2 * y
    focal_x, focal_y = fx / depth, fy / depth
    by_point = np.stack(
        [
            np.stack([focal_x * xx, focal_x * xy, -focal_x * (xx * x + xy * y)], 1),
            np.stack([focal_y * xy, focal_y * yy, -focal_y * (xy * x + yy * y)], 1),
        ],
        axis=1,
    )
    by_intrinsics = np.zeros((len(seen), 2, N_INTRINSICS))
    by_intrinsics[:, 0, 0], by_intrinsics[:, 1, 1] = xd, yd
    by_intrinsics[:, 0, 2], by_intrinsics[:, 1, 3] = 1, 1
    for column, power in ((4, r2), (5, r2**2), (8, r2**3)):
        by_intrinsics[:, 0, column] = fx * x * power
        by_intrinsics[:, 1, column] = fy * y * power
    by_intrinsics[:, 0, 6], by_intrinsics[:, 1, 6] = fx * 2 * x * y, fy * (r2 + 2 * y * y)
    by_intrinsics[:, 0, 7], by_intrinsics[:, 1, 7] = fx * (r2 + 2 * x * x), fy * 2 * x * y
    return by_point, by_intrinsics


def skew(v: Floats) -> Floats:
    """Return the (N, 3, 3) matrices of the cross product with v (N, 3)."""
    zero = np.zeros(len(v))
    return np.stack(
        [
            np.stack([zero, -v[:, 2], v[:, 1]], 1),
            np.stack([v[:, 2], zero, -v[:, 0]], 1),
            np.stack([-v[:, 1], v[:, 0], zero], 1),
        ],
        axis=1,
    )


def _stepped_camera(camera: Camera, step: Floats) -> Camera:
    """Step a camera; to first order each parameter by its own.

    Focal length and distance are coupled: the image follows their ratio. A step that lengthens
    both leaves it as it is exactly, and not just to first order.
    """
    K = camera.K.copy()
    K[[0, 1, 0, 1], [0, 1, 2, 2]] += step[:4]
    depth = camera.cam_from_world[2, 3]
    farther = step[-1] / depth if abs(step[-1]) < 0.5 * abs(depth) else 0.0
    K[[0, 1], [0, 1]] += farther * (step[:2] - farther * camera.K[[0, 1], [0, 1]])
    return replace(
        camera,
        K=K,
        distortion=camera.distortion + step[4:N_INTRINSICS],
        cam_from_world=_stepped_pose(camera.cam_from_world, step[N_INTRINSICS:]),
    )


def _stepped_pose(pose: Floats, step: Floats) -> Floats:
    R = cv2.Rodrigues(step[:3])[0] @ pose[:, :3]
    return np.column_stack([R, pose[:, 3] + step[3:]])
