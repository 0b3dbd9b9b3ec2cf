"""What a view shows as a still picture: needs neither a browser nor viser."""

from pathlib import Path

import numpy as np

from ...core.arrays import Bytes
from ...core.errors import InputError
from ...core.imaging.imageio import write_image
from ...core.rendering.preview import MeshPreview, orbit_cameras
from .scene import Shown, light_layer

_YAWS = (-50.0, 0.0, 50.0)
_WIDTH, _HEIGHT = 520, 640


def save_snapshot(path: Path, shown: Shown, *, coloring: str | None, max_faces: int) -> Path:
    """Write the visible surface from three sides; return `path`.

    Parameters
    ----------
    coloring : str, optional
        The first that there is, by default; else clay.

    Raises
    ------
    InputError
        No surface is shown, or it has no colouring of that name.
    """
    layer = next((layer for layer in shown.layers if layer.visible), None)
    if layer is None:
        raise InputError(f"{path}: no surface to draw; cameras alone need the browser")
    if coloring is not None and coloring not in (*layer.colorings, "clay"):
        have = ", ".join((*layer.colorings, "clay"))
        raise InputError(f"colour {coloring}: the surface has {have}")
    wanted = next(iter(layer.colorings), "clay") if coloring is None else coloring
    layer = light_layer(layer, max_faces)
    preview = MeshPreview(layer.mesh)
    cameras = orbit_cameras(layer.mesh, _YAWS, width=_WIDTH, height=_HEIGHT)
    colors = layer.colors(wanted)
    pictures: list[Bytes] = [preview.draw(camera, colors=colors) for camera in cameras]
    write_image(path, np.concatenate(pictures, axis=1))
    return path
