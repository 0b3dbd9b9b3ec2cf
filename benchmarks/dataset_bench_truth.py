"""What is true of a take that the dataset benchmark registers: its surface, its vertices.

The studio subdivides the face model's own mesh, and Loop's scheme keeps the model's vertices
first: vertex i of the fine surface is where vertex i of a perfect registration lies.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..capture.virtual.scene import frontal_edge
from ..capture.virtual.skin import PAINT, Skin, SkinValues, relief, skin_values
from ..capture.virtual.studio import load_head
from ..capture.virtual.truth import load_truth
from ..core.arrays import Bools, Floats, Floats32, Ints
from ..core.errors import SchemaError
from ..core.facemodel.model import FaceModel
from ..core.geometry.camera import Rig
from ..core.geometry.mesh import Mesh
from .mesh_accuracy import TrueSurface


@dataclass(frozen=True, kw_only=True)
class TakeTruth:
    """The surface of one take as it is, head frame, which is also the world's."""

    model: FaceModel
    rig: Rig
    mesh: Mesh
    """The fine surface; triangle f lies in the model's triangle f // 4^n."""
    skin: Skin

    def __post_init__(self) -> None:
        if len(self.mesh.faces) % len(self.model.faces):
            raise SchemaError(
                f"the true surface of {len(self.mesh.faces)} triangles is no subdivision of the "
                f"model {self.model.name!r} with {len(self.model.faces)}; give the model it was "
                "made of"
            )

    @property
    def vertices(self) -> Floats:
        """(V, 3) mm: where each vertex of the model truly lies."""
        return np.asarray(self.mesh.vertices[: self.model.n_vertices], dtype=np.float64)

    @property
    def face_region(self) -> Bools:
        """(V,): the skin of the face, without eyes and the inside of the mouth."""
        return self.model.regions["face"] & self.model.regions["skin"]

    @functools.cached_property
    def surface(self) -> TrueSurface:
        """The surface to measure against: its region is the face."""
        inside = self.face_region[self.model.faces].all(axis=1)
        per_face = len(self.mesh.faces) // len(self.model.faces)
        return TrueSurface(self.mesh, region=np.repeat(inside, per_face), rig=self.rig)

    @functools.cached_property
    def measured(self) -> Bools:
        """(V,): vertices of the face that two cameras see."""
        counts = np.zeros(self.model.n_vertices, bool)
        on_face = np.flatnonzero(self.face_region)
        counts[on_face] = self.surface.closest(self.vertices[on_face])[2]
        return counts

    def relief_at(self, face: Ints, weights: Floats) -> Floats32:
        """Return the studio's own relief (N,), mm, at places on the model's triangles.

        Parameters
        ----------
        face : (N,) int32
            Triangle of the model.
        weights : (N, 3) float64
            Barycentric place in it.
        """
        model = self.model
        paint = np.stack([model.weights.get(n, np.zeros(len(model.mean))) for n in PAINT], 1)
        known = np.hstack([model.mean, paint]).astype(np.float32)
        at = np.einsum("nk,nkc->nc", weights.astype(np.float32), known[model.faces[face]])
        n_times = np.log(len(self.mesh.faces) / len(model.faces)) / np.log(4)
        return relief(
            at[:, :3], at[:, 3:], skin=self.skin_values, edge_mm=frontal_edge(model) / 2**n_times
        )

    @property
    def skin_values(self) -> SkinValues:
        """The skin on the model, as the studio's kernels take it."""
        model = self.model
        return skin_values(
            self.skin, model.mean, weights=model.weights,
            eye_corners=model.mean[model.landmarks68[[36, 45]]],
        )  # fmt: skip


def load_take_truth(session: Path, take: str, head: str) -> TakeTruth:
    """Read the truth of a take of a virtual session; `head` as the studio calls it.

    Raises
    ------
    InputError
        The session has no truth, or none of this take.
    SchemaError
        It was made of another model.
    """
    truth = load_truth(session)
    return TakeTruth(
        model=load_head(head), rig=truth.rig, mesh=truth.mesh(take), skin=_skin(truth.subject)
    )


def _skin(subject: dict[str, Any]) -> Skin:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in subject["skin"].items()
    }
    return Skin(**values)
