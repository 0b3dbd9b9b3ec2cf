"""Every tensor of every network against the written-down table, and the published counts."""

import pytest
import torch
from torch import nn

from facekit.core.facemodel.checkpoint_tables import (
    BACKBONE_NAMES,
    HrnLayout,
    deretouch_table,
    hrn_table,
)
from facekit.reconstruct.networks.coefficient import POSE_AND_LIGHT, CoefficientNet
from facekit.reconstruct.networks.deretouch import DeretouchNet
from facekit.reconstruct.networks.hrn import INITIAL_GAIN, HrnNetworks
from facekit.reconstruct.networks.resnet import BACKBONES


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def n_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def released() -> HrnNetworks:
    with torch.device("meta"):
        return HrnNetworks(HrnLayout())


def test_parameters_are_as_many_as_in_the_release(released: HrnNetworks) -> None:
    assert n_parameters(released.net_recon) == 24_034_625
    assert n_parameters(released.mid_net) == 11_387_587
    assert n_parameters(released.high_net) == 11_390_721
    with torch.device("meta"):
        assert n_parameters(DeretouchNet()) == 13_397_007


def test_names_and_shapes_are_those_of_the_release(released: HrnNetworks) -> None:
    assert shapes(released) == hrn_table(HrnLayout())
    with torch.device("meta"):
        assert shapes(DeretouchNet()) == deretouch_table()


def test_names_that_the_release_is_known_by(released: HrnNetworks) -> None:
    """A few by hand, since networks and table might err alike."""
    found = shapes(released)
    assert found["net_recon.final_layers.0.weight"] == (80, 2048, 1, 1)
    assert found["net_recon.backbone.layer4.2.conv3.weight"] == (2048, 512, 1, 1)
    assert found["net_recon.backbone.layer1.0.downsample.1.running_var"] == (256,)
    assert found["mid_net.model.1.weight"] == (64, 6, 7, 7)
    assert found["high_net.model.1.weight"] == (64, 9, 7, 7)
    assert found["mid_net.model.26.weight"] == (3, 64, 7, 7)
    assert found["high_net.model.18.conv_block.6.bias"] == (256,)
    assert found["mid_net.model.19.weight"] == (256, 128, 3, 3)
    assert found["alpha"] == found["beta"] == (1,)
    assert sum(name.startswith("mid_net.") for name in found) == 48
    assert "net_recon.backbone.fc.weight" not in found
    u_net = deretouch_table()
    assert u_net["inc.conv.conv.0.weight"] == (64, 3, 3, 3)
    assert u_net["down4.mpconv.1.conv.3.weight"] == (512, 512, 3, 3)
    assert u_net["up1.conv.conv.0.weight"] == (256, 1024, 3, 3)
    assert u_net["dsoutc4.conv.weight"] == (3, 256, 1, 1)


@pytest.mark.parametrize("backbone", BACKBONE_NAMES)
@pytest.mark.parametrize("counts", [(80, 64, 80), (100, 57, 0), (0, 0, 3)])
def test_other_face_models_and_backbones(backbone: str, counts: tuple[int, int, int]) -> None:
    layout = HrnLayout(
        counts=counts, backbone=backbone, mid_width=8, high_width=4, mid_blocks=2, high_blocks=0
    )
    with torch.device("meta"):
        networks = HrnNetworks(layout)
        assert shapes(DeretouchNet(width=8)) == deretouch_table(width=8)
    assert shapes(networks) == hrn_table(layout)
    assert networks.net_recon.n_coefficients == layout.n_coefficients == sum(counts) + 33
    assert sum(POSE_AND_LIGHT) == 33


def test_backbones_are_known_by_the_same_names() -> None:
    assert tuple(BACKBONES) == BACKBONE_NAMES


def test_the_half_network_has_half_the_width_and_a_quarter_of_the_numbers() -> None:
    """Both sides of a convolution halve; the stem keeps its three colours, norms halve."""
    with torch.device("meta"):
        half, whole = BACKBONES["resnet18_half"](), BACKBONES["resnet18"]()
    assert half.n_features == whole.n_features // 2 == 256
    assert n_parameters(half) / n_parameters(whole) == pytest.approx(0.25, rel=0.01)


def test_an_untrained_network_predicts_the_mean_face() -> None:
    net = CoefficientNet((5, 4, 0), backbone="resnet18").eval()
    assert torch.equal(net(torch.rand(2, 3, 64, 64)), torch.zeros(2, 42))


def test_untrained_maps_stay_within_a_tenth_of_a_millimetre() -> None:
    """0.1 * gain * tanh in units of 100 mm."""
    layout = HrnLayout(counts=(1, 1, 0), backbone="resnet18", mid_width=4, high_width=4)
    networks = HrnNetworks(layout)
    assert networks.alpha.item() == networks.beta.item() == pytest.approx(INITIAL_GAIN)
    assert 100.0 * 0.1 * networks.alpha.item() == pytest.approx(0.1)
