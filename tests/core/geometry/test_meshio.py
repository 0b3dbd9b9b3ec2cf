"""Meshes come back from disk as they were written; damaged files are one sentence."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import trimesh

from facekit.core.errors import InputError
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.meshio import load_mesh, save_mesh


def ball(rng: np.random.Generator) -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions=2, radius=80.0)
    n = len(sphere.vertices)
    return Mesh(
        vertices=np.asarray(sphere.vertices),
        faces=sphere.faces.astype(np.int32),
        colors=rng.integers(0, 256, (n, 3), dtype=np.uint8),
        attributes={"confidence": rng.random(n).astype(np.float32)},
    )


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
def test_shape_survives_the_disk(suffix: str, tmp_path: Path, rng: np.random.Generator) -> None:
    mesh = ball(rng)
    save_mesh(tmp_path / f"a{suffix}", mesh)
    again = load_mesh(tmp_path / f"a{suffix}")
    assert np.array_equal(again.faces, mesh.faces)
    # float32 on disk: half a unit in the last of 24 bits of 80 mm; OBJ has eight decimals
    assert np.abs(again.vertices - mesh.vertices).max() < 80 * 2.0**-24 * 1.01


@pytest.mark.parametrize("suffix", [".ply", ".obj"])
def test_colours_survive_the_disk(suffix: str, tmp_path: Path, rng: np.random.Generator) -> None:
    mesh = ball(rng)
    save_mesh(tmp_path / f"a{suffix}", mesh)
    again = load_mesh(tmp_path / f"a{suffix}")
    assert again.colors is not None
    assert np.array_equal(again.colors, mesh.colors)


def test_attributes_survive_in_ply(tmp_path: Path, rng: np.random.Generator) -> None:
    mesh = ball(rng)
    save_mesh(tmp_path / "a.ply", mesh)
    again = load_mesh(tmp_path / "a.ply")
    assert np.array_equal(again.attributes["confidence"], mesh.attributes["confidence"])


def textured() -> Mesh:
    return Mesh(
        vertices=np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]),
        faces=np.array([[0, 1, 2], [0, 2, 3]], np.int32),
        uv=np.array([[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0], [0.75, 0.25]]),
        faces_uv=np.array([[0, 1, 2], [4, 2, 3]], np.int32),
        colors=np.full((4, 3), 51, np.uint8),
    )


def test_obj_keeps_texture_coordinates(tmp_path: Path) -> None:
    save_mesh(tmp_path / "a.obj", textured())
    lines = (tmp_path / "a.obj").read_text().splitlines()
    assert [line for line in lines if line.startswith("vt ")][4].split()[1:] == [
        "0.75000000", "0.25000000",
    ]  # fmt: skip
    assert lines[-2:] == ["f 1/1 2/2 3/3", "f 1/5 3/3 4/4"]
    assert lines[0].split()[4:] == ["0.2000"] * 3
    np.testing.assert_array_equal(load_mesh(tmp_path / "a.obj").faces, textured().faces)


def test_ply_keeps_texture_coordinates_of_vertices(tmp_path: Path) -> None:
    mesh = dataclasses.replace(textured(), uv=textured().uv[:4], faces_uv=None)
    save_mesh(tmp_path / "a.ply", mesh)
    read = trimesh.load(tmp_path / "a.ply", process=False)
    raw = read.metadata["_ply_raw"]["vertex"]["data"]
    np.testing.assert_array_equal(np.column_stack([raw["s"], raw["t"]]), mesh.uv)


@pytest.mark.parametrize(
    "content",
    [b"", b"ply\n", b"ply\nformat ascii 1.0\nelement vertex 9999999999\nend_header\n", b"\0" * 99],
)
def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.ply"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.ply: "):
        load_mesh(path)


def test_every_truncation_of_a_ply_is_refused_or_whole(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    mesh = ball(rng)
    save_mesh(tmp_path / "a.ply", mesh)
    content = (tmp_path / "a.ply").read_bytes()
    for length in rng.integers(1, len(content), 25):
        (tmp_path / "b.ply").write_bytes(content[:length])
        with pytest.raises(InputError, match=r"b\.ply"):
            load_mesh(tmp_path / "b.ply")


def test_an_unknown_format_is_refused_before_anything_is_written(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    with pytest.raises(InputError, match=r"\.ply, \.obj or \.glb"):
        save_mesh(tmp_path / "a.xyz", ball(rng))
    assert not list(tmp_path.iterdir())


def test_obj_numbers_are_those_of_the_mesh(tmp_path: Path) -> None:
    """Signs, zeros, carries and small units: nine digits at the least, six decimals."""
    values = np.array(
        [[0.0, -0.0000004, 0.0000006], [-1.5, 99.9999999, -250.123456], [1e-3, -12.0, 7.25]]
    )
    mesh = Mesh(vertices=values, faces=np.array([[0, 1, 2]], np.int32))
    save_mesh(tmp_path / "a.obj", mesh)
    lines = (tmp_path / "a.obj").read_text().splitlines()
    assert lines[0] == "v 0.000000 0.000000 0.000001"
    assert lines[1] == "v -1.500000 100.000000 -250.123456"
    assert lines[2] == "v 0.001000 -12.000000 7.250000"
    assert lines[3] == "f 1 2 3"
    small = Mesh(vertices=values / 1000, faces=mesh.faces)
    save_mesh(tmp_path / "b.obj", small)
    again = load_mesh(tmp_path / "b.obj")
    assert np.abs(again.vertices - small.vertices).max() <= 0.5e-9 * (1 + 1e-6)


def test_given_normals_are_written(tmp_path: Path, rng: np.random.Generator) -> None:
    mesh = ball(rng)
    normals = -mesh.vertices / 80
    save_mesh(tmp_path / "a.ply", mesh, normals=normals)
    raw = trimesh.load_mesh(tmp_path / "a.ply", process=False)
    rows = raw.metadata["_ply_raw"]["vertex"]["data"]  # trimesh itself finds normals anew
    found = np.stack([rows[name] for name in ("nx", "ny", "nz")], axis=1)
    np.testing.assert_allclose(found, normals, atol=1e-6)
