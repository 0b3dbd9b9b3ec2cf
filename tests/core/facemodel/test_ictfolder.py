"""Upstream's folder of OBJ files gives the same model as the one-file archive."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekit.core.errors import ModelFileError
from facekit.core.facemodel.ict import load_ict
from facekit.core.facemodel.ictfolder import convert_ict, load_ict_folder

EXPRESSIONS = ("browDown_L", "jawOpen")


@pytest.fixture(scope="module")
def archive(shared_data: Path) -> dict[str, Any]:
    with np.load(shared_data / "ict_face_model/ict_face_model.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def folder(archive: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give two identities and three expressions, written as upstream writes them."""
    folder = tmp_path_factory.mktemp("FaceXModel")
    neutral = archive["neutral"].astype(np.float64)

    def lines(vertices: np.ndarray) -> list[str]:
        return [f"v {x:.15f} {y:.15f} {z:.15f}" for x, y, z in vertices]

    rest = [f"vt {u:.8f} {v:.8f}" for u, v in archive["uv"]]
    for corners, rows in zip(archive["quads"], archive["quads_uv"], strict=True):
        pairs = zip(corners + 1, rows + 1, strict=True)
        rest.append("f " + " ".join(f"{a}/{b}" for a, b in pairs if a > 0))
    text = "\n".join(["mtllib ICTFaceModelMaterial.mtl", *lines(neutral), *rest])
    (folder / "generic_neutral_mesh.obj").write_text(text + "\n")
    names = list(archive["expression_names"])
    modes = {f"identity{k:03d}": archive["identity"][k] for k in range(2)} | {
        name: archive["expression"][names.index(name)] for name in (*EXPRESSIONS, "cheekRaiser_L")
    }
    for name, mode in modes.items():
        (folder / f"{name}.obj").write_text("\n".join(lines(neutral + mode)) + "\n")
    (folder / "vertex_indices.json").write_text(json.dumps({"expressions": EXPRESSIONS}))
    return folder


def test_folder_and_archive_give_the_same_model(
    folder: Path, shared_data: Path, tmp_path: Path
) -> None:
    model = convert_ict(folder, tmp_path / "ict_face_model.npz")
    known = load_ict(shared_data / "ict_face_model/ict_face_model.npz")
    np.testing.assert_allclose(model.mean, known.mean, atol=1e-6)
    np.testing.assert_array_equal(model.faces, known.faces)
    np.testing.assert_array_equal(model.landmarks68, known.landmarks68)
    np.testing.assert_allclose(model.uv[model.faces_uv], known.uv[known.faces_uv], atol=1e-6)
    np.testing.assert_allclose(model.identity, known.identity[:2], atol=1e-3)
    assert model.expression_names == ("browDown_L", "jawOpen", "cheekRaiser_L")
    jaw = known.expression[known.expression_names.index("jawOpen")]
    np.testing.assert_allclose(model.expression[1], jaw, atol=1e-3)
    for name, region in known.regions.items():
        np.testing.assert_array_equal(model.regions[name], region)
    again = load_ict(tmp_path / "ict_face_model.npz")
    np.testing.assert_array_equal(again.mean, model.mean)
    np.testing.assert_array_equal(again.expression, model.expression)


def test_an_absent_folder_or_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"generic_neutral_mesh\.obj: no such file"):
        load_ict_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "damage", "complaint"),
    [
        ("generic_neutral_mesh.obj", lambda t: t[: len(t) // 2], r"generic_neutral_mesh\.obj: "),
        ("generic_neutral_mesh.obj", lambda t: "v 0 0 0\n", "1 vertices, but"),
        ("generic_neutral_mesh.obj", lambda t: t.replace("/", "//"), "no texture"),
        ("identity001.obj", lambda t: t[: len(t) // 2], r"identity001\.obj: "),
        ("identity000.obj", lambda t: None, r"identity000\.obj: absent, but identity001\.obj"),
        ("jawOpen.obj", lambda t: None, r"jawOpen\.obj: no such file"),
        ("jawOpen.obj", lambda t: t.replace("v 0.", "v x", 1), r"jawOpen\.obj: v: a line"),
        ("vertex_indices.json", lambda t: None, r"vertex_indices\.json: no such file"),
        ("vertex_indices.json", lambda t: "[1]", r"vertex_indices\.json: expressions: absent"),
        ("vertex_indices.json", lambda t: '{"expressions": ["../x"]}', "not a list of names"),
    ],
)
def test_the_file_at_fault_is_named(
    folder: Path, tmp_path: Path, name: str, damage: Any, complaint: str
) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / name).unlink()
    text = damage((folder / name).read_text())
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ModelFileError, match=complaint):
        load_ict_folder(tmp_path)
