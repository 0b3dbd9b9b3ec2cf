"""Meshes before a camera, for the rasterisers' tests."""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from facekit.core.geometry.mesh import Mesh, subdivide_loop

# a machine with a GPU may have no more than what the rasterisers need
collect_ignore = [] if find_spec("trimesh") else ["test_preview.py", "test_viewer.py"]

_GOLDEN = (1 + 5**0.5) / 2
_ICOSAHEDRON = np.array(
    [
        [0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11], [1, 5, 9], [5, 11, 4],
        [11, 10, 2], [10, 7, 6], [7, 1, 8], [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8], [3, 8, 9],
        [4, 9, 5], [2, 4, 11], [6, 2, 10], [8, 6, 7], [9, 8, 1],
    ],
    dtype=np.int32,
)  # fmt: skip

Scene = tuple[torch.Tensor, torch.Tensor]
Sphere = Callable[[int], Scene]
ToClip = Callable[..., torch.Tensor]


@pytest.fixture(scope="session")
def icosphere() -> Sphere:
    """Give unit spheres, vertices (V, 3) float64 and faces (20 * 4^n, 3), outward."""

    def sphere(n_times: int) -> Scene:
        p = _GOLDEN
        corners = [[-1, p, 0], [1, p, 0], [-1, -p, 0], [1, -p, 0]]
        vertices = np.array([np.roll(c, k) for k in (0, 1, 2) for c in corners], dtype=float)
        mesh = Mesh(vertices=vertices / np.linalg.norm(vertices[0]), faces=_ICOSAHEDRON)
        for _ in range(n_times):
            mesh = subdivide_loop(mesh)
            length = np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
            mesh = Mesh(vertices=mesh.vertices / length, faces=mesh.faces)
        return torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces.astype(np.int32))

    return sphere


@pytest.fixture(scope="session")
def to_clip() -> ToClip:
    """Give the projection of a camera at (0, 0, distance) that looks along -z."""

    def clip(
        points: torch.Tensor, *, distance: float = 5.0, focal: float = 3.0, near: float = 1.0,
        far: float = 20.0,
    ) -> torch.Tensor:  # fmt: skip
        x, y, z = points.unbind(-1)
        w = distance - z
        depth = ((far + near) * w - 2 * far * near) / (far - near)
        return torch.stack([focal * x, focal * y, depth, w], dim=-1)

    return clip
