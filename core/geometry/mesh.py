"""Triangle meshes as plain arrays, and the operations every stage needs on them."""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from ..arrays import AnyFloats, Bools, Bytes, Floats, Ints


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """A triangle mesh, mm, faces counter-clockwise seen from outside."""

    vertices: AnyFloats
    """(V, 3), mm."""
    faces: Ints
    """(F, 3) int32."""
    uv: AnyFloats | None = None
    """(T, 2) texture coordinates, OBJ convention: origin bottom-left, v up."""
    faces_uv: Ints | None = None
    """(F, 3) rows of `uv` at the face corners; None with `uv`: same as `faces`."""
    colors: Bytes | None = None
    """(V, 3) uint8, sRGB."""
    attributes: dict[str, AnyFloats] = field(default_factory=dict)
    """Per-vertex scalars or vectors, such as `confidence` (V,)."""

    def selected(self, keep: Bools) -> "Mesh":
        """Return the mesh of the faces where `keep` (F,) is true, unused vertices dropped."""
        faces = self.faces[keep]
        is_used = np.zeros(len(self.vertices), bool)
        is_used[faces] = True
        used = np.flatnonzero(is_used)
        new_index = np.full(len(self.vertices), -1, np.int32)
        new_index[used] = np.arange(len(used), dtype=np.int32)
        per_vertex_uv = self.uv is not None and self.faces_uv is None
        return replace(
            self,
            vertices=self.vertices[used],
            faces=new_index[faces],
            uv=self.uv[used] if self.uv is not None and per_vertex_uv else self.uv,
            faces_uv=None if self.faces_uv is None else self.faces_uv[keep],
            colors=None if self.colors is None else self.colors[used],
            attributes={name: values[used] for name, values in self.attributes.items()},
        )


def face_normals(vertices: AnyFloats, faces: Ints) -> Floats:
    """Return (F, 3) normals whose length is twice the face's area."""
    a, b, c = (vertices[faces[:, i]].astype(np.float64) for i in range(3))
    return np.cross(b - a, c - a)


def face_areas(vertices: AnyFloats, faces: Ints) -> Floats:
    """Return (F,) areas, mm²."""
    return np.asarray(np.linalg.norm(face_normals(vertices, faces), axis=1) / 2)


def vertex_normals(vertices: AnyFloats, faces: Ints) -> Floats:
    """Return (V, 3) unit normals, area-weighted; zero for unused vertices."""
    normals = np.zeros((len(vertices), 3))
    per_face = face_normals(vertices, faces)
    for axis in range(3):
        for corner in range(3):
            normals[:, axis] += np.bincount(
                faces[:, corner], weights=per_face[:, axis], minlength=len(vertices)
            )
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(np.divide(normals, length, out=np.zeros_like(normals), where=length > 0))


def edges_of(faces: Ints) -> Ints:
    """Return the (E, 2) distinct edges, each with its lower index first."""
    halves = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
    n = int(halves.max(initial=0)) + 1
    low, high = np.divmod(np.unique(halves.min(axis=1) * n + halves.max(axis=1)), n)
    return np.stack([low, high], axis=1).astype(np.int32)


def adjacency(faces: Ints, n_vertices: int) -> sparse.csr_array:
    """Return the symmetric (V, V) 0/1 vertex adjacency."""
    edges = edges_of(faces)
    rows, cols = np.concatenate([edges, edges[:, ::-1]]).T
    ones = np.ones(len(rows))
    return sparse.csr_array((ones, (rows, cols)), shape=(n_vertices, n_vertices))


def vertex_components(faces: Ints, n_vertices: int) -> Ints:
    """Return (V,) component labels of vertices joined by edges."""
    _, labels = csgraph.connected_components(adjacency(faces, n_vertices), directed=False)
    return np.asarray(labels, dtype=np.int32)


def sample_surface(
    vertices: AnyFloats, faces: Ints, n_samples: int, *, rng: np.random.Generator
) -> tuple[Floats, Ints]:
    """Draw points evenly over the surface.

    Returns
    -------
    points : (n_samples, 3) float64, mm
    face : (n_samples,) int32
        The face that each point lies on.
    """
    areas = face_areas(vertices, faces)
    face = rng.choice(len(faces), n_samples, p=areas / areas.sum()).astype(np.int32)
    u = rng.random((n_samples, 2))
    u = np.where(u.sum(1, keepdims=True) > 1, 1 - u, u)
    a, b, c = (vertices[faces[face, i]].astype(np.float64) for i in range(3))
    return a + u[:, :1] * (b - a) + u[:, 1:] * (c - a), face


