"""Consistency losses by hand, and what must not change them."""

import math

import pytest
import torch

from facekit.core.errors import InputError
from facekit.reconstruct.views.consistency import (
    ConsistencyScales,
    ConsistencyWeights,
    ViewMaps,
    canonical_of,
    consistency_loss,
    consistency_terms,
    estimate_log_gain,
    gradient_consistency,
    photo_consistency,
    view_agreement,
)
from facekit.reconstruct.views.correlation import patch_ncc

WIDE = 1e3


def _maps(*views: list[list[float]]) -> torch.Tensor:
    """Return (J, 1, n, n)."""
    return torch.tensor(views, dtype=torch.float64)[:, None]


def _scene(n_views: int = 4, n: int = 12, n_channels: int = 3) -> ViewMaps:
    rng = torch.Generator().manual_seed(7)

    def draw(*size):
        return torch.rand(*size, generator=rng, dtype=torch.float64)

    weight = draw(n_views, 1, n, n)
    return ViewMaps(
        weight=torch.where(weight < 0.3, 0, weight),
        textures=0.2 + 0.5 * draw(n_views, n_channels, n, n),
        log_shading=(0.5 + 0.5 * draw(n_views, 1, n, n)).log(),
        estimates=draw(n_views, 1, n, n),
    )


# --- (a) agreement -------------------------------------------------------------------------


def test_agreement_with_a_canonical_map_by_hand():
    estimates = _maps([[0.3, 9.0], [0.1, 0.0]], [[-0.1, 5.0], [0.1, 7.0]])
    weight = _maps([[1.0, 0.0], [2.0, 1.0]], [[3.0, 1.0], [2.0, 0.0]])
    canonical = torch.zeros(1, 2, 2, dtype=torch.float64)
    # two texels are shown twice: (1 * .09 + 3 * .01) + (2 * .01 + 2 * .01) over weights of 8
    found = view_agreement(estimates, canonical, weight, WIDE) * WIDE**2
    assert found.item() == pytest.approx(0.16 / 8, rel=1e-4)


def test_agreement_of_two_views_is_half_their_squared_difference_then_grows_linearly():
    estimates = _maps([[0.01]], [[0.03]])
    weight = torch.ones_like(estimates)
    # mean .02, residual .01 each, two of them over one degree of freedom: 2e-4 / s^2
    assert view_agreement(estimates, None, weight, 0.1).item() == pytest.approx(0.02, rel=0.01)
    # residuals 50 s: 2 * 2 (sqrt(2501) - 1)
    found = view_agreement(500 * estimates, None, weight, 0.1).item()
    assert found == pytest.approx(4 * (math.sqrt(2501) - 1))


def test_deformation_counts_by_its_length():
    turned = torch.zeros(2, 3, 1, 1, dtype=torch.float64)
    turned[0, :, 0, 0] = torch.tensor([3.0, 0.0, 4.0])
    weight = torch.ones(2, 1, 1, 1, dtype=torch.float64)
    along = _maps([[5.0]], [[0.0]])
    for canonical in (None, torch.zeros(1, 1, 1)):
        expected = view_agreement(along, canonical, weight, 2.0)
        assert view_agreement(turned, canonical, weight, 2.0).item() == pytest.approx(
            expected.item()
        )


def test_the_same_detail_in_all_views_changes_nothing():
    scene = _scene()
    detail = torch.randn(1, 12, 12, generator=torch.Generator().manual_seed(1)).double()
    for canonical, moved in ((None, None), (0 * detail, detail)):
        before = view_agreement(scene.estimates, canonical, scene.weight, 0.1)
        after = view_agreement(scene.estimates + detail, moved, scene.weight, 0.1)
        assert after.item() == pytest.approx(before.item())


def test_the_canonical_map_agrees_better_than_others_and_keeps_what_one_view_shows():
    estimates = _maps([[0.1, 0.7]], [[0.3, 9.0]], [[4.0, 9.0]])
    weight = _maps([[1.0, 0.5]], [[1.0, 0.0]], [[1.0, 0.0]])
    canonical = canonical_of(estimates, weight, 0.1)
    assert canonical[0, 0, 1].item() == pytest.approx(0.7)
    assert canonical[0, 0, 0].item() < 0.4  # the mean would be 1.5
    least = view_agreement(estimates, canonical, weight, 0.1)
    for other in (0.15, 0.5, 1.5):
        moved = canonical.clone()
        moved[0, 0, 0] = other
        assert view_agreement(estimates, moved, weight, 0.1) > least


def test_gradients_reach_canonical_and_estimates():
    scene = _scene(3, 3)
    canonical = torch.zeros(1, 3, 3, dtype=torch.float64, requires_grad=True)
    estimates = scene.estimates.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda d, c: view_agreement(d, c, scene.weight, 0.3), (estimates, canonical)
    )


# --- (b) photo-consistency -----------------------------------------------------------------


