"""Pictures at texels: the right place for every depth, and no weight where nothing is seen."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from facekit.core.geometry.closest import SurfaceQuery
from facekit.reconstruct.views.faceview import FaceView
from facekit.reconstruct.views.sampling import Pictures, ViewSampler

SIZE = 256


def _ramp(camera: Any, **changes: Any) -> FaceView:
    """Return a view whose red is x, whose green is y, as shares of the picture."""
    at = camera.pixel_centers() / [camera.width, camera.height]
    image = np.dstack([at, np.zeros(at.shape[:2])]).astype(np.float32)
    return FaceView(
        name=camera.name, image=image, camera=camera, landmarks=np.zeros((68, 2)), **changes
    )


def _sampler(skin: Any, views: list[FaceView], trust: list[float] | None = None) -> ViewSampler:
    cameras = [view.camera for view in views]
    return ViewSampler(
        skin.grid(SIZE), Pictures(views), cameras, skin.vertices[None],
        np.array(trust or [1.0] * len(views)),
    )  # fmt: skip


def test_a_texel_moved_along_its_normal_is_looked_up_where_it_is_projected(
    skin: Any, cameras: Any
) -> None:
    """Bilinear sampling of a ramp is the place itself; halving a picture keeps a ramp."""
    sampler = _sampler(skin, [_ramp(camera) for camera in cameras])
    rng = np.random.default_rng(0)
    for depth in (0.0, 1.5, rng.normal(0, 1, sampler.grid.inside.shape).astype(np.float32)):
        given = torch.from_numpy(depth) if isinstance(depth, np.ndarray) else depth
        colours, grey = sampler.colours(given), sampler.sample(given)
        by = depth[..., None] if isinstance(depth, np.ndarray) else depth
        points = sampler.grid.points[0] + by * sampler.grid.normals[0]
        for view, camera in enumerate(cameras):
            seen = sampler.weight[view, 0].numpy() > 0
            assert seen.mean() > 0.3
            size = np.array([camera.width, camera.height])
            found = colours[view, :2].permute(1, 2, 0).numpy() * size
            true, _ = camera.project(points)
            np.testing.assert_allclose(found[seen], true[seen], atol=0.01)
            # grey weighs red 0.3 and green 0.5
            expected = (true / size) @ [0.3, 0.5]
            np.testing.assert_allclose(grey[view, 0].numpy()[seen], expected[seen], atol=1e-4)


def test_what_is_hidden_or_turned_away_has_no_weight(skin: Any, aside: Any) -> None:
    sampler = _sampler(skin, [_ramp(aside)])
    grid, weight = sampler.grid, sampler.weight[0, 0].numpy()
    towards = aside.center - grid.points[0]
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    cosine = (towards * grid.normals[0]).sum(axis=-1)
    depth = SurfaceQuery(skin.vertices, skin.model.faces).depth(aside)
    xy, far = aside.project(grid.points[0])
    column, row = np.clip(xy.astype(int), 0, [aside.width - 1, aside.height - 1]).transpose(2, 0, 1)
    behind = grid.inside & (far > depth[row, column] + 8)
    assert (behind & (cosine > 0.3)).sum() > 20  # faces the camera, with the nose between
    assert weight[behind].max() == 0
    assert weight[grid.inside & (cosine < 0.2)].max() == 0
    assert weight[~grid.inside].max() == 0
    # elsewhere it is the cosine, or what is least of it beside
    seen = weight > 0
    assert (weight[seen] <= cosine[seen] + 1e-5).all()
    assert np.median(cosine[seen] - weight[seen]) < 0.05


def test_masks_trust_and_the_pictures_edge(skin: Any, cameras: Any) -> None:
    front = cameras[2]
    left = np.zeros((front.height, front.width), np.float32)
    left[:, : front.width // 2] = 1
    views = [
        _ramp(front),
        _ramp(replace(front, name="masked"), mask=left),
        _ramp(front.cropped(0, 0, width=front.width // 2, height=front.height)),
    ]
    weight = _sampler(skin, views, [0.5, 1.0, 1.0]).weight[:, 0].numpy()
    alone = _sampler(skin, views[:1]).weight[0, 0].numpy()
    np.testing.assert_allclose(weight[0], 0.5 * alone)
    x, _ = front.project(skin.grid(SIZE).points[0])
    beyond = x[..., 0] > front.width / 2
    for half in weight[1:]:
        assert half[beyond].max() == 0
        clear = x[..., 0] < front.width / 2 - 5  # weights are taken from a texel's neighbours, too
        np.testing.assert_allclose(half[clear], alone[clear])


def test_texels_of_one_view_are_seen_once(skin: Any, cameras: Any) -> None:
    one = _sampler(skin, [_ramp(cameras[2])])
    assert not one.seen_twice.any()
    two = _sampler(skin, [_ramp(camera) for camera in cameras[1:3]])
    both = (two.weight > 0).all(dim=0)[0]
    torch.testing.assert_close(two.seen_twice, both)
    assert both.float().mean() > 0.2


def test_coarse_texels_see_what_they_can_resolve(skin: Any, cameras: Any) -> None:
    """Stripes of two pixels are grey to texels of several pixels, not a random stripe."""
    front = replace(cameras[2], K=cameras[2].scaled(1440, 1600).K, width=1440, height=1600)
    stripes = np.indices((front.height, front.width))[1] % 4 < 2
    image = np.repeat(stripes[..., None], 3, axis=2).astype(np.float32)
    view = FaceView(name="stripes", image=image, camera=front, landmarks=np.zeros((68, 2)))
    sampler = _sampler(skin, [view])  # 1.4 mm at 6.7 px a mm
    seen = sampler.weight[0, 0] > 0
    assert sampler.sample(0.0)[0, 0][seen].numpy() == pytest.approx(0.5, abs=1e-5)
