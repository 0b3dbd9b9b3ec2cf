"""Checkpoints as published and otherwise: each that is not what it should be gets its sentence.

Tensors are written as one number repeated by strides of zero: every name and shape of the
release in a file of 0.3 MB.
"""

import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from facekit.core.errors import InputError, ModelFileError, SchemaError
from facekit.core.facemodel.checkpoint_check import check_deretouch, check_hrn
from facekit.core.facemodel.checkpoint_tables import (
    COUNTER,
    HrnLayout,
    Table,
    deretouch_table,
    hrn_table,
)
from facekit.core.facemodel.commands import assets

NETWORKS = ("net_recon", "mid_net", "high_net")
State = OrderedDict[str, torch.Tensor]


def light(table: Table) -> State:
    state: State = OrderedDict()
    for i, (name, shape) in enumerate(table.items()):
        is_counter = name.endswith(COUNTER)
        value = torch.tensor([3] if is_counter else [(1 + i) / 1000.0])
        state[name] = value.expand(shape) if shape else value[0]
    return state


@pytest.fixture
def release() -> dict[str, Any]:
    """Return the dict of `epoch_10.pth`, with what its trainer left in it."""
    state = light(hrn_table(HrnLayout()))
    top: dict[str, Any] = {
        net: OrderedDict(
            (name.removeprefix(f"{net}."), tensor)
            for name, tensor in state.items()
            if name.startswith(f"{net}.")
        )
        for net in NETWORKS
    }
    for net in NETWORKS:  # as torch leaves it
        top[net]._metadata = OrderedDict([("", {"version": 1}), ("model", {"version": 1})])
    weight = torch.nn.Parameter(torch.ones(3))
    optimiser = torch.optim.Adam([weight], lr=1e-4)
    weight.sum().backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 10, 0.2)
    alpha = torch.nn.Parameter(torch.tensor([0.5]))
    top |= {"alpha": alpha, "beta": torch.tensor([0.25], requires_grad=True)}
    return top | {"opt_00": optimiser.state_dict(), "sched_00": schedule.state_dict()}


