"""OBJ text is what Python's own formatting writes, digit for digit."""

import io

import numpy as np

from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.objrows import write_faces, write_points


def _written(vertices: np.ndarray, uv: np.ndarray | None = None) -> str:
    file = io.StringIO()
    faces = np.zeros((0, 3), np.int32)
    write_points(file, Mesh(vertices=vertices, faces=faces, uv=uv))
    return file.getvalue()


def _by_python(word: str, rows: np.ndarray, decimals: int) -> str:
    line = word + f" %.{decimals}f" * rows.shape[1] + "\n"
    return "".join(line % tuple(row) for row in rows.tolist())


def test_numbers_are_those_of_exact_decimal_expansion(rng: np.random.Generator) -> None:
    some = rng.normal(scale=150, size=(4000, 3))
    # exact ties (dyadic fractions with more than six decimals) and numbers beside a tie
    ties = rng.integers(-(2**24), 2**24, (4000, 3)) / 2.0**20
    beside = np.round(some, 6) + 0.5e-6
    odd = [[0.0, -0.0, -1e-9], [0.5e-6, 1.5e-6, -2.5e-6], [999.9999995, -0.0000005, 9e8]]
    rows = np.concatenate([some, ties, beside, np.nextafter(beside, np.inf), np.array(odd)])
    assert _written(rows) == _by_python("v", rows, 6)
    uv = rng.random((3000, 2))
    assert _written(rows[:3], uv) == _by_python("v", rows[:3], 6) + _by_python("vt", uv, 8)


def test_numbers_too_large_for_the_quick_way_are_written_too() -> None:
    rows = np.array([[1e15, -3e22, 0.1], [np.nan, np.inf, 1.0]])
    assert _written(rows) == _by_python("v", rows, 6)
    assert _written(np.zeros((0, 3))) == ""


def test_float32_vertices_are_written_as_they_are() -> None:
    rows = np.array([[0.1, 1 / 3, 100.1]], np.float32)
    assert _written(rows) == _by_python("v", rows, 6)


def test_faces_count_from_one_with_their_texture_coordinates() -> None:
    faces = np.array([[0, 1, 2], [99_999, 0, 8]], np.int32)
    file = io.StringIO()
    write_faces(file, Mesh(vertices=np.zeros((1, 3)), faces=faces))
    assert file.getvalue() == "f 1 2 3\nf 100000 1 9\n"
    file = io.StringIO()
    uv = np.zeros((5, 2))
    mesh = Mesh(vertices=np.zeros((1, 3)), faces=faces, uv=uv, faces_uv=faces[::-1] % 5)
    write_faces(file, mesh, slice(0, 1))
    assert file.getvalue() == "f 1/5 2/1 3/4\n"
