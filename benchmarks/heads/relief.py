"""How much of the true relief a head holds, in bands of wavelengths, whatever its topology.

On an even grid before the face, heights above the true surface *without* relief are measured
along its normals: those of the true surface and those of the predicted one, each band by band.
"""

from dataclasses import dataclass, field

import numpy as np

from ...core.arrays import AnyFloats, Bools, Floats, Floats32
from ...core.errors import EstimationError
from ...core.geometry.closest import SurfaceQuery
from ...core.geometry.mesh import vertex_normals
from ...core.geometry.transform import Similarity
from ..dataset_bench_band import BandAgreement, band_agreement
from .truth import TrueHead

BANDS_MM = {"fine": (1.0, 3.0), "broad": (3.0, 10.0)}
"""Name -> shortest and longest wavelength."""
STEP_MM = 0.25
"""Of the grid."""
_FACING = 0.6  # cosine to the viewing direction: steeper parts have too few grid points
REACH_MM = 8.0  # along the normal; farther off there is another part of the head, or nothing
_FROM_MM = 50.0  # of the first rays, before the face
_MISS_MM = 3.0  # a surface farther off than this is wrong in shape, not in relief
_EDGE_MM = 1.5  # more relief is none, but another part of the surface at an edge


@dataclass(frozen=True, kw_only=True)
class ReliefGrid:
    """The places where relief is compared, head frame, and the true relief there."""

    points: Floats = field(repr=False)
    """(N, 3) mm, on the true surface without relief."""
    normals: Floats = field(repr=False)
    """(N, 3) unit, of that surface."""
    usable: Bools = field(repr=False)
    """(H, W) which places of the grid these N are, row by row."""
    texel_mm: Floats32 = field(repr=False)
    """(H, W) side of a place on the skin; 0 where there is none."""
    true: Floats32 = field(repr=False)
    """(H, W) mm."""


def relief_grid(true: TrueHead) -> ReliefGrid:
    """Return where the relief of a true head is compared."""
    smooth, faces = true.smooth, true.skin.faces
    low, high = (true.face.mesh.vertices[:, :2].min(axis=0), true.face.mesh.vertices[:, :2].max(0))
    x, y = np.meshgrid(np.arange(low[0], high[0], STEP_MM), np.arange(low[1], high[1], STEP_MM))
    origins = np.stack([x, y, np.full_like(x, smooth[:, 2].max() + _FROM_MM)], axis=-1)
    away = np.broadcast_to(np.array([0.0, 0.0, -1.0]), (x.size, 3))
    hits = SurfaceQuery(smooth, faces).cast(origins.reshape(-1, 3), away)
    corners = faces[np.maximum(hits.face, 0)]
    u, v = hits.uv.T.astype(np.float64)
    weights = np.stack([1 - u - v, u, v], axis=1)
    normals = np.einsum("nk,nkc->nc", weights, vertex_normals(smooth, faces)[corners])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    points = np.einsum("nk,nkc->nc", weights, smooth[corners])
    seen = (hits.face >= 0) & true.scored[hits.face] & (normals[:, 2] > _FACING)
    heights = heights_along(points, normals, SurfaceQuery(true.skin.vertices, faces))
    seen &= np.abs(heights) < _EDGE_MM  # NaN: not
    side = np.where(seen, STEP_MM / np.sqrt(np.maximum(normals[:, 2], 1e-3)), 0.0)
    return ReliefGrid(
        points=points[seen],
        normals=normals[seen],
        usable=seen.reshape(x.shape),
        texel_mm=side.reshape(x.shape).astype(np.float32),
        true=np.where(seen, heights, 0.0).reshape(x.shape).astype(np.float32),
    )


def found_heights(
    grid: ReliefGrid, surface: SurfaceQuery, found_from_true: Similarity
) -> tuple[Floats32, Bools]:
    """Return (H, W) heights of a surface above the grid, mm of the true head, and where known."""
    heights = heights_along(grid.points, grid.normals, surface, found_from_true)
    known = np.abs(heights) < _MISS_MM  # NaN: not
    at, there = np.zeros(grid.usable.shape, np.float32), np.zeros(grid.usable.shape, bool)
    at[grid.usable], there[grid.usable] = np.where(known, heights, 0.0), known
    return at, there


def relief_figures(
    grid: ReliefGrid, surface: SurfaceQuery, found_from_true: Similarity
) -> dict[str, float]:
    """Return how a surface's relief agrees with the true one.

    Returns
    -------
    dict
        For each band of `BANDS_MM`: `<band>_corr`, correlation; `<band>_rms_um`, root mean
        square of the difference; `<band>_true_um`, of the true relief. NaN where the surface
        covers too little of the face.
    """
    heights, known = found_heights(grid, surface, found_from_true)
    figures = {}
    for name, band_mm in BANDS_MM.items():
        found = _agreement(grid, heights, known, band_mm)
        figures[f"{name}_corr"] = np.nan if found is None else found.corr
        figures[f"{name}_rms_um"] = np.nan if found is None else found.error_um
        figures[f"{name}_true_um"] = np.nan if found is None else found.true_um
    return figures


def heights_along(
    points: Floats,
    normals: Floats,
    surface: SurfaceQuery,
    there_from_here: Similarity | None = None,
    *,
    reach_mm: float = REACH_MM,
) -> AnyFloats:
    """Return (N,) how far a surface lies outside of points, along unit normals; NaN: out of reach.

    Parameters
    ----------
    points, normals : (N, 3)
    there_from_here : Similarity, optional
        From the points' frame into the surface's.
    reach_mm : float
        In the points' frame.
    """
    origins, away, scale = points + reach_mm * normals, -normals, 1.0
    if there_from_here is not None:
        origins, away = there_from_here(origins), away @ there_from_here.R.T
        scale = there_from_here.scale
    distance = surface.cast(origins, away).distance / scale
    return np.where(distance < 2 * reach_mm, reach_mm - distance, np.nan)


def _agreement(
    grid: ReliefGrid, heights: Floats32, known: Bools, band_mm: tuple[float, float]
) -> BandAgreement | None:
    try:
        return band_agreement(
            heights, grid.true, usable=known, texel_mm=grid.texel_mm, band_mm=band_mm
        )
    except EstimationError:
        return None
