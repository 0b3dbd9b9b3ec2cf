"""Normal equations of the joint adjustment, accumulated observation by observation.

`rigstate.jacobians` is the readable form of the derivatives; the kernel here repeats it without
keeping them, which is several times faster (tests hold the two together). Sums run in the fixed
order of views and corners: equal inputs give equal results.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from ...core.arrays import Bools, Floats, Ints
from .rigstate import (
    N_CAMERA,
    N_DEFOCUS,
    N_INTRINSICS,
    N_POSE,
    N_VIEW,
    Observations,
    RigState,
    rows_by_view,
)

NO_LOSS_PX = 1e6  # as a loss' scale: plain least squares


@dataclass(frozen=True, kw_only=True)
class Freedom:
    """Which parameters the adjustment may move."""

    camera_side: Bools
    """(n_camera_side,)."""
    points: Bools
    """(n_corners,)."""


@dataclass(frozen=True, kw_only=True)
class NormalEquations:
    """JᵀWJ and JᵀWr, split into the camera side and 3x3 blocks of corners."""

    H_cc: Floats
    H_cp: Floats
    """(n_camera_side, 3 n_points)."""
    H_pp: Floats
    """(n_points, 3, 3)."""
    g_c: Floats
    g_p: Floats
    """(n_points, 3)."""


@dataclass(frozen=True, kw_only=True)
class Sorted:
    """Observations in the order of their views, as the kernels take them."""

    camera: Ints
    """(n_views,)."""
    take: Ints
    """(n_views,)."""
    start: Ints
    """(n_views + 1,) where each view's rows begin."""
    corner: Ints
    """(N,)."""
    xy: Floats
    """(N, 2) px."""
    noise: Floats
    """(n_views,) relative."""


def sort_by_view(seen: Observations) -> Sorted:
    """Return the observations grouped by photograph."""
    groups = rows_by_view(seen)
    first = [rows[0] for rows in groups]
    order = np.concatenate(groups)
    sizes = [len(rows) for rows in groups]
    return Sorted(
        camera=np.ascontiguousarray(seen.camera[first]),
        take=np.ascontiguousarray(seen.take[first]),
        start=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32),
        corner=np.ascontiguousarray(seen.corner[order]),
        xy=np.ascontiguousarray(seen.xy[order]),
        noise=np.ones(len(groups)) if seen.noise is None else seen.noise[first],
    )


def cost(state: RigState, seen: Sorted, *, loss_px: float) -> float:
    """Return Cauchy's loss of the residuals, summed, px²."""
    total = _cost(*_arrays(state), seen.camera, seen.take, seen.start, seen.corner, seen.xy,
                  seen.noise, loss_px**2)  # fmt: skip
    return float(total)


def normal_equations(
    state: RigState, seen: Sorted, *, free: Freedom, loss_px: float
) -> NormalEquations:
    """Return the weighted normal equations; what is not free has zero rows and columns."""
    n_side, n_points = state.n_camera_side, len(state.points)
    system = NormalEquations(
        H_cc=np.zeros((n_side, n_side)),
        H_cp=np.zeros((n_side, 3 * n_points)),
        H_pp=np.zeros((n_points, 3, 3)),
        g_c=np.zeros(n_side),
        g_p=np.zeros((n_points, 3)),
    )
    _accumulate(
        *_arrays(state), seen.camera, seen.take, seen.start, seen.corner, seen.xy, seen.noise,
        loss_px**2, free.camera_side, free.points,
        system.H_cc, system.H_cp, system.H_pp, system.g_c, system.g_p,
    )  # fmt: skip
    return system


def _arrays(state: RigState) -> tuple[Floats, Floats, Floats, Floats]:
    """Return intrinsics and defocus (n, 11), camera and board poses (n, 3, 4), corners."""
    lenses = [np.append(c.K[[0, 1, 0, 1], [0, 1, 2, 2]], c.distortion) for c in state.cameras]
    defocus = np.zeros((len(lenses), N_DEFOCUS)) if state.defocus is None else state.defocus
    poses = np.array([camera.cam_from_world for camera in state.cameras], dtype=np.float64)
    boards = np.ascontiguousarray(state.rig_from_board, dtype=np.float64)
    points = np.ascontiguousarray(state.points, dtype=np.float64)
    return np.column_stack([lenses, defocus]), poses, boards, points


