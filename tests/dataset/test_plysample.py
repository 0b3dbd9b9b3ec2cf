"""Vertices picked from a PLY are those that are in it."""

import numpy as np
import pytest

from facekit.core.errors import InputError
from facekit.core.geometry.meshio import save_mesh
from facekit.dataset.plysample import some_vertices


def test_some_vertices_are_of_the_mesh(ball, tmp_path):
    mesh = ball.mesh(n_times=3)
    path = tmp_path / "ball.ply"
    save_mesh(path, mesh)
    n = len(mesh.vertices)
    assert some_vertices(path, n + 5) == pytest.approx(mesh.vertices, abs=1e-6)
    some = some_vertices(path, 20)
    assert len(some) == 20
    assert some[[0, -1]] == pytest.approx(mesh.vertices[[0, -1]], abs=1e-6)
    assert np.linalg.norm(some, axis=1) == pytest.approx(ball.radius, abs=1e-6)


@pytest.mark.parametrize("content", [b"", b"ply\nformat ascii 1.0\nend_header\n", b"solid x"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "other.ply"
    path.write_bytes(content)
    with pytest.raises(InputError, match="other.ply"):
        some_vertices(path, 10)
