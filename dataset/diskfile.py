"""A new file for HDF5 to write to that keeps failed writes from HDF5.

When a disk is full, HDF5 either loses the error until the file is closed or, once it has seen
it, tries again on closing and may end the whole process with a segmentation fault. So the
file beneath HDF5 is ours: it remembers the first failure, takes and drops all that follows,
and HDF5 closes in peace. Who writes asks `check` after each object and once after closing.
"""

import contextlib
import errno
import fcntl
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ..core.errors import InputError

_ALIVE_S = 60
"""A file younger than this may belong to a writer that is about to lock it."""


class DiskFile(io.RawIOBase):
    """A file opened for writing whose `write` never fails; `check` tells whether one did.

    Parameters
    ----------
    path : Path
        Is made anew. A shared lock is held as long as it is open, by which others see that
        its writer is alive.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.failure: BaseException | None = None
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._at = 0
        with contextlib.suppress(OSError):  # without locks only the tidying below is lost
            fcntl.flock(self._handle, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def check(self) -> None:
        """Raise the first failure since opening, if there was one."""
        if self.failure is not None:
            raise self.failure

    def write(self, content: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        """Write all of `content` at the place that `seek` set, or remember why not."""
        view = memoryview(content).cast("B")
        size = len(view)
        if self.failure is None:
            try:
                at = self._at
                while len(view):
                    n = os.pwrite(self._handle, view, at)
                    at, view = at + n, view[n:]
            except BaseException as error:  # an interrupt, too, would reach HDF5 as an error
                self.failure = error
        self._at += size
        return size

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read into `buffer`; what was dropped reads as zeros."""
        view = memoryview(buffer).cast("B")
        view[:] = bytes(len(view))
        n = os.preadv(self._handle, [view], self._at)
        self._at += len(view)
        return max(n, len(view)) if self.failure is not None else n

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the place of the next read or write."""
        start = {
            os.SEEK_SET: 0,
            os.SEEK_CUR: self._at,
            os.SEEK_END: os.fstat(self._handle).st_size,
        }
        self._at = start[whence] + offset
        return self._at

    def tell(self) -> int:
        """Return the place of the next read or write."""
        return self._at

    def truncate(self, size: int | None = None) -> int:
        """Cut or lengthen the file, or remember why not."""
        size = self._at if size is None else size
        if self.failure is None:
            try:
                os.ftruncate(self._handle, size)
            except BaseException as error:
                self.failure = error
        return size

    def to_disk(self) -> None:
        """Force all that was written to the disk.

        Raises
        ------
        OSError
            Now or before.
        """
        self.check()
        os.fsync(self._handle)

    def readable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def flush(self) -> None:
        """Do nothing: no buffer lies between."""

    def close(self) -> None:
        """Close; a second time does nothing."""
        if not self.closed:
            os.close(self._handle)
        super().close()


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the disk refuses while `path` is written into one sentence.

    Raises
    ------
    InputError
        The disk is full, or a file cannot be written.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        reason = "no space left on the disk; free some and export again" if full else str(error)
        raise InputError(f"{path}: could not be written: {reason}") from error
    except RuntimeError as error:  # as h5py reports what HDF5 could not do
        raise InputError(f"{path}: could not be written ({error})") from error


def remove_leftovers(path: Path) -> None:
    """Remove unfinished files that a killed writer of `path` left beside it."""
    for part in path.parent.glob(f"{path.stem}.*.part{path.suffix}"):
        try:
            if time.time() - part.stat().st_mtime < _ALIVE_S:
                continue
            with part.open("r+b") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()
        except OSError:
            continue  # its writer is alive, or another process was quicker
