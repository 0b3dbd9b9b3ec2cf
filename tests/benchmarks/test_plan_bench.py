"""Rig plans against meshes: the measuring itself, and (slowly) whether a plan comes true."""

from pathlib import Path

import numpy as np
import pytest

from facekit.benchmarks.mesh_accuracy import MAX_INCIDENCE_DEG
from facekit.benchmarks.plan_bench import PlanBenchConfig, bench_plan, owner_of_faces
from facekit.core.facemodel.procedural import procedural_head
from facekit.dataset.plan.heads import USABLE_DEG
from facekit.dataset.plan.regions import region_of_vertices


def test_plan_and_benchmark_mean_the_same_by_seen() -> None:
    assert USABLE_DEG == MAX_INCIDENCE_DEG


def test_a_face_belongs_to_what_most_of_its_corners_belong_to() -> None:
    model = procedural_head()
    corners = region_of_vertices(model)[model.faces]
    owner = owner_of_faces(model)
    votes = (corners == owner[:, None]).sum(axis=1)
    split = np.array([len(set(row)) == 3 for row in corners])
    assert (votes[~split] >= 2).all() and (votes >= 1).all()


@pytest.mark.slow
def test_the_plan_of_the_smallest_rig_comes_true(tmp_path: Path) -> None:
    result = bench_plan(PlanBenchConfig(layouts=("pair",), people=1), tmp_path)
    assert result["n"] >= 6
    assert result["misses"] == []
