"""Parts that are no skin follow it: eyeballs and teeth rigidly, inner mouth smoothly."""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve
from scipy.spatial import cKDTree

from ...core.arrays import Bools, Floats, Ints
from ...core.errors import EstimationError
from ...core.facemodel.model import FaceModel
from ...core.geometry.mesh import adjacency, vertex_components
from ...core.geometry.transform import align_similarity

_N_NEAREST = 60  # skin vertices that a loose part follows


def followed(model: FaceModel, coarse: Floats, offset: Floats, skin: Bools) -> Floats:
    """Return offsets (V, 3) where all vertices but `skin` follow those of the skin.

    Parameters
    ----------
    coarse : (V, 3) float64, mm
        M0.
    offset : (V, 3) float64, mm
        Right on the skin.
    """
    out = offset.copy()
    joined = np.zeros(len(coarse), bool)
    labels = vertex_components(model.faces, len(coarse))
    has_skin = np.zeros(labels.max() + 1, bool)
    has_skin[labels[skin]] = True
    joined = has_skin[labels] & ~skin
    tree, at = cKDTree(coarse[skin]), np.flatnonzero(skin)
    for label in np.flatnonzero(~has_skin):
        part = np.flatnonzero(labels == label)
        found = tree.query(coarse[part], k=4)
        distance, near = (np.asarray(values) for values in found)
        order = np.argsort(distance[:, 0], kind="stable")
        around = at[np.unique(near[order[: max(_N_NEAREST, len(part) // 8)]])]
        out[part] = _moved(coarse[around], offset[around], coarse[part])
    return _harmonic(model.faces, out, joined)


def _moved(around: Floats, offset: Floats, part: Floats) -> Floats:
    """Move a part with the rigid motion of what is around it."""
    try:
        motion = align_similarity(around, around + offset, with_scale=False)
    except EstimationError:
        return np.broadcast_to(offset.mean(0), part.shape)
    return np.asarray(motion(part) - part)


def _harmonic(faces: Ints, offset: Floats, free: Bools) -> Floats:
    """Let the offsets of `free` vertices run on from the others, as a membrane does."""
    if not free.any():
        return offset
    beside = adjacency(faces, len(offset))
    inside, outside = np.flatnonzero(free), np.flatnonzero(~free)
    degree = sparse.diags_array(np.asarray(beside.sum(1)).ravel()[inside] * 1.02 + 1e-6)
    rows = beside[inside]
    out = offset.copy()
    system = sparse.csc_array(degree - rows[:, inside])
    out[inside] = spsolve(system, rows[:, outside] @ offset[outside])
    return out
