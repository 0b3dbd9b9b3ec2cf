"""Who is at work in which folder: nobody is erased from under a writer, and no two write at once.

Two kinds of hold, and both end with the process that has them:

- `in_use`: many may work with a folder, reading or writing; who has to be alone in it (`erase`)
  waits for all of them. The lock is on the folder itself and leaves no file.
- `only_writer`: one process writes there. The lock is on a small file, `.writing`, that is taken
  away at the end; one that a killed process left keeps nobody out.

Some network file systems have no locks; there nobody is kept out.
"""

import fcntl
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError

log = logging.getLogger(__name__)

WRITING = ".writing"
"""Name of the file that `only_writer` locks."""

_mine: set[tuple[int, int, str]] = set()  # process, thread, folder: what `only_writer` holds


@contextmanager
def in_use(folder: Path, *, alone: bool = False) -> Iterator[None]:
    """Let other processes know that this one works with `folder`, which has to be there.

    Several may, but none beside one that has to be `alone`.

    Raises
    ------
    InputError
        Another process is at work there.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            try:
                fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"{folder}: another process is at work there; wait until it has ended"
                ) from None
        yield
    finally:
        os.close(handle)


@contextmanager
def entered(folder: Path) -> Iterator[None]:
    """Hold a folder as `in_use` does, where nobody is alone in one above it either.

    Raises
    ------
    InputError
        Another process has to be alone there.
    """
    with in_use(folder):
        for above in folder.absolute().parents:
            with suppress(OSError), in_use(above):
                pass
        yield


def folder_to_hold(path: Path) -> Path | None:
    """Return the folder that `in_use` should hold for who reads or writes `path`.

    That is the path itself where it is a folder, else the nearest one above it that is there:
    the folder of a file, or the one in which something new is to be made. None where that may
    not be opened: whoever then reads it says so.
    """
    folder = path.absolute()
    while not folder.is_dir():
        folder = folder.parent
    return folder if os.access(folder, os.R_OK) else None


@contextmanager
def only_writer(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Be the one process, and thread, that writes in `folder`; it is made where it is absent.

    Who holds it may ask for it again.

    Parameters
    ----------
    wait : bool
        Wait for who writes there now; otherwise refuse.

    Raises
    ------
    InputError
        Another process writes there.
    """
    mine = (os.getpid(), threading.get_ident(), str(folder.absolute()))
    if mine in _mine:
        yield
        return
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    handle = _locked(folder, wait=wait)
    _mine.add(mine)
    try:
        yield
    finally:
        _mine.discard(mine)
        with suppress(OSError):
            (folder / WRITING).unlink()  # while it is locked: who waits for it sees that it went
        os.close(handle)
        if is_new:
            with suppress(OSError):
                folder.rmdir()  # nothing came of it


def _locked(folder: Path, *, wait: bool) -> int:
    """Return an open, locked `.writing` that is the one lying in the folder."""
    path = folder / WRITING
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                os.close(handle)
                raise InputError(
                    f"{folder}: another process is writing there; wait until it has ended"
                ) from None
            log.warning("%s: waiting for another process that is writing there", folder)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            return handle  # no locks here
        try:
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)  # its holder took it away meanwhile
