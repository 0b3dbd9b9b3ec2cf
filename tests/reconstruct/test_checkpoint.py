"""Weights in and out: the release's file and facekit's own, number by number."""

import os
import zipfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facekit import __version__
from facekit.core.assets import register_asset
from facekit.core.errors import InputError, ModelFileError, SchemaError
from facekit.core.facemodel.checkpoint_tables import (
    COUNTER,
    HrnLayout,
    deretouch_table,
    hrn_table,
)
from facekit.core.facemodel.model import UNBOUNDED, FaceModel
from facekit.reconstruct.checkpoint import (
    load_deretouch,
    load_hrn,
    save_deretouch,
    save_hrn,
)
from facekit.reconstruct.networks.deretouch import DeretouchNet
from facekit.reconstruct.networks.hrn import HrnNetworks

NETWORKS = ("net_recon", "mid_net", "high_net")
SMALL = HrnLayout(
    counts=(3, 2, 1), backbone="resnet18", mid_width=4, high_width=8, mid_blocks=1, high_blocks=2
)


def face(name: str = "bfm", counts: tuple[int, int, int] = (80, 64, 80)) -> FaceModel:
    """Return a model of nine vertices in a row and as many modes as wanted."""
    row = np.arange(9.0)[:, None] * [1.0, 0.5, 0.0]
    triangles = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8]], np.int32)
    n_identity, n_expression, n_albedo = counts
    return FaceModel(
        name=name,
        mean=row,
        faces=triangles,
        uv=row[:, :2] / 10.0,
        faces_uv=triangles,
        identity=np.zeros((n_identity, 9, 3)),
        identity_names=tuple(map(str, range(n_identity))),
        identity_sigma=np.ones(n_identity),
        expression=np.zeros((n_expression, 9, 3)),
        expression_names=tuple(map(str, range(n_expression))),
        expression_range=UNBOUNDED,
        albedo_mean=np.zeros((9, 3)),
        albedo=np.zeros((n_albedo, 9, 3)),
        albedo_names=tuple(map(str, range(n_albedo))),
        landmarks68=np.zeros(68, np.int32),
    )


def release() -> dict[str, Any]:
    """Return the dict of `epoch_10.pth`: tensor i is filled with i / 1000."""
    top: dict[str, Any] = {net: OrderedDict() for net in NETWORKS}
    for i, (name, shape) in enumerate(hrn_table(HrnLayout()).items()):
        net, _, rest = name.partition(".")
        if name.endswith(COUNTER):
            top[net][rest] = torch.tensor(7)
        elif rest:
            top[net][rest] = torch.tensor([i / 1000.0]).expand(shape)
    return top | {"alpha": torch.tensor([0.5]), "beta": torch.tensor([0.25])}


def small_networks(seed: int = 0) -> HrnNetworks:
    networks = HrnNetworks(SMALL)
    draw = torch.Generator().manual_seed(seed)
    for parameter in networks.parameters():
        parameter.data = torch.rand(parameter.shape, generator=draw)
    return networks


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "own.safetensors"
    save_hrn(path, small_networks(), face("x", SMALL.counts), training={"epoch": 7, "loss": 0.5})
    return path


@pytest.mark.parametrize("is_legacy", [False, True])
def test_every_tensor_of_the_release_goes_where_it_belongs(tmp_path: Path, is_legacy: bool) -> None:
    path = tmp_path / "epoch_10.pth"
    torch.save(release(), path, _use_new_zipfile_serialization=not is_legacy)
    loaded = load_hrn(path, face())
    path.unlink()  # nothing looks into the file from here on
    assert loaded.kind == "official" and loaded.notes == ()
    networks = loaded.networks
    assert not networks.training and networks.layout == HrnLayout()
    state = networks.state_dict()
    assert list(state) and set(state) == set(hrn_table(HrnLayout()))
    for i, name in enumerate(hrn_table(HrnLayout())):
        tensor = state[name]
        assert not tensor.is_meta and tensor.is_contiguous()
        if name.endswith(COUNTER):
            assert tensor.item() == 7
        elif name not in ("alpha", "beta"):
            assert tensor.dtype == torch.float32
            assert tensor.min() == tensor.max() == pytest.approx(i / 1000.0)
    assert networks.alpha.item() == 0.5 and networks.beta.item() == 0.25
    assert all(parameter.requires_grad for parameter in networks.parameters())


