"""A scan in the head frame, ready to be hit by rays: what a hit tells stands in a table."""

from dataclasses import dataclass

import numpy as np

from ...core.arrays import AnyFloats, Floats, Floats32, Ints
from ...core.geometry.closest import SurfaceQuery
from ...core.geometry.mesh import Mesh
from ...core.geometry.transform import Similarity
from ..meshgraph import surface_normals
from ..register.registered import Registered, Scan

_SOME_FACES = 10_000
_UNKNOWN_SIGMA_MM = 0.1  # of scans that say nothing: what good stereo has


@dataclass(frozen=True, kw_only=True)
class ScanSurface:
    """A scan, mm, head frame."""

    vertices: Floats
    """(S, 3)."""
    faces: Ints
    normals: Floats32
    """(S, 3) unit."""
    sigma: Floats32
    """(S,) mm, one standard deviation along the normal."""
    usable: Floats32
    """(S,) 1 where the scan rests on measurement, 0 where it was bridged or guessed."""
    query: SurfaceQuery

    @property
    def edge_mm(self) -> float:
        """Typical edge of a face."""
        some = self.faces[:: max(1, len(self.faces) // _SOME_FACES)]
        edges = self.vertices[some[:, 1]] - self.vertices[some[:, 0]]
        return float(np.median(np.linalg.norm(edges, axis=1)))

    @classmethod
    def of(cls, scan: Scan, registered: Registered) -> "ScanSurface":
        """Take a scan to the head frame of its registration."""
        mesh, scale = scan.mesh, registered.world_from_head.scale
        vertices = to_head(registered.world_from_head, mesh.vertices)
        n = len(vertices)
        sigma = np.full(n, _UNKNOWN_SIGMA_MM, np.float32)
        if "sigma_mm" in mesh.attributes:
            sigma = np.asarray(mesh.attributes["sigma_mm"] / scale, dtype=np.float32)
        return cls(
            vertices=vertices,
            faces=mesh.faces,
            normals=surface_normals(vertices, mesh.faces),
            sigma=sigma,
            usable=_usable(mesh),
            query=SurfaceQuery(vertices, mesh.faces),
        )


def to_head(world_from_head: Similarity, points: AnyFloats) -> Floats:
    """Take points (N, 3) of the world to the head frame."""
    s = world_from_head
    return np.asarray((np.asarray(points, np.float64) - s.t) @ s.R / s.scale)


def _usable(mesh: Mesh) -> Floats32:
    usable = np.ones(len(mesh.vertices), bool)
    if "reliable" in mesh.attributes:
        usable &= mesh.attributes["reliable"] > 0.5
    if "filled" in mesh.attributes:
        usable &= mesh.attributes["filled"] < 0.5
    return usable.astype(np.float32)
