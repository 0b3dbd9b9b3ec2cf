"""The surface sweep: move a mesh along its normals to where its views agree best.

For each vertex the tangent patch is compared across the views that see it, at offsets along
the normal; the profile of agreement is smoothed over the mesh, its peak refined between the
steps, and one sparse solve moves all vertices, smoothly where nothing was measured.
"""

from dataclasses import dataclass

import numpy as np

from ...core.arrays import AnyFloats, Floats, Floats32, Ints
from ...core.geometry.mesh import Mesh
from ..kernels import quiet_threads
from ..meshgraph import (
    MeshGraph,
    Umbrella,
    conjugate_gradient,
    mesh_graph,
    smooth_normals,
    surface_normals,
)
from .packed import PackedImages, pack_images
from .sweep_kernels import find_peaks, score_profiles, smooth_profiles, update_tops
from .views import View
from .visibility import SeenBy, Visible, choose_views, visible_from

_COLUMNS_AT_ONCE = 3  # of the profiles: smoothing all would take as much again, twice


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """Settings of the sweep at one scale."""

    n_rounds: int = 2
    n_steps: int = 5  # offsets on either side
    step_px: float = 0.7  # of an offset, in pixel footprints
    finer: float = 0.75  # factor on the step from round to round
    radius: int = 2  # of the patch, a disc, in footprints: 21 samples; 37 for 3
    spread: float = 1.3  # of the samples' Gaussian weights, in footprints
    most_views: int = 5  # a vertex is judged by the views that face it best
    least_cosine: float = 0.3  # views more grazing than this are left out
    smoothing_passes: int = 3  # of the score profile over the mesh
    least_score: float = 0.3  # NCC below this measures nothing
    good_px: float = 0.35  # a measurement this exact has full weight
    least_weight: float = 0.005  # of a measured vertex
    normal_passes: int = 4  # of the normals over the mesh: patches span several triangles
    stay: float = 0.02  # weight with which an unmeasured vertex stays where it is
    stiffness: float = 0.25  # lambda of the smoothness term; more removes 2 mm relief
    detail: float = 0.0  # how much stronger what is finer than 3 px is made in the images
    reweightings: int = 1  # of vertices that contradict their neighbours


@dataclass(frozen=True, kw_only=True)
class Swept:
    """A moved mesh and how well each vertex was measured."""

    mesh: Mesh
    score: Floats32
    """(V,) NCC at the peak; -1 where nothing was measured."""
    weight: Floats32
    """(V,) in [0, 1]: score and sharpness of the peak together; 0 where unmeasured."""
    curvature: Floats32
    """(V,) of the profile at its peak, NCC per squared pixel footprint along the normal:
    2 s(0) - s(-h) - s(h) over h²; 0 where unmeasured."""
    seen: SeenBy


def sweep_surface(
    mesh: Mesh, views: list[View], config: SweepConfig, *,
    visible: Visible | None = None, images: PackedImages | None = None,
) -> Swept:  # fmt: skip
    """Measure all vertices and move them, `n_rounds` times; faces stay as they are.

    Parameters
    ----------
    views : list of View
        Of one scale, to whose pixel footprint the mesh's edges should be near.
    visible : Visible, optional
        Which views nothing hides each vertex from, if known: from the mesh itself by default.
    images : PackedImages, optional
        The views' grey, if packed already; they then need no pixels of their own.
    """
    vertices, faces = np.ascontiguousarray(mesh.vertices, dtype=np.float64), mesh.faces
    del mesh  # its vertices go as soon as they have moved
    graph = mesh_graph(faces, len(vertices))
    umbrella = Umbrella(graph)
    if images is None:
        images = pack_images([view.grey for view in views], detail=config.detail)
    measured, seen = None, None
    for turn in range(config.n_rounds):
        normals = smooth_normals(
            surface_normals(vertices, faces), graph, n_passes=config.normal_passes
        )
        if seen is None:
            seen = facing_views(vertices, faces, normals, views, config, visible=visible)
            visible = None  # memory
        measured = None  # of the round before: its memory is needed
        step_px = config.step_px * config.finer**turn
        steps = np.arange(-config.n_steps, config.n_steps + 1) * np.float32(step_px)
        measured = _measured(vertices, normals, graph, seen, images, views, steps, config)
        step = (step_px * seen.footprint).astype(np.float32)
        moves = _solve(vertices, normals, umbrella, measured, step, config)
        vertices = vertices + moves[:, None] * normals
        del moves, step, normals  # memory, again
    assert seen is not None and measured is not None
    return Swept(
        mesh=Mesh(vertices=vertices, faces=faces),
        score=measured.score,
        weight=measured.weight,
        curvature=measured.curvature / np.float32(step_px**2),
        seen=seen,
    )


