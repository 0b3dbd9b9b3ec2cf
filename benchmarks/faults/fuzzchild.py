"""Damaged inputs one after the other, in a process with bounded memory that may well die."""

import fnmatch
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.errors import FacekitError
from . import canary
from .mutate import BYTES, Mutation, mutated
from .parser import Parser
from .watch import Watch

MEMORY = 2 << 30
"""Bytes that reading one input may take above what the process had."""
_LARGEST_FILE = 1 << 28  # that a reader may write: none should
_LINK = 0.02  # of the cases: a link out of the folder, a folder, or nothing in place of a file


@dataclass(frozen=True, kw_only=True)
class Seed:
    """A valid input: its files, by their path within the folder."""

    files: Mapping[str, bytes]
    targets: tuple[str, ...]
    """Those that are damaged."""

    @classmethod
    def of(cls, parser: Parser, folder: Path) -> "Seed":
        """Read the files that a parser's `make` wrote."""
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        targets = tuple(name for name in files if _damage_of(parser, name) is not None)
        return cls(files=files, targets=targets)


def damaged(parser: Parser, seed: Seed, case: int, *, chance: int) -> tuple[str, bytes | str]:
    """Return which file of a case is replaced, and by what: content, or the word for a trap."""
    rng = np.random.default_rng([chance, zlib.crc32(parser.name.encode()), case])
    name = seed.targets[int(rng.integers(len(seed.targets)))]
    if rng.random() < _LINK:
        return name, ("link", "folder", "absent", "loop")[int(rng.integers(4))]
    if rng.random() < _LINK:  # another file of the same input, as a whole
        return name, seed.files[list(seed.files)[int(rng.integers(len(seed.files)))]]
    mutations = _damage_of(parser, name) or BYTES
    with np.errstate(all="ignore"):
        return name, mutated(seed.files[name], rng, mutations)


def run_cases(
    parser: Parser, seed: Seed, cases: range, *, folder: Path, chance: int, report: int
) -> None:
    """Read each case; write a line before and after it to the file descriptor `report`.

    Lines are JSON: `["start", case]`, `["end", case, verdict, seconds, megabytes, words]`;
    the verdict is `read`, `refused` or `failed`.
    """
    root, spare = folder / "input", folder / "spare"
    for place in (root, spare):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
    # what a reader may need for itself is looked at, too
    tempfile.tempdir = str(root)
    os.chdir(root)
    for name, whole in seed.files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(whole)
    limit_memory()
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    _silence()
    watch = Watch()
    for case in cases:
        name, content = damaged(parser, seed, case, chance=chance)
        _place(root / name, content, spare)
        _tell(report, ["start", case])
        _reset_peak()
        before, start = _peak_megabytes(), time.process_time()
        verdict, words = _read(parser, root, watch)
        seconds = time.process_time() - start
        megabytes = max(0.0, _peak_megabytes() - before)
        if verdict != "failed" and (odd := _left_behind(root, seed, name)):
            verdict, words = "failed", f"left {odd} behind"
        _tell(report, ["end", case, verdict, round(seconds, 3), round(megabytes, 1), words])
        _remove(root / name)
        (root / name).write_bytes(seed.files[name])


def _read(parser: Parser, root: Path, watch: Watch) -> tuple[str, str]:
    canary.sprung.clear()
    verdict, words = "read", ""
    with watch.over(root):
        try:
            parser.read(root)
        except FacekitError as error:
            verdict = "refused"
            if not str(error).strip():
                verdict, words = "failed", f"{type(error).__name__} without a word"
        except BaseException as error:  # anything else is what is looked for
            verdict, words = "failed", _told(error)
    if watch.seen or canary.sprung:
        verdict, words = "failed", "; ".join([*canary.sprung, *watch.seen])
    return verdict, words


def _told(error: BaseException) -> str:
    """Return an error in a line, with the last place of our own that it passed."""
    place, trace = "", error.__traceback__
    package = str(Path(__file__).resolve().parents[2])
    while trace is not None:
        code = trace.tb_frame.f_code
        own = code.co_filename.startswith(package) and "/.venv/" not in code.co_filename
        if own and "/benchmarks/faults/" not in code.co_filename:
            place = f" at {code.co_filename[len(package) + 1 :]}:{trace.tb_lineno}"
        trace = trace.tb_next
    said = " ".join(str(error).split())[:100]
    return f"{type(error).__name__}: {said}{place}"


def _damage_of(parser: Parser, name: str) -> tuple[Mutation, ...] | None:
    for pattern, mutations in parser.damage.items():
        if fnmatch.fnmatch(name, pattern):
            return mutations
    return None if parser.damage else BYTES


def _place(path: Path, content: bytes | str, spare: Path) -> None:
    path.unlink()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "link":
        (spare / "elsewhere").write_bytes(b"not for you")
        path.symlink_to(spare / "elsewhere")
    elif content == "loop":
        path.symlink_to(path)
    elif content == "folder":
        path.mkdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _left_behind(root: Path, seed: Seed, name: str) -> str:
    """Return the name of a file that a reader made or took away; empty where there is none."""
    present = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    odd = sorted((present ^ set(seed.files)) - {name})
    return odd[0] if odd else ""


def limit_memory() -> None:
    """Let this process take `MEMORY` more than it has, and leave no core."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    now = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _silence() -> None:
    """Let decoders complain to nobody."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    sys.stdout = sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - kept
    warnings.simplefilter("ignore")


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return  # then the peak is that of all cases so far


def _peak_megabytes() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _tell(report: int, line: list[object]) -> None:
    os.write(report, (json.dumps(line) + "\n").encode())
