"""A depth stays when another view's depth leads to the same place."""

import numpy as np
import pytest

from facekit.dataset.stereo.consistency import check_consistency
from facekit.dataset.stereo.patchmatch import DepthMap


@pytest.fixture
def exact(ball):
    """Give views and their true depth maps."""
    views = ball.views()
    maps = []
    for view in views:
        depth = ball.depth(view.camera).astype(np.float32)
        normal = np.zeros((*depth.shape, 3), np.float32)
        normal[..., 2] = -1
        cost = np.where(np.isfinite(depth), 0.05, 2).astype(np.float32)
        maps.append(DepthMap(depth=depth, normal=normal, cost=cost))
    return views, maps


def test_true_depths_confirm_one_another(ball, exact):
    views, maps = exact
    sources = np.array([1, 3], np.int32)
    checked = check_consistency(views, maps, 2, sources)
    facing = ball.depth(views[2].camera) < 2.0 - 0.7 * ball.radius  # what both neighbours see too
    assert np.isfinite(checked.depth[facing]).mean() > 0.99
    assert (checked.n_confirming[facing] == 2).mean() > 0.9
    np.testing.assert_allclose(checked.confidence[facing].max(), 0.95, atol=1e-6)


def test_a_wrong_depth_goes(exact):
    views, maps = exact
    depth = maps[2].depth.copy()
    depth[70:90, 60:80] *= 1.05
    maps[2] = DepthMap(depth=depth, normal=maps[2].normal, cost=maps[2].cost)
    checked = check_consistency(views, maps, 2, np.array([1, 3], np.int32))
    assert np.isnan(checked.depth[70:90, 60:80]).all()
    assert (checked.confidence[70:90, 60:80] == 0).all()


def test_two_confirmations_can_be_asked_for(exact):
    views, maps = exact
    blind = DepthMap(
        depth=np.full_like(maps[3].depth, np.nan), normal=maps[3].normal, cost=maps[3].cost
    )
    maps[3] = blind
    sources = np.array([1, 3], np.int32)
    assert np.isfinite(check_consistency(views, maps, 2, sources).depth).any()
    assert np.isnan(check_consistency(views, maps, 2, sources, least_views=2).depth).all()


def test_normals_turn_into_the_world(exact):
    views, maps = exact
    checked = check_consistency(views, maps, 0, np.array([1], np.int32))
    towards = -views[0].camera.view_direction
    np.testing.assert_allclose(checked.normal[80, 72], towards, atol=1e-6)
