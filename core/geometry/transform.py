"""Rigid transforms and similarities.

Naming: `a_from_b` takes points of frame b to frame a, so that products read like algebra:
`a_from_c = compose(a_from_b, b_from_c)`. A rigid transform is a (3, 4) matrix [R | t].
"""

from dataclasses import dataclass

import numpy as np

from ..arrays import AnyFloats, Floats
from ..errors import EstimationError, InputError


def invert(a_from_b: Floats) -> Floats:
    """Return `b_from_a` (..., 3, 4) of a rigid `a_from_b` (..., 3, 4)."""
    R = np.swapaxes(a_from_b[..., :3], -1, -2)
    return np.concatenate([R, -R @ a_from_b[..., 3:]], axis=-1)


def compose(a_from_b: Floats, b_from_c: Floats) -> Floats:
    """Return `a_from_c` (..., 3, 4) of two rigid transforms."""
    R = a_from_b[..., :3] @ b_from_c[..., :3]
    t = a_from_b[..., :3] @ b_from_c[..., 3:] + a_from_b[..., 3:]
    return np.concatenate([R, t], axis=-1)


def apply(a_from_b: Floats, points: AnyFloats) -> Floats:
    """Take `points` (..., N, 3) of frame b to frame a."""
    return np.asarray(points @ np.swapaxes(a_from_b[..., :3], -1, -2) + a_from_b[..., None, :, 3])


def look_at(center: Floats, target: Floats, *, up: Floats | None = None) -> Floats:
    """Return `cam_from_world` (3, 4) of a camera at `center` that looks at `target`.

    OpenCV axes: z towards the target, y down, so that `up` (default world +y) points up in
    the image. When the view is along `up`, world +z is used in its place.
    """
    z = (target - center) / np.linalg.norm(target - center)
    up = np.array([0.0, 1.0, 0.0]) if up is None else up
    if abs(float(z @ up)) > 0.999 * float(np.linalg.norm(up)):
        up = np.array([0.0, 0.0, 1.0])
    x = np.cross(z, up)
    x /= np.linalg.norm(x)
    R = np.stack([x, np.cross(z, x), z])
    return np.column_stack([R, -R @ center])


def rotation_angle_deg(R: Floats) -> Floats:
    """Return the angle of each rotation matrix (..., 3, 3), degrees in [0, 180]."""
    skew = np.stack(
        [R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]], -1
    )
    sine = np.linalg.norm(skew, axis=-1) / 2
    cosine = (np.trace(R, axis1=-2, axis2=-1) - 1) / 2
    return np.asarray(np.degrees(np.arctan2(sine, cosine)))


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """`x_a = scale * R @ x_b + t`."""

    scale: float
    R: Floats
    """(3, 3)."""
    t: Floats
    """(3,) mm."""
    rms_mm: float = 0.0
    """Root mean square distance over the rows that determined it."""

    def __call__(self, points: AnyFloats) -> Floats:
        """Take points (..., 3) from frame b to frame a."""
        return np.asarray(self.scale * points @ self.R.T + self.t)

    def of_camera(self, cam_from_b: Floats) -> Floats:
        """Return `cam_from_a` (3, 4) of a camera known in frame b; depths scale along."""
        R = cam_from_b[:, :3] @ self.R.T
        return np.column_stack([R, self.scale * cam_from_b[:, 3] - R @ self.t])


def align_similarity(src: Floats, dst: Floats, *, with_scale: bool = True) -> Similarity:
    """Find the similarity that takes `src` closest to `dst`, least squares.

    Parameters
    ----------
    src, dst : (N, 3) float64, mm
        Matched points, N >= 3; rows with NaN in either are left out.
    with_scale : bool
        False fixes the scale at one (a rigid alignment).

    Raises
    ------
    InputError
        Shapes differ.
    EstimationError
        Fewer than three usable rows, or all on one line.

    Source
    ------
    Umeyama, PAMI 13(4), 1991, doi:10.1109/34.88573, eqs. (38)-(43).
    """
    if src.shape != dst.shape or src.ndim != 2 or src.shape[1] != 3:
        raise InputError(f"matched points of shape (N, 3) expected: {src.shape=}, {dst.shape=}")
    usable = np.isfinite(np.hstack([src, dst])).all(axis=1)
    src, dst = src[usable], dst[usable]
    if len(src) < 3:
        raise EstimationError(f"{len(src)} matched points, but a similarity needs three")
    mean_src, mean_dst = src.mean(0), dst.mean(0)
    a, b = src - mean_src, dst - mean_dst
    U, D, Vt = np.linalg.svd(b.T @ a / len(src))  # (38)
    if D[1] <= 1e-12 * max(D[0], 1e-300):
        raise EstimationError("the matched points lie on one line: the rotation is not determined")
    S = np.array([1.0, 1.0, np.sign(np.linalg.det(U) * np.linalg.det(Vt))])  # (39), (43)
    R = U @ np.diag(S) @ Vt  # (40)
    scale = float((D * S).sum() / (a**2).sum(1).mean()) if with_scale else 1.0  # (42)
    t = mean_dst - scale * R @ mean_src  # (41)
    residual = dst - (scale * src @ R.T + t)
    rms = float(np.sqrt((residual**2).sum(1).mean()))
    return Similarity(scale=scale, R=R, t=t, rms_mm=rms)
