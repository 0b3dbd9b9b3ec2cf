"""Predicted meshes and landmarks: read as they stand, mistakes told in a sentence."""

import logging
from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks.evaluation.predictions import (
    check_mesh,
    find_beside,
    read_mesh,
    read_obj_mesh,
    read_points,
)
from facekit.core.errors import InputError
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.meshio import save_mesh

QUAD = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"


def obj(folder: Path, text: str) -> Path:
    path = folder / "one.obj"
    path.write_text(text)
    return path


def test_obj_keeps_the_order_of_vertices_and_cuts_polygons_in_place(tmp_path: Path) -> None:
    mesh = read_mesh(obj(tmp_path, QUAD + "v 5 5 5\nf 1 2 3 4\nf 2 3 4\n"))
    assert len(mesh.vertices) == 5  # the unused one, too
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [1, 2, 3]]


@pytest.mark.parametrize(
    "text",
    [
        QUAD + "f 1/1/1 2/2/1 3/3/1\nf 1//1 3//1 4//1\n",
        QUAD.replace("\n", " 0.5 0.25 1\n") + "f 1 2 3\nf 1 3 4\n",  # colours
        QUAD.replace("\n", "\r\n") + "f 1 2 3\r\nf 1 3 4\r\n",
        "# a comment\nmtllib x.mtl\no head\n" + QUAD + "vn 0 0 1\ns off\nf -4 -3 -2\nf -4 -2 -1\n",
        QUAD.replace("v ", "v\t").replace(" ", "\t") + "f\t1\t2\t3\nf 1 3 4\n",
        QUAD.replace("v 1 1 0", "v 1 1 0 1.0") + "f 1 2 3\nf 1 3 4",  # one with w, no last line end
    ],
)
def test_obj_dialects_are_one_mesh(tmp_path: Path, text: str) -> None:
    mesh = read_mesh(obj(tmp_path, text))
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]


def test_numbers_are_read_to_the_bit(tmp_path: Path, rng: np.random.Generator) -> None:
    vertices = rng.normal(0, 1e3, (50, 3)) * 10.0 ** rng.integers(-9, 9, (50, 1))
    lines = ["v " + " ".join(repr(float(x)) for x in row) for row in vertices]
    mesh = read_obj_mesh(obj(tmp_path, "\n".join(lines) + "\nf 1 2 3\n"))
    assert np.array_equal(mesh.vertices, vertices)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "0 vertices and 0 triangles"),
        (QUAD, "4 vertices and 0 triangles"),
        (QUAD + "v nan 0 0\nf 1 2 3\n", "1 of 5 vertices are NaN"),
        (QUAD + "v inf 0 0\nf 1 2 3\n", "1 of 5 vertices are NaN or infinite"),
        (QUAD + "f 1 2 9\n", "asks for vertex 8"),
        (QUAD + "f 0 1 2\n", "counts from 1"),
        (QUAD + "f 1 2\n", "2 corners"),
        (QUAD + "f 1 b 3\n", "cannot read the face"),
        (QUAD + "v 1 2\nf 1 2 3\n", "no 3 numbers"),
        (QUAD + "v 1 2 x\nf 1 2 3\n", "no 3 numbers"),
        ("\x00\x01\x02", "0 vertices"),
    ],
)
def test_a_mesh_that_cannot_be_measured_is_told(tmp_path: Path, text: str, said: str) -> None:
    path = obj(tmp_path, text)
    with pytest.raises(InputError, match=said) as caught:
        read_mesh(path)
    assert str(path) in str(caught.value)


def test_absent_files_folders_and_other_topologies_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_mesh(tmp_path / "none.obj")
    with pytest.raises(InputError, match="no such file"):
        read_mesh(tmp_path / "none.ply")
    (tmp_path / "folder.obj").mkdir()
    with pytest.raises(InputError, match="not readable"):
        read_mesh(tmp_path / "folder.obj")
    with pytest.raises(InputError, match=r"4 vertices, but the template has 7.*process=False"):
        read_mesh(obj(tmp_path, QUAD + "f 1 2 3\n"), n_vertices=7)
    with pytest.raises(InputError, match=r"\(V, 3\)"):
        check_mesh(np.zeros((4, 2)), np.zeros((1, 3), np.int32), "prediction")


def test_ply_is_read_in_order_too(tmp_path: Path) -> None:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [9, 9, 9]])
    faces = np.array([[0, 1, 2], [0, 1, 3]], np.int32)
    save_mesh(tmp_path / "a.ply", Mesh(vertices=vertices, faces=faces))
    mesh = read_mesh(tmp_path / "a.ply")
    assert np.array_equal(mesh.vertices, vertices)
    assert np.array_equal(mesh.faces, faces)


def test_the_first_suffix_that_is_there_is_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("facekit"), "propagate", True)
    assert find_beside(tmp_path / "img.1") == tmp_path / "img.1.obj"
    (tmp_path / "img.1.ply").touch()
    assert find_beside(tmp_path / "img.1") == tmp_path / "img.1.ply"
    (tmp_path / "img.1.obj").touch()
    with caplog.at_level("WARNING", "facekit"):
        assert find_beside(tmp_path / "img.1") == tmp_path / "img.1.obj"
    assert "img.1.ply is there, too" in caplog.text


def test_landmarks_of_npy_and_text(tmp_path: Path, rng: np.random.Generator) -> None:
    points = rng.normal(size=(7, 3))
    np.save(tmp_path / "a.npy", points[None])
    np.savetxt(tmp_path / "a.txt", points, fmt="%.18e")
    assert np.array_equal(read_points(tmp_path / "a.npy", 7), points)
    assert np.array_equal(read_points(tmp_path / "a.txt", 7), points)


def test_wrong_landmarks_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs 7 landmarks"):
        read_points(tmp_path / "none.npy", 7)
    np.save(tmp_path / "a.npy", np.zeros((6, 3)))
    with pytest.raises(InputError, match=r"18 numbers of shape \(6, 3\); 7 landmarks"):
        read_points(tmp_path / "a.npy", 7)
    np.save(tmp_path / "a.npy", np.zeros((3, 7)))
    with pytest.raises(InputError, match=r"\(7, 3\) is needed"):
        read_points(tmp_path / "a.npy", 7)
    marks = np.zeros((7, 3))
    marks[2, 1] = np.nan
    np.save(tmp_path / "a.npy", marks)
    with pytest.raises(InputError, match="landmark 3 is NaN"):
        read_points(tmp_path / "a.npy", 7)
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="not readable as"):
        read_points(tmp_path / "a.npy", 7)
    (tmp_path / "a.txt").write_text("1 2 three")
    with pytest.raises(InputError, match="not readable as"):
        read_points(tmp_path / "a.txt", 7)
