"""Checks of the seven landmarks that NoW and ESRC align by, and what their fit gives away."""

from itertools import permutations

import numpy as np

from ...core.arrays import AnyFloats, Floats
from ...core.errors import InputError
from ..evaluation.units import size_remark, spread
from .crop import N_LANDMARKS, Sphere
from .procrustes import Procrustes
from .surface import ExactSurface

_POOR_FIT = 0.06
"""Share of the squares that a fit leaves: people leave 0.005, 7 mm of noise 0.05."""
_MUCH_BETTER = 0.25
_FACE_MM = 67.0  # mean of outer eye distance and nose length, near enough
_OFF_MESH = 0.3  # of the landmarks' spread


def seven_landmarks(landmarks: AnyFloats, whose: str, *, kind: type | None = None) -> AnyFloats:
    """Return landmarks as (7, 3) floats, in their own float type unless `kind` is given.

    Raises
    ------
    InputError
        They are not seven finite points.
    """
    points = np.asarray(landmarks)
    if points.shape == (1, N_LANDMARKS, 3):
        points = points[0]
    if points.shape != (N_LANDMARKS, 3):
        raise InputError(f"{whose} landmarks have the shape {points.shape}; (7, 3) needed")
    if kind is not None or points.dtype not in (np.float32, np.float64):
        points = points.astype(kind or np.float64)
    bad = ~np.isfinite(points).all(axis=1)
    if bad.any():
        raise InputError(f"{whose} landmark {int(np.flatnonzero(bad)[0]) + 1} of 7 is not finite")
    return points


def alignment_remarks(
    scan: AnyFloats, landmarks: AnyFloats, alignment: Procrustes
) -> tuple[str, ...]:
    """Tell landmarks that are mirrored or in another order; both give large errors silently.

    Parameters
    ----------
    scan, landmarks : (7, 3)
        As `alignment` was found from.
    """
    if alignment.residual >= _POOR_FIT:
        order, residual = _best_order(scan.astype(np.float64), landmarks.astype(np.float64))
        if residual < min(_MUCH_BETTER * alignment.residual, _POOR_FIT):
            rows = ", ".join(str(k + 1) for k in order)
            return (f"the landmarks look out of order: rows {rows} in place of 1 to 7 fit better",)
    if alignment.mirrored:
        return ("the landmarks fit best mirrored: left and right exchanged, or a mirrored mesh?",)
    if alignment.residual < _POOR_FIT:
        return ()
    off = np.sqrt(((alignment.fitted - scan) ** 2).sum(axis=1).mean())
    return (f"the landmarks do not fit the scan's: {off:.3g} mm off after alignment",)


def placement_remarks(
    surface: ExactSurface, placed: AnyFloats, sphere: Sphere, *, factor: float
) -> tuple[str, ...]:
    """Tell a scan of another unit than mm, and landmarks that do not lie on their mesh.

    Parameters
    ----------
    surface : ExactSurface
        The aligned prediction.
    placed : (7, 3)
        Its landmarks, aligned likewise.
    factor : float
        Of the crop's radius.
    """
    remarks = []
    size = size_remark(sphere.radius, factor * _FACE_MM, what="the scan and its landmarks")
    if size:
        remarks.append(f"{size} (results are in the scan's unit; mm was expected)")
    off = float(np.median(surface.closest(placed).distance))
    if off > _OFF_MESH * spread(placed):
        remarks.append(
            f"the prediction's landmarks are {off:.3g} mm off its mesh once aligned: of another "
            "mesh, or in another unit or place?"
        )
    return tuple(remarks)


def _best_order(scan: Floats, landmarks: Floats) -> tuple[tuple[int, ...], float]:
    """Return the order of the landmarks that fits best without a mirror, and what it leaves."""
    orders = np.array(list(permutations(range(N_LANDMARKS))))
    target, moved = scan - scan.mean(axis=0), landmarks - landmarks.mean(axis=0)
    target, moved = target / np.linalg.norm(target), moved / np.linalg.norm(moved)
    cross = np.einsum("ni,pnj->pij", target, moved[orders])
    s = np.linalg.svd(cross, compute_uv=False)
    trace = s[:, 0] + s[:, 1] + np.sign(np.linalg.det(cross)) * s[:, 2]
    best = int(np.argmax(trace))
    return tuple(int(k) for k in orders[best]), float(1 - trace[best] ** 2)
