"""States of a training on disk: written whole or not at all, checked when read, newest first.

    state/step-00001500.safetensors   networks, optimisers, mean weights
    state/step-00001500.json          counts, scalars of the optimisers, the other's SHA-256

The JSON file is written last: a state is there when it is. Both are synced to the disk before
they get their names, so that neither a killed process nor a machine that loses power leaves
half a state. Nothing is pickled. Chance needs no state: each step is seeded by its number.
"""

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.optim import Optimizer

from ...core.config import known_fields
from ...core.errors import FacekitError, InputError, SchemaError
from ...core.files import atomic_path, read_json, sha256_file

log = logging.getLogger(__name__)

_FORMAT = "facekit-train-state"
_VERSION = 1
_RECORD = re.compile(r"step-(\d{8,})\.json")


@dataclass(kw_only=True)
class Progress:
    """How far a training is: what its state says beside tensors."""

    step: int = 0
    """Steps done: the number of the next."""
    seconds: float = 0.0
    """Spent, over all times it was started."""
    best_score: float | None = None
    best_step: int | None = None
    since_best: int = 0
    """Validations after the best one."""
    validation: dict[str, float] = field(default_factory=dict)
    """The last one's figures."""
    best_validation: dict[str, float] = field(default_factory=dict)
    """Those of the best one."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What of a training has tensors in its state."""

    modules: Mapping[str, nn.Module]
    optimisers: Mapping[str, Optimizer]
    averages: Mapping[str, Tensor]
    scaler: torch.amp.GradScaler


def save_state(folder: Path, parts: Parts, progress: Progress, *, keep: int) -> None:
    """Write a state, then remove all but the newest `keep`.

    Raises
    ------
    InputError
        It cannot be written: the disk is full, or the folder not writable. Older states stay.
    """
    tensors = {
        f"module.{name}.{key}": tensor
        for name, module in parts.modules.items()
        for key, tensor in module.state_dict().items()
    }
    tensors |= {f"average.{name}": tensor for name, tensor in parts.averages.items()}
    scalars: dict[str, Any] = {}
    for name, optimiser in parts.optimisers.items():
        own, scalars[name] = _split(optimiser.state_dict())
        tensors |= {f"optimiser.{name}.{key}": tensor for key, tensor in own.items()}
    path = folder / f"step-{progress.step:08d}.safetensors"
    record = {
        "format": _FORMAT,
        "version": _VERSION,
        "progress": vars(progress),
        "optimisers": scalars,
        "scaler": parts.scaler.state_dict(),
    }
    with _writable(path, "its older states stay; "):
        write_tensors(path, tensors)
        text = json.dumps(record | {"sha256": sha256_file(path)}, indent=1, allow_nan=False)
        with atomic_path(path.with_suffix(".json")) as part:
            _write_synced(part, text.encode())
        _sync_folder(folder)
    for old in saved_steps(folder)[keep:]:
        _remove(folder, old)


def saved_steps(folder: Path) -> list[int]:
    """Return the steps of the states in a folder, newest first."""
    if not folder.is_dir():
        return []
    found = (_RECORD.fullmatch(path.name) for path in folder.iterdir())
    return sorted((int(match[1]) for match in found if match), reverse=True)


def newest_sound(folder: Path) -> int | None:
    """Return the step of the newest state that is whole; None where there is none at all.

    Raises
    ------
    InputError
        There are states, and all of them are damaged.
    SchemaError
        One that is newer than any whole one is of another version: to go on from an older one
        would overwrite what another facekit has trained.
    """
    steps = saved_steps(folder)
    for step in steps:
        try:
            _sound_record(folder, step)
        except SchemaError:
            raise
        except (FacekitError, OSError) as error:
            log.warning("%s; taking the one before", error)
            continue
        return step
    if steps:
        raise InputError(f"{folder}: every state in it is damaged; begin in another folder")
    return None


