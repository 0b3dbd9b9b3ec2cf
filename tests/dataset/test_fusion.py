"""Confirmed depth maps become one oriented cloud."""

import numpy as np
import pytest

from facekit.core.errors import EstimationError
from facekit.dataset.fusion import fuse
from facekit.dataset.stereo.consistency import CheckedDepth


def exact_depth(ball, view, *, confidence=0.8):
    """Return a view's true depth and normals as if stereo had confirmed them."""
    camera = view.camera
    depth = ball.depth(camera)
    points = camera.center + depth[..., None] * camera.unproject(camera.pixel_centers())
    known = np.isfinite(depth)
    return CheckedDepth(
        depth=depth.astype(np.float32),
        normal=np.nan_to_num(points / ball.radius).astype(np.float32),
        confidence=np.where(known, confidence, 0).astype(np.float32),
        n_confirming=np.where(known, 2, 0).astype(np.int32),
    )


@pytest.fixture(scope="module")
def cloud(ball):
    views = ball.views()
    return fuse(views, [exact_depth(ball, view) for view in views])


def test_points_lie_on_the_surface(ball, cloud):
    distance = np.linalg.norm(cloud.points, axis=1)
    np.testing.assert_allclose(distance, ball.radius, atol=1e-5)  # float32 depth of 2 units


def test_normals_point_out_of_the_surface_and_to_a_camera(ball, cloud):
    assert ((cloud.normals * cloud.points).sum(axis=1) > 0).all()
    towards = ball.rig.centers[None] - cloud.points[:, None]
    assert ((towards * cloud.normals[:, None]).sum(-1).max(axis=1) > 0).all()


def test_grazing_views_count_less(ball):
    view = ball.views()[2]
    alone = fuse([view], [exact_depth(ball, view, confidence=1.0)])
    away = view.camera.center - alone.points
    cosine = (away * alone.normals).sum(1) / np.linalg.norm(away, axis=1)
    np.testing.assert_allclose(alone.confidence, cosine, atol=1e-4)


def test_rim_of_the_mask_is_left_out(ball):
    view = ball.views()[2]
    alone = fuse([view], [exact_depth(ball, view)])
    xy, _ = view.camera.project(alone.points)
    off = np.hypot(*(xy - [74.3, 78.3]).T)
    rim = np.hypot(*(view.camera.pixel_centers()[view.mask] - [74.3, 78.3]).T).max()
    assert off.max() < rim - 1.5


def test_lone_points_go(ball):
    view = ball.views()[2]
    found = exact_depth(ball, view)
    found.depth[80, 72] -= 0.3
    cloud = fuse([view], [found])
    assert np.linalg.norm(cloud.points, axis=1).max() < ball.radius + 1e-4


def test_hardly_any_point_is_an_error(ball):
    view = ball.views()[2]
    found = exact_depth(ball, view)
    found.depth[:] = np.nan
    with pytest.raises(EstimationError, match="confirmed only 0 points"):
        fuse([view], [found])
