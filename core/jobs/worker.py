"""A worker's process: it does a cluster's jobs, one at a time or one for each GPU.

A watcher (Dask's nanny) starts the process that works, and another when that dies. When the
scheduler goes, the work goes with it, and the worker waits a while for a scheduler to come back
under the same file.
"""

import asyncio
import json
import logging
import os
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..devices import require
from ..errors import InputError
from .certificates import EXTRA
from .cluster import GPU
from .processes import THREAD_LIMITS
from .scheduler import LOOPBACK, quiet_settings, stop_event
from .schedulerfile import SchedulerAddress, load_scheduler_file, security_of

log = logging.getLogger(__name__)

PATIENCE_S = 600.0
_LOOK_EVERY_S = 2.0  # for a scheduler that may have come back
_JOIN_S = 60.0


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """What a worker offers."""

    file: str
    """The scheduler's."""
    gpu: int = 0
    """GPUs; a process works for each. 0: one process, without."""
    first_gpu: int = 0
    """Of those that it may see."""
    lifetime_s: float | None = None
    """It ends after that, what it does then is done elsewhere; None: with the scheduler."""
    memory: str = "auto"
    """A process that takes more is ended and its job tried again: `16GB`, a part of what the
    machine has, or `auto`: this worker's processes share it."""
    threads: int | None = None
    """Of each process; None: all processors that it may use, shared."""
    patience_s: float = PATIENCE_S
    """How long it waits for a scheduler to come back."""


async def work(config: WorkerConfig) -> None:
    """Do jobs until SIGINT, SIGTERM, the end of the lifetime, or of the patience.

    Raises
    ------
    InputError
        The scheduler's file is none, or nobody answered at the first time.
    MissingDependencyError
        Dask is not installed.
    """
    require("distributed", extra=EXTRA)
    stopped, end = stop_event(), time.monotonic() + (config.lifetime_s or float("inf"))
    where = load_scheduler_file(Path(config.file))
    if not await _joined(config, where, stopped, end):
        raise InputError(f"{where.address}: no scheduler answers; is `facekit cluster` running?")
    while not stopped.is_set() and time.monotonic() < end:
        log.info("the scheduler has gone; waiting for another")
        if not await _comes_back(config, stopped, end):
            return


async def _comes_back(config: WorkerConfig, stopped: asyncio.Event, end: float) -> bool:
    """Wait for a scheduler, work for it; False when none came."""
    last = min(end, time.monotonic() + config.patience_s)
    while time.monotonic() < last and not stopped.is_set():
        await _pause(stopped, _LOOK_EVERY_S)
        try:
            where = load_scheduler_file(Path(config.file))
        except InputError:
            continue  # not there yet
        if await _answers(where) and await _joined(config, where, stopped, end):
            return True
    return False


async def _answers(where: SchedulerAddress) -> bool:
    host, _, port = where.address.rpartition("/")[-1].rpartition(":")
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host.strip("[]"), port), 5)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def _joined(
    config: WorkerConfig, where: SchedulerAddress, stopped: asyncio.Event, end: float
) -> bool:
    """Work for a scheduler until it goes; False if it could not be joined."""
    dask = require("dask", extra=EXTRA)
    n = max(1, config.gpu)
    threads = config.threads or max(1, len(os.sched_getaffinity(0)) // n)
    limits = dict.fromkeys(THREAD_LIMITS, str(threads))
    os.environ |= limits  # libraries read them when they are first imported
    os.environ["DASK_LOGGING__DISTRIBUTED"] = "critical"  # the same for the processes that work
    environ = {f"distributed.nanny.pre-spawn-environ.{name}": limits[name] for name in limits}
    with (
        dask.config.set(quiet_settings() | environ),
        tempfile.TemporaryDirectory(prefix="facekit-worker-", ignore_cleanup_errors=True) as place,
    ):
        nannies = [_nanny(config, where, place, index, n) for index in range(n)]
        try:
            await asyncio.wait_for(asyncio.gather(*nannies), _JOIN_S)
        except (OSError, TimeoutError, RuntimeError) as error:
            log.debug("not joined: %s", error)
            await _closed(nannies)
            return False
        log.info("joined %s", where.address)
        ends = asyncio.gather(*(nanny.finished() for nanny in nannies))
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(stopped.wait()), ends]
        left = None if end == float("inf") else max(0.0, end - time.monotonic())
        await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        await _closed(nannies)
        for wait in waits:
            wait.cancel()
    return True


def _nanny(config: WorkerConfig, where: SchedulerAddress, place: str, index: int, n: int) -> Any:
    distributed = require("distributed", extra=EXTRA)
    offers: dict[str, Any] = {}
    # one that offers no GPU uses none: it may be another worker's
    device = _device(config.first_gpu + index) if config.gpu else "-1"
    offers["env"] = {"CUDA_VISIBLE_DEVICES": device}
    if config.gpu:
        offers["resources"] = {GPU: 1}
    memory: Any = str(1 / n) if config.memory == "auto" else config.memory
    with suppress(ValueError):
        memory = float(memory)
    # it listens where the scheduler can reach it, and nowhere else
    offers["host"] = require("distributed.utils", extra=EXTRA).get_ip(where.host)
    return distributed.Nanny(
        where.address, nthreads=1, security=security_of(where.certificates),
        memory_limit=memory, local_directory=place, death_timeout=_JOIN_S,
        dashboard=False, dashboard_address=f"{LOOPBACK}:0", silence_logs=logging.CRITICAL, **offers,
    )  # fmt: skip


def _device(index: int) -> str:
    """Return a GPU of those that this process may see: a batch system gives a few of many."""
    seen = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return seen[index] if index < len(seen) else str(index)


async def _closed(nannies: list[Any]) -> None:
    # the scheduler hears of it first, and blames no job
    await asyncio.gather(*(nanny.close(reason="ended") for nanny in nannies),
                         return_exceptions=True)  # fmt: skip


async def _pause(stopped: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopped.wait(), seconds)
    except TimeoutError:
        return


def main(text: str) -> None:
    """Run a worker as a process of its own, by a `WorkerConfig` in JSON."""
    asyncio.run(work(WorkerConfig(**json.loads(text))))


def command(config: WorkerConfig) -> list[str]:
    """Return the command line of `main`."""
    return [sys.executable, "-m", __name__, json.dumps(asdict(config))]


if __name__ == "__main__":
    main(sys.argv[1])
