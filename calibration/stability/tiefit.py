"""Least squares on tie points: places of the points, and what is left free of the cameras.

Of each camera seven numbers may be free: a turn about its own axes (3, radians), a shift of
its centre along them (3), the logarithm of its focal length (1). The points are eliminated
(Schur complement), so that a system holds the cameras' numbers only. Errors are weighted by
Cauchy's loss; px are those of the photographs.

Source
------
Triggs et al., Bundle adjustment - a modern synthesis, 2000, section 6.1 (reduced camera
system); Hartley, Zisserman, Multiple View Geometry, 2004, section 12.3 (triangulation).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numba import njit

from ...core.arrays import Bools, Floats, Ints
from ...core.geometry.camera import Camera, Rig
from .guided import normalised_rays
from .ties import Ties

N_DOF = 7
TURN, SHIFT, FOCAL = (0, 1, 2), (3, 4, 5), (6,)
ABSURD_PX = 1e4  # a sighting off by more, or behind the camera, has no say


@dataclass(frozen=True, kw_only=True)
class TieFit:
    """Cameras and points that fit ties best."""

    cameras: tuple[Camera, ...]
    """In the order of `Ties.names`, for the photographs' sizes."""
    points: Floats
    """(n_points, 3)."""
    residuals: Floats
    """(N, 2) px, projected minus seen."""
    cost: float
    """Sum of the loss."""
    changes: Floats
    """(n_cameras, 7) what the free numbers came to: turn, shift, log focal."""
    covariance: Floats
    """(k, k) of the free numbers, in order, for noise of the loss' scale."""
    free: tuple[tuple[int, int], ...]
    """(camera, number) of each row of `covariance`."""

    @property
    def distance(self) -> Floats:
        """(N,) px length of the residuals."""
        return np.asarray(np.linalg.norm(self.residuals, axis=1))


def cameras_of(ties: Ties, rig: Rig) -> tuple[Camera, ...]:
    """Return the rig's cameras for the sizes of the photographs, in the order of the ties."""
    return tuple(rig[name].scaled(*size) for name, size in zip(ties.names, ties.sizes, strict=True))


def triangulate(ties: Ties, cameras: Sequence[Camera], *, weight: Floats | None = None) -> Floats:
    """Return points (n_points, 3) from rays, weighted by `weight` (N,); NaN where undetermined."""
    rays = np.zeros((len(ties.xy), 3))
    for index, camera in enumerate(cameras):
        own = ties.camera_of == index
        rays[own] = camera.unproject(ties.xy[own])
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    centers = np.array([c.center for c in cameras])[ties.camera_of]
    across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
    w = np.ones(len(rays)) if weight is None else weight
    w = np.where(np.isfinite(rays).all(axis=1), w, 0.0)
    across = np.nan_to_num(across) * w[:, None, None]
    A = _summed(ties, across)
    b = _summed(ties, np.einsum("nij,nj->ni", across, centers))
    count = np.bincount(ties.point_of, weights=w > 0, minlength=ties.n_points)
    points = np.full((ties.n_points, 3), np.nan)
    size = np.trace(A, axis1=1, axis2=2)
    ok = (count >= 2) & (np.linalg.det(A) > 1e-9 * size**3)
    points[ok] = np.linalg.solve(A[ok], b[ok][..., None])[..., 0]
    return points


