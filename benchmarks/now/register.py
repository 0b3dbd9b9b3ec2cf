"""NoW's refinement of the rigid alignment, step for step.

It stops well before it has converged, so that the path is part of the result: variables of mixed
units (scale, rad, mm), a first trust region of 0.1, an inexact Gauss-Newton step and the rule
that ends it are all kept. `converge.py` is the same problem solved to its end.

Source
------
Powell's dogleg as in Lourakis & Argyros, Is Levenberg-Marquardt the most efficient optimization
algorithm for implementing bundle adjustment?, ICCV 2005. Hestenes & Stiefel 1952: the conjugate
gradients of the Gauss-Newton step.
"""

from dataclasses import dataclass

import numpy as np

from ...core.arrays import Floats, Ints
from ..metrics.surface import ExactSurface
from .motion import (
    Footing,
    Motion,
    measure,
    normal_equations,
    rotation,
    rotation_derivatives,
)

_FIRST_REGION = 0.1
_MOST_STEPS = 200
_LEAST_GAIN = 1e-4  # of the sum of squares: an accepted step that gains less is the last
_STILL = 1e-15  # of the variables, and the gradient's largest part: nothing moves any more
_GOOD, _POOR = 0.9, 0.05  # of the predicted gain: the region grows, shrinks
_CG_TOLERANCE = 1e-5  # of the right side; SciPy's old default, not tight for such a system
_CG_STEPS_EACH = 10  # for each unknown
_MIRROR_COST = 100.0  # on a negative scale


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step that was tried."""

    iteration: int
    ratio: float
    """Gain over predicted gain; negative where the sum of squares grew."""
    length: float
    region: float
    """Radius of the trust region before it."""
    region_after: float
    sum_of_squares: float
    """Of the trial."""


@dataclass(frozen=True, kw_only=True)
class Registration:
    """Where the mesh went."""

    motion: Motion
    """From the mesh as it was given."""
    distance: Floats
    """(N,) mm of each scan point to the moved mesh."""
    iterations: int
    evaluations: int
    trace: tuple[Step, ...] = ()


class _Problem:
    """The sum of squares as a function of the free variables."""

    def __init__(self, points: Floats, surface: ExactSurface, *, with_scale: bool) -> None:
        self._points, self._surface, self._first = points, surface, 0 if with_scale else 1
        self._hint: Ints | None = None
        self.evaluations = 0

    def motion(self, x: Floats) -> Motion:
        """Return the motion of free variables: scale if it is one, turn, shift."""
        turn, shift = x[-6:-3], x[-3:]
        return Motion(scale=float(x[0]) if self._first == 0 else 1.0, R=rotation(turn), shift=shift)

    def measure(self, x: Floats) -> tuple[Footing, float]:
        self.evaluations += 1
        footing = measure(self._surface, self._points, self.motion(x), hint=self._hint)
        self._hint = footing.face
        return footing, footing.sum_of_squares + self._mirror(x) ** 2

    def linearise(self, x: Floats, footing: Footing) -> tuple[Floats, Floats]:
        """Return JᵀJ and the descent direction -Jᵀd."""
        by_turn = rotation_derivatives(x[-6:-3])
        matrix, vector = normal_equations(self._points, footing, self.motion(x), by_turn=by_turn)
        mirror = self._mirror(x)
        if mirror:
            slope = -2 * _MIRROR_COST
            matrix[0, 0] += slope**2
            vector[0] += slope * mirror
        return matrix[self._first :, self._first :], -vector[self._first :]

    def _mirror(self, x: Floats) -> float:
        """Return the residual that keeps the scale positive: 100 (|s| - s)."""
        return 0.0 if self._first else _MIRROR_COST * float(abs(x[0]) - x[0])


def refine(points: Floats, surface: ExactSurface, *, with_scale: bool) -> Registration:
    """Move the mesh to the scan points (N, 3), both about aligned already, mm.

    Without `with_scale` (metrical evaluation) only turn and shift are free.
    """
    problem = _Problem(points, surface, with_scale=with_scale)
    x = np.zeros(7 if with_scale else 6)
    if with_scale:
        x[0] = 1.0
    footing, squares = problem.measure(x)
    matrix, descent = problem.linearise(x, footing)
    region, iteration = _FIRST_REGION, 0
    trace: list[Step] = []
    stop = np.abs(descent).max() < _STILL
    while not stop and iteration < _MOST_STEPS:
        iteration += 1
        steps = _Dogleg(matrix, descent)
        accepted = False
        while not accepted and not stop:
            step = steps.within(region)
            length = float(np.linalg.norm(step))
            if length <= _STILL * np.linalg.norm(x):
                stop = True
                break
            trial, trial_squares = problem.measure(x + step)
            gain = squares - trial_squares
            predicted = float(step @ (2 * descent - matrix @ step))
            ratio = gain / predicted if gain > 0 and predicted else gain
            accepted, before = gain > 0, region
            region = _next_region(region, ratio, length)
            trace.append(
                Step(
                    iteration=iteration, ratio=ratio, length=length, region=before,
                    region_after=region, sum_of_squares=trial_squares,
                )
            )  # fmt: skip
            if accepted:
                x, footing = x + step, trial
                stop = gain / squares < _LEAST_GAIN
                squares = trial_squares
                if not stop:
                    matrix, descent = problem.linearise(x, footing)
                    stop = np.abs(descent).max() < _STILL
            stop = stop or region <= _STILL * np.linalg.norm(x)
    return Registration(
        motion=problem.motion(x),
        distance=footing.distance,
        iterations=iteration,
        evaluations=problem.evaluations,
        trace=tuple(trace),
    )


def _next_region(region: float, ratio: float, length: float) -> float:
    if ratio > _GOOD:
        return max(region, 2.5 * length)
    return region / 4 if ratio < _POOR else region


class _Dogleg:
    """Steps of one linearisation, for any radius: towards the Cauchy point, then Gauss-Newton's."""

    def __init__(self, matrix: Floats, descent: Floats) -> None:
        self._matrix, self._descent = matrix, descent
        curvature = float(descent @ matrix @ descent)
        self._cauchy = (float(descent @ descent) / curvature if curvature else 0.0) * descent
        self._newton: Floats | None = None

    def within(self, region: float) -> Floats:
        cauchy = float(np.linalg.norm(self._cauchy))
        if cauchy >= region:
            return np.asarray(region / cauchy * self._cauchy)
        if self._newton is None:
            self._newton = conjugate_gradients(self._matrix, self._descent)
        if np.linalg.norm(self._newton) <= region:
            return self._newton
        leg = self._newton - self._cauchy
        a, b = float(leg @ leg), float(leg @ self._cauchy)
        c = region**2 - cauchy**2
        root = np.sqrt(b**2 + a * c)
        part = (root - b) / a if b <= 0 else c / (root + b)  # no cancellation either way
        return np.asarray(self._cauchy + part * leg)


def conjugate_gradients(matrix: Floats, right: Floats) -> Floats:
    """Solve a small symmetric system as far as SciPy's `cg` of old did, from zero."""
    x = np.zeros_like(right)
    size = float(np.linalg.norm(right))
    if size <= _CG_TOLERANCE:  # an absolute test, at the start only
        return x
    left = right.copy()
    direction, square = left.copy(), float(left @ left)
    for _ in range(_CG_STEPS_EACH * len(right)):
        image = matrix @ direction
        curvature = float(direction @ image)
        if not curvature > 0:  # flat to rounding: nothing more to gain
            break
        part = square / curvature
        x += part * direction
        left -= part * image
        if np.linalg.norm(left) <= _CG_TOLERANCE * size:
            break
        previous, square = square, float(left @ left)
        direction = left + square / previous * direction
    return x
