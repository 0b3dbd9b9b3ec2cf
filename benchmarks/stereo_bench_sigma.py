"""Whether the uncertainty that a mesh states is that of its errors.

The figures are those that `dataset.uncertainty` explains.
"""

import numpy as np

from ..core.arrays import Bools, Floats
from ..core.geometry.mesh import Mesh
from .mesh_accuracy import MeshAccuracy

SIGMA = "sigma_mm"
"""Attribute of `mesh.ply`: one standard deviation along the normal."""
PATCH_MM = 2.0
"""Grid whose cubes hold a patch of surface each."""
LEAST_VERTICES = 20
"""Of a patch: fewer errors have no size."""
_LEAST_PATCHES = 3


def sigma_figures(mesh: Mesh, accuracy: MeshAccuracy) -> dict[str, float | None]:
    """Compare the stated standard deviations with the true errors.

    Returns
    -------
    dict
        `sigma_coverage`: share, 0-1, of vertices of the measured region whose error is at most
        sigma. `sigma_corr`: correlation, over patches, of the logarithms of the root mean
        squares of sigma and of error. None where the mesh states nothing, or where its
        triangles are too large for patches.
    """
    stated = mesh.attributes.get(SIGMA)
    if stated is None:
        return {"sigma_corr": None, "sigma_coverage": None}
    sigma = np.asarray(stated, dtype=np.float64)
    error = np.asarray(accuracy.signed_mm, dtype=np.float64)
    known = accuracy.measured & np.isfinite(sigma) & np.isfinite(error) & (sigma > 0)
    if not known.any():
        return {"sigma_corr": None, "sigma_coverage": None}
    return {
        "sigma_corr": _patch_correlation(mesh, sigma, error, known),
        "sigma_coverage": float((np.abs(error[known]) <= sigma[known]).mean()),
    }


def _patch_correlation(mesh: Mesh, sigma: Floats, error: Floats, known: Bools) -> float | None:
    cube = np.floor(np.asarray(mesh.vertices, np.float64)[known] / PATCH_MM).astype(np.int64)
    _, patch, count = np.unique(cube, axis=0, return_inverse=True, return_counts=True)
    patch = patch.reshape(-1)
    full = count >= LEAST_VERTICES
    stated, true = (
        np.bincount(patch, weights=values[known] ** 2)[full] / count[full]
        for values in (sigma, error)
    )
    if len(true) < _LEAST_PATCHES or np.ptp(stated) == 0 or np.ptp(true) == 0:
        return None
    tiny = 1e-18  # mm²: an exact patch has no logarithm
    # of mean squares: half of it would be that of roots, and correlates alike
    return float(np.corrcoef(np.log(stated + tiny), np.log(true + tiny))[0, 1])
