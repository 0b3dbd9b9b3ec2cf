"""Inputs that readers once fell over: each is refused with a sentence now."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facekit.benchmarks.esrc.layout import list_items
from facekit.benchmarks.evaluation.casefile import load_case, save_case
from facekit.benchmarks.evaluation.leaderboards import parse_leaderboard
from facekit.benchmarks.evaluation.predictions import read_points
from facekit.benchmarks.evaluation.protocol import CaseScore
from facekit.benchmarks.facescape.layout import read_camera
from facekit.benchmarks.faults.parsersrecords import record_parsers
from facekit.benchmarks.faults.parsersresults import result_parsers
from facekit.benchmarks.faults.parsersstores import store_parsers
from facekit.benchmarks.micc.layout import read_landmark_ids, read_ljson
from facekit.benchmarks.now.layout import list_images
from facekit.calibration.interchange.opencvyaml import import_opencv
from facekit.capture.boards import parse_board
from facekit.capture.color import load_color
from facekit.capture.session import load_session
from facekit.capture.virtual.layouts import load_layout
from facekit.capture.virtual.truth import load_truth, surface_file
from facekit.core.errors import FacekitError, InputError, ModelFileError, SchemaError
from facekit.core.facemodel.flameparts import flame_landmarks
from facekit.core.facemodel.landmark_table import load_landmark_table
from facekit.core.facemodel.objfile import read_obj
from facekit.core.facemodel.plainpickle import read_pickled_array
from facekit.core.geometry.meshio import load_mesh
from facekit.core.imaging.verify import verify_image
from facekit.dataset.erase.journal import open_journal
from facekit.dataset.export.provenance import stages_json
from facekit.dataset.export.source import load_source
from facekit.dataset.plysample import some_vertices, vertex_rows
from facekit.dataset.viewfile import load_depths
from facekit.reconstruct.samples.packed import PackedSource
from facekit.reconstruct.train.board import read_log
from facekit.reconstruct.train.state import load_weights, save_weights

PARSERS = {
    parser.name: parser for parser in (*record_parsers(), *store_parsers(), *result_parsers())
}


@pytest.fixture
def made(tmp_path: Path) -> Callable[[str], Path]:
    """Give a maker of the valid input of a reader, by its name."""

    def make(name: str) -> Path:
        folder = tmp_path / "input"
        folder.mkdir()
        PARSERS[name].make(folder)
        PARSERS[name].read(folder)
        return folder

    return make


def change(path: Path, **values: Any) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(record | values), encoding="utf-8")


def rewrite(path: Path, **arrays: Any) -> None:
    with np.load(path) as stored:
        kept = {name: stored[name] for name in stored.files}
    np.savez(path, **(kept | arrays))


def test_a_photograph_that_is_a_link_to_itself_or_gone(tmp_path: Path) -> None:
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    for name in ("loop.jpg", "gone.dng"):
        with pytest.raises(InputError, match="no such file"):
            verify_image(tmp_path / name)


@pytest.mark.parametrize(
    "change_",
    [
        {"cameras": 5}, {"cameras": [{"name": "a"}]}, {"cameras": ["text"]}, {"subject": 7},
        {"world_from_board": [1]}, {"world_from_board": {"a": [[1, 2], 3]}},
        {"board_from_back": [1, 2]}, {"world_from_board": {"a": [[float("inf")] * 4] * 3}},
    ],
)  # fmt: skip
def test_a_damaged_truth(made: Callable[[str], Path], change_: dict[str, Any]) -> None:
    folder = made("truth")
    change(folder / "truth" / "truth.json", **change_)
    with pytest.raises(InputError, match=r"truth\.json: (damaged|not readable)"):
        load_truth(folder)


def test_a_damaged_truth_of_a_surface(made: Callable[[str], Path]) -> None:
    folder = made("truth")
    truth, path = load_truth(folder), surface_file(folder / "truth", "neutral")
    path.parent.mkdir(parents=True)
    np.savez(path, vertices=np.zeros((3, 2)), faces=np.zeros((1, 3), int))
    for read in (truth.mesh, truth.frontal_face, truth.smooth_mesh):
        with pytest.raises(InputError, match=r"mesh\.npz"):
            read("neutral")


def test_settings_of_a_session_that_are_no_mapping(made: Callable[[str], Path]) -> None:
    folder = made("session")
    for cameras in (["text"], [1.5], [[1]], [True]):
        change(folder / "session.json", cameras=cameras)
        with pytest.raises(FacekitError, match="session.json"):
            load_session(folder)


def test_a_colour_matrix_of_another_form(made: Callable[[str], Path]) -> None:
    folder = made("color")
    record = json.loads((folder / "color.json").read_text(encoding="utf-8"))
    for matrix in ([[1, 2, 3], [4]], "text", {"a": 1}, [[1, 2, 3]] * 2, [["a", "b", "c"]] * 3):
        record["cameras"][0]["matrix"] = matrix
        (folder / "color.json").write_text(json.dumps(record), encoding="utf-8")
        with pytest.raises(InputError, match=r"color\.json"):
            load_color(folder)


def test_landmark_tables_with_endless_fields(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    head = "take,camera,landmark,x,y\n"
    for text in ("x" * 200_000, head + "a,b,30," + "1" * 200_000 + ",2", head + "a,b,"
                 + "1" * 3000 + ",1,2"):  # fmt: skip
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=r"a\.csv: "):
            load_landmark_table(path)


def test_a_journal_without_folders(made: Callable[[str], Path]) -> None:
    folder = made("journal")
    change(folder / ".facekit-erasing.json", roots=[])
    with pytest.raises(SchemaError, match="names no folder"):
        open_journal((folder,), "ABCDEFG")


def test_a_stage_whose_figures_are_no_numbers(made: Callable[[str], Path]) -> None:
    folder = made("stage")
    text = (folder / "mesh" / "stage.json").read_text(encoding="utf-8")
    (folder / "mesh" / "stage.json").write_text(text.replace(": 12", ": NaN"), encoding="utf-8")
    assert json.loads(stages_json([folder]))["stages"] == {}  # as if it had been cut off


def test_large_numbers_where_indices_belong(tmp_path: Path) -> None:
    huge = [10**30] * 68
    (tmp_path / "ids.pkl").write_bytes(pickle.dumps(huge))
    (tmp_path / "ids.txt").write_text(" ".join(map(str, huge)), encoding="utf-8")
    (tmp_path / "ids.json").write_text(json.dumps([float("inf")] * 68), encoding="utf-8")
    for name in ("ids.pkl", "ids.txt", "ids.json"):
        with pytest.raises(InputError, match="not readable"):
            read_landmark_ids(tmp_path / name)
    (tmp_path / "a.ljson").write_text(json.dumps({"landmarks": [[1, 2, 10**18]]}))
    with pytest.raises(InputError):
        read_ljson(tmp_path / "a.ljson")
    (tmp_path / "camera.json").write_text(json.dumps([[[10**18]], [[1]]]))
    with pytest.raises(InputError, match=r"camera\.json"):
        read_camera(tmp_path / "camera.json")
    values = {"x": {"median": 10**400}}
    method = {"name": "m", "source": "s", "standing": "read", "values": values}
    board = {"title": "a", "rows": {"x": "y"}, "methods": [method]}
    with pytest.raises(SchemaError):
        parse_leaderboard(board, where="here")


def test_numbers_in_a_pickle_run_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    for value in (np.arange(3), [1, 2, 3], list(np.arange(3, dtype=np.int16)), (1.5, 2)):
        for protocol in (0, 2, 4):
            path.write_bytes(pickle.dumps(value, protocol))
            np.testing.assert_array_equal(read_pickled_array(path, model="it"), np.array(value))
    for content in (b"cos\nsystem\n(S'true'\ntR.", b"\x80\x04B\xff\xff\xff\xff", b"(" * 10**5):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=r"a\.pkl: "):
            read_pickled_array(path, model="it")


def test_arrays_that_claim_more_memory_than_there_is(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }\n"
    content = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npy"):
        read_points(tmp_path / "a.npy", 7)


def test_a_view_of_maps_of_different_sizes(made: Callable[[str], Path]) -> None:
    folder = made("view")
    rewrite(folder / "cam00.npz", normal=np.zeros((3, 4, 3)))
    with pytest.raises(InputError, match=r"cam00\.npz: normal"):
        load_depths(folder, ["cam00"])


def test_a_case_of_another_form_is_scored_again(tmp_path: Path) -> None:
    save_case(tmp_path, CaseScore(id="a", groups={}, values={"m": 1.0}, seconds=0.0), key="k")
    assert load_case(tmp_path, "a", key="k") is not None
    for values in ([], None, {"m": [1]}):
        change(tmp_path / "a.json", values=values)
        assert load_case(tmp_path, "a", key="k") is None


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("take", np.full(4, 10**9)), ("take", np.full(4, -5)),
        ("image", np.zeros((4, 0, 0, 3), "u1")),
        ("mask", np.zeros((4, 8, 8), "u4")), ("vertices", np.zeros(3)), ("K", np.zeros((4, 2, 2))),
        ("has_truth", np.zeros(2)), ("landmarks", np.zeros((1, 68, 2))), ("identity", np.zeros(2)),
        ("support", np.array(["a", "b"])),
    ],
)  # fmt: skip
def test_packed_samples_of_another_form(
    made: Callable[[str], Path], name: str, values: np.ndarray[Any, Any]
) -> None:
    folder = made("packed")
    np.save(folder / "part-0000000" / f"{name}.npy", values)
    with pytest.raises(InputError, match=r"\.npy: "):
        list(PackedSource(folder, n_vertices=9))  # type: ignore[call-overload]


def test_packed_samples_of_nobody(made: Callable[[str], Path]) -> None:
    folder = made("packed")
    for people in ('{"a": 1}', "[1, 2, 3, 4]", "null"):
        (folder / "part-0000000" / "people.json").write_text(people, encoding="utf-8")
        with pytest.raises(InputError, match=r"people\.json"):
            PackedSource(folder, n_vertices=9)


PLY = "ply\nformat binary_little_endian 1.0\nelement vertex {}\n{}end_header\n"
XYZ = "property float x\nproperty float y\nproperty float z\n"


@pytest.mark.parametrize(
    ("n", "fields"),
    [
        ("5", XYZ), ("-1", XYZ), ("9" * 30, XYZ), ("x", XYZ), ("1", XYZ + "property float x\n"),
        ("1", "property float x\n"), ("1", "property list uchar int x\n"), ("1", "property x\n"),
        ("", XYZ),
    ],
)  # fmt: skip
def test_vertices_of_a_damaged_ply(tmp_path: Path, n: str, fields: str) -> None:
    path = tmp_path / "a.ply"
    path.write_bytes(PLY.format(n, fields).encode() + b"\0" * 24)
    with pytest.raises(InputError, match=r"a\.ply: "):
        vertex_rows(path)


def test_vertices_of_a_ply_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    points = np.arange(12, dtype="<f4").reshape(4, 3)
    path.write_bytes(PLY.format(4, XYZ).encode() + points.tobytes() + b"more")
    np.testing.assert_array_equal(some_vertices(path, 9), points)
    path.write_bytes(PLY.format(0, XYZ).encode())
    assert len(vertex_rows(path)) == 0
    with pytest.raises(InputError, match="no vertices"):
        some_vertices(path, 9)


@pytest.mark.parametrize(
    "face", ["1 2 99999999999999999999", "1 2 3 0", "1 2 3 -7", "1/1 2/2 3/-9"]
)
def test_faces_of_a_model_that_ask_for_what_is_not_there(tmp_path: Path, face: str) -> None:
    path = tmp_path / "a.obj"
    path.write_text(f"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nf {face}\n", encoding="ascii")
    with pytest.raises(ModelFileError, match="faces: "):
        read_obj(path)


@pytest.mark.parametrize("content", [b"\xff\xfe\0", b"a\0/b", b"../../../x.jpg", b"x" * 9000])
def test_lists_of_photographs_that_are_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "imagepathsvalidation.txt").write_bytes(content)
    with pytest.raises(InputError, match=r"imagepathsvalidation\.txt"):
        list_images(tmp_path, None)
    (tmp_path / "images.txt").write_bytes(content)
    with pytest.raises(InputError, match=r"images\.txt"):
        list_items(tmp_path, {})


def test_a_summary_of_a_build_of_another_form(made: Callable[[str], Path]) -> None:
    folder = made("build")
    for values in ({"failed": 5}, {"takes": []}, {"session_folder": "x" * 5000, "failed": []}):
        change(folder / "build" / "build.json", **values)
        with pytest.raises(SchemaError, match="no summary of a build"):
            load_source(folder / "build")


def test_boards_that_are_none(tmp_path: Path) -> None:
    toml, kalibr = tmp_path / "a.toml", tmp_path / "a.yaml"
    toml.write_text("a = " + "[" * 5000, encoding="ascii")
    kalibr.write_text("target_type: aprilgrid\ntagCols: .inf\ntagRows: 6\ntagSize: 0.1\n"
                      "tagSpacing: 0.3\n", encoding="ascii")  # fmt: skip
    for path in (toml, kalibr):
        with pytest.raises(InputError, match=path.name):
            parse_board(str(path))


def test_texts_that_would_take_minutes_are_not_begun(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [" + "1, " * 100_000 + "1]", encoding="ascii")
    with pytest.raises(InputError, match="too many"):
        load_layout(str(tmp_path / "a.yaml"))
    (tmp_path / "rig.yml").write_text("a: [" + "1, " * 400_000 + "1]", encoding="ascii")
    with pytest.raises(InputError, match="too many"):
        import_opencv(tmp_path / "rig.yml")


def test_weights_of_other_networks(tmp_path: Path) -> None:
    save_weights(tmp_path / "a.safetensors", {"net": torch.nn.Linear(3, 2)})
    with pytest.raises(InputError, match="not the weights of these networks"):
        load_weights(tmp_path / "a.safetensors", {"net": torch.nn.Linear(2, 2)})


def test_an_embedding_of_landmarks_of_another_form(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", lmk_faces_idx=np.arange(51), lmk_bary_coords=np.zeros(7))
    with pytest.raises(ModelFileError, match="lmk_bary_coords: shape"):
        flame_landmarks(tmp_path / "a.npz", np.zeros((60, 3), np.int32))


def test_a_take_whose_name_is_no_text(made: Callable[[str], Path]) -> None:
    folder = made("session")
    (path,) = folder.rglob("session.json")
    takes = json.loads(path.read_text(encoding="utf-8"))["takes"]
    for name in (None, {"a": 1}, ["t1"]):
        change(path, takes=[{**takes[0], "id": name}])
        with pytest.raises(FacekitError, match="id: expected a text"):
            load_session(path.parent)


def test_a_training_log_that_nests_without_end(tmp_path: Path) -> None:
    deep = "[" * 100_000
    (tmp_path / "log.jsonl").write_text(f'{deep}\n{{"step": 1}}\n', encoding="utf-8")
    assert read_log(tmp_path / "log.jsonl") == [{"step": 1}]


@pytest.mark.parametrize("named", ["..", "../session", "/proc/self/mem"])
def test_a_build_whose_rig_is_none(made: Callable[[str], Path], named: str) -> None:
    folder = made("build")
    change(folder / "build" / "build.json", rig_file=named)
    with pytest.raises(InputError, match="is no rig"):
        load_source(folder / "build")


def test_a_mesh_looks_for_no_file_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    triangle = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
    (tmp_path / "mesh.obj").write_text(f"mtllib m.mtl\n{triangle}", encoding="utf-8")
    # a path of so many folders takes minutes to resolve
    (tmp_path / "m.mtl").write_text(f"newmtl a\nmap_Kd {'a/' * 200_000}\n", encoding="utf-8")
    asked: list[str] = []
    monkeypatch.setattr(
        "trimesh.resolvers.FilePathResolver.get", lambda _, name: asked.append(name)
    )
    assert len(load_mesh(tmp_path / "mesh.obj").faces) == 1
    assert asked == []
