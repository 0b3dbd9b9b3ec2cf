"""`micc` and `micc-deep3d` from files to tables."""

import json
import math

import numpy as np
import pytest

from facekit.benchmarks.evaluation import registry
from facekit.benchmarks.evaluation.predictions import read_mesh
from facekit.benchmarks.evaluation.protocol import CaseScore, Options
from facekit.benchmarks.micc.plausible import shape_remarks, unit_remark
from facekit.core.errors import InputError
from facekit.core.geometry.mesh import Mesh
from facekit.core.geometry.meshio import save_mesh


def scored(name, data, options=None, only=None):
    options = options or Options()
    benchmark = registry.get(name)
    cases = benchmark.cases(data, data / "rec", options)
    cases = [case for case in cases if only is None or case.id == only]
    return benchmark, cases, [benchmark.score(case, options) for case in cases]


def test_micc_from_files_to_a_table(made_micc, tmp_path):
    benchmark, cases, scores = scored("micc", made_micc, Options(fixed=True))
    assert [case.id for case in cases[:3]] == [
        "Indoor-Cooperative_subject_01",
        "Indoor-Cooperative_subject_28",
        "PTZ-Indoor_subject_01",
    ]
    assert cases[1].numbers["radius"] == 0.6
    for score in scores:
        assert score.values["error"] == min(score.values["frontal1"], score.values["frontal2"])
        halves = (score.values["frontal1_reg_to_rec"], score.values["frontal1_rec_to_reg"])
        assert score.values["frontal1"] == pytest.approx(sum(halves) / 2)
        # predictions are in the scan's size within a percent or two: little to be fixed
        assert score.fixed["error"] == pytest.approx(score.values["error"], rel=0.1)
        assert not score.remarks
    rows = benchmark.rows(scores, Options())
    assert [row.label for row in rows] == ["Indoor-Cooperative", "PTZ-Indoor", "PTZ-Outdoor"]
    # noise of 0.2, 0.4 and 0.6 mm was put on the predictions
    means = [row.values["mean"] for row in rows]
    assert means == sorted(means)
    (path,) = benchmark.write_official(cases, scores, tmp_path, Options())
    lines = path.read_text().splitlines()
    assert lines[0].split("\t")[1:] == [row.label for row in rows]
    assert [float(x) for x in lines[-2].split("\t")[1:]] == means


def test_a_missing_subject_makes_the_official_mean_infinite(made_micc):
    benchmark, _, scores = scored("micc", made_micc)
    rows = benchmark.rows(scores[1:], Options())
    assert rows[0].values["mean"] == math.inf and math.isnan(rows[0].values["std"])
    assert (rows[0].n, rows[0].missing) == (1, 1)
    assert rows[1].label == "Indoor-Cooperative, those scored"
    assert rows[1].values["mean"] == scores[1].values["error"]
    assert rows[2].values["mean"] < 10


def test_deep3d_from_files_to_a_table(made_micc):
    benchmark, cases, scores = scored("micc-deep3d", made_micc)
    rows = benchmark.rows(scores, Options())
    assert rows[0].label == "all" and rows[0].n == len(cases) == 6
    mean = np.mean([score.values["rmse"] for score in scores])
    assert rows[0].values["mean"] == pytest.approx(mean)
    _, _, again = scored(
        "micc-deep3d", made_micc, Options(settings={"scan": "registered"}), only=cases[0].id
    )
    # the registered meshes are the scans themselves here, but for six decimals in the file
    assert again[0].values["rmse"] == pytest.approx(scores[0].values["rmse"], rel=1e-3)


def test_settings_of_deep3d_are_checked(made_micc):
    benchmark = registry.get("micc-deep3d")
    for settings in ({"forehead": "shave"}, {"scan": "cooked"}):
        with pytest.raises(InputError, match=next(iter(settings))):
            benchmark.cases(made_micc, made_micc / "rec", Options(settings=settings))


