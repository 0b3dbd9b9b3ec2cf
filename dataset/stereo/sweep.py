"""The surface sweep: move a mesh along its normals to where its views agree best.

For each vertex the tangent patch is compared across the views that see it, at offsets along
the normal; the profile of agreement is smoothed over the mesh, its peak refined between the
steps, and one sparse solve moves all vertices, smoothly where nothing was measured.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ...core.arrays import Bools, Floats, Floats32, Ints
from ...core.geometry.mesh import Mesh, vertex_normals
from .kernels import quiet_threads
from .patchmatch import stack_images
from .sweep_kernels import score_profiles
from .views import View
from .visibility import SeenBy, seen_by


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """Settings of the sweep at one scale."""

    n_rounds: int = 2
    n_steps: int = 5  # offsets on either side
    step_px: float = 0.7  # of an offset, in pixel footprints
    finer: float = 0.75  # factor on the step from round to round
    radius: int = 2  # of the patch, in footprints: (2 r + 1)^2 samples
    most_views: int = 5  # a vertex is judged by the views that face it best
    least_cosine: float = 0.3  # views more grazing than this are left out
    smoothing_passes: int = 3  # of the score profile over the mesh
    least_score: float = 0.3  # NCC below this measures nothing
    good_px: float = 0.35  # a measurement this exact has full weight
    least_weight: float = 0.005  # of a measured vertex
    normal_passes: int = 4  # of the normals over the mesh: patches span several triangles
    stay: float = 0.02  # weight with which an unmeasured vertex stays where it is
    stiffness: float = 0.25  # lambda of the smoothness term; more removes 2 mm relief
    reweightings: int = 1  # of vertices that contradict their neighbours


@dataclass(frozen=True, kw_only=True)
class Swept:
    """A moved mesh and how well each vertex was measured."""

    mesh: Mesh
    score: Floats32
    """(V,) NCC at the peak; -1 where nothing was measured."""
    weight: Floats32
    """(V,) in [0, 1]: score and sharpness of the peak together; 0 where unmeasured."""
    seen: SeenBy


def sweep_surface(mesh: Mesh, views: list[View], config: SweepConfig) -> Swept:
    """Measure all vertices and move them, `n_rounds` times; faces stay as they are.

    `views` are of one scale, to whose pixel footprint the mesh's edges should be near.
    """
    vertices = np.asarray(mesh.vertices, dtype=np.float64)
    graph = vertex_graph(mesh.faces, len(vertices))
    bending = umbrella(mesh.faces, len(vertices))
    images, sizes = stack_images([view.grey for view in views])
    P = np.array([view.camera.P for view in views])
    seen, score, weight = None, None, None
    for turn in range(config.n_rounds):
        normals = smooth_normals(
            vertex_normals(vertices, mesh.faces), graph, n_passes=config.normal_passes
        )
        if seen is None:
            seen = seen_by(
                Mesh(vertices=vertices, faces=mesh.faces), normals, views,
                most=config.most_views, least_cosine=config.least_cosine,
                margin_px=3.0 * (config.radius + 1),
            )  # fmt: skip
        step_px = config.step_px * config.finer**turn
        profile = np.full((len(vertices), 2 * config.n_steps + 1), -1.0, np.float32)
        with quiet_threads():
            score_profiles(
                vertices, normals, seen.footprint, seen.views, images, sizes, P,
                config.n_steps, step_px, config.radius, profile,
            )  # fmt: skip
        offset, weight, score = _peaks(profile, graph, step_px, config)
        step = step_px * seen.footprint
        moves = _solve(vertices, normals, bending, offset * step, weight, step, config)
        vertices = vertices + moves[:, None] * normals
    assert seen is not None and score is not None and weight is not None
    return Swept(
        mesh=Mesh(vertices=vertices, faces=mesh.faces),
        score=score,
        weight=weight.astype(np.float32),
        seen=seen,
    )


def vertex_graph(faces: Ints, n_vertices: int) -> sparse.csr_array:
    """Return the (V, V) float32 matrix of ones between neighbours."""
    rows = faces[:, [0, 1, 1, 2, 2, 0]].ravel()
    cols = faces[:, [1, 0, 2, 1, 0, 2]].ravel()
    graph = sparse.coo_array(
        (np.ones(len(rows), np.float32), (rows, cols)), shape=(n_vertices, n_vertices)
    ).tocsr()
    graph.data[:] = 1
    return graph


def border_edges(faces: Ints, n_vertices: int) -> Ints:
    """Return (B, 2) the edges of one face alone."""
    halves = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1).astype(np.int64)
    keys = np.sort(halves[:, 0] * n_vertices + halves[:, 1])  # quicker than np.unique
    differs = np.concatenate([[True], keys[1:] != keys[:-1], [True]])
    single = keys[differs[1:] & differs[:-1]]
    return np.stack([single // n_vertices, single % n_vertices], axis=1).astype(np.int32)


def border_vertices(faces: Ints, n_vertices: int) -> Bools:
    """Return (V,) which vertices lie on an open edge."""
    border = np.zeros(n_vertices, bool)
    border[border_edges(faces, n_vertices)] = True
    return border


def umbrella(faces: Ints, n_vertices: int) -> sparse.csr_array:
    """Return the (V, V) operator "vertex less the mean of its neighbours".

    On an open border only neighbours along it count: those inside would draw it inwards.
    """
    edges = border_edges(faces, n_vertices)
    rows, cols = np.concatenate([edges, edges[:, ::-1]]).T
    shape = (n_vertices, n_vertices)
    along = sparse.csr_array((np.ones(len(rows)), (rows, cols)), shape=shape)
    inner = (~border_vertices(faces, n_vertices)).astype(np.float64)
    inside = sparse.diags_array(inner) @ vertex_graph(faces, n_vertices)
    used = sparse.csr_array(along + inside)
    degree = np.asarray(used.sum(axis=1)).ravel()
    mean = sparse.diags_array(1 / np.maximum(degree, 1)) @ used
    return sparse.csr_array(sparse.diags_array((degree > 0).astype(np.float64)) - mean)


def smooth_normals(normals: Floats, graph: sparse.csr_array, *, n_passes: int) -> Floats:
    """Return (V, 3) unit normals, each blended with its neighbours' mean `n_passes` times."""
    for _ in range(n_passes):
        normals = normals + graph @ normals
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        normals = np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)
    return normals


