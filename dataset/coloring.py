"""Colour per vertex, from the photographs that see it."""

import cv2
import numpy as np

from ..core.arrays import AnyFloats, Bools, Bytes, Floats32, Ints
from ..core.geometry.mesh import Mesh
from .stereo.sweep import vertex_graph
from .stereo.views import View
from .stereo.visibility import SeenBy

_SHARPNESS = 4  # power of the cosine: views that face the vertex count most
_FILL_PASSES = 60


def vertex_colors(mesh: Mesh, views: list[View], seen: SeenBy) -> Bytes:
    """Return (V, 3) sRGB: the views' colours, weighted by how squarely they see the vertex.

    Vertices that no view sees take the colour of those around them.
    """
    total = np.zeros((len(mesh.vertices), 3), np.float32)
    weight = np.zeros(len(mesh.vertices), np.float32)
    for k, view in enumerate(views):
        for rank in range(seen.views.shape[1]):
            rows = np.flatnonzero(seen.views[:, rank] == k)
            if len(rows) == 0:
                continue
            w = seen.cosine[rows, rank] ** _SHARPNESS
            total[rows] += w[:, None] * _sampled(view, mesh.vertices[rows])
            weight[rows] += w
    known = weight > 0
    color = np.where(known[:, None], total / np.maximum(weight, 1e-12)[:, None], 0)
    return np.rint(np.clip(_filled(mesh.faces, color, known), 0, 255)).astype(np.uint8)


def _sampled(view: View, points: AnyFloats) -> Floats32:
    """Return (N, 3) bilinear samples, 0-255."""
    xy, _ = view.camera.project(points)
    maps = (xy - 0.5).astype(np.float32)  # remap counts from the centre of the first pixel
    found = np.empty((len(points), 3), np.float32)
    rows = 1 << 14  # remap takes images of less than 32768 rows
    for start in range(0, len(points), rows):
        part = slice(start, start + rows)
        found[part] = cv2.remap(
            view.color, maps[part, None, 0], maps[part, None, 1], cv2.INTER_LINEAR
        )[:, 0]
    return found


def _filled(faces: Ints, color: Floats32, known: Bools) -> Floats32:
    """Let colour flow into unknown vertices; what it does not reach takes the mean."""
    if known.all() or not known.any():
        return color
    graph = vertex_graph(faces, len(color))
    has = known.astype(np.float32)
    color = color * has[:, None]
    for _ in range(_FILL_PASSES):
        if has.all():
            break
        count = graph @ has
        reached = ~known & (count > 0)
        color[reached] = (graph @ color)[reached] / count[reached, None]
        has[reached] = 1
    color[has == 0] = color[known].mean(axis=0)
    return color
