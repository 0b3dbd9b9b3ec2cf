"""Similarities as registration moves them: inverse, product, small steps."""

import numpy as np
from scipy.spatial.transform import Rotation

from ...core.arrays import Floats
from ...core.geometry.transform import Similarity

IDENTITY = Similarity(scale=1.0, R=np.eye(3), t=np.zeros(3))


def inverse(a_from_b: Similarity) -> Similarity:
    """Return `b_from_a`."""
    R = a_from_b.R.T
    return Similarity(scale=1 / a_from_b.scale, R=R, t=-(R @ a_from_b.t) / a_from_b.scale)


def product(a_from_b: Similarity, b_from_c: Similarity) -> Similarity:
    """Return `a_from_c`."""
    return Similarity(
        scale=a_from_b.scale * b_from_c.scale,
        R=a_from_b.R @ b_from_c.R,
        t=a_from_b(b_from_c.t),
    )


def stepped(a_from_b: Similarity, step: Floats) -> Similarity:
    """Move by `step` (7,): rotation vector, translation, logarithm of the scale, round a's origin.

    To first order a point x of frame a moves by `cross(step[:3], x) + step[3:6] + step[6] x`.
    """
    small = Similarity(
        scale=float(np.exp(step[6])), R=Rotation.from_rotvec(step[:3]).as_matrix(), t=step[3:6]
    )
    return product(small, a_from_b)


def pose_rows(points: Floats, normals: Floats) -> Floats:
    """Return (N, 7): how `normals . x` changes with the step of `stepped` at `points` x."""
    return np.hstack([np.cross(points, normals), normals, (points * normals).sum(1, keepdims=True)])
