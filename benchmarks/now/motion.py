"""Similarities as the refinement varies them, and the normal equations of its distances."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from ...core.arrays import Floats, Ints
from ..metrics.surface import ExactSurface

_LEAST_TURN = 1e-12  # rad: below it the derivative at no turn


@dataclass(frozen=True, kw_only=True)
class Motion:
    """`x = scale * R v + shift` of the mesh's vertices v."""

    scale: float
    R: Floats
    """(3, 3)."""
    shift: Floats
    """(3,) mm."""

    def apply(self, vertices: Floats) -> Floats:
        """Move (V, 3) vertices."""
        moved: Floats = self.scale * (vertices @ self.R.T) + self.shift
        return moved


STILL = Motion(scale=1.0, R=np.eye(3), shift=np.zeros(3))


@dataclass(frozen=True, kw_only=True)
class Footing:
    """The scan against the moved mesh at one set of variables."""

    distance: Floats
    """(N,) of each scan point to the moved mesh."""
    foot: Floats
    """(N, 3) closest points, in the frame of the mesh before it moved."""
    face: Ints
    """(N,) the face of each."""

    @property
    def sum_of_squares(self) -> float:
        """Of the distances."""
        return float(self.distance @ self.distance)


def rotation(turn: Floats) -> Floats:
    """Return (3, 3) of a rotation vector (Rodrigues)."""
    angle = float(np.linalg.norm(turn))
    if angle < _LEAST_TURN:
        return np.eye(3)
    axis = turn / angle
    along = np.outer(axis, axis)
    return along + np.cos(angle) * (np.eye(3) - along) + np.sin(angle) * _cross(axis)


def rotation_derivatives(turn: Floats) -> Floats:
    """Return (3, 3, 3): the derivative of `rotation` by each part of the vector."""
    angle = float(np.linalg.norm(turn))
    if angle < _LEAST_TURN:
        return np.stack([_cross(e) for e in np.eye(3)])
    axis = turn / angle
    sin, cos = np.sin(angle), np.cos(angle)
    derivatives = []
    for k in range(3):
        of_axis = (np.eye(3)[k] - axis[k] * axis) / angle
        of_outer = np.outer(of_axis, axis) + np.outer(axis, of_axis)
        derivatives.append(
            axis[k] * (sin * (np.outer(axis, axis) - np.eye(3)) + cos * _cross(axis))
            + (1 - cos) * of_outer
            + sin * _cross(of_axis)
        )
    return np.stack(derivatives)


def _cross(v: Floats) -> Floats:
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])


def measure(
    surface: ExactSurface, points: Floats, motion: Motion, *, hint: Ints | None = None
) -> Footing:
    """Measure `points` (N, 3) against the moved mesh.

    The points go back into the mesh's frame, so that one tree serves all motions.
    """
    back = np.ascontiguousarray((points - motion.shift) @ motion.R) / motion.scale
    found = surface.closest(back, hint=hint)
    return Footing(distance=found.distance * abs(motion.scale), foot=found.points, face=found.face)


def normal_equations(
    points: Floats, footing: Footing, motion: Motion, *, by_turn: Floats
) -> tuple[Floats, Floats]:
    """Return JᵀJ (7, 7) and Jᵀd (7,) by scale, turn and shift.

    The foot glides on the mesh, but to first order that changes no distance, so that the
    derivative is that of a fixed foot: minus the unit offset times the foot's motion. A distance
    of zero has no derivative; it counts as none.

    Parameters
    ----------
    by_turn : (3, 3, 3)
        Derivative of `motion.R` by each part of the turn.
    """
    matrix, vector = np.zeros((7, 7)), np.zeros(7)
    _accumulate(
        points, footing.foot, footing.distance, motion.scale, motion.R, by_turn, motion.shift,
        matrix, vector,
    )  # fmt: skip
    return matrix, vector


@njit(nogil=True, cache=True)
def _accumulate(  # type: ignore[no-untyped-def]
    points, foot, distance, scale, R, dR, shift, matrix, vector
):
    row, turned, unit = np.empty(7), np.empty(3), np.empty(3)
    for i in range(points.shape[0]):
        if not distance[i] > 0.0:
            continue
        for j in range(3):
            turned[j] = R[j, 0] * foot[i, 0] + R[j, 1] * foot[i, 1] + R[j, 2] * foot[i, 2]
            unit[j] = (points[i, j] - scale * turned[j] - shift[j]) / distance[i]
            row[4 + j] = -unit[j]
        row[0] = -(unit[0] * turned[0] + unit[1] * turned[1] + unit[2] * turned[2])
        for k in range(3):
            total = 0.0
            for j in range(3):
                moved = dR[k, j, 0] * foot[i, 0] + dR[k, j, 1] * foot[i, 1]
                total += unit[j] * (moved + dR[k, j, 2] * foot[i, 2])
            row[1 + k] = -scale * total
        for j in range(7):
            vector[j] += row[j] * distance[i]
            for k in range(j + 1):
                matrix[j, k] += row[j] * row[k]
    for j in range(7):
        for k in range(j):
            matrix[k, j] = matrix[j, k]
