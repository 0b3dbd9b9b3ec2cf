"""Units told, cumulative curves, thinned surfaces."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from facekit.benchmarks.evaluation.curves import cumulative_curve, distances_by_group
from facekit.benchmarks.evaluation.heatmaps import error_pictures, front_yaw_deg, top_of_scale
from facekit.benchmarks.evaluation.protocol import CaseScore, ErrorMesh
from facekit.benchmarks.evaluation.thinning import thinned
from facekit.benchmarks.evaluation.units import (
    landmark_remark,
    size_remark,
    spread,
)
from facekit.core.geometry.mesh import Mesh
from facekit.core.rendering.colormap import AMOUNT


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (0.09, "1000× too small: metres?"),
        (9.0, "10× too small: centimetres?"),
        (0.9, "100× too small: decimetres?"),
        (9e4, "1000× too large: micrometres?"),
        (900.0, "10× too large; in which unit are they?"),
        (20.0, "4.5× too small"),
        (0.0, "no extent"),
        (float("nan"), "no extent"),
    ],
)
def test_a_wrong_unit_is_told(found: float, said: str) -> None:
    assert said in str(size_remark(found, 90.0))


def test_faces_of_people_are_of_one_unit() -> None:
    assert size_remark(70.0, 90.0) is None
    assert size_remark(120.0, 90.0) is None


def test_landmarks_in_another_order_are_told(rng: np.random.Generator) -> None:
    marks = rng.normal(0, 30, (7, 3))
    assert landmark_remark(marks + rng.normal(0, 2, marks.shape), marks) is None
    assert "another order" in str(landmark_remark(marks[::-1], marks))


def test_spread_goes_with_the_unit(rng: np.random.Generator) -> None:
    points = rng.normal(0, 30, (100, 3)) + 500
    assert spread(points / 1000) == pytest.approx(spread(points) / 1000)
    assert spread(np.tile(points[:1], (5, 1))) == pytest.approx(0, abs=1e-9)


def test_the_curve_counts_points_within(rng: np.random.Generator) -> None:
    distances = rng.exponential(1.0, 20_000)
    curve = cumulative_curve(distances)
    for limit in (0.5, 1.0, 2.0):
        # a bin is 1e-4 mm wide or so: 1e-4 of the density, and one point
        assert curve.at(limit) == pytest.approx(100 * (distances <= limit).mean(), abs=0.02)
    assert curve.percent[-1] == pytest.approx(100)
    assert (np.diff(curve.percent) >= 0).all()


def test_the_curve_is_the_official_one(shared_fixtures: Path) -> None:
    vectors = json.loads((shared_fixtures / "unit" / "now_unit.json").read_text())["cumulative"]
    seen = 0
    for vector in vectors:
        path = shared_fixtures / "now" / f"case_{vector['case']:02d}.npz"
        if not path.is_file():
            continue
        seen += 1
        with np.load(path) as case:
            curve = cumulative_curve(case["distances"])
        assert len(curve.edges) == vector["nbins"]
        assert curve.edges[[0, -1]] == pytest.approx([vector["base_first"], vector["base_last"]])
        shown = [curve.at(limit) for limit in vector["thresholds"]]
        assert shown == pytest.approx(vector["percent"], abs=1e-9)
    assert seen


def test_distances_that_are_all_alike_have_a_curve_too() -> None:
    for spread_mm in (0.0, 1e-13):
        curve = cumulative_curve(np.array([0.87, 0.87 + spread_mm]))
        assert (curve.at(0.8), curve.at(0.9)) == (0, 100)


def score(name: str, distances: list[float] | None) -> CaseScore:
    return CaseScore(
        id=name, groups={"challenge": name}, values={},
        distances=None if distances is None else np.array(distances),
    )  # fmt: skip


def test_distances_are_pooled_by_the_first_group() -> None:
    groups = distances_by_group([score("a", [1, 2]), score("b", [3, np.nan]), score("c", None)])
    assert {name: list(np.concatenate(parts)) for name, parts in groups.items()} == {
        "all": [1, 2, 3], "a": [1, 2], "b": [3],
    }  # fmt: skip
    assert list(distances_by_group([score("a", [1.0])])) == ["all"]
    assert distances_by_group([score("a", None)]) == {}


def ball(subdivisions: int) -> ErrorMesh:
    made = trimesh.creation.icosphere(subdivisions=subdivisions, radius=90.0)
    vertices = np.asarray(made.vertices)
    return ErrorMesh(
        vertices=vertices, faces=made.faces.astype(np.int32), error=np.abs(vertices[:, 0])
    )


def test_a_thinned_surface_is_the_same_within_its_cells() -> None:
    fine = ball(6)  # 81 920 triangles
    coarse = thinned(fine, 5000)
    assert 1500 < len(coarse.faces) <= 5000
    # a cell of a grid that leaves 5000 triangles of this ball is some 8 mm wide
    assert np.abs(np.linalg.norm(coarse.vertices, axis=1) - 90).max() < 2
    assert np.abs(coarse.error - np.abs(coarse.vertices[:, 0])).max() < 5
    assert coarse.faces.max() < len(coarse.vertices)
    assert thinned(ball(2)).faces.shape == ball(2).faces.shape


def test_unknown_errors_stay_unknown_and_out_of_the_mean() -> None:
    fine = ball(5)
    error = fine.error.copy()
    error[fine.vertices[:, 1] > 0] = np.nan
    coarse = thinned(ErrorMesh(vertices=fine.vertices, faces=fine.faces, error=error), 2000)
    assert np.isnan(coarse.error[coarse.vertices[:, 1] > 12]).all()
    assert np.isfinite(coarse.error[coarse.vertices[:, 1] < -12]).all()


def test_heat_maps_look_at_the_front_and_show_the_error() -> None:
    made = ball(4)
    front = made.vertices[made.faces][:, :, 0].mean(axis=1) > 30  # looks to +x
    part = ErrorMesh(vertices=made.vertices, faces=made.faces[front], error=np.full(2562, 2.0))
    surface = Mesh(vertices=part.vertices, faces=part.faces)
    assert front_yaw_deg(surface) == pytest.approx(90, abs=1)
    pictures = error_pictures(part, most=2.0)
    assert len(pictures) == 2
    yellow = np.array(AMOUNT(np.array([2.0]), 0.0, 2.0)[0], int)
    middle = pictures[0][170:190, 140:160].reshape(-1, 3).astype(int)
    assert (middle.argmin(axis=1) == yellow.argmin()).all()


def test_the_scale_ends_at_a_round_figure() -> None:
    assert top_of_scale([ErrorMesh(vertices=np.zeros((1, 3)), faces=np.zeros((0, 3), np.int32),
                                   error=np.full(9, 0.234))]) == pytest.approx(0.3)  # fmt: skip
    assert top_of_scale([]) == 1.0
