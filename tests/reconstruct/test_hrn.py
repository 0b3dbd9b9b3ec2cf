"""HRN's forward pass with small networks: what each step must leave alone, and gradients."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from facekit.core.errors import InputError
from facekit.core.rendering.shading import shaded_map
from facekit.reconstruct.coefficients import Coefficients, split
from facekit.reconstruct.facetensors import FaceTensors
from facekit.reconstruct.hrn import Hrn, HrnOutput
from facekit.reconstruct.maprender import draw

D, N = 16, 64


class Fixed(nn.Module):
    """Give the same coefficients whatever is seen."""

    def __init__(self, vector: Tensor) -> None:
        super().__init__()
        self.vector = vector

    def forward(self, image: Tensor) -> Tensor:
        return self.vector[: len(image)]


class Waves(nn.Module):
    """Give a map of waves, times one learnt number, plus a little of what is seen."""

    def __init__(self, n_out: int, gain: float) -> None:
        super().__init__()
        self.n_out = n_out
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, maps: Tensor) -> Tensor:
        at = torch.linspace(0, 9, maps.shape[-1], dtype=maps.dtype)
        wave = torch.sin(at)[None] * torch.cos(at)[:, None]
        seen = maps.mean(dim=1, keepdim=True)
        return torch.tanh(self.gain * (wave + 0.3 * seen)).expand(-1, self.n_out, -1, -1)


def _vector(face: FaceTensors, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    vector = torch.randn(batch, face.n_coefficients, generator=generator) * 0.5
    tail = face.n_coefficients - 33
    vector[:, tail : tail + 3] *= 0.3  # angles
    vector[:, tail + 3 : -3] *= 0.2  # light
    vector[:, -3:] *= 0.1
    return vector


def _hrn(
    face: FaceTensors, *, mid: float = 1.0, high: float = 1.0, batch: int = 1,
    deretoucher: nn.Module | None = None,
) -> Hrn:  # fmt: skip
    return Hrn(
        face, Fixed(_vector(face, batch)), Waves(3, mid), Waves(1, high), 0.3, 0.1, deretoucher,
        deformation_size=D, displacement_size=N,
    )  # fmt: skip


def _photographs(face: FaceTensors, hrn: Hrn, batch: int = 1) -> tuple[Tensor, Tensor]:
    """Return crops that show the coarse face in its own light, on grey."""
    known = split(_vector(face, batch), face)
    with torch.no_grad():
        shown = hrn.refine(known, torch.zeros(batch, 3, 64, 64))
        coloured = draw(face, shown.posed_coarse, shown.coarse_albedo, hrn.camera.resized(512))
    large = coloured.image + 0.4 * (1 - coloured.mask)
    small = nn.functional.interpolate(large, (224, 224), mode="area")
    return small, large


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("fixture", ["bfm_face", "head_face"])
def test_without_maps_all_levels_are_the_coarse_face(
    fixture: str, compat: bool, request: pytest.FixtureRequest
) -> None:
    face = request.getfixturevalue(fixture)
    hrn = _hrn(face, mid=0.0, high=0.0)
    with torch.no_grad():
        out = hrn(*_photographs(face, hrn), compat=compat)
    assert not out.deformation.any() and not out.displacement.any()
    torch.testing.assert_close(out.mid, out.coarse)
    torch.testing.assert_close(out.realigned_texture, out.texture)
    torch.testing.assert_close(out.mid_image, out.coarse_image.clamp(min=-9))
    torch.testing.assert_close(out.high_image, out.mid_image, atol=1e-4, rtol=0)
    torch.testing.assert_close(out.mask, out.coarse_mask)


def test_levels_add_up_and_are_in_millimetres(bfm_face: FaceTensors) -> None:
    hrn = _hrn(bfm_face)
    with torch.no_grad():
        out = hrn(*_photographs(bfm_face, hrn))
    torch.testing.assert_close(out.mid - out.coarse, bfm_face.at_vertices(out.deformation))
    assert out.deformation.abs().max() <= 0.1 * 0.3  # tanh, the scale, alpha
    assert 0 < out.displacement.abs().max() <= 0.1 * 0.1
    torch.testing.assert_close(out.deformation_mm()[0, 3, 5], 100 * out.deformation[0, :, 3, 5])
    torch.testing.assert_close(out.displacement_mm(), 100 * out.displacement[:, 0])
    moved = bfm_face.head_mm(out.mid) - bfm_face.head_mm(out.coarse)
    sampled = bfm_face.at_vertices(out.deformation_mm().permute(0, 3, 1, 2))
    torch.testing.assert_close(moved, sampled, atol=1e-4, rtol=0)
    assert not out.displacement[out.valid == 0].any()
    assert (out.high_image - out.mid_image).abs().max() > 0.005
    lengths = out.detail_normals.norm(dim=1)
    inside = bfm_face.chart_mask(N)[:, 0] > 0
    torch.testing.assert_close(lengths[inside], torch.ones(int(inside.sum())), atol=1e-4, rtol=0)
    turned = out.head_normals()[0]
    back = turned[inside[0]] @ _rotation(out.coefficients).T
    torch.testing.assert_close(back, out.detail_normals[0][:, inside[0]].T, atol=1e-5, rtol=0)


def _rotation(c: Coefficients) -> Tensor:
    from facekit.reconstruct.pose import rotation

    return rotation(c.angles)[0]


def test_released_weights_displacements_are_turned_for_geometry(bfm_face: FaceTensors) -> None:
    hrn = _hrn(bfm_face)
    with torch.no_grad():
        out = hrn(*_photographs(bfm_face, hrn), compat=True)
    assert out.outward == -1
    torch.testing.assert_close(out.displacement_mm(), -100 * out.displacement[:, 0])


@pytest.mark.parametrize("compat", [False, True])
def test_a_batch_is_its_singles(bfm_face: FaceTensors, compat: bool) -> None:
    hrn = _hrn(bfm_face, batch=2)
    crop, large = _photographs(bfm_face, hrn, batch=2)
    mask = torch.rand(2, 1, 224, 224)
    with torch.no_grad():
        together = hrn(crop, large, mask, compat=compat)
        both = split(_vector(bfm_face, 2), bfm_face)
        for b in range(2):
            alone = hrn.refine(both[b : b + 1], large[b : b + 1], mask[b : b + 1], compat=compat)
            for name, value in vars(alone).items():
                if isinstance(value, Tensor):
                    torch.testing.assert_close(
                        getattr(together, name)[b : b + 1], value, atol=2e-5, rtol=1e-4
                    )


def test_what_the_mask_hides_has_no_maps(bfm_face: FaceTensors) -> None:
    hrn = _hrn(bfm_face)
    crop, large = _photographs(bfm_face, hrn)
    mask = torch.ones(1, 1, 224, 224)
    mask[..., :112] = 0  # a hand over the image's left half
    with torch.no_grad():
        out, whole = hrn(crop, large, mask), hrn(crop, large)
    x = hrn.camera.pixels(bfm_face.to_uv(out.posed_coarse, N).permute(0, 2, 3, 1))[..., 0]
    hidden = (x < 111)[:, None] & (bfm_face.chart_mask(N) > 0)
    assert hidden.sum() > 300
    assert not out.displacement[hidden].any()
    assert whole.displacement[hidden].abs().max() > 1e-3


class Recorder(Waves):
    """Keep what was given."""

    def forward(self, maps: Tensor) -> Tensor:
        self.given = maps
        return super().forward(maps)


@pytest.mark.parametrize("compat", [False, True])
def test_networks_are_given_the_documented_channels(bfm_face: FaceTensors, compat: bool) -> None:
    hrn = _hrn(bfm_face)
    hrn.mid_net, hrn.high_net = Recorder(3, 1.0), Recorder(1, 1.0)
    with torch.no_grad():
        out = hrn(*_photographs(bfm_face, hrn), compat=compat)

    def small(maps: Tensor) -> Tensor:
        return nn.functional.interpolate(maps, (D, D), mode="bilinear", align_corners=False)

    def wide(maps: Tensor) -> Tensor:
        return nn.functional.interpolate(maps, (N, N), mode="bilinear", align_corners=False)

    positions = bfm_face.to_uv(out.coarse, N)  # unposed, background 0, model units
    torch.testing.assert_close(hrn.mid_net.given[:, :3], small(positions))
    torch.testing.assert_close(hrn.mid_net.given[:, 3:], 2 * small(out.texture) - 1)
    torch.testing.assert_close(hrn.high_net.given[:, :3], positions)
    torch.testing.assert_close(hrn.high_net.given[:, 3:6], 2 * out.realigned_texture - 1)
    torch.testing.assert_close(hrn.high_net.given[:, 6:], wide(out.deformation))
    raw = Waves(3, 1.0)(hrn.mid_net.given)
    sure = small(out.valid)
    well = small(bfm_face.chart_mask(N)).expand_as(raw) == 1
    if not compat:  # beyond the chart the map goes on
        assert out.deformation[~well].abs().max() > 0
        out_of, sure = out.deformation[well], sure.expand_as(raw)[well]
        torch.testing.assert_close(out_of, 0.1 * 0.3 * raw[well] * sure)
    else:
        torch.testing.assert_close(out.deformation, 0.1 * 0.3 * raw * sure)


class Layer(nn.Module):
    """Give one soft-light layer."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self.level = level

    def forward(self, texture: Tensor) -> Tensor:
        return torch.full_like(texture, self.level)


