"""REALY's rigid alignments: globally on seven keypoints, then region by region (gICP, rICP).

Units are REALY's, about a centimetre. Where the official result hangs on single precision, the
same roundings are made here, each named.

Source
------
Chai et al., REALY, ECCV 2022, doi:10.1007/978-3-031-20074-8_5; behaviour of github.com/czh-98/REALY
at 3f13e9a.
"""

from dataclasses import dataclass

import numpy as np

from ...core.arrays import AnyFloats, Floats, Floats32, Ints
from ...core.errors import EstimationError
from ...core.geometry.transform import align_similarity
from ..metrics.surface import ExactSurface
from .foot_kernels import Rings
from .regions import SEVEN, KeypointTable

MOST_STEPS = 100
STOP = 1e-6
"""Change of the mean squared residual, units squared, below which the rigid alignment ends."""

_CHEEK_SHARE = 4
"""The cheek's keypoints weigh a quarter of what those of the other regions do."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """target = scale R source + t."""

    scale: float
    R: Floats
    """(3, 3) orthogonal; a reflection where that fits best and is not excluded."""
    t: Floats
    """(3,)."""


def fit_official(source: AnyFloats, target: AnyFloats, *, with_scale: bool) -> Fit:
    """Fit points as REALY does: mirrors are taken, and the scale is a ratio of sums of |x|.

    Parameters
    ----------
    source, target : (N, 3)
        Matched points. Float32 targets are averaged in float32, in the order of the rows, as
        the official code does: the result depends on it by 1e-7.
    with_scale : bool
        Whether to find a scale; 1 otherwise.

    Raises
    ------
    EstimationError
        The source is a single point, so that no scale fits.
    """
    down, across = source.T, target.T  # 3 x N: numpy sums such rows one after another
    centred = down - np.mean(down, axis=1)[:, None]
    centred_target = across - np.mean(across, axis=1)[:, None]
    R = _rotation(centred_target @ centred.T)
    scale = 1.0
    if with_scale:
        spread = float(np.sum(np.sum(np.abs(R @ centred))))
        if spread == 0.0:
            raise EstimationError("the prediction's keypoints are one point; they give no scale")
        # not the least-squares scale: the L1 lengths are compared, which depends on the axes
        scale = float(np.sum(np.sum(np.abs(centred_target)))) / spread
    t = np.mean(across - scale * (R @ down), axis=1)
    return Fit(scale=scale, R=R, t=t)


def fit_fixed(source: AnyFloats, target: AnyFloats, *, with_scale: bool) -> Fit:
    """Fit points in the sense of least squares, in float64 and without mirrors."""
    found = align_similarity(
        source.astype(np.float64), target.astype(np.float64), with_scale=with_scale
    )
    return Fit(scale=found.scale, R=found.R, t=found.t)


def align_globally(
    vertices: Floats32, keypoints: AnyFloats, table: KeypointTable, *, fixed: bool = False
) -> tuple[Floats, Fit]:
    """Bring a prediction onto the scan by seven keypoints; return its vertices and what moved them.

    Parameters
    ----------
    vertices : (V, 3) float32
    keypoints : (85, 3)
        Of the scan.
    """
    seven = list(SEVEN)
    own = table.on(vertices)[seven]
    fit = (fit_fixed if fixed else fit_official)(own, keypoints[seven], with_scale=True)
    if fixed:
        return fit.scale * (vertices.astype(np.float64) @ fit.R.T) + fit.t, fit
    # NumPy 1 keeps float32 * float64 scalar in float32, and that is what the code ran with
    return (vertices * np.float32(fit.scale)) @ fit.R.T + fit.t, fit


@dataclass(frozen=True, kw_only=True)
class Aligned:
    """A prediction in the place that suits one region."""

    vertices: AnyFloats
    """(V, 3) float32; float64 where fixed."""
    R: Floats
    t: Floats
    """What took the globally aligned mesh there, up to rounding: x -> R x + t."""
    steps: int
    """Searches for closest points; officially one transform fewer is applied."""


@dataclass(frozen=True, kw_only=True)
class PlacedMesh:
    """A globally aligned prediction and its search tree."""

    vertices: Floats
    """(V, 3) float64, REALY's unit."""
    faces: Ints
    """(F, 3)."""
    surface: ExactSurface
    """Of these vertices and faces."""
    rings: Rings
    """Of them too."""
    keypoints: KeypointTable
    by_normal: bool
    """Whether near ties between faces are settled as trimesh does."""


