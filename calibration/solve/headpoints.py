"""How far points of a head come out wrong because the rig is not known exactly.

Points in a box of a head's size about the point nearest to all optical axes, triangulated from
exact image points by cameras that are off as the covariance of the adjustment says: to first
order, dX = -(A^T A)^-1 A^T B d(camera), with A and B the derivatives of the image points by the
point and by the cameras. A common shift and turn of all points is no error and is removed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import minimum_spanning_tree

from ...core.arrays import Bools, Floats
from ...core.geometry.camera import Camera
from ...core.geometry.transform import apply
from ..frame import nearest_to_axes, upright
from .rigstate import N_CAMERA, Observations, RigState, jacobians
from .uncertainty import Covariance, rigid_motions

HEAD_BOX_MM = (160.0, 230.0, 190.0)  # width, height, depth
STEPS = (5, 6, 5)  # points of the grid
MIN_POINTS = 10  # seen by two cameras, fewer say nothing of a volume


@dataclass(frozen=True, kw_only=True)
class HeadUncertainty:
    """Root mean square errors of triangulated points of the head that the rig alone causes."""

    sigma_um: float
    """With all cameras that see a point; NaN where hardly a point is seen twice."""
    sigma_pair_um: float
    """With two neighbouring cameras only: of the weakest such pair."""
    weakest_pair: tuple[str, str] | None


def head_uncertainty(state: RigState, of: Covariance) -> HeadUncertainty:
    """Return the errors at the head of a sized rig."""
    points = head_grid(state.cameras)
    known = [index for index in range(len(state.cameras)) if not of.guessed[index]]
    solver = _Solver.of(state, points)
    pairs = [(a, b) for a, b in neighbours(state.cameras) if a in known and b in known]
    by_pair = {pair: solver.sigma(pair, of) for pair in pairs}
    finite = {pair: value for pair, value in by_pair.items() if np.isfinite(value)}
    worst = max(finite, key=lambda pair: finite[pair], default=None)
    names = [camera.name for camera in state.cameras]
    return HeadUncertainty(
        sigma_um=1000 * solver.sigma(known, of),
        sigma_pair_um=1000 * finite[worst] if worst else float("nan"),
        weakest_pair=(names[worst[0]], names[worst[1]]) if worst else None,
    )


def head_grid(cameras: Sequence[Camera]) -> Floats:
    """Return points (N, 3) of the box, upright as the cameras stand, in their frame."""
    axes = [np.linspace(-size / 2, size / 2, n) for size, n in zip(HEAD_BOX_MM, STEPS, strict=True)]
    box = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(box @ upright(cameras).R + nearest_to_axes(cameras))


def neighbours(cameras: Sequence[Camera]) -> list[tuple[int, int]]:
    """Return the pairs of cameras next to each other: the tree of the smallest angles."""
    towards = np.array([camera.center for camera in cameras]) - nearest_to_axes(cameras)
    towards /= np.maximum(np.linalg.norm(towards, axis=1, keepdims=True), 1e-9)
    apart = np.arccos(np.clip(towards @ towards.T, -1, 1)) + 1e-6  # zero would be no edge
    tree = minimum_spanning_tree(csr_array(np.triu(apart, 1))).tocoo()
    return sorted((int(a), int(b)) for a, b in zip(tree.row, tree.col, strict=True))


@dataclass(frozen=True, kw_only=True)
class _Solver:
    """Derivatives of all points in all cameras."""

    points: Floats
    """(N, 3)."""
    inside: Bools
    """(n_cameras, N) whether a camera sees a point."""
    by_point: Floats
    """(n_cameras, N, 2, 3)."""
    by_camera: Floats
    """(n_cameras, N, 2, 15)."""

    @staticmethod
    def of(state: RigState, points: Floats) -> "_Solver":
        n_cameras, n = len(state.cameras), len(points)
        still = RigState(cameras=state.cameras, rig_from_board=np.eye(3, 4)[None], points=points)
        nowhere = Observations(
            camera=np.repeat(np.arange(n_cameras), n).astype(np.int32),
            take=np.zeros(n_cameras * n, np.int32),
            corner=np.tile(np.arange(n), n_cameras).astype(np.int32),
            xy=np.zeros((n_cameras * n, 2)),
        )
        with np.errstate(all="ignore"):  # points beside or behind a camera: masked below
            view, point = jacobians(still, nowhere)
        inside = []
        for camera in state.cameras:
            xy, _ = camera.project(points)
            ahead = apply(camera.cam_from_world, points)[:, 2] > 0
            inside.append(ahead & ((xy > 0) & (xy < (camera.width, camera.height))).all(axis=1))
        return _Solver(
            points=points,
            inside=np.array(inside),
            by_point=point.reshape(n_cameras, n, 2, 3),
            by_camera=view[..., :N_CAMERA].reshape(n_cameras, n, 2, N_CAMERA),
        )

    def sigma(self, cameras: Sequence[int], of: Covariance) -> float:
        """Return the root mean square error, mm, with these cameras; NaN where few see."""
        chosen = self.inside[list(cameras)]
        twice = chosen.sum(axis=0) >= 2
        if twice.sum() < MIN_POINTS:
            return float("nan")
        A = np.zeros((int(twice.sum()), 3, 3))
        parts = np.zeros((len(A), 3, N_CAMERA * len(cameras)))
        for place, (camera, sees) in enumerate(zip(cameras, chosen, strict=True)):
            weight = sees[twice][:, None, None]
            a = np.where(weight, self.by_point[camera][twice], 0.0)
            b = np.where(weight, self.by_camera[camera][twice], 0.0)
            A += np.swapaxes(a, 1, 2) @ a
            own = slice(place * N_CAMERA, (place + 1) * N_CAMERA)
            parts[:, :, own] = np.swapaxes(a, 1, 2) @ b
        by_camera = -np.linalg.solve(A, parts).reshape(3 * len(A), -1)
        points = self.points[twice]
        basis, _ = np.linalg.qr(rigid_motions(points))
        by_camera -= basis @ (basis.T @ by_camera)
        values = points.ravel() - basis @ (basis.T @ points.ravel())
        columns = (N_CAMERA * np.array(cameras)[:, None] + np.arange(N_CAMERA)).ravel()
        variance = (
            ((by_camera @ of.cameras[np.ix_(columns, columns)]) * by_camera).sum()
            - 2 * values @ (by_camera @ of.with_log_size[columns])
            + of.log_size * values @ values
        )
        return float(np.sqrt(max(float(variance), 0.0) / len(points)))
