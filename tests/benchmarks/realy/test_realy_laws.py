"""Laws that REALY's steps follow, and the oddities that are kept."""

from typing import Any

import numpy as np
import pytest

from facekit.benchmarks.metrics.surface import ExactSurface
from facekit.benchmarks.realy.cholesky import BlockCholesky
from facekit.benchmarks.realy.foot_kernels import Rings
from facekit.benchmarks.realy.nonrigid import deform
from facekit.benchmarks.realy.official import (
    error_lines,
    official_text,
    sample_std,
    summary_lines,
)
from facekit.benchmarks.realy.regions import REGIONS, Region, edges_of, merged
from facekit.benchmarks.realy.rigid import fit_fixed, fit_official
from facekit.benchmarks.realy.score import (
    Prediction,
    Scan,
    keypoint_table,
    score_arrays,
    score_prediction,
)
from facekit.core.errors import EstimationError, InputError


def score(face: dict[str, Any], vertices: Any = None, **options: Any) -> Any:
    vertices = face["vertices"] if vertices is None else vertices
    return score_arrays(
        vertices, face["faces"], face["rows"], face["keypoints"], face["regions"], 9.0, **options
    )


def dense(n: int, edges: Any, diagonal: Any, stiffness: Any) -> Any:
    matrix = np.zeros((n, 4, n, 4))
    matrix[np.arange(n), :, np.arange(n), :] = diagonal
    for i, k in edges:
        matrix[i, np.arange(4), k, np.arange(4)] = -stiffness
        matrix[k, np.arange(4), i, np.arange(4)] = -stiffness
    return matrix.reshape(4 * n, 4 * n)


def test_block_factor_solves_as_a_dense_solver_does(
    face: dict[str, Any], rng: np.random.Generator
) -> None:
    n = 120
    edges = edges_of(face["faces"])
    edges = edges[(edges < n).all(axis=1)]
    stiffness = np.array([4.0, 4.0, 9.0, 4.0])
    rows = rng.normal(size=(n, 4))
    diagonal = rows[:, :, None] * rows[:, None, :]
    degree = np.bincount(edges.reshape(-1), minlength=n)
    diagonal[:, np.arange(4), np.arange(4)] += degree[:, None] * stiffness
    right = rng.normal(size=(n, 4, 3))
    solver = BlockCholesky(n, edges)
    for _ in range(2):  # the second on what the first left behind
        x = solver.solve(diagonal, stiffness, right)
        expected = np.linalg.solve(dense(n, edges, diagonal, stiffness), right.reshape(-1, 3))
        np.testing.assert_allclose(x.reshape(-1, 3), expected, rtol=1e-8, atol=1e-10)


def test_what_nothing_determines_is_zero(rng: np.random.Generator) -> None:
    edges = np.array([[0, 1], [1, 2], [3, 4], [4, 5], [3, 5]])  # two parts, one without data
    stiffness = np.full(4, 3.0)
    rows = rng.normal(size=(3, 40, 4))
    diagonal = np.zeros((6, 4, 4))
    diagonal[:3] = np.einsum("nki,nkj->nij", rows, rows)
    degree = np.bincount(edges.reshape(-1), minlength=6)
    diagonal[:, np.arange(4), np.arange(4)] += degree[:, None] * stiffness
    right = np.zeros((6, 4, 3))
    right[:3] = rng.normal(size=(3, 4, 3))
    x = BlockCholesky(6, edges).solve(diagonal, stiffness, right)
    matrix = dense(6, edges, diagonal, stiffness)
    np.testing.assert_allclose(matrix @ x.reshape(-1, 3), right.reshape(-1, 3), atol=1e-9)
    np.testing.assert_array_equal(x[3:], 0)
    with pytest.raises(EstimationError, match="not finite"):
        BlockCholesky(6, edges).solve(diagonal * np.nan, stiffness, right)


def test_region_on_its_own_counterparts_stays(face: dict[str, Any]) -> None:
    vertices, faces = face["regions"]["cheek"]
    moved = deform(vertices.astype(np.float64), faces, vertices.astype(np.float64), None)
    # float32 in the data matrix: 1e-7 of 12 units
    np.testing.assert_allclose(moved.vertices, vertices, rtol=0, atol=5e-6)
    assert moved.solves >= 2  # the first X is compared to ones


