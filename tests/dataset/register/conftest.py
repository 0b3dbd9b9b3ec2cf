"""Scans with known truth."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facekit.capture.virtual.subject import parse_expression
from facekit.core.arrays import Floats
from facekit.core.facemodel.model import FaceModel
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.closest import SurfaceQuery
from facekit.core.geometry.mesh import Mesh, subdivide_loop, vertex_normals
from facekit.core.geometry.transform import Similarity
from facekit.dataset.register.registered import Scan

_NOISE_MM = 0.02
_RELIEF_MM = 0.1


@dataclass(frozen=True, kw_only=True)
class Made:
    """A scan with its truth."""

    scan: Scan
    world_from_head: Similarity
    vertices: Floats
    """(V, 3) true places of the model's vertices, head frame."""
    surface: Mesh
    """True surface, head frame."""


@pytest.fixture(scope="session")
def head() -> FaceModel:
    return procedural_head()


@pytest.fixture(scope="session")
def made_scan() -> Callable[..., Made]:
    return _made_scan


def _made_scan(model: FaceModel, identity: Floats, expression: str, *, seed: int) -> Made:
    """Return a scan of a person as cameras in front see it, with relief and noise, turned."""
    rng = np.random.default_rng(seed)
    shape = model.shape(identity, parse_expression(model, expression))
    fine = subdivide_loop(Mesh(vertices=shape, faces=model.faces))
    height = np.zeros(len(fine.vertices))
    for _ in range(8):
        wave = rng.standard_normal(3)
        wave *= 2 * np.pi / rng.uniform(3, 12) / np.linalg.norm(wave)
        height += _RELIEF_MM / 2 * np.sin(fine.vertices @ wave + rng.uniform(0, 6))
    normals = vertex_normals(fine.vertices, fine.faces)
    true = fine.vertices + normals * height[:, None]
    query = SurfaceQuery(true, fine.faces)
    n_seen = np.zeros(len(true), int)
    for azimuth in np.radians([-70, -35, 0, 35, 70]):
        towards = np.array([np.sin(azimuth), 0.1, np.cos(azimuth)])
        towards /= np.linalg.norm(towards)
        facing = np.flatnonzero(normals @ towards > 0.3)
        hidden = query.occluded(
            true[facing] + 0.05 * normals[facing], np.tile(towards, (len(facing), 1))
        )
        n_seen[facing[~hidden]] += 1
    noisy = true + normals * _NOISE_MM * rng.standard_normal((len(true), 1))
    pose = Similarity(
        scale=1.0, R=Rotation.random(random_state=seed).as_matrix(), t=rng.uniform(-300, 300, 3)
    )
    cropped = Mesh(vertices=pose(noisy), faces=fine.faces).selected(
        (n_seen >= 2)[fine.faces].all(1)
    )
    return Made(
        scan=Scan(mesh=cropped),
        world_from_head=pose,
        vertices=true[: model.n_vertices],  # Loop's scheme keeps them first
        surface=Mesh(vertices=true, faces=fine.faces),
    )
