"""Who touches files below a folder, whichever library does it: the system tells (inotify, Linux).

Python's audit events, see `watch.py`, know nothing of files that libraries in C open.
"""

import ctypes
import os
import struct
from pathlib import Path

_ACCESS, _MODIFY, _ATTRIBUTES, _OPEN = 0x1, 0x2, 0x4, 0x20
_FROM, _TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_ALL = _ACCESS | _MODIFY | _ATTRIBUTES | _OPEN | _FROM | _TO | _CREATE | _DELETE
_WORDS = {
    _MODIFY: "writes", _CREATE: "makes", _DELETE: "deletes", _FROM: "moves", _TO: "moves",
    _ATTRIBUTES: "changes", _ACCESS: "reads", _OPEN: "opens",
}  # fmt: skip
_EVENT = struct.Struct("iIII")


class Touches:
    """Notes what happens to a folder and to what is in it, from now on.

    Where the system cannot tell (no Linux) nothing is noted; Python's events are left then.
    """

    def __init__(self, folder: Path) -> None:
        self._handle = -1
        self._places: dict[int, str] = {}
        library = ctypes.CDLL(None, use_errno=True)
        if not hasattr(library, "inotify_init1"):
            return
        self._handle = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for place in (folder, *(p for p in folder.rglob("*") if p.is_dir())):
            watch = library.inotify_add_watch(self._handle, os.fsencode(place), _ALL)
            if watch < 0:
                raise OSError(ctypes.get_errno(), "inotify_add_watch", str(place))
            self._places[watch] = place.relative_to(folder.parent).as_posix()

    def close(self) -> list[str]:
        """Return what was done to which file, once each; note nothing more."""
        if self._handle < 0:
            return []
        said: list[str] = []
        try:
            while events := os.read(self._handle, 1 << 16):
                said += self._told(events)
        except BlockingIOError:
            pass  # no more of them
        finally:
            os.close(self._handle)
            self._handle = -1
        return list(dict.fromkeys(said))

    def _told(self, events: bytes) -> list[str]:
        said, at = [], 0
        while at < len(events):
            watch, mask, _, length = _EVENT.unpack_from(events, at)
            at += _EVENT.size + length
            name = os.fsdecode(events[at - length : at].rstrip(b"\0"))
            word = next((word for bit, word in _WORDS.items() if mask & bit), "")
            if word:
                place = self._places.get(watch, "")
                said.append(f"{word} {place}/{name}" if name else f"{word} {place}")
        return said
