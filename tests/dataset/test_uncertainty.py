"""Standard deviations: they follow the truth, and grow where less is known."""

from dataclasses import replace

import numpy as np
import pytest

from facekit.core.geometry.mesh import Mesh
from facekit.dataset.stereo.sweep import Swept, sweep_surface
from facekit.dataset.stereo.visibility import SeenBy
from facekit.dataset.take import LAST
from facekit.dataset.uncertainty import filled, information, reliable, surface_sigma

N = 40
FOOTPRINT = 0.25


def flat(*, n_views: int = 3, spread_deg: float = 30.0) -> tuple[Swept, np.ndarray]:
    """Return a plane, measured well everywhere, and the centres of the cameras above it."""
    x, y = np.meshgrid(np.arange(N), np.arange(N))
    vertices = 0.3 * np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3).astype(float)
    a = (np.arange(N - 1)[:, None] * N + np.arange(N - 1)).ravel()
    faces = np.concatenate(
        [np.stack([a, a + 1, a + N], axis=1), np.stack([a + 1, a + N + 1, a + N], axis=1)]
    ).astype(np.int32)
    angle = np.radians(np.linspace(-spread_deg, spread_deg, n_views))
    centers = 500 * np.stack([np.sin(angle), 0 * angle, np.cos(angle)], axis=1) + [6, 6, 0]
    n = len(vertices)
    seen = SeenBy(
        views=np.tile(np.arange(n_views, dtype=np.int32), (n, 1)),
        facing=np.full((n, n_views), 255, np.uint8),
        footprint=np.full(n, FOOTPRINT),
    )
    swept = Swept(
        mesh=Mesh(vertices=vertices, faces=faces),
        score=np.full(n, 0.97, np.float32),
        weight=np.ones(n, np.float32),
        curvature=np.full(n, 0.4, np.float32),
        seen=seen,
    )
    return swept, centers


def middle(values: np.ndarray) -> float:
    return float(np.median(values.reshape(N, N)[10:-10, 10:-10]))


def test_information_is_one_half_at_the_good_standard_deviation():
    # 1 - score over curvature is the variance: 0.35 px squared
    score, curvature = np.array([0.9, -1.0]), np.array([0.1 / 0.35**2, 5.0])
    assert information(score, curvature) == pytest.approx([0.5, 0.0], abs=1e-6)


def test_sigma_scales_with_the_scene():
    swept, centers = flat()
    large = replace(
        swept,
        mesh=replace(swept.mesh, vertices=7 * swept.mesh.vertices),
        seen=replace(swept.seen, footprint=7 * swept.seen.footprint),
    )
    assert surface_sigma(large, 7 * centers) == pytest.approx(
        7 * surface_sigma(swept, centers), rel=1e-4
    )


def test_worse_scores_and_blunter_peaks_are_less_certain():
    swept, centers = flat()
    usual = middle(surface_sigma(swept, centers))
    assert 0.01 * FOOTPRINT < usual < 0.2 * FOOTPRINT
    for worse in ({"score": swept.score - 0.2}, {"curvature": 0.2 * swept.curvature}):
        assert middle(surface_sigma(replace(swept, **worse), centers)) > 1.2 * usual


def test_narrow_baselines_are_less_certain():
    """Views that differ by a degree slide by 1/60 of a move along the normal: 60 times the aim."""
    wide = middle(surface_sigma(*flat(n_views=2, spread_deg=15.0)))
    narrow = middle(surface_sigma(*flat(n_views=2, spread_deg=0.5)))
    aim = 0.03 * FOOTPRINT / (2 * np.tan(np.radians(0.5)) / np.sqrt(2))
    assert narrow == pytest.approx(aim, rel=0.05)
    assert wide < 0.2 * narrow


def test_sigma_grows_with_the_distance_from_what_was_measured():
    swept, centers = flat()
    distance = np.linalg.norm(swept.mesh.vertices[:, :2] - [6, 6], axis=1)
    hole = distance < 3
    swept = replace(
        swept, score=np.where(hole, -1, swept.score).astype(np.float32),
        curvature=np.where(hole, 0, swept.curvature).astype(np.float32),
    )  # fmt: skip
    sigma = surface_sigma(swept, centers)
    rings = [sigma[(distance >= r) & (distance < r + 0.5)].mean() for r in (0, 1, 2, 3.5, 5)]
    assert rings == sorted(rings, reverse=True)
    assert rings[0] > 3 * FOOTPRINT  # twelve footprints from firm ground
    assert rings[-1] < 0.2 * FOOTPRINT
    guessed = reliable(sigma, swept.seen.footprint, swept.mesh.faces) == 0
    assert guessed[distance < 2].all()
    assert not guessed[distance > 5].any()


