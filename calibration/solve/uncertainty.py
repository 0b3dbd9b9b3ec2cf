"""Standard deviations of the adjusted rig, from the normal equations.

Positions have no absolute place: they are given as the cameras stand to one another, the rig
shifted and turned to fit best (inner constraints), in lengths of the board.
"""

from dataclasses import dataclass, replace

import numpy as np

from ...core.arrays import Bools, Floats, Ints
from .adjust import freedom
from .cholesky import gram, invert_positive, times_blocks
from .normal import NO_LOSS_PX, Freedom, NormalEquations, normal_equations, sort_by_view
from .rigstate import N_CAMERA, N_INTRINSICS, Observations, RigState, residuals

ASSUMED_SHARE = 0.005  # of the longer side: spread of principal points about the middle


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


@dataclass(frozen=True, kw_only=True)
class Covariance:
    """How the cameras' parameters and the rig's size may be off together."""

    cameras: Floats
    """(15 n_cameras, 15 n_cameras) of fx, fy, cx, cy, k1, k2, p1, p2, k3, w, t of each; zero
    where a parameter was held."""
    with_log_size: Floats
    """(15 n_cameras,) covariance of the parameters and the logarithm of the size that the board
    gives."""
    log_size: float
    """Variance of that."""
    guessed: Bools
    """(n_cameras,) cameras whose focal length was not determined."""

    def spread(self, by_camera: Floats, points: Floats) -> Floats:
        """Return the covariance of things that depend on the cameras.

        Parameters
        ----------
        by_camera : (M, 15 n_cameras)
            Their derivatives, the rig's size aside.
        points : (M,)
            Their values in the rig's frame: these follow its size, -1 times.
        """
        mixed = np.outer(by_camera @ self.with_log_size, points)
        own = by_camera @ self.cameras @ by_camera.T
        return np.asarray(own - mixed - mixed.T + self.log_size * np.outer(points, points))


def covariance(
    state: RigState, seen: Observations, *, free_points: bool, size_gradient: Floats | None = None
) -> Covariance:
    """Return what `seen` leaves uncertain, its own residuals giving the noise.

    Parameters
    ----------
    state : RigState
        An adjusted one.
    size_gradient : (n_corners, 3), optional
        d(log size) by the board's corners: see `boardshape.size_gradient`.
    """
    free = freedom(state, seen, free_points=free_points)
    if free_points:
        seen = seen[free.points[seen.corner]]
    free, prior = _with_assumed(state, free)
    errors = residuals(state, seen)
    if seen.noise is not None:
        errors = errors / seen.noise[:, None]
    system = normal_equations(state, sort_by_view(seen), free=free, loss_px=NO_LOSS_PX)
    rows = np.flatnonzero(free.camera_side).astype(np.int32)
    used = np.flatnonzero(free.points).astype(np.int32)
    n_free = len(rows) + 3 * len(used)
    variance = float((errors**2).sum()) / max(errors.size - n_free, 1)
    gradient = np.zeros_like(state.points) if size_gradient is None else size_gradient
    H, by_size, own_size = _eliminated(system, rows, used, gradient)
    H[np.diag_indices(len(rows))] += variance * prior[rows]
    inverse = variance * _inverse(H)

    n = len(state.cameras) * N_CAMERA
    on_cameras = rows < n
    full = np.zeros((n, n))
    full[np.ix_(rows[on_cameras], rows[on_cameras])] = inverse[np.ix_(on_cameras, on_cameras)]
    mixed = np.zeros(n)
    mixed[rows[on_cameras]] = (inverse @ by_size)[on_cameras]
    return Covariance(
        cameras=full,
        with_log_size=mixed,
        log_size=float(by_size @ inverse @ by_size) + variance * own_size,
        guessed=~free.camera_side[:n].reshape(-1, N_CAMERA)[:, 0],
    )


def _with_assumed(state: RigState, free: Freedom) -> tuple[Freedom, Floats]:
    """Return the freedom with assumed principal points set free, and what is known of them.

    Cameras with two views keep theirs in the middle of the image, which is not certain at all.

    Returns
    -------
    Freedom
    prior : (n_camera_side,) float64
        Inverse variances.
    """
    side, prior = free.camera_side.copy(), np.zeros(len(free.camera_side))
    for index, camera in enumerate(state.cameras):
        start = index * N_CAMERA
        if side[start] and not side[start + 2]:
            side[start + 2 : start + 4] = True
            longer = max(camera.width, camera.height)
            prior[start + 2 : start + 4] = (ASSUMED_SHARE * longer) ** -2.0
    return replace(free, camera_side=side), prior