def _peaks(
    profile: Floats32, graph: sparse.csr_array, step_px: float, config: SweepConfig
) -> tuple[Floats, Floats, Floats32]:
    """Return each vertex's offset in steps, its weight, and its score."""
    smooth = _smoothed(profile, graph, config.smoothing_passes)
    n = profile.shape[1]
    rows = np.arange(len(profile))
    top = smooth.argmax(axis=1)
    inner = (top > 0) & (top < n - 1)
    middle = np.clip(top, 1, n - 2)
    # the raw profile's own peak within one step of the smoothed one
    near = np.stack([profile[rows, middle + d] for d in (-1, 0, 1)], axis=1)
    middle = np.clip(middle + near.argmax(axis=1) - 1, 1, n - 2)
    left, mid, right = (profile[rows, middle + d].astype(np.float64) for d in (-1, 0, 1))
    curvature = 2 * mid - left - right
    shift = np.divide(
        0.5 * (right - left), curvature, out=np.zeros_like(mid), where=curvature > 1e-6
    )
    offset = middle - config.n_steps + np.clip(shift, -0.75, 0.75)
    measured = inner & (mid > config.least_score) & (left > -1) & (right > -1)
    # a peak's variance: what disagrees there over how sharply the agreement falls, in px²
    variance = np.maximum(1 - mid, 1e-3) / np.maximum(curvature, 1e-6) * step_px**2
    precision = np.minimum(config.good_px**2 / variance, 1.0)
    # squared: weak texture errs by wrong peaks, too, not by noise alone
    weight = np.where(measured, np.maximum(precision**2, config.least_weight), 0.0)
    return offset, weight, np.where(measured, mid, -1).astype(np.float32)


def _smoothed(profile: Floats32, graph: sparse.csr_array, n_passes: int) -> Floats32:
    """Blend each vertex's profile with its neighbours' mean, leaving unmeasured ones out."""
    known = (profile > -1).astype(np.float32)
    value = profile * known
    count = np.maximum(graph @ known, 1e-6)
    for _ in range(n_passes):
        around = (graph @ value) / count
        value = known * (np.float32(0.4) * value + np.float32(0.6) * around)
    return np.where(known > 0, value, -1).astype(np.float32)


def _solve(
    vertices: Floats, normals: Floats, L: sparse.csr_array, wanted: Floats,
    weight: Floats, step: Floats, config: SweepConfig,
) -> Floats:  # fmt: skip
    """Return moves x (V,): minimise sum w (x - wanted)^2 + stiffness |L (v + x n)|^2.

    L is the umbrella Laplacian, taken along the normals as the moves are.
    """
    bend = ((L @ vertices) * normals).sum(axis=1)
    transposed = L.T
    diagonal = config.stiffness * np.bincount(L.indices, L.data**2, len(vertices))
    pull = -config.stiffness * (transposed @ bend)
    measured = weight > 0
    target = np.where(measured, wanted, 0.0)
    weight = np.where(measured, weight, config.stay)
    x = np.where(weight > 0.05, target, 0.0)
    for turn in range(1 + config.reweightings):
        w = weight
        if turn > 0:  # Cauchy, one step wide
            w = np.where(measured, weight / (1 + ((x - target) / step) ** 2), weight)

        def times(p: Floats, w: Floats = w) -> Floats:
            # in two steps: L^T L itself would take three times the memory
            return np.asarray(w * p + config.stiffness * (transposed @ (L @ p)))

        x = conjugate_gradient(
            times, w * target + pull, diagonal=diagonal + w, start=x, rtol=1e-3, n_steps=60
        )
    return np.asarray(np.clip(x, -config.n_steps * step, config.n_steps * step))


def conjugate_gradient(
    times: Callable[[Floats], Floats], b: Floats, *,
    diagonal: Floats, start: Floats, rtol: float, n_steps: int,
) -> Floats:  # fmt: skip
    """Solve A x = b for symmetric positive definite A, given as `times` and its diagonal.

    As SciPy's, but for the sums: those of BLAS depend on the number of threads.
    """
    inverse = 1 / diagonal
    x = start.copy()
    r = b - times(x)
    z = inverse * r
    p = z.copy()
    rho = _dot(r, z)
    enough = rtol**2 * _dot(b, b)
    for _ in range(n_steps):
        if _dot(r, r) <= enough:
            break
        q = times(p)
        alpha = rho / _dot(p, q)
        x += alpha * p
        r -= alpha * q
        z = inverse * r
        rho, before = _dot(r, z), rho
        p = z + (rho / before) * p
    return x


def _dot(a: Floats, b: Floats) -> float:
    return float(np.sum(a * b))
