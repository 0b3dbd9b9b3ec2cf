"""Fit the morphable model: one identity for all takes, an expression and a pose for each.

Gauss-Newton on coefficients and poses together. Data: the distance of model vertices to the
planes of their nearest scan points, and of scan points to their nearest places on the model,
along the scan's normals; both robustly, with a reach that shrinks from stage to stage. Priors:
N(0, 1) for identity; a narrow one round rest, and the box of activations, for expression.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...core.arrays import AnyFloats, Bools, Floats
from ...core.facemodel.model import FaceModel
from ...core.geometry.transform import Similarity
from .fitstate import Fit, LandmarkTerm, Stage, TakeFit
from .modelrows import FitBasis, ModelRows, expression_sigma, model_rows
from .pose import IDENTITY, stepped
from .surface import Target


def start_fit(model: FaceModel, poses: Sequence[Similarity] = (IDENTITY,)) -> Fit:
    """Return the mean face at rest in the given poses."""
    return Fit(
        identity=np.zeros(model.n_identity),
        takes=tuple(TakeFit(pose=pose, expression=np.zeros(model.n_expression)) for pose in poses),
    )


def fit_morphable(
    basis: FitBasis,
    targets: Sequence[Target],
    start: Fit,
    *,
    stages: Sequence[Stage],
    with_scale: bool,
    landmarks: Sequence[LandmarkTerm | None],
) -> Fit:
    """Run the stages from `start`.

    Parameters
    ----------
    targets : sequence of Target
        A scan for each take of `start`, near the head frame, mm.
    with_scale : bool
        Whether the poses may scale.
    """
    fit = start
    for stage in stages:
        for _ in range(stage.n_steps):
            rows = [
                model_rows(basis, target, fit.identity, take, stage=stage, landmark=landmark)
                for target, take, landmark in zip(targets, fit.takes, landmarks, strict=True)
            ]
            fit = _step(basis, fit, rows, stage=stage, with_scale=with_scale)
    return fit


def _step(
    basis: FitBasis, fit: Fit, rows: Sequence[ModelRows], *, stage: Stage, with_scale: bool
) -> Fit:
    """One Gauss-Newton step of everything, the activations kept within their box."""
    n_id, n_exp = basis.n_identity, basis.n_expression
    n_take = n_exp + 7
    n = n_id + len(rows) * n_take
    H, g = np.zeros((n, n)), np.zeros(n)
    H[np.arange(n_id), np.arange(n_id)] = 1.0
    g[:n_id] = -fit.identity
    sigma = expression_sigma(basis.model)
    moves = np.zeros(n, bool)
    moves[: min(stage.n_identity, n_id)] = True
    for k, (row, take) in enumerate(zip(rows, fit.takes, strict=True)):
        start = n_id + k * n_take
        at = np.r_[0:n_id, start : start + n_take]
        H[np.ix_(at, at)] += row.H
        g[at] += row.g
        diagonal = np.arange(start, start + n_exp)
        H[diagonal, diagonal] += 1 / sigma**2
        g[diagonal] -= take.expression / sigma**2
        moves[start : start + min(stage.n_expression, n_exp)] = True
        moves[start + n_exp : start + n_take - (not with_scale)] = True
    H[np.arange(n), np.arange(n)] += 1e-9
    low, high = _box(basis, fit, n_take)
    step = box_step(H, g, moves=moves, low=low, high=high)
    takes = []
    for k, take in enumerate(fit.takes):
        part = step[n_id + k * n_take : n_id + (k + 1) * n_take]
        takes.append(
            replace(
                take,
                pose=stepped(take.pose, part[n_exp:]),
                expression=take.expression + part[:n_exp],
            )
        )
    return Fit(identity=fit.identity + step[:n_id], takes=tuple(takes))


def _box(basis: FitBasis, fit: Fit, n_take: int) -> tuple[Floats, Floats]:
    """Return how far each unknown may step down and up."""
    n_id, n_exp = basis.n_identity, basis.n_expression
    low = np.full(n_id + len(fit.takes) * n_take, -np.inf)
    high = -low
    least, most = basis.model.expression_range
    for k, take in enumerate(fit.takes):
        at = slice(n_id + k * n_take, n_id + k * n_take + n_exp)
        low[at], high[at] = least - take.expression, most - take.expression
    return low, high


def box_step(
    H: AnyFloats,
    g: AnyFloats,
    *,
    moves: Bools,
    low: Floats,
    high: Floats,
) -> Floats:
    """Minimise x H x / 2 - g x over the unknowns that move, within their box.

    Those that leave it are held at its wall and the rest solved again, a few times.
    """
    x = np.zeros(len(g))
    free = moves.copy()
    for _ in range(6):
        at = np.flatnonzero(free)
        held = np.flatnonzero(moves & ~free)
        x[at] = np.linalg.solve(H[np.ix_(at, at)], g[at] - H[np.ix_(at, held)] @ x[held])
        out = free & ((x < low) | (x > high))
        x = np.clip(x, low, high)
        if not out.any():
            break
        free &= ~out
    return x
