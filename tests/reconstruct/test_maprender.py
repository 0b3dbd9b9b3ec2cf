"""The face drawn from a map: the right way up, the right way round, nothing bleeds."""

import pytest
import torch

from facekit.reconstruct.facetensors import FaceTensors
from facekit.reconstruct.maprender import draw, texture_uv
from facekit.reconstruct.pose import HrnCamera

CAMERA = HrnCamera()


def test_the_right_way_up_and_round(bfm_face: FaceTensors) -> None:
    """Colour = position: in the image it grows as the camera sees it."""
    place = bfm_face.to_uv(bfm_face.mean[None] + 1, 256)
    drawn = draw(bfm_face, bfm_face.mean[None], place, CAMERA)
    seen = drawn.mask[0, 0] > 0
    row, col = torch.nonzero(seen, as_tuple=True)
    x, y, z = (drawn.image[0, c][seen] - 1 for c in range(3))
    depth = 10 - z
    across = (1015 * x / depth + 112 - (col + 0.5)).abs()
    down = (112 - 1015 * y / depth - (row + 0.5)).abs()
    assert across.quantile(0.99) < 0.1 and down.quantile(0.99) < 0.1  # else: the chart's edges
    assert (drawn.image[0][:, ~seen] == 0).all()


def test_background_does_not_bleed_into_the_edges(head_face: FaceTensors) -> None:
    white = head_face.chart_mask(64).expand(1, 3, 64, 64)
    drawn = draw(head_face, head_face.mean[None], white, CAMERA)
    seen = drawn.mask[0, 0] > 0
    inner = drawn.image[0, 0][seen]
    assert (inner > 0.999).float().mean() > 0.99  # else: a few texels no texel centre lies near
    released = draw(head_face, head_face.mean[None], white, CAMERA, compat=True)
    assert (released.image[0, 0][seen] > 0.999).float().mean() < 0.97


def test_eyes_hide_but_are_not_drawn(head_face: FaceTensors) -> None:
    white = torch.ones(1, 1, 64, 64)
    drawn = draw(head_face, head_face.mean[None], white, CAMERA)
    with_eyes = draw(head_face, head_face.mean[None], white, CAMERA, compat=True)
    eyeball = torch.tensor(head_face.model.weights["iris"]) > 0.9
    at = CAMERA.pixels(head_face.mean[eyeball]).long()
    assert not drawn.mask[0, 0][at[:, 1], at[:, 0]].any()
    assert with_eyes.mask[0, 0][at[:, 1], at[:, 0]].all()


def test_each_face_of_a_batch_has_its_own_map(bfm_face: FaceTensors) -> None:
    maps = torch.rand(2, 3, 64, 64)
    points = torch.stack([bfm_face.mean, bfm_face.mean + torch.tensor([0.1, 0.05, 0.2])])
    together = draw(bfm_face, points, maps, CAMERA)
    for b in range(2):
        alone = draw(bfm_face, points[b : b + 1], maps[b : b + 1], CAMERA)
        torch.testing.assert_close(together.image[b], alone.image[0])
        torch.testing.assert_close(together.mask[b], alone.mask[0])


def test_texture_rows_count_from_the_bottom_for_rasterisers() -> None:
    uv = torch.tensor([[0.2, 1.0], [0.5, 0.25]])
    torch.testing.assert_close(texture_uv(uv), torch.tensor([[0.2, 0.0], [0.5, 0.75]]))


def test_gradient_of_the_map_is_how_often_it_is_seen(bfm_face: FaceTensors) -> None:
    maps = torch.rand(1, 1, 64, 64, requires_grad=True)
    drawn = draw(bfm_face, bfm_face.mean[None], maps, CAMERA)
    drawn.image.sum().backward()
    assert maps.grad is not None
    assert float(maps.grad.sum()) == pytest.approx(float(drawn.mask.sum()), rel=0.02)
    assert not (maps.grad * (1 - bfm_face.chart_mask(64))).any()
