"""The meshes that REALY's code saves: aligned predictions, deformed regions, coloured errors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.arrays import Bytes, Floats
from ...core.geometry.mesh import Mesh
from ...core.geometry.meshio import save_mesh
from .regions import REGIONS
from .score import Prediction, RealyScore, masked_faces

_RED_AT = 0.5
"""Error, in REALY's unit, at which the colour scale ends."""


def official_meshes(score: RealyScore, prediction: Prediction) -> dict[str, NDArray[Any]]:
    """Return the arrays that `write_official_meshes` needs."""
    arrays: dict[str, NDArray[Any]] = {
        "at_faces": masked_faces(prediction),
        "at_global": score.globally_aligned,
    }
    for name, region in score.regions.items():
        arrays |= {
            f"at_{name}": region.aligned,
            f"deform_{name}": region.deformed,
            f"error_{name}": region.merged.vertices,
            f"faces_{name}": region.merged.faces,
            f"colors_{name}": error_colors(region.distances),
        }
    return arrays


def write_official_meshes(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> list[Path]:
    """Write them as OBJ; nothing where `arrays` has none."""
    if "at_faces" not in arrays:
        return []
    paths = []
    for name in ("global", *REGIONS):
        path = folder / f"at_{name}.obj"
        save_mesh(path, Mesh(vertices=arrays[f"at_{name}"], faces=arrays["at_faces"]))
        paths.append(path)
    for name in REGIONS:
        faces = arrays[f"faces_{name}"]
        for kind in ("deform", "error"):
            path = folder / f"{kind}_{name}.obj"
            colors = arrays[f"colors_{name}"] if kind == "error" else None
            mesh = Mesh(vertices=arrays[f"{kind}_{name}"], faces=faces, colors=colors)
            save_mesh(path, mesh)
            paths.append(path)
    return paths


def error_colors(distances: Floats) -> Bytes:
    """Return (N, 3) colours of distances in REALY's unit: blue at 0 to red at 0.5 (the JET scale).

    As piecewise linear red, green and blue; the official table of 256 differs by a few levels.
    """
    part = np.clip(np.asarray(distances) / _RED_AT, 0.0, 1.0)
    middles = np.array([0.75, 0.5, 0.25])  # where red, green and blue are brightest
    shades = np.clip(1.5 - 4.0 * np.abs(part[:, None] - middles), 0.0, 1.0)
    return np.rint(shades * 255).astype(np.uint8)
