"""A surface with errors on it, reduced to what a picture shows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.arrays import Floats
from .protocol import ErrorMesh

_MOST_FACES = 24_000  # a picture of some hundred px shows no more
_MOST_PASSES = 6


def thinned(mesh: ErrorMesh, most_faces: int = _MOST_FACES) -> ErrorMesh:
    """Return the surface with at most about so many triangles: vertices of a cell become one.

    Clusters of a regular grid: crude, but it takes milliseconds, and errors are averaged, not
    sampled.
    """
    vertices = np.asarray(mesh.vertices, dtype=np.float64)
    faces: NDArray[np.integer[Any]] = np.asarray(mesh.faces)
    error = np.asarray(mesh.error, dtype=np.float64)
    n_target = most_faces
    for _ in range(_MOST_PASSES):
        if len(faces) <= most_faces:
            break
        used = np.unique(faces)
        extent = np.ptp(vertices[used], axis=0)
        # a surface fills about (size / cell)^2 cells of two triangles
        cell = float(np.sqrt(np.sort(extent)[1] * extent.max() / (n_target / 2)))
        vertices, faces, error = _clustered(vertices, faces, error, max(cell, 1e-12))
        n_target = n_target * 2 // 3
    return ErrorMesh(vertices=vertices, faces=faces.astype(np.int32), error=error)


def _clustered(
    vertices: Floats, faces: NDArray[np.integer[Any]], error: Floats, cell: float
) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Return vertices, faces and errors with one vertex for all in a cell of the grid."""
    place = np.floor((vertices - vertices.min(axis=0)) / cell).astype(np.int64)
    n = place.max(axis=0) + 1
    key = (place[:, 0] * n[1] + place[:, 1]) * n[2] + place[:, 2]
    _, group = np.unique(key, return_inverse=True)
    group = group.ravel()
    n_groups = int(group.max()) + 1
    count = np.bincount(group, minlength=n_groups)
    merged = np.stack([np.bincount(group, w, n_groups) / count for w in vertices.T], axis=1)
    known = np.isfinite(error)
    n_known = np.bincount(group, known, n_groups)
    total = np.bincount(group, np.where(known, error, 0.0), n_groups)
    mean = np.divide(total, n_known, out=np.full(n_groups, np.nan), where=n_known > 0)
    new = group[faces]
    whole = (new[:, 0] != new[:, 1]) & (new[:, 1] != new[:, 2]) & (new[:, 2] != new[:, 0])
    new = new[whole]
    low, middle, high = np.sort(new, axis=1).T  # one of triangles with the same corners
    _, first = np.unique((low * n_groups + middle) * n_groups + high, return_index=True)
    return merged, new[np.sort(first)], mean
