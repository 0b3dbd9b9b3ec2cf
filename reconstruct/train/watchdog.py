"""A training that hangs ends itself, and one that is told to stop ends well.

A hanging process (a collective whose other half is gone, a file system that does not answer)
helps nobody; one that has ended is started again by torchrun or a scheduler, and goes on.
"""

import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

EXIT_AGAIN = 75
"""Exit code of a run that is to be started again: sysexits' EX_TEMPFAIL."""

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""Asked to end: by a person or a container, by Ctrl-C, by a scheduler shortly before the limit."""


class Watchdog:
    """Ends the process when nothing was heard of it for too long.

    Parameters
    ----------
    minutes : float
        Longest silence.
    what : str
        Whose, for the sentence.
    """

    def __init__(
        self,
        minutes: float,
        what: str,
        *,
        end: Callable[[int], Any] = os._exit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._what, self._end, self._clock = minutes * 60, what, end, clock
        self._doing, self._heard = "starting", clock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def heard(self, doing: str) -> None:
        """Say that work goes on, and what comes now."""
        self._doing, self._heard = doing, self._clock()

    def _watch(self) -> None:
        while not self._over.wait(min(self._limit / 4, 5.0)):
            silent = self._clock() - self._heard
            if silent > self._limit:
                sys.stderr.write(
                    f"facekit: {self._what}: {self._doing} takes longer than "
                    f"{self._limit / 60:g} minutes; the process ends itself, start the same "
                    "command again: it goes on from the newest state (loop.watchdog_minutes)\n"
                )
                sys.stderr.flush()
                faulthandler.dump_traceback(all_threads=True)  # where it hangs
                self._end(EXIT_AGAIN)
                return


class Stop:
    """Which signal, if any, asked the training to end."""

    def __init__(self) -> None:
        self.signal = 0

    @property
    def name(self) -> str | None:
        """The signal's name."""
        return signal.Signals(self.signal).name if self.signal else None

    def ask(self, number: int, frame: FrameType | None = None) -> None:
        """Remember a signal; the second Ctrl-C interrupts at once."""
        if number == signal.SIGINT and self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Collect the signals that ask to end, instead of dying of them, within."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may catch signals
        return
    before = {number: signal.signal(number, stop.ask) for number in STOPPING}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(stopped: str | None) -> int:
    """Return the exit code of a run that `stopped` ended.

    SIGTERM: 0, it ended as it was told. Ctrl-C: 130, as shells have it. SIGUSR1: `EXIT_AGAIN`;
    a batch script can then put itself into the queue once more.
    """
    return {"SIGUSR1": EXIT_AGAIN, "SIGINT": 130}.get(stopped or "", 0)
