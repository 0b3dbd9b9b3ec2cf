"""The exact closest point: against exhaustive search in extended precision, and its laws."""

import numpy as np
import pytest

from facekit.benchmarks.metrics.surface import ExactSurface
from facekit.core.arrays import Floats, Ints
from facekit.core.errors import InputError


def _segment_distance(p: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distance of points (N, 1, 3) to segments (F, 3), in extended precision."""
    ab = b - a
    length = (ab * ab).sum(-1)
    along = ((p - a) * ab).sum(-1)
    part = np.where(length > 0, along / np.where(length > 0, length, 1), 0).clip(0, 1)
    return np.sqrt(((p - a - part[..., None] * ab) ** 2).sum(-1))


def _exhaustive(points: Floats, vertices: Floats, faces: Ints) -> np.ndarray:
    """Return (N,) distances: the three sides, and the plane where the foot lies inside."""
    p = points.astype(np.longdouble)[:, None]
    a, b, c = (vertices.astype(np.longdouble)[faces[:, i]] for i in range(3))
    best = np.minimum(_segment_distance(p, a, b), _segment_distance(p, b, c))
    best = np.minimum(best, _segment_distance(p, c, a))
    normal = np.cross(b - a, c - a)
    square = (normal * normal).sum(-1)
    inside = np.broadcast_to(square > 0, best.shape).copy()
    for start, end in ((a, b), (b, c), (c, a)):
        inside &= (np.cross(end - start, p - start) * normal).sum(-1) >= 0
    height = np.abs(((p - a) * normal).sum(-1)) / np.sqrt(np.where(square > 0, square, 1))
    return np.where(inside, np.minimum(best, height), best).min(axis=1)


def _sheet(rng: np.random.Generator, n: int) -> tuple[Floats, Ints]:
    """Return a rough height field, in mm, about the size of a face."""
    x, y = np.meshgrid(np.linspace(-80, 80, n), np.linspace(-100, 100, n))
    z = 60 - (x / 20) ** 2 + rng.normal(0, 2, x.shape)
    index = np.arange(n * n, dtype=np.int32).reshape(n, n)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    return np.stack([x, y, z], -1).reshape(-1, 3), faces


def _check(points: Floats, vertices: Floats, faces: Ints) -> None:
    """Distances are exact to 1e-12 of themselves, beyond the rounding of 100 mm coordinates."""
    found = ExactSurface(vertices, faces).closest(points)
    truth = _exhaustive(points, vertices, faces)
    size = np.abs(vertices).max() + np.abs(points).max()
    assert np.all(np.abs(found.distance - truth) <= 1e-12 * truth + 8e-16 * size)
    foot = np.linalg.norm(found.points - points, axis=1)
    assert np.allclose(foot, found.distance, rtol=1e-12, atol=2e-15 * size)
    of_face = np.array(
        [
            _exhaustive(points[i : i + 1], vertices, faces[[found.face[i]]])[0]
            for i in range(0, len(points), 7)
        ]
    )
    assert np.allclose(of_face.astype(float), found.distance[::7], rtol=1e-12, atol=2e-15 * size)


@pytest.mark.parametrize("noise", [0.0, 0.1, 30.0, 5000.0])
def test_equals_exhaustive_search(noise: float) -> None:
    """On the surface, close to it, around it and far away."""
    rng = np.random.default_rng(1)
    vertices, faces = _sheet(rng, 16)
    points = vertices[rng.integers(0, len(vertices), 400)] + rng.normal(0, 1, (400, 3)) * noise
    _check(points, vertices, faces)


def test_degenerate_triangles_are_segments_and_points() -> None:
    """Flat, needle, repeated-index and single-point faces have their own exact distances."""
    rng = np.random.default_rng(2)
    vertices, faces = _sheet(rng, 8)
    straight = np.linspace([-90.0, 5, 70], [90.0, -5, 75], 9)
    needle = np.array([[0, 0, 90.0], [50, 0, 90], [50, 1e-9, 90], [25, 1e-7, 90]])
    n = len(vertices)
    odd = np.array(
        [[n, n + 4, n + 8], [n + 8, n + 1, n + 2], [n + 3, n + 3, n + 5], [n + 6] * 3,
         [n + 9, n + 10, n + 11], [n + 9, n + 10, n + 12], [0, 0, 0]], np.int32,
    )  # fmt: skip
    vertices = np.concatenate([vertices, straight, needle])
    points = rng.normal(0, 60, (500, 3)) + [0, 0, 60]
    _check(points, vertices, np.concatenate([faces, odd]))
    _check(points, vertices, odd)
    _check(points, vertices, np.repeat(odd, 40, axis=0))  # all centres coincide: no cut helps


def test_slivers_keep_their_precision() -> None:
    """Triangles 1e5 times longer than high: the base is an axis, so no digits are lost."""
    rng = np.random.default_rng(3)
    start = rng.normal(0, 50, (60, 3))
    side = rng.normal(0, 20, (60, 3))
    cap = start + 0.4 * side + rng.normal(0, 1e-4, (60, 3))
    vertices = np.concatenate([start, start + side, cap])
    faces = np.arange(180, dtype=np.int32).reshape(3, 60).T
    _check(rng.normal(0, 60, (300, 3)), vertices, faces)


def test_a_similarity_moves_with_the_mesh() -> None:
    """Distances scale with a scaled mesh and do not change under a turn."""
    rng = np.random.default_rng(4)
    vertices, faces = _sheet(rng, 12)
    points = rng.normal(0, 60, (300, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    here = ExactSurface(vertices, faces).closest(points)
    there = ExactSurface(1e-3 * vertices @ turn.T, faces).closest(1e-3 * points @ turn.T)
    assert np.allclose(there.distance, 1e-3 * here.distance, rtol=1e-10, atol=1e-16)
    assert np.allclose(there.points, 1e-3 * here.points @ turn.T, atol=1e-13)


def test_hints_change_no_distance() -> None:
    """A right, a wrong, an absent and an impossible hint give the same."""
    rng = np.random.default_rng(5)
    vertices, faces = _sheet(rng, 12)
    points = rng.normal(0, 60, (300, 3))
    surface = ExactSurface(vertices, faces)
    plain = surface.closest(points)
    for hint in (plain.face, rng.integers(-5, 2 * len(faces), 300).astype(np.int32)):
        hinted = surface.closest(points, hint=hint)
        assert np.allclose(hinted.distance, plain.distance, rtol=1e-14, atol=1e-14)


def test_queries_that_are_not_finite_are_told() -> None:
    """NaN in, NaN and no face out; the other rows are unharmed."""
    vertices, faces = _sheet(np.random.default_rng(6), 4)
    found = ExactSurface(vertices, faces).closest(
        np.array([[0, 0, 0.0], [np.nan, 0, 0], [np.inf, 0, 0], [1, 1, 1.0]])
    )
    assert found.face[1] == found.face[2] == -1
    assert np.isnan(found.distance[1:3]).all() and np.isnan(found.points[1:3]).all()
    assert np.isfinite(found.distance[[0, 3]]).all()
    assert len(ExactSurface(vertices, faces).closest(np.empty((0, 3))).face) == 0


def test_float32_meshes_and_wide_faces_are_taken() -> None:
    """Any float and integer type; the answer is that of the same numbers in float64."""
    vertices, faces = _sheet(np.random.default_rng(7), 6)
    points = np.zeros((5, 3), np.float32)
    one = ExactSurface(vertices.astype(np.float32), faces.astype(np.int64)).closest(points)
    two = ExactSurface(vertices.astype(np.float32).astype(float), faces).closest(points)
    assert np.array_equal(one.distance, two.distance)


def test_unusable_meshes_are_refused_in_a_sentence() -> None:
    """No face, an index out of range, a corner that is not a number."""
    vertices, faces = _sheet(np.random.default_rng(8), 4)
    with pytest.raises(InputError, match="a mesh of triangles is needed"):
        ExactSurface(vertices, faces[:0])
    with pytest.raises(InputError, match="there are 10 vertices"):
        ExactSurface(vertices[:10], faces)
    with pytest.raises(InputError, match="whole numbers"):
        ExactSurface(vertices, faces.astype(float))  # type: ignore[arg-type]
    broken = vertices.copy()
    broken[faces[3, 0]] = np.nan
    with pytest.raises(InputError, match="not finite"):
        ExactSurface(broken, faces)
    with pytest.raises(InputError, match="shape"):
        ExactSurface(vertices, faces).closest(np.zeros(3))
