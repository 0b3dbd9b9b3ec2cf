"""A cluster of this machine alone, each part a process of its own: to try and to test things."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..devices import require
from ..errors import FacekitError
from .certificates import EXTRA
from .scheduler import SchedulerConfig
from .scheduler import command as scheduler_command
from .schedulerfile import SCHEDULER_FILE
from .worker import WorkerConfig
from .worker import command as worker_command

_START_S = 60.0


@dataclass
class LocalCluster:
    """Scheduler and workers on this machine; any of them may be killed."""

    folder: Path
    gpu: int = 0
    memory: str = "auto"
    threads: int | None = None
    patience_s: float = 0.0
    scheduler: subprocess.Popen[bytes] = field(init=False)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list, init=False)
    """Watchers: one that is killed takes its worker with it, and none comes back."""

    @property
    def file(self) -> Path:
        """The scheduler's."""
        return self.folder / SCHEDULER_FILE

    def start_scheduler(self) -> None:
        """Start the scheduler, or one in place of one that is dead, and wait until it listens."""
        self.file.unlink(missing_ok=True)
        config = SchedulerConfig(folder=str(self.folder))
        self.scheduler = subprocess.Popen(scheduler_command(config), stdin=subprocess.DEVNULL)
        end = time.monotonic() + _START_S
        while not self.file.is_file():
            if self.scheduler.poll() is not None or time.monotonic() > end:
                raise FacekitError(f"{self.folder}: the scheduler did not start")
            time.sleep(0.05)

    restart_scheduler = start_scheduler

    def add_worker(self) -> "subprocess.Popen[bytes]":
        """Start a worker; it joins in a few seconds."""
        config = WorkerConfig(
            file=str(self.file), gpu=self.gpu, memory=self.memory,
            threads=self.threads, patience_s=self.patience_s,
        )  # fmt: skip
        worker = subprocess.Popen(worker_command(config), stdin=subprocess.DEVNULL)
        self.workers.append(worker)
        return worker

    def worker_pids(self) -> list[int]:
        """Return the processes that work; one that is killed is replaced by its watcher."""
        return [pid for watcher in self.workers for pid in _children(watcher.pid)]

    def close(self) -> None:
        """End all that still runs."""
        for process in (*self.workers, self.scheduler):
            if process.poll() is None:
                process.terminate()
        for process in (*self.workers, self.scheduler):
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def local_cluster(
    folder: Path, *, workers: int = 2, gpu: int = 0, memory: str | None = None,
    threads: int | None = None, patience_s: float = 0.0,
) -> Iterator[LocalCluster]:  # fmt: skip
    """Run a scheduler and workers as processes of their own; end them with the block.

    Parameters
    ----------
    folder : Path
        For the scheduler's file and the certificates.
    gpu : int
        GPUs that each worker says it has.
    memory : str, optional
        Of a worker, such as `4GB`.
    threads : int, optional
        Of a worker; the processors shared by default.
    patience_s : float
        How long workers wait for a scheduler that was killed and comes back.
    """
    import os

    cluster = LocalCluster(
        folder=folder, gpu=gpu, memory=memory or f"{1 / max(1, workers):.3f}",
        patience_s=patience_s,
        threads=threads or max(1, (os.cpu_count() or 1) // max(1, workers)),
    )  # fmt: skip
    cluster.start_scheduler()
    try:
        for _ in range(workers):
            cluster.add_worker()
        yield cluster
    finally:
        cluster.close()


def _children(pid: int) -> list[int]:
    """Return the workers below a watcher, without Python's own process that tracks resources."""
    psutil = require("psutil", extra=EXTRA)
    try:
        children = psutil.Process(pid).children()
        return [one.pid for one in children if any("spawn_main" in word for word in one.cmdline())]
    except psutil.Error:  # it ended meanwhile
        return []
