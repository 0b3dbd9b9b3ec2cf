"""A scan made ready for registration: what lies nearest, and how far it is to be trusted."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.spatial import cKDTree

from ...core.arrays import AnyFloats, Floats
from ...core.errors import RegistrationError
from ...core.geometry.closest import SurfaceQuery
from ...core.geometry.mesh import Mesh
from ...core.geometry.transform import Similarity
from ..meshgraph import mesh_graph, smooth_normals, surface_normals
from .registered import Scan

_SIGMA_MM = 0.15  # a scan point this uncertain counts half
_UNRELIABLE = 0.3  # weight of a point that the scan calls unreliable
_NORMAL_PASSES = 4  # a stereo scan's edges are 0.1 mm and its noise 0.02 mm
_MOST_CELL_FACES = 600_000  # faces that the thinned scan is made of
_N_CELLS = 15_000
_LEAST_FACES = 200


class Target(Protocol):
    """Something that a model is fitted to."""

    def closest(self, points: AnyFloats, *, within: float) -> "Matches":
        """Find what lies nearest to `points` (N, 3)."""

    def sample(self, n: int) -> tuple[Floats, Floats, Floats]:
        """Return about `n` points (N, 3), unit normals (N, 3) and weights (N,) of the scan."""


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Scan points nearest to given points."""

    points: Floats
    """(N, 3)."""
    normals: Floats
    """(N, 3) unit."""
    distance: Floats
    """(N,) unsigned."""
    weight: Floats
    """(N,) in [0, 1]; 0 on the scan's border, on filled holes, and beyond `within`."""


@dataclass(frozen=True, kw_only=True)
class Cells:
    """A scan thinned to some thousand points of even spacing: for coarse alignment."""

    points: Floats
    """(N, 3)."""
    normals: Floats
    """(N, 3) unit, the mean of the cell's."""
    weights: Floats
    """(N,) in [0, 1]."""
    spacing: float
    area: float
    """Of the whole scan."""

    def moved(self, b_from_a: Similarity) -> "Cells":
        """Return the cells in another frame."""
        return Cells(
            points=b_from_a(self.points),
            normals=self.normals @ b_from_a.R.T,
            weights=self.weights,
            spacing=self.spacing * b_from_a.scale,
            area=self.area * b_from_a.scale**2,
        )


