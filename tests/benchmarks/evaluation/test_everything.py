"""Several benchmarks in one run, several methods on one, facekit's own reconstructions."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks.evaluation import everything
from facekit.benchmarks.evaluation.evaluate import EvaluationTask
from facekit.benchmarks.evaluation.everything import evaluate_all, evaluate_methods
from facekit.benchmarks.evaluation.layouts import Face, face_of, writer_of
from facekit.benchmarks.evaluation.predictions import read_mesh, read_points
from facekit.benchmarks.evaluation.protocol import Case, Options
from facekit.benchmarks.evaluation.reconstructed import Reconstruction, make_predictions
from facekit.core.errors import InputError
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.files import read_json
from facekit.core.geometry.camera import Camera
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.meshio import save_mesh
from facekit.core.geometry.transform import look_at


def test_all_runs_what_is_there_and_tells_what_is_left_out(
    toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(everything, "NAMES", ("toy", "now"))
    root = toy.data.parent
    (root / "all" / "data").mkdir(parents=True)
    (root / "all" / "data" / "toy").symlink_to(toy.data)
    (root / "all" / "mine").mkdir()
    (root / "all" / "mine" / "toy").symlink_to(toy.predictions)
    task = EvaluationTask(
        benchmark="", data=root / "all" / "data", predictions=root / "all" / "mine", out=toy.out,
        options=Options(settings={"power": "2", "challenge": "selfie"}),  # each has one of them
    )  # fmt: skip
    result = evaluate_all(task)
    assert list(result["benchmarks"]) == ["toy"]
    assert "register" in result["left_out"]["now"]
    assert read_json(toy.out / "evaluation.json", format_name="facekit-evaluation", version=1)
    assert "Left out" in (toy.out / "report.html").read_text()
    assert (toy.out / "toy" / "scores.json").is_file()


def test_a_setting_of_no_benchmark_is_refused(toy) -> None:
    task = EvaluationTask(benchmark="", out=toy.out, options=Options(settings={"colour": "red"}))
    with pytest.raises(InputError, match="no benchmark has such a setting"):
        evaluate_all(task)


class WithMethods:
    """Adds methods to the toy benchmark: each is off by its own amount."""

    methods = ("good", "poor", "none")

    def __init__(self, toy) -> None:
        self._toy = toy.benchmark
        self.name, self.title = self._toy.name, self._toy.title
        self.metrics, self.leaderboard = self._toy.metrics, None
        self.cases, self.score, self.rows = self._toy.cases, self._toy.score, self._toy.rows
        self.write_official, self.photographs = self._toy.write_official, self._toy.photographs

    def predict(
        self, method: str, data: Path, predictions: Path, options: Options
    ) -> Mapping[str, str]:
        if method == "none":
            return dict.fromkeys(("ann", "bob", "cat", "dan"), "no weights")
        for path in sorted((data / "truth").glob("*.obj")):
            mesh = read_mesh(path)
            off = {"good": 0.5, "poor": 2.0}[method]
            save_mesh(
                predictions / path.name, dataclasses.replace(mesh, vertices=mesh.vertices + off)
            )
        (predictions / "dan.obj").unlink()
        return {"dan": "its photograph is black"}


def test_methods_are_compared_in_one_table(toy, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = WithMethods(toy)
    for module in ("evaluate", "everything"):
        monkeypatch.setattr(f"facekit.benchmarks.evaluation.{module}.get", lambda name: benchmark)
    task = EvaluationTask(benchmark="toy", data=toy.data, out=toy.out)
    result = evaluate_methods(task, ["good", "poor", "none"])
    labels = [row[0] for row in result["table"]["rows"]]
    assert "good: all" in labels
    assert "poor: all" in labels
    assert result["failed"] == {"none": "no weights"}
    reasons = {f["id"]: f["reason"] for f in result["methods"]["good"]["failed"]}
    assert reasons == {"dan": "its photograph is black"}
    page = (toy.out / "report.html").read_text()
    assert page.count("data:image/jpeg") == 2 * 3
    assert json.loads((toy.out / "evaluation.json").read_text())["table"]["rows"]


def test_no_method_with_a_score_is_an_error(toy, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = WithMethods(toy)
    for module in ("evaluate", "everything"):
        monkeypatch.setattr(f"facekit.benchmarks.evaluation.{module}.get", lambda name: benchmark)
    task = EvaluationTask(benchmark="toy", data=toy.data, out=toy.out)
    with pytest.raises(InputError, match="no method gave a score: none: no weights; odd: .*takes"):
        evaluate_methods(task, ["none", "odd"])


def face() -> Face:
    model = procedural_head()
    at_rest = model.shape()
    posed = at_rest + np.array([0.0, 0.0, 1.0])
    away = np.array([0.0, 0.0, 1000.0])
    camera = Camera(
        name="photograph", width=400, height=400,
        K=np.array([[1600.0, 0, 200], [0, 1600, 200], [0, 0, 1]]),
        cam_from_world=look_at(away, np.zeros(3)),
    )  # fmt: skip
    return Face(model=model, posed=posed, neutral=at_rest, faces=model.faces, camera=camera)


def case_at(path: Path) -> Case:
    return Case(id="a", groups={}, prediction=path, inputs={})


def test_now_gets_the_person_at_rest_with_seven_landmarks(tmp_path: Path) -> None:
    made = face()
    writer_of("now", tmp_path, Options())(case_at(tmp_path / "s" / "c" / "a.obj"), made)
    mesh = read_mesh(tmp_path / "s" / "c" / "a.obj")
    seven = read_points(tmp_path / "s" / "c" / "a.npy", 7)
    assert mesh.vertices == pytest.approx(made.neutral, abs=1e-5)
    # from the subject's right to left, eyes above nose above mouth; +x is the subject's left
    assert (np.diff(seven[:4, 0]) > 0).all()
    assert seven[:4, 1].min() > seven[4, 1] > seven[5:, 1].max()
    assert seven[5, 0] < seven[4, 0] < seven[6, 0]


def test_facescape_gets_the_face_as_its_photograph_shows_it(tmp_path: Path) -> None:
    made = face()
    writer_of("facescape-wild", tmp_path, Options())(case_at(tmp_path / "a.obj"), made)
    ortho = read_mesh(tmp_path / "a.obj").vertices
    assert made.camera is not None
    pixels, _ = made.camera.project(made.posed)
    assert ortho[:, 0] == pytest.approx(pixels[:, 0] / 200 - 1, abs=1e-5)
    assert ortho[:, 1] == pytest.approx(1 - pixels[:, 1] / 200, abs=1e-5)
    nose = made.model.landmarks68[30]
    eye = made.model.landmarks68[36]
    assert ortho[nose, 2] > ortho[eye, 2]  # z to the viewer
    # depth in the scale of the image: 1600 px / 1000 mm, 200 px a unit
    depth = made.posed[nose, 2] - made.posed[eye, 2]
    assert ortho[nose, 2] - ortho[eye, 2] == pytest.approx(depth * 1.6 / 200, rel=0.1)


def test_realy_takes_a_template_of_the_face_models_topology(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"85 keypoints.*--set template=NAME"):
        writer_of("realy", tmp_path, Options())
    options = Options(settings={"template": "Mine"})
    made = face()
    save_mesh(tmp_path / "data" / "Mine.obj", Mesh(vertices=made.neutral, faces=made.faces))
    writer_of("realy", tmp_path, options)(case_at(tmp_path / "1.obj"), made)
    assert read_mesh(tmp_path / "1.obj").vertices == pytest.approx(made.posed, abs=1e-5)
    few = made.faces[(made.faces < 50).all(axis=1)]
    save_mesh(tmp_path / "data" / "Mine.obj", Mesh(vertices=made.neutral[:50], faces=few))
    with pytest.raises(InputError, match="has 50 vertices, the face model"):
        writer_of("realy", tmp_path, options)(case_at(tmp_path / "1.obj"), made)


def test_a_benchmark_of_another_topology_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="micc: it scores the topology of GANFit"):
        writer_of("micc", tmp_path, Options())
    with pytest.raises(InputError, match="facescape-lab: it scores poses before cameras"):
        writer_of("facescape-lab", tmp_path, Options())


def test_a_smile_is_taken_off_but_the_person_stays() -> None:
    model = procedural_head()
    identity, smile = np.zeros(model.n_identity), np.zeros(model.n_expression)
    identity[0], smile[0] = 1.5, 2.0

    class Found:
        expression = smile
        mid = model.shape(identity=identity, expression=smile).astype(np.float32)

    Found.model = model  # type: ignore[attr-defined]
    rest = face_of(Found(), camera=None)  # type: ignore[arg-type]
    assert rest.neutral == pytest.approx(model.shape(identity=identity), abs=1e-4)
    assert np.abs(rest.posed - rest.neutral).max() > 0.5


@pytest.mark.parametrize(
    ("name", "method", "said"),
    [
        ("now", "hrm", "one of hrn, fit, mv-hrn"),
        ("now", "hrn", "no photographs"),
        ("toy", "hrn", "toy: facekit cannot write"),
    ],
)
def test_methods_that_cannot_be_run_are_told(
    toy, monkeypatch: pytest.MonkeyPatch, name: str, method: str, said: str
) -> None:
    monkeypatch.setattr(toy.benchmark, "name", name)
    how = Reconstruction(method=method)
    with pytest.raises(InputError, match=said):
        make_predictions(toy.benchmark, how, toy.data, toy.predictions, Options())
