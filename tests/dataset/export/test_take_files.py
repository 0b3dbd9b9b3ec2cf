"""Folders of files of build folders: which, where, in which frame."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facekit.core.errors import InputError
from facekit.core.facemodel.model import FaceModel
from facekit.core.geometry.mesh import Mesh, subdivide_loop
from facekit.core.geometry.meshio import load_mesh, save_mesh
from facekit.dataset.bake.chart import chart
from facekit.dataset.bake.deformation import deformed
from facekit.dataset.bake.mapfile import save_maps
from facekit.dataset.bake.maps import Maps
from facekit.dataset.export.files import (
    FileFormat,
    FilesConfig,
    Frame,
    export_facescape,
    export_files,
    textures_of,
)
from facekit.dataset.register.registered import Registered
from facekit.dataset.register.registeredfile import save_registered

Make = Callable[..., Any]


def obj_vertices(path: Path) -> np.ndarray:
    lines = path.read_text().splitlines()
    return np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def test_every_take_gets_its_folder(make_subject: Make, tmp_path: Path) -> None:
    subject, out = make_subject("one"), tmp_path / "out"
    wanted = [FileFormat.OBJ, FileFormat.GLB, FileFormat.PNG16, FileFormat.ALBEDO]
    result = export_files([subject.build], out, wanted, FilesConfig())
    assert sorted(result["takes"]) == [
        f"{only(out, '*').name}/neutral",
        f"{only(out, '*').name}/smile",
    ]
    for names in result["takes"].values():
        assert {
            "head.obj", "head.mtl", "head.png", "head.glb", "displacement.png", "normal.png",
            "tangent_normal.png", "albedo.png", "albedo_valid.png", "take.json",
        } <= set(names)  # fmt: skip
    registered, maps = subject.takes["smile"]
    world = registered.world_from_head(deformed(registered, maps))
    found = obj_vertices(only(out, "*/smile/head.obj"))
    np.testing.assert_allclose(found, world, atol=1e-6)


def test_meshes_in_the_head_frame(make_subject: Make, tmp_path: Path) -> None:
    subject, out = make_subject("one", takes=("smile",), scale=0.01), tmp_path / "out"
    registered, maps = subject.takes["smile"]
    export_files([subject.build], out, [FileFormat.OBJ], FilesConfig(frame=Frame.HEAD))
    found = obj_vertices(only(out, "*/smile/head.obj"))
    np.testing.assert_allclose(found, deformed(registered, maps), atol=1e-6)
    about = json.loads(only(out, "*/smile/take.json").read_text())
    assert (about["frame"], about["metric"]) == ("head", False)


def test_the_detailed_mesh_lies_on_the_displaced_surface(
    make_subject: Make, tmp_path: Path
) -> None:
    subject, out = make_subject("one", takes=("smile",)), tmp_path / "out"
    export_files([subject.build], out, [FileFormat.DETAILED], FilesConfig(step=1))
    mesh = load_mesh(only(out, "*/smile/detailed.ply"))
    assert {"valid", "sigma_mm"} <= set(mesh.attributes)
    assert mesh.colors is not None
    registered, maps = subject.takes["smile"]
    world = registered.world_from_head(deformed(registered, maps))
    # noise of 0.1 mm on vertices, 0.1 mm of displacement: within the head's box and a millimetre
    assert (mesh.vertices >= world.min(axis=0) - 1).all()
    assert (mesh.vertices <= world.max(axis=0) + 1).all()


def test_colours_go_on_beyond_the_chart(
    model: FaceModel, make_maps: Make, registered_on: Make
) -> None:
    n = 128
    maps = make_maps(np.random.default_rng(0), n=n)
    inside = chart(model, n).inside
    red = np.zeros((n, n, 3), np.float32)
    red[inside] = (1, 0, 0)
    maps = dataclasses.replace(maps, albedo=red, albedo_valid=inside)
    textures = textures_of(registered_on(model), maps)
    assert textures.color is not None
    # a vertex at the chart's border lies between texels, of which some are off the chart
    row, col = np.nonzero(cv2.dilate(inside.astype(np.uint8), np.ones((3, 3))))
    assert (textures.color[row, col] == (255, 0, 0)).all()


def write_scan(build: Path, registered: Registered, maps: Maps, *, larger: float) -> None:
    """Write a scan that lies outside of M1 by a share of its size, with edges halved."""
    model, shape = registered.model, deformed(registered, maps)
    mesh = subdivide_loop(Mesh(vertices=shape, faces=model.faces), n_times=1)
    center = shape.mean(axis=0)
    vertices = registered.world_from_head(center + (1 + larger) * (mesh.vertices - center))
    save_mesh(build / "smile" / "mesh.ply", dataclasses.replace(mesh, vertices=vertices))


def test_facescape_folders(make_subject: Make, tmp_path: Path) -> None:
    subject, out = make_subject("one", takes=("smile",)), tmp_path / "out"
    registered, maps = subject.takes["smile"]
    registered = dataclasses.replace(registered, offset=0 * registered.offset)
    maps = dataclasses.replace(maps, deformation=0 * maps.deformation)
    save_registered(subject.build / "smile", registered)
    save_maps(subject.build / "smile", maps)
    write_scan(subject.build, registered, maps, larger=0.01)
    export_facescape([subject.build], out)
    mesh = only(out, "models_reg/*_smile.obj")
    assert mesh.with_suffix(".jpg").is_file()
    np.testing.assert_allclose(obj_vertices(mesh), deformed(registered, maps), atol=1e-6)
    values = cv2.imread(str(only(out, "dpmap/*_smile.png")), cv2.IMREAD_UNCHANGED)
    found = (values.astype(float) - 32768) * 0.914 / 32768
    # the scan lies about 1 mm outside, which is shape; of relief a smooth head has little
    inside = chart(registered.model, len(values)).inside
    assert np.median(np.abs(found[inside])) < 0.1
    assert (values[~inside] == 32768).all()
    about = json.loads((out / "facekit.json").read_text())
    assert about["models"] == ["procedural"]
    assert about["displacement_smooth_mm"] == 3.0


def test_facescape_needs_the_scan(make_subject: Make, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mesh\.ply: no such file"):
        export_facescape([make_subject("one", takes=("smile",)).build], tmp_path / "out")


def test_what_cannot_be_exported_is_said(make_subject: Make, tmp_path: Path) -> None:
    subject = make_subject("one")
    with pytest.raises(InputError, match="no format"):
        export_files([subject.build], tmp_path / "out", [], FilesConfig())
    (subject.build / "smile" / "maps.npz").write_bytes(b"no archive")
    result = export_files([subject.build], tmp_path / "out", [FileFormat.ALBEDO], FilesConfig())
    (reason,) = result["failed"].values()
    assert "maps.npz" in reason
    with pytest.raises(InputError, match=r"build\.json"):
        export_files([tmp_path], tmp_path / "out", [FileFormat.OBJ], FilesConfig())
