"""Whether anybody is still writing into what is to be deleted."""

import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...core.errors import InputError
from ...core.folderlock import in_use
from .search import walk

_PROCESSES = Path("/proc")
_WRITING = os.O_WRONLY | os.O_RDWR


def check_idle(units: Iterable[Path], datasets: Iterable[Path]) -> None:
    """Refuse where a file is locked, or open for writing in a process that we may look into.

    Raises
    ------
    InputError
        Names the file.
    """
    places = {*units, *datasets}
    for place in sorted(places):
        for path in _files(place):
            if _is_locked(path):
                raise InputError(
                    f"{path}: another process is writing it; wait until it has ended, then erase"
                )
    for process, path in _written_files():
        if path in places or any(above in places for above in path.parents):
            raise InputError(
                f"{path}: process {process} has it open for writing; wait until it has ended, or "
                "end it, then erase"
            )


def check_nobody_in(folders: Iterable[Path]) -> None:
    """Refuse where a command of facekit works with one of the folders.

    They are not kept locked, as there may be thousands: a command that begins later is refused
    by what is above its folder.

    Raises
    ------
    InputError
        Names the folder.
    """
    for folder in sorted(folders):
        with in_use(folder, alone=True):
            pass


def _files(place: Path) -> Iterator[Path]:
    if place.is_dir() and not place.is_symlink():
        yield from walk(place)
    elif place.exists():
        yield place


def _is_locked(path: Path) -> bool:
    """Whether a file is locked: shards while they are written, a training's folder."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return False
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def _written_files() -> Iterator[tuple[str, Path]]:
    """Yield process and file for what other processes of this user have open for writing."""
    if not _PROCESSES.is_dir():
        return
    for process in _PROCESSES.iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            for handle in (process / "fd").iterdir():
                flags = (process / "fdinfo" / handle.name).read_text().split("flags:")[1].split()[0]
                if int(flags, 8) & _WRITING:
                    yield process.name, handle.readlink()
        except (OSError, IndexError, ValueError):
            continue  # it has ended, or is not ours to look into
