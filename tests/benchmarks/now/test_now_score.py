"""NoW on official cases: equal iterations, distances to 1e-5 mm; and laws without the cases."""

import json
from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks.evaluation.curves import cumulative_curve
from facekit.benchmarks.metrics.surface import ExactSurface
from facekit.benchmarks.now.converge import converge
from facekit.benchmarks.now.motion import (
    Motion,
    measure,
    normal_equations,
    rotation,
    rotation_derivatives,
)
from facekit.benchmarks.now.register import conjugate_gradients, refine
from facekit.benchmarks.now.score import NowScore, score_now
from facekit.core.arrays import Floats, Ints
from facekit.core.errors import EstimationError, InputError

_POINT_MM, _FIGURE_MM = 1e-5, 1e-6


def _case_names(shared_fixtures: Path) -> list[Path]:
    return sorted((shared_fixtures / "now").glob("case_*.npz"))


def _score(path: Path, **settings: object) -> tuple[NowScore, dict[str, np.ndarray]]:
    with np.load(path) as stored:
        case = dict(stored)
    given = (case["scan_v"], case["scan_lmk"], case["pred_v"], case["pred_f"], case["pred_lmk"])
    return score_now(*given, **settings), case  # type: ignore[arg-type]


def test_official_cases(shared_fixtures: Path) -> None:
    """Crop, path, distances and figures of every case, metrical ones too."""
    for path in _case_names(shared_fixtures):
        official = json.loads(path.with_suffix(".json").read_text())
        score, case = _score(path)
        registration = score.registration
        assert np.array_equal(np.asarray(case["scan_v"])[score.cropped], case["crop_v"])
        assert registration.iterations == official["iters"]
        assert registration.evaluations == official["fevals"]
        for step, theirs in zip(registration.trace, official["trace"], strict=True):
            assert step.iteration == theirs["it"]
            assert step.length == pytest.approx(theirs["step"], rel=1e-4, abs=1e-9)
        assert np.abs(score.distances - case["distances"]).max() <= _POINT_MM
        assert np.abs(score.vertices - case["aligned_v"]).max() <= _POINT_MM
        for name, value in score.values.items():
            assert abs(value - official["nonmetrical"][name]) <= _FIGURE_MM
        assert score.remarks == ()
        if official.get("metrical"):
            metrical, _ = _score(path, unit=official["metrical"]["unit"])
            assert metrical.registration.iterations == official["metrical"]["iters"]
            assert np.abs(metrical.distances - case["distances_metrical"]).max() <= _POINT_MM
            for name, value in metrical.values.items():
                assert abs(value - official["metrical"][name]) <= _FIGURE_MM


def test_official_curve(shared_fixtures: Path) -> None:
    """The cumulative curve at the official thresholds, over the official distances."""
    vectors = json.loads((shared_fixtures / "unit" / "now_unit.json").read_text())["cumulative"]
    for vector in vectors:
        path = shared_fixtures / "now" / f"case_{vector['case']:02d}.npz"
        if not path.is_file():
            continue
        with np.load(path) as case:
            curve = cumulative_curve(case["distances"])
        assert curve.edges[0] == pytest.approx(vector["base_first"])
        assert len(curve.edges) == vector["nbins"]
        at = np.searchsorted(curve.edges, vector["thresholds"]).clip(max=len(curve.edges) - 1)
        assert np.allclose(curve.percent[at], vector["percent"], atol=0.02)


def test_fixed_is_the_optimum_of_the_same_problem(shared_fixtures: Path) -> None:
    """Run to its end it leaves no gradient; the early stop costs next to nothing here."""
    path = _case_names(shared_fixtures)[0]
    official, fixed = _score(path)[0], _score(path, fixed=True)[0]
    assert np.sum(fixed.distances**2) <= np.sum(official.distances**2) * (1 + 1e-9)
    assert abs(fixed.values["median"] - official.values["median"]) < 1e-3
    points = np.asarray(_score(path)[1]["scan_v"])[fixed.cropped]
    again = converge(points, ExactSurface(fixed.vertices, _faces(path)), with_scale=True)
    assert np.abs(again.motion.apply(fixed.vertices) - fixed.vertices).max() < 1e-3


def _faces(path: Path) -> Ints:
    with np.load(path) as case:
        faces: Ints = case["pred_f"].astype(np.int32)
    return faces


