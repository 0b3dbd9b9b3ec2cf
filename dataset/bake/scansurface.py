"""A scan in the head frame, ready to be hit by rays: what a hit tells stands in a table."""

from dataclasses import dataclass, replace

import numpy as np

from ...core.arrays import AnyFloats, Bools, Floats, Floats32, Ints
from ...core.geometry.closest import SurfaceQuery
from ...core.geometry.mesh import Mesh
from ...core.geometry.transform import Similarity
from ..meshgraph import mesh_graph, surface_normals
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
    """(S,) 1 where the scan rests on measurement, 0 where it was bridged or guessed, or close
    to that or to the scan's border."""
    measured: Floats32
    """(S,) the same, but 1 up to the border of what rests on measurement."""
    query: SurfaceQuery

    @property
    def edge_mm(self) -> float:
        """Typical edge of a face."""
        some = self.faces[:: max(1, len(self.faces) // _SOME_FACES)]
        edges = self.vertices[some[:, 1]] - self.vertices[some[:, 0]]
        return float(np.median(np.linalg.norm(edges, axis=1)))

    @classmethod
    def of(cls, scan: Scan, registered: Registered, *, margin_mm: float = 0.0) -> "ScanSurface":
        """Take a scan to the head frame of its registration.

        Parameters
        ----------
        margin_mm : float
            How close to what was not measured the scan is not to be used.
        """
        mesh, scale = scan.mesh, registered.world_from_head.scale
        vertices = to_head(registered.world_from_head, mesh.vertices)
        n = len(vertices)
        sigma = np.full(n, _UNKNOWN_SIGMA_MM, np.float32)
        if "sigma_mm" in mesh.attributes:
            sigma = np.asarray(mesh.attributes["sigma_mm"] / scale, dtype=np.float32)
        surface = cls(
            vertices=vertices,
            faces=mesh.faces,
            normals=surface_normals(vertices, mesh.faces),
            sigma=sigma,
            usable=_measured(mesh).astype(np.float32),
            measured=_measured(mesh).astype(np.float32),
            query=SurfaceQuery(vertices, mesh.faces),
        )
        rings = round(margin_mm / max(surface.edge_mm, 1e-6))
        return surface if rings == 0 else replace(surface, usable=_well_inside(mesh, rings))


def to_head(world_from_head: Similarity, points: AnyFloats) -> Floats:
    """Take points (N, 3) of the world to the head frame."""
    s = world_from_head
    return np.asarray((np.asarray(points, np.float64) - s.t) @ s.R / s.scale)


def _well_inside(mesh: Mesh, rings: int) -> Floats32:
    """Return (S,) 1 at vertices that `rings` edges do not lead out of what was measured."""
    spoiled = ~_measured(mesh)
    spoiled |= mesh_graph(mesh.faces, len(mesh.vertices)).border
    for _ in range(rings):
        spoiled[mesh.faces[spoiled[mesh.faces].any(axis=1)]] = True
    return (~spoiled).astype(np.float32)


def _measured(mesh: Mesh) -> Bools:
    usable = np.ones(len(mesh.vertices), bool)
    if "reliable" in mesh.attributes:
        usable &= mesh.attributes["reliable"] > 0.5
    if "filled" in mesh.attributes:
        usable &= mesh.attributes["filled"] < 0.5
    return usable
