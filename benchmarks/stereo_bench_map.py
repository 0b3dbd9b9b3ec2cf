"""Where a reconstruction is wrong: the worst places, and pictures of the error."""

from pathlib import Path
from typing import Any

import numpy as np

from ..core.arrays import Floats, Ints
from ..core.geometry.mesh import Mesh, face_areas
from ..core.imaging.imageio import write_image
from ..core.rendering.colormap import SIGNED
from ..core.rendering.preview import MeshPreview, orbit_cameras
from .mesh_accuracy import MeshAccuracy

WRONG_MM = 0.2
CELL_MM = 12.0
"""Size of a place."""
PICTURE = "error.png"
_LIMIT_MM = 0.1  # of the colours
_YAWS = (-60.0, 0.0, 60.0)
_N_PLACES = 8
_HEIGHT = 1100


def worst_places(mesh: Mesh, accuracy: MeshAccuracy) -> list[dict[str, Any]]:
    """Return the places with most wrong surface, worst first, JSON-able.

    A place is a cube of `CELL_MM`: `at_mm` its middle, head frame; `wrong_mm2` the area of
    reconstruction there that is more than `WRONG_MM` off; `median_mm` that area's signed error.
    """
    error = np.asarray(accuracy.signed_mm, dtype=np.float64)
    wrong = accuracy.measured & (np.abs(error) > WRONG_MM)
    if not wrong.any():
        return []
    area = _vertex_areas(mesh)
    cell = np.floor(np.asarray(mesh.vertices, np.float64)[wrong] / CELL_MM).astype(np.int64)
    places, of_place = np.unique(cell, axis=0, return_inverse=True)
    of_place = of_place.reshape(-1)
    total = np.bincount(of_place, weights=area[wrong])
    order: Ints = np.argsort(-total, kind="stable")[:_N_PLACES].astype(np.int32)
    return [
        {
            "at_mm": [float(x) for x in (places[place] + 0.5) * CELL_MM],
            "wrong_mm2": round(float(total[place]), 2),
            "median_mm": round(float(np.median(error[wrong][of_place == place])), 3),
        }
        for place in order
    ]


def draw_error(path: Path, mesh: Mesh, accuracy: MeshAccuracy) -> None:
    """Draw the signed error from three sides, +-0.1 mm from blue to red; grey is not measured."""
    shown = np.where(accuracy.measured, accuracy.signed_mm, np.nan)
    colors = SIGNED(shown, -_LIMIT_MM, _LIMIT_MM)
    preview = MeshPreview(mesh)
    cameras = orbit_cameras(mesh, _YAWS, width=round(0.8 * _HEIGHT), height=_HEIGHT)
    write_image(path, np.hstack([preview.draw(camera, colors=colors) for camera in cameras]))


def _vertex_areas(mesh: Mesh) -> Floats:
    """Return (V,) a third of the area of the faces about each vertex, mm²."""
    third = face_areas(mesh.vertices, mesh.faces) / 3
    return np.asarray(
        np.bincount(mesh.faces.reshape(-1), weights=np.repeat(third, 3),
                    minlength=len(mesh.vertices))
    )  # fmt: skip
