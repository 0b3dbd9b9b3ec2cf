"""The networks against twins written from the layer lists, weight by weight, and their laws.

Twins take the tensors by name and know nothing of the modules; agreement to rounding (sums of a
few thousand float64 products: 1e-9) means that stride, padding, order and norms are as listed.
"""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from facekit.reconstruct.networks.coefficient import CoefficientNet
from facekit.reconstruct.networks.deretouch import DeretouchNet, blend_layer
from facekit.reconstruct.networks.generator import ResnetGenerator

State = Mapping[str, Tensor]


def stirred(module: torch.nn.Module, seed: int) -> State:
    """Give every number of a network, norms' statistics as well, a value of its own."""
    draw = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if tensor.dtype.is_floating_point:
            noise = torch.rand(tensor.shape, generator=draw, dtype=torch.float64)
            is_kernel = tensor.ndim == 4
            scale = (3.0 / tensor[0].numel()) ** 0.5 if is_kernel else 0.1
            offset = 0.0 if is_kernel or not name.endswith(("weight", "var")) else 1.0
            tensor.copy_(offset + scale * (2.0 * noise - 1.0))
    return module.state_dict()


def norm(x: Tensor, state: State, name: str) -> Tensor:
    mean, var, gain, shift = (
        state[f"{name}.{part}"][:, None, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * gain + shift


def conv(x: Tensor, state: State, name: str, *, stride: int = 1, padding: int = 0) -> Tensor:
    bias = state.get(f"{name}.bias")
    return functional.conv2d(x, state[f"{name}.weight"], bias, stride=stride, padding=padding)


def coefficient_twin(x: Tensor, state: State) -> Tensor:
    """ResNet-50: in a bottleneck of a new stage the 3x3 convolution has the stride."""
    x = torch.relu(
        norm(conv(x, state, "backbone.conv1", stride=2, padding=3), state, "backbone.bn1")
    )
    x = functional.max_pool2d(x, 3, stride=2, padding=1)
    for stage, count in enumerate((3, 4, 6, 3), 1):
        for block in range(count):
            name = f"backbone.layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = torch.relu(norm(conv(x, state, f"{name}.conv1"), state, f"{name}.bn1"))
            y = conv(y, state, f"{name}.conv2", stride=stride, padding=1)
            y = torch.relu(norm(y, state, f"{name}.bn2"))
            y = norm(conv(y, state, f"{name}.conv3"), state, f"{name}.bn3")
            if block == 0:
                x = conv(x, state, f"{name}.downsample.0", stride=stride)
                x = norm(x, state, f"{name}.downsample.1")
            x = torch.relu(x + y)
    features = x.mean((2, 3), keepdim=True)
    return torch.cat([conv(features, state, f"final_layers.{i}") for i in range(7)], 1)[:, :, 0, 0]


def instance(x: Tensor) -> Tensor:
    mean = x.mean((2, 3), keepdim=True)
    return (x - mean) / (((x - mean) ** 2).mean((2, 3), keepdim=True) + 1e-5).sqrt()


def generator_twin(x: Tensor, state: State, *, blocks: int) -> Tensor:
    def reflected(x: Tensor, n: int) -> Tensor:
        return functional.pad(x, (n, n, n, n), mode="reflect")

    x = torch.relu(instance(conv(reflected(x, 3), state, "model.1")))
    for i in (4, 7):
        x = torch.relu(instance(conv(x, state, f"model.{i}", stride=2, padding=1)))
    for i in range(10, 10 + blocks):
        y = torch.relu(instance(conv(reflected(x, 1), state, f"model.{i}.conv_block.1")))
        x = x + instance(conv(reflected(y, 1), state, f"model.{i}.conv_block.6"))
    last = 10 + blocks
    for i in (last, last + 3):
        weight, bias = state[f"model.{i}.weight"], state[f"model.{i}.bias"]
        x = functional.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)
        x = torch.relu(instance(x))
    return torch.tanh(conv(reflected(x, 3), state, f"model.{last + 7}"))


def deretouch_twin(x: Tensor, state: State) -> Tensor:
    def double(x: Tensor, name: str) -> Tensor:
        for i in (0, 3):
            y = conv(x, state, f"{name}.conv.{i}", padding=1)
            x = torch.relu(norm(y, state, f"{name}.conv.{i + 1}"))
        return x

    levels = [double(x, "inc.conv")]
    for i in range(1, 5):
        levels.append(double(functional.max_pool2d(levels[-1], 2), f"down{i}.mpconv.1"))
    x = levels.pop()
    for i in range(1, 5):
        size = [2 * n for n in x.shape[2:]]
        up = functional.interpolate(x, size, mode="bilinear", align_corners=True)
        x = double(torch.cat([levels.pop(), up], 1), f"up{i}.conv")
    return torch.sigmoid(conv(x, state, "outc.conv"))


@torch.no_grad()
def test_coefficients_are_the_twins() -> None:
    net = CoefficientNet((4, 3, 2)).double().eval()
    state = stirred(net, 1)
    image = torch.rand(1, 3, 40, 48, dtype=torch.float64)
    expected = coefficient_twin(image, state)
    assert expected.shape == (1, 42) and expected.std() > 1e-3
    torch.testing.assert_close(net(image), expected, rtol=1e-9, atol=1e-9)


@torch.no_grad()
@pytest.mark.parametrize(("n_in", "n_out", "blocks"), [(6, 3, 9), (9, 1, 2)])
def test_maps_are_the_twins(n_in: int, n_out: int, blocks: int) -> None:
    net = ResnetGenerator(n_in, n_out, width=4, n_blocks=blocks).double().eval()
    state = stirred(net, 2)
    maps = torch.rand(2, n_in, 16, 16, dtype=torch.float64)
    expected = generator_twin(maps, state, blocks=blocks)
    assert expected.shape == (2, n_out, 16, 16)
    torch.testing.assert_close(net(maps), expected, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_the_blend_layer_is_the_twins() -> None:
    net = DeretouchNet(width=4).double().eval()
    state = stirred(net, 3)
    texture = 2.0 * torch.rand(1, 3, 48, 32, dtype=torch.float64) - 1.0
    torch.testing.assert_close(net(texture), deretouch_twin(texture, state), rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_sizes_that_do_not_halve_four_times_keep_their_size() -> None:
    assert DeretouchNet(width=4).eval()(torch.zeros(1, 3, 37, 50)).shape == (1, 3, 37, 50)


@torch.no_grad()
def test_the_inner_heads_tell_of_the_same_texture_at_their_sizes() -> None:
    net = DeretouchNet(width=4).eval()
    texture = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        layer, inner = net.supervised(texture)
        assert torch.equal(layer, net(texture))
    assert [tuple(x.shape) for x in inner] == [(2, 3, s, s) for s in (64, 32, 16, 8)]
    assert all(float(x.min()) > 0 and float(x.max()) < 1 for x in inner)


def test_a_blend_layer_has_the_size_of_its_texture_and_sees_it_from_minus_one_to_one() -> None:
    seen: list[Tensor] = []

    class Copy(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return (x + 1.0) / 2.0

    rows = torch.linspace(0.0, 1.0, 32).reshape(1, 1, 32, 1).expand(1, 3, 32, 32)
    layer = blend_layer(Copy(), rows, size=64)
    assert seen[0].shape == (1, 3, 64, 64) and layer.shape == (1, 3, 32, 32)
    assert seen[0].min() == -1.0 and seen[0].max() == 1.0
    # A slope survives being doubled and halved but for the two ends.
    torch.testing.assert_close(layer[:, :, 1:-1], rows[:, :, 1:-1], rtol=0, atol=1e-6)


@torch.no_grad()
def test_a_generator_is_blind_to_what_a_channel_has_everywhere() -> None:
    """Reflected borders keep a constant constant, and instance norm takes it away."""
    net = ResnetGenerator(6, 3, width=4, n_blocks=1).double().eval()
    stirred(net, 4)
    maps = torch.rand(1, 6, 16, 16, dtype=torch.float64)
    shifted = maps + torch.arange(6.0, dtype=torch.float64)[:, None, None]
    torch.testing.assert_close(net(shifted), net(maps), rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_dropout_sleeps_in_eval_only() -> None:
    net = ResnetGenerator(6, 3, width=4, n_blocks=2).double()
    stirred(net, 6)
    maps = torch.rand(1, 6, 16, 16, dtype=torch.float64)
    assert not torch.equal(net(maps), net(maps))
    net.eval()
    assert torch.equal(net(maps), net(maps))


@torch.no_grad()
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: CoefficientNet((4, 3, 2), backbone="resnet18"), (3, 3, 32, 32)),
        (lambda: ResnetGenerator(6, 3, width=4, n_blocks=1), (3, 6, 16, 16)),
        (lambda: DeretouchNet(width=4), (3, 3, 32, 32)),
    ],
)
def test_faces_of_a_batch_do_not_see_each_other(
    make: Callable[[], torch.nn.Module], shape: tuple[int, ...]
) -> None:
    net = make().double().eval()
    stirred(net, 5)
    batch = torch.rand(shape, dtype=torch.float64)
    assert net(batch).std() > 1e-4
    alone = torch.cat([net(batch[i : i + 1]) for i in range(len(batch))])
    torch.testing.assert_close(net(batch), alone, rtol=1e-9, atol=1e-9)
