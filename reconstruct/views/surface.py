"""What depth along normals means for a head's vertices, and for its two maps."""

import numpy as np

from ...core.arrays import AnyFloats, Bools, Floats, Floats32
from ...core.facemodel.model import FaceModel
from ...core.geometry.mesh import vertex_normals
from ...dataset.bake.chart import chart
from ...dataset.bake.deformation import OURS, Samples, map_of_offsets
from ...dataset.register.follow import followed
from ..fit_model import photographed
from .texels import TexelGrid

_AWAY = ("scalp", "ears")  # the neck is measured where it is seen
_SURE = 0.99  # of a vertex's texels that must be measured


def moved(grid: TexelGrid, surface: Floats, depth: AnyFloats, seen: Bools) -> Floats:
    """Return vertices (V, 3), mm, moved by a depth (h, w) of the grid laid on `surface`.

    What lies off the grid or is not `seen` (h, w) follows: eyes and teeth rigidly, the rest of
    the head smoothly. The inside of a lip must not go its own way, against the outside.
    """
    samples = Samples.of(grid.model, grid.size, place=OURS)
    share = samples.at_vertices @ grid.whole(seen.astype(np.float32)).reshape(-1)
    at_vertices = samples.at_vertices @ grid.whole(depth).reshape(-1).astype(np.float64)
    skin = samples.known & (share > _SURE)
    normals = vertex_normals(surface, grid.model.faces)
    offset = np.where(skin[:, None], at_vertices[:, None] * normals, 0.0)
    return np.asarray(surface + followed(grid.model, surface, offset, skin))


def with_map(
    model: FaceModel, coarse: Floats, target: Floats, size: int
) -> tuple[Floats, Floats32]:
    """Return M1 (V, 3) and the deformation map (size, size, 3), mm, that lead to `target`.

    M1 is `coarse` plus the map sampled at the vertices; off the chart it is `target` itself.
    """
    offset = target - coarse
    deformation = map_of_offsets(chart(model, size), offset, place=OURS)
    samples = Samples.of(model, size, place=OURS)
    sampled = samples.at_vertices @ deformation.reshape(-1, 3).astype(np.float64)
    return coarse + np.where(samples.known[:, None], sampled, offset), deformation


def measured_vertices(grid: TexelGrid, share: AnyFloats) -> Floats:
    """Return (V,) in [0, 1]: how far a vertex's texels were measured, of `share` (h, w)."""
    samples = Samples.of(grid.model, grid.size, place=OURS)
    return np.asarray(samples.at_vertices @ grid.whole(share).reshape(-1).astype(np.float64))


def face_region(model: FaceModel) -> Bools:
    """Return (V,) the skin that depth is looked for on: no eyes, hair or ears."""
    shown = photographed(model, away=_AWAY)
    skin = model.regions.get("skin")
    return shown if skin is None else shown & skin