def test_wrong_units_and_orders_are_told(shared_fixtures: Path) -> None:
    """A scored prediction with a mistake says which."""
    path = _case_names(shared_fixtures)[0]
    assert any("m?" in r and "too small" in r for r in _remarks(path, 1e-3, unit="mm"))
    assert any("cm?" in r and "too small" in r for r in _remarks(path, 0.1, unit="mm"))
    assert any("mm?" in r and "too large" in r for r in _remarks(path, 1.0, unit="m"))
    assert _remarks(path, 1e-3, unit="m") == ()
    assert any("mirrored" in r for r in _remarks(path, np.array([-1.0, 1, 1])))


def _remarks(path: Path, scale: float | Floats, **settings: object) -> tuple[str, ...]:
    with np.load(path) as stored:
        case = dict(stored)
    moved = (case["pred_v"] * scale, case["pred_f"], (case["pred_lmk"] * scale).astype(np.float32))
    return score_now(case["scan_v"][::20], case["scan_lmk"], *moved, **settings).remarks  # type: ignore[arg-type]


def _dome(n: int = 40) -> tuple[Floats, Ints]:
    """Return a bumpy dome with three different axes, mm."""
    x, y = np.meshgrid(np.linspace(-90, 90, n), np.linspace(-110, 110, n))
    z = 60 - (x / 12) ** 2 - (y / 16) ** 2 + 9 * np.exp(-((x / 15) ** 2) - (y / 22) ** 2)
    z += 3 * np.sin(x / 17 + 1) * np.cos(y / 13)
    index = np.arange(n * n, dtype=np.int32).reshape(n, n)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    return np.stack([x, y, z], -1).reshape(-1, 3), faces


def _scan(rng: np.random.Generator, n: int = 900) -> Floats:
    """Return points near the middle of the dome."""
    vertices, faces = _dome()
    middle = faces[np.abs(vertices[faces].mean(axis=1))[:, :2].max(axis=1) < 60]
    chosen = vertices[middle[rng.integers(0, len(middle), n)]]
    weights = rng.dirichlet([1, 1, 1], n)
    return np.einsum("nij,ni->nj", chosen, weights)


def test_rotations_and_their_derivatives() -> None:
    """Against finite differences, and the limit of no turn."""
    rng = np.random.default_rng(0)
    for turn in (rng.normal(size=3), 1e-5 * rng.normal(size=3), np.zeros(3)):
        R = rotation(turn)
        assert np.allclose(R @ R.T, np.eye(3), atol=1e-14)
        assert np.linalg.det(R) == pytest.approx(1)
        h = 1e-6
        for k, derivative in enumerate(rotation_derivatives(turn)):
            step = h * np.eye(3)[k]
            numeric = (rotation(turn + step) - rotation(turn - step)) / (2 * h)
            assert np.allclose(derivative, numeric, atol=1e-8)


def test_the_gradient_is_that_of_the_sum_of_squares() -> None:
    """The gliding foot changes nothing to first order: 2 JᵀJ's right side, by differences."""
    rng = np.random.default_rng(1)
    vertices, faces = _dome()
    surface, points = ExactSurface(vertices, faces), _scan(rng) + rng.normal(0, 2, (900, 3))
    x = np.array([1.03, 0.05, -0.04, 0.02, 1.0, -2.0, 0.5])

    def motion(x: Floats) -> Motion:
        return Motion(scale=float(x[0]), R=rotation(x[1:4]), shift=x[4:])

    footing = measure(surface, points, motion(x))
    moved = ExactSurface(motion(x).apply(vertices), faces).closest(points)
    assert np.allclose(footing.distance, moved.distance, rtol=1e-10, atol=1e-12)
    _, vector = normal_equations(points, footing, motion(x), by_turn=rotation_derivatives(x[1:4]))
    for k in range(7):
        h = 1e-6 * np.eye(7)[k]
        ahead = measure(surface, points, motion(x + h)).sum_of_squares
        behind = measure(surface, points, motion(x - h)).sum_of_squares
        assert (ahead - behind) / 2e-6 == pytest.approx(2 * vector[k], rel=1e-4, abs=1e-2)