def test_lone_matches_amid_what_matches_nothing_are_no_surface():
    """An eye: most of it is not matched, the glints in between agree perfectly."""
    swept, centers = flat()
    distance = np.linalg.norm(swept.mesh.vertices[:, :2] - [6, 6], axis=1)
    glint = np.arange(len(distance)) % 5 == 0
    eye = (distance < 3) & ~glint
    swept = replace(
        swept, score=np.where(eye, -1, swept.score).astype(np.float32),
        curvature=np.where(eye, 0, swept.curvature).astype(np.float32),
    )  # fmt: skip
    sigma = surface_sigma(swept, centers)
    matched = glint & (distance < 2)
    assert sigma[matched].min() > 0.5 * FOOTPRINT
    assert (reliable(sigma, swept.seen.footprint, swept.mesh.faces)[matched] == 0).all()
    assert (reliable(sigma, swept.seen.footprint, swept.mesh.faces)[distance > 5] == 1).all()


def test_a_displaced_view_makes_less_certain_what_it_sees():
    """One of three views, which weigh alike, at 30, 0 and -30 degrees: D of the outer one, 0.3."""
    swept, centers = flat()
    views = swept.seen.views.copy()
    left = swept.mesh.vertices[:, 0] < 6
    views[left, 0] = -1  # the displaced view does not see the left half
    halves = replace(swept, seen=replace(swept.seen, views=views))
    healthy = surface_sigma(halves, centers)
    displaced = surface_sigma(halves, centers, displaced_px=np.array([0.1, 0.0, 0.0]))
    np.testing.assert_array_equal(displaced[left], healthy[left])
    away = swept.mesh.vertices[:, 0] > 9
    tan = np.tan(np.radians(30.0))
    more = 0.1**2 * tan**2 / (2 * tan**2) ** 2 * FOOTPRINT**2  # D = (tan², 0, tan²)
    grown = displaced[away] ** 2 - healthy[away] ** 2
    assert grown == pytest.approx(np.full(away.sum(), more), rel=0.1)
    far_off = surface_sigma(halves, centers, displaced_px=np.array([5.0, 0.0, 0.0]))
    capped = surface_sigma(halves, centers, displaced_px=np.array([0.2, 0.0, 0.0]))
    np.testing.assert_array_equal(far_off, capped)


def test_nothing_measured_is_unknown_everywhere():
    swept, centers = flat()
    nothing = replace(swept, score=np.full_like(swept.score, -1), curvature=0 * swept.curvature)
    assert (surface_sigma(nothing, centers) > 10 * FOOTPRINT).all()


def test_a_crease_is_less_certain_than_the_flat():
    swept, centers = flat()
    vertices = swept.mesh.vertices.copy()
    vertices[:, 2] -= np.abs(vertices[:, 0] - 6.0)  # a ridge of 90 degrees
    folded = replace(swept, mesh=replace(swept.mesh, vertices=vertices))
    sigma = surface_sigma(folded, centers).reshape(N, N)[10:-10]
    assert sigma[:, 20].mean() > 5 * sigma[:, 10].mean()


def test_share_of_errors_within_sigma(ball):
    """On a swept ball errors stay below sigma, which a surface so round in pixels makes wide."""
    views = ball.views()
    swept = sweep_surface(ball.mesh(radius=1.003 * ball.radius, n_times=5), views, LAST)
    centers = np.array([view.camera.center for view in views])
    sigma = surface_sigma(swept, centers)
    error = np.linalg.norm(swept.mesh.vertices, axis=1) - ball.radius
    seen = swept.seen.n_views >= 3
    assert (np.abs(error) <= sigma)[seen].mean() > 0.55
    assert np.median(sigma[seen]) < 0.25 * ball.footprint
    assert np.median(sigma[~seen]) > 5 * np.median(sigma[seen])


def test_a_hole_is_marked_as_filled_and_a_lone_failure_is_not() -> None:
    side = 40
    i, j = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    corner = (i * side + j)[:-1, :-1].ravel()
    right, down = corner + 1, corner + side
    faces = np.concatenate(
        [np.stack([corner, right, down], 1), np.stack([right, down + 1, down], 1)]
    ).astype(np.int32)
    hole = (np.hypot(i - 28, j - 28) < 8).ravel()
    lone = np.zeros(side * side, bool)
    lone[10 * side + 10] = True
    marked = filled(~(hole | lone), faces) > 0
    assert not marked[lone].any()
    middle = (np.hypot(i - 28, j - 28) < 6).ravel()
    assert marked[middle].all()
    assert not marked[(np.hypot(i - 28, j - 28) > 10).ravel()].any()
