"""A board between free and held: its faces bend and stretch smoothly, but single corners are exact.

Plates bend and printers stretch smoothly: each face's corners are moved by polynomials of x and y,
which contain its place and its size; so the second face brings its mounting along. Whether
that holds, the photographs decide.
"""

import logging
from dataclasses import replace

import numpy as np

from ...core.arrays import Bools, Floats
from .adjust import MIN_SIGHTINGS, adjust, explained
from .mounting import Board
from .rigstate import Observations, RigState

log = logging.getLogger(__name__)

DEGREE = 3
POWERS = tuple((i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i))
MIN_CORNERS = 2 * len(POWERS)  # of a face, seen often enough
MAX_RISE = 2.0
"""Of the loss for each degree of freedom that the smooth board gives up, in variances of the
noise. Noise alone makes 1. Corners that are off by as much as the photographs leave each
uncertain add another 1: up to there the smooth board errs less than the free one (which is
Akaike's criterion), and views of which all corners are off together have some room."""


def with_smooth_board(
    state: RigState, seen: Observations, nominal: Board, *, loss_px: float
) -> RigState:
    """Return the rig adjusted with a smooth board, or as it was where the board is not.

    Parameters
    ----------
    state : RigState
        Adjusted to `seen` with free corners and the loss' scale `loss_px`.
    """
    sighted: Bools = np.bincount(seen.corner, minlength=len(state.points)) >= MIN_SIGHTINGS
    n_sighted = [int(sighted[nominal.rows(f)].sum()) for f in range(len(nominal.board_from_face))]
    if any(0 < n < MIN_CORNERS for n in n_sighted):
        return state
    basis = polynomials(nominal, sighted)
    part = (basis != 0).any(axis=1)
    laid = basis @ (basis[sighted].T @ state.points[sighted])
    points = np.where(part[:, None], laid, state.points)
    used = seen[sighted[seen.corner]]
    trial = adjust(
        replace(state, points=points, basis=basis), used, free_points=True, loss_px=loss_px
    )
    free, smooth = (explained(one, used, loss_px=loss_px) for one in (state, trial))
    given_up = free.n_unknown - smooth.n_unknown
    rise = (smooth.loss - free.loss) / given_up / max(free.variance, 1e-30)
    log.debug("smooth board: the loss rises by %.2f for each degree of freedom", rise)
    return trial if rise <= MAX_RISE else state


def polynomials(nominal: Board, sighted: Bools) -> Floats:
    """Return the basis of smooth deformations of the board's faces.

    Parameters
    ----------
    sighted : (n_corners,) bool
        Corners seen often enough; a face with none gets no terms.

    Returns
    -------
    (n_corners, n_terms) float64
        Polynomials up to `DEGREE`, orthonormal over the sighted corners of each face, zero on
        the other face.
    """
    columns = []
    for face in range(len(nominal.board_from_face)):
        rows = nominal.rows(face)
        if not sighted[rows].any():
            continue
        xy = nominal.on_face[rows, :2] - nominal.on_face[rows, :2].mean(axis=0)
        x, y = (xy / np.abs(xy).max(axis=0)).T
        monomials = np.stack([x**i * y**j for i, j in POWERS], axis=1)
        _, root = np.linalg.qr(monomials[sighted[rows]])
        own = np.zeros((len(sighted), len(POWERS)))
        own[rows] = monomials @ np.linalg.pinv(root)
        columns.append(own)
    return np.concatenate(columns, axis=1)