def test_gains_of_a_trainer_on_a_gpu_load_on_a_processor(tmp_path: Path) -> None:
    """As the official file has them: parameters, optimiser beside them, told to be on cuda:0."""
    top = release()
    alpha = torch.nn.Parameter(top["alpha"])
    optimiser = torch.optim.Adam([alpha], lr=1e-4)
    (3.0 * alpha).sum().backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    value = alpha.item()
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 10, 0.2)
    top |= {"alpha": alpha, "opt_00": optimiser.state_dict(), "sched_00": schedule.state_dict()}
    here, there = tmp_path / "here.pth", tmp_path / "there.pth"
    torch.save(top, here)
    with zipfile.ZipFile(here) as source, zipfile.ZipFile(there, "w") as target:
        for entry in source.infolist():
            data = source.read(entry)
            if entry.filename.endswith("data.pkl"):
                assert b"X\x03\x00\x00\x00cpu" in data
                data = data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
            target.writestr(entry.filename, data)
    networks = load_hrn(there, face()).networks
    assert networks.alpha.item() == value and networks.alpha.is_leaf
    assert networks.alpha.device.type == "cpu"


def test_half_and_double_precision_become_single(tmp_path: Path) -> None:
    generator = OrderedDict()
    for i, (name, shape) in enumerate(deretouch_table().items()):
        kind = (torch.float16, torch.float64, torch.bfloat16)[i % 3]
        is_counter = name.endswith(COUNTER)
        value = torch.tensor(1) if is_counter else torch.tensor([1.5], dtype=kind)
        generator[name] = value.expand(shape)
    path = tmp_path / "de-retouching.pth"
    torch.save({"generator": generator}, path)
    loaded = load_deretouch(path)
    assert loaded.kind == "official" and not loaded.network.training
    for name, tensor in loaded.network.state_dict().items():
        if not name.endswith(COUNTER):
            assert tensor.dtype == torch.float32 and tensor.min() == tensor.max() == 1.5


def test_counters_may_be_absent(tmp_path: Path) -> None:
    top = release()
    top["net_recon"] = {k: v for k, v in top["net_recon"].items() if not k.endswith(COUNTER)}
    torch.save(top, tmp_path / "a.pth")
    state = load_hrn(tmp_path / "a.pth", face()).networks.state_dict()
    assert state["net_recon.backbone.bn1.num_batches_tracked"].item() == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, bad: float) -> None:
    top = release()
    weight = torch.zeros(128, 64, 3, 3)
    weight[5, 4, 1, 1] = bad
    top["mid_net"]["model.4.weight"] = weight
    torch.save(top, tmp_path / "nan.pth")
    with pytest.raises(ModelFileError, match=r"nan\.pth: mid_net\.model\.4\.weight: .*not finite"):
        load_hrn(tmp_path / "nan.pth", face())


def test_loading_is_as_strict_as_the_check(tmp_path: Path) -> None:
    top = release()
    top["high_net"]["model.10.conv_block.5.bias"] = top["high_net"].pop(
        "model.10.conv_block.6.bias"
    )
    torch.save(top, tmp_path / "odd.pth")
    with pytest.raises(ModelFileError, match=r"high_net\.model\.10\.conv_block\.6\.bias: absent"):
        load_hrn(tmp_path / "odd.pth", face())
    with pytest.raises(ModelFileError, match="generator: absent"):
        load_deretouch(tmp_path / "odd.pth")


def test_the_release_goes_with_bfm_alone(tmp_path: Path) -> None:
    path = tmp_path / "epoch_10.pth"
    torch.save(release(), path)
    with pytest.raises(ModelFileError, match=r"model bfm with 80 \+ 64 \+ 80 .* not for ict"):
        load_hrn(path, face("ict"))
    with pytest.raises(ModelFileError, match=r"not for bfm with 80 \+ 64 \+ 0"):
        load_hrn(path, face("bfm", (80, 64, 0)))
    note = "no bfm_uvs2.npy: a chart of facekit's own, which HRN's released weights do not know"
    other = replace(face(), notes=("something else", note))
    assert load_hrn(path, other).notes == (note,)


def test_our_own_come_back_bit_by_bit(own: Path) -> None:
    networks = small_networks()
    loaded = load_hrn(own, face("x", SMALL.counts))
    assert loaded.kind == "facekit" and loaded.networks.layout == SMALL
    assert loaded.info.training == {"epoch": 7, "loss": 0.5}
    assert loaded.info.facekit == __version__
    found = loaded.networks.state_dict()
    assert all(torch.equal(found[name], t) for name, t in networks.state_dict().items())
    maps = torch.rand(1, 9, 16, 16)
    with torch.no_grad():
        expected = networks.eval().high_net(maps)
        assert torch.equal(loaded.networks.high_net(maps), expected)


