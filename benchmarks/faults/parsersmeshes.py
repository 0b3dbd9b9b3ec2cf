"""Readers of meshes and point clouds under test: PLY, OBJ, STL, GLB, of models and predictions."""

from pathlib import Path

import numpy as np
import trimesh

from ...core.facemodel.objfile import read_obj
from ...core.geometry.mesh import Mesh
from ...core.geometry.meshio import load_mesh, save_mesh
from ...dataset.cloudfile import load_cloud, save_cloud
from ...dataset.fusion import PointCloud
from ...dataset.plysample import some_vertices
from ..evaluation.predictions import read_mesh, read_points
from ..facescape.layout import read_prediction
from .mutate import BYTES
from .mutateformats import HEADED, NPY
from .mutatetext import JSON, TEXT
from .parser import Parser


def mesh_parsers() -> tuple[Parser, ...]:
    """Return what reads surfaces."""
    return (
        Parser(name="ply", make=_save("mesh.ply"), read=_load("mesh.ply"), damage={"*": HEADED}),
        Parser(name="ply-text", make=_text_ply, read=_load("mesh.ply"), damage={"*": TEXT}),
        Parser(name="obj", make=_save("mesh.obj"), read=_load("mesh.obj"), damage={"*": TEXT}),
        Parser(name="obj-material", make=_material, read=_load("mesh.obj"),
               damage={"*.obj": TEXT, "*.mtl": TEXT}),
        Parser(name="stl", make=_save_as("mesh.stl"), read=_load("mesh.stl")),
        Parser(name="stl-text", make=_text_stl, read=_load("mesh.stl"), damage={"*": TEXT}),
        Parser(name="glb", make=_save("mesh.glb"), read=_load("mesh.glb"),
               damage={"*": (*BYTES, *JSON)}),
        Parser(name="cloud", make=_cloud, read=lambda root: load_cloud(root / "cloud.ply"),
               damage={"*": HEADED}),
        Parser(name="ply-rows", make=_save("mesh.ply"),
               read=lambda root: some_vertices(root / "mesh.ply", 20), damage={"*": HEADED}),
        Parser(name="model-obj", make=_save("mesh.obj"),
               read=lambda root: read_obj(root / "mesh.obj"), damage={"*": TEXT}),
        Parser(name="predicted-obj", make=_save("mesh.obj"),
               read=lambda root: read_mesh(root / "mesh.obj"), damage={"*": TEXT}),
        Parser(name="predicted-facescape", make=_save("mesh.obj"),
               read=lambda root: read_prediction(root / "mesh.obj"), damage={"*": TEXT}),
        Parser(name="points-npy", make=_points, read=_read_points, damage={"*.npy": NPY,
               "*.txt": TEXT}),
    )  # fmt: skip


def _box() -> Mesh:
    box = trimesh.creation.icosphere(subdivisions=1, radius=90.0)
    return Mesh(
        vertices=np.asarray(box.vertices),
        faces=np.asarray(box.faces, np.int32),
        colors=np.full((len(box.vertices), 3), 128, np.uint8),
        attributes={},
    )


def _save(name: str):  # type: ignore[no-untyped-def]
    return lambda folder: save_mesh(folder / name, _box())


def _load(name: str):  # type: ignore[no-untyped-def]
    return lambda root: load_mesh(root / name)


def _save_as(name: str):  # type: ignore[no-untyped-def]
    def make(folder: Path) -> None:
        box = _box()
        trimesh.Trimesh(box.vertices, box.faces, process=False).export(folder / name)

    return make


def _text_ply(folder: Path) -> None:
    box = _box()
    mesh = trimesh.Trimesh(box.vertices, box.faces, process=False)
    (folder / "mesh.ply").write_bytes(trimesh.exchange.ply.export_ply(mesh, encoding="ascii"))


def _text_stl(folder: Path) -> None:
    box = _box()
    mesh = trimesh.Trimesh(box.vertices, box.faces, process=False)
    text = trimesh.exchange.stl.export_stl_ascii(mesh)
    (folder / "mesh.stl").write_text(text, encoding="ascii")


def _material(folder: Path) -> None:
    (folder / "mesh.obj").write_text(
        "mtllib face.mtl\nusemtl skin\nv 0 0 0\nv 90 0 0\nv 0 90 0\nv 90 90 10\n"
        "vt 0 0\nvt 1 0\nvt 0 1\nvt 1 1\nf 1/1 2/2 3/3\nf 2/2 4/4 3/3\n",
        encoding="ascii",
    )
    (folder / "face.mtl").write_text("newmtl skin\nKd 1 1 1\nmap_Kd skin.png\n", encoding="ascii")


def _cloud(folder: Path) -> None:
    points = np.asarray(_box().vertices, np.float64)
    n = len(points)
    cloud = PointCloud(
        points=points, normals=points / 90.0, confidence=np.ones(n, np.float32),
        colors=np.full((n, 3), 128, np.uint8), footprint=np.ones(n, np.float32),
    )  # fmt: skip
    save_cloud(folder / "cloud.ply", cloud)


def _points(folder: Path) -> None:
    values = np.linspace(0, 1, 21).reshape(7, 3)
    np.save(folder / "points.npy", values)
    np.savetxt(folder / "points.txt", values)


def _read_points(root: Path) -> None:
    read_points(root / "points.npy", 7)
    read_points(root / "points.txt", 7)
