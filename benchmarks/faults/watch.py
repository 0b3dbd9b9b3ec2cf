"""What a reader may not do, seen by Python's audit events: write or read elsewhere, run things.

An audit hook cannot be taken off again: it is set once, in a process made for this.
"""

import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_RUNS = frozenset({
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn",
    "subprocess.Popen", "socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request",
    "os.kill", "webbrowser.open",
})  # fmt: skip
_CHANGES = frozenset({
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.symlink",
    "os.link", "os.truncate", "shutil.rmtree", "shutil.move", "shutil.copyfile",
})  # fmt: skip
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Watch:
    """Notes what happens outside of a folder while it is on."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._root = ""
        self._on = False
        package = Path(__file__).resolve().parents[2]
        paths = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), str(package)}
        # of the interpreter, its packages and the system; not what a hostile file would name
        self._known = (*(str(Path(p).resolve()) for p in paths), "/dev/null", "/dev/urandom",
                       "/proc/self/status", "/proc/self/statm", "/proc/cpuinfo", "/proc/meminfo",
                       "/proc/stat", "/sys/", "/usr/share/zoneinfo", "/etc/localtime")  # fmt: skip
        sys.addaudithook(self._heard)

    @contextmanager
    def over(self, root: Path) -> Iterator[None]:
        """Watch while a block runs; only what lies in `root` may be touched."""
        self.seen, self._root, self._on = [], str(root), True
        try:
            yield
        finally:
            self._on = False

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event in _RUNS:
            self._say(f"{event} {arguments[:1]!r}")
        elif event == "open" and isinstance(arguments[0], (str, bytes)):
            self._opened(os.fsdecode(arguments[0]), int(arguments[2] or 0))
        elif event in _CHANGES:
            for path in arguments[:2]:
                if isinstance(path, (str, bytes)) and not self._inside(os.fsdecode(path)):
                    self._say(f"{event} {os.fsdecode(path)[:80]!r}")

    def _opened(self, path: str, flags: int) -> None:
        if self._inside(path):
            return
        if flags & _WRITES and "__pycache__" not in path:
            self._say(f"writes {path[:80]!r}")
        elif not flags & _WRITES and not _full(path).startswith(self._known):
            self._say(f"reads {path[:80]!r}")

    def _inside(self, path: str) -> bool:
        full = _full(path)
        return full == self._root or full.startswith(self._root + "/")

    def _say(self, what: str) -> None:
        if len(self.seen) < 5:
            self.seen.append(what)


def _full(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - links are not followed here
