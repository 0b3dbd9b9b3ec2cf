"""Tells what is odd about a prediction of the template's topology: its unit, its order, a mirror.

Vertices match by number, so that little is needed: how the prediction's size compares with the
template's, and how well it fits it.
"""

import numpy as np

from ...core.arrays import AnyFloats, Floats
from ...core.errors import InputError
from ..evaluation.units import spread, times_off

_LIKELY = 2.6
"""The official figure depends on the unit; sizes of heads differ by far less than this."""
_UNITS = {-2: "tens of metres", -1: "metres", 1: "centimetres", 2: "millimetres"}
"""Power of ten that a prediction is off by, in the unit it then has."""
_FITS = 0.5
"""Residual, in the size of the head, above which vertices are not those of the template."""


def unit_remark(predicted: AnyFloats, template: AnyFloats) -> str | None:
    """Return a sentence where a prediction is not in decimetres, else None.

    Parameters
    ----------
    predicted, template : (V, 3)
    """
    size, expected = spread(predicted), spread(template)
    if not size > 0:
        return "all vertices lie in one place"
    ratio = size / expected
    if 1 / _LIKELY < ratio < _LIKELY:
        return None
    unit = _UNITS.get(round(float(np.log10(ratio))))
    return f"predictions must be in decimetres; this one looks {times_off(ratio)}" + (
        f": {unit}?" if unit else ""
    )


def shape_remarks(predicted: AnyFloats, template: AnyFloats) -> list[str]:
    """Return a sentence where vertices match the template's mirror image only.

    Raises
    ------
    InputError
        They match neither: another order. Distances to such a tangle of triangles are small and
        mean nothing.
    """
    a, b = _unit_size(predicted), _unit_size(template)
    covariance = b.T @ a
    singular = np.linalg.svd(covariance, compute_uv=False)
    mirrored = float(np.linalg.det(covariance)) < 0
    fit = singular.sum() - (2 * singular[-1] if mirrored else 0.0)
    residual, residual_mirrored = 1 - fit**2, 1 - singular.sum() ** 2
    if mirrored and residual_mirrored < _FITS * residual:
        return ["it looks mirrored: an axis with the wrong sign?"]
    if singular.sum() > 0 and residual > _FITS**2:
        raise InputError("its vertices do not fit the template's: another order of vertices?")
    return []


def _unit_size(points: AnyFloats) -> Floats:
    centered = np.asarray(points, np.float64) - np.mean(points, axis=0, dtype=np.float64)
    return np.asarray(centered / max(float(np.linalg.norm(centered)), 1e-300))
