"""Weights of HRN's networks: the official release's, and facekit's own.

The official files are what `torch.save` wrote, so pickles: what they ask for is looked at first
(`core/facemodel/checkpoint_check`), then torch reads them with `weights_only`. facekit writes
safetensors, whose header says which face model the weights go with. Either way nothing is left
random: a tensor that is absent, too many, of another shape or not finite is an error.
"""

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .. import __version__
from ..core.assets import find_asset
from ..core.errors import InputError, ModelFileError
from ..core.facemodel.checkpoint_check import (
    CheckpointInfo,
    Kind,
    check_deretouch,
    check_face,
    check_hrn,
    face_record,
    own_header,
)
from ..core.facemodel.checkpoint_tables import COUNTER
from ..core.facemodel.model import FaceModel
from ..core.files import write_bytes
from .networks.deretouch import DeretouchNet
from .networks.hrn import HrnNetworks

_GENERATOR = "generator."
_Network = TypeVar("_Network", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class HrnCheckpoint:
    """HRN's networks with their weights."""

    networks: HrnNetworks
    """In `eval()`, float32; `alpha` and `beta` are among its parameters."""
    info: CheckpointInfo
    notes: tuple[str, ...]
    """What a user should know, a sentence each."""

    @property
    def kind(self) -> Kind:
        """`official` or `facekit`."""
        return self.info.kind


@dataclass(frozen=True, kw_only=True)
class DeretouchCheckpoint:
    """The de-retouching network with its weights."""

    network: DeretouchNet
    """In `eval()`, float32."""
    info: CheckpointInfo

    @property
    def kind(self) -> Kind:
        """`official` or `facekit`."""
        return self.info.kind


def load_hrn(
    path: Path | None,
    face: FaceModel,
    *,
    n_albedo: int | None = None,
    device: torch.device | str = "cpu",
) -> HrnCheckpoint:
    """Load the networks and their gains, for a face model.

    Parameters
    ----------
    path : Path or None
        `epoch_10.pth` of HRN's release, which goes with BFM, or a file of `save_hrn`; None: what
        is registered as the asset `hrn`.
    face : FaceModel
    n_albedo : int, optional
        Modes of the albedo in use, where they are not the model's own.
    device : torch.device or str
        Where the weights go.

    Raises
    ------
    InputError
        No path is given, and nothing is registered.
    ModelFileError
        The file is absent, damaged, not exactly what it should be, or of another face model;
        the message names the tensor at fault.
    SchemaError
        It is facekit's own, but another kind or version.
    """
    path = _registered("hrn", "epoch_10.pth") if path is None else path
    info = check_hrn(path)
    notes = check_face(info, face, n_albedo=n_albedo)
    with torch.device("meta"):
        networks = HrnNetworks(info.layout)
    if info.kind == "official":
        found = _torch_file(path)
        tensors = {name: found[name] for name in ("alpha", "beta")}
        for net in ("net_recon", "mid_net", "high_net"):
            tensors |= {f"{net}.{name}": tensor for name, tensor in found[net].items()}
    else:
        tensors = _safetensors_file(path)
    return HrnCheckpoint(networks=_filled(networks, tensors, path, device), info=info, notes=notes)


def load_deretouch(path: Path | None, *, device: torch.device | str = "cpu") -> DeretouchCheckpoint:
    """Load the de-retouching network.

    Parameters
    ----------
    path : Path or None
        `de-retouching.pth` of HRN's release, or a file of `save_deretouch`; None: what is
        registered as the asset `deretouch`.

    Raises
    ------
    InputError, ModelFileError, SchemaError
        As `load_hrn`.
    """
    path = _registered("deretouch", "de-retouching.pth") if path is None else path
    info = check_deretouch(path)
    with torch.device("meta"):
        network = DeretouchNet(width=info.width, size=info.size)
    if info.kind == "official":
        tensors = _torch_file(path)["generator"]
    else:
        found = _safetensors_file(path)
        tensors = {name.removeprefix(_GENERATOR): tensor for name, tensor in found.items()}
    return DeretouchCheckpoint(network=_filled(network, tensors, path, device), info=info)


def save_hrn(
    path: Path,
    networks: HrnNetworks,
    face: FaceModel,
    *,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write the networks and what they go with as safetensors, atomically.

    Parameters
    ----------
    training : mapping, optional
        What the trainer wants to leave on record; JSON-able.
    """
    info = CheckpointInfo(
        path=path,
        kind="facekit",
        layout=networks.layout,
        face=face_record(face),
        training=training or {},
    )
    _write(path, networks.state_dict(), own_header(info, "hrn", __version__))


def save_deretouch(
    path: Path, network: DeretouchNet, *, training: Mapping[str, Any] | None = None
) -> None:
    """Write the de-retouching network as safetensors, atomically; see `save_hrn`."""
    info = CheckpointInfo(
        path=path,
        kind="facekit",
        width=network.width,
        size=network.size,
        training=training or {},
    )
    tensors = {_GENERATOR + name: tensor for name, tensor in network.state_dict().items()}
    _write(path, tensors, own_header(info, "deretouch", __version__))


def _registered(kind: str, file: str) -> Path:
    path = find_asset(kind)
    if path is None:
        raise InputError(
            f"no {kind} checkpoint is registered; run: facekit assets add {kind} {file}"
        )
    return path


def _torch_file(path: Path) -> dict[str, Any]:
    """Let torch read a checked file; parts that nobody asks for stay on disk."""
    try:
        return torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except (RuntimeError, pickle.UnpicklingError, OSError, ValueError, EOFError) as error:
        said = str(error).split("\n")[0][:120]
        raise ModelFileError(f"{path}: torch cannot read it ({said}); fetch it again") from error


def _safetensors_file(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path}: not readable as safetensors ({error})") from error


def _filled(
    network: _Network, tensors: Mapping[str, Tensor], path: Path, device: torch.device | str
) -> _Network:
    """Give a network on the meta device its weights, copied, as float32."""
    state: dict[str, Tensor] = {}
    for name in network.state_dict():
        if name.endswith(COUNTER):
            state[name] = tensors.get(name, torch.tensor(0)).detach().to(device, torch.int64)
            continue
        tensor = tensors[name].detach().to(device, torch.float32, copy=True).contiguous()
        if not bool(torch.isfinite(tensor.sum())):
            raise ModelFileError(f"{path}: {name}: holds numbers that are not finite")
        state[name] = tensor
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval()


def _write(path: Path, tensors: Mapping[str, Tensor], texts: dict[str, str]) -> None:
    from safetensors.torch import save

    plain = {name: t.detach().to("cpu").contiguous() for name, t in tensors.items()}
    write_bytes(path, save(plain, metadata=texts))
