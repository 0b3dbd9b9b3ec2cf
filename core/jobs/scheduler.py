"""The scheduler's process: it hands jobs to workers, by TLS alone, and keeps nothing on disk."""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..devices import require
from ..errors import InputError
from ..folderlock import only_writer
from .certificates import EXTRA, make_certificates, private_folder
from .cluster import ALLOWED_FAILURES
from .schedulerfile import SCHEDULER_FILE, security_of, write_scheduler_file

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class SchedulerConfig:
    """Where a scheduler listens."""

    folder: str
    """For its file and certificates; made for its owner alone."""
    host: str = LOOPBACK
    port: int = 0
    """0: one that is free."""


async def serve(config: SchedulerConfig, ready: Callable[[Path], None]) -> None:
    """Run a scheduler until SIGINT or SIGTERM; call `ready` with its file once it listens.

    Raises
    ------
    InputError
        The host or port cannot be listened at, or the folder belongs to somebody else or to
        another scheduler that runs.
    MissingDependencyError
        Dask or cryptography are not installed.
    """
    distributed, dask = require("distributed", extra=EXTRA), require("dask", extra=EXTRA)
    folder = Path(config.folder)
    private_folder(folder)
    with only_writer(folder), dask.config.set(quiet_settings()):  # one cluster a folder
        certificates = make_certificates(folder)
        stopped = stop_event()
        try:
            scheduler = await distributed.Scheduler(
                host=config.host, port=config.port, protocol="tls",
                security=security_of(certificates),
                dashboard=False, dashboard_address=f"{LOOPBACK}:0",
            )  # fmt: skip
        except (OSError, RuntimeError) as error:  # Dask wraps what was wrong
            raise InputError(
                f"{config.host}:{config.port}: cannot be listened at ({error.__cause__ or error}); "
                "give another --host or --port"
            ) from None
        try:
            ready(write_scheduler_file(folder, scheduler.address, certificates))
            await stopped.wait()
        finally:
            (folder / SCHEDULER_FILE).unlink(missing_ok=True)
            await scheduler.close(reason="facekit cluster ended")


def stop_event() -> asyncio.Event:
    """Return what is set when the process is asked to end; to be called in a running loop."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    return stopped


def quiet_settings() -> dict[str, Any]:
    """Return Dask's settings for scheduler and workers: no pages, patience with busy workers."""
    for name in ("distributed", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return {
        "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
        # pages without certificates or encryption: none
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        # compiled loops can keep a worker from answering for minutes; dead connections are found
        # by the time-out of TCP
        "distributed.scheduler.worker-ttl": "1 hour",
        "distributed.admin.tick.limit": "1 hour",
        "distributed.comm.require-encryption": True,
        "distributed.comm.timeouts.connect": "20 s",
        # a worker does one job: it neither stores results away nor waits for memory, which its
        # own job holds; it is ended when its memory is full
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.terminate": 0.95,
    }


def main(text: str) -> None:
    """Run a scheduler as a process of its own, by a `SchedulerConfig` in JSON."""
    config = SchedulerConfig(**json.loads(text))
    asyncio.run(serve(config, lambda file: log.info("%s", file)))


def command(config: SchedulerConfig) -> list[str]:
    """Return the command line of `main`."""
    return [sys.executable, "-m", __name__, json.dumps(asdict(config))]


if __name__ == "__main__":
    main(sys.argv[1])
