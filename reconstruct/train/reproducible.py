"""Networks that are only looked at, and computation that comes out the same each time."""

import hashlib
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ...core.torchthreads import torch_threads
from .config import LoopConfig
from .distributed import World


@contextmanager
def frozen(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Have networks in `eval()`, without gradients, within."""
    flags = [(part, part.training) for module in modules for part in module.modules()]
    for part, _ in flags:
        part.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for part, flag in flags:
            part.training = flag


@contextmanager
def reproducible(config: LoopConfig, world: World) -> Iterator[None]:
    """Compute within with a fixed number of threads, and the same way each time where that works.

    On CUDA operations that have no such way are taken as they are.
    """
    if not config.deterministic:
        tuned = torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = True  # each convolution by the way measured quickest
        try:
            with torch_threads(config.threads):
                yield
        finally:
            torch.backends.cudnn.benchmark = tuned
        return
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    filling = memory.fill_uninitialized_memory
    cuda = world.device.type == "cuda"
    torch.use_deterministic_algorithms(True, warn_only=cuda)
    memory.fill_uninitialized_memory = False  # it costs, and changes nothing
    try:
        with torch_threads(config.threads), warnings.catch_warnings():
            if cuda:
                warnings.filterwarnings("ignore", message=".*deterministic.*")
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)
        memory.fill_uninitialized_memory = filling


def seed_of_step(seed: int, step: int, rank: int) -> int:
    """Return the seed of a step in a process."""
    digest = hashlib.sha256(f"{seed} {step} {rank}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
