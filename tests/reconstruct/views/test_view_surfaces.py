"""The face as views know it: laid where they agree, without the view that contradicts them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facekit.core.geometry.camera import Camera
from facekit.core.geometry.mesh import vertex_normals
from facekit.reconstruct.views.coarse import CoarseHead
from facekit.reconstruct.views.consistency import ConsistencyWeights
from facekit.reconstruct.views.faceview import FaceViews
from facekit.reconstruct.views.surfaces import Surfaces
from facekit.reconstruct.views.sweep import SweepLevel

LEVEL = SweepLevel(size=256, reach_mm=1.6, step_mm=0.2, window=7, smooth=1.5, soft_mm=1.5)
NEXT = replace(LEVEL, soft_mm=1.0)
ALL = ConsistencyWeights()


def _surfaces(
    skin: Any,
    views: FaceViews,
    cameras: Sequence[Camera],
    consistency: ConsistencyWeights = ALL,
    expressions: np.ndarray | None = None,
) -> Surfaces:
    """Return the mean face, 0.8 mm below the skin, in cameras as given."""
    head = CoarseHead(
        coefficients=np.zeros(len(skin.laid_out.modes)), expressions=expressions,
        cameras=tuple(cameras), world_from_head=None, weight=np.ones(len(cameras)),
    )  # fmt: skip
    return Surfaces(views, skin.model, skin.laid_out, head, consistency)


def _turned(cameras: Sequence[Camera], view: int, deg: float) -> list[Camera]:
    turn = Rotation.from_euler("y", deg, degrees=True).as_matrix()
    moved = replace(cameras[view], cam_from_world=turn @ cameras[view].cam_from_world)
    return [*cameras[:view], moved, *cameras[view + 1 :]]


def test_the_surface_is_laid_on_the_skin(skin: Any, skin_views: FaceViews, cameras: Any) -> None:
    surfaces = _surfaces(skin, skin_views, cameras)
    np.testing.assert_allclose(surfaces.vertices[0], skin.vertices, atol=1e-4)
    before = surfaces.losses(LEVEL.size)
    for level in (LEVEL, NEXT):
        surfaces.lay(level)
    after = surfaces.losses(LEVEL.size)
    assert set(before) == {"photo", "gradient", "ncc"}
    for name, loss in after.items():
        assert loss < 0.7 * before[name]
    assert not surfaces.remarks
    assert surfaces.weight.tolist() == [1.0] * len(cameras)
    known = surfaces.measured > 0.99
    assert known.sum() > 0.5 * skin.region.sum()
    rise = (surfaces.vertices[0] - skin.vertices) * vertex_normals(skin.vertices, skin.model.faces)
    assert np.median(rise.sum(axis=1)[known]) == pytest.approx(0.8, abs=0.05)


def test_the_map_and_the_coefficients_share_what_was_measured(
    skin: Any, skin_views: FaceViews, cameras: Any
) -> None:
    surfaces = _surfaces(skin, skin_views, cameras)
    surfaces.lay(LEVEL)
    laid = surfaces.vertices[0].copy()
    coarse, deformation = surfaces.split(128)
    mid = surfaces.vertices[0]
    assert deformation.shape == (128, 128, 3)
    region = skin.region
    # the surface stays but for what texels of 3 mm cannot carry, whatever the coefficients are
    assert np.median(np.linalg.norm(mid - laid, axis=1)[region]) < 0.01
    # and the model explains some of it: less is left for the map
    left = np.linalg.norm(mid - coarse, axis=1)[region]
    assert np.median(left) < np.median(np.linalg.norm(laid - skin.vertices, axis=1)[region])


def test_a_camera_that_has_turned_is_named(skin: Any, skin_views: FaceViews, cameras: Any) -> None:
    turned = _turned(cameras, 3, 0.1)
    surfaces = _surfaces(skin, skin_views, turned)
    surfaces.lay(LEVEL)
    name = skin_views.views[3].name
    assert list(surfaces.remarks) == [name]
    assert "has its camera moved" in surfaces.remarks[name]
    assert surfaces.weight[3] < 0.3
    assert surfaces.weight[[0, 1, 2, 4]].tolist() == [1.0] * 4
    trusting = _surfaces(skin, skin_views, turned, replace(ALL, agreement=0.0))
    trusting.lay(LEVEL)
    assert not trusting.remarks
    # two views differ, too, and none knows which of them is wrong
    two = replace(skin_views, views=skin_views.views[2:4])
    pair = _surfaces(skin, two, turned[2:4])
    pair.lay(LEVEL)
    assert not pair.remarks


def test_a_picture_of_something_else_is_named(
    skin: Any, skin_views: FaceViews, cameras: Any, rng: np.random.Generator
) -> None:
    """Its landmarks may be right: only the pictures tell."""
    other = replace(
        skin_views.views[1],
        image=rng.uniform(0.3, 0.7, skin_views.views[1].image.shape).astype(np.float32),
    )
    views = replace(skin_views, views=(skin_views.views[0], other, *skin_views.views[2:]))
    surfaces = _surfaces(skin, views, cameras)
    surfaces.lay(LEVEL)
    assert list(surfaces.remarks) == [other.name]
    assert "its picture agrees with the others' to" in surfaces.remarks[other.name]
    assert surfaces.weight.tolist() == [1, 0, 1, 1, 1]


def test_pictures_without_any_texture_are_no_reason_for_doubt(
    skin: Any, skin_views: FaceViews, cameras: Any
) -> None:
    plain = tuple(replace(v, image=np.full_like(v.image, 0.5)) for v in skin_views.views)
    surfaces = _surfaces(skin, replace(skin_views, views=plain), cameras)
    surfaces.lay(LEVEL)
    assert not surfaces.remarks
    np.testing.assert_allclose(surfaces.vertices[0], skin.vertices, atol=1e-3)


def test_expressions_of_views_move_together(skin: Any, skin_views: FaceViews, cameras: Any) -> None:
    """Each view shows its own surface; the depth between them is one."""
    n = len(skin.laid_out.modes) - skin.laid_out.n_identity
    own = np.zeros((len(cameras), n))
    own[1, 0] = 0.5
    surfaces = _surfaces(skin, skin_views, cameras, expressions=own)
    start = surfaces.vertices.copy()
    assert len(start) == 1 + len(cameras)
    assert len(surfaces.seen) == len(surfaces.grid(64).points) == len(cameras)
    assert np.abs(start[2] - start[0]).max() > 0.5
    surfaces.lay(LEVEL)
    rise = np.linalg.norm(surfaces.vertices - start, axis=2)[:, surfaces.measured > 0.999]
    np.testing.assert_allclose(rise[1:], np.broadcast_to(rise[0], rise[1:].shape), atol=0.02)
    gap = surfaces.vertices[2] - surfaces.vertices[0]
    surfaces.split(64)
    np.testing.assert_allclose(surfaces.vertices[2] - surfaces.vertices[0], gap, atol=1e-9)