def test_a_neutral_layer_leaves_the_albedo(bfm_face: FaceTensors) -> None:
    plain, neutral = _hrn(bfm_face), _hrn(bfm_face, deretoucher=Layer(0.5))
    darker = _hrn(bfm_face, deretoucher=Layer(0.7))
    crops = _photographs(bfm_face, plain)
    with torch.no_grad():
        a, b, c = plain(*crops), neutral(*crops), darker(*crops)
    torch.testing.assert_close(a.albedo, b.albedo, atol=1e-5, rtol=0)
    torch.testing.assert_close(a.albedo, a.coarse_albedo.clamp(0, 1))
    seen = (a.texture_valid > 0).expand_as(a.albedo) & (a.realigned_texture > 0.1)
    assert (c.albedo < a.albedo - 1e-3)[seen].float().mean() > 0.9  # retouched is lighter


def test_the_high_network_sees_a_retouched_texture_where_it_learnt_so(
    bfm_face: FaceTensors,
) -> None:
    """Only it: the deformation is found before, and A' is made of the texture with its spots."""
    usual, bare = (_hrn(bfm_face, deretoucher=Layer(0.7)) for _ in range(2))
    bare.retouched_input = True
    neutral = _hrn(bfm_face, deretoucher=Layer(0.5))
    neutral.retouched_input = True
    crops = _photographs(bfm_face, usual)
    with torch.no_grad():
        a, b, c = usual(*crops), bare(*crops), neutral(*crops)
        released = [hrn(*crops, compat=True).displacement for hrn in (usual, bare)]
    assert torch.equal(a.deformation, b.deformation) and torch.equal(a.albedo, b.albedo)
    assert (a.displacement - b.displacement).abs().max() > 1e-6
    torch.testing.assert_close(a.displacement, c.displacement)
    assert torch.equal(*released)


