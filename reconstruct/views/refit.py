"""The coarse face follows what later stages measured: coefficients of given vertices."""

import numpy as np

from ...core.arrays import Floats
from ...core.errors import InputError
from ...core.geometry.mesh import vertex_normals
from ..align import MODEL_UNIT_MM
from ..fit_landmarks import Prior, prior_step
from ..fit_model import FitModel
from .bundle import per_patch
from .coarse_state import head_vertices

_N_STEPS = 2  # the problem is linear but for the normals and the box
_ROBUST_MM = 3.0  # gaps from which on a vertex pulls less: what was measured there is no skin


def refit_coefficients(
    model: FitModel,
    target_vertices: Floats,
    weight: Floats,
    start: Floats,
    *,
    sigma_mm: float = 0.5,
    along: float = 0.05,
) -> Floats:
    """Return the most likely coefficients of a face whose vertices were measured.

    Parameters
    ----------
    target_vertices : (V, 3) mm, head frame
        NaN where nothing is known.
    weight : (V,) in [0, 1]
        How far each is believed; 0 where nothing is known.
    start : (n_modes,)
        Coefficients whose shape gives the normals.
    sigma_mm : float
        Standard deviation of a measured face from what the model can show, across the surface,
        over a patch of a few centimetres.
    along : float
        Weight of gaps along the surface: measured surfaces slide, they seldom tell which point
        of the skin a vertex is.

    Raises
    ------
    InputError
        Arrays that do not go with the model.
    """
    n_vertices = len(model.mean)
    if target_vertices.shape != (n_vertices, 3) or weight.shape != (n_vertices,):
        raise InputError(
            f"targets of shape {target_vertices.shape} and weights of shape {weight.shape} for a "
            f"model of {n_vertices} vertices"
        )
    known = np.flatnonzero((weight > 0) & np.isfinite(target_vertices).all(axis=1))
    if len(known) == 0:
        return np.array(start, np.float64)
    modes = MODEL_UNIT_MM * np.asarray(model.modes[:, known], np.float64)
    prior = Prior(sigma=model.sigma, low=model.low, high=model.high)
    trust = weight[known] / (sigma_mm**2 * per_patch(len(known)))
    coefficients = np.array(start, np.float64)
    moves = np.ones(len(model.modes), bool)
    for _ in range(_N_STEPS):
        shape = head_vertices(model, coefficients)
        normals = vertex_normals(shape, model.faces)[known]
        gap = target_vertices[known] - shape[known]
        H, g = _equations(modes, normals, gap, trust, along)
        coefficients = coefficients + prior_step(prior, coefficients, H, g, moves=moves)
    return coefficients


def _equations(
    modes: Floats, normals: Floats, gap: Floats, trust: Floats, along: float
) -> tuple[Floats, Floats]:
    """Return the normal equations of gaps (N, 3) mm, across the surface and `along` all axes."""
    across = np.einsum("vd,vd->v", normals, gap)
    rows = np.einsum("mvd,vd->vm", modes, normals, optimize=True)
    by = trust / (1 + (across / _ROBUST_MM) ** 2)
    flat = modes.reshape(len(modes), -1)
    beside = np.repeat(along * by, 3)
    H = rows.T @ (rows * by[:, None]) + (flat * beside) @ flat.T
    g = rows.T @ (by * across) + (flat * beside) @ gap.ravel()
    return H, g
