"""The contour-aware loss as released and repaired."""

import numpy as np
import pytest
import torch

from facekit.reconstruct.contour import (
    REACH,
    contour_cost,
    contour_released,
    contour_repaired,
    mask_rows,
    signed_distance,
    silhouette_vertices,
)


def test_the_released_cost_at_its_four_known_places():
    e = torch.tensor([-1.0, -0.005, 0.0, 0.02])
    np.testing.assert_allclose(contour_cost(e), [0.01, 0.005, 0.0, 0.02], atol=1e-9)


def test_rows_of_a_mask():
    mask = torch.zeros(4, 8)
    mask[1, 2:6] = 1.0
    mask[2, 3] = 0.6
    left, right = mask_rows(mask)
    assert left.tolist() == [0, 3, 4, 0]  # one more than the first column; none: 0
    assert right.tolist() == [7, 5, 3, 7]


def test_the_released_loss_is_the_distance_to_the_nearer_edge_in_widths():
    mask = torch.zeros(224, 224)
    mask[:, 60:165] = 1.0  # left 61, right 164
    left, right = mask_rows(mask)
    x = torch.tensor([50.0, 62.0, 112.0, 170.0])
    points = torch.stack([x, torch.full_like(x, 100.0)], dim=1)
    # 11 px outside; 1 px inside; deep inside; 6 px outside
    expected = np.mean([11 / 224, 1 / 224, 0.01, 6 / 224])
    assert contour_released(points, left, right).item() == pytest.approx(expected, rel=1e-5)


def test_the_released_row_is_the_ceiling_counted_from_below():
    mask = torch.zeros(224, 224)
    mask[223 - 101, 100:102] = 1.0  # the row that y in (100, 101] looks at
    left, right = mask_rows(mask)
    points = torch.tensor([[90.0, 100.5]])
    assert contour_released(points, left, right).item() == pytest.approx(11 / 224, rel=1e-5)


def test_the_released_gradient_pulls_inward_from_outside_and_outward_near_the_edge():
    mask = torch.zeros(224, 224)
    mask[:, 60:165] = 1.0
    left, right = mask_rows(mask)
    points = torch.tensor([[50.0, 100.0], [62.0, 100.0], [100.0, 100.0]], requires_grad=True)
    contour_released(points, left, right).backward()
    gradient = points.grad[:, 0].numpy()
    assert gradient[0] < 0  # larger x costs less: inward
    assert gradient[1] > 0  # smaller x costs less: outward to the edge
    assert gradient[2] == 0


def test_the_released_loss_divides_by_zero_where_a_row_is_one_pixel():
    left, right = torch.full((224,), 80.0), torch.full((224,), 80.0)
    assert contour_released(torch.tensor([[80.0, 50.0]]), left, right).isnan()


def disc(size=64, radius=20.0, centre=(32.0, 32.0)):
    at = np.arange(size) + 0.5
    x, y = np.meshgrid(at, at)
    # area coverage is nearly linear over a pixel's width
    return np.clip(radius - np.hypot(x - centre[0], y - centre[1]) + 0.5, 0, 1)


def test_the_signed_distance_of_a_disc_is_right_to_an_eighth_of_a_pixel():
    for radius in (18.0, 20.3, 21.6):
        signed = signed_distance(disc(radius=radius))
        at = np.arange(64) + 0.5
        x, y = np.meshgrid(at, at)
        expected = np.hypot(x - 32, y - 32) - radius
        near = np.abs(expected) < 6
        # a quarter-pixel grid: 0.125 px, and half of that again where it is averaged
        assert np.abs(signed - expected)[near].max() < 0.2
        assert abs((signed - expected)[near].mean()) < 0.06


def test_a_mask_without_an_edge_pulls_nothing():
    assert (signed_distance(np.ones((8, 8))) == 0).all()
    assert (signed_distance(np.zeros((8, 8))) == 0).all()


def test_the_repaired_loss_is_the_true_distance_without_bias():
    signed = torch.from_numpy(signed_distance(disc()))
    angle = torch.linspace(0, 2 * np.pi, 41)[:-1]
    ring = torch.stack([angle.cos(), angle.sin()], dim=1)
    on, outside = 32 + 20 * ring, 32 + 22 * ring
    assert contour_repaired(on, signed).item() * 64 < 0.1
    assert contour_repaired(outside, signed).item() * 64 == pytest.approx(2.0, abs=0.1)
    # at the chin, too, where rows run along the edge
    chin = torch.tensor([[32.0, 54.0]])
    assert contour_repaired(chin, signed).item() * 64 == pytest.approx(2.0, abs=0.15)


def test_hairline_points_far_points_and_points_off_the_picture_do_not_pull():
    signed = torch.from_numpy(signed_distance(disc()))
    points = torch.tensor([[32.0, 10.0], [-3.0, 32.0]], requires_grad=True)
    loss = contour_repaired(points, signed, hairline_y=20.0)
    loss.backward()
    assert loss.item() == 0.0
    assert (points.grad == 0).all()
    far = torch.tensor([[32.0, 32.0]], requires_grad=True)  # 20 px from the edge
    loss = contour_repaired(far, signed)
    loss.backward()
    assert loss.item() == pytest.approx(REACH)
    assert (far.grad == 0).all()


def test_one_pixel_masks_give_numbers():
    mask = np.zeros((16, 16))
    mask[8, 8] = 1.0
    signed = torch.from_numpy(signed_distance(mask))
    points = torch.tensor([[8.5, 8.5]], requires_grad=True)
    loss = contour_repaired(points, signed)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(points.grad).all()


def test_only_the_edge_of_the_visible_surface_lends_vertices():
    # a strip of four faces: 0, 1 turn to the camera, 2, 3 away; edges between them in order
    edges = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]], np.int32)
    beside = np.array([[-1, 0], [0, 1], [1, 2], [2, 3], [3, -1]], np.int32)
    z = np.array([1.0, 1.0, -1.0, -1.0])
    seen = np.array([0, 1], np.int32)
    # the open end of face 0 and the fold between faces 1 and 2; not the open end of face 3
    assert silhouette_vertices(z, edges, beside, seen).tolist() == [0, 1, 2, 3]
    hidden = silhouette_vertices(z, edges, beside, np.array([0], np.int32))
    assert hidden.tolist() == [0, 1]  # what covers face 1 hides the fold
