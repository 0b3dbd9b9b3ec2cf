"""Standard deviations of the adjusted rig, from the normal equations.

Positions have no absolute place: they are given as the cameras stand to one another, the rig
shifted and turned to fit best (inner constraints), in lengths of the board.
"""

from dataclasses import dataclass

import numpy as np

from ..core.arrays import Floats
from .adjust import freedom, normal_equations
from .cholesky import invert_positive
from .rigstate import N_CAMERA, N_INTRINSICS, Observations, RigState, residuals


@dataclass(frozen=True, kw_only=True)
class Uncertainty:
    """Standard deviations, one for each camera.

    NaN for cameras that too few views show to determine their focal length: they keep the
    guess of their lens data, and nobody knows how far it is off.
    """

    focal_px: Floats
    principal_point_px: Floats
    center_mm: Floats
    """Root of the summed variances of x, y, z."""
    rotation_deg: Floats
    """Likewise of the three angles, against the first camera."""


def uncertainty(state: RigState, seen: Observations, *, free_points: bool) -> Uncertainty:
    """Return what `seen` leaves uncertain, its own residuals giving the noise.

    Parameters
    ----------
    state : RigState
        An adjusted one.
    """
    free = freedom(state, seen, free_points=free_points)
    if free_points:
        seen = seen[free.points[seen.corner]]
    errors = residuals(state, seen)
    system = normal_equations(state, seen, errors, free=free, loss_px=1e6)
    rows = np.flatnonzero(free.camera_side)
    used = np.flatnonzero(free.points)
    n_free = len(rows) + 3 * len(used)
    variance = float((errors**2).sum()) / max(errors.size - n_free, 1)

    H = system.H_cc[np.ix_(rows, rows)]
    by_scale = np.zeros(len(rows))  # how the board's recovered size follows the camera side
    own_scale = 0.0
    if len(used):
        columns = (3 * used[:, None] + np.arange(3)).ravel()
        H_cp = system.H_cp[np.ix_(rows, columns)]
        back = np.linalg.inv(system.H_pp[used])
        eliminated = np.einsum("rpi,pij->rpj", H_cp.reshape(len(rows), -1, 3), back)
        H = H - eliminated.reshape(len(rows), -1) @ H_cp.T
        centred = state.points[used] - state.points[used].mean(axis=0)
        stretch = centred / (centred**2).sum()
        by_scale = -np.einsum("rpi,pi->r", eliminated, stretch)
        own_scale = float(np.einsum("pi,pij,pj->", stretch, back, stretch))
    size = 1 / np.sqrt(np.diag(H))  # unit diagonal: px, radians and mm in one matrix
    scaled = H * size[:, None] * size
    inverse = invert_positive(scaled)
    if inverse is None:  # something is not determined at all
        inverse = np.asarray(np.linalg.pinv(scaled, hermitian=True), np.float64)
    covariance = size[:, None] * inverse * size

    n_cameras = len(state.cameras)
    full = np.zeros((n_cameras * N_CAMERA, len(rows)))
    on_cameras = rows < n_cameras * N_CAMERA
    full[rows[on_cameras], np.flatnonzero(on_cameras)] = 1
    by_center, centers = _center_jacobian(state, full)
    by_center = by_center - centers.reshape(-1, 1) * by_scale
    from_points = own_scale * np.outer(centers.ravel(), centers.ravel())
    loose = _rigid_motions(centers)
    keep = np.eye(3 * n_cameras) - loose @ np.linalg.pinv(loose)
    spread = keep @ (by_center @ covariance @ by_center.T + from_points) @ keep.T
    of_centers = np.diag(spread).reshape(-1, 3).sum(axis=1)
    of_all = np.einsum("ir,rs,is->i", full, covariance, full).reshape(n_cameras, N_CAMERA)

    def deviation(variances: Floats) -> Floats:
        return np.sqrt(np.maximum(variance * variances, 0))

    guessed = ~free.camera_side[: n_cameras * N_CAMERA].reshape(-1, N_CAMERA)[:, 0]
    of_all[guessed] = of_centers[guessed] = np.nan
    return Uncertainty(
        focal_px=deviation(of_all[:, :2].mean(axis=1)),
        principal_point_px=deviation(of_all[:, 2:4].sum(axis=1)),
        center_mm=deviation(of_centers),
        rotation_deg=np.degrees(deviation(of_all[:, N_INTRINSICS : N_INTRINSICS + 3].sum(axis=1))),
    )


def _center_jacobian(state: RigState, full: Floats) -> tuple[Floats, Floats]:
    """Return d(centres)/d(free parameters) (3 n, n_free) and the centres (n, 3)."""
    parts, centers = [], []
    for index, camera in enumerate(state.cameras):
        R, t = camera.cam_from_world[:, :3], camera.cam_from_world[:, 3]
        start = index * N_CAMERA + N_INTRINSICS
        cross = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
        # C = -R^T t with R -> exp(w) R: dC = -R^T [t]x w - R^T dt
        parts.append(-R.T @ (cross @ full[start : start + 3] + full[start + 3 : start + 6]))
        centers.append(-R.T @ t)
    return np.concatenate(parts), np.array(centers)


def _rigid_motions(centers: Floats) -> Floats:
    """Return the (3 n, 6) shifts and turns of the centres together."""
    x, y, z = (centers - centers.mean(axis=0)).T
    zero = np.zeros_like(x)
    turns = [np.stack(v, 1).ravel() for v in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    shifts = [np.tile(axis, len(centers)) for axis in np.eye(3)]
    return np.stack(turns + shifts, axis=1)
