"""OBJ and GLB: the same points in the same order, textures where the chart has them."""

import dataclasses
import json
import struct
from pathlib import Path

import numpy as np
import trimesh

from facekit.core.facemodel.model import FaceModel
from facekit.core.geometry.mesh import Mesh
from facekit.dataset.export.meshes import Textures, one_uv_a_vertex, write_glb, write_obj


def square() -> Mesh:
    """Return a square of two triangles that a seam of the chart divides."""
    return Mesh(
        vertices=np.array([[0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 1 / 3]]),
        faces=np.array([[0, 1, 2], [0, 2, 3]], np.int32),
        uv=np.array([[0, 0], [0.5, 0], [0.5, 0.5], [0.5, 0.5], [1, 1], [0.5, 1]]),
        faces_uv=np.array([[0, 1, 2], [3, 4, 5]], np.int32),
    )


def corners(n: int = 8) -> Textures:
    """Return a texture whose upper left quarter (small u, large v) is red, and flat normals."""
    color = np.zeros((n, n, 3), np.uint8)
    color[: n // 2, : n // 2] = (255, 0, 0)
    normal = np.full((n, n, 3), (128, 128, 255), np.uint8)
    return Textures(color=color, tangent_normal=normal)


def test_an_obj_keeps_order_and_six_decimals(tmp_path: Path) -> None:
    written = write_obj(tmp_path / "a.obj", square(), corners())
    assert [path.name for path in written] == ["a.png", "a.mtl", "a.obj"]
    lines = (tmp_path / "a.obj").read_text().splitlines()
    assert lines[0] == "mtllib a.mtl"
    assert [line for line in lines if line.startswith("v ")] == [
        "v 0.000000 0.000000 0.000000",
        "v 10.000000 0.000000 0.000000",
        "v 10.000000 10.000000 0.000000",
        "v 0.000000 10.000000 0.333333",
    ]
    assert [line for line in lines if line.startswith("f ")] == ["f 1/1 2/2 3/3", "f 1/4 3/5 4/6"]
    assert "map_Kd a.png" in (tmp_path / "a.mtl").read_text()


def test_faces_off_the_texture_have_a_plain_material(tmp_path: Path) -> None:
    some = dataclasses.replace(corners(), covered=np.array([False, True]))
    write_obj(tmp_path / "a.obj", square(), some)
    lines = (tmp_path / "a.obj").read_text().splitlines()[-4:]
    assert lines == ["usemtl plain", "f 1/1 2/2 3/3", "usemtl skin", "f 1/4 3/5 4/6"]
    write_glb(tmp_path / "a.glb", square(), some)
    shapes = trimesh.load_scene(tmp_path / "a.glb").geometry
    assert {name: len(shape.faces) for name, shape in shapes.items()} == {"skin": 1, "plain": 1}
    assert shapes["plain"].visual.material.baseColorTexture is None


def test_a_head_read_back_is_the_head_written(model: FaceModel, tmp_path: Path) -> None:
    mesh = model.mesh()
    write_obj(tmp_path / "head.obj", mesh)
    text = (tmp_path / "head.obj").read_text().splitlines()
    vertices = np.array([line.split()[1:] for line in text if line.startswith("v ")], float)
    assert np.abs(vertices - mesh.vertices).max() <= 0.5e-6 + 1e-12
    uv = np.array([line.split()[1:] for line in text if line.startswith("vt ")], float)
    assert np.abs(uv - model.uv).max() <= 0.5e-8 + 1e-12
    faces = [line[2:].replace("/", " ").split() for line in text if line.startswith("f ")]
    indices = np.array(faces, int).reshape(-1, 3, 2) - 1
    np.testing.assert_array_equal(indices[..., 0], model.faces)
    np.testing.assert_array_equal(indices[..., 1], model.faces_uv)


def test_vertices_are_split_only_at_seams() -> None:
    rows, faces, uv = one_uv_a_vertex(square())
    assert len(rows) == 6  # two of four vertices lie on the seam
    assert uv is not None
    mesh = square()
    np.testing.assert_array_equal(rows[faces], mesh.faces)
    assert mesh.uv is not None
    np.testing.assert_array_equal(uv[faces], mesh.uv[mesh.faces_uv])


def test_a_glb_has_metres_texture_and_normal_map(tmp_path: Path) -> None:
    write_glb(tmp_path / "a.glb", square(), corners())
    content = (tmp_path / "a.glb").read_bytes()
    length = struct.unpack_from("<I", content, 12)[0]
    document = json.loads(content[20 : 20 + length])
    (material,) = document["materials"]
    assert "baseColorTexture" in material["pbrMetallicRoughness"]
    assert "normalTexture" in material
    assert {"POSITION", "NORMAL", "TEXCOORD_0"} <= set(
        document["meshes"][0]["primitives"][0]["attributes"]
    )
    scene = trimesh.load_scene(tmp_path / "a.glb")
    assert np.allclose(scene.extents, (0.01, 0.01, 0.001 / 3), atol=1e-6)


def test_the_texture_of_a_glb_lies_where_the_uv_say(tmp_path: Path) -> None:
    write_glb(tmp_path / "a.glb", square(), corners(64))
    (shape,) = trimesh.load_scene(tmp_path / "a.glb").geometry.values()
    image = np.asarray(shape.visual.material.baseColorTexture.convert("RGB"))
    # glTF counts v from the top of the image; trimesh turns it back to OBJ's
    uv = np.asarray(shape.visual.uv)
    top_left = np.argmin(np.abs(uv - (0.5, 1)).sum(axis=1))
    assert np.allclose(np.asarray(shape.vertices)[top_left], (0, 10, 1 / 3), atol=1e-5)
    red = image.reshape(64, 64, 3)[:28, :28].astype(int)
    assert (red[..., 0] > 240).all()
    assert (red[..., 1:] < 20).all()
