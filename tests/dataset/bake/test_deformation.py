"""The deformation map gives the registration's offsets back, in both conventions of sampling."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from facekit.core.facemodel.model import FaceModel
from facekit.core.facemodel.procedural import procedural_head
from facekit.dataset.bake.chart import chart, covered_faces
from facekit.dataset.bake.deformation import (
    bake_deformation,
    hrn_deformation,
    sample_hrn,
    shape_from_map,
)
from facekit.dataset.bake.maps import Maps
from facekit.dataset.register.registered import Registered


def waves(model: FaceModel) -> np.ndarray:
    """Offsets of 1.5 mm with waves of some 8 cm, what a morphable fit leaves."""
    return 1.5 * np.sin(model.mean[:, [1, 2, 0]] / 13)


def maps_of(registered: Registered, size: int) -> Maps:
    baked = bake_deformation(registered, size, sigma_mm=np.ones(registered.model.n_vertices))
    none, nothing = np.zeros((0, 0), np.float32), np.zeros((0, 0, 3), np.float32)
    return Maps(
        deformation=baked.offset, deformation_valid=baked.valid, deformation_sigma=baked.sigma,
        displacement=none, sigma=none, valid=none > 0, normal=nothing, tangent_normal=nothing,
        albedo=nothing, albedo_valid=none > 0,
    )  # fmt: skip


def test_sampled_back_the_offsets_return(registered_on: Callable[..., Registered]) -> None:
    model = procedural_head()
    registered = registered_on(model, offset=waves(model))
    baked = bake_deformation(registered, 256, sigma_mm=np.full(model.n_vertices, 0.1))
    in_chart = np.unique(model.faces[covered_faces(model)])
    error = np.linalg.norm(shape_from_map(registered, baked.offset) - registered.shape(), axis=1)
    # a texel is 1.4 mm: only where several vertices share one, and at seams, is anything left
    assert np.sqrt((error[in_chart] ** 2).mean()) < 0.01
    assert error.max() < 0.2
    assert np.abs(baked.offset).max() < 2.2  # nothing swings beyond the offsets' own 1.5 mm
    np.testing.assert_allclose(baked.sigma[chart(model, 256).inside], 0.1, rtol=1e-5)


def test_off_the_chart_the_registration_stays(registered_on: Callable[..., Registered]) -> None:
    model = procedural_head()
    registered = registered_on(model, offset=waves(model))
    baked = bake_deformation(registered, 64, sigma_mm=np.ones(model.n_vertices))
    outside = np.setdiff1d(np.arange(model.n_vertices), model.faces[covered_faces(model)])
    assert len(outside)
    moved = shape_from_map(registered, baked.offset)
    np.testing.assert_array_equal(moved[outside], registered.shape()[outside])


def test_a_constant_offset_is_exact_up_to_the_border(
    registered_on: Callable[..., Registered], patch: FaceModel
) -> None:
    registered = registered_on(patch, offset=np.full((patch.n_vertices, 3), [1.0, -2.0, 0.5]))
    baked = bake_deformation(registered, 16, sigma_mm=np.ones(patch.n_vertices))
    np.testing.assert_allclose(shape_from_map(registered, baked.offset), registered.shape())


def test_valid_is_what_rests_on_the_scan(
    registered_on: Callable[..., Registered], patch: FaceModel
) -> None:
    support = (patch.mean[:, 0] > 0).astype(np.float32)
    baked = bake_deformation(
        registered_on(patch, support=support), 64, sigma_mm=np.ones(patch.n_vertices)
    )
    assert baked.valid[32, 40:56].all()
    assert not baked.valid[32, :28].any()
    assert not baked.valid[:6].any()


def test_hrn_sampler_is_half_a_texel_aside() -> None:
    # column = size u, row = size (1 - v): the sample at u = 0.5, v = 0.25 is texel (6, 4) itself
    ramp = np.arange(64, dtype=np.float32).reshape(8, 8, 1)
    assert sample_hrn(ramp, np.array([[0.5, 0.25]]))[0, 0] == 6 * 8 + 4
    assert sample_hrn(ramp, np.array([[0.5625, 0.25]]))[0, 0] == 6 * 8 + 4.5
    assert sample_hrn(ramp, np.array([[1.0, 0.0]]))[0, 0] == 63  # clamped


@pytest.mark.parametrize("size", [64, 256])
def test_hrn_form_samples_to_the_same_offsets(
    registered_on: Callable[..., Registered], size: int
) -> None:
    model = replace(procedural_head(), unit_mm=100.0)
    registered = registered_on(model, offset=waves(model))
    maps = maps_of(registered, 256)
    sampled = sample_hrn(hrn_deformation(maps, model, size=size), model.uv) * 100.0
    ours = shape_from_map(registered, maps.deformation) - registered.coarse()
    on_seams = np.zeros(len(model.uv), bool)
    faces = covered_faces(model)
    rows, vertices = model.faces_uv[faces].ravel(), model.faces[faces].ravel()
    pairs = np.unique(np.stack([rows, vertices], 1), axis=0)
    on_seams[pairs[np.bincount(pairs[:, 1])[pairs[:, 1]] > 1, 0]] = True
    error = np.linalg.norm(sampled[rows] - ours[vertices], axis=1)[~on_seams[rows]]
    assert np.median(error) < (0.05 if size == 64 else 0.005)
