"""Looks at image files in processes of their own: a file may crash, hang or bloat a decoder.

A worker reads one JSON line per file from its standard input and answers with one. It holds a
limit on its memory and is ended when a file takes too long; the file is then refused and a
new worker takes the next one.
"""

import contextlib
import dataclasses
import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.config import from_mapping
from ..core.console import track
from ..core.errors import FacekitError
from ..core.files import sha256_file
from ..core.imaging.imageio import ImageHeader
from ..core.imaging.verify import verify_image
from .exif import Exif, read_exif
from .markers import count_markers
from .session import BoardSpec

N_WORKERS = 2  # decoding is bound by memory bandwidth; more brings little and takes memory
FILES_A_WORKER = 8  # fewer are not worth the start of another process
TIMEOUT_S = 8.0  # for a small file; a machine may be busy
BYTES_A_SECOND = 2e6  # more time for large ones: a sixth of what a busy machine decodes
MEMORY_BYTES = 3 << 30  # a worker's: 150 MP of 16-bit colour decode within it


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """One file, looked at."""

    path: Path
    sha256: str = ""
    bytes: int = 0
    header: ImageHeader | None = None
    """None: refused."""
    exif: Exif = field(default_factory=Exif)
    n_markers: int = 0
    """Markers of the board that were seen at reduced size, where one was looked for."""
    reason: str = ""
    """Why it was refused, one sentence without the file's name."""


def inspect_files(paths: Sequence[Path], board: BoardSpec | None = None) -> list[Inspected]:
    """Decode each file completely, some at a time, each where it can do no harm.

    Parameters
    ----------
    board
        Count the markers of this board in each photograph.

    Returns
    -------
    list
        In the order of `paths`; nothing raises on account of a file.
    """
    if not paths:
        return []
    n_workers = min(N_WORKERS, -(-len(paths) // FILES_A_WORKER))
    local = threading.local()
    started: list[_Worker] = []

    def look(path: Path) -> Inspected:
        worker: _Worker | None = getattr(local, "worker", None)
        if worker is None:
            worker = local.worker = _Worker(board)
            started.append(worker)
        return worker.inspect(path)

    try:
        with ThreadPoolExecutor(n_workers) as pool:
            results = pool.map(look, paths)
            return list(track(results, "Checking photographs", total=len(paths)))
    finally:
        for worker in started:
            worker.close()


class _Worker:
    """A process that inspects files; started anew after it died."""

    def __init__(self, board: BoardSpec | None) -> None:
        self._board = None if board is None else board.record()
        self._process: subprocess.Popen[str] | None = None

    def inspect(self, path: Path) -> Inspected:
        size = path.stat().st_size if path.exists() else 0
        limit = TIMEOUT_S + size / BYTES_A_SECOND
        process = self._process or self._start()
        timed_out = threading.Event()

        def stop() -> None:
            timed_out.set()
            process.kill()

        timer = threading.Timer(limit, stop)
        timer.start()
        line = ""
        with contextlib.suppress(OSError, ValueError):  # a broken pipe: it died
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps([os.fspath(path), self._board]) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        timer.cancel()
        if line:
            return _from_plain(path, json.loads(line))
        self.close()
        slow = f"does not decode within {limit:.0f} s"
        reason = slow if timed_out.is_set() else "crashes its decoder"
        return Inspected(path=path, reason=f"{reason}; copy it again")

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        process.wait()

    def _start(self) -> subprocess.Popen[str]:
        # the child finds the package wherever this process found it
        code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()"
        process = self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # a pool of threads per library on a large machine would fill the memory allowed
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "2"},
            encoding="ascii",
        )
        assert process.stdout is not None
        process.stdout.readline()  # imports are done: only then does a file's time run
        return process


def serve() -> None:
    """Answer one line for each line of the standard input; the main loop of a worker."""
    warnings.simplefilter("ignore")  # remarks on odd tags
    logging.disable()
    _limit_memory()
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what a library prints must not mix with the answers
    answers.write("\n")
    answers.flush()
    for line in sys.stdin:
        name, board = json.loads(line)
        spec = None if board is None else from_mapping(BoardSpec, board, where="board")
        answer = _look(Path(name), spec)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _look(path: Path, board: BoardSpec | None) -> dict[str, Any]:
    try:
        header, pixels = verify_image(path)
        return {
            "sha256": sha256_file(path),
            "bytes": path.stat().st_size,
            "header": dataclasses.asdict(header),
            "exif": dataclasses.asdict(read_exif(path)),
            "n_markers": 0 if board is None else count_markers(pixels, board),
        }
    except FacekitError as error:
        return {"reason": str(error).removeprefix(f"{path}: ")}
    except MemoryError:
        return {"reason": "does not decode within the memory allowed; make it smaller"}
    except OSError as error:
        return {"reason": f"cannot be read ({error.strerror or error}); check the file"}
    except Exception as error:
        return {"reason": f"not decodable ({type(error).__name__}); copy it again"}


def _from_plain(path: Path, values: dict[str, Any]) -> Inspected:
    if "reason" in values:
        return Inspected(path=path, reason=values["reason"])
    return Inspected(
        path=path,
        sha256=values["sha256"],
        bytes=values["bytes"],
        header=ImageHeader(**values["header"]),
        exif=Exif(**values["exif"]),
        n_markers=values["n_markers"],
    )


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