CASE = "Indoor-Cooperative_subject_01"


def spoil(data, change):
    path = data / "rec/subject_01/Indoor-Cooperative.obj"
    mesh = read_mesh(path)
    vertices, faces = change(mesh.vertices, mesh.faces)
    save_mesh(path, Mesh(vertices=vertices, faces=faces))


def test_a_prediction_of_another_topology_is_told(own_micc):
    spoil(own_micc, lambda v, f: (np.vstack([v, v[:1]]), f))
    with pytest.raises(InputError, match=r"Indoor-Cooperative\.obj.*template has"):
        scored("micc", own_micc, only=CASE)


def test_other_units_are_told_whether_a_score_is_possible_or_not(own_micc):
    spoil(own_micc, lambda v, f: (0.1 * v, f))
    _, _, scores = scored("micc", own_micc, only=CASE)
    assert "× too small: metres?" in scores[0].remarks[0]
    spoil(own_micc, lambda v, f: (10_000 * v, f))
    with pytest.raises(InputError, match=r"too large"):
        scored("micc", own_micc, only=CASE)


def test_mirrored_or_shuffled_vertices_are_told_before_an_alignment_in_vain(own_micc, rng):
    spoil(own_micc, lambda v, f: (v * [-1, 1, 1], f))
    with pytest.raises(InputError, match=r"Indoor-Cooperative\.obj: .* do not fit"):
        scored("micc-deep3d", own_micc, only=CASE)
    spoil(own_micc, lambda v, f: (rng.permutation(v), f))
    for name in ("micc", "micc-deep3d"):
        with pytest.raises(InputError, match=r"Indoor-Cooperative\.obj: .* do not fit"):
            scored(name, own_micc, only=CASE)


def test_remarks_on_a_prediction_of_the_templates_vertices(rng):
    head = rng.standard_normal((500, 3)) * [0.7, 1.0, 0.9]
    assert unit_remark(head * 2, head) is None and shape_remarks(head * 2 + 1, head) == []
    assert "centimetres" in (unit_remark(head * 10, head) or "")
    assert "millimetres" in (unit_remark(head * 100, head) or "")
    assert "one place" in (unit_remark(head * 0, head) or "")
    assert "mirrored" in shape_remarks(head * [-1, 1, 1], head)[0]
    with pytest.raises(InputError, match="another order"):
        shape_remarks(rng.permutation(head), head)


def test_scan_landmarks_in_another_order_are_told(own_micc):
    path = own_micc / "lms/subject_01/Model/frontal1/obj/scan.ljson"
    value = json.loads(path.read_text())
    rows = value["groups"]["LJSON"]["landmarks"]
    rows["points"] = [rows["points"][(7 * i) % 68] for i in range(68)]
    path.write_text(json.dumps(value))
    for name in ("micc", "micc-deep3d"):
        with pytest.raises(InputError, match="another order"):
            scored(name, own_micc, only=CASE)


def test_a_scan_in_metres_is_told(own_micc):
    path = own_micc / "lms/subject_01/Model/frontal1/obj/scan.ljson"
    value = json.loads(path.read_text())
    rows = value["groups"]["LJSON"]["landmarks"]
    rows["points"] = (np.array(rows["points"]) / 1000).tolist()
    path.write_text(json.dumps(value))
    with pytest.raises(InputError, match=r"1000× too small: metres"):
        scored("micc-deep3d", own_micc, only=CASE)


def test_rows_without_a_score():
    rows = registry.get("micc").rows([], Options())
    assert [row.n for row in rows] == [0, 0, 0]
    assert all(math.isnan(row.values["mean"]) for row in rows)
    lone = CaseScore(
        id="a", groups={"setting": "PTZ-Indoor", "subject": "3"}, values={"error": 0.7},
        counts={"n_subjects": 1},
    )  # fmt: skip
    row = registry.get("micc").rows([lone], Options())[-2]
    assert row.values == {"mean": 0.7, "std": 0.0}