def fit_ties(
    ties: Ties,
    cameras: Sequence[Camera],
    points: Floats,
    *,
    free: Sequence[tuple[int, int]] = (),
    scale_px: float,
    n_steps: int = 12,
    start: Floats | None = None,
) -> TieFit:
    """Fit points and the `free` numbers of the cameras; the others stay as they are.

    Parameters
    ----------
    cameras : of the photographs' sizes, in the order of the ties
    points : (n_points, 3)
        Finite starts.
    free : sequence of (camera, number 0..6)
    scale_px : float
        Of Cauchy's loss.
    start : (n_cameras, 7), optional
        First values of the free numbers.
    """
    fixed = tuple(cameras)
    problem = _Problem(ties, fixed, tuple(free), scale_px)
    changes = np.zeros((len(fixed), N_DOF))
    if start is not None:
        for row, number in free:
            changes[row, number] = start[row, number]
    now, points = _all_changed(fixed, changes), points.copy()
    residual = problem.residuals(now, points)
    cost = problem.cost(residual)
    damping = 1e-6
    for _ in range(n_steps):
        step = problem.step(now, points, residual, damping)
        if step is None:
            break
        moved, to_points = step
        new_changes = changes + moved
        new_cameras = _all_changed(fixed, new_changes)
        new_points = points + to_points
        new_residual = problem.residuals(new_cameras, new_points)
        new_cost = problem.cost(new_residual)
        if not new_cost <= cost * (1 + 1e-12):
            damping = max(damping, 1e-6) * 30
            if damping > 1e6:
                break
            continue
        gained = cost - new_cost
        now, points, changes = new_cameras, new_points, new_changes
        residual, cost, damping = new_residual, new_cost, max(damping / 10, 1e-9)
        if gained < 1e-6 * cost:
            break
    return TieFit(
        cameras=now,
        points=points,
        residuals=residual,
        cost=cost,
        changes=changes,
        covariance=problem.covariance(now, points, residual),
        free=tuple(free),
    )


def _all_changed(cameras: Sequence[Camera], changes: Floats) -> tuple[Camera, ...]:
    return tuple(changed(c, d) if d.any() else c for c, d in zip(cameras, changes, strict=True))


def changed(camera: Camera, change: Floats) -> Camera:
    """Return a camera turned, shifted along its own axes, and with another focal length."""
    pose = camera.cam_from_world
    R = rotation(change[:3]) @ pose[:, :3]
    t = rotation(change[:3]) @ (pose[:, 3] - change[3:6])
    K = camera.K.copy()
    K[:2, :2] *= np.exp(change[6])
    return replace(camera, K=K, cam_from_world=np.column_stack([R, t]))


