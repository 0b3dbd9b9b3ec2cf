"""A job, what came of it, and where jobs run: what is sent there is JSON, and nothing else."""

import importlib
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ... import __version__
from ..errors import FacekitError, InputError

log = logging.getLogger(__name__)

FRESH = "fresh"
"""Key of an answer: the stages that were computed; those found finished are not among them."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One piece of work that is sent away: a stage group of one capture."""

    name: str
    """Unique in the run: `lab03/smile/mesh`."""
    stage: str
    """Rates and times left are told by it."""
    work: Callable[..., Mapping[str, Any]]
    """A function at the top of a module that the worker can import; it checks itself whether its
    results are there already."""
    given: Mapping[str, Any]
    """Its keyword arguments, JSON-able: paths, hashes, settings. Never arrays."""
    gpu: bool = False
    """Only where there is a GPU."""
    priority: int = 0
    """Higher ones start first."""
    done_before: bool = False
    """Its results seem to be there: it will only look, and tells nothing about times."""

    @property
    def target(self) -> str:
        """Name of `work`, such as `facekit.dataset.buildjobs:mesh`."""
        return f"{self.work.__module__}:{self.work.__qualname__}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended."""

    job: Job
    answer: dict[str, Any] | None = None
    """None where it failed."""
    reason: str | None = None
    """Why it failed, one sentence."""
    exit_code: int = 0
    """Of the error: 2 a wrong input, 3 the data, 4 a missing package, 1 anything else."""
    seconds: float = 0.0
    """The work alone, where it ran; 0 where that is not known."""
    worker: str = ""
    """`host:process`; empty where that died."""


@dataclass(frozen=True, kw_only=True)
class Where:
    """What runs jobs."""

    jobs: int = 1
    """Processes of this machine at a time; 1: in this process, one after the other."""
    scheduler: str | None = None
    """File or address of a scheduler whose workers run them; `jobs` is then not used."""
    retries: int = 2
    """Times that a job is tried again which the file system, memory or a dying process stopped."""


def perform(target: str, given: str, version: str) -> str:
    """Do a job where it was sent; return what came of it as JSON.

    Parameters
    ----------
    target : str
        `module:function`.
    given : str
        Its keyword arguments as JSON.
    version : str
        Of the facekit that asks.

    Raises
    ------
    OSError, MemoryError
        May go away, so that whoever sent the job tries it again. All else is told in the answer:
        it would come again.
    """
    start = time.perf_counter()
    told: dict[str, Any] = {"worker": f"{socket.gethostname()}:{os.getpid()}"}
    try:
        if version != __version__:
            raise InputError(
                f"the worker on {socket.gethostname()} runs facekit {__version__}, but {version} "
                "asks; install the same version on both"
            )
        module, _, name = target.partition(":")
        work = getattr(importlib.import_module(module), name)
        told["answer"] = dict(work(**json.loads(given)))
    except (OSError, MemoryError):
        raise
    except Exception as error:
        log.debug("%s failed", target, exc_info=True)
        told |= {"reason": reason_of(error), "exit_code": getattr(error, "exit_code", 1)}
    told["seconds"] = time.perf_counter() - start
    return json.dumps(told, default=_plain)


def outcome_of(job: Job, told: str) -> Outcome:
    """Read what `perform` returned."""
    return Outcome(job=job, **json.loads(told))


def failure_of(job: Job, error: BaseException) -> Outcome:
    """Return the outcome of a job that raised, or whose process died."""
    return Outcome(job=job, reason=reason_of(error), exit_code=getattr(error, "exit_code", 1))


def reason_of(error: BaseException) -> str:
    """Return in a sentence what stopped an item."""
    if isinstance(error, FacekitError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or 'file system'}: {error.strerror or error}"
    if isinstance(error, MemoryError):
        return "out of memory: ask for fewer megapixels"
    return f"a fault in facekit itself ({type(error).__name__}: {error})"


def _plain(value: Any) -> Any:
    """Return what `json` can write of a numpy number or a path."""
    return value.item() if hasattr(value, "item") else str(value)