def load_state(folder: Path, step: int, parts: Parts) -> Progress:
    """Give networks and optimisers what a state holds.

    Raises
    ------
    InputError
        The state is damaged, or of other networks.
    SchemaError
        It is of another version.
    """
    record = _sound_record(folder, step)
    path = folder / f"step-{step:08d}.safetensors"
    tensors = read_tensors(path)
    try:
        for name, module in parts.modules.items():
            module.load_state_dict(_below(tensors, f"module.{name}."), strict=True)
        for name, optimiser in parts.optimisers.items():
            own = _below(tensors, f"optimiser.{name}.")
            optimiser.load_state_dict(_joined(own, record["optimisers"][name]))
            _lay_out(optimiser)
        for name, mean in parts.averages.items():
            mean.copy_(tensors[f"average.{name}"])
        if parts.scaler.is_enabled() and record["scaler"]:
            parts.scaler.load_state_dict(record["scaler"])
        return Progress(**known_fields(Progress, record["progress"]))
    except (KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        said = " ".join(str(error).split())[:160]
        raise InputError(
            f"{path}: not a state of these networks and optimisers ({said}); "
            "train in another folder"
        ) from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors, whole or not at all."""
    # cloned: safetensors refuses tensors that share memory
    plain = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}
    with atomic_path(path) as part:
        _write_synced(part, save(plain))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file of `write_tensors`; InputError where it is none."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not readable as safetensors ({error})") from error


def save_weights(path: Path, modules: Mapping[str, nn.Module]) -> None:
    """Write the networks' weights alone.

    Raises
    ------
    InputError
        They cannot be written.
    """
    with _writable(path, ""):
        write_tensors(
            path, {f"{n}.{k}": t for n, m in modules.items() for k, t in m.state_dict().items()}
        )


def load_weights(path: Path, modules: Mapping[str, nn.Module]) -> None:
    """Give the networks the weights of a file of `save_weights`.

    Raises
    ------
    InputError
        It is damaged, or of other networks.
    """
    tensors = read_tensors(path)
    try:
        for name, module in modules.items():
            module.load_state_dict(_below(tensors, f"{name}."), strict=True)
    except (RuntimeError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())[:160]
        raise InputError(f"{path}: not the weights of these networks ({said})") from error


def clear_parts(out: Path, states: Path) -> None:
    """Remove what a killed process left half written in a run's folder."""
    for folder in (out, *(path for path in out.iterdir() if path.is_dir())):
        for path in folder.glob("*.part.*"):
            path.unlink(missing_ok=True)
    whole = set(saved_steps(states))
    for path in states.glob("step-*.safetensors"):
        if int(path.stem.removeprefix("step-")) not in whole:
            path.unlink(missing_ok=True)


def _sound_record(folder: Path, step: int) -> dict[str, Any]:
    """Read a state's record once its tensors are what was written; InputError otherwise."""
    path = folder / f"step-{step:08d}.safetensors"
    record = read_json(path.with_suffix(".json"), format_name=_FORMAT, version=_VERSION)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if sha256_file(path) != record.get("sha256"):
        raise InputError(f"{path}: damaged: its content is not what was written")
    return dict(record)


def _split(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Part an optimiser's state into tensors by name and what JSON can hold."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        numbers[str(index)] = {}
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{key}"] = value
            else:
                numbers[str(index)][key] = value
    return tensors, {"groups": state["param_groups"], "numbers": numbers}


def _joined(tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> dict[str, Any]:
    """Return the optimiser state that `_split` took apart."""
    state = {int(index): dict(entries) for index, entries in scalars["numbers"].items()}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        state[int(index)][key] = tensor
    return {"state": state, "param_groups": scalars["groups"]}


def _lay_out(optimiser: Optimizer) -> None:
    """Lay tensors out in memory as their parameters are, which a file does not keep: for speed."""
    for parameter, entries in optimiser.state.items():
        for key, value in entries.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.ndim:
                entries[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}


def _remove(folder: Path, step: int) -> None:
    """Remove a state, its record first: what is half removed is no state."""
    with suppress(OSError):
        (folder / f"step-{step:08d}.json").unlink(missing_ok=True)
        (folder / f"step-{step:08d}.safetensors").unlink(missing_ok=True)


def _write_synced(path: Path, content: bytes) -> None:
    """Write a file, and let the disk have it before it gets its name."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _writable(path: Path, stays: str) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{path}: cannot be written ({reason}); {stays}make room or the folder writable, and "
            "start the same command again"
        ) from error