def subdivide_loop(mesh: Mesh, *, n_times: int = 1) -> Mesh:
    """Subdivide by Loop's scheme, with its boundary rule; UVs and attributes go along linearly.

    Source
    ------
    Loop, Smooth subdivision surfaces based on triangles, 1987; boundary as in Hoppe 1994.
    """
    for _ in range(n_times):
        mesh = _subdivide_once(mesh)
    return mesh


def _subdivide_once(mesh: Mesh) -> Mesh:
    n = len(mesh.vertices)
    keep, smooth, faces = _loop_stencils(mesh.faces, n)
    linear = sparse.vstack([sparse.eye_array(n, format="csr"), keep]).tocsr()
    uv, faces_uv = mesh.uv, mesh.faces_uv
    if uv is not None and faces_uv is not None:
        middle_uv, _, faces_uv = _loop_stencils(faces_uv, len(uv))
        uv = np.concatenate([uv, middle_uv @ uv])
    elif uv is not None:
        uv = linear @ uv
    colors = mesh.colors
    if colors is not None:
        colors = np.rint(linear @ colors.astype(np.float32)).astype(np.uint8)
    return Mesh(
        vertices=np.asarray(smooth @ mesh.vertices),
        faces=faces,
        uv=uv,
        faces_uv=faces_uv,
        colors=colors,
        attributes={name: np.asarray(linear @ v) for name, v in mesh.attributes.items()},
    )


def _loop_stencils(faces: Ints, n: int) -> tuple[sparse.csr_array, sparse.csr_array, Ints]:
    """Edge mid-points (E, n), Loop positions of all new vertices (n + E, n), the new faces."""
    halves = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1).astype(np.int64)
    keys, edge_of_half = np.unique(halves[:, 0] * n + halves[:, 1], return_inverse=True)
    a, b = keys // n, keys % n
    n_edges = len(keys)
    opposite = faces[:, [2, 0, 1]].reshape(-1)
    n_faces_at = np.bincount(edge_of_half, minlength=n_edges)
    inner = n_faces_at == 2
    every = np.arange(n_edges)
    middle = sparse.csr_array(
        (np.full(2 * n_edges, 0.5), (np.r_[every, every], np.r_[a, b])), shape=(n_edges, n)
    )

    inner_half = inner[edge_of_half]
    weight = np.where(inner, 0.375, 0.5)
    edge_rule = sparse.csr_array(
        (
            np.r_[weight, weight, np.full(int(inner_half.sum()), 0.125)],
            (np.r_[every, every, edge_of_half[inner_half]], np.r_[a, b, opposite[inner_half]]),
        ),
        shape=(n_edges, n),
    )

    degree = np.bincount(np.r_[a, b], minlength=n)
    border = ~inner
    on_border = np.bincount(np.r_[a[border], b[border]], minlength=n) > 0
    safe = np.maximum(degree, 1)
    beta = (0.625 - (0.375 + 0.25 * np.cos(2 * np.pi / safe)) ** 2) / safe
    own = np.where(on_border, 0.75, np.where(degree > 0, 1 - degree * beta, 1.0))
    rows, cols = np.r_[a, b], np.r_[b, a]
    border_pair = np.r_[border, border]
    n_border = np.maximum(np.bincount(rows[border_pair], minlength=n), 1)
    value = np.where(on_border[rows], np.where(border_pair, 0.25 / n_border[rows], 0.0), beta[rows])
    index = np.arange(n)
    vertex_rule = sparse.csr_array(
        (np.r_[own, value], (np.r_[index, rows], np.r_[index, cols])), shape=(n, n)
    )

    e01, e12, e20 = (edge_of_half.reshape(-1, 3) + n).T
    v0, v1, v2 = faces.T
    new = np.stack(
        [
            np.stack([v0, e01, e20], 1),
            np.stack([v1, e12, e01], 1),
            np.stack([v2, e20, e12], 1),
            np.stack([e01, e12, e20], 1),
        ],
        axis=1,
    )
    return (
        middle,
        sparse.vstack([vertex_rule, edge_rule]).tocsr(),
        new.reshape(-1, 3).astype(np.int32),
    )
