"""The displacement under a dark spot: relief without a de-retouching network, albedo with one."""

import torch
from torch import Tensor, nn

from facekit.reconstruct.facetensors import FaceTensors
from facekit.reconstruct.fit_camera import CropCamera
from facekit.reconstruct.fit_detail import Detail, DetailConfig, fit_detail
from facekit.reconstruct.fit_spots import SIDE, spot_layer
from facekit.reconstruct.networks.softlight import NEUTRAL, blend_target
from facekit.reconstruct.photocamera import photo_camera
from facekit.reconstruct.unwrap import texels_of, unwrap

SIZE, SKIN, SPOT = 224, 0.6, 0.45
SPOT_AT, SPOT_PX = (130, 82), 4  # row and column on the cheek; half its side


class Knowing(nn.Module):
    """Lift whatever is darker than plain skin."""

    size = 64

    def __init__(self) -> None:
        super().__init__()
        self.sides: list[int] = []

    def forward(self, texture: Tensor) -> Tensor:
        self.sides.append(texture.shape[-1])
        seen = (texture + 1) / 2
        plain = torch.where((seen > 0.1) & (seen < SKIN), torch.full_like(seen, SKIN), seen)
        return blend_target(seen, plain)


class Neutral(nn.Module):
    """Change nothing."""

    size = 64

    def forward(self, texture: Tensor) -> Tensor:
        return torch.full_like(texture, NEUTRAL)


def _detail(face: FaceTensors, *, spotted: bool, network: nn.Module | None = None) -> Detail:
    """Fit the mean face, lit from above and aside, to a picture of one colour."""
    picture = torch.full((1, 3, SIZE, SIZE), SKIN)
    if spotted:
        (row, column), half = SPOT_AT, SPOT_PX
        picture[..., row - half : row + half, column - half : column + half] = SPOT
    gamma = torch.zeros(1, 3, 9)
    gamma[:, :, 1], gamma[:, :, 3] = -0.15, -0.15
    return fit_detail(
        face, face.mean[None], torch.eye(3), torch.zeros(3), CropCamera().resized(SIZE), picture,
        torch.full((1, face.n_vertices, 3), 0.8), gamma,
        config=DetailConfig(size=SIZE, map_size=64, n_steps=15), deretoucher=network,
    )  # fmt: skip


def test_a_spot_that_is_known_makes_no_relief(head_face: FaceTensors) -> None:
    """Its albedo takes all of the change, for 2 (B - 1/2) T (1 - T) reaches 0.6 from 0.45."""
    plain = _detail(head_face, spotted=False)
    off = _detail(head_face, spotted=True)
    on = _detail(head_face, spotted=True, network=Knowing())
    dent = (off.displacement - plain.displacement).abs().max()
    left = (on.displacement - plain.displacement).abs().max()
    assert dent > 1e-4  # model units: a hundredth of a millimetre
    assert left < 0.1 * dent
    darkest = (on.albedo - plain.albedo).amin()
    assert darkest < -0.1  # the spot is in the albedo


def test_a_neutral_network_changes_nothing(head_face: FaceTensors) -> None:
    off = _detail(head_face, spotted=True)
    on = _detail(head_face, spotted=True, network=Neutral())
    torch.testing.assert_close(on.displacement, off.displacement, atol=1e-6, rtol=0)
    torch.testing.assert_close(on.albedo, off.albedo, atol=1e-4, rtol=0)


def test_a_network_sees_the_chart_as_finely_as_the_photograph_is(head_face: FaceTensors) -> None:
    """Of speckles narrower than a texel it sees more, and at the texels' centres the same."""
    speckles = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5)) * 0.2 + 0.5
    seen = photo_camera(CropCamera().resized(SIZE), 0.0)
    posed = head_face.mean[None]
    texels = texels_of(head_face, posed, head_face.vertex_normals(posed), seen, size=64)
    network = Knowing()
    layer = spot_layer(network, texels, speckles, seen)
    assert network.sides == [SIDE]  # 8 x 63 + 1, and what four halvings need
    colour, valid = unwrap(texels, speckles, seen)
    at_centres = Knowing()(2 * colour - 1)
    shown = valid.bool().expand(-1, 3, -1, -1)
    assert (at_centres[shown] != NEUTRAL).float().mean() > 0.4
    torch.testing.assert_close(layer[shown], at_centres[shown], atol=1e-3, rtol=0)
