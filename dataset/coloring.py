"""Colour per vertex, from the photographs that see it."""

from collections.abc import Iterable

import numpy as np
from numba import njit, prange

from ..core.arrays import Bools, Bytes, Floats, Floats32, Ints
from ..core.geometry.mesh import Mesh
from .kernels import FAST, quiet_threads
from .meshgraph import mesh_graph
from .stereo.views import View
from .stereo.visibility import SeenBy

_FILL_PASSES = 60


def vertex_colors(mesh: Mesh, views: Iterable[View], seen: SeenBy) -> Bytes:
    """Return (V, 3) sRGB: the views' colours, weighted by how squarely they see the vertex.

    Vertices that no view sees take the colour of those around them. The views are taken one
    after the other: they need not be in memory at once.
    """
    vertices: Floats = np.asarray(mesh.vertices, dtype=np.float64)
    color = np.zeros((len(vertices), 3), np.float32)
    weight = np.zeros(len(vertices), np.float32)
    for k, view in enumerate(views):
        with quiet_threads():
            _add_view(
                k, view.camera.P, view.color, vertices, seen.views, seen.facing, color, weight
            )
    known = weight > 0
    color /= np.maximum(weight, 1e-12)[:, None]
    color = _filled(mesh.faces, color, known)
    np.rint(color, out=color)
    return np.clip(color, 0, 255, out=color).astype(np.uint8)


@njit(parallel=True, cache=True, fastmath=FAST)
def _add_view(k, P, image, vertices, chosen, facing, total, weight):  # type: ignore[no-untyped-def]
    """Add the bilinear colours of view `k` where it is among the chosen.

    Weighted by the fourth power of the cosine: views that face the vertex count most.
    """
    height, width = image.shape[:2]
    for v in prange(len(vertices)):
        for slot in range(chosen.shape[1]):
            if chosen[v, slot] != k:
                continue
            x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
            depth = P[2, 0] * x + P[2, 1] * y + P[2, 2] * z + P[2, 3]
            px = (P[0, 0] * x + P[0, 1] * y + P[0, 2] * z + P[0, 3]) / depth - 0.5
            py = (P[1, 0] * x + P[1, 1] * y + P[1, 2] * z + P[1, 3]) / depth - 0.5
            if not (px >= 0 and py >= 0 and px < width - 1 and py < height - 1):
                continue
            col, row = int(px), int(py)
            fx, fy = px - col, py - row
            w = (facing[v, slot] / 255) ** 4
            weight[v] += w
            for channel in range(3):
                a, b = float(image[row, col, channel]), float(image[row, col + 1, channel])
                c, d = float(image[row + 1, col, channel]), float(image[row + 1, col + 1, channel])
                upper, lower = a + fx * (b - a), c + fx * (d - c)
                total[v, channel] += w * (upper + fy * (lower - upper))


def _filled(faces: Ints, color: Floats32, known: Bools) -> Floats32:
    """Let colour flow into unknown vertices; what it does not reach takes the mean."""
    if known.all() or not known.any():
        return color
    mean = color[known].mean(axis=0)
    graph = mesh_graph(faces, len(color))
    known = known.copy()
    rows = np.flatnonzero(~known)
    for _ in range(_FILL_PASSES):
        reached = _reach(rows, graph.starts, graph.neighbours, known, color)
        if not reached.any():
            break
        known[rows[reached]] = True
        rows = rows[~reached]
    color[rows] = mean
    return color


@njit(cache=True, fastmath=FAST)
def _reach(rows, starts, neighbours, known, color):  # type: ignore[no-untyped-def]
    """Give unknown vertices the mean colour of known neighbours; tell which have some."""
    reached = np.zeros(len(rows), np.bool_)
    for i in range(len(rows)):
        count = 0
        red, green, blue = 0.0, 0.0, 0.0
        for k in range(starts[rows[i]], starts[rows[i] + 1]):
            j = neighbours[k]
            if known[j]:
                count += 1
                red, green, blue = red + color[j, 0], green + color[j, 1], blue + color[j, 2]
        if count > 0:
            reached[i] = True
            color[rows[i], 0], color[rows[i], 1] = red / count, green / count
            color[rows[i], 2] = blue / count
    return reached
