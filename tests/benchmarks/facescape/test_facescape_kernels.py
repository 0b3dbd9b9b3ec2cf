"""Laws of the renderer, the rays and the distances."""

import numpy as np
import pytest
import trimesh

from facekit.benchmarks.facescape.cylinder import (
    CylinderMesh,
    cylinder_mesh,
    exact_map,
    official_map,
)
from facekit.benchmarks.facescape.depth import (
    depth_shift,
    exact_orthographic_depth,
    exact_perspective_depth,
    orthographic_depth,
    perspective_depth,
)
from facekit.benchmarks.facescape.measures import chamfer

K = np.array([[1200.0, 0, 128], [0, 1200, 128], [0, 0, 1]])


def sphere(radius: float) -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.icosphere(subdivisions=5, radius=radius)
    return np.array(mesh.vertices), np.array(mesh.faces, np.int32)


def test_depth_of_a_sphere_is_its_front() -> None:
    vertices, faces = sphere(60.0)
    depth = orthographic_depth(vertices - [0, 0, 500], faces, pupil_scale=100.0)
    x = (np.arange(256) + 0.375 - 128) * 100 / 128  # the official sample, y down
    y = -(np.arange(256) + 0.875 - 128) * 100 / 128
    r = np.hypot(x[None], y[:, None])
    inside = r < 55
    truth = 500 - np.sqrt(np.maximum(60.0**2 - r**2, 0))
    # facets of 2 mm lie up to 0.02 mm below the sphere, more by its slope at the rim
    assert np.abs(depth / 1.28 - truth)[inside].max() < 0.06
    assert not depth[r > 60].any()
    centred = exact_orthographic_depth(vertices - [0, 0, 500], faces, pupil_scale=100.0)
    assert centred[127, 127] == pytest.approx(centred[128, 128], abs=0.02)


def test_lab_depth_comes_in_steps_and_exact_depth_does_not() -> None:
    vertices, faces = sphere(80.0)
    vertices = vertices + [0, 0, 1480]
    coarse, exact = (
        perspective_depth(vertices, faces, K=K), exact_perspective_depth(vertices, faces, K=K)
    )  # fmt: skip
    middle = np.s_[100:156, 100:156]
    assert len(np.unique(coarse[middle])) < 60 < 1000 < len(np.unique(exact[middle]))
    assert np.abs(coarse - exact)[middle].max() < 4  # a few steps of 1.2 mm


def test_back_faces_and_what_is_behind_are_not_drawn() -> None:
    vertices, faces = sphere(60.0)
    assert not orthographic_depth(vertices + [0, 0, 500], faces, pupil_scale=100.0).any()
    assert not perspective_depth(vertices - [0, 0, 500], faces, K=K).any()
    inner = orthographic_depth(vertices - [0, 0, 500], faces[:, ::-1], pupil_scale=100.0)
    assert inner.max() / 1.28 > 550  # the far side, seen from within


def test_triangles_that_share_edges_leave_no_gap(rng: np.random.Generator) -> None:
    n = 40
    x, y = np.meshgrid(np.linspace(-0.9, 0.9, n), np.linspace(-0.9, 0.9, n))
    jitter = rng.uniform(-0.01, 0.01, (2, n, n))
    vertices = np.stack([x + jitter[0], y + jitter[1], np.full_like(x, -2.0)], -1).reshape(-1, 3)
    cell = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).reshape(-1)
    faces = np.concatenate(
        [np.stack([cell, cell + 1, cell + n], 1), np.stack([cell + n + 1, cell + n, cell + 1], 1)]
    ).astype(np.int32)
    depth = orthographic_depth(vertices * 100, faces, pupil_scale=100.0)
    assert (depth[20:-20, 20:-20] != 0).all()


def test_triangles_are_cut_at_the_border_and_before_the_camera() -> None:
    # a floor that runs from behind the camera far ahead, wider than the image
    vertices = np.array([[-900.0, 80, -500], [900, 80, -500], [900, 80, 3000], [-900, 80, 3000]])
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    depth = perspective_depth(vertices, faces, K=K)
    assert not depth[:128].any()
    row = 255
    truth = 80 * 1200 / (row + 0.875 - 128)
    assert np.abs(depth[row] - truth).max() < 1.5  # a step
    assert (depth[162:] > 0).all()  # the floor ends at 3 m, 32 rows below the middle


