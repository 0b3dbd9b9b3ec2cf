"""Pictures of a case: true and found surface, how far apart they are, and their relief."""

from pathlib import Path

import numpy as np

from ..core.arrays import Bytes, Floats, Floats32
from ..core.geometry.closest import SurfaceQuery
from ..core.geometry.mesh import Mesh
from ..core.geometry.transform import Similarity
from ..core.imaging.imageio import write_image
from ..core.rendering.colormap import AMOUNT, SIGNED
from ..core.rendering.preview import MeshPreview, orbit_cameras
from .dataset_bench_band import banded
from .multiview_bench_case import CaseTruth
from .multiview_bench_detail import DetailError
from .multiview_bench_metrics import Measured

_ERROR_MM = 0.5  # dark is 0, yellow this or more
_RELIEF_MM = 0.1  # blue to red, either way
_MOST_OF_IT = (0.3, 99.7)  # per cent of the face's texels, in rows and columns: no far islands
_YAWS = (-40.0, 0.0, 40.0)
_WIDTH, _HEIGHT = 480, 600


def draw_surfaces(path: Path, found: Measured, truth: CaseTruth) -> None:
    """Draw true surface, found surface and the distance from the one to the other, row by row.

    From the subject's right, from the front and from the left; the found surface as it was
    aligned.
    """
    cameras = orbit_cameras(truth.face.mesh, _YAWS, width=_WIDTH, height=_HEIGHT)
    back = _true_from_found(found.error.found_from_true, found.surface.vertices)
    surface = Mesh(vertices=back, faces=found.surface.faces)
    face = truth.face.mesh
    distance = SurfaceQuery(back, surface.faces).closest(face.vertices).distance
    true = MeshPreview(truth.skin)
    ours = MeshPreview(surface)
    error = MeshPreview(face, ambient_occlusion=False)
    rows: list[list[Bytes]] = [
        [true.draw(camera) for camera in cameras],
        [ours.draw(camera) for camera in cameras],
        [error.draw(camera, colors=AMOUNT(distance, 0.0, _ERROR_MM)) for camera in cameras],
    ]
    write_image(path, np.vstack([np.hstack(row) for row in rows]))


def draw_displacement(path: Path, detail: DetailError, displacement: Floats32) -> None:
    """Draw what true and found displacement hold at 2 to 8 mm; grey is not known, or its edge."""
    shown = tuple(
        slice(int(low), int(high) + 1)
        for low, high in (np.percentile(i, _MOST_OF_IT) for i in np.nonzero(detail.on_face))
    )
    true = detail.true_valid & detail.on_face
    pairs = ((detail.true, true), (displacement, true & detail.known))
    parts = [
        banded(values, usable=usable, texel_mm=detail.texel_mm)[shown] for values, usable in pairs
    ]
    write_image(path, np.hstack([SIGNED(part, -_RELIEF_MM, _RELIEF_MM) for part in parts]))


def _true_from_found(found_from_true: Similarity, points: Floats | Floats32) -> Floats:
    there = np.asarray(points, np.float64) - found_from_true.t
    return np.asarray(there @ found_from_true.R / found_from_true.scale)
