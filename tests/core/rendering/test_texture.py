"""Texture look-ups of every rasteriser: texel centres, borders, mips."""

import pytest
import torch
from torch.nn import functional

from facekit.core.rendering.rasterizer import Rasterizer, chosen_rasterizer

Tensor = torch.Tensor


@pytest.fixture(params=["numba", "torch"])
def rasterizer(request: pytest.FixtureRequest) -> Rasterizer:
    return chosen_rasterizer(request.param)


@pytest.fixture
def texture() -> Tensor:
    return torch.rand((1, 6, 10, 3), generator=torch.Generator().manual_seed(0))


def spots(low: float, high: float) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand((1, 20, 30, 2), generator=generator) * (high - low) + low


def centres(height: int, width: int) -> Tensor:
    v, u = torch.meshgrid(
        (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij"
    )
    return torch.stack([u, v], dim=-1)[None]


@pytest.mark.parametrize("wrap", ["wrap", "clamp", "zero"])
@pytest.mark.parametrize("filter", ["nearest", "linear"])
def test_a_texel_centre_gives_the_texel(
    rasterizer: Rasterizer, texture: Tensor, filter: str, wrap: str
) -> None:
    found = rasterizer.texture(texture, centres(6, 10), filter=filter, wrap=wrap)
    assert torch.allclose(found, texture, atol=1e-5)


@pytest.mark.parametrize(("wrap", "padding"), [("clamp", "border"), ("zero", "zeros")])
def test_linear_is_torchs_own(
    rasterizer: Rasterizer, texture: Tensor, wrap: str, padding: str
) -> None:
    uv = spots(-0.5, 1.5)
    found = rasterizer.texture(texture, uv, wrap=wrap)
    known = functional.grid_sample(
        texture.permute(0, 3, 1, 2), uv * 2 - 1, padding_mode=padding, align_corners=False
    )
    assert torch.allclose(found, known.permute(0, 2, 3, 1), atol=1e-5)


def test_wrap_repeats(rasterizer: Rasterizer, texture: Tensor) -> None:
    uv = spots(0, 1)
    found = rasterizer.texture(texture, uv)
    tiled = rasterizer.texture(texture.tile(1, 3, 3, 1), (uv + 1) / 3)
    assert torch.allclose(found, tiled, atol=1e-4)
    for whole in (-2.0, 1.0, 5.0):
        moved = rasterizer.texture(texture, uv + whole)
        assert torch.allclose(found, moved, atol=1e-4)  # uv has lost digits


def test_clamped_places_have_no_gradient(rasterizer: Rasterizer, texture: Tensor) -> None:
    uv = spots(-0.5, 1.5).requires_grad_()
    rasterizer.texture(texture, uv, wrap="clamp").sum().backward()
    assert uv.grad is not None
    size = torch.tensor([10, 6])
    place = uv.detach() * size - 0.5
    clamped = (place < 0) | (place > size - 1)
    assert not uv.grad[clamped].any()
    assert uv.grad[~clamped].abs().min() > 0


def test_mips_leave_fine_detail_alone_and_average_coarse(rasterizer: Rasterizer) -> None:
    texture = torch.rand((1, 16, 32, 1), generator=torch.Generator().manual_seed(2))
    uv = centres(4, 8)
    one_texel = torch.tensor([1 / 32, 0.0, 0.0, 1 / 16]).expand(1, 4, 8, 4)
    plain = rasterizer.texture(texture, uv)
    assert torch.allclose(rasterizer.texture(texture, uv, one_texel), plain, atol=1e-5)
    assert torch.allclose(rasterizer.texture(texture, uv, 0 * one_texel), plain, atol=1e-5)
    # four texels a pixel: the second level, whose texels are at these very places
    blocks = texture.reshape(1, 4, 4, 8, 4, 1).mean(dim=(2, 4))
    assert torch.allclose(rasterizer.texture(texture, uv, 4 * one_texel), blocks, atol=1e-5)
    # between levels 1 and 2, and beyond the last
    between = rasterizer.texture(texture, uv, 2**1.5 * one_texel)
    level1 = rasterizer.texture(texture, uv, 2 * one_texel)
    assert torch.allclose(between, (level1 + blocks) / 2, atol=1e-5)
    # 16 x 32 halves down to 1 x 2 and on to one texel, the mean of all
    last = rasterizer.texture(texture, uv, 1e6 * one_texel)
    assert torch.allclose(last, texture.mean().expand_as(last), atol=1e-5)


def test_odd_sizes_stop_halving(rasterizer: Rasterizer) -> None:
    texture = torch.rand((1, 6, 10, 1), generator=torch.Generator().manual_seed(3))
    wide = torch.full((1, 3, 5, 4), 100.0)
    found = rasterizer.texture(texture, centres(3, 5), wide)
    assert torch.allclose(found, texture.reshape(1, 3, 2, 5, 2, 1).mean(dim=(2, 4)), atol=1e-5)


def test_every_image_its_texture(rasterizer: Rasterizer) -> None:
    texture = torch.rand((3, 4, 4, 2), generator=torch.Generator().manual_seed(4))
    uv = torch.cat([spots(0, 1), spots(-1, 1), spots(0, 2)])
    for filter in ("nearest", "linear"):
        together = rasterizer.texture(texture, uv, filter=filter)
        for i in range(3):
            one = rasterizer.texture(texture[i : i + 1], uv[i : i + 1], filter=filter)
            assert torch.allclose(together[i : i + 1], one, atol=1e-6)


def test_places_that_are_no_numbers_do_no_harm(rasterizer: Rasterizer, texture: Tensor) -> None:
    uv = spots(0, 1)
    good = rasterizer.texture(texture, uv)
    uv[0, 3, 4] = torch.nan
    uv[0, 5, 6, 1] = torch.inf
    found = rasterizer.texture(texture, uv)
    ok = torch.isfinite(uv).all(-1)
    assert torch.equal(found[ok], good[ok])


def test_wrong_textures_are_refused(rasterizer: Rasterizer, texture: Tensor) -> None:
    with pytest.raises(ValueError, match="expected"):
        rasterizer.texture(texture[0], spots(0, 1))
    with pytest.raises(ValueError, match="cubic"):
        rasterizer.texture(texture, spots(0, 1), filter="cubic")
    with pytest.raises(ValueError, match="mirror"):
        rasterizer.texture(texture, spots(0, 1), wrap="mirror")
