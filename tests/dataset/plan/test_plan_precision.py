"""The foretold sigma: laws of geometry and optics, without any head."""

import numpy as np
import pytest

from facekit.core.arrays import Floats
from facekit.core.geometry.camera import Camera, Rig
from facekit.core.geometry.closest import SurfaceQuery
from facekit.core.geometry.mesh import vertex_normals
from facekit.core.geometry.transform import look_at
from facekit.dataset.plan.precision import (
    NOISE_PX,
    curvature_of,
    defocus_px,
    diffraction_px,
    sigma_mm,
    within_68,
)
from facekit.dataset.plan.sight import best_views, footprint_of, sight_of

_PLATE = np.array([[-40.0, -40, 0], [40, -40, 0], [40, 40, 0], [-40, 40, 0], [0, 0, 0]])
_FACES = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]], np.int32)
_UP = np.array([[0.0, 0, 1]])


def _camera(yaw_deg: float, *, distance: float = 1000.0, focal_px: float = 4000.0) -> Camera:
    yaw = np.radians(yaw_deg)
    center = distance * np.array([np.sin(yaw), 0, np.cos(yaw)])
    K = np.array([[focal_px, 0, 500], [0, focal_px, 500], [0, 0, 1]])
    return Camera(
        name=f"c{yaw_deg:g}", width=1000, height=1000, K=K,
        cam_from_world=look_at(center, np.zeros(3)),
    )  # fmt: skip


def _sigma(
    yaws: tuple[float, ...], *, curvature: float = 0.0, blur: float = 0.0,
    distance: float = 1000.0, dimness: float = 1.0,
) -> float:  # fmt: skip
    rig = Rig(cameras=tuple(_camera(yaw, distance=distance) for yaw in yaws))
    sight = sight_of(rig, np.zeros((1, 3)), _UP, SurfaceQuery(_PLATE, _FACES))
    chosen = best_views(sight)
    found = sigma_mm(
        sight, chosen, footprint_of(sight, chosen),
        curvature=np.array([curvature]), blur_px=np.full((len(rig), 1), blur),
        roughness=np.ones(1), dimness=np.full(1, dimness),
    )  # fmt: skip
    return float(found[0])


def test_two_views_triangulate_by_the_sine_of_their_angle() -> None:
    # w = cos², t = ±tan: sum of w |t - mean|² is 2 sin²; what skin adds goes by 1 / cos
    pixel = 1000 / 4000

    def noise(angle: float) -> float:
        return NOISE_PX * pixel / (np.sqrt(2) * np.sin(np.radians(angle)))

    squares = {angle: _sigma((-angle, angle)) ** 2 for angle in (5.0, 10.0)}
    skin = {angle: squares[angle] - noise(angle) ** 2 for angle in squares}
    assert min(skin.values()) > 0
    cosines = np.cos(np.radians([5.0, 10.0]))
    assert skin[10.0] / skin[5.0] == pytest.approx((cosines[0] / cosines[1]) ** 2, rel=1e-3)


def test_one_view_knows_no_depth() -> None:
    assert np.isnan(_sigma((10.0,)))
    assert np.isnan(_sigma((10.0, 170.0)))  # the second looks at the back


def test_more_cameras_a_finer_pixel_and_flatness_help_and_blur_does_not() -> None:
    base = _sigma((-12.0, 12.0))
    assert _sigma((-24.0, -12.0, 12.0, 24.0)) < base
    assert _sigma((-12.0, 12.0), distance=2000.0) > 1.4 * base
    assert _sigma((-12.0, 12.0), curvature=0.3) > base
    assert _sigma((-12.0, 12.0), blur=1.0) > 1.2 * base
    assert _sigma((-12.0, 12.0), dimness=4.0) == pytest.approx(2 * base)


def test_a_wall_hides_what_lies_behind_it() -> None:
    wall = np.array([[5.0, -60, 5], [5, 60, 5], [5, 60, 300], [5, -60, 300]])
    both = np.concatenate([_PLATE, wall])
    faces = np.concatenate([_FACES, np.array([[5, 6, 7], [5, 7, 8]], np.int32)])
    rig = Rig(cameras=(_camera(-20.0), _camera(20.0)))
    sight = sight_of(rig, np.zeros((1, 3)), _UP, SurfaceQuery(both, faces))
    assert sight.seen[:, 0].tolist() == [True, False]
    assert sight.in_frame.all()


def test_curvature_of_a_ball_is_one_over_its_radius() -> None:
    vertices, faces = _ball(25.0)
    curvature = curvature_of(vertices, faces, vertex_normals(vertices, faces))
    assert np.median(curvature) == pytest.approx(1 / 25, rel=0.02)


def _ball(radius: float) -> tuple[Floats, np.ndarray]:  # type: ignore[type-arg]
    n = 48
    u, v = np.meshgrid(np.linspace(0.15, np.pi - 0.15, n), np.arange(2 * n) * np.pi / n)
    points = np.stack([np.sin(u) * np.cos(v), np.sin(u) * np.sin(v), np.cos(u)], -1)
    index = np.arange(points.size // 3).reshape(2 * n, n)
    a, b = index[:, :-1], index[:, 1:]
    c, d = np.roll(b, -1, axis=0), np.roll(a, -1, axis=0)
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    return radius * points.reshape(-1, 3), faces.astype(np.int32)


def test_68_percent_of_a_mixture(rng: np.random.Generator) -> None:
    assert within_68(np.full(3, 0.02), np.ones(3)) == pytest.approx(0.02)
    sigma, area = np.array([0.01, 0.05, np.nan]), np.array([3.0, 1.0, 100.0])
    drawn = rng.standard_normal(400_000) * rng.choice([0.01, 0.05], 400_000, p=[0.75, 0.25])
    assert within_68(sigma, area) == pytest.approx(np.percentile(np.abs(drawn), 68.27), rel=0.01)
    assert np.isnan(within_68(np.array([np.nan]), np.ones(1)))


def test_defocus_is_that_of_rays_through_the_pupil() -> None:
    # A ray from the pupil's rim, bent to meet the axis ray of the focused plane, marches on;
    # uniform over the disc it leaves, the deviation along an axis is half its radius.
    focus, depth, radius, focal = 900.0, 1000.0, 4.0, 3000.0
    miss_mm = radius * (depth / focus - 1)  # at the depth looked at
    expected = focal * miss_mm / depth / 2
    found = defocus_px(np.array([depth, focus]), focus_mm=focus, radius_mm=radius, focal_px=focal)
    assert found == pytest.approx([expected, 0.0])


def test_diffraction_of_f22_is_a_few_microns() -> None:
    # the Airy disc's first zero is at 1.22 lambda N = 14.8 um; its core's deviation is 0.34 of it
    found = diffraction_px(aperture=22, focal_mm=85, focus_mm=1e9, pixel_mm=1e-3)
    assert found == pytest.approx(5.1, rel=0.02)