def saved(content: Any, path: Path, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def refusal(check: Callable[[Path], Any], path: Path) -> str:
    """Return the sentence, which must be one, short, and name the file."""
    with pytest.raises(InputError) as caught:
        check(path)
    said = str(caught.value)
    assert path.name in said and "\n" not in said and len(said.replace(str(path), "")) < 300
    return said


@pytest.mark.parametrize("is_legacy", [False, True])
def test_the_release_passes_in_both_containers(
    release: dict[str, Any], tmp_path: Path, is_legacy: bool
) -> None:
    path = saved(release, tmp_path / "epoch_10.pth", _use_new_zipfile_serialization=not is_legacy)
    info = check_hrn(path)
    assert info.kind == "official" and info.layout == HrnLayout() and info.face is None


def test_what_the_trainer_needs_may_be_absent(release: dict[str, Any], tmp_path: Path) -> None:
    del release["opt_00"], release["sched_00"]
    for name in [n for n in release["net_recon"] if n.endswith(COUNTER)]:
        del release["net_recon"][name]
    assert check_hrn(saved(release, tmp_path / "a.pth")).kind == "official"


def test_the_deretouching_network_passes(tmp_path: Path) -> None:
    path = saved({"generator": light(deretouch_table())}, tmp_path / "de-retouching.pth")
    assert check_deretouch(path).kind == "official"


def _rename(net: str, old: str, new: str) -> Callable[[dict[str, Any]], None]:
    def change(top: dict[str, Any]) -> None:
        top[net] = OrderedDict((k.replace(old, new), v) for k, v in top[net].items())

    return change


def _set(net: str, name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda top: top[net].__setitem__(name, value)


def _without(name: str, net: str | None = None) -> Callable[[dict[str, Any]], Any]:
    return lambda top: (top if net is None else top[net]).pop(name)


def _unet(top: dict[str, Any]) -> None:
    top["mid_net"] = {f"model.model.{k}": v for k, v in top["mid_net"].items()}


ODD: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("no alpha", _without("alpha"), "alpha: absent; its top level holds net_recon"),
    ("no beta", _without("beta"), "beta: absent"),
    ("no network", _without("high_net"), "high_net: absent"),
    ("U-Net", _unet, "mid_net: its names begin with model.model.: a U-Net"),
    (
        "wrapped",
        lambda top: top.update(net_recon={f"module.{k}": v for k, v in top["net_recon"].items()}),
        "net_recon: its names begin with module.: saved from a DataParallel",
    ),
    (
        "no dropout",
        _rename("high_net", "conv_block.6", "conv_block.5"),
        "high_net.model.10.conv_block.6.weight: absent, as are 17 others; its blocks have "
        "conv_block.5 instead",
    ),
    (
        "one tensor less",
        _without("backbone.layer3.4.conv2.weight", "net_recon"),
        "net_recon.backbone.layer3.4.conv2.weight: absent",
    ),
    (
        "one more",
        _set("net_recon", "backbone.fc.weight", torch.ones(1)),
        "net_recon.backbone.fc.weight: of no layer",
    ),
    (
        "other shape",
        _set("mid_net", "model.26.weight", torch.ones(1).expand(1, 64, 7, 7)),
        "mid_net.model.26.weight: its shape is (1, 64, 7, 7), not (3, 64, 7, 7)",
    ),
    (
        "larger than memory",
        _set("mid_net", "model.26.bias", torch.ones(1).expand(1 << 38)),
        "mid_net.model.26.bias: its shape is (274877906944)",
    ),
    ("alpha of two", lambda top: top.update(alpha=torch.ones(2)), "alpha: its shape is (2)"),
    ("alpha no tensor", lambda top: top.update(alpha=0.5), "alpha: a float, not a tensor"),
    ("whole numbers", _set("high_net", "model.1.bias", torch.ones(64).long()), "holds int64"),
    ("unknown part", lambda top: top.update(netG={}), "netG: not of HRN's checkpoint"),
    ("network no dict", lambda top: top.update(mid_net=[1]), "mid_net: holds a list"),
    ("tensor no tensor", _set("mid_net", "model.1.bias", None), "model.1.bias: a NoneType"),
]


@pytest.mark.parametrize(("change", "told"), [row[1:] for row in ODD], ids=[r[0] for r in ODD])
def test_what_is_not_the_release_is_refused(
    release: dict[str, Any], tmp_path: Path, change: Callable[[dict[str, Any]], Any], told: str
) -> None:
    change(release)
    assert told in refusal(check_hrn, saved(release, tmp_path / "odd.pth"))


def test_other_checkpoints_are_told_by_their_top_level(tmp_path: Path) -> None:
    bare = saved(light({"conv1.weight": (2, 2)}), tmp_path / "bare.pth")
    assert "its top level holds conv1.weight, but" in refusal(check_hrn, bare)
    assert "generator: absent; its top level holds conv1" in refusal(check_deretouch, bare)
    assert "holds a list" in refusal(check_hrn, saved([torch.ones(2)], tmp_path / "list.pth"))
    assert "holds nothing" in refusal(check_hrn, saved({}, tmp_path / "empty.pth"))
    generator = light(deretouch_table())
    del generator["dsoutc2.conv.bias"]
    path = saved({"generator": generator}, tmp_path / "short.pth")
    assert "generator.dsoutc2.conv.bias: absent" in refusal(check_deretouch, path)


def test_lists_that_hold_each_other_are_not_spelt_out(tmp_path: Path) -> None:
    """Forty doublings in 200 bytes: a sentence with such a value in it would never end."""
    laughs: Any = []
    for _ in range(40):
        laughs = [laughs, laughs]
    for content in ({"alpha": laughs}, laughs, {"net_recon": laughs}):
        refusal(check_hrn, saved(content, tmp_path / "laughs.pth"))


def own_header(**changes: Any) -> dict[str, Any]:
    layout = {
        "counts": [3, 2, 1], "backbone": "resnet18", "mid_width": 4, "high_width": 4,
        "mid_blocks": 1, "high_blocks": 1, "image_size": 224, "deformation_size": 64,
        "displacement_size": 256,
    }  # fmt: skip
    face = {"name": "procedural", "n_vertices": 9, "chart": [0.5, 0.5, 0.1, 0.1]}
    header = {"format": "facekit-hrn", "version": 1, "face_model": face, "layout": layout}
    for name, value in changes.items():
        part = layout if name in layout else header
        part[name] = value
    return header


def own(path: Path, header: Any, **changes: torch.Tensor) -> Path:
    layout = HrnLayout(
        counts=(3, 2, 1), backbone="resnet18", mid_width=4, high_width=4, mid_blocks=1,
        high_blocks=1,
    )  # fmt: skip
    tensors = {k: v.half().contiguous() for k, v in light(hrn_table(layout)).items()}
    tensors |= {k: torch.tensor(3) for k in tensors if k.endswith(COUNTER)}
    text = header if isinstance(header, str) else json.dumps(header)
    save_file(tensors | changes, path, metadata={"facekit": text})
    return path


def test_a_file_from_before_networks_of_landmarks_has_none(tmp_path: Path) -> None:
    header = own_header()
    assert "landmark_width" not in header["layout"]
    assert check_hrn(own(tmp_path / "own.safetensors", header)).layout.landmark_width == 0


def test_a_network_of_landmarks_that_is_told_must_be_there(tmp_path: Path) -> None:
    header = own_header()
    header["layout"]["landmark_width"] = 8
    with pytest.raises(ModelFileError, match="landmark_net"):
        check_hrn(own(tmp_path / "own.safetensors", header))


def test_our_own_passes(tmp_path: Path) -> None:
    info = check_hrn(own(tmp_path / "own.safetensors", own_header(training={"epoch": 7})))
    assert info.kind == "facekit" and info.layout.counts == (3, 2, 1)
    assert info.face is not None and info.face.name == "procedural"
    assert info.training == {"epoch": 7}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": "facekit-deretouch"}, "not a facekit-hrn file"),
        ({"version": 2}, "facekit-hrn version 2, but this facekit reads version 1"),
        ({"layout": None}, "layout: absent"),
        ({"backbone": "vgg"}, "backbone: none of resnet18"),
        ({"backbone": []}, "backbone: none of resnet18"),
        ({"counts": [3, 2]}, "counts: not three"),
        ({"counts": [3, 2, -1]}, "counts: not a whole number from 0"),
        ({"counts": [3, 2, 1e9]}, "counts: not a whole number"),
        ({"mid_width": 1 << 30}, "mid_width: not a whole number from 1 to 1024"),
        ({"mid_blocks": True}, "mid_blocks: not a whole number"),
        ({"deformation_size": 63}, "deformation_size: 63 is no multiple of 4"),
        ({"face_model": {"name": "x"}}, "face_model: absent from its header, or damaged"),
        ({"counts": [4, 2, 1]}, "net_recon.final_layers.0.weight: its shape is (3, 512, 1, 1)"),
    ],
)
def test_headers_that_do_not_fit_are_refused(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    path = own(tmp_path / "own.safetensors", own_header(**changes))
    assert told in refusal(check_hrn, path)


def test_our_own_without_header_or_damaged(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    for header in ("{", "[]", "3", "null", "[" * 100_000):
        with pytest.raises(SchemaError, match="without facekit's header"):
            check_hrn(own(path, header))
    save_file({"a": torch.ones(2)}, path)
    assert "without facekit's header" in refusal(check_hrn, path)
    own(path, own_header(), extra=torch.ones(3))
    assert "extra: of no layer" in refusal(check_hrn, path)
    content = own(path, own_header()).read_bytes()
    for n in (0, 4, 9, 400, len(content) - 1):
        path.write_bytes(content[:n])
        refusal(check_hrn, path)
    path.write_bytes(content + b"x")
    assert "but its header tells of" in refusal(check_hrn, path)


def test_checkpoints_are_registered_and_verified(
    release: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEKIT_ASSETS", str(tmp_path / "assets"))

    def run(*words: str) -> tuple[int, Any]:
        done = CliRunner().invoke(assets, [*words, "--json"])
        return done.exit_code, json.loads(done.stdout)

    weights = saved(release, tmp_path / "epoch_10.pth")
    retouch = saved({"generator": light(deretouch_table())}, tmp_path / "de-retouching.pth")
    code, added = run("add", "hrn", str(weights))
    assert code == 0 and added["weights"] == "official" and added["face model"] == "bfm"
    assert added["modes"] == "80 + 64 + 80" and Path(added["file"]).name == "hrn.pth"
    code, added = run("add", "hrn", str(own(tmp_path / "own.safetensors", own_header())))
    assert code == 0 and added["weights"] == "facekit" and added["backbone"] == "resnet18"
    registered = Path(added["file"])
    assert registered.suffix == ".safetensors"
    assert run("add", "deretouch", str(retouch))[0] == 0
    assert run("verify") == (0, {"ok": True, "assets": {
        kind: {"ok": True, "wrong": ""} for kind in ("deretouch", "hrn")
    }})  # fmt: skip
    registered.write_bytes(registered.read_bytes()[:-1])
    code, found = run("verify")
    assert code == 2 and "changed since" in found["assets"]["hrn"]["wrong"]
    refused = CliRunner().invoke(assets, ["add", "hrn", str(retouch)])
    assert isinstance(refused.exception, ModelFileError)
    assert "net_recon: absent" in str(refused.exception)


def test_verify_checks_the_tensors_of_what_an_older_facekit_let_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from facekit.core.assets import register_asset

    monkeypatch.setenv("FACEKIT_ASSETS", str(tmp_path / "assets"))
    path = saved({"generator": {}}, tmp_path / "a.pth")
    register_asset("deretouch", {"deretouch.pth": path}, source="a.pth")
    done = CliRunner().invoke(assets, ["verify", "--json"])
    assert done.exit_code == 2
    assert "generator.inc.conv.conv.0.weight: absent" in done.stdout