def test_equal_vertices_are_merged_in_order_and_unused_ones_dropped() -> None:
    square = np.array([[0, 0, 0], [9, 9, 9], [1, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0]])
    region = Region(
        vertices=square.astype(np.float32), faces=np.array([[0, 2, 3], [4, 5, 3]], np.int32)
    )
    out = merged(region)
    np.testing.assert_array_equal(out.vertices, [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    np.testing.assert_array_equal(out.faces, [[0, 1, 2], [1, 3, 2]])
    np.testing.assert_array_equal(out.place, [0, 1, 2, 1, 3])


def test_official_fit_takes_mirrors_and_the_fixed_one_does_not(rng: np.random.Generator) -> None:
    points = rng.normal(size=(20, 3))
    mirrored = points * [-1, 1, 1]
    assert np.linalg.det(fit_official(points, mirrored, with_scale=True).R) == pytest.approx(-1)
    assert np.linalg.det(fit_fixed(points, mirrored, with_scale=True).R) == pytest.approx(1)


def test_official_scale_is_of_absolute_values_and_the_fixed_one_of_squares(
    rng: np.random.Generator,
) -> None:
    points = rng.normal(size=(20, 3))
    noisy = 2 * points + rng.normal(scale=0.2, size=points.shape)
    fixed = fit_fixed(points, noisy, with_scale=True)

    def loss(scale: float) -> float:
        a, b = points - points.mean(axis=0), noisy - noisy.mean(axis=0)
        return float(np.sum((b - scale * a @ fixed.R.T) ** 2))

    official = fit_official(points, noisy, with_scale=True)
    assert loss(fixed.scale) < loss(official.scale)
    assert official.scale == pytest.approx(fixed.scale, rel=0.05)


def nearest_on_two(vertices: Any, query: Any) -> tuple[Any, Any]:
    """Return the closest point on two faces that share an edge, and the one by trimesh's rule."""
    faces = np.array([[0, 1, 2], [1, 0, 3]], np.int32)
    rings, face = Rings(vertices, faces), ExactSurface(vertices, faces).closest(query[None]).face
    exact, rule = (
        rings.closest(query[None], vertices, face, by_normal=by_normal)[0]
        for by_normal in (False, True)
    )
    return exact, rule


@pytest.mark.parametrize(("rise", "side"), [(-0.2, 1.0), (0.2, -1.0)])
def test_near_tie_goes_to_the_worse_face_from_behind_only(rise: float, side: float) -> None:
    # a roof seen from above, and a valley from below; the foot is 5e-5 from the common edge
    vertices = np.array([[0.0, 0, 0], [0, 1, 0], [-1, 0, rise], [1, 0, rise]])
    normal = np.array([rise, 0, 1]) / np.hypot(rise, 1)
    foot = np.array([-5e-5, 0.3, 5e-5 * rise])
    exact, rule = nearest_on_two(vertices, foot + side * 0.1 * normal)
    np.testing.assert_allclose(exact, foot, atol=1e-12)
    on_edge = np.array([0.0, 0.3, 0.0])
    np.testing.assert_allclose(rule, foot if side > 0 else on_edge, atol=1e-12)


def test_no_tie_far_from_the_edge() -> None:
    vertices = np.array([[0.0, 0, 0], [0, 1, 0], [-1, 0, 0.2], [1, 0, 0.2]])
    foot = np.array([-5e-3, 0.3, 1e-3])  # its rival is 2.5e-5 farther, squared
    exact, rule = nearest_on_two(vertices, foot - 0.1 * np.array([0.2, 0, 1]) / np.hypot(0.2, 1))
    np.testing.assert_allclose(exact, foot, atol=1e-12)
    np.testing.assert_array_equal(rule, exact)


def test_seams_count_as_joined() -> None:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    rings = Rings(vertices, np.array([[0, 1, 2], [3, 5, 4]], np.int32))
    query = np.array([[0.9, 0.9, 1.0]])
    feet = rings.closest(query, vertices, np.array([0], np.int32), by_normal=False)
    np.testing.assert_allclose(feet, [[0.9, 0.9, 0.0]])  # on the other side of the seam


def test_perfect_prediction_scores_the_registration_alone(face: dict[str, Any]) -> None:
    # stiffness and the nearest point among points leave a little
    found = score(face)
    assert found.all_mm < 0.02
    assert found.remarks == ()


def test_score_does_not_depend_on_unit_and_place(face: dict[str, Any]) -> None:
    wavy = face["vertices"] + 0.1 * np.sin(face["vertices"][:, [1, 2, 0]])
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    plain, moved = score(face, wavy), score(face, 25.4 * wavy @ turn.T + [100, -50, 3])
    for name in REGIONS:  # rounding to float32 alone, but it may take a solve more or fewer
        assert moved.regions[name].nmse_mm == pytest.approx(plain.regions[name].nmse_mm, abs=2e-3)


def test_error_grows_with_the_bump(face: dict[str, Any]) -> None:
    distance = np.linalg.norm(face["vertices"][:, :2], axis=1)
    bump = np.zeros_like(face["vertices"])
    bump[:, 2] = np.exp(-((distance / 1.5) ** 2))
    errors = [score(face, face["vertices"] + size * bump).all_mm for size in (0.0, 0.4, 0.8)]
    assert errors[0] < errors[1] < errors[2]
    # the bump is in the nose
    assert score(face, face["vertices"] + bump).regions["nose"].nmse_mm > 0.3


def test_regions_at_once_give_the_same(face: dict[str, Any]) -> None:
    prediction = Prediction(
        vertices=face["vertices"], faces=face["faces"],
        keypoints=keypoint_table(face["rows"], face["faces"], "rows"),
    )  # fmt: skip
    scan = Scan(
        keypoints=face["keypoints"], mm_per_unit=9.0,
        regions={n: Region(vertices=v, faces=f) for n, (v, f) in face["regions"].items()},
    )  # fmt: skip
    one, four = (score_prediction(prediction, scan, threads=n) for n in (1, 4))
    assert [one.regions[n].nmse_mm for n in REGIONS] == [four.regions[n].nmse_mm for n in REGIONS]


def test_mirrored_prediction_is_told_and_officially_unseen(face: dict[str, Any]) -> None:
    wavy = face["vertices"] + 0.1 * np.sin(face["vertices"][:, [1, 2, 0]])
    plain, mirrored = score(face, wavy), score(face, wavy * [-1, 1, 1])
    assert "mirrored" in mirrored.remarks[0]
    assert mirrored.all_mm == pytest.approx(plain.all_mm, rel=0.05)
    fixed = score(face, wavy * [-1, 1, 1], fixed=True)  # a score, and a bad one
    assert fixed.all_mm > 3 * mirrored.all_mm


def test_fixed_score_of_a_fair_face_is_near_the_official_one(face: dict[str, Any]) -> None:
    wavy = face["vertices"] + 0.05 * np.sin(face["vertices"][:, [1, 2, 0]])
    official, fixed = score(face, wavy), score(face, wavy, fixed=True)
    assert fixed.all_mm == pytest.approx(official.all_mm, rel=0.2)
    assert fixed.regions["nose"].aligned.dtype == np.float64


@pytest.mark.parametrize("order", ["shifted", "reversed", "shuffled"])
def test_vertices_in_another_order_are_told(face: dict[str, Any], order: str) -> None:
    vertices = face["vertices"]
    changed = {
        "shifted": np.roll(vertices, 7, axis=0),
        "reversed": vertices[np.argsort(vertices[:, 2])],
        "shuffled": np.random.default_rng(0).permutation(vertices),
    }[order]
    with pytest.raises(InputError, match="not in the template's order"):
        score(face, changed)


def test_bad_arrays_are_told_in_a_sentence(face: dict[str, Any]) -> None:
    broken = face["vertices"].copy()
    broken[5] = np.nan
    with pytest.raises(InputError, match="NaN"):
        score(face, broken)
    with pytest.raises(InputError, match="85 rows"):
        score(face | {"rows": face["rows"][:68]})
    with pytest.raises(InputError, match="do not belong together"):
        score(face | {"rows": face["rows"] + [10**6, 0, 0]})
    with pytest.raises(InputError, match="cheek missing"):
        regions = {n: r for n, r in face["regions"].items() if n != "cheek"}
        score(face | {"regions": regions})
    with pytest.raises(EstimationError, match="one point"):
        score(face, np.ones_like(face["vertices"]))


def test_numbers_are_cut_after_nine_characters_exponent_or_not() -> None:
    assert official_text(0.8099904771830206) == "0.8099904"
    assert official_text(12.5) == "12.5"
    assert official_text(8.123456789e-05) == "8.1234567"  # the official oddity: 8 mm
    values = [dict.fromkeys(REGIONS, 0.25), dict.fromkeys(REGIONS, 0.75)]
    assert error_lines(["1", "2_3"], values).splitlines()[1] == "2_3\t\t0.75\t0.75\t0.75\t0.75"
    text = summary_lines(values).splitlines()
    assert text[0] == "average nmse@nose = 0.500"
    assert text[8] == "standard deviation nmse@nose = 0.354"
    assert text[-1] == "average nmse@all = 0.500"


def test_deviation_of_a_sample_is_that_of_numpy(rng: np.random.Generator) -> None:
    values = rng.normal(size=9)
    assert sample_std(values) == pytest.approx(np.std(values, ddof=1))
    assert np.isnan(sample_std(values[:1]))
