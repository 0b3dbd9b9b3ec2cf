"""The interactive view: whole, offline, bounded in size."""

import base64
import io
import re

import numpy as np
import pytest
import trimesh

from facekit.core.geometry.camera import Camera, Rig
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.transform import look_at
from facekit.core.rendering.packedpage import packed
from facekit.core.rendering.viewer import simplified, viewer_html


def sphere(subdivisions: int = 4) -> Mesh:
    shape = trimesh.creation.icosphere(subdivisions=subdivisions, radius=100.0)
    return Mesh(vertices=np.asarray(shape.vertices), faces=shape.faces.astype(np.int32))


def rig() -> Rig:
    cameras = []
    for i, x in enumerate((-300.0, 300.0)):
        pose = look_at(np.array([x, 0.0, 1000.0]), np.zeros(3))
        K = np.array([[2000.0, 0, 300], [0, 2000, 400], [0, 0, 1]])
        cameras.append(Camera(name=f"c{i}", width=600, height=800, K=K, cam_from_world=pose))
    return Rig(cameras=tuple(cameras))


def scene_of(page: str) -> trimesh.Scene:
    encoded = re.search(r'base64_data="([A-Za-z0-9+/=]+)"', page)
    assert encoded is not None
    loaded = trimesh.load(io.BytesIO(base64.b64decode(encoded[1])), file_type="glb")
    assert isinstance(loaded, trimesh.Scene)
    return loaded


def test_view_fetches_nothing() -> None:
    page = viewer_html(sphere(2), rig=rig())
    assert re.findall(r"""(?:src|href)\s*=\s*["']?https?:""", page) == []
    assert re.findall(r"import\s*\(?\s*[\"']https?:", page) == []


def test_equal_meshes_make_equal_pages() -> None:
    assert viewer_html(sphere(1), rig=rig()) == viewer_html(sphere(1), rig=rig())


def test_view_holds_the_mesh_and_the_cameras() -> None:
    scene = scene_of(viewer_html(sphere(2), rig=rig()))
    assert len(scene.geometry["surface"].faces) == 320
    frustums = scene.geometry["frustums"]
    for camera in rig():
        assert np.linalg.norm(frustums.vertices - camera.center, axis=1).min() < 0.01


def test_view_keeps_every_triangle_and_its_side() -> None:
    mesh = sphere(3)
    colors = np.zeros((len(mesh.vertices), 3), np.uint8)
    colors[mesh.vertices[:, 0] > 0, 0] = 255
    shown = scene_of(viewer_html(mesh, colors=colors)).geometry["surface"]
    assert np.sort(shown.area_faces) == pytest.approx(
        np.sort(trimesh.Trimesh(mesh.vertices, mesh.faces).area_faces), rel=2e-3
    )  # vertices are moved by up to 8 um; a triangle's side is 14 mm
    assert shown.volume == pytest.approx(
        trimesh.Trimesh(mesh.vertices, mesh.faces).volume, rel=1e-4
    )
    red = np.asarray(shown.visual.vertex_attributes["color"])[:, 0] > 0
    inside = np.abs(shown.vertices[:, 0]) > 0.1
    assert (red == (shown.vertices[:, 0] > 0))[inside].all()


def test_a_packed_view_takes_25_bytes_a_triangle() -> None:
    # 200,000 triangles in 5 MB, beside three.js
    rng = np.random.default_rng(0)
    mesh = sphere(5)
    relief = 1 + 0.003 * rng.standard_normal((len(mesh.vertices), 1))
    colors = rng.integers(150, 170, (len(mesh.vertices), 3)).astype(np.uint8)
    rough = Mesh(vertices=mesh.vertices * relief, faces=mesh.faces, colors=colors)
    bare = viewer_html(sphere(0))
    size = len(packed(viewer_html(rough))) - len(packed(bare))
    assert size < 25 * len(mesh.faces)  # 36 as trimesh writes them


def test_view_turns_about_the_mesh() -> None:
    # the page turns about the middle of all that it shows
    scene = scene_of(viewer_html(sphere(2), rig=rig()))
    assert np.allclose(scene.bounds.mean(axis=0), 0, atol=0.5)


def test_large_meshes_are_simplified_with_their_colours() -> None:
    full = sphere(5)
    red = np.tile(np.array([200, 10, 10], np.uint8), (len(full.vertices), 1))
    small = simplified(Mesh(vertices=full.vertices, faces=full.faces, colors=red), 2000)
    assert len(small.faces) <= 2000
    assert small.colors is not None
    assert (small.colors == [200, 10, 10]).all()
    # collapse by quadrics keeps a sphere of 100 mm within its facets' sagitta of about 0.3 mm
    assert np.linalg.norm(small.vertices, axis=1) == pytest.approx(100.0, abs=0.5)