class PosedSurface:
    """A placed mesh moved on rigidly: its one tree names the closest face, its rings the point.

    Queries go back to the tree. The closest point is then found on that face, and those around
    it, where they are now: so the roundings of the moved vertices count as they do officially.
    """

    def __init__(self, mesh: PlacedMesh, vertices: AnyFloats, R: Floats, t: Floats) -> None:
        self._mesh, self._vertices, self._R, self._t = mesh, vertices, R, t

    def closest(self, points: AnyFloats, *, hint: Ints | None = None) -> tuple[Floats, Ints]:
        """Return the (N, 3) closest points and the (N,) closest faces; see `Rings.closest`."""
        points64: Floats = np.asarray(points, dtype=np.float64)
        found = self._mesh.surface.closest((points64 - self._t) @ self._R, hint=hint)
        feet = self._mesh.rings.closest(
            points64, self._vertices, found.face, by_normal=self._mesh.by_normal
        )
        return feet, found.face


def align_region(
    mesh: PlacedMesh,
    scan: AnyFloats,
    keypoints: AnyFloats,
    rows: tuple[int, ...],
    *,
    cheek: bool = False,
    fixed: bool = False,
) -> Aligned:
    """Align a prediction rigidly to one region of the scan (rICP).

    Parameters
    ----------
    scan : (N, 3) float32
        All vertices of the region, as the file has them.
    keypoints : (85, 3) float32
        Of the scan.
    rows : tuple of int
        The keypoints of this region.
    fixed : bool
        No mirrors, no roundings, and the last transform is applied too.
    """
    share = len(scan) / len(rows) / (_CHEEK_SHARE if cheek else 1)
    repeats = int(share)  # keypoint pairs are repeated to weigh as much as the vertices
    if repeats < 1:
        raise EstimationError(
            f"a scan region has {len(scan)} vertices, too few for its {len(rows)} keypoints"
        )
    fit_points = fit_fixed if fixed else fit_official
    target = np.vstack([scan, np.tile(keypoints[list(rows)], (repeats, 1))])
    moving: AnyFloats = np.tile(mesh.keypoints.on(mesh.vertices)[list(rows)], (repeats, 1))
    vertices: AnyFloats = mesh.vertices
    R, t = np.eye(3), np.zeros(3)
    hint: Ints | None = None
    before, steps = 0.0, 0
    while True:
        steps += 1
        posed = PosedSurface(mesh, vertices, R, t)
        feet, hint = posed.closest(scan, hint=hint)
        source = np.vstack([feet, moving])
        fit = fit_points(source, target, with_scale=False)
        moved: AnyFloats = source @ fit.R.T + fit.t
        if not fixed:
            moved = moved.astype(np.float32)  # and so the mean below is taken in float32
        error = float(np.sum((moved - target) ** 2, axis=1).mean())
        done = abs(error - before) < STOP or steps > MOST_STEPS
        if done and not fixed:
            break  # the last transform, though computed, is not applied
        before = error
        vertices = vertices @ fit.R.T + fit.t
        moving = moving @ fit.R.T + fit.t
        R, t = fit.R @ R, fit.R @ t + fit.t
        if done:
            break
        if not fixed:
            vertices, moving = vertices.astype(np.float32), moving.astype(np.float32)
    return Aligned(vertices=vertices, R=R, t=t, steps=steps)


def _rotation(covariance: AnyFloats) -> Floats:
    U, _, Vt = np.linalg.svd(covariance)
    return np.asarray(U @ Vt)  # no look at the determinant: a reflection passes
