"""People of one face model in the topology of another.

The trained model is laid on the other's mean face once (`dataset.register`). From then on each of
its vertices is a place on a triangle of the other, and goes where that triangle goes, whoever is
drawn from it and whatever the face does. The surface is theirs, so that it lies outside of what
the trained model spans: that is what deformation maps are for.
"""

from dataclasses import dataclass

import numpy as np

from ...core.arrays import AnyFloats, Floats, Floats32, Ints
from ...core.facemodel.model import FaceModel
from ...core.geometry.closest import SurfaceQuery
from ...core.geometry.mesh import Mesh
from ...core.geometry.transform import Similarity
from ...dataset.register.pose import inverse
from ...dataset.register.register import register_takes
from ...dataset.register.registered import Scan
from ...dataset.register.surface import barycentric

_LEAST_SUPPORT = 0.5
_FAR_MM = 1.5  # of a vertex from the other's surface: it has no place there
_APART = ("eyes", "ears", "mouth_interior")
"""Regions whose surfaces differ in kind between models: no place is taken for known there."""


@dataclass(frozen=True, kw_only=True)
class Carried:
    """Where the vertices of a face model lie on another's triangles."""

    corners: Ints
    """(V, 3) vertices of the other."""
    weights: Floats
    """(V, 3) of each, summing to one."""
    support: Floats32
    """(V,) in [0, 1]: 1 where the two surfaces are the same thing."""
    head_from_other: Similarity
    """From the other's head frame to the model's own; scale 1."""

    def values(self, of_other: AnyFloats) -> Floats:
        """Return what the other's vertices (N, k) have, at the model's (V, k)."""
        return np.einsum("vc,vck->vk", self.weights, np.asarray(of_other)[self.corners])

    def vertices(self, of_other: AnyFloats) -> Floats:
        """Return the model's vertices (V, 3), own head frame, on the other's surface (N, 3)."""
        return self.head_from_other(self.values(of_other))


def carry(model: FaceModel, other: FaceModel) -> Carried:
    """Find where the vertices of `model` lie on the mean face of `other`.

    Raises
    ------
    RegistrationError
        The one cannot be laid on the other.
    """
    if model is other or model.name == other.name:
        return _own(model)
    mesh = Mesh(vertices=other.mean, faces=other.faces)
    scan = Scan(mesh=mesh, landmarks=other.mean[other.landmarks68])
    laid = register_takes(model, [scan])[0]
    places = SurfaceQuery(other.mean, other.faces).closest(laid.posed())
    far = places.distance > _FAR_MM
    support = np.where(far | (laid.support < _LEAST_SUPPORT), 0.0, 1.0)
    for name in _APART:
        if name in model.regions:
            support[model.regions[name]] = 0.0
    corners = other.faces[places.face]
    return Carried(
        corners=corners,
        weights=barycentric(places.points, *other.mean[corners].transpose(1, 0, 2)),
        support=support.astype(np.float32),
        head_from_other=inverse(laid.world_from_head),
    )


def _own(model: FaceModel) -> Carried:
    """Return the model on itself."""
    n = model.n_vertices
    weights = np.zeros((n, 3))
    weights[:, 0] = 1
    return Carried(
        corners=np.repeat(np.arange(n, dtype=np.int32)[:, None], 3, axis=1),
        weights=weights,
        support=np.ones(n, np.float32),
        head_from_other=Similarity(scale=1.0, R=np.eye(3), t=np.zeros(3)),
    )
