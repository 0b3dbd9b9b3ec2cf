"""Batches of the steps to come, made by worker processes while the training computes."""

import dataclasses
import signal
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ...core.errors import EstimationError, FacekitError
from .config import LoopConfig
from .distributed import World
from .task import Feed
from .watchdog import STOPPING


@dataclasses.dataclass(frozen=True)
class _Failed:
    """A batch that could not be made; torch would wrap the error's sentence in a traceback."""

    error: FacekitError


class StepBatches(Dataset[Any]):
    """A process's batches, numbered by step and part."""

    def __init__(self, feed: Feed, parts: int, rank: int, world: int) -> None:
        self.feed, self.parts, self.rank, self.world = feed, parts, rank, world

    def __getitem__(self, number: int) -> Any:
        step, part = divmod(number, self.parts)
        try:
            return self.feed.batch(step, part, self.rank, self.world)
        except FacekitError as error:
            return _Failed(error)


def step_batches(
    feed: Feed, config: LoopConfig, world: World, *, start: int
) -> Generator[list[Any]]:
    """Yield the batches of each step from `start` on, on the device.

    With workers each batch is made in a process of its own, started afresh (not forked: numba's
    threads and CUDA do not survive that), in the order of steps.

    Raises
    ------
    FacekitError
        A batch could not be made.
    EstimationError
        A worker was killed.
    """
    batches = StepBatches(feed, config.parts, world.rank, world.size)
    numbers = range(start * config.parts, config.steps * config.parts)
    loader: DataLoader[Any] = DataLoader(
        batches,
        batch_size=None,
        sampler=numbers,
        num_workers=config.workers,
        prefetch_factor=config.prefetch if config.workers else None,
        multiprocessing_context="spawn" if config.workers else None,
        worker_init_fn=_start_worker if config.workers else None,
        pin_memory=world.device.type == "cuda" and config.workers > 0,
    )
    made = iter(loader)
    for _ in range(start, config.steps):
        yield [to_device(_next(made), world.device) for _ in range(config.parts)]


def _next(made: Iterator[Any]) -> Any:
    try:
        batch = next(made)
    except RuntimeError as error:
        if "worker" not in str(error):
            raise
        raise EstimationError(
            "a process that makes batches was killed, perhaps since memory ran out: lower "
            "loop.workers, or start the same command again"
        ) from error
    if isinstance(batch, _Failed):
        raise batch.error
    return batch


def to_device(batch: Any, device: torch.device) -> Any:
    """Move the tensors in tuples, lists, mappings and dataclasses to a device."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(value, device) for value in batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(to_device(value, device) for value in batch)
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        names = [f.name for f in dataclasses.fields(batch) if f.init]
        return dataclasses.replace(
            batch, **{name: to_device(getattr(batch, name), device) for name in names}
        )
    return batch


def _start_worker(number: int) -> None:
    """Let a worker use one thread, and leave signals to the process that asked for it."""
    torch.set_num_threads(1)
    for signal_number in STOPPING:
        signal.signal(signal_number, signal.SIG_IGN)
