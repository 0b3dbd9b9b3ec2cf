"""NCC of patches between views: by hand, against pairs one by one, and who is named."""

import math

import pytest
import torch

from facekit.reconstruct.views.correlation import (
    LocalPatches,
    agreement_of_views,
    box_mean,
    local_normalised,
    ncc_of_patches,
    patch_ncc,
)

N = 48


def _skin(seed: int, n_channels: int = 1, *, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Return (1, C, N, N) a random texture of 2 to 5 texels."""
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, n_channels, N, N, generator=rng, dtype=dtype)
    return 0.5 + 0.1 * box_mean(box_mean(noise, 3), 3) * 3


def _ones(n_views: int, n: int = N) -> torch.Tensor:
    return torch.ones(n_views, 1, n, n, dtype=torch.float64)


def test_box_mean_of_a_spike_and_at_the_border():
    spike = torch.zeros(1, 1, 5, 5)
    spike[0, 0, 2, 2] = 9.0
    assert box_mean(spike, 3)[0, 0, 1:4, 1:4].flatten().tolist() == pytest.approx([1.0] * 9)
    assert box_mean(torch.ones(1, 1, 5, 5), 3).numpy() == pytest.approx(1.0)


def test_patches_have_mean_0_and_mean_square_1_in_what_is_shown():
    weight = _ones(1)
    weight[..., 20:] = 0
    textures = _skin(0)
    textures[..., 20:] = math.nan
    patches = local_normalised(textures, weight)
    assert (patches.values[..., 20:] == 0).all()
    inside = patches.values[..., :20]
    # a mean over some 20 independent windows of a unit variable less its local mean
    assert abs(inside.mean().item()) < 0.05
    assert (inside**2).mean().item() == pytest.approx(1.0, abs=0.1)


def test_windows_cut_off_by_a_shadow_line_lose_weight():
    weight = _ones(1)
    weight[..., 20:] = 0
    found = local_normalised(_skin(0), weight, 7).weight[0, 0, 10]
    # columns 14..19 see 7, then 6, 5, 4 of 7 columns: 2 share - 1
    assert found[15:21].tolist() == pytest.approx([1, 1, 5 / 7, 3 / 7, 1 / 7, 0])


def test_ncc_of_given_patches_by_hand():
    values = torch.tensor([[1.0, -1.0], [1.0, 1.0], [1.0, 1.0]]).reshape(3, 1, 1, 2)
    weight = torch.tensor([[1.0, 2.0], [1.0, 1.0], [1.0, 0.0]]).reshape(3, 1, 1, 2)
    # first texel: three pairs of 1, W = 3: 3/3 of 3/3; second: one of 2 * -1, W = 3: -2/3 of 2/3
    expected = 1 - (1 - 2 / 3) / (1 + 2 / 3)
    found = ncc_of_patches(LocalPatches(values=values, weight=weight))
    assert found.item() == pytest.approx(expected)


def test_ncc_is_the_mean_over_all_pairs():
    patches = local_normalised(
        torch.cat([_skin(0), _skin(0) + 0.3 * _skin(1), _skin(2), _skin(0)]), _ones(4)
    )
    w, z = patches.weight, patches.values
    total, above, below = w.sum(dim=0), 0.0, 0.0
    for i in range(4):
        for j in range(i):
            above = above + (w[i] * w[j] * z[i] * z[j] / total).sum()
            below = below + (w[i] * w[j] * (z[i] ** 2 + z[j] ** 2) / 2 / total).sum()
    assert ncc_of_patches(patches).item() == pytest.approx((1 - above / below).item())


def test_locally_normalised_images_tell_what_exact_patches_tell():
    one, other = _skin(0), 0.6 * _skin(0) + 0.4 * _skin(1)

    def exact(a, b):
        """Return the mean of NCC over 7 x 7 patches, each with its own mean and deviation."""
        patches = [torch.nn.functional.unfold(x, 7)[0] for x in (a, b)]
        a, b = (p - p.mean(dim=0) for p in patches)
        return ((a * b).sum(dim=0) / (a.norm(dim=0) * b.norm(dim=0))).mean()

    found = 1 - patch_ncc(torch.cat([one, other]), _ones(2)).item()
    assert found == pytest.approx(exact(one, other).item(), abs=0.05)
    assert 0.5 < found < 0.95


def test_ncc_bounds():
    same = torch.cat([_skin(0), 0.3 * _skin(0), _skin(0)])
    assert patch_ncc(same, _ones(3)).item() == pytest.approx(0.0, abs=1e-9)
    assert patch_ncc(torch.cat([_skin(0), 1 - _skin(0)]), _ones(2)).item() == pytest.approx(
        2, abs=0.01
    )
    # 2304 texels of about 9 each are independent: a correlation of 1/16 is one sigma
    assert patch_ncc(torch.cat([_skin(0), _skin(1)]), _ones(2)).item() == pytest.approx(1, abs=0.2)


def test_colours_are_averaged():
    colour = _skin(3, 3)
    textures = torch.cat([colour, _skin(4, 3)])
    expected = patch_ncc(textures.mean(dim=1, keepdim=True), _ones(2))
    assert patch_ncc(textures, _ones(2)).item() == pytest.approx(expected.item())


def test_one_view_constant_and_black_textures_cost_nothing():
    for textures, weight in (
        (_skin(0), _ones(1)),
        (torch.full((2, 1, N, N), 0.3, dtype=torch.float64), _ones(2)),
        (torch.zeros(2, 3, N, N, dtype=torch.float64), _ones(2)),
        (torch.cat([_skin(0), _skin(1)]), 0 * _ones(2)),
    ):
        textures = textures.clone().requires_grad_()
        loss = patch_ncc(textures, weight)
        loss.backward()
        assert loss.item() == pytest.approx(0.0, abs=1e-9)
        assert torch.isfinite(textures.grad).all()


def test_gradient():
    rng = torch.Generator().manual_seed(5)
    textures = 0.5 + 0.1 * torch.rand(3, 1, 6, 6, generator=rng, dtype=torch.float64)
    weight = torch.rand(3, 1, 6, 6, generator=rng, dtype=torch.float64)
    weight[0, 0, :, 4:] = 0
    assert torch.autograd.gradcheck(
        lambda x: patch_ncc(x, weight, 3), (textures.requires_grad_(),), eps=1e-7, atol=1e-5
    )


def test_a_view_of_something_else_is_named():
    noise = [0.1 * (_skin(10 + j) - 0.5) for j in range(5)]
    textures = torch.cat([_skin(0) + noise[j] for j in range(5)])
    textures[2] = _skin(1)[0]
    found = agreement_of_views(textures, _ones(5))
    assert abs(found[2].item()) < 0.2
    assert (found[[0, 1, 3, 4]] > 0.9).all()


def test_of_a_view_that_shares_nothing_nothing_is_said():
    weight = _ones(3)
    weight[:2, :, :, 24:] = 0
    weight[2, :, :, :24] = 0
    found = agreement_of_views(torch.cat([_skin(0)] * 3), weight)
    assert found[:2].tolist() == pytest.approx([1.0, 1.0])
    assert math.isnan(found[2].item())
    assert math.isnan(agreement_of_views(_skin(0), _ones(1)).item())
