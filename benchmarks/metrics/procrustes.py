"""The similarity of two sets of landmarks by MATLAB's `procrustes`, in the type they come in.

Unlike `core.geometry.transform.align_similarity` a mirrored solution is taken where it fits
better ("reflection best"), and float32 stays float32: official benchmarks have both, and their
digits depend on it.
"""

from dataclasses import dataclass

import numpy as np

from ...core.arrays import AnyFloats, Floats
from ...core.errors import EstimationError, InputError


@dataclass(frozen=True, kw_only=True)
class Procrustes:
    """`target ~ scale * moved @ rotation + translation`."""

    scale: float
    rotation: AnyFloats
    """(3, 3) orthogonal, applied from the right."""
    translation: AnyFloats
    """(3,)."""
    residual: float
    """Sum of squares left, as part of that of the centred target: 0 is a perfect fit."""
    fitted: AnyFloats
    """(N, 3) the moved landmarks."""

    @property
    def mirrored(self) -> bool:
        """Whether the best fit is a reflection: a face cannot be; landmarks are out of order."""
        return bool(np.linalg.det(self.rotation.astype(np.float64)) < 0)

    def apply(self, points: AnyFloats, *, scale: float | None = None) -> Floats:
        """Move (N, 3) points, with another scale but the same translation where one is given."""
        moved: Floats = (self.scale if scale is None else scale) * (points @ self.rotation)
        return moved + self.translation


def procrustes(target: AnyFloats, moved: AnyFloats, *, mirror: bool = True) -> Procrustes:
    """Find the similarity that takes `moved` (N, 3) closest to `target` (N, 3), least squares.

    Without `mirror` the rotation is a proper one.

    Raises
    ------
    InputError
        Shapes differ, or a value is not finite.
    EstimationError
        The points of one side coincide.

    Source
    ------
    MATLAB documentation, `procrustes`: formulas of the standardised measure and the transform.
    """
    if target.shape != moved.shape or target.ndim != 2 or target.shape[1] != 3:
        raise InputError(f"landmarks have the shapes {target.shape} and {moved.shape}")
    if not (np.isfinite(target).all() and np.isfinite(moved).all()):
        raise InputError("a landmark is not finite")
    target_mean, moved_mean = target.mean(axis=0), moved.mean(axis=0)
    target_centred, moved_centred = target - target_mean, moved - moved_mean
    target_norm = np.sqrt((target_centred**2).sum())
    moved_norm = np.sqrt((moved_centred**2).sum())
    if not (target_norm > 0 and moved_norm > 0):
        raise EstimationError("all landmarks lie at one place: no alignment is possible")
    target_unit, moved_unit = target_centred / target_norm, moved_centred / moved_norm
    u, s, vt = np.linalg.svd(target_unit.T @ moved_unit, full_matrices=False)
    rotation = vt.T @ u.T
    if not mirror and np.linalg.det(rotation) < 0:
        s[2], u = -s[2], u * np.array([1, 1, -1], u.dtype)
        rotation = vt.T @ u.T
    trace = s.sum()
    scale = trace * target_norm / moved_norm
    return Procrustes(
        scale=scale,  # of the type of the landmarks, on purpose
        rotation=rotation,
        translation=target_mean - scale * _row_times(moved_mean, rotation),
        residual=1 - float(trace) ** 2,
        fitted=target_norm * trace * (moved_unit @ rotation) + target_mean,
    )


def _row_times(row: AnyFloats, matrix: AnyFloats) -> AnyFloats:
    """Return row @ matrix (3, 3), to the last digit the same on every machine for float32.

    A float32 product of BLAS has the digits of its kernels; the official results come from one
    that adds in order and rounds a product and its sum once.
    """
    if row.dtype != np.float32:
        product: AnyFloats = row @ matrix
        return product
    total = np.zeros(3, np.float32)
    for value, along in zip(row, matrix, strict=True):
        total = (total + np.float64(value) * along.astype(np.float64)).astype(np.float32)
    return total