def test_learnt_parts_get_gradients(bfm_face: FaceTensors) -> None:
    hrn = _hrn(bfm_face)
    crop, large = _photographs(bfm_face, hrn)
    out = hrn(crop, large)
    loss = ((out.high_image - crop) ** 2).mean() + ((out.mid_image - crop) ** 2).mean()
    loss.backward()
    for name in ("alpha", "beta", "mid_net.gain", "high_net.gain"):
        gradient = hrn.get_parameter(name).grad
        assert gradient is not None and torch.isfinite(gradient).all() and gradient.any(), name


def _smooth_places(hrn: Hrn, landmarks: Tensor) -> Tensor:
    """Return (224, 224): soft spots of 28 px on both cheeks and the forehead."""
    at = hrn.camera.pixels(landmarks)
    spots = [(at[2] + at[31]) / 2, (at[14] + at[35]) / 2, 2 * at[27] - at[30]]
    px = torch.arange(224) + 0.5
    square = torch.stack([(px - x)[None] ** 2 + (px - y)[:, None] ** 2 for x, y in spots])
    return (torch.exp(-square / 32) * (square < 14**2)).sum(dim=0)


def _mid_loss(face: FaceTensors, hrn: Hrn, c: Coefficients) -> Callable[[Tensor], Tensor]:
    """Return the loss of a deformation map D through normals, light and rasteriser.

    Colours are those of waves in the chart, so that the face's *motion* counts. Weights are on
    cheeks and forehead: elsewhere are outlines, where what a pixel shows changes by jumps.
    """
    from facekit.reconstruct.pose import posed, rotated

    row, col = torch.meshgrid(torch.arange(N), torch.arange(N), indexing="ij")
    albedo = (0.5 + 0.3 * torch.sin(row / 4) * torch.cos(col / 4)).expand(1, 3, N, N)
    coarse = face.shape(c.identity, c.expression)
    start = draw(face, posed(coarse, c.angles, c.translation), albedo, hrn.camera)
    weight = _smooth_places(hrn, posed(coarse, c.angles, c.translation)[0, face.landmarks])
    target = torch.roll(start.image, (2, 3), dims=(2, 3)) * 0.8

    def loss(D_map: Tensor) -> Tensor:
        mid = coarse + face.at_vertices(D_map)
        points = posed(mid, c.angles, c.translation)
        normals = rotated(face.vertex_normals(mid), c.angles)
        shaded = shaded_map(albedo, face.to_uv(normals, N), c.gamma)
        image = draw(face, points, shaded, hrn.camera).image
        return (weight * (image - target) ** 2).double().sum()

    return loss


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_gradient_of_the_deformation_through_the_render(
    bfm_face: FaceTensors, channel: int
) -> None:
    """Central differences along smooth and random directions of 0.1 mm."""
    hrn = _hrn(bfm_face)
    c = split(_vector(bfm_face), bfm_face)
    loss = _mid_loss(bfm_face, hrn, c)
    generator = torch.Generator().manual_seed(channel)
    coarse_noise = torch.randn(1, 3, 4, 4, generator=generator)
    direction = nn.functional.interpolate(coarse_noise, (D, D), mode="bicubic")
    direction[:, [k for k in range(3) if k != channel]] = 0
    at = (0.003 * torch.randn(1, 3, D, D, generator=generator)).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(at), at)
    step = 1e-3
    with torch.no_grad():
        numeric = (loss(at + step * direction) - loss(at - step * direction)) / (2 * step)
    analytic = (gradient.double() * direction).sum()
    assert abs(float(numeric)) > 0.5
    assert float(analytic) == pytest.approx(float(numeric), rel=0.05)


