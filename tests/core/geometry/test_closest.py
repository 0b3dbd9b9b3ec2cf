"""Rays and closest points on a sphere, where both are known."""

import numpy as np
import pytest
import trimesh

from facekit.core.geometry.camera import Camera
from facekit.core.geometry.closest import SurfaceQuery
from facekit.core.geometry.transform import look_at

RADIUS = 80.0
SPHERE = trimesh.creation.icosphere(subdivisions=5, radius=RADIUS)
# the flat triangles lie within the sphere by at most edge² / (6 R): 0.014 mm here
SAG_MM = float(SPHERE.edges_unique_length.max() ** 2 / (6 * RADIUS))


@pytest.fixture(scope="module")
def query() -> SurfaceQuery:
    """Give a sphere of radius 80 mm."""
    return SurfaceQuery(SPHERE.vertices, SPHERE.faces.astype(np.int32))


def directions(rng: np.random.Generator, n: int) -> np.ndarray:
    d = rng.standard_normal((n, 3))
    return d / np.linalg.norm(d, axis=1, keepdims=True)


def test_rays_from_the_centre_meet_the_radius(
    query: SurfaceQuery, rng: np.random.Generator
) -> None:
    hits = query.cast(np.zeros(3), directions(rng, 500))
    assert hits.hit.all()
    assert np.abs(hits.distance - RADIUS).max() < SAG_MM + 1e-3


def test_a_hit_is_its_corners_weighted_by_uv(query: SurfaceQuery, rng: np.random.Generator) -> None:
    d = directions(rng, 200)
    hits = query.cast(np.zeros(3), d)
    a, b, c = np.moveaxis(SPHERE.vertices[SPHERE.faces[hits.face]], 1, 0)
    u, v = hits.uv.T[..., None]
    assert np.abs((1 - u - v) * a + u * b + v * c - hits.distance[:, None] * d).max() < 1e-3


def test_rays_that_miss_say_so(query: SurfaceQuery) -> None:
    hits = query.cast(np.array([0.0, 0, 200]), np.array([[0.0, 1, 0], [0, 0, 1]]))
    assert not hits.hit.any()
    assert np.isinf(hits.distance).all()


def test_closest_points_lie_on_the_line_to_the_centre(
    query: SurfaceQuery, rng: np.random.Generator
) -> None:
    points = directions(rng, 300) * rng.uniform(20, 200, (300, 1))
    near = query.closest(points)
    expected = np.abs(np.linalg.norm(points, axis=1) - RADIUS)
    assert np.abs(near.distance - expected).max() < SAG_MM + 1e-3


def test_depth_is_along_z_and_not_along_the_ray(query: SurfaceQuery) -> None:
    K = np.array([[100.0, 0, 30], [0, 100, 30], [0, 0, 1]])
    pose = look_at(np.array([0.0, 0, 300]), np.zeros(3))
    camera = Camera(name="a", width=60, height=60, K=K, cam_from_world=pose)
    depth = query.depth(camera)
    x, y = np.meshgrid(np.arange(60) + 0.5 - 30, np.arange(60) + 0.5 - 30)
    # |d (x/f, y/f, 1) - (0, 0, 300)| = R, the nearer root
    a = 1 + (x**2 + y**2) / 100**2
    inside = 300**2 - a * (300**2 - RADIUS**2)
    safe = inside > 300  # away from the rim, where the sag shifts the silhouette
    expected = (300 - np.sqrt(np.maximum(inside, 0))) / a
    assert safe.sum() > 500
    assert np.abs(depth[safe] - expected[safe]).max() < 0.1
    assert np.isnan(depth[0, 0])


def test_the_far_side_is_hidden(query: SurfaceQuery, rng: np.random.Generator) -> None:
    K = np.array([[100.0, 0, 30], [0, 100, 30], [0, 0, 1]])
    camera = Camera(name="a", width=60, height=60, K=K,
                    cam_from_world=look_at(np.array([0.0, 0, 1000]), np.zeros(3)))  # fmt: skip
    d = directions(rng, 400)
    facing = d[:, 2] - RADIUS / 1000
    clear = np.abs(facing) > 0.05
    seen = query.sees(camera, RADIUS * d)
    assert np.array_equal(seen[clear], facing[clear] > 0)