class CellTarget:
    """Cells as a target."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self._tree = cKDTree(cells.points)

    def closest(self, points: AnyFloats, *, within: float) -> Matches:
        """Find the cell nearest to each of `points` (N, 3)."""
        distance, index = self._tree.query(points, distance_upper_bound=within)
        found = index < len(self.cells.points)
        index = np.where(found, index, 0)
        return Matches(
            points=self.cells.points[index],
            normals=self.cells.normals[index],
            distance=np.where(found, distance, np.inf),
            weight=self.cells.weights[index] * found,
        )

    def sample(self, n: int) -> tuple[Floats, Floats, Floats]:
        """Return about `n` of the cells, evenly taken."""
        step = max(len(self.cells.points) // n, 1)
        return (
            self.cells.points[::step],
            self.cells.normals[::step],
            self.cells.weights[::step],
        )


class MeshTarget:
    """The full triangle mesh as a target."""

    def __init__(self, scan: Scan, head_from_world: Similarity, *, around: Floats) -> None:
        """Take the part of the scan inside the box of `around` (V, 3), head frame, and 30 mm more.

        Raises
        ------
        RegistrationError
            Nothing of the scan lies there.
        """
        mesh = scan.mesh
        vertices = head_from_world(mesh.vertices)
        low, high = around.min(0) - 30, around.max(0) + 30
        inside = ((vertices > low) & (vertices < high)).all(1)
        part = Mesh(
            vertices=vertices,
            faces=mesh.faces,
            attributes={"trust": vertex_trust(mesh, mm_per_unit=head_from_world.scale)},
        ).selected(inside[mesh.faces].all(1))
        if len(part.faces) < _LEAST_FACES:
            raise RegistrationError(
                "the scan has no surface where the head was placed; give landmarks, "
                "or check that the scan shows a face"
            )
        self.vertices, self.faces = np.asarray(part.vertices, dtype=np.float64), part.faces
        graph = mesh_graph(self.faces, len(self.vertices))
        self.normals = smooth_normals(
            surface_normals(self.vertices, self.faces), graph, n_passes=_NORMAL_PASSES
        )
        self.trust = np.where(graph.border, 0.0, part.attributes["trust"])
        self.query = SurfaceQuery(self.vertices, self.faces)

    def closest(self, points: AnyFloats, *, within: float) -> Matches:
        """Find the surface point nearest to each of `points` (N, 3)."""
        near = self.query.closest(points)
        corners = self.faces[near.face]
        weights = barycentric(near.points, *(self.vertices[corners[:, i]] for i in range(3)))
        normals = np.einsum("nc,nci->ni", weights, self.normals[corners].astype(np.float64))
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        distance = np.linalg.norm(near.points - points, axis=1)
        trust = self.trust[corners].min(axis=1)
        return Matches(
            points=near.points,
            normals=normals,
            distance=distance,
            weight=np.where(distance < within, trust, 0.0),
        )

    def sample(self, n: int) -> tuple[Floats, Floats, Floats]:
        """Return about `n` vertices, evenly taken from the list (stereo meshes are even)."""
        step = max(len(self.vertices) // n, 1)
        return self.vertices[::step], self.normals[::step].astype(np.float64), self.trust[::step]


def barycentric(points: Floats, a: Floats, b: Floats, c: Floats) -> Floats:
    """Return (N, 3) weights of the corners for points (N, 3) in triangles `a` `b` `c` (N, 3)."""
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (ab * ab).sum(1), (ab * ac).sum(1), (ac * ac).sum(1)
    d20, d21 = (ap * ab).sum(1), (ap * ac).sum(1)
    scale = d00 * d11 - d01 * d01
    flat = scale <= 1e-12 * np.maximum(d00 * d11, 1e-30)
    scale = np.where(flat, 1.0, scale)
    v = np.where(flat, 0.0, (d11 * d20 - d01 * d21) / scale)
    w = np.where(flat, 0.0, (d00 * d21 - d01 * d20) / scale)
    weights = np.clip(np.stack([1 - v - w, v, w], axis=1), 0.0, 1.0)
    return np.asarray(weights / weights.sum(1, keepdims=True))


def vertex_trust(mesh: Mesh, *, mm_per_unit: float | None = 1.0) -> Floats:
    """Return (V,) in [0, 1]: how far each scan vertex is to be trusted.

    Parameters
    ----------
    mm_per_unit : float, optional
        Of the attribute `sigma_mm`; None leaves that attribute out.
    """
    trust = np.ones(len(mesh.vertices))
    sigma = mesh.attributes.get("sigma_mm")
    if sigma is not None and mm_per_unit is not None:
        trust /= 1 + (np.nan_to_num(sigma, nan=np.inf) * mm_per_unit / _SIGMA_MM) ** 2
    reliable = mesh.attributes.get("reliable")
    if reliable is not None:
        trust *= np.where(reliable > 0.5, 1.0, _UNRELIABLE)
    filled = mesh.attributes.get("filled")
    if filled is not None:
        trust[filled > 0.5] = 0.0
    return trust


def thinned(mesh: Mesh, *, n_cells: int = _N_CELLS) -> Cells:
    """Thin a scan to about `n_cells` points with the mean normals of their cells.

    Raises
    ------
    RegistrationError
        The scan has too few faces, no area, or holds NaN.
    """
    if len(mesh.faces) < _LEAST_FACES:
        raise RegistrationError(
            f"the scan has {len(mesh.faces)} triangles, too few for a face; "
            f"at least {_LEAST_FACES} are needed"
        )
    if not np.isfinite(mesh.vertices).all():
        raise RegistrationError("the scan has vertices that are not finite numbers; clean it first")
    faces = mesh.faces[:: -(-len(mesh.faces) // _MOST_CELL_FACES)]
    a, b, c = (np.asarray(mesh.vertices[faces[:, i]], dtype=np.float64) for i in range(3))
    twice = np.cross(b - a, c - a)
    areas = np.linalg.norm(twice, axis=1) / 2
    share = len(mesh.faces) / len(faces)
    area = float(areas.sum()) * share
    if not area > 0:
        raise RegistrationError("the scan's triangles have no area; clean it first")
    spacing = float(np.sqrt(area / n_cells))
    trust = vertex_trust(mesh, mm_per_unit=None)[faces].mean(1)
    return _gathered((a + b + c) / 3, twice / 2, areas, trust, spacing=spacing, area=area)


def _gathered(
    points: Floats, normals: Floats, areas: Floats, trust: Floats, *, spacing: float, area: float
) -> Cells:
    """Mean point, normal and trust of each cell of a grid; cells of opposite sides cancel out."""
    cell = np.floor((points - points.min(0)) / spacing).astype(np.int64)
    size = cell.max(0) + 1
    _, of_point = np.unique(
        (cell[:, 0] * size[1] + cell[:, 1]) * size[2] + cell[:, 2], return_inverse=True
    )
    of_point = of_point.reshape(-1)

    def total(values: Floats) -> Floats:
        return np.asarray(np.bincount(of_point, weights=values), dtype=np.float64)

    mass = np.maximum(total(areas), 1e-30)
    mean = np.stack([total(points[:, i] * areas) for i in range(3)], 1) / mass[:, None]
    normal = np.stack([total(normals[:, i]) for i in range(3)], 1)
    length = np.linalg.norm(normal, axis=1)
    kept = (length > 0.5 * mass) & (mass > 0.05 * spacing**2)
    return Cells(
        points=mean[kept],
        normals=normal[kept] / length[kept, None],
        weights=(total(trust * areas) / mass)[kept],
        spacing=spacing,
        area=area,
    )