def test_gradient_of_the_displacement_through_the_render(bfm_face: FaceTensors) -> None:
    """The whole of it, d to high-frequency image, by central differences: smooth, so 1 %."""
    hrn = _hrn(bfm_face, high=0.7)
    crop, large = _photographs(bfm_face, hrn)
    weight = torch.rand(1, 3, 224, 224)

    def loss() -> Tensor:
        return (weight * hrn(crop, large).high_image).double().sum()

    (gradient,) = torch.autograd.grad(loss(), hrn.beta)
    with torch.no_grad():
        numeric = 0.0
        for sign in (1, -1):
            hrn.beta += sign * 0.01
            numeric += sign * float(loss()) / 0.02
            hrn.beta -= sign * 0.01
    assert float(gradient) == pytest.approx(numeric, rel=0.01)


def test_crops_that_do_not_go_together_are_refused(bfm_face: FaceTensors) -> None:
    hrn = _hrn(bfm_face)
    small, large = torch.zeros(1, 3, 224, 224), torch.zeros(1, 3, 512, 512)
    with pytest.raises(InputError, match="a crop of shape"):
        hrn(small[..., :200], large)
    with pytest.raises(InputError, match="a texture crop of shape"):
        hrn(small, large[..., :200])
    with pytest.raises(InputError, match="a mask of shape"):
        hrn(small, large, torch.zeros(1, 3, 224, 224))
    other = Hrn(bfm_face, Fixed(torch.zeros(1, 200)), Waves(3, 1.0), Waves(1, 1.0), 0.1, 0.1)
    with pytest.raises(InputError, match="200.*257"):
        other(small, large)


def test_output_names_every_level(bfm_face: FaceTensors) -> None:
    hrn = _hrn(bfm_face)
    with torch.no_grad():
        out = hrn(*_photographs(bfm_face, hrn))
    assert isinstance(out, HrnOutput)
    v = bfm_face.n_vertices
    for name in ("coarse", "mid", "posed_coarse", "posed_mid"):
        assert getattr(out, name).shape == (1, v, 3)
    for name in ("coarse_image", "mid_image", "high_image"):
        image = getattr(out, name)
        assert image.shape == (1, 3, 224, 224) and np.isfinite(image.numpy()).all()
