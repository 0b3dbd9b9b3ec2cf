"""Rasterisers on CUDA against the compiled one on the processor.

These need torch, numba, numpy, scipy and pytest, and no other package of facekit's:

    mkdir -p .pkgroot && ln -sfn "$PWD" .pkgroot/facekit
    PYTHONPATH=.pkgroot python3 -m pytest -m gpu tests/core/rendering
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from facekit.core.rendering.numba_backend import NumbaRasterizer
from facekit.core.rendering.rasterizer import (
    Fragments,
    Rasterizer,
    chosen_rasterizer,
    face_index,
    topology,
)
from facekit.core.rendering.torch_backend import TorchRasterizer

Tensor = torch.Tensor
SIZE = (512, 512)
MODES = ("edges", "nvdiffrast")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@dataclass(frozen=True, kw_only=True)
class Scene:
    pos: Tensor
    faces: Tensor
    attribute: Tensor
    texture: Tensor


@pytest.fixture(scope="module")
def scene(icosphere, to_clip) -> Scene:  # type: ignore[no-untyped-def]
    """Give two bumpy spheres of 20,480 triangles, as a batch."""
    vertices, faces = icosphere(5)
    bumpy = vertices * (1 + 0.05 * torch.sin(7 * vertices[:, [1, 2, 0]]))
    pos = torch.stack([to_clip(bumpy), to_clip(bumpy * torch.tensor([0.7, 1.2, 1.0]) + 0.1)])
    generator = torch.Generator().manual_seed(0)
    return Scene(
        pos=pos.float(),
        faces=faces,
        attribute=torch.cat([vertices / 2 + 0.5, vertices.flip(1)], dim=1).float()[None],
        texture=torch.rand((1, 256, 512, 3), generator=generator),
    )


@pytest.fixture(scope="module")
def nvdiffrast() -> Rasterizer:
    pytest.importorskip("nvdiffrast.torch")
    return chosen_rasterizer("nvdiffrast", device="cuda")


def relative(found: Tensor, known: Tensor) -> float:
    return float((found.cpu() - known).norm() / known.norm())


def centre_is_near_an_edge(scene: Scene, face: Tensor) -> Tensor:
    """Tell where a pixel's neighbours show other triangles: a tie may be decided otherwise."""
    padded = torch.nn.functional.pad(face[:, None].float(), (1, 1, 1, 1), mode="replicate")
    high = torch.nn.functional.max_pool2d(padded, 3, stride=1)
    low = -torch.nn.functional.max_pool2d(-padded, 3, stride=1)
    return (high != low)[:, 0]


def test_torch_on_cuda_sees_the_same_triangles(scene: Scene) -> None:
    known = NumbaRasterizer().rasterize(scene.pos, scene.faces, SIZE, db=True)
    cuda = TorchRasterizer().rasterize(scene.pos.cuda(), scene.faces.cuda(), SIZE, db=True)
    same = face_index(cuda).cpu() == face_index(known)
    # whole numbers decide; only depths of crossing triangles may round otherwise
    assert (~same).sum() <= 4
    off = (cuda.rast.cpu() - known.rast)[same].abs()
    assert off.max() < 1e-5
    assert known.db is not None
    assert cuda.db is not None
    assert relative(cuda.db, known.db) < 1e-5


@pytest.mark.parametrize("bits", [4, 8])
def test_torch_on_cuda_cuts_at_the_near_plane(bits: int) -> None:
    generator = torch.Generator().manual_seed(bits)
    pos = torch.randn((2, 600, 4), generator=generator)
    pos[..., 3] = pos[..., 3] * 0.6 + 1.0
    faces = torch.arange(600, dtype=torch.int32).reshape(-1, 3)
    known = face_index(NumbaRasterizer(subpixel_bits=bits).rasterize(pos, faces, (137, 253)))
    raster = TorchRasterizer(subpixel_bits=bits)
    found = face_index(raster.rasterize(pos.cuda(), faces.cuda(), (137, 253)))
    # fused multiply-adds round products once: edges through centres, triangles seen edge-on
    assert (found.cpu() != known).sum() <= 10


