"""The modes of a face model that come nearest to a surface in its topology."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from ...core.arrays import AnyFloats, Floats, Floats32
from ...core.facemodel.model import FaceModel

_STEP = 3  # one vertex in so many is enough for a hundred modes
_SIGMA_MM = 0.5  # of what the modes need not explain
_EXPRESSION_SIGMA = 0.3  # of an activation, a priori


@dataclass(frozen=True, kw_only=True)
class Modes:
    """Least squares with the model's prior, made ready for one set of known vertices."""

    model: FaceModel
    rows: NDArray[np.intp]
    """(n,) vertices that count."""
    basis: Floats
    """(3 n, n_id + n_exp)."""
    factor: tuple[Floats, bool]

    def nearest(self, vertices: AnyFloats) -> tuple[Floats32, Floats32]:
        """Return identity and expression of the nearest shape to (V, 3) mm, head frame."""
        gap = (np.asarray(vertices)[self.rows] - self.model.mean[self.rows]).reshape(-1)
        found = cho_solve(self.factor, self.basis.T @ gap).astype(np.float32)
        return found[: self.model.n_identity], found[self.model.n_identity :]


def nearest_modes(model: FaceModel, support: AnyFloats) -> Modes:
    """Prepare `Modes.nearest` for vertices of the face with support."""
    known = np.asarray(support) > 0.5
    if "face" in model.regions:
        known = known & model.regions["face"]
    rows = np.flatnonzero(known)[::_STEP]
    identity = model.identity[:, rows] * model.identity_sigma[:, None, None]
    basis = np.concatenate([identity, model.expression[:, rows]]).reshape(-1, 3 * len(rows)).T
    basis = np.asarray(basis, np.float64)
    prior = np.concatenate(
        [np.ones(model.n_identity), (model.expression_sigma * _EXPRESSION_SIGMA) ** -2.0]
    )
    # neighbours tell nearly the same: each vertex counts for less than one measurement
    normal = basis.T @ basis + np.diag(prior) * _SIGMA_MM**2 * 10
    return Modes(model=model, rows=rows, basis=basis, factor=cho_factor(normal))