def rotation(vector: Floats) -> Floats:
    """Return the rotation (3, 3) about a vector by its length (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    if angle < 1e-12:
        return np.asarray(np.eye(3) + skew)
    return np.asarray(
        np.eye(3) + np.sin(angle) / angle * skew + (1 - np.cos(angle)) / angle**2 * skew @ skew
    )


class _Problem:
    """The ties' equations; sightings are taken to pinhole coordinates once for fixed lenses."""

    def __init__(
        self,
        ties: Ties,
        cameras: tuple[Camera, ...],
        free: tuple[tuple[int, int], ...],
        scale_px: float,
    ) -> None:
        self.ties, self.free, self.scale = ties, free, scale_px
        self.lens = [c.K for c in cameras]
        self.rays = np.zeros((len(ties.xy), 2))
        for index, camera in enumerate(cameras):
            self._undistort(index, camera)
        self.column = np.full((len(cameras), N_DOF), -1, np.int32)
        for column, (row, number) in enumerate(free):
            self.column[row, number] = column

    def _undistort(self, index: int, camera: Camera) -> None:
        own = self.ties.camera_of == index
        self.rays[own] = normalised_rays(camera, self.ties.xy[own])
        self.lens[index] = camera.K

    def residuals(self, cameras: Sequence[Camera], points: Floats) -> Floats:
        """Return (N, 2) px; huge where a point lies behind a camera or the lens has no ray."""
        for index, camera in enumerate(cameras):
            if camera.K is not self.lens[index] and (self.lens[index] != camera.K).any():
                self._undistort(index, camera)
        return np.asarray(
            tie_residuals(*self._geometry(cameras), self.rays, points, *self._sightings())
        )

    def cost(self, residual: Floats) -> float:
        """Return the sum of the loss."""
        return float(np.log1p((residual**2).sum(axis=1) / self.scale**2).sum())

    def step(
        self, cameras: Sequence[Camera], points: Floats, residual: Floats, damping: float
    ) -> tuple[Floats, Floats] | None:
        """Return the changes of the cameras' numbers (n, 7) and of the points (P, 3)."""
        S, right, W, inverse, gradient = self._equations(cameras, points, residual, damping)
        moved = np.zeros(self.column.shape)
        if not self.free:
            return moved, np.einsum("pij,pj->pi", inverse, gradient)
        S = S + damping * np.diag(np.diag(S))
        try:
            delta = np.linalg.solve(S, right)
        except np.linalg.LinAlgError:
            return None
        for column, (row, number) in enumerate(self.free):
            moved[row, number] = delta[column]
        drag = np.tensordot(W, delta, axes=(1, 0))
        return moved, np.einsum("pij,pj->pi", inverse, gradient - drag)

    def covariance(self, cameras: Sequence[Camera], points: Floats, residual: Floats) -> Floats:
        """Return (k, k) of the free numbers for noise of `scale` px a coordinate."""
        if not self.free:
            return np.zeros((0, 0))
        return np.asarray(np.linalg.pinv(self._equations(cameras, points, residual, 1e-9)[0]))

    def _geometry(self, cameras: Sequence[Camera]) -> tuple[Floats, Floats]:
        poses = np.array([c.cam_from_world for c in cameras])
        return poses, np.array([c.K[0, 0] for c in cameras])

    def _sightings(self) -> tuple[Ints, Ints]:
        return self.ties.camera_of, self.ties.point_of

    def _equations(
        self, cameras: Sequence[Camera], points: Floats, residual: Floats, damping: float
    ) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        geometry = (*self._geometry(cameras), self.rays, points, *self._sightings())
        found = _normal_equations(
            *geometry, residual, self.column, len(self.free), self.scale, damping + 1e-10
        )
        S, right, W, inverse, gradient = found
        return S, right, W, inverse, gradient


@njit(cache=True)
def tie_residuals(  # type: ignore[no-untyped-def]
    poses, focal, rays, points, camera_of, point_of
):
    """Return projected minus seen (N, 2), px."""
    out = np.empty((len(rays), 2))
    for i in range(len(rays)):
        T, X = poses[camera_of[i]], points[point_of[i]]
        x = T[0, 0] * X[0] + T[0, 1] * X[1] + T[0, 2] * X[2] + T[0, 3]
        y = T[1, 0] * X[0] + T[1, 1] * X[1] + T[1, 2] * X[2] + T[1, 3]
        z = T[2, 0] * X[0] + T[2, 1] * X[1] + T[2, 2] * X[2] + T[2, 3]
        out[i] = ABSURD_PX
        if z > 0:
            u = focal[camera_of[i]] * (x / z - rays[i, 0])
            v = focal[camera_of[i]] * (y / z - rays[i, 1])
            if abs(u) < ABSURD_PX and abs(v) < ABSURD_PX:
                out[i, 0], out[i, 1] = u, v
    return out


