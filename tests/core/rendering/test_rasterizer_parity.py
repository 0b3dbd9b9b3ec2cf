"""The compiled rasteriser against the one in plain torch, and against rays."""

import numpy as np
import pytest
import torch

from facekit.core.rendering.numba_backend import NumbaRasterizer
from facekit.core.rendering.rasterizer import Rasterizer, face_index, topology
from facekit.core.rendering.torch_backend import TorchRasterizer

Tensor = torch.Tensor


def soup(seed: int, n: int) -> tuple[Tensor, Tensor]:
    """Return triangles that cross each other, the near plane and the image's border."""
    generator = torch.Generator().manual_seed(seed)
    pos = torch.randn((2, 3 * n, 4), generator=generator)
    pos[..., 3] = pos[..., 3] * 0.6 + 1.0
    return pos, torch.arange(3 * n, dtype=torch.int32).reshape(-1, 3)


def gradients(
    rasterizer: Rasterizer, pos: Tensor, faces: Tensor, size: tuple[int, int], mode: str
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    given = {
        "pos": pos.clone().requires_grad_(),
        "attr": torch.rand((1, pos.shape[-2], 3), generator=generator).requires_grad_(),
        "tex": torch.rand((1, 48, 80, 2), generator=generator).requires_grad_(),
    }
    weight = torch.rand((*size, 5), generator=generator)
    fragments = rasterizer.rasterize(given["pos"], faces, size, db=True)
    value, slopes = rasterizer.interpolate(given["attr"], fragments, faces, da=True)
    uv = value[..., :2] * 1.2 - 0.1
    mipped = rasterizer.texture(given["tex"], uv, 1.2 * slopes[..., :4], wrap="clamp")
    plain = rasterizer.texture(given["tex"], uv)
    colour = torch.cat([value[..., 2:], mipped, plain], dim=-1)
    soft = rasterizer.antialias(colour, fragments, given["pos"], topology(faces), mode=mode)
    (soft * weight).sum().backward()
    found = {name: t.grad for name, t in given.items() if t.grad is not None}
    return {"image": soft.detach(), "rast": fragments.rast.detach(), **found}


@pytest.mark.parametrize("bits", [4, 8])
def test_same_triangles_in_a_soup(bits: int) -> None:
    pos, faces = soup(bits, 60)
    for cull in (None, "back", "front"):
        fast = NumbaRasterizer(subpixel_bits=bits).rasterize(pos, faces, (37, 53), cull=cull)
        plain = TorchRasterizer(subpixel_bits=bits).rasterize(pos, faces, (37, 53), cull=cull)
        # the same decisions in the same arithmetic
        assert torch.equal(face_index(fast), face_index(plain))
        assert torch.equal(fast.rast[..., 2:], plain.rast[..., 2:])
        assert (fast.rast - plain.rast).abs().max() < 1e-6
    assert (face_index(fast) >= 0).float().mean() > 0.5


@pytest.mark.parametrize("mode", ["edges", "nvdiffrast"])
@pytest.mark.parametrize("distance", [5.0, 1.4])  # 1.4: the near plane cuts the sphere
def test_same_images_and_gradients(icosphere, to_clip, mode: str, distance: float) -> None:  # type: ignore[no-untyped-def]
    vertices, faces = icosphere(4)
    pos = to_clip(vertices * torch.tensor([1.2, 0.9, 1.0]), distance=distance).float()[None]
    fast = gradients(NumbaRasterizer(), pos, faces, (120, 160), mode)
    plain = gradients(TorchRasterizer(), pos, faces, (120, 160), mode)
    assert torch.equal(fast["rast"][..., 2:], plain["rast"][..., 2:])
    # weights of texels in single against double precision
    assert (fast["image"] - plain["image"]).abs().max() < 1e-4
    for name in ("attr", "tex"):
        difference = (fast[name] - plain[name]).norm() / plain[name].norm()
        assert difference < 1e-4, name
    size = plain["pos"].norm(dim=-1)
    relative = (fast["pos"] - plain["pos"]).norm(dim=-1)[size > 0] / size[size > 0]
    assert relative.median() < 1e-5
    assert relative.quantile(0.99) < 1e-3  # triangles seen edge-on are worse
    assert not fast["pos"][..., 2].any()  # depth has no gradient


def test_same_triangles_as_rays(icosphere, to_clip) -> None:  # type: ignore[no-untyped-def]
    from open3d import core, t  # slow to load, and not everywhere

    vertices, faces = icosphere(4)
    bent = vertices * torch.tensor([1.0, 0.9, 1.1]) + 0.1 * torch.sin(9 * vertices[:, [1, 2, 0]])
    size = (256, 300)
    pos = to_clip(bent).float()
    face = NumbaRasterizer(subpixel_bits=12).visibility(pos, faces, size)[0][0].numpy()
    row, column = np.mgrid[: size[0], : size[1]]
    x, y = (2 * column + 1) / size[1] - 1, (2 * row + 1) / size[0] - 1
    ray = np.stack([x / 3, y / 3, -np.ones_like(x)], axis=-1)  # focal 3
    start = np.broadcast_to([0.0, 0.0, 5.0], ray.shape)
    scene = t.geometry.RaycastingScene()
    scene.add_triangles(
        core.Tensor(bent.numpy().astype(np.float32)), core.Tensor(faces.numpy().astype(np.uint32))
    )
    rays = core.Tensor(np.concatenate([start, ray], axis=-1).astype(np.float32))
    hit = scene.cast_rays(rays)["primitive_ids"].numpy().astype(np.int64)
    hit[hit == scene.INVALID_ID] = -1
    # 1/4096 px of rounding: a centre within that of an edge is one in about 2000
    assert ((face >= 0) != (hit >= 0)).sum() <= 2
    assert (face != hit)[face >= 0].mean() < 1e-3
