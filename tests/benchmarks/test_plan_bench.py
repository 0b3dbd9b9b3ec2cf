"""Rig plans against meshes: the measuring itself, and (slowly) whether a plan comes true."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks.mesh_accuracy import MAX_INCIDENCE_DEG
from facekit.benchmarks.plan_bench import PlanBenchConfig, bench_plan
from facekit.benchmarks.plan_bench_measure import (
    best_pixel,
    measured_parts,
    owner_of_faces,
    reflectance_of,
)
from facekit.capture.virtual.studio import StudioConfig, make_session
from facekit.capture.virtual.truth import load_truth
from facekit.core.facemodel.procedural import procedural_head
from facekit.core.geometry.camera import Rig
from facekit.core.geometry.mesh import Mesh, vertex_normals
from facekit.dataset.plan.heads import USABLE_DEG
from facekit.dataset.plan.regions import Region, region_of_vertices


def test_plan_and_benchmark_mean_the_same_by_seen() -> None:
    assert USABLE_DEG == MAX_INCIDENCE_DEG


def test_a_face_belongs_to_what_most_of_its_corners_belong_to() -> None:
    model = procedural_head()
    corners = region_of_vertices(model)[model.faces]
    owner = owner_of_faces(model)
    votes = (corners == owner[:, None]).sum(axis=1)
    split = np.array([len(set(row)) == 3 for row in corners])
    assert (votes[~split] >= 2).all() and (votes >= 1).all()


def test_a_pixel_is_as_large_as_the_nearest_camera_that_faces_it_makes_it(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig("a", "b", "c")
    point, up = np.array([[0.0, 0, 90]]), np.array([[0.0, 0, 1]])
    # 910 mm before the middle camera; the others stand at 22 degrees, 1077 mm from the middle
    depth = min(camera.project(point)[1][0] for camera in rig)
    assert best_pixel(rig, point, up)[0] == pytest.approx(depth / 330)
    assert depth == pytest.approx(910)
    assert np.isinf(best_pixel(rig, point, -up)[0])


@pytest.mark.slow
def test_parts_of_a_scan_are_told_as_they_were_made(tmp_path: Path) -> None:
    make_session(
        StudioConfig(layout="nine", megapixels=0.05, n_board_poses=0, truth_maps=False), tmp_path
    )
    truth = load_truth(tmp_path)
    true = truth.mesh("neutral")
    off = true.vertices + 0.1 * vertex_normals(true.vertices, true.faces)
    left = off[:, 0] > 0
    views = np.where(left, 3, 1).astype(np.float32)
    scan = Mesh(vertices=off, faces=true.faces, attributes={"n_views": views})
    found = measured_parts(scan, truth)
    nose = found[Region.NOSE]
    assert nose.sigma_mm == pytest.approx(0.1, rel=0.05)
    assert nose.seen_by_two == pytest.approx(0.5, abs=0.1)  # the other half one camera measured
    assert 0.5 < reflectance_of(truth) / 0.38 < 1.1


@pytest.mark.slow
def test_the_plan_of_the_smallest_rig_comes_true(tmp_path: Path) -> None:
    result = bench_plan(PlanBenchConfig(layouts=("pair",), people=1), tmp_path)
    assert result["n"] >= 6
    assert result["misses"] == []