@njit(cache=True)
def _cost(lenses, poses, boards, points, cameras, takes, starts, corners, xy, noise, loss2):  # type: ignore[no-untyped-def]
    """Return the summed loss; infinite where a corner lies behind a camera."""
    total = 0.0
    for view in range(len(cameras)):
        lens, pose, board = lenses[cameras[view]], poses[cameras[view]], boards[takes[view]]
        n0 = pose[0, 0] * board[0, 2] + pose[0, 1] * board[1, 2] + pose[0, 2] * board[2, 2]
        n1 = pose[1, 0] * board[0, 2] + pose[1, 1] * board[1, 2] + pose[1, 2] * board[2, 2]
        n2 = pose[2, 0] * board[0, 2] + pose[2, 1] * board[1, 2] + pose[2, 2] * board[2, 2]
        for row in range(starts[view], starts[view + 1]):
            p = points[corners[row]]
            a = board[0, 0] * p[0] + board[0, 1] * p[1] + board[0, 2] * p[2] + board[0, 3]
            b = board[1, 0] * p[0] + board[1, 1] * p[1] + board[1, 2] * p[2] + board[1, 3]
            c = board[2, 0] * p[0] + board[2, 1] * p[1] + board[2, 2] * p[2] + board[2, 3]
            z = pose[2, 0] * a + pose[2, 1] * b + pose[2, 2] * c + pose[2, 3]
            if not z > 0:
                total += loss2 * np.log1p(2e12 / loss2)  # as `residuals` has it
                continue
            x = (pose[0, 0] * a + pose[0, 1] * b + pose[0, 2] * c + pose[0, 3]) / z
            y = (pose[1, 0] * a + pose[1, 1] * b + pose[1, 2] * c + pose[1, 3]) / z
            r2 = x * x + y * y
            radial = 1 + r2 * (lens[4] + r2 * (lens[5] + r2 * lens[8]))
            xd = x * radial + 2 * lens[6] * x * y + lens[7] * (r2 + 2 * x * x)
            yd = y * radial + lens[6] * (r2 + 2 * y * y) + 2 * lens[7] * x * y
            off = (lens[10] - lens[9] / z) / (z * (n0 * x + n1 * y + n2))  # see `defocus_terms`
            e0 = (lens[0] * xd + lens[2] + off * n0 / lens[0] - xy[row, 0]) / noise[view]
            e1 = (lens[1] * yd + lens[3] + off * n1 / lens[1] - xy[row, 1]) / noise[view]
            total += loss2 * np.log1p((e0 * e0 + e1 * e1) / loss2)
    return total


@njit(cache=True)
def _accumulate(  # type: ignore[no-untyped-def]
    lenses, poses, boards, points, cameras, takes, starts, corners, xy, noise, loss2,
    free_side, free_points, H_cc, H_cp, H_pp, g_c, g_p,
):  # fmt: skip
    """Add all observations to the (zero) normal equations."""
    columns = np.empty(N_VIEW, np.int64)
    block = np.empty((N_VIEW, N_VIEW))
    gradient = np.empty(N_VIEW)
    J = np.empty((2, N_VIEW))
    J_point = np.empty((2, 3))
    error = np.empty(2)
    for view in range(len(cameras)):
        camera, take = cameras[view], takes[view]
        for k in range(N_CAMERA):
            columns[k] = camera * N_CAMERA + k
        for k in range(N_POSE):
            columns[N_CAMERA + k] = len(lenses) * N_CAMERA + take * N_POSE + k
        for k in range(N_DEFOCUS):
            last = len(lenses) * N_CAMERA + len(boards) * N_POSE + camera * N_DEFOCUS
            columns[N_CAMERA + N_POSE + k] = last + k
        block[:] = 0.0
        gradient[:] = 0.0
        for row in range(starts[view], starts[view + 1]):
            corner = corners[row]
            if not _derive(
                lenses[camera], poses[camera], boards[take], points[corner], J, J_point, error
            ):
                continue
            error[0] -= xy[row, 0]
            error[1] -= xy[row, 1]
            precision = 1 / noise[view] ** 2
            squared = precision * (error[0] ** 2 + error[1] ** 2)
            weight = precision / (1 + squared / loss2)  # of Cauchy's loss
            for k in range(N_VIEW):
                if not free_side[columns[k]]:
                    J[0, k] = 0.0
                    J[1, k] = 0.0
            for k in range(N_VIEW):
                own0, own1 = weight * J[0, k], weight * J[1, k]
                gradient[k] += own0 * error[0] + own1 * error[1]
                for m in range(k + 1):
                    block[k, m] += own0 * J[0, m] + own1 * J[1, m]
            if not free_points[corner]:
                continue
            for i in range(3):
                own0, own1 = weight * J_point[0, i], weight * J_point[1, i]
                g_p[corner, i] += own0 * error[0] + own1 * error[1]
                for j in range(3):
                    H_pp[corner, i, j] += own0 * J_point[0, j] + own1 * J_point[1, j]
            for k in range(N_VIEW):
                own0, own1 = weight * J[0, k], weight * J[1, k]
                for i in range(3):
                    H_cp[columns[k], 3 * corner + i] += own0 * J_point[0, i] + own1 * J_point[1, i]
        for k in range(N_VIEW):
            g_c[columns[k]] += gradient[k]
            for m in range(k + 1):
                H_cc[columns[k], columns[m]] += block[k, m]
                if m != k:
                    H_cc[columns[m], columns[k]] += block[k, m]


