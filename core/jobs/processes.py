"""Work in processes of its own: a crash or a full memory there ends one item, not the run."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Self, TypeVar

from ..console import show_no_bars
from ..errors import EstimationError

Answer = TypeVar("Answer")
Item = TypeVar("Item")

THREAD_LIMITS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables that libraries read when they are first imported."""
_MOST_DONE = 25  # pieces of work of one process


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
    with KeptProcess(threads) as process:
        return process.do(work, *given)


class KeptProcess:
    """A process that is kept from one piece of work to the next; one that died is replaced."""

    def __init__(self, threads: int | None = None, *, bars: bool = True) -> None:
        self._threads, self._bars = threads, bars
        self._pool: ProcessPoolExecutor | None = None
        self._done = 0

    def do(self, work: Callable[..., Answer], *given: Any) -> Answer:
        """Run `work(*given)` there and return its answer; see `apart`."""
        if self._pool is None:
            # not forked: numba's threads and open files of this process have no business there
            self._pool = ProcessPoolExecutor(
                1, mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin, initargs=(self._threads, self._bars),
            )  # fmt: skip
        try:
            return self._pool.submit(work, *given).result()
        except BrokenProcessPool:
            self.close()
            raise EstimationError(
                "its process ended without an answer: it was killed, or memory ran out; "
                "ask for fewer megapixels or fewer jobs"
            ) from None
        finally:
            self._done += 1
            if self._done >= _MOST_DONE:  # what libraries never free goes with it
                self.close()

    def close(self) -> None:
        """End it."""
        pool, self._pool, self._done = self._pool, None, 0
        if pool is not None:
            pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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


def _begin(threads: int | None, bars: bool) -> None:
    if threads is not None:
        for name in THREAD_LIMITS:
            os.environ[name] = str(threads)
    if not bars:
        show_no_bars()
