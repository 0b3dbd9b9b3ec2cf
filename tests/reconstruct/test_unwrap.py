"""A photograph in the chart: what is seen keeps its colour, what is hidden stays empty."""

from dataclasses import replace

import numpy as np
import open3d as o3d
import pytest
import torch
from torch import Tensor

from facekit.dataset.bake.chart import chart
from facekit.reconstruct.facetensors import FaceTensors
from facekit.reconstruct.maprender import draw
from facekit.reconstruct.pose import HrnCamera, posed, rotated
from facekit.reconstruct.unwrap import Texels, softened, texels_of, unwrap, without_specks

CAMERA = HrnCamera()
SIZE = 128


def _posed(face: FaceTensors, yaw: float) -> tuple[Tensor, Texels]:
    angles = torch.tensor([[0.1, yaw, 0.05]])
    points = posed(face.mean[None], angles, torch.tensor([[0.02, -0.03, 0.1]]))
    normals = rotated(face.vertex_normals(face.mean[None]), angles)
    return points, texels_of(face, points, normals, CAMERA, size=SIZE)


def _smooth_colours(texels: Texels) -> Tensor:
    row, col = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    return (
        0.5 + 0.3 * torch.stack([torch.sin(row / 9), torch.cos(col / 11), torch.sin(col / 7)])[None]
    )


@pytest.mark.parametrize("yaw", [0.0, 0.7])
def test_drawn_and_unwrapped_the_colours_are_the_same(head_face: FaceTensors, yaw: float) -> None:
    """Waves of 44 texels or more through a 512 px image: bilinear twice, a level of 255."""
    points, texels = _posed(head_face, yaw)
    colours = _smooth_colours(texels)
    photograph = draw(head_face, points, colours, CAMERA.resized(512)).image
    texture, valid = unwrap(texels, photograph, CAMERA)
    seen = valid[0, 0] > 0
    assert 0.15 < seen.float().mean() < 0.4
    error = (texture - colours)[0][:, seen].abs()
    assert error.quantile(0.5) < 0.002
    assert error.quantile(0.97) < 0.02  # eyes' and chart's edges fade into black
    assert not texture[0][:, ~seen].any()


@pytest.mark.parametrize("yaw", [0.0, 0.8])
def test_seen_is_what_rays_to_the_camera_find_free(head_face: FaceTensors, yaw: float) -> None:
    """Rays from half a millimetre above each texel; what is nearly hidden may be left out."""
    points, texels = _posed(head_face, yaw)
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(points[0].numpy(), head_face.model.faces.astype(np.uint32))
    inside = texels.inside[0, 0].numpy() > 0
    normal = torch.nn.functional.normalize(texels.normals[0], dim=0).numpy()[:, inside].T
    start = texels.points[0].numpy()[:, inside].T + 0.005 * normal
    to_eye = np.array([0, 0, CAMERA.distance]) - start
    to_eye /= np.linalg.norm(to_eye, axis=1, keepdims=True)
    rays = np.concatenate([start, to_eye], axis=1).astype(np.float32)
    free = np.isinf(scene.cast_rays(o3d.core.Tensor(rays))["t_hit"].numpy())
    facing = (normal * to_eye).sum(axis=1)
    found = texels.visible[0, 0].numpy()[inside] > 0
    free &= facing > 0
    clear = np.abs(facing) > 0.25
    assert (found & ~free)[clear].mean() < 2e-3  # colours of something else
    assert (~found & free)[clear].mean() < 0.04  # lost: within two pixels of what hides
    assert found[facing < 0.14].mean() == 0
    if yaw:
        assert (facing > 0.25)[~free].sum() > 100  # there are texels that only the nose hides


def test_texels_beyond_the_image_are_not_seen(head_face: FaceTensors) -> None:
    angles = torch.zeros(1, 3)
    points = posed(head_face.mean[None], angles, torch.tensor([[1.1, 0.0, 0.0]]))
    texels = texels_of(head_face, points, head_face.vertex_normals(points), CAMERA, size=SIZE)
    _, valid = unwrap(texels, torch.ones(1, 1, 224, 224), CAMERA)
    x = CAMERA.pixels(texels.points.permute(0, 2, 3, 1))[0, ..., 0]
    assert texels.visible[0, 0][x > 225].any()
    assert not valid[0, 0][x > 224].any()


