"""How far coarse faces are from the truth, on people that nobody trained on: quick, in mm.

A stand-in for the slow benchmark: the network's face is brought to the true one by a rigid motion
(matched vertices first, then surface to surface), and what counts is the median over the front of
the face of the distance across the true surface, every mm² counting alike; of a person, the mean
over the photographs, and the mean over the people. The mean face is judged the same way.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..align import MODEL_UNIT_MM
from ..coefficients import Coefficients
from ..pose import HrnCamera, posed
from ..samples.augment import Batch
from .facepoints import FacePoints
from .rigid import rigid, settled

_N_SETTLED = 3
_REACH = 4.0  # medians: what is farther away does not draw on the alignment

Rows = Mapping[str, Sequence[float]]


@torch.no_grad()
def distances(points: FacePoints, shape: Tensor, batch: Batch) -> Tensor:
    """Return the median distance (B,), mm, of faces from the true ones.

    Parameters
    ----------
    points : FacePoints
        Of the model, on its front.
    shape : (B, K, 3)
        Unposed, model units.
    batch : Batch
        All with truth.
    """
    true, normals = points.of(batch.vertices), points.normals(batch.vertices)
    weights = points.of(batch.support) * points.front
    moved = rigid(shape, true, weights).apply(shape)
    for _ in range(_N_SETTLED):
        across = ((moved - true) * normals).sum(dim=-1).abs()
        near = across < _REACH * _median(across, weights)[:, None]
        moved = settled(moved, true, normals, weights * near).apply(moved)
    across = ((moved - true) * normals).sum(dim=-1).abs()
    return MODEL_UNIT_MM * _median(across, weights)


@torch.no_grad()
def figures_of(
    points: FacePoints, found: Coefficients, batch: Batch, camera: HrnCamera
) -> dict[str, list[float]]:
    """Return the figures of each sample with truth: see `summary`."""
    shape = points.shape(found.identity, found.expression)
    mean = points.mean.expand_as(shape)
    places = camera.project(posed(shape, found.angles, found.translation))
    apart = (places - points.of(batch.pixels)).norm(dim=-1)
    weights = points.of(batch.support) * points.front
    dense = (apart * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-6)
    return {
        "median_mm": distances(points, shape, batch).tolist(),
        "mean_face_median_mm": distances(points, mean, batch).tolist(),
        "landmark_px": apart[:, -68:].mean(dim=1).tolist(),
        "dense_px": dense.tolist(),
    }


def summary(people: Sequence[str], rows: Rows) -> dict[str, float]:
    """Return the mean over people of their means, and `score`, the figure to be small.

    Parameters
    ----------
    people : of each sample
    rows : name -> a figure of each sample
    """
    names, number = np.unique(np.array(people), return_inverse=True)
    count = np.bincount(number, minlength=len(names))
    found = {
        name: float((np.bincount(number, weights=np.array(values)) / count).mean())
        for name, values in rows.items()
    }
    return found | {"score": found["median_mm"], "n_people": float(len(names))}


def _median(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted median (B,) of values (B, N)."""
    ordered, order = values.sort(dim=1)
    below = weights.gather(1, order).cumsum(dim=1)
    half = (below < below[:, -1:] / 2).sum(dim=1, keepdim=True)
    return ordered.gather(1, half.clamp(max=values.shape[1] - 1))[:, 0]