def run(
    rasterizer: Rasterizer, scene: Scene, fragments: Fragments, device: str, mode: str,
    keep: Tensor | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """Return image and gradients of interpolate, texture and antialias on given fragments.

    Only the pixels to `keep` (B, H, W) send gradients.
    """
    generator = torch.Generator().manual_seed(1)
    weight = torch.rand((2, *SIZE, 9), generator=generator).to(device)
    pos, attribute, texture, rast = (
        t.detach().to(device).clone().requires_grad_()
        for t in (scene.pos, scene.attribute, scene.texture, fragments.rast)
    )
    faces = scene.faces.to(device)
    assert fragments.db is not None
    given = Fragments(rast=rast, db=fragments.db.to(device))
    value, slopes = rasterizer.interpolate(attribute, given, faces, da=True)
    plain = rasterizer.texture(texture, value[..., :2])
    mipped = rasterizer.texture(texture, value[..., :2], 5 * slopes[..., :4], wrap="clamp")
    colour = torch.cat([value[..., 3:], plain, mipped], dim=-1)
    seen = (rast.detach()[..., 3:] > 0).float()
    soft = rasterizer.antialias(colour * seen, given, pos, topology(faces), mode=mode)
    if keep is not None:
        weight = weight * keep.to(device)[..., None]
    (soft * weight).sum().backward()
    found = {"image": soft.detach()}
    for name, tensor in (("pos", pos), ("attribute", attribute), ("texture", texture)):
        assert tensor.grad is not None
        found[name] = tensor.grad
    assert rast.grad is not None
    return {**found, "rast": rast.grad[..., :2]}


@pytest.mark.parametrize("mode", MODES)
def test_torch_on_cuda_makes_the_same_picture(scene: Scene, mode: str) -> None:
    fragments = NumbaRasterizer().rasterize(scene.pos, scene.faces, SIZE, db=True)
    known = run(NumbaRasterizer(), scene, fragments, "cpu", mode)
    found = run(TorchRasterizer(), scene, fragments, "cuda", mode)
    assert (found["image"].cpu() - known["image"]).abs().max() < 1e-3
    for name in ("image", "attribute", "texture", "rast", "pos"):
        assert relative(found[name], known[name]) < 1e-4, name


def position_gradient(rasterizer: Rasterizer, scene: Scene, device: str, keep: Tensor) -> Tensor:
    pos = scene.pos.to(device).clone().requires_grad_()
    fragments = rasterizer.rasterize(pos, scene.faces.to(device), SIZE)
    weight = torch.rand((2, *SIZE, 2), generator=torch.Generator().manual_seed(2)).to(device)
    (fragments.rast[..., :2] * weight * keep.to(device)[..., None]).sum().backward()
    assert pos.grad is not None
    return pos.grad.cpu()


def assert_same_gradient(found: Tensor, known: Tensor) -> None:
    size = known.norm(dim=-1)
    off = (found - known).norm(dim=-1)[size > 0] / size[size > 0]
    assert off.median() < 1e-5
    assert off.quantile(0.99) < 1e-3  # triangles seen edge-on are worse


def test_torch_on_cuda_moves_vertices_alike(scene: Scene) -> None:
    known = NumbaRasterizer().rasterize(scene.pos, scene.faces, SIZE)
    cuda = TorchRasterizer().rasterize(scene.pos.cuda(), scene.faces.cuda(), SIZE)
    same = face_index(cuda).cpu() == face_index(known)
    found = position_gradient(TorchRasterizer(), scene, "cuda", same)
    assert_same_gradient(found, position_gradient(NumbaRasterizer(), scene, "cpu", same))


def test_nvdiffrast_sees_the_same_triangles(scene: Scene, nvdiffrast: Rasterizer) -> None:
    known = NumbaRasterizer().rasterize(scene.pos, scene.faces, SIZE, db=True)
    cuda = nvdiffrast.rasterize(scene.pos.cuda(), scene.faces.cuda(), SIZE, db=True)
    face = face_index(known)
    same = face_index(cuda).cpu() == face
    assert same.float().mean() > 0.99
    assert same[~centre_is_near_an_edge(scene, face)].all()
    off = (cuda.rast.cpu() - known.rast).abs()
    assert off[same][..., :2].median() < 1e-5
    # a centre outside of the unrounded triangle is clamped to it: seen edge-on, that is anywhere
    clamped = (known.rast[..., :2] <= 0).any(-1) | (known.rast[..., :2].sum(-1) >= 1)
    assert off[same & ~clamped][..., 2].max() < 1e-5
    assert known.db is not None
    assert cuda.db is not None
    both = same & (face >= 0)
    assert (cuda.db.cpu() - known.db)[both].abs().median() < 1e-4 * known.db[both].abs().median()


@pytest.mark.parametrize("mode", MODES)
def test_nvdiffrast_makes_the_same_picture(scene: Scene, nvdiffrast: Rasterizer, mode: str) -> None:
    fragments = NumbaRasterizer().rasterize(scene.pos, scene.faces, SIZE, db=True)
    known = run(NumbaRasterizer(), scene, fragments, "cpu", mode)
    found = run(nvdiffrast, scene, fragments, "cuda", mode)
    # a crossing within rounding of a centre may be missed: a thousandth of the pixels
    different = ((found["image"].cpu() - known["image"]).abs() > 1e-3).any(-1)
    assert different.float().mean() < 1e-3
    known = run(NumbaRasterizer(), scene, fragments, "cpu", mode, ~different)
    found = run(nvdiffrast, scene, fragments, "cuda", mode, ~different)
    assert relative(found["texture"], known["texture"]) < 1e-3
    # a texture's slope jumps at its texels' centres: rounding decides on which side a few lie
    for name in ("attribute", "rast"):
        assert_same_gradient(found[name].cpu(), known[name])


def test_nvdiffrast_moves_vertices_alike(scene: Scene, nvdiffrast: Rasterizer) -> None:
    known = face_index(NumbaRasterizer().rasterize(scene.pos, scene.faces, SIZE))
    cuda = nvdiffrast.rasterize(scene.pos.cuda(), scene.faces.cuda(), SIZE)
    same = face_index(cuda).cpu() == known
    found = position_gradient(nvdiffrast, scene, "cuda", same)
    assert_same_gradient(found, position_gradient(NumbaRasterizer(), scene, "cpu", same))


@pytest.mark.parametrize("name", ["torch", "nvdiffrast"])
def test_descent_ends_where_the_processors_does(
    scene: Scene, name: str, request: pytest.FixtureRequest
) -> None:
    """Ten steps: fifty are chaotic, a push of 1e-7 alone moves their end by 2 %."""
    cuda = TorchRasterizer() if name == "torch" else request.getfixturevalue("nvdiffrast")

    def descend(rasterizer: Rasterizer, device: str) -> float:
        pos, faces = scene.pos[:1].to(device), scene.faces.to(device)
        attribute = scene.attribute.to(device)
        moved = torch.zeros_like(pos[..., :2]).requires_grad_()
        texture = torch.full((1, 64, 64, 3), 0.5, device=device).requires_grad_()
        descent = torch.optim.Adam([moved, texture], lr=1e-2)

        def picture(pos: Tensor, texture: Tensor) -> Tensor:
            fragments = rasterizer.rasterize(pos, faces, (128, 128))
            uv = rasterizer.interpolate(attribute, fragments, faces)[..., :2]
            colour = rasterizer.texture(texture, uv)
            colour = colour * (fragments.rast[..., 3:] > 0)
            return rasterizer.antialias(colour, fragments, pos, topology(faces))

        wanted = picture(pos, scene.texture.to(device)).detach()
        loss = torch.zeros(())
        for _ in range(10):
            descent.zero_grad()
            loss = ((picture(pos + _as_pos(moved), texture) - wanted) ** 2).mean()
            loss.backward()
            descent.step()
        return loss.item()

    assert descend(cuda, "cuda") == pytest.approx(descend(NumbaRasterizer(), "cpu"), rel=5e-3)


def _as_pos(moved: Tensor) -> Tensor:
    return torch.nn.functional.pad(moved, (0, 2))


def test_speed_on_cuda_is_told(
    scene: Scene, record_property: Callable[[str, object], None]
) -> None:
    """Record the milliseconds of one pass forwards and backwards; no bound is set."""
    pos, faces = scene.pos[:1].cuda(), scene.faces.cuda()
    attribute, texture = scene.attribute.cuda(), scene.texture.cuda()
    raster = TorchRasterizer()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    times = []
    for _ in range(8):
        moved = pos.clone().requires_grad_()
        start.record()
        fragments = raster.rasterize(moved, faces, SIZE)
        value = raster.interpolate(attribute, fragments, faces)
        colour = raster.texture(texture, value[..., :2])
        soft = raster.antialias(colour, fragments, moved, topology(faces))
        (soft**2).mean().backward()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    record_property("fwdbwd_ms_20k_512", min(times))
    print(f"torch on CUDA, 20k triangles, 512 x 512, with antialiasing: {min(times):.2f} ms")
    assert min(times) > 0
