"""Depth becomes vertices and maps."""

from typing import Any

import numpy as np
import pytest

from facekit.core.geometry.mesh import vertex_normals
from facekit.dataset.bake.deformation import OURS, Samples
from facekit.reconstruct.views.surface import face_region, measured_vertices, moved, with_map

SIZE = 256


def test_depth_moves_the_skin_along_its_normals(skin: Any) -> None:
    grid, normals = skin.grid(SIZE), vertex_normals(skin.vertices, skin.model.faces)
    still = moved(grid, skin.vertices, np.zeros(grid.inside.shape, np.float32), grid.inside)
    np.testing.assert_allclose(still, skin.vertices, atol=1e-9)
    raised = moved(grid, skin.vertices, np.ones(grid.inside.shape, np.float32), grid.inside)
    step = raised - skin.vertices
    on_grid = measured_vertices(grid, np.ones(grid.inside.shape, np.float32)) > 0.99
    assert on_grid.sum() > 0.8 * skin.region.sum()
    # where all of a vertex's texels are of the face: by the border's one per cent at most
    np.testing.assert_allclose(step[on_grid], normals[on_grid], atol=0.011)
    assert np.median(np.abs(step - normals)[on_grid]) < 1e-6
    # the rest follows its neighbours: nothing tears, the back of the head stays nearly where it is
    edges = np.concatenate([skin.model.faces[:, [0, 1]], skin.model.faces[:, [1, 2]]])
    apart = np.linalg.norm(step[edges[:, 0]] - step[edges[:, 1]], axis=1)
    assert np.quantile(apart, 0.999) < 1.0
    assert np.linalg.norm(step, axis=1).max() < 2.0
    eyes = skin.model.regions["eyes"]
    left = eyes & (skin.vertices[:, 0] > 0)
    between = np.linalg.norm(raised[left] - raised[left].mean(axis=0), axis=1)
    before = np.linalg.norm(skin.vertices[left] - skin.vertices[left].mean(axis=0), axis=1)
    np.testing.assert_allclose(between, before, atol=1e-3)  # an eye is rigid


def test_a_map_leads_from_the_coarse_surface_exactly_to_the_mid_one(
    skin: Any, rng: np.random.Generator
) -> None:
    waves = np.sin(skin.vertices / 15)
    target = skin.vertices + 2 * waves + rng.normal(0, 0.01, waves.shape)
    mid, deformation = with_map(skin.model, skin.vertices, target, 128)
    assert deformation.shape == (128, 128, 3)
    samples = Samples.of(skin.model, 128, place=OURS)
    sampled = samples.at_vertices @ deformation.reshape(-1, 3).astype(np.float64)
    on_map = samples.known
    np.testing.assert_array_equal(mid[on_map], (skin.vertices + sampled)[on_map])
    np.testing.assert_array_equal(mid[~on_map], target[~on_map])
    # of noise of vertices a map of 3 mm a texel carries most: they lie as far apart
    assert np.median(np.linalg.norm(mid - target, axis=1)[skin.region]) < 0.015


def test_a_vertex_is_measured_as_far_as_its_texels_are(skin: Any) -> None:
    grid = skin.grid(SIZE)
    share = (grid.points[0][..., 0] > 0).astype(np.float32)
    found = measured_vertices(grid, share)
    assert found.shape == (skin.model.n_vertices,)
    assert found.min() >= 0
    assert found.max() == pytest.approx(1)
    left, right = skin.region & (skin.vertices[:, 0] > 4), skin.region & (skin.vertices[:, 0] < -4)
    assert np.median(found[left]) == pytest.approx(1)
    assert found[right].max() == 0


def test_depth_is_looked_for_on_skin(skin: Any) -> None:
    model = skin.model
    found = face_region(model)
    assert found[model.landmarks68[27:36]].all()  # the nose
    for name in ("scalp", "ears"):
        assert model.weights[name][found].max() < 0.5
    assert not (found & model.regions["eyes"]).any()
    assert found.mean() < 0.5