@njit(cache=True)
def _derive(lens, pose, board, point, J, J_point, projected):  # type: ignore[no-untyped-def]
    """Fill in the derivatives and the projection; False where the corner lies behind."""
    on_board = np.empty(3)
    turned = np.empty(3)
    normal = np.empty(3)
    for i in range(3):
        on_board[i] = board[i, 0] * point[0] + board[i, 1] * point[1] + board[i, 2] * point[2]
    for i in range(3):
        normal[i] = pose[i, 0] * board[0, 2] + pose[i, 1] * board[1, 2] + pose[i, 2] * board[2, 2]
        turned[i] = (
            pose[i, 0] * (on_board[0] + board[0, 3])
            + pose[i, 1] * (on_board[1] + board[1, 3])
            + pose[i, 2] * (on_board[2] + board[2, 3])
        )
    z = turned[2] + pose[2, 3]
    if not z > 0:
        return False
    x, y = (turned[0] + pose[0, 3]) / z, (turned[1] + pose[1, 3]) / z
    fx, fy = lens[0], lens[1]
    k1, k2, p1, p2, k3 = lens[4], lens[5], lens[6], lens[7], lens[8]
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    slope = 2 * (k1 + r2 * (2 * k2 + 3 * r2 * k3))
    xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    yd = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    xx = radial + slope * x * x + 2 * p1 * y + 6 * p2 * x
    yy = radial + slope * y * y + 6 * p1 * y + 2 * p2 * x
    mixed = slope * x * y + 2 * p1 * x + 2 * p2 * y
    projected[0], projected[1] = fx * xd + lens[2], fy * yd + lens[3]
    J[:] = 0.0
    J[0, 0], J[1, 1], J[0, 2], J[1, 3] = xd, yd, 1.0, 1.0
    distance = z * (normal[0] * x + normal[1] * y + normal[2])
    defocus = N_CAMERA + N_POSE
    J[0, defocus + 1], J[1, defocus + 1] = normal[0] / distance / fx, normal[1] / distance / fy
    for e in range(2):
        J[e, defocus] = -J[e, defocus + 1] / z
        projected[e] += lens[9] * J[e, defocus] + lens[10] * J[e, defocus + 1]
    J[0, 4], J[1, 4] = fx * x * r2, fy * y * r2
    J[0, 5], J[1, 5] = fx * x * r2 * r2, fy * y * r2 * r2
    J[0, 8], J[1, 8] = fx * x * r2 * r2 * r2, fy * y * r2 * r2 * r2
    J[0, 6], J[1, 6] = fx * 2 * x * y, fy * (r2 + 2 * y * y)
    J[0, 7], J[1, 7] = fx * (r2 + 2 * x * x), fy * 2 * x * y
    for e in range(2):
        if e == 0:
            d0, d1 = fx / z * xx, fx / z * mixed
        else:
            d0, d1 = fy / z * mixed, fy / z * yy
        d2 = -(d0 * x + d1 * y)
        # by rotation increments: v -> w x v, d . (w x v) = w . (v x d)
        J[e, N_INTRINSICS] = turned[1] * d2 - turned[2] * d1
        J[e, N_INTRINSICS + 1] = turned[2] * d0 - turned[0] * d2
        J[e, N_INTRINSICS + 2] = turned[0] * d1 - turned[1] * d0
        J[e, N_INTRINSICS + 3], J[e, N_INTRINSICS + 4], J[e, N_INTRINSICS + 5] = d0, d1, d2
        q0 = d0 * pose[0, 0] + d1 * pose[1, 0] + d2 * pose[2, 0]
        q1 = d0 * pose[0, 1] + d1 * pose[1, 1] + d2 * pose[2, 1]
        q2 = d0 * pose[0, 2] + d1 * pose[1, 2] + d2 * pose[2, 2]
        J[e, N_CAMERA] = on_board[1] * q2 - on_board[2] * q1
        J[e, N_CAMERA + 1] = on_board[2] * q0 - on_board[0] * q2
        J[e, N_CAMERA + 2] = on_board[0] * q1 - on_board[1] * q0
        J[e, N_CAMERA + 3], J[e, N_CAMERA + 4], J[e, N_CAMERA + 5] = q0, q1, q2
        for i in range(3):
            J_point[e, i] = q0 * board[0, i] + q1 * board[1, i] + q2 * board[2, i]
    return True
