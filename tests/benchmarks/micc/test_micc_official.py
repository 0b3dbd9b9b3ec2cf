"""Parity with the official MICC evaluation, on its own folders; the numbers are GANFit's code's."""

import json
import tarfile

import numpy as np
import pytest

from facekit.benchmarks.evaluation import registry
from facekit.benchmarks.evaluation.predictions import read_mesh
from facekit.benchmarks.evaluation.protocol import Options
from facekit.benchmarks.micc.ganfit import NOSE_TIP, score_ganfit
from facekit.benchmarks.micc.layout import read_ljson, read_template
from facekit.core.errors import InputError

TOLERANCE_MM = 1e-9  # of floating point: other libraries' SVD and closest points


@pytest.fixture(scope="module")
def layout(shared_fixtures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("layout")
    with tarfile.open(shared_fixtures / "micc_ganfit/layout.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def official(shared_fixtures):
    return json.loads((shared_fixtures / "micc_ganfit/official.json").read_text())


def test_every_figure_and_every_number_of_iterations(layout, official):
    benchmark = registry.get("micc")
    cases = benchmark.cases(layout, layout / "rec", Options())
    assert len(cases) == 3 * len(official)
    scores = {}
    for case in cases:
        score = scores[case.id] = benchmark.score(case, Options())
        expected = official[case.groups["subject"]]["settings"][case.groups["setting"]]
        assert score.values["error"] == pytest.approx(expected["min"], abs=TOLERANCE_MM)
        for scan in expected["scans"]:
            name = f"frontal{scan['scan']}"
            assert score.values[name] == pytest.approx(scan["error"], abs=TOLERANCE_MM)
            for way in ("reg_to_rec", "rec_to_reg"):
                error_mm, iterations = scan[way]
                found = score.values[f"{name}_{way}"]
                assert found == pytest.approx(error_mm, abs=TOLERANCE_MM)
                assert score.counts[f"{name}_{way}"] == iterations
    rows = benchmark.rows(list(scores.values()), Options())
    for row in rows:
        errors = [subject["settings"][row.label]["min"] for subject in official.values()]
        assert row.values["mean"] == pytest.approx(np.mean(errors), abs=TOLERANCE_MM)
        assert row.values["std"] == pytest.approx(np.std(errors), abs=TOLERANCE_MM)


@pytest.fixture(scope="module")
def pair(layout):
    """Give the arrays of the first subject, for `score_ganfit`."""
    template = read_template(layout / "template.obj", layout / "landmark_ids.pkl")
    place = "subject_01/Model/frontal1/obj/scan"
    scan = read_mesh(layout / f"reg/{place}.obj")
    predicted = read_mesh(layout / "rec/subject_01/Indoor-Cooperative.obj")
    given = {
        "scan_landmarks": read_ljson(layout / f"lms/{place}.ljson"),
        "template_landmarks": template.landmarks,
        "nose_vertex": int(template.landmark_vertices[NOSE_TIP]),
    }
    return scan.vertices, predicted.vertices, scan.faces, given


def test_the_official_score_depends_on_the_predictions_unit(pair):
    registered, predicted, faces, given = pair
    # measured with the official code, to three decimals
    measured = {0.5: 0.131, 0.85: 0.151, 1.0: 0.155, 1.2: 0.164, 2.0: 0.211}
    for scale, error_mm in measured.items():
        score = score_ganfit(registered, scale * predicted, faces, **given)
        assert score.error_mm == pytest.approx(error_mm, abs=6e-4)
    fixed = [
        score_ganfit(registered, scale * predicted, faces, **given, fixed=True).error_mm
        for scale in measured
    ]
    assert np.ptp(fixed) < 1e-9


def test_a_scale_that_stops_the_official_code_is_told(pair):
    registered, predicted, faces, given = pair
    with pytest.raises(InputError, match="decimetres"):
        score_ganfit(registered, 500 * predicted, faces, **given)
