"""Gradients through the pipeline, against finite differences."""

import pytest
import torch

from facekit.core.rendering.numba_backend import NumbaRasterizer
from facekit.core.rendering.rasterizer import face_index, topology
from facekit.core.rendering.torch_backend import TorchRasterizer

Tensor = torch.Tensor
SIZE = (6, 7)


def two_triangles() -> tuple[Tensor, Tensor]:
    """Return a bent quad that covers the image."""
    w = torch.tensor([1.0, 1.5, 2.0, 0.75], dtype=torch.float64)
    ndc = torch.tensor([[-3.1, -2.9], [2.8, -3.3], [3.2, 2.7], [-2.6, 3.4]], dtype=torch.float64)
    pos = torch.cat([ndc * w[:, None], (w - 1)[:, None] * 0.3, w[:, None]], dim=1)
    return pos, torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)


def test_torch_rasterizer_passes_gradcheck() -> None:
    pos, faces = two_triangles()
    raster = TorchRasterizer(subpixel_bits=8)
    generator = torch.Generator().manual_seed(0)
    attribute = torch.rand((1, 4, 2), generator=generator, dtype=torch.float64)
    texture = torch.rand((1, 3, 4, 1), generator=generator, dtype=torch.float64)

    def image(pos: Tensor, attribute: Tensor, texture: Tensor) -> Tensor:
        fragments = raster.rasterize(pos, faces, SIZE)
        uv = raster.interpolate(attribute, fragments, faces)
        return raster.texture(texture, uv)

    places = raster.rasterize(pos, faces, SIZE).rast[..., :2]
    assert places.min() > 0  # nowhere clamped to the triangle, which gradients disregard
    given = (pos, attribute, texture)
    assert torch.autograd.gradcheck(image, tuple(t.requires_grad_() for t in given))


@pytest.mark.parametrize("wrap", ["wrap", "clamp", "zero"])
@pytest.mark.parametrize("mips", [False, True])
def test_texture_passes_gradcheck(wrap: str, mips: bool) -> None:
    generator = torch.Generator().manual_seed(4)
    texture = torch.rand((2, 2, 4, 1), generator=generator, dtype=torch.float64)
    uv = torch.rand((2, 1, 3, 2), generator=generator, dtype=torch.float64) * 2 - 0.5
    footprint = 0.3 * torch.rand((2, 1, 3, 4), generator=generator, dtype=torch.float64)
    raster = TorchRasterizer()

    def look_up(texture: Tensor, uv: Tensor) -> Tensor:
        return raster.texture(texture, uv, footprint if mips else None, wrap=wrap)

    assert torch.autograd.gradcheck(look_up, (texture.requires_grad_(), uv.requires_grad_()))


def test_compiled_gradient_matches_finite_differences(icosphere, to_clip) -> None:  # type: ignore[no-untyped-def]
    # inside one silhouette nothing appears or vanishes: the loss is smooth but for texels' edges
    vertices, faces = icosphere(2)
    raster = NumbaRasterizer(subpixel_bits=12)
    size = (96, 96)
    inner = vertices.float()[:, :2].norm(dim=1) < 0.75
    generator = torch.Generator().manual_seed(1)
    window = torch.zeros(size)
    window[28:68, 28:68] = torch.rand((40, 40), generator=generator)

    def loss(moved: Tensor) -> Tensor:
        pos = to_clip(moved).float()
        fragments = raster.rasterize(pos, faces, size)
        place = raster.interpolate(vertices.float() * 2, fragments, faces)
        waves = torch.sin(place).sum(-1) + fragments.rast[..., 0] * 0
        return (waves.double() * window).sum()

    for _ in range(3):
        direction = torch.randn(vertices.shape, generator=generator).double() * inner[:, None]
        s = torch.zeros((), dtype=torch.float64, requires_grad=True)
        loss(vertices + s * direction).backward()
        step = 2e-3  # 0.06 px
        ends = [float(loss(vertices + k * step * direction)) for k in (1, -1)]
        # a few pixels change triangle, between which place is continuous
        assert s.grad is not None
        assert float(s.grad) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=0.03, abs=0.5)


def test_descent_finds_a_shifted_sphere(icosphere, to_clip) -> None:  # type: ignore[no-untyped-def]
    vertices, faces = icosphere(3)
    raster = NumbaRasterizer()
    edges = topology(faces)

    def mask(shift: Tensor) -> Tensor:
        pos = to_clip(vertices.float() + shift)
        fragments = raster.rasterize(pos, faces, (64, 64))
        shown = (face_index(fragments) >= 0).float()[..., None]
        return raster.antialias(shown, fragments, pos, edges)

    wanted = mask(torch.tensor([0.2, -0.15, 0.0])).detach()
    shift = torch.zeros(3, requires_grad=True)
    descent = torch.optim.Adam([shift], lr=0.02)
    for _ in range(40):
        descent.zero_grad()
        ((mask(shift) - wanted) ** 2).sum().backward()
        descent.step()
    # 0.01 is a fifth of a pixel
    assert shift.detach()[:2].numpy() == pytest.approx([0.2, -0.15], abs=0.01)