@pytest.mark.parametrize("with_scale", [False, True])
def test_a_moved_mesh_comes_home(with_scale: bool) -> None:
    """Points of the surface itself: the official path comes near, the converged one arrives."""
    vertices, faces = _dome()
    points = _scan(np.random.default_rng(2))
    scale = 0.985 if with_scale else 1.0
    away = Motion(scale=scale, R=rotation(np.array([0.03, -0.02, 0.04])), shift=np.full(3, 1.5))
    surface = ExactSurface(away.apply(vertices), faces)
    near = refine(points, surface, with_scale=with_scale)
    home = converge(points, surface, with_scale=with_scale)
    assert near.distance.mean() < 0.05
    assert home.distance.max() < 1e-5
    assert home.motion.scale == pytest.approx(1 / scale, rel=1e-6)
    assert np.allclose(home.motion.apply(away.apply(points)), points, atol=1e-4)


def test_the_first_steps_are_short() -> None:
    """The trust region of 0.1 in mixed units, grown by 2.5 while the model holds."""
    vertices, faces = _dome()
    surface = ExactSurface(vertices + [0, 0, 6.0], faces)
    registration = refine(_scan(np.random.default_rng(3)), surface, with_scale=False)
    lengths = [step.length for step in registration.trace]
    assert lengths[:3] == pytest.approx([0.1, 0.25, 0.625])


def test_conjugate_gradients() -> None:
    """Exact to its tolerance; nothing at all for a right side below it, as SciPy's of old."""
    rng = np.random.default_rng(4)
    root = rng.normal(size=(7, 7))
    matrix, right = root @ root.T + np.eye(7), rng.normal(size=7)
    solved = conjugate_gradients(matrix, right)
    assert np.linalg.norm(matrix @ solved - right) <= 1.1e-5 * np.linalg.norm(right)
    assert not conjugate_gradients(matrix, 1e-7 * right).any()


def _synthetic() -> tuple[Floats, Floats, Floats, Ints, Floats]:
    vertices, faces = _dome()
    places = [[-44, 35], [-16, 34], [16, 34], [44, 35], [0, -5], [-25, -35], [25, -35]]
    below = np.array([[x, y, 500.0] for x, y in places])
    landmarks = ExactSurface(vertices, faces).closest(below - [0, 0, 440]).points
    return vertices, landmarks.astype(np.float32), vertices, faces, landmarks.astype(np.float32)


def test_a_perfect_prediction_in_any_unit_scores_nothing() -> None:
    """The scale is free without a unit, and held with one."""
    scan, scan_landmarks, vertices, faces, landmarks = _synthetic()
    score = score_now(scan, scan_landmarks, vertices, faces, landmarks)
    assert score.values["mean"] < 1e-4
    small = (vertices / 1000, faces, (landmarks / 1000).astype(np.float32))
    assert score_now(scan, scan_landmarks, *small).values["mean"] < 1e-4
    metrical = score_now(scan, scan_landmarks, *small, unit="m", fixed=True)
    assert metrical.values["mean"] < 1e-4
    grown = (1.1 * vertices, faces, (1.1 * landmarks).astype(np.float32))
    assert score_now(scan, scan_landmarks, *grown, unit="mm").values["mean"] > 0.2


def test_unusable_inputs_are_refused_in_a_sentence() -> None:
    """Units, landmarks, meshes and scans that do not belong."""
    scan, scan_landmarks, vertices, faces, landmarks = _synthetic()
    with pytest.raises(InputError, match="unit 'km'"):
        score_now(scan, scan_landmarks, vertices, faces, landmarks, unit="km")
    with pytest.raises(InputError, match=r"\(7, 3\) needed"):
        score_now(scan, scan_landmarks, vertices, faces, landmarks[:5])
    with pytest.raises(EstimationError, match="different scans or units"):
        score_now(scan + 1000, scan_landmarks, vertices, faces, landmarks)
    with pytest.raises(EstimationError, match="one place"):
        score_now(scan, scan_landmarks, vertices, faces, np.ones((7, 3), np.float32))
    broken = vertices.copy()
    broken[5] = np.nan
    with pytest.raises(InputError, match="not finite"):
        score_now(scan, scan_landmarks, broken, faces, landmarks)
    flat = np.zeros((3, 3), np.int32)
    score = score_now(scan, scan_landmarks, vertices, flat, landmarks)
    assert np.isfinite(score.distances).all()
    assert any("not aligned" in remark for remark in score.remarks)
