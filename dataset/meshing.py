"""Point cloud -> mesh: screened Poisson, trimmed by support, cleaned."""

import numpy as np
import open3d as o3d
from scipy.sparse import csgraph
from scipy.spatial import cKDTree

from ..core.arrays import AnyFloats, Bools, Floats, Ints
from ..core.errors import EstimationError
from ..core.geometry.mesh import Mesh
from .fusion import PointCloud
from .stereo.sweep import border_vertices, vertex_graph

_EDGE_PER_CELL = 0.85  # mean edge of Open3D's Poisson meshes


def poisson_mesh(cloud: PointCloud, *, edge: float, trim: float = 6.0) -> Mesh:
    """Reconstruct the surface, leave out what no point supports, keep the main part.

    Parameters
    ----------
    edge : float
        Wanted edge length, the rig's unit: chooses the depth of the octree.
    trim : float
        Vertices farther than this many edges from the nearest point are dropped.

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
    labels = _components(mesh.faces, len(mesh.vertices))
    sizes = np.bincount(labels[mesh.faces[:, 0]], minlength=int(labels.max()) + 1)
    good = sizes >= least_share * sizes.max()
    if support is not None:
        used = np.zeros(len(labels), bool)
        used[mesh.faces] = True
        count = np.bincount(labels[used], minlength=len(sizes))
        total = np.bincount(labels[used], support[used], len(sizes))
        good &= (total >= 0.5 * count) | (sizes == sizes.max())
    return np.asarray(good[labels[mesh.faces[:, 0]]])


def trim_rim(
    mesh: Mesh, support: AnyFloats, *, n_passes: int = 8, least_support: float = 0.5
) -> Bools:
    """Return (F,) which faces stay when what is unsupported is cut off from the open borders.

    Unsupported parts that do not reach a border, such as nostrils, stay.

    Parameters
    ----------
    support : (V,)
        0-1; judged by its mean over a vertex's surroundings, some `n_passes` rings.
    """
    n = len(mesh.vertices)
    graph = vertex_graph(mesh.faces, n)
    degree = np.maximum(np.asarray(graph.sum(axis=1)).ravel(), 1)
    around: AnyFloats = np.asarray(support, dtype=np.float32)
    for _ in range(n_passes):
        around = np.float32(0.5) * (around + (graph @ around) / degree)
    loose = around < least_support
    inner = mesh.faces[loose[mesh.faces].all(axis=1)]
    labels = _components(inner, n)
    open_parts = np.unique(labels[border_vertices(mesh.faces, n) & loose])
    dropped = loose & np.isin(labels, open_parts)
    return np.asarray(~dropped[mesh.faces].any(axis=1))


def relax(mesh: Mesh, *, n_times: int = 10, normals: Floats) -> Mesh:
    """Even out the triangles by sliding vertices within the surface; borders stay."""
    graph = vertex_graph(mesh.faces, len(mesh.vertices)).astype(np.float64)
    degree = np.asarray(graph.sum(axis=1)).ravel()
    fixed = border_vertices(mesh.faces, len(mesh.vertices)) | (degree == 0)
    vertices = mesh.vertices.astype(np.float64)
    for _ in range(n_times):
        step = graph @ vertices / np.maximum(degree, 1)[:, None] - vertices
        step -= (step * normals).sum(axis=1, keepdims=True) * normals
        vertices = vertices + 0.5 * np.where(fixed[:, None], 0.0, step)
    return Mesh(vertices=vertices, faces=mesh.faces)


def divide_edges(mesh: Mesh) -> Mesh:
    """Return the mesh with every triangle cut into four at its edges' middles; shape unchanged."""
    halves = np.sort(mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1).astype(np.int64)
    n = len(mesh.vertices)
    keys, edge = np.unique(halves[:, 0] * n + halves[:, 1], return_inverse=True)
    middles = 0.5 * (mesh.vertices[keys // n] + mesh.vertices[keys % n])
    e01, e12, e20 = (edge.reshape(-1, 3) + n).T
    v0, v1, v2 = mesh.faces.T
    corners = [v0, e01, e20, v1, e12, e01, v2, e20, e12, e01, e12, e20]
    return Mesh(
        vertices=np.concatenate([mesh.vertices, middles]),
        faces=np.stack(corners, axis=1).reshape(-1, 3).astype(np.int32),
    )


def _components(faces: Ints, n_vertices: int) -> Ints:
    """Return (V,) labels of vertices joined by edges; as in `core`, but quick on large meshes."""
    graph = vertex_graph(faces, n_vertices)
    _, labels = csgraph.connected_components(graph, directed=False)
    return np.asarray(labels, dtype=np.int32)