def test_photo_consistency_by_hand():
    textures = _maps([[0.2, 0.4]], [[0.4, 0.4]])
    shading = _maps([[0.5, 0.8]], [[0.5, 0.8]])
    weight = torch.ones_like(textures)
    none = torch.zeros(2, 1, dtype=torch.float64)
    # first texel: log albedo differs by log 2, spread (log 2)^2 / 2; second: 0; two degrees
    found = photo_consistency(textures, shading, weight, log_gain=none, scale=WIDE) * WIDE**2
    assert found.item() == pytest.approx(math.log(2) ** 2 / 4, rel=1e-4)
    # gains take half of the difference: residuals of log 2 / 4 at four places
    found = photo_consistency(textures, shading, weight, scale=WIDE) * WIDE**2
    assert found.item() == pytest.approx(4 * (math.log(2) / 4) ** 2 / 2, rel=1e-4)


def test_shading_that_explains_the_pictures_leaves_nothing():
    albedo = 0.3 + 0.2 * torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    shading = 0.5 + torch.rand(4, 1, 5, 5, generator=torch.Generator().manual_seed(1))
    weight = torch.ones(4, 1, 5, 5)
    assert photo_consistency(albedo * shading, shading, weight).item() < 1e-9
    assert gradient_consistency(albedo * shading, shading.log(), weight).item() < 1e-9
    flat = torch.ones_like(shading)
    assert photo_consistency(albedo * shading, flat, weight).item() > 1
    assert gradient_consistency(albedo * shading, 0 * flat, weight).item() > 1


def test_gain_and_white_balance_of_a_view_are_found_and_cost_nothing():
    scene = _scene()
    shading = scene.log_shading.exp()
    gain = torch.tensor([[1.0, 1.2, 0.8], [0.7, 0.7, 0.7], [1.3, 1.0, 1.0], [1.1, 0.9, 1.0]])
    lit = scene.textures * gain[:, :, None, None].double()
    before, after = (photo_consistency(t, shading, scene.weight) for t in (scene.textures, lit))
    assert after.item() == pytest.approx(before.item(), rel=1e-6)
    found = [estimate_log_gain(t, shading, scene.weight) for t in (scene.textures, lit)]
    wanted = gain.log() - gain.log().mean(dim=0)
    assert (found[1] - found[0]).numpy() == pytest.approx(wanted.numpy(), abs=1e-6)


def test_a_view_cannot_agree_by_going_black():
    scene = _scene(n_channels=1)
    shading = torch.ones_like(scene.log_shading)
    dark = scene.textures.clone()
    dark[0] = 0
    loss = photo_consistency(
        dark, shading, torch.ones_like(scene.weight), log_gain=torch.zeros(4, 1)
    )
    assert loss > photo_consistency(scene.textures, shading, torch.ones_like(scene.weight))


# --- (c) gradients -------------------------------------------------------------------------


def test_gradient_consistency_by_hand():
    # log textures; what only the last row and column hold has no forward difference
    views = _maps([[0.0, 0.3], [0.1, 7.0]], [[0.5, 0.4], [0.6, -7.0]])
    textures = views.exp() / 10
    weight = _maps([[1.0, 1.0], [1.0, 0.0]], [[1.0, 0.5], [1.0, 1.0]])
    # across: .3 and -.1 with weights 1 and .5 (the least of the three); down: .1 and .1
    # mean .5/3; 1 * (.4/3)^2 + .5 * (.8/3)^2 = .16/3; degrees 1.5 - 1.25 / 1.5 = 2/3
    found = gradient_consistency(textures, 0 * views, weight, scale=WIDE) * WIDE**2
    assert found.item() == pytest.approx(0.08, rel=1e-4)


def test_gain_leaves_gradients_and_patches_unchanged():
    scene = _scene()
    gain = torch.tensor([1.0, 0.7, 1.3, 0.5]).reshape(4, 1, 1, 1).double()
    before = gradient_consistency(scene.textures, scene.log_shading, scene.weight)
    after = gradient_consistency(gain * scene.textures, scene.log_shading, scene.weight)
    assert after.item() == pytest.approx(before.item(), rel=1e-9)
    before = patch_ncc(scene.textures, scene.weight, 5)
    assert patch_ncc(gain * scene.textures, scene.weight, 5).item() == pytest.approx(
        before.item(), rel=1e-6
    )


def test_slow_changes_of_light_are_no_relief():
    n = 32
    x = torch.linspace(0, 1, n)
    detail = torch.randn(1, 1, n, n, generator=torch.Generator().manual_seed(0))
    albedo = 0.4 * torch.exp(0.05 * detail)
    light = torch.stack([torch.exp(0.5 * x), torch.exp(-0.5 * x)])[:, None, None]
    weight, flat = torch.ones(2, 1, n, n), torch.ones(2, 1, n, n)
    # a step of light is 1 / 31 a texel between the views: (1/31)^2 / 2 in units of .05^2
    slow = gradient_consistency(albedo * light, 0 * flat, weight).item()
    assert slow == pytest.approx(0.21, rel=0.05)
    # the same range as fine relief costs a hundredfold
    fine = torch.exp(0.5 * torch.sign(detail) * torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1))
    assert gradient_consistency(albedo * fine, 0 * flat, weight).item() > 50 * slow


