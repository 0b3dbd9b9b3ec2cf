"""The same alignment as `register.py`, solved to its end: what `--fixed` reports.

Least squares over the same distances, but by variables of one unit (mm at the crop's radius,
about its middle) and until nothing moves, so that the result does not depend on the path.

Source
------
Chen & Medioni, Object modelling by registration of multiple range images, 1992: a step holds
each foot's tangent plane. Levenberg-Marquardt damping.
"""

import numpy as np

from ...core.arrays import Floats
from ..metrics.surface import ExactSurface
from .motion import STILL, Footing, Motion, measure, normal_equations, rotation
from .motion import rotation_derivatives as derivatives
from .register import Registration

_MOST_STEPS = 200
_STILL_MM = 1e-7
_DAMPING, _LESS, _MORE = 1e-4, 0.1, 10.0
_MOST_DAMPING = 1e8


def converge(points: Floats, surface: ExactSurface, *, with_scale: bool) -> Registration:
    """Move the mesh to the scan points (N, 3), both about aligned already, mm."""
    middle = points.mean(axis=0)
    radius = float(np.sqrt(((points - middle) ** 2).sum(axis=1).mean()))
    units = np.array([radius] * 4 + [1.0] * 3)
    first = 0 if with_scale else 1
    motion, damping = STILL, _DAMPING
    iterations, evaluations = 0, 1
    footing = measure(surface, points, motion)
    accepted, length = True, np.inf
    while accepted and length > _STILL_MM and iterations < _MOST_STEPS:
        iterations += 1
        matrix, vector = _about(points, footing, motion, middle)
        matrix, vector = matrix / np.outer(units, units), vector / units
        accepted = False
        while not accepted and damping < _MOST_DAMPING and length > _STILL_MM:
            step = np.zeros(7)
            damped = matrix + damping * np.diag(np.diag(matrix) + 1e-12 * len(points))
            step[first:] = np.linalg.solve(damped[first:, first:], -vector[first:])
            length = float(np.linalg.norm(step))
            trial = _moved(motion, step / units, middle)
            found = measure(surface, points, trial, hint=footing.face)
            evaluations += 1
            accepted = found.sum_of_squares < footing.sum_of_squares
            damping *= _LESS if accepted else _MORE
        if accepted:
            motion, footing = trial, found
    return Registration(
        motion=motion, distance=footing.distance, iterations=iterations, evaluations=evaluations
    )


def _about(
    points: Floats, footing: Footing, motion: Motion, middle: Floats
) -> tuple[Floats, Floats]:
    """Return the normal equations of a further small motion about `middle`."""
    here = Footing(
        distance=footing.distance, foot=motion.apply(footing.foot) - middle, face=footing.face
    )
    return normal_equations(points - middle, here, STILL, by_turn=derivatives(np.zeros(3)))


def _moved(motion: Motion, step: Floats, middle: Floats) -> Motion:
    """Return `motion`, then grown by step[0], turned by step[1:4] about `middle`, and shifted."""
    R, scale = rotation(step[1:4]), float(np.exp(step[0]))
    shift = middle + scale * R @ (motion.shift - middle) + step[4:]
    return Motion(scale=motion.scale * scale, R=R @ motion.R, shift=shift)
