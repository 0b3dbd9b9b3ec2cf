"""Small models and scans of known shape to bake maps of."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from facekit.core.facemodel.model import FaceModel
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.mesh import Mesh, subdivide_loop, vertex_normals
from facekit.core.geometry.transform import Similarity
from facekit.dataset.register.registered import Registered, Scan


def grid_faces(n: int) -> np.ndarray:
    """Triangles of an n x n grid of vertices, row after row, counter-clockwise seen from +z."""
    first = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    a, b, c, d = first, first + 1, first + n + 1, first + n
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)


def grid_points(n: int, side: float) -> np.ndarray:
    """Vertices of a flat square of `side` mm around the origin, facing +z."""
    along = np.linspace(-side / 2, side / 2, n)
    x, y = np.meshgrid(along, along)
    return np.stack([x.ravel(), y.ravel(), np.zeros(n * n)], axis=1)


def _patch(*, mirrored: bool = False) -> FaceModel:
    n, side = 9, 40.0
    points = grid_points(n, side)
    uv = 0.1 + 0.8 * (points[:, :2] / side + 0.5)
    if mirrored:
        uv[:, 0] = 1 - uv[:, 0]
    faces = grid_faces(n)
    return FaceModel(
        name="patch",
        mean=points,
        faces=faces,
        uv=uv,
        faces_uv=faces,
        identity=np.zeros((0, n * n, 3)),
        identity_names=(),
        identity_sigma=np.zeros(0),
        expression=np.zeros((0, n * n, 3)),
        expression_names=(),
        landmarks68=np.arange(68, dtype=np.int32),
    )


@pytest.fixture(scope="session")
def patch() -> FaceModel:
    """Give a flat square of 40 mm facing +z, u along +x, v along +y, a tenth of UV around it."""
    return _patch()


@pytest.fixture(scope="session")
def mirrored_patch() -> FaceModel:
    """Give the same square with u along -x."""
    return _patch(mirrored=True)


@pytest.fixture(scope="session")
def relief_scan() -> Callable[..., Scan]:
    """Give a maker of scans over the patch: z = height(x, y), one vertex each 0.2 mm."""

    def make(height: Callable[..., np.ndarray], *, side: float = 44.0, n: int = 221) -> Scan:
        points = grid_points(n, side)
        points[:, 2] = height(points[:, 0], points[:, 1])
        return Scan(mesh=Mesh(vertices=points, faces=grid_faces(n)))

    return make


@dataclass(frozen=True)
class HeadCase:
    """The built-in head, registered a little off, and a scan of its face with relief."""

    registered: Registered
    scan: Scan


@pytest.fixture(scope="session")
def head_case(registered_on: Callable[..., Registered]) -> HeadCase:
    """Give a person's face with waves of 6 and 11 mm, 0.1 mm high, in a turned world."""
    model = procedural_head()
    rng = np.random.default_rng(5)
    identity = model.sample_identity(rng, strength=0.5)
    coarse = Mesh(
        vertices=model.shape(identity),
        faces=model.faces,
        attributes={"face": model.regions["frontal_face"].astype(np.float64)},
    )
    fine = subdivide_loop(coarse, n_times=2)
    x, y, z = fine.vertices.T
    height = 0.1 * np.sin(2 * np.pi * y / 6) + 0.1 * np.sin(2 * np.pi * (x + z) / 11)
    normals = vertex_normals(fine.vertices, fine.faces)
    points = fine.vertices + normals * height[:, None]
    turn = np.deg2rad(25)
    R = np.array([
        [np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)],
    ])  # fmt: skip
    world = Similarity(scale=1.0, R=R, t=np.array([10.0, -20.0, 600.0]))
    face = (fine.attributes["face"][fine.faces] > 0.99).all(axis=1)
    noisy = points + rng.normal(0, 0.005, points.shape)
    mesh = Mesh(vertices=world(noisy), faces=fine.faces).selected(face)
    mesh.attributes["sigma_mm"] = np.full(len(mesh.vertices), 0.02, np.float32)
    offset = fine.vertices[: model.n_vertices] - coarse.vertices
    offset += 0.2 * np.sin(coarse.vertices[:, [1, 2, 0]] / 15)
    registered = registered_on(model, identity=identity, world_from_head=world, offset=offset)
    return HeadCase(registered, Scan(mesh=mesh))
