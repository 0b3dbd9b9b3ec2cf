"""Commands of facekit in processes of their own that cost no import: forked from a warm one.

A server process imports what commands need, once, and begins no thread; each command runs in a
fork of it, in a process group of its own, so that whatever it starts can be ended with it.
"""

import contextlib
import math
import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from .onethread import OneThread

PRELOADED = (
    "facekit.cli", "facekit.capture.ingest", "facekit.capture.virtual.studio",
    "facekit.calibration.calibrate", "facekit.dataset.groundtruth", "facekit.dataset.export.files",
    "facekit.dataset.export.hdf5", "facekit.dataset.erase.erase", "facekit.dataset.verify",
    "facekit.reconstruct.predict", "facekit.reconstruct.multiview_run",
    "facekit.reconstruct.train.coarse", "facekit.reconstruct.train.detail",
    "facekit.reconstruct.train.deretouch", "facekit.reconstruct.samples.packing",
    "facekit.reconstruct.samples.rendered", "facekit.benchmarks.evaluation.evaluate",
    "facekit.benchmarks.session_report", "facekit.benchmarks.faults.lab",
    "facekit.benchmarks.faults.warmhead",
)  # fmt: skip
"""Modules that the server imports."""
_PATIENCE_S = 1800.0
_FAILED = 70  # exit code of a work that raised


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    """Exit code; negative: the signal that ended it."""
    seconds: float
    said: str
    """Its output, the end of it."""


def warm_context() -> ForkServerContext:
    """Return the context whose server has imported facekit; the first call starts it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    # here numba may have begun more, and would mind another number from then on
    with OneThread():
        forkserver.ensure_running()
    return context


def run_command(
    arguments: Sequence[str], *, kill_after: float = math.inf, file_bytes: int | None = None,
    log: Path,
) -> Ended:  # fmt: skip
    """Run `facekit ARGUMENTS`; see `run_work`."""
    return run_work(run_here, tuple(arguments), kill_after=kill_after, file_bytes=file_bytes,
                    log=log)  # fmt: skip


def run_work(
    work: Callable[..., None], given: tuple[Any, ...], *, kill_after: float = math.inf,
    file_bytes: int | None = None, log: Path, environment: Mapping[str, str] | None = None,
) -> Ended:  # fmt: skip
    """Run `work(*given)` in a fork of the warm process.

    Parameters
    ----------
    kill_after : float
        Seconds after which it gets SIGKILL: the process alone, as it would be by the system;
        what it started is ended once the answer is there.
    file_bytes : int, optional
        The most that a file may hold: what would write more gets an error.
    log : Path
        Where its output goes.
    """
    process = warm_context().Process(
        target=_run, args=(work, given, str(log), file_bytes, dict(environment or {}))
    )
    start = time.monotonic()
    process.start()
    process.join(min(kill_after, _PATIENCE_S))
    if process.exitcode is None:
        process.kill()
        process.join()
    seconds = time.monotonic() - start
    assert process.pid is not None and process.exitcode is not None
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # workers that it left
    said = log.read_text(errors="replace")[-2000:] if log.is_file() else ""
    return Ended(code=process.exitcode, seconds=seconds, said=said)


def _run(
    work: Callable[..., None], given: tuple[Any, ...], log: str, file_bytes: int | None,
    environment: dict[str, str],
) -> None:  # fmt: skip
    """Be the forked process."""
    os.setsid()
    os.environ.update(environment)
    with open(log, "wb", buffering=0) as stream:  # noqa: PTH123
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    if file_bytes is not None:
        # the log counts, too: it stays shorter than any limit that is tried
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))
    try:
        work(*given)
    except SystemExit as end:
        sys.stdout.flush()
        os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))
    except BaseException:
        traceback.print_exc()
        os._exit(_FAILED)
    sys.stdout.flush()
    os._exit(0)


def run_here(*arguments: str) -> None:
    """Run a command of facekit in this process, which may leave with its exit code."""
    # by name: the command line knows the benchmarks, not they it
    command_line = import_module("facekit.cli")
    command_line.main(list(arguments), standalone_mode=False)