def test_our_own_retouching_comes_back(tmp_path: Path) -> None:
    network = DeretouchNet(width=4, size=32)
    path = tmp_path / "own.safetensors"
    save_deretouch(path, network, training={"steps": 3})
    loaded = load_deretouch(path)
    assert loaded.network.size == 32
    assert loaded.kind == "facekit" and loaded.info.training == {"steps": 3}
    texture = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded.network(texture), network.eval()(texture))


def test_our_own_refuse_another_face_model(own: Path) -> None:
    right = face("x", SMALL.counts)
    with pytest.raises(ModelFileError, match=r"model x with 3 \+ 2 \+ 1 .*, not for y"):
        load_hrn(own, face("y", SMALL.counts))
    with pytest.raises(ModelFileError, match=r"not for x with 4 \+ 2 \+ 1"):
        load_hrn(own, face("x", (4, 2, 1)))
    with pytest.raises(ModelFileError, match=r"not for x with 3 \+ 2 \+ 9"):
        load_hrn(own, right, n_albedo=9)
    with pytest.raises(ModelFileError, match="9 vertices, but this one has 10"):
        load_hrn(own, replace(right, mean=np.zeros((10, 3)), identity=np.zeros((3, 10, 3)),
                              expression=np.zeros((2, 10, 3)), albedo=np.zeros((1, 10, 3)),
                              albedo_mean=np.zeros((10, 3))))  # fmt: skip
    with pytest.raises(ModelFileError, match="other texture coordinates"):
        load_hrn(own, replace(right, uv=right.uv[:, ::-1]))
    assert load_hrn(own, right, n_albedo=1).notes == ()


def test_the_modes_of_albedo_in_use_may_not_be_the_models(tmp_path: Path) -> None:
    path, plain = tmp_path / "own.safetensors", face("x", (3, 2, 0))
    save_hrn(path, small_networks(), plain)
    assert load_hrn(path, plain, n_albedo=1).networks.layout == SMALL
    with pytest.raises(ModelFileError, match=r"not for x with 3 \+ 2 \+ 0"):
        load_hrn(path, plain)


def test_our_own_of_the_other_kind_are_refused(own: Path, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="not a facekit-deretouch file"):
        load_deretouch(own)
    path = tmp_path / "a.safetensors"
    save_deretouch(path, DeretouchNet(width=1))
    with pytest.raises(SchemaError, match="not a facekit-hrn file"):
        load_hrn(path, face())


def test_a_write_that_fails_leaves_the_old_file(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.safetensors"
    path.write_bytes(own.read_bytes())

    def no_space(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(OSError, match="No space"):
        save_hrn(path, small_networks(1), face("x", SMALL.counts))
    assert path.read_bytes() == own.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_registered_checkpoint_is_the_default(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEKIT_ASSETS", str(tmp_path))
    right = face("x", SMALL.counts)
    with pytest.raises(InputError, match=r"facekit assets add hrn epoch_10\.pth"):
        load_hrn(None, right)
    with pytest.raises(InputError, match=r"facekit assets add deretouch de-retouching\.pth"):
        load_deretouch(None)
    register_asset("hrn", {"hrn.safetensors": own}, source=own.name)
    assert load_hrn(None, right).info.training["epoch"] == 7


@pytest.mark.slow
def test_a_whole_release_of_random_numbers(tmp_path: Path) -> None:
    """187 MB, as large as the true file; networks of it do as those that wrote it."""
    networks, path = HrnNetworks(HrnLayout()).eval(), tmp_path / "epoch_10.pth"
    torch.nn.init.normal_(networks.net_recon.final_layers[0].weight, 0.0, 0.01)  # type: ignore[arg-type]
    top: dict[str, Any] = {net: getattr(networks, net).state_dict() for net in NETWORKS}
    torch.save({**top, "alpha": networks.alpha, "beta": networks.beta}, path)
    assert path.stat().st_size > 4 * 46_800_000
    loaded = load_hrn(path, face()).networks
    again = tmp_path / "own.safetensors"
    save_hrn(again, loaded, face())
    own = load_hrn(again, face()).networks
    image, maps = torch.rand(1, 3, 224, 224), torch.rand(1, 6, 64, 64)
    with torch.no_grad():
        for other in (loaded, own):
            assert torch.equal(other.net_recon(image), networks.net_recon(image))
            assert torch.equal(other.mid_net(maps), networks.mid_net(maps))
            assert torch.equal(other.alpha, networks.alpha)
