"""A subject in the studio: the face model at an expression, with skin fine enough for pores.

Only positions and normals are kept per fine vertex. What varies slowly (paint, light, the
mean-face anchor) stays on the model's own triangles and is interpolated where a ray hits: a
fine triangle knows its place in the coarse one.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ...core.arrays import AnyFloats, Bools, Floats, Floats32, Ints
from ...core.facemodel.model import FaceModel
from ...core.geometry.closest import SurfaceQuery
from ...core.geometry.mesh import Mesh, edges_of, subdivide_loop, vertex_normals
from .lights import LIGHT_RAYS, LightRays, Lights, light_visibility
from .skin import PAINT, SkinValues, relief, skin_values
from .subject import Subject

MOST_FACES = 14_000_000
"""Memory stays near 300 bytes a face, with the ray tree: about 4 GB."""


class Surface(NamedTuple):
    """The surface as the compiled kernels take it."""

    faces: Ints
    """(F, 3) fine triangles."""
    vertices: Floats32
    normals: Floats32
    coarse_faces: Ints
    """(F / 4^n, 3); fine triangle f lies in f // 4^n."""
    places: Floats32
    """(4^n, 3, 3) barycentric places of a fine triangle's corners in its coarse one."""
    anchor: Floats32
    """(C, 3) mean-face coordinates of the coarse vertices: skin is painted by them."""
    paint: Floats32
    """(C, N_PAINT)."""
    seen: Floats32
    """(C, N_LIGHTS + 1)."""
    soft_normals: Floats32
    """(C, 3) of the surface without relief."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A subject's surface with its skin, ready to be hit by rays."""

    surface: Surface
    skin: SkinValues
    relief: Floats32
    """(V,) mm along the normal."""
    edge_mm: float
    """Typical edge of the frontal face: finer relief than two of them it does not carry."""
    frontal: Bools
    """(F,) the frontal face, on which meshes are scored."""
    coarse: Mesh
    """The model's own mesh: subdivided, it is the surface without relief."""
    query: SurfaceQuery = field(repr=False)

    @property
    def mesh(self) -> Mesh:
        """The fine mesh, mm, with `relief` as attribute."""
        return Mesh(
            vertices=self.surface.vertices,
            faces=self.surface.faces,
            attributes={"relief": self.relief},
        )


def build_scene(
    subject: Subject, lights: Lights, *, footprint_mm: float, rng: np.random.Generator,
    light_rays: LightRays = LIGHT_RAYS,
) -> Scene:  # fmt: skip
    """Subdivide the subject's mesh to the pixel footprint and raise its skin.

    Parameters
    ----------
    footprint_mm : float
        Size of a pixel on the face: edges become about as long, memory permitting.
    light_rays : LightRays
        By which a vertex finds how much of the light it sees.
    """
    model = subject.model
    coarse = Mesh(vertices=subject.vertices(), faces=model.faces)
    whole_edge_mm = frontal_edge(model)
    n_times = subdivision_levels(whole_edge_mm / footprint_mm, len(model.faces))
    edge_mm = whole_edge_mm / 2**n_times
    fine = subdivide_loop(coarse, n_times=n_times)
    places = places_in_parent(n_times)
    paint = np.stack([model.weights.get(name, np.zeros(len(model.mean))) for name in PAINT], 1)
    skin = skin_values(
        subject.skin, model.mean, weights=model.weights,
        eye_corners=model.mean[model.landmarks68[[36, 45]]],
    )  # fmt: skip
    anchor_paint = interpolate_down(
        np.hstack([model.mean, paint]).astype(np.float32), model.faces, fine.faces, places=places
    )
    height = relief(anchor_paint[:, :3], anchor_paint[:, 3:], skin=skin, edge_mm=edge_mm)
    del anchor_paint
    base_normals = vertex_normals(fine.vertices, fine.faces)
    vertices = (fine.vertices + base_normals * height[:, None]).astype(np.float32)
    surface = Surface(
        faces=fine.faces,
        vertices=vertices,
        normals=vertex_normals(vertices, fine.faces).astype(np.float32),
        coarse_faces=model.faces,
        places=places.astype(np.float32),
        anchor=model.mean.astype(np.float32),
        paint=paint.astype(np.float32),
        seen=light_visibility(
            coarse.vertices, coarse.faces, lights, rng=rng, light_rays=light_rays
        ),
        # Loop's scheme keeps the coarse vertices first, moved to the smooth surface
        soft_normals=base_normals[: len(model.mean)].astype(np.float32),
    )
    in_face = model.regions["frontal_face"][model.faces].all(axis=1)
    return Scene(
        surface=surface,
        skin=skin,
        relief=height,
        edge_mm=edge_mm,
        frontal=np.repeat(in_face, 4**n_times),
        coarse=coarse,
        query=SurfaceQuery(vertices, fine.faces),
    )


def subdivision_levels(shorter: float, n_faces: int) -> int:
    """Return how often to halve edges that should be so many times shorter, memory permitting."""
    wanted = max(1, round(np.log2(shorter)))
    most = int(np.log(MOST_FACES / n_faces) / np.log(4))
    return max(1, min(wanted, most))


def places_in_parent(n_times: int) -> Floats:
    """Return the barycentric places (4^n, 3 corners, 3) of a triangle's n-fold subdivision.

    In the order of `core.geometry.mesh.subdivide_loop`: three corner children, then the middle.
    """
    a, b, c = np.eye(3)
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    children = np.array([[a, ab, ca], [b, bc, ab], [c, ca, bc], [ab, bc, ca]])
    places = np.eye(3)[None]
    for _ in range(n_times):
        places = np.einsum("kij,pjl->pkil", children, places).reshape(-1, 3, 3)
    return places


def interpolate_down(
    values: AnyFloats, coarse_faces: Ints, fine_faces: Ints, *, places: Floats
) -> Floats32:
    """Interpolate per-vertex `values` (C, D) of a coarse mesh linearly at the fine vertices."""
    corner_of = np.zeros(int(fine_faces.max()) + 1, np.int32)
    corner_of[fine_faces.reshape(-1)] = np.arange(fine_faces.size, dtype=np.int32)
    face, corner = corner_of // 3, corner_of % 3
    parent, child = face // len(places), face % len(places)
    out = np.zeros((len(corner_of), values.shape[1]), np.float32)
    for k in range(3):
        weight = places[child, corner, k].astype(np.float32)
        out += weight[:, None] * values[coarse_faces[parent, k]]
    return out


def frontal_edge(model: FaceModel) -> float:
    """Return the median edge of the frontal face, mm."""
    frontal = model.regions["frontal_face"]
    edges = edges_of(model.faces)
    edges = edges[frontal[edges].all(axis=1)]
    return float(
        np.median(np.linalg.norm(model.mean[edges[:, 0]] - model.mean[edges[:, 1]], axis=1))
    )
