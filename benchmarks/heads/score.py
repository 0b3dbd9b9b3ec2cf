"""A predicted head held against the true one; beside it the mean face and the coarse surface."""

from dataclasses import dataclass, field

import numpy as np

from ...core.arrays import Floats
from ...core.errors import InputError
from ...core.geometry.closest import SurfaceQuery
from ..evaluation.protocol import ErrorMesh
from ..face_normal_error import normal_error_deg
from .found import FoundHead, mean_head, with_area
from .maps import map_figures
from .placing import Placed, place
from .relief import ReliefGrid, relief_figures, relief_grid
from .settings import Scale
from .truth import TrueHead

SURFACE_FIGURES = (
    "median_mm", "mean_mm", "rms_mm", "p90_mm", "normal_deg",
    "fine_corr", "fine_rms_um", "broad_corr", "broad_rms_um",
)  # fmt: skip
MAP_FIGURES = (
    "deformation_corr", "deformation_rms_mm", "displacement_corr", "displacement_face_corr",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class HeadScore:
    """What came of one prediction."""

    values: dict[str, float]
    """`SURFACE_FIGURES`, with `coarse.` and `mean_face.` before the name of these surfaces,
    `MAP_FIGURES`, `scale_percent`, by how much it is larger than the truth."""
    distances: Floats = field(repr=False)
    """(N,) mm from points of the true face to the prediction."""
    heat: ErrorMesh = field(repr=False)
    """The true face, with the distance from each vertex."""
    inside_out: bool
    """Its triangles are wound the other way."""
    searched: bool
    """It has no landmarks: where it lies was searched for."""


def score_head(
    true: TrueHead, found: FoundHead, *, scale: Scale = Scale.FREE, unit_mm: float = 1.0
) -> HeadScore:
    """Score a predicted head.

    Parameters
    ----------
    scale : Scale
        `free`: a similarity takes it to the truth; `metric`: it has the face's own size.
    unit_mm : float
        Millimetres in a unit of a metric prediction.

    Returns
    -------
    HeadScore
        `median_mm`, `mean_mm`, `rms_mm`, `p90_mm`: distance from points evenly over the true
        face, relief and all, to the surface. `normal_deg`: mean angle between normals.
        `fine_…`, `broad_…`: relief of 1 to 3 and 3 to 10 mm (`relief.relief_figures`).

    Raises
    ------
    InputError
        It cannot be aligned: no face, mirrored, another unit, landmarks in another order.
    """
    grid = relief_grid(true)
    placed = place(true.face, found, scale=scale, unit_mm=unit_mm)
    values, inside_out = _surface_figures(true, grid, found, placed)
    if found.surfaces is not None:
        values |= map_figures(found.surfaces, true, placed.error.found_from_true)
        coarse = FoundHead(
            mesh=with_area(found.surfaces.mesh("coarse"), "coarse surface"),
            landmarks=np.asarray(found.surfaces.coarse, np.float64)[
                found.surfaces.model.landmarks68
            ],
        )
        values |= _beside("coarse", true, grid, coarse, scale)
    values |= _beside("mean_face", true, grid, mean_head(), scale)
    pose = placed.error.found_from_true
    values["scale_percent"] = 100 * (pose.scale * unit_mm - 1) if scale is Scale.METRIC else np.nan
    return HeadScore(
        values=values,
        distances=placed.error.distance,
        heat=_heat(true, found, placed),
        inside_out=inside_out,
        searched=placed.searched,
    )


def _surface_figures(
    true: TrueHead, grid: ReliefGrid, found: FoundHead, placed: Placed
) -> tuple[dict[str, float], bool]:
    """Return `SURFACE_FIGURES`, and whether the surface is inside out."""
    distance, pose = placed.error.distance, placed.error.found_from_true
    turned = normal_error_deg(true.face, found.mesh, pose, smooth=True)
    relief = relief_figures(grid, SurfaceQuery(found.mesh.vertices, found.mesh.faces), pose)
    figures = {
        "median_mm": float(np.median(distance)),
        "mean_mm": float(distance.mean()),
        "rms_mm": float(np.sqrt((distance**2).mean())),
        "p90_mm": float(np.percentile(distance, 90)),
        "normal_deg": min(turned, 180 - turned),
        **{name: relief[name] for name in SURFACE_FIGURES if name in relief},
        "fine_true_um": relief["fine_true_um"],
        "broad_true_um": relief["broad_true_um"],
    }
    return figures, turned > 90


def _beside(
    level: str, true: TrueHead, grid: ReliefGrid, found: FoundHead, scale: Scale
) -> dict[str, float]:
    """Return the figures of a surface beside the prediction."""
    try:
        placed = place(true.face, found, scale=scale)
    except InputError:
        return {f"{level}.{name}": np.nan for name in SURFACE_FIGURES}
    figures, _ = _surface_figures(true, grid, found, placed)
    return {f"{level}.{name}": figures[name] for name in SURFACE_FIGURES}


def _heat(true: TrueHead, found: FoundHead, placed: Placed) -> ErrorMesh:
    inside = np.asarray(true.head_scored[true.head.faces].all(axis=1))
    face = true.head.selected(inside)
    pose = placed.error.found_from_true
    query = SurfaceQuery(found.mesh.vertices, found.mesh.faces)
    distance = query.closest(pose(face.vertices)).distance / pose.scale
    return ErrorMesh(vertices=face.vertices, faces=face.faces, error=distance)
