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
from facekit.core.geometry.meshio import load_mesh
from facekit.core.geometry.transform import Similarity
from facekit.dataset.bake.chart import chart
from facekit.dataset.bake.deformation import deformed
from facekit.dataset.export.files import (
    FileFormat,
    FilesConfig,
    Frame,
    export_facescape,
    export_files,
    textures_of,
)
from facekit.dataset.register.registered import Registered

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
            "tangent_normal.png", "albedo.png", "take.json",
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


def test_colours_go_on_beyond_the_chart(model: FaceModel, make_maps: Make) -> None:
    n = 128
    maps = make_maps(np.random.default_rng(0), n=n)
    inside = chart(model, n).inside
    red = np.zeros((n, n, 3), np.float32)
    red[inside] = (1, 0, 0)
    maps = dataclasses.replace(maps, albedo=red, albedo_valid=inside)
    registered = Registered(
        model=model, world_from_head=Similarity(scale=1, R=np.eye(3), t=np.zeros(3)),
        identity=np.zeros(model.n_identity), expression=np.zeros(model.n_expression),
        offset=np.zeros((model.n_vertices, 3)),
        support=np.ones(model.n_vertices, np.float32),
        residual=np.zeros(model.n_vertices, np.float32),
    )  # fmt: skip
    textures = textures_of(registered, maps)
    assert textures.color is not None
    # a vertex at the chart's border lies between texels, of which some are off the chart
    row, col = np.nonzero(cv2.dilate(inside.astype(np.uint8), np.ones((3, 3))))
    assert (textures.color[row, col] == (255, 0, 0)).all()


def test_facescape_folders(make_subject: Make, tmp_path: Path) -> None:
    subject, out = make_subject("one", takes=("smile",)), tmp_path / "out"
    registered, maps = subject.takes["smile"]
    export_facescape([subject.build], out)
    mesh = only(out, "models_reg/*_smile.obj")
    assert mesh.with_suffix(".jpg").is_file()
    np.testing.assert_allclose(obj_vertices(mesh), deformed(registered, maps), atol=1e-6)
    values = cv2.imread(str(only(out, "dpmap/*_smile.png")), cv2.IMREAD_UNCHANGED)
    found = (values.astype(float) - 32768) * 0.914 / 32768
    assert np.abs(found - np.clip(maps.displacement, -0.914, 0.914)).max() < 3e-5
    assert json.loads((out / "facekit.json").read_text())["models"] == ["procedural"]


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
