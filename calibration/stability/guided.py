"""Matches between two calibrated photographs: only along the epipolar lines, with a wide gate.

A rig that may have been moved a little still tells where to look. On skin, whose features
resemble one another all over the picture, the few candidates near the line are told apart
where those of the whole picture are not.
"""

import numpy as np
from numba import njit

from ...core.arrays import Bytes, Floats, Floats32, Ints
from ...core.geometry.camera import Camera, undistort
from ...core.geometry.transform import compose, invert


def normalised_rays(camera: Camera, xy: Floats) -> Floats:
    """Return undistorted normalised coordinates (N, 2) of pixels (N, 2); NaN beyond the lens."""
    return undistort(camera.normalise(xy), camera.distortion)


def root_descriptors(descriptors: Bytes) -> Floats32:
    """Return SIFT descriptors (N, 128) as unit float32, to be compared by their products.

    COLMAP gives the square roots of Arandjelovic and Zisserman (CVPR 2012) already.
    """
    values = descriptors.astype(np.float32)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9))


def match_guided(
    a: Camera,
    b: Camera,
    rays: tuple[Floats, Floats],
    descriptors: tuple[Floats32, Floats32],
    *,
    gate_px: float,
    depths: tuple[float, float],
    max_ratio: float,
) -> Ints:
    """Return the (M, 2) rows of features that are each other's clear best match near the lines.

    Parameters
    ----------
    rays : two of (N, 2)
        Normalised coordinates of the features of `a` and of `b`.
    descriptors : two of (N, 128)
        Unit length.
    gate_px : float
        Distance from the epipolar line within which a candidate counts.
    depths : tuple of float
        Nearest and farthest depth in either camera, in the rig's unit.
    max_ratio : float
        Of the angles to the best and the second-best candidate.
    """
    if min(len(rays[0]), len(rays[1])) < 2:
        return np.zeros((0, 2), np.int32)
    b_from_a = compose(b.cam_from_world, invert(a.cam_from_world))
    gate_b, gate_a = gate_px / float(b.K[0, 0]), gate_px / float(a.K[0, 0])
    best_b = _best(b_from_a, *rays, *descriptors, gate_b, *depths, max_ratio)
    best_a = _best(invert(b_from_a), *rays[::-1], *descriptors[::-1], gate_a, *depths, max_ratio)
    rows = np.flatnonzero(best_b >= 0)
    rows = rows[best_a[best_b[rows]] == rows]
    return np.stack([rows, best_b[rows]], axis=1).astype(np.int32)


@njit(cache=True, fastmath=True)
def _best(  # type: ignore[no-untyped-def]
    b_from_a, rays_a, rays_b, unit_a, unit_b, gate, nearest, farthest, max_ratio
):
    """Return for each row of `a` the clear best of `b` near its epipolar line, -1 for none."""
    n_a, n_b, n_d = len(rays_a), len(rays_b), unit_a.shape[1]
    found = np.full(n_a, -1, np.int64)
    t = b_from_a[:, 3]
    for i in range(n_a):
        x, y = rays_a[i, 0], rays_a[i, 1]
        r0 = b_from_a[0, 0] * x + b_from_a[0, 1] * y + b_from_a[0, 2]
        r1 = b_from_a[1, 0] * x + b_from_a[1, 1] * y + b_from_a[1, 2]
        r2 = b_from_a[2, 0] * x + b_from_a[2, 1] * y + b_from_a[2, 2]
        # the line through the images of the centre of `a` and of the ray: t x r
        l0, l1, l2 = t[1] * r2 - t[2] * r1, t[2] * r0 - t[0] * r2, t[0] * r1 - t[1] * r0
        size = np.sqrt(l0 * l0 + l1 * l1)
        if not size > 0.0:
            continue
        first, second, row = -1.0, -1.0, -1
        for j in range(n_b):
            u, v = rays_b[j, 0], rays_b[j, 1]
            off = (l0 * u + l1 * v + l2) / size
            if not abs(off) < gate:
                continue
            # depth in `a` at which the ray passes nearest to this place: z r + t ~ (u, v, 1)
            c0, c1, c2 = v * r2 - r1, r0 - u * r2, u * r1 - v * r0
            d0, d1, d2 = v * t[2] - t[1], t[0] - u * t[2], u * t[1] - v * t[0]
            z = -(c0 * d0 + c1 * d1 + c2 * d2) / (c0 * c0 + c1 * c1 + c2 * c2 + 1e-30)
            if not (nearest < z < farthest and nearest < z * r2 + t[2] < farthest):
                continue
            product = 0.0
            for k in range(n_d):
                product += unit_a[i, k] * unit_b[j, k]
            if product > first:
                first, second, row = product, first, j
            elif product > second:
                second = product
        if row >= 0 and np.arccos(min(1.0, first)) < max_ratio * np.arccos(
            min(1.0, max(-1.0, second))
        ):
            found[i] = row
    return found