def facing_views(
    vertices: Floats, faces: Ints, normals: Floats32, views: list[View], config: SweepConfig, *,
    visible: Visible | None = None,
) -> SeenBy:  # fmt: skip
    """Choose the views that each vertex is judged by; `visible` is what nothing hides, if known."""
    if visible is None:
        visible = visible_from(
            vertices, faces, normals, views,
            most=config.most_views, least_cosine=config.least_cosine,
        )  # fmt: skip
    return choose_views(
        vertices, normals, visible, views,
        most=config.most_views, least_cosine=config.least_cosine,
        margin_px=2.0 * config.radius + 3.0,
    )  # fmt: skip


def patch_grid(radius: int, *, spread: float) -> Floats32:
    """Return (4, S): the samples' places along both tangents in footprints, weights, their roots.

    A disc: the corners of the square weigh little and cost as much as the rest.
    """
    side = np.arange(-radius, radius + 1)
    i, j = (values.ravel() for values in np.meshgrid(side, side, indexing="ij"))
    far = i**2 + j**2
    disc = far <= radius * (radius + 0.5)
    weight = np.exp(-far[disc] / (2.0 * spread**2))
    weight /= weight.sum()
    return np.stack([i[disc], j[disc], weight, np.sqrt(weight)]).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """What a round found at each vertex."""

    offset: Floats32
    """(V,) in steps."""
    score: Floats32
    weight: Floats32
    curvature: Floats32
    """(V,) per squared step."""


def _measured(
    vertices: Floats, normals: Floats32, graph: MeshGraph, seen: SeenBy,
    images: PackedImages, views: list[View], steps: Floats32, config: SweepConfig,
) -> _Measured:  # fmt: skip
    """Compare the views along the normals and find the peak of each vertex."""
    profile = np.full((len(vertices), len(steps)), -1.0, np.float32)
    with quiet_threads():
        score_profiles(
            np.flatnonzero(seen.views[:, 1] >= 0), vertices, normals, seen.footprint,
            seen.views, images.words, images.starts, images.sizes,
            np.array([view.camera.P for view in views]), steps,
            patch_grid(config.radius, spread=config.spread), profile,
        )  # fmt: skip
    top = _tops(profile, graph, config.smoothing_passes)
    offset, curvature = np.zeros((2, len(vertices)), np.float32)
    score = np.full(len(vertices), -1, np.float32)
    with quiet_threads():
        find_peaks(profile, top, np.float32(config.least_score), offset, score, curvature)
    step_px = float(steps[1] - steps[0])
    # a peak's variance: what disagrees there over how sharply the agreement falls, in px²
    variance = np.maximum(1 - score, 1e-3) / np.maximum(curvature, 1e-6) * step_px**2
    precision = np.minimum(config.good_px**2 / variance, 1.0)
    # squared: weak texture errs by wrong peaks, too, not by noise alone
    weight = np.where(score > -1, np.maximum(precision**2, config.least_weight), 0.0)
    return _Measured(
        offset=offset, score=score, weight=weight.astype(np.float32), curvature=curvature
    )


def _tops(profile: Floats32, graph: MeshGraph, n_passes: int) -> Ints:
    """Return (V,) the place of the largest value of each profile smoothed over the mesh."""
    top = np.zeros(len(profile), np.int32)
    largest = np.full(len(profile), -np.inf, np.float32)
    for start in range(0, profile.shape[1], _COLUMNS_AT_ONCE):
        smooth = profile[:, start : start + _COLUMNS_AT_ONCE].copy()
        spare = np.zeros_like(smooth)
        for _ in range(n_passes):
            with quiet_threads():
                smooth_profiles(graph.starts, graph.neighbours, smooth, spare)
            smooth, spare = spare, smooth
        update_tops(smooth, start, top, largest)
    return top


def _solve(
    vertices: Floats, normals: Floats32, L: Umbrella, found: _Measured,
    step: Floats32, config: SweepConfig,
) -> Floats32:  # fmt: skip
    """Return moves x (V,): minimise sum w (x - wanted)^2 + stiffness |L (v + x n)|^2.

    L is the umbrella Laplacian, taken along the normals as the moves are.
    """
    stiffness = np.float32(config.stiffness)
    diagonal = stiffness * L.column_squares()
    pull = -stiffness * L.transposed_times(L.along(vertices, normals))
    measured = found.weight > 0
    target = np.where(measured, found.offset * step, np.float32(0))
    weight = np.where(measured, found.weight, np.float32(config.stay))
    x = np.where(weight > 0.05, target, np.float32(0))
    for turn in range(1 + config.reweightings):
        w = weight
        if turn > 0:  # Cauchy, one step wide
            w = np.where(measured, weight / (1 + ((x - target) / step) ** 2), weight)

        def times(p: AnyFloats, w: Floats32 = w) -> AnyFloats:
            q = L.square_times(p)
            q *= stiffness
            q += w * p
            return q

        x = conjugate_gradient(
            times, w * target + pull, diagonal=diagonal + w, start=x, rtol=1e-3, n_steps=60
        )
    return np.clip(x, -config.n_steps * step, config.n_steps * step)
