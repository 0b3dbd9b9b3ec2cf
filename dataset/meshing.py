"""Point cloud -> mesh: screened Poisson, trimmed by support, cleaned."""

import numpy as np
import open3d as o3d
from scipy.spatial import cKDTree

from ..core.arrays import AnyFloats, Bools, Floats, Floats32, Ints
from ..core.errors import EstimationError
from ..core.geometry.mesh import Mesh
from .fusion import PointCloud
from .meshgraph import mesh_graph, parts, slid, smoothed
from .meshgraph_kernels import count_edges, cut_into_four

_BARE = 0.15  # mean support around a vertex that has none itself
_EDGE_PER_CELL = 0.85  # mean edge of Open3D's Poisson meshes


def poisson_mesh(cloud: PointCloud, *, edge: float, trim: float = 12.0) -> Mesh:
    """Reconstruct the surface, leave out what no point supports, keep the main part.

    Parameters
    ----------
    edge : float
        Wanted edge length, the rig's unit: chooses the depth of the octree.
    trim : float
        Vertices farther than this many edges from the nearest point are dropped. Rather too
        few: the sweep cuts off what it cannot measure, but cannot bring back what is gone.

    Raises
    ------
    EstimationError
        The points do not form a surface.

    Source
    ------
    Kazhdan and Hoppe, Screened Poisson surface reconstruction, ACM TOG 32(3), 2013.
    """
    extent = float(np.ptp(cloud.points, axis=0).max())
    cell = edge / _EDGE_PER_CELL
    depth = int(np.clip(np.ceil(np.log2(1.1 * extent / cell)), 4, 11))
    # the octree's cube is made larger than need be, so that its cells have the wanted size
    scale = max(1.1, 2**depth * cell / extent)
    points = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(cloud.points))
    # Poisson weighs a point by the length of its normal only through density: repeat nothing,
    # let confident points speak louder by scaling
    points.normals = o3d.utility.Vector3dVector(
        cloud.normals * np.maximum(cloud.confidence, 0.05)[:, None].astype(np.float64)
    )
    # one thread: with several the order of sums, and so the last digits, would change
    mesh, _ = o3d.geometry.TriangleMesh.create_from_point_cloud_poisson(
        points, depth=depth, scale=scale, n_threads=1
    )
    vertices = np.asarray(mesh.vertices)
    faces = np.asarray(mesh.triangles).astype(np.int32)
    distance, _ = cKDTree(cloud.points).query(vertices, workers=-1)
    supported = np.asarray(distance) < trim * edge
    faces = faces[supported[faces].all(axis=1)]
    found = Mesh(vertices=vertices, faces=faces)
    if len(faces) == 0:
        raise EstimationError("meshing found no surface in the fused points")
    return found.selected(main_parts(found))


def main_parts(mesh: Mesh, *, least_share: float = 0.05, support: AnyFloats | None = None) -> Bools:
    """Return (F,) which faces belong to a connected part that is large and supported.

    Parameters
    ----------
    least_share : float
        Smaller parts than this share of the largest are left out.
    support : (V,), optional
        0-1; parts whose mean is below a half are left out, unless they are the largest.
    """
    if len(mesh.faces) == 0:
        return np.zeros(0, bool)
    labels = parts(mesh.faces, len(mesh.vertices))
    sizes = np.bincount(labels[mesh.faces[:, 0]], minlength=len(labels))
    good = sizes >= least_share * sizes.max()
    if support is not None:
        used = np.zeros(len(labels), bool)
        used[mesh.faces] = True
        count = np.bincount(labels[used], minlength=len(sizes))
        total = np.bincount(labels[used], support[used], len(sizes))
        good &= (total >= 0.5 * count) | (sizes == sizes.max())
    return np.asarray(good[labels[mesh.faces[:, 0]]])


def trim_rim(
    mesh: Mesh,
    support: AnyFloats,
    *,
    n_passes: int = 8,
    least_support: float = 0.5,
    deepest: float = np.inf,
    trusted: AnyFloats | None = None,
) -> Bools:
    """Return (F,) which faces stay when what is unsupported is cut off.

    That is what reaches an open border, and the middle of what gapes: of a part in which some
    surface without any support lies farther than `deepest` from supported one, what is farther
    than half of that. Nostrils, folds and slits
    stay: they are bridged from what is around them.

    Parameters
    ----------
    support : (V,)
        0-1; judged by its mean over a vertex's surroundings, some `n_passes` rings.
    deepest : float
        The unit of the mesh.
    trusted : (V,), optional
        0-1; at open borders only what is trusted counts as supported.
    """
    n = len(mesh.vertices)
    graph = mesh_graph(mesh.faces, n)
    around = smoothed(support, graph, n_passes=n_passes)
    firm = around
    if trusted is not None:
        firm = smoothed(np.minimum(support, trusted), graph, n_passes=n_passes)
    loose = firm < least_support
    labels = parts(mesh.faces, n, kept=np.asarray(loose[mesh.faces].all(axis=1)))
    reaches_border, gapes = np.zeros((2, n), bool)
    reaches_border[labels[graph.border & loose]] = True
    distance = _bare_distance(mesh, around, loose) if np.isfinite(deepest) else np.zeros(n)
    gapes[labels[distance > deepest]] = True
    # near measured surface a bridge is still a good one
    core = gapes[labels] & (distance > 0.5 * deepest)
    dropped = (loose & reaches_border[labels]) | core
    return np.asarray(~dropped[mesh.faces].any(axis=1))


def _bare_distance(mesh: Mesh, around: Floats32, loose: Bools) -> Floats:
    """Return (V,) how far unsupported vertices lie from supported ones; 0 for all others."""
    distance = np.zeros(len(around))
    bare = np.flatnonzero(loose & (around < _BARE))
    rim = np.flatnonzero(~loose & (around < 1 - 1e-6))  # the nearest are among these
    if len(bare) > 0 and len(rim) > 0:
        distance[bare], _ = cKDTree(mesh.vertices[rim]).query(mesh.vertices[bare])
    return distance


def relax(mesh: Mesh, *, n_times: int = 10, normals: Floats32) -> Mesh:
    """Even out the triangles by sliding vertices within the surface; borders stay."""
    graph = mesh_graph(mesh.faces, len(mesh.vertices))
    vertices = np.ascontiguousarray(mesh.vertices, dtype=np.float64)
    return Mesh(vertices=slid(vertices, normals, graph, n_times=n_times), faces=mesh.faces)


def divide_edges(mesh: Mesh) -> tuple[Mesh, Ints]:
    """Cut every triangle into four at its edges' middles; the shape stays.

    Returns
    -------
    mesh : Mesh
        The old vertices, then the middles of edges.
    ends : (V, 2) int32
        The two old vertices that each lies between; an old one twice.
    """
    n = len(mesh.vertices)
    graph = mesh_graph(mesh.faces, n)
    first = np.zeros(n + 1, np.int64)
    count_edges(graph.starts, graph.neighbours, first)
    ends = np.zeros((n + int(first[-1]), 2), np.int32)
    ends[:n] = np.arange(n, dtype=np.int32)[:, None]
    faces = np.zeros((4 * len(mesh.faces), 3), np.int32)
    cut_into_four(mesh.faces, graph.starts, graph.neighbours, first, faces, ends)
    vertices = mesh.vertices[ends[:, 0]]
    vertices += mesh.vertices[ends[:, 1]]
    vertices *= 0.5
    return Mesh(vertices=vertices, faces=faces), ends