# --- all -----------------------------------------------------------------------------------


def test_the_sum_is_weighed_and_a_weight_of_0_asks_for_no_maps():
    scene = _scene()
    weights = ConsistencyWeights(agreement=2.0, photo=0.5, gradient=3.0, ncc=0.1)
    terms = consistency_terms(scene, weights)
    assert list(terms) == ["agreement", "photo", "gradient", "ncc"]
    expected = sum(getattr(weights, name) * term.item() for name, term in terms.items())
    assert consistency_loss(scene, weights).item() == pytest.approx(expected)
    shading, scales = scene.log_shading.exp(), ConsistencyScales()
    alone = {
        "agreement": view_agreement(scene.estimates, None, scene.weight, scales.agreement_mm),
        "photo": photo_consistency(scene.textures, shading, scene.weight),
        "gradient": gradient_consistency(scene.textures, scene.log_shading, scene.weight),
        "ncc": patch_ncc(scene.textures, scene.weight),
    }
    for name, term in alone.items():
        assert terms[name].item() == pytest.approx(term.item())
    off = ConsistencyWeights(agreement=0, photo=0, gradient=0, ncc=0)
    assert consistency_loss(ViewMaps(weight=scene.weight), off).item() == 0.0


@pytest.mark.parametrize(
    ("term", "missing"),
    [("agreement", "estimates"), ("photo", "textures"), ("ncc", "textures")],
)
def test_a_term_without_its_maps_is_refused(term, missing):
    off = {"agreement": 0, "photo": 0, "gradient": 0, "ncc": 0}
    with pytest.raises(InputError, match=f"{term}.*{missing}"):
        consistency_loss(
            ViewMaps(weight=torch.ones(2, 1, 3, 3)), ConsistencyWeights(**off | {term: 1})
        )


def test_views_in_duplicate_and_weights_in_another_unit_keep_the_balance():
    scene = _scene(9)
    weights = ConsistencyWeights()
    terms = consistency_terms(scene, weights)
    scaled = consistency_terms(ViewMaps(**{**vars(scene), "weight": 5 * scene.weight}), weights)
    for name in terms:
        assert scaled[name].item() == pytest.approx(terms[name].item(), rel=1e-6)
    fewer = consistency_terms(
        ViewMaps(**{k: v if v is None else v[:4] for k, v in vars(scene).items()}), weights
    )
    for name in terms:  # independent random maps: as much to disagree on with four as with nine
        assert fewer[name].item() == pytest.approx(terms[name].item(), rel=0.25)


def test_hidden_nan_black_and_constant_maps_give_finite_gradients():
    scene = _scene()
    hidden = scene.weight == 0
    leaves = {}
    for name in ("textures", "log_shading", "estimates"):
        values = getattr(scene, name).clone()
        values = torch.where(hidden, math.nan, values)
        leaves[name] = values.requires_grad_()
    black = {**leaves, "textures": torch.zeros_like(leaves["textures"]).requires_grad_()}
    for maps in (leaves, black):
        for weight in (scene.weight, 0 * scene.weight):
            loss = consistency_loss(ViewMaps(weight=weight, **maps), ConsistencyWeights())
            assert torch.isfinite(loss)
            if weight.sum() == 0:
                assert loss.item() == 0
            for gradient in torch.autograd.grad(loss, list(maps.values())):
                assert torch.isfinite(gradient).all()


def test_what_one_view_alone_shows_costs_nothing_in_single_precision():
    scene = _scene()
    maps = {k: v if v is None else v.float() for k, v in vars(scene).items()}
    alone = torch.zeros_like(maps["weight"])
    alone[0], alone[1, :, :6], alone[0, :, :6] = 0.7, 0.3, 0.0
    one = {k: v if v is None else v[:1] for k, v in maps.items()}
    for given in ({**maps, "weight": alone}, one):
        leaves = {k: v.clone().requires_grad_() for k, v in given.items() if v is not None}
        leaves["weight"] = given["weight"]
        terms = consistency_terms(ViewMaps(**leaves), ConsistencyWeights())
        assert all(term.item() == 0.0 for term in terms.values())
        sum(terms.values()).backward()
        assert all((v.grad == 0).all() for k, v in leaves.items() if k != "weight")


def test_gradients_of_textures_and_shading():
    scene = _scene(3, 4, 2)
    textures = (0.4 + 0.01 * scene.textures).requires_grad_()
    log_shading = (0.01 * scene.log_shading).requires_grad_()
    # small residuals against the scales: mean and gains of two rounds are the minimisers
    assert torch.autograd.gradcheck(
        lambda t, s: photo_consistency(t, s.exp(), scene.weight, scale=1.0),
        (textures, log_shading),
        atol=1e-6,
    )
    assert torch.autograd.gradcheck(
        lambda t, s: gradient_consistency(t, s, scene.weight, scale=1.0),
        (textures, log_shading),
        atol=1e-6,
    )