@njit(cache=True)
def _normal_equations(  # type: ignore[no-untyped-def]
    poses, focal, rays, points, camera_of, point_of, residual, column, k, scale, damping
):
    """Return the reduced system S, right side; coupling W; inverses and gradients of points."""
    P = len(points)
    V, W = np.zeros((P, 3, 3)), np.zeros((P, k, 3))
    gradient, U, right = np.zeros((P, 3)), np.zeros((k, k)), np.zeros(k)
    J, Jp = np.empty((7, 2)), np.empty((3, 2))
    for i in range(len(rays)):
        c, p = camera_of[i], point_of[i]
        rx, ry = residual[i]
        if abs(rx) >= ABSURD_PX:
            continue
        w = 1 / (1 + (rx * rx + ry * ry) / scale**2) / scale**2
        T, X, f = poses[c], points[p], focal[c]
        z = T[2, 0] * X[0] + T[2, 1] * X[1] + T[2, 2] * X[2] + T[2, 3]
        u = (T[0, 0] * X[0] + T[0, 1] * X[1] + T[0, 2] * X[2] + T[0, 3]) / z
        v = (T[1, 0] * X[0] + T[1, 1] * X[1] + T[1, 2] * X[2] + T[1, 3]) / z
        for a in range(3):
            Jp[a, 0] = f / z * (T[0, a] - u * T[2, a])
            Jp[a, 1] = f / z * (T[1, a] - v * T[2, a])
            gradient[p, a] -= w * (Jp[a, 0] * rx + Jp[a, 1] * ry)
        for a in range(3):
            for b in range(3):
                V[p, a, b] += w * (Jp[a, 0] * Jp[b, 0] + Jp[a, 1] * Jp[b, 1])
        if column[c].max() < 0:
            continue
        J[0, 0], J[0, 1] = -f * u * v, -f * (1 + v * v)
        J[1, 0], J[1, 1] = f * (1 + u * u), f * u * v
        J[2, 0], J[2, 1] = -f * v, f * u
        J[3, 0], J[3, 1] = -f / z, 0.0
        J[4, 0], J[4, 1] = 0.0, -f / z
        J[5, 0], J[5, 1] = f * u / z, f * v / z
        J[6, 0], J[6, 1] = f * rays[i, 0], f * rays[i, 1]
        for m in range(7):
            row = column[c, m]
            if row < 0:
                continue
            right[row] -= w * (J[m, 0] * rx + J[m, 1] * ry)
            for a in range(3):
                W[p, row, a] += w * (J[m, 0] * Jp[a, 0] + J[m, 1] * Jp[a, 1])
            for n in range(7):
                if column[c, n] >= 0:
                    U[row, column[c, n]] += w * (J[m, 0] * J[n, 0] + J[m, 1] * J[n, 1])
    inverse, half = np.empty((P, 3, 3)), np.empty(3)
    for p in range(P):
        size = V[p, 0, 0] + V[p, 1, 1] + V[p, 2, 2] + 1e-12
        for a in range(3):
            V[p, a, a] += damping * size
        inverse[p] = np.linalg.inv(V[p])
        for row in range(k):
            if W[p, row, 0] == 0 and W[p, row, 1] == 0 and W[p, row, 2] == 0:
                continue
            for a in range(3):
                half[a] = (
                    W[p, row, 0] * inverse[p, 0, a]
                    + W[p, row, 1] * inverse[p, 1, a]
                    + W[p, row, 2] * inverse[p, 2, a]
                )
            for n in range(k):
                U[row, n] -= half[0] * W[p, n, 0] + half[1] * W[p, n, 1] + half[2] * W[p, n, 2]
            right[row] -= (
                half[0] * gradient[p, 0] + half[1] * gradient[p, 1] + half[2] * gradient[p, 2]
            )
    return U, right, W, inverse, gradient


def _summed(ties: Ties, values: Floats) -> Floats:
    """Return the sums (n_points, ...) of values (N, ...) over the sightings of each point."""
    flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
    columns = [
        np.asarray(np.bincount(ties.point_of, flat[:, k], ties.n_points), np.float64)
        for k in range(flat.shape[1])
    ]
    return np.stack(columns, axis=1).reshape(ties.n_points, *values.shape[1:])


def leave_out(ties: Ties, camera: int) -> Floats:
    """Return weights (N,): nothing of one camera."""
    return np.asarray(ties.camera_of != camera, np.float64)


def count_of(ties: Ties, keep: Bools | None = None) -> Ints:
    """Return the number of sightings of each camera."""
    rows = ties.camera_of if keep is None else ties.camera_of[keep]
    return np.asarray(np.bincount(rows, minlength=len(ties.names)), np.int32)
