"""Every loss against values worked out by hand."""

import math

import pytest
import torch

from facekit.reconstruct import losses


def test_the_photometric_term_is_the_mean_distance_within_the_mask():
    a = torch.zeros(1, 3, 2, 2)
    b = torch.zeros(1, 3, 2, 2)
    b[0, :, 0, 0] = torch.tensor([0.3, 0.0, 0.4])  # distance 0.5
    b[0, :, 1, 1] = 1.0  # outside of the mask
    mask = torch.tensor([[[[1.0, 1.0], [0.5, 0.0]]]])
    expected = (math.sqrt(1e-6 + 0.25) + 1.5 * 1e-3) / 2.5
    assert losses.photometric(a, b, mask).item() == pytest.approx(expected, rel=1e-6)


def test_an_empty_mask_costs_nothing_and_does_not_divide_by_zero():
    a = torch.rand(2, 3, 4, 4, requires_grad=True)
    loss = losses.photometric(a, torch.zeros_like(a), torch.zeros(2, 1, 4, 4))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.isfinite(a.grad).all()


def test_landmarks_of_nose_ridge_and_inner_lips_count_twentyfold():
    weights = losses.landmark_weights()
    heavy = [28, 29, 30, 60, 61, 62, 63, 64, 65, 66, 67]
    assert [i for i in range(68) if weights[i] == 20] == heavy
    assert weights.sum().item() == 57 + 11 * 20
    found, wanted = torch.zeros(2, 68, 2), torch.zeros(2, 68, 2)
    wanted[0, 0] = torch.tensor([3.0, 4.0])  # 25 px^2, weight 1
    wanted[1, 30] = torch.tensor([0.0, 2.0])  # 4 px^2, weight 20
    assert losses.landmark(found, wanted).item() == pytest.approx((25 + 80) / (2 * 68))


def test_coefficients_are_weighed_and_averaged_over_the_batch():
    identity = torch.tensor([[1.0, 2.0], [0.0, 0.0]])  # 5
    expression = torch.tensor([[0.0], [3.0]])  # 9
    albedo = torch.tensor([[10.0], [0.0]])  # 100
    expected = (5 + 0.8 * 9 + 0.017 * 100) / 2
    assert losses.coefficients(identity, expression, albedo).item() == pytest.approx(expected)


def test_white_light_is_free_and_coloured_light_costs_its_variance():
    light = torch.zeros(1, 3, 9)
    light[:, :, 2] = 0.7
    assert losses.gamma(light).item() == 0.0
    light[0, :, 0] = torch.tensor([0.0, 0.3, 0.6])  # deviations -.3, 0, .3
    assert losses.gamma(light).item() == pytest.approx(0.18 / 27)


def test_reflectance_is_the_variance_over_skin_alone():
    albedo = torch.zeros(1, 3, 3)
    albedo[0, 0], albedo[0, 1], albedo[0, 2] = 0.2, 0.6, 9.0
    skin = torch.tensor([1.0, 1.0, 0.0])
    # mean 0.4 in each colour: two vertices, three colours, 0.04 each, over two vertices
    assert losses.reflectance(albedo, skin).item() == pytest.approx(6 * 0.04 / 2)


def test_total_variation_of_a_ramp():
    ramp = torch.arange(4.0).view(1, 1, 1, 4).expand(2, 3, 5, 4)
    # across: every step 1, so the mean is 1; down: 0
    assert losses.total_variation(ramp).item() == pytest.approx(2.0)
    assert losses.total_variation_std(ramp).item() == pytest.approx(0.0, abs=1e-9)


def test_uneven_steps_cost_and_count_as_sums():
    values = torch.tensor([[0.0, 1.0, 1.0]]).view(1, 1, 1, 3)
    # down: no steps at all (one row); across: squared steps 1 and 0, mean .5
    values = values.expand(1, 1, 2, 3)
    # two rows: 4 deviations of .5 squared = 1; down: steps 0
    assert losses.total_variation_std(values).item() == pytest.approx(2 * 4 * 0.25)
    doubled = torch.cat([values, values])
    assert losses.total_variation_std(doubled).item() == pytest.approx(2 * 8 * 0.25 / 2)


def test_displacement_is_the_mean_of_its_size():
    assert losses.displacement(torch.tensor([[[[0.2, -0.4]]]])).item() == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("mode", "real", "generator", "expected"),
    [
        ("lsgan", True, False, ((0.5 - 1) ** 2 + (-2 - 1) ** 2) / 2),
        ("lsgan", False, False, (0.25 + 4) / 2),
        ("hinge", True, False, (0.5 + 3.0) / 2),
        ("hinge", False, False, (1.5 + 0.0) / 2),
        ("hinge", True, True, 0.75),
        ("vanilla", True, False, (math.log1p(math.exp(-0.5)) + math.log1p(math.exp(2))) / 2),
        ("vanilla", False, True, (math.log1p(math.exp(0.5)) + math.log1p(math.exp(-2))) / 2),
    ],
)
def test_adversarial_terms(mode, real, generator, expected):
    score = torch.tensor([0.5, -2.0])
    found = losses.adversarial(score, real=real, generator=generator, mode=mode)
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_vertices_are_drawn_to_the_centroid_of_the_five_nearest():
    ring = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1]])
    scan = torch.cat([ring, torch.full((20, 3), 50.0)])[None]
    vertices = torch.zeros(1, 1, 3, requires_grad=True)
    loss = losses.scan_attraction(vertices, scan)
    assert loss.item() == pytest.approx(0.2)  # the centroid is (0, 0, 0.2)
    loss.backward()
    assert vertices.grad[0, 0].tolist() == [0.0, 0.0, -1.0]


def test_landmarks_in_space_count_by_the_sum_over_axes():
    wanted = torch.tensor([[[1.0, -2.0, 0.0], [0.0, 0.0, 0.5]]])
    assert losses.landmark_3d(torch.zeros(1, 2, 3), wanted).item() == pytest.approx(1.75)


def test_crops_for_recognition_put_the_five_points_in_their_places():
    place = torch.tensor(losses.RECOGNITION_POINTS)[None]
    turn = torch.tensor([[0.0, -2.0], [2.0, 0.0]])  # a quarter turn, twice the size
    points = place @ turn.T + torch.tensor([300.0, 40.0])
    image_from_crop = losses.recognition_crops(points)
    torch.testing.assert_close(image_from_crop[0, :, :2], turn, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        image_from_crop[0, :, 2], torch.tensor([300.0, 40.0]), atol=1e-3, rtol=0
    )


def test_the_perceptual_term_is_one_less_the_cosine_of_the_two_faces():
    grey, red = torch.full((1, 3, 130, 130), 0.5), torch.zeros(1, 3, 130, 130)
    red[:, 0] = 1.0
    same = torch.tensor([[[1.0, 0, 5.0], [0, 1.0, 5.0]]])  # the crop lies within the image

    def mean_colour(images):
        assert images.shape == (1, 3, 112, 112)
        return images.mean(dim=(2, 3)) + 1  # back to [0, 2]

    assert losses.perceptual(grey, grey, same, same, mean_colour).item() == pytest.approx(
        0, abs=1e-6
    )
    # (1, 1, 1) and (2, 0, 0): cosine 1 / sqrt 3
    unlike = losses.perceptual(grey, red, same, same, mean_colour).item()
    assert unlike == pytest.approx(1 - 1 / math.sqrt(3), abs=1e-6)