def test_places_of_an_image_arrive_to_a_hundredth_of_a_pixel(bfm_face: FaceTensors) -> None:
    """An image whose colours are its own coordinates, pixel centres at halves."""
    _, texels = _posed(bfm_face, 0.2)
    at = (torch.arange(512) + 0.5) / 512
    image = torch.stack([at.expand(512, 512), at[:, None].expand(512, 512)])[None]
    texture, valid = unwrap(texels, image, CAMERA)
    expected = CAMERA.pixels(texels.points.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) / 224
    seen = (valid.expand_as(texture) > 0) & (expected > 1 / 512) & (expected < 511 / 512)
    torch.testing.assert_close(texture[seen], expected[seen], atol=0.01 / 512, rtol=0)


def test_released_sampler_by_hand(bfm_face: FaceTensors) -> None:
    """No half pixel, vertical weights exchanged, no visibility, bottom left outside the chart."""
    torch.manual_seed(1)
    _, texels = _posed(bfm_face, 0.9)
    image = torch.rand(1, 3, 512, 512)
    texture, inside = unwrap(texels, image, CAMERA, compat=True)
    pixels = image[0].numpy()
    camera = CAMERA.resized(512)
    row_of, col_of = np.nonzero(chart(bfm_face.model, SIZE).inside)
    for i in range(0, len(row_of), 97):
        r, c = row_of[i], col_of[i]
        x, y_up = camera.project(texels.points[0, :, r, c]).tolist()
        y = 511 - y_up
        if not (0 <= x < 511 and 0 <= y < 511):
            continue
        x0, y0 = int(x), int(y)
        fx, fy = x - x0, y - y0
        top = (1 - fx) * pixels[:, y0, x0] + fx * pixels[:, y0, x0 + 1]
        bottom = (1 - fx) * pixels[:, y0 + 1, x0] + fx * pixels[:, y0 + 1, x0 + 1]
        np.testing.assert_allclose(
            texture[0, :, r, c].numpy(), fy * top + (1 - fy) * bottom, atol=2e-3
        )
    outside = inside[0, 0] == 0
    corner = image[0, :, 511, 0]
    torch.testing.assert_close(
        texture[0][:, outside], corner[:, None].expand(-1, int(outside.sum()))
    )
    assert float(inside.sum()) == chart(bfm_face.model, SIZE).inside.sum()


def test_the_soft_edge_stays_within_unless_released() -> None:
    valid = torch.zeros(1, 1, 64, 64)
    valid[..., 10:50, 10:50] = 1
    soft, released = softened(valid), softened(valid, compat=True)
    assert not soft[valid == 0].any() and released[valid == 0].any()
    for edge in (soft, released):
        assert float(edge[0, 0, 30, 30]) == pytest.approx(1.0)
        steps = edge[0, 0, 30].diff().abs()
        assert steps.max() < 1.01 / 11  # a ramp of eleven texels
    # eroded by 1, blurred over 5 on either side: the ramp starts 4 texels outside
    assert float(released[0, 0, 30, 10 - 5]) == 0 and float(released[0, 0, 30, 10 - 4]) > 0


def test_specks_are_filled_and_no_more() -> None:
    valid = torch.zeros(1, 1, 64, 64)
    valid[..., 10:50, 10:50] = 1
    pierced = valid.clone()
    pierced[..., 20:24, 30:34] = 0
    torch.testing.assert_close(without_specks(pierced), valid)
    torch.testing.assert_close(without_specks(valid), valid)
    pierced[..., 20:30, 20:30] = 0
    assert not without_specks(pierced)[..., 23:27, 23:27].any()


def test_gradients_reach_image_and_shape(bfm_face: FaceTensors) -> None:
    """Central differences of 0.02 mm upwards, in an image that darkens upwards."""
    image = (torch.linspace(0, 2, 224)[:, None] ** 2).expand(1, 1, 224, 224)
    image = image.clone().requires_grad_()
    shape = bfm_face.mean[None].clone().requires_grad_()
    normals = bfm_face.vertex_normals(bfm_face.mean[None])
    first = texels_of(bfm_face, shape, normals, CAMERA, size=SIZE)
    inner = softened(unwrap(first, image, CAMERA)[1]).detach().double()

    def total(points: Tensor) -> Tensor:
        texels = texels_of(bfm_face, points, normals, CAMERA, size=SIZE)
        same = replace(texels, visible=first.visible)  # which changes by jumps
        return (unwrap(same, image, CAMERA)[0].double() * inner).sum()

    by_image, by_shape = torch.autograd.grad(total(shape), (image, shape))
    assert by_image.min() >= 0  # weights of samples, that sum to those of the texels
    assert float(by_image.sum()) == pytest.approx(float(inner.sum()), rel=0.01)
    step = torch.zeros_like(shape)
    step[..., 1] = 2e-4
    with torch.no_grad():
        numeric = (total(shape + step) - total(shape - step)) / 2
    assert numeric < -1
    assert float((by_shape * step).sum()) == pytest.approx(float(numeric), rel=0.02)