def uncertainty(state: RigState, of: Covariance) -> Uncertainty:
    """Return the standard deviations of each camera."""
    n_cameras = len(state.cameras)
    by_center, centers = _center_jacobian(state)
    spread = of.spread(by_center, centers.ravel())
    loose = rigid_motions(centers)
    keep = np.eye(3 * n_cameras) - loose @ np.linalg.pinv(loose)
    of_centers = np.diag(keep @ spread @ keep.T).reshape(-1, 3).sum(axis=1).copy()
    of_all = np.diag(of.cameras).reshape(n_cameras, N_CAMERA).copy()
    of_all[of.guessed] = of_centers[of.guessed] = np.nan
    angles = of_all[:, N_INTRINSICS : N_INTRINSICS + 3].sum(axis=1)
    return Uncertainty(
        focal_px=_root(of_all[:, :2].mean(axis=1)),
        principal_point_px=_root(of_all[:, 2:4].sum(axis=1)),
        center_mm=_root(of_centers),
        rotation_deg=np.degrees(_root(angles)),
    )


def rigid_motions(points: Floats) -> Floats:
    """Return the (3 n, 6) turns and shifts of points (n, 3) together."""
    x, y, z = (points - points.mean(axis=0)).T
    zero = np.zeros_like(x)
    turns = [np.stack(v, 1).ravel() for v in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    shifts = [np.tile(axis, len(points)) for axis in np.eye(3)]
    return np.stack(turns + shifts, axis=1)


def _root(variances: Floats) -> Floats:
    return np.asarray(np.sqrt(np.maximum(variances, 0)))


def _eliminated(
    system: NormalEquations, rows: Ints, used: Ints, size_gradient: Floats
) -> tuple[Floats, Floats, float]:
    """Return the normal equations of the camera side, the corners eliminated.

    Returns
    -------
    H : (n_free, n_free)
    by_size : (n_free,)
        How the board's recovered size follows the camera side.
    own_size : float
        How uncertain the size would be if the camera side were known, in variances of a pixel.
    """
    H = system.H_cc[np.ix_(rows, rows)]
    if not len(used):
        return H, np.zeros(len(rows)), 0.0
    columns = (3 * used[:, None] + np.arange(3)).ravel()
    root = np.linalg.inv(np.linalg.cholesky(system.H_pp[used]))  # root^T root = H_pp^-1
    rooted = times_blocks(system.H_cp[np.ix_(rows, columns)], root)
    stretch = np.einsum("pij,pj->pi", root, size_gradient[used]).ravel()
    return H - gram(rooted), -rooted @ stretch, float(stretch @ stretch)


def _inverse(H: Floats) -> Floats:
    size = 1 / np.sqrt(np.diag(H))  # unit diagonal: px, radians and mm in one matrix
    scaled = H * size[:, None] * size
    inverse = invert_positive(scaled)
    if inverse is None:  # something is not determined at all
        inverse = np.asarray(np.linalg.pinv(scaled, hermitian=True), np.float64)
    return size[:, None] * inverse * size


def _center_jacobian(state: RigState) -> tuple[Floats, Floats]:
    """Return d(centres)/d(camera parameters) (3 n, 15 n) and the centres (n, 3)."""
    n = len(state.cameras)
    by_center, centers = np.zeros((3 * n, N_CAMERA * n)), []
    for index, camera in enumerate(state.cameras):
        R, t = camera.cam_from_world[:, :3], camera.cam_from_world[:, 3]
        start = index * N_CAMERA + N_INTRINSICS
        own = slice(3 * index, 3 * index + 3)
        cross = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
        # C = -R^T t with R -> exp(w) R: dC = -R^T [t]x w - R^T dt
        by_center[own, start : start + 3] = -R.T @ cross
        by_center[own, start + 3 : start + 6] = -R.T
        centers.append(-R.T @ t)
    return by_center, np.array(centers)
