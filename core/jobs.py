"""Work in processes of its own: a crash or a full memory there ends one item, not the run."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from .errors import EstimationError

Answer = TypeVar("Answer")
Item = TypeVar("Item")

_THREAD_LIMITS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def apart(work: Callable[..., Answer], *given: Any, threads: int | None = None) -> Answer:
    """Run `work(*given)` in a fresh process and return its answer; `work` must be importable.

    Parameters
    ----------
    threads : int, optional
        That it may use; all processors by default.

    Raises
    ------
    EstimationError
        The process ended without an answer, as it does when memory runs out.
    """
    # not forked: numba's threads and open files of this process have no business there
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        1, mp_context=context, initializer=_limit_threads, initargs=(threads,)
    ) as pool:
        try:
            return pool.submit(work, *given).result()
        except BrokenProcessPool:
            raise EstimationError(
                "its process ended without an answer: it was killed, or memory ran out; "
                "ask for fewer megapixels or fewer jobs"
            ) from None


def each_apart(
    work: Callable[[Item], Answer], items: Sequence[Item], *, jobs: int
) -> Iterator[tuple[int, Future[Answer]]]:
    """Run `work` on every item, `jobs` processes at a time that share the processors.

    Yields
    ------
    (int, Future)
        The item's place, and its answer or what it raised, as they come.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {
            pool.submit(apart, work, item, threads=threads): i for i, item in enumerate(items)
        }
        for future in as_completed(waiting):
            yield waiting[future], future


def _limit_threads(threads: int | None) -> None:
    if threads is not None:
        for name in _THREAD_LIMITS:  # read when the libraries are first imported
            os.environ[name] = str(threads)
