"""How much of the true relief a reconstruction holds, by wavelength.

Seen from the front in parallel projection, heights above the surface *without* relief are
compared on an even grid: differences of Gaussians pick one octave of wavelengths each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..core.arrays import AnyFloats, Bools, Floats, Floats32, Ints
from ..core.errors import EstimationError
from ..core.geometry.closest import SurfaceQuery
from ..core.geometry.mesh import Mesh

STEP_MM = 0.15
"""Of the grid."""
BANDS = ("1mm", "2mm", "4mm", "8mm")
_SIGMAS_MM = (0.18, 0.35, 0.7, 1.4, 2.8)
"""A band lies between two of them: its wavelength is about 2 pi 0.85 times the finer one."""
_FACING = 0.72  # cosine to the viewing direction: steeper parts have too few grid points
_RELIEF_MM = 1.5  # more is another part of the surface, at an edge
_MISS_MM = 3.0  # so is a reconstruction farther off than this
_INNER = 0.98  # share of valid grid within 2 mm, for a point to count
_FROM_Z_MM = 300.0  # of the rays: before every head
_LEAST_POINTS = 100


@dataclass(frozen=True, kw_only=True)
class Window:
    """What the grid spans, head frame, mm: x to the subject's left, y up."""

    x: tuple[float, float]
    y: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Hollow:
    """A part of the frontal view that is left out: an eye, the nostrils, the mouth."""

    center: tuple[float, float]
    half: tuple[float, float]
    round: bool = False
    """An ellipse; otherwise a rectangle."""

    def holds(self, x: Floats, y: Floats) -> Bools:
        """Tell which points lie within."""
        u = (x - self.center[0]) / self.half[0]
        v = (y - self.center[1]) / self.half[1]
        inside = u**2 + v**2 < 1 if self.round else (np.abs(u) < 1) & (np.abs(v) < 1)
        return np.asarray(inside)


@dataclass(frozen=True, kw_only=True)
class Band:
    """The relief of one octave."""

    corr: float
    """Correlation of the reconstruction's with the true."""
    gain: float
    """Part of the true relief that the reconstruction follows; below 1 it is smoothed."""
    true_um: float
    """Standard deviation of the true relief, micrometres."""
    error_um: float
    """Standard deviation of the difference."""


class TrueRelief:
    """Heights of a true surface over the same surface without relief."""

    def __init__(
        self, mesh: Mesh, smooth: AnyFloats, *, region: Bools, window: Window,
        hollows: Sequence[Hollow],
    ) -> None:  # fmt: skip
        x = np.arange(*window.x, STEP_MM)
        y = np.arange(*window.y, STEP_MM)
        self._x, self._y = np.meshgrid(x, y)
        true = SurfaceQuery(mesh.vertices, mesh.faces)
        z, face = self._heights(true)
        self._smooth, _ = self._heights(SurfaceQuery(smooth, mesh.faces))
        hit = face >= 0
        with np.errstate(invalid="ignore"):
            self._relief = z - self._smooth
            usable = hit & (np.abs(self._relief) < _RELIEF_MM)
        usable[hit] &= region[face[hit]] & (_slant(mesh, face[hit]) > _FACING)
        for hollow in hollows:
            usable &= ~hollow.holds(self._x, self._y)
        self._usable = usable

    def bands(self, mesh: Mesh) -> dict[str, Band]:
        """Compare a reconstruction in the true frame; see `BANDS`.

        Raises
        ------
        EstimationError
            It covers too little of the frontal face.
        """
        z, _ = self._heights(SurfaceQuery(mesh.vertices, mesh.faces))
        with np.errstate(invalid="ignore"):
            found = z - self._smooth
            usable = self._usable & (np.abs(found - self._relief) <= _MISS_MM)
        weight = usable.astype(np.float32)
        inner = usable & (_blurred(weight, 2.0) > _INNER)
        if inner.sum() < _LEAST_POINTS:
            raise EstimationError("the mesh covers too little of the face to compare its relief")
        true_levels = _levels(self._relief, weight)
        levels = _levels(found, weight)
        bands = {}
        for i, name in enumerate(BANDS):
            true = (true_levels[i] - true_levels[i + 1])[inner].astype(np.float64)
            own = (levels[i] - levels[i + 1])[inner].astype(np.float64)
            bands[name] = Band(
                corr=_correlation(true, own),
                gain=float((true * own).mean() / max((true * true).mean(), 1e-18)),
                true_um=1000 * float(true.std()),
                error_um=1000 * float((own - true).std()),
            )
        return bands

    def _heights(self, surface: SurfaceQuery) -> tuple[Floats32, Ints]:
        """Return z of the frontmost surface, NaN where there is none, and its face, else -1."""
        origins = np.stack([self._x, self._y, np.full_like(self._x, _FROM_Z_MM)], -1)
        down = np.broadcast_to(np.array([0.0, 0.0, -1.0]), origins.shape)
        hits = surface.cast(origins.reshape(-1, 3), down.reshape(-1, 3))
        z = np.where(hits.hit, np.float32(_FROM_Z_MM) - hits.distance, np.float32(np.nan))
        return z.reshape(self._x.shape), hits.face.reshape(self._x.shape)


def _slant(mesh: Mesh, face: Ints) -> Floats:
    """Return the cosine between the normals of faces (N,) and the z axis, unsigned."""
    a, b, c = (mesh.vertices[mesh.faces[face, i]].astype(np.float64) for i in range(3))
    normal = np.cross(b - a, c - a)
    length = np.maximum(np.linalg.norm(normal, axis=1), 1e-30)
    return np.asarray(np.abs(normal[:, 2]) / length)


def _levels(heights: Floats32, weight: Floats32) -> list[Floats32]:
    """Blur heights (H, W) by every sigma, only over the points that have weight."""
    filled = np.where(weight > 0, heights, 0).astype(np.float32)
    shares = [np.maximum(_blurred(weight, sigma), 1e-3) for sigma in _SIGMAS_MM]
    return [
        np.asarray(_blurred(filled, sigma) / share, np.float32)
        for sigma, share in zip(_SIGMAS_MM, shares, strict=True)
    ]


def _blurred(image: Floats32, sigma_mm: float) -> Floats32:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_mm / STEP_MM), np.float32)


def _correlation(a: Floats, b: Floats) -> float:
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
