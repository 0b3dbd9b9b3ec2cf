"""What registration takes and gives: `Scan` and `Registered`."""

from dataclasses import dataclass

import numpy as np

from ...core.arrays import Floats, Floats32
from ...core.facemodel.model import FaceModel
from ...core.geometry.mesh import Mesh
from ...core.geometry.transform import Similarity


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A surface to be registered, world frame, mm (or the rig's own unit)."""

    mesh: Mesh
    """Counter-clockwise seen from outside; the attributes `sigma_mm`, `reliable`, `n_views` and
    `filled` (V,) are heeded where they are."""
    landmarks: Floats | None = None
    """(68, 3) world, mm, Multi-PIE order, NaN where unknown; None: none at all."""
    landmark_sigma: Floats | None = None
    """(68,) mm, one standard deviation along each axis; None: unknown."""


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A face model's topology laid on a scan.

    Three surfaces of the same vertices: M0 = mean + identity + expression (`coarse`), M0 + offset
    (`shape`), and the latter in the world (`posed`).
    """

    model: FaceModel
    world_from_head: Similarity
    """Scale 1 where the rig is metric; else world units per mm."""
    identity: Floats
    """(n_id,) N(0, 1) coefficients, the same for all takes of a subject."""
    expression: Floats
    """(n_exp,) activations."""
    offset: Floats
    """(V, 3) mm, head frame: what non-rigid registration adds to M0."""
    support: Floats32
    """(V,) in [0, 1]: 1 rests on measured scan, 0 follows the model alone."""
    residual: Floats32
    """(V,) mm, signed distance scan - registered along the vertex normal, + where the scan lies
    outside; NaN without support."""

    def coarse(self) -> Floats:
        """Return M0 (V, 3), mm, head frame (unposed)."""
        return self.model.shape(self.identity, self.expression)

    def shape(self) -> Floats:
        """Return M0 + offset (V, 3), mm, head frame."""
        return np.asarray(self.coarse() + self.offset)

    def posed(self) -> Floats:
        """Return the vertices (V, 3) in the world frame."""
        return self.world_from_head(self.shape())
