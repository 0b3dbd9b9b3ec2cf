"""The processes of a training: what `torchrun` started together, or one alone.

Processes keep the same weights: they start with the first one's, and each step gives them the
same mean gradient. torch's `DistributedDataParallel` is not used: one sum of all gradients a
step needs no wrapped networks, and lets parameters be unused in a step, by all or by some.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from statistics import fmean
from typing import Any

import torch
from torch import distributed, nn

from ...core.devices import Device, chosen_device
from ...core.errors import EstimationError
from .config import LoopConfig


def training_device(config: LoopConfig) -> torch.device:
    """Return where this process computes: under `torchrun`, each one on a device of its own."""
    if chosen_device(config.device) is Device.CPU:
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def restarted() -> bool:
    """Tell whether a launcher or scheduler started this training again, as after a crash."""
    counts = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
    return any(os.environ.get(name, "0") not in ("", "0") for name in counts)


def one_voice() -> bool:
    """Let only the first process tell how it goes; return whether it is this one."""
    first = os.environ.get("RANK", "0") == "0" or "TORCHELASTIC_RUN_ID" not in os.environ
    if not first:
        logging.getLogger("facekit").setLevel(logging.WARNING)
    return first


@dataclass(frozen=True, kw_only=True)
class World:
    """One process among those of the training."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where what is exchanged has to lie."""

    @property
    def first(self) -> bool:
        """Whether this process writes what there is to write."""
        return self.rank == 0

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Give each parameter the mean of its gradients in all processes.

        A parameter without a gradient counts as zero where others have one, and stays without
        where none has: optimisers then leave it alone, as in one process.
        """
        if self.size == 1 or not parameters:
            return
        empty = torch.zeros((), device=self.device)
        flat = [
            (p.grad.reshape(-1) if p.grad is not None else empty.expand(p.numel())).to(
                self.device, torch.float32
            )
            for p in parameters
        ]
        has = torch.tensor([float(p.grad is not None) for p in parameters], device=self.device)
        total = torch.cat([*flat, has])
        with _told():
            distributed.all_reduce(total)
        some = total[-len(parameters) :].tolist()
        total /= self.size
        at = 0
        for parameter, n_with in zip(parameters, some, strict=True):
            mean = total[at : at + parameter.numel()]
            at += parameter.numel()
            if n_with > 0:
                parameter.grad = torch.empty_like(parameter).copy_(mean.view_as(parameter))

    def average_buffers(self, modules: Iterable[nn.Module]) -> None:
        """Give running means of all processes their mean."""
        buffers = [b for m in modules for b in m.buffers() if b.is_floating_point()]
        if self.size == 1 or not buffers:
            return
        total = torch.cat([b.reshape(-1).to(self.device, torch.float32) for b in buffers])
        with _told():
            distributed.all_reduce(total)
        total /= self.size
        at = 0
        for buffer in buffers:
            buffer.copy_(total[at : at + buffer.numel()].view_as(buffer))
            at += buffer.numel()

    def share(self, modules: Iterable[nn.Module]) -> None:
        """Give all processes the first one's parameters and buffers."""
        if self.size == 1:
            return
        with _told(), torch.no_grad():
            for module in modules:
                for tensor in (*module.parameters(), *module.buffers()):
                    there = tensor.detach().to(self.device).contiguous()
                    distributed.broadcast(there, src=0)
                    tensor.copy_(there)

    def first_says(self, value: Any) -> Any:
        """Return the first process's value, in all of them."""
        if self.size == 1:
            return value
        box = [value]
        with _told():
            distributed.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def any_says(self, flag: int) -> int:
        """Return the largest flag of all processes."""
        if self.size == 1:
            return flag
        flags = torch.tensor([flag], device=self.device)
        with _told():
            distributed.all_reduce(flags, op=distributed.ReduceOp.MAX)
        return int(flags.item())

    def mean_terms(self, terms: Mapping[str, float]) -> dict[str, float]:
        """Return the mean of each term over the processes that have it."""
        if self.size == 1:
            return dict(terms)
        said: list[Any] = [None] * self.size
        with _told():
            distributed.all_gather_object(said, dict(terms))
        names = dict.fromkeys(name for one in said for name in one)
        return {name: fmean(one[name] for one in said if name in one) for name in names}


@contextmanager
def processes(config: LoopConfig) -> Iterator[World]:
    """Join the processes that `torchrun` started, for as long as the block lasts."""
    device = training_device(config)
    if "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("WORLD_SIZE", "1") == "1":
        yield World(device=device)
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with _told():
        distributed.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            timeout=timedelta(minutes=config.peer_minutes),
        )
    try:
        yield World(rank=distributed.get_rank(), size=distributed.get_world_size(), device=device)
    finally:
        distributed.destroy_process_group()


@contextmanager
def _told() -> Iterator[None]:
    """Say in a sentence that another process is gone."""
    try:
        yield
    except RuntimeError as error:
        first_line = str(error).partition("\n")[0][:160]
        raise EstimationError(
            f"another process of this training ended or does not answer ({first_line}); start "
            "all of them again, or let torchrun do it with --max-restarts: they go on from the "
            "newest state"
        ) from error