def test_shift_is_the_median_of_differences(rng: np.random.Generator) -> None:
    truth = rng.uniform(900, 1000, (256, 256))
    prediction = truth - 300 + rng.normal(0, 5, truth.shape)
    overlap = rng.random(truth.shape) < 0.5
    shift = depth_shift(truth, prediction, overlap)
    assert shift == pytest.approx(np.median((truth - prediction)[overlap]), abs=1e-3)


def test_rays_meet_a_sphere_at_its_radius() -> None:
    vertices, faces = sphere(100.0)
    heights = np.linspace(150, -150, 256)[:, None]
    truth = np.sqrt(np.maximum(100.0**2 - heights**2, 0))
    near = np.abs(heights[:, 0]) < 90
    exact, official = exact_map(vertices, faces, outermost=True), official_map(vertices, faces)
    assert np.abs(exact.radius - truth)[near].max() < 0.1  # facets of 3 mm
    off = np.abs(official.radius - truth)[near]
    assert np.mean(off > 0.1) < 1e-3  # float32 lets a few rays slip through where faces meet
    for found in (official, exact):
        assert not found.radius[np.abs(heights[:, 0]) > 100].any()
    np.testing.assert_allclose(official.radius[:, 255], official.radius[:, 0], atol=1e-9)


def test_outermost_and_first_hits_differ_between_shells() -> None:
    outer, faces = sphere(100.0)
    both = np.concatenate([outer, outer * 0.6])
    all_faces = np.concatenate([faces, faces + len(outer)]).astype(np.int32)
    middle = np.s_[100:156]
    first = exact_map(both, all_faces, outermost=False)
    last = exact_map(both, all_faces, outermost=True)
    assert first.radius[middle].max() < 60.1 < 80 < last.radius[middle].min()
    official = official_map(both, all_faces)
    assert np.median(official.radius[middle] - last.radius[middle]) == pytest.approx(0, abs=1e-9)
    assert np.median(official.hits[middle]) == 2


def brute_force(source: CylinderMesh, target: CylinderMesh) -> np.ndarray:
    points = target.points.reshape(-1, 3)
    a, b, c = (points[target.faces[:, k]] for k in range(3))
    out = []
    for p in source.vertices:
        nearest = trimesh.triangles.closest_point(
            np.stack([a, b, c], 1), np.broadcast_to(p, a.shape)
        )
        out.append(np.linalg.norm(nearest - p, axis=1).min())
    return np.array(out)


@pytest.mark.parametrize("turn", [255, 256])
def test_distances_equal_those_to_every_triangle(turn: int, rng: np.random.Generator) -> None:
    maps = []
    for _ in range(2):
        radius = np.zeros((256, 256))
        # patches around the seam, in the middle, and a far one; rough, with holes
        for rows, columns in ((120, 250), (124, 0), (128, 126), (200, 60)):
            patch = rng.uniform(80, 90, (7, 6)) * (rng.random((7, 6)) > 0.1)
            radius[rows : rows + 7, columns : columns + 6] = patch
        maps.append(radius)
    maps[1][200:, 60:70] = 0
    a, b = (cylinder_mesh(radius, turn=turn) for radius in maps)
    found = chamfer(a, b, R=np.eye(3))
    # triangles of the seam have no width: trimesh's own distance to them is good to 1e-5
    np.testing.assert_allclose(found.gt_to_pred, brute_force(a, b), atol=1e-5)
    np.testing.assert_allclose(found.pred_to_gt, brute_force(b, a), atol=1e-5)


def test_distances_to_an_empty_surface_are_left_out() -> None:
    full = cylinder_mesh(np.full((256, 256), 80.0) * (np.arange(256) < 40)[:, None])
    empty = cylinder_mesh(np.zeros((256, 256)))
    assert np.isnan(chamfer(full, empty, R=np.eye(3)).mean)


def test_the_last_row_is_cut_not_fatal() -> None:
    radius = np.zeros((256, 256))
    radius[250:, 100:110] = 80.0
    radius[0, 100:111] = 80.0  # so that the last row is joined, with wrap-around
    mesh = cylinder_mesh(radius)
    assert mesh.beyond > 0
    assert mesh.faces.max() < 256 * 256
