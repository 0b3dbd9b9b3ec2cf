"""Readers with known faults: a trial that finds none of these would find nothing."""

import contextlib
import ctypes
import os
import pickle
from collections.abc import Callable
from pathlib import Path

from ...core.errors import InputError
from .mutateformats import be_canary
from .parser import Parser


def toy_parsers() -> tuple[Parser, ...]:
    """Return a sound reader, and one for each fault that is looked for."""
    faults: dict[str, Callable[[Path], object]] = {
        "sound": _refuse,
        "crash": lambda root: ctypes.string_at(0) if _is_damaged(root) else None,
        "hang": _hang,
        "memory": lambda root: bytearray(3 << 30) if _is_damaged(root) else None,
        "untyped": lambda root: [][0] if _is_damaged(root) else None,
        "writes": lambda root: (root.parent / "outside").write_text("x", encoding="utf-8"),
        "reads": lambda root: _quietly(lambda: Path("/etc/hostname").read_text(encoding="utf-8")),
        "litters": lambda root: (root / "left.txt").write_text("x", encoding="utf-8"),
        "runs": lambda root: os.system("true"),
        "silent": _silent,
    }
    found = [Parser(name=name, make=_make, read=read) for name, read in faults.items()]
    unpickles = Parser(
        name="unpickles", make=_make_pickle, read=_unpickle, damage={"*": (be_canary,)}
    )
    return (*found, unpickles)


def _make(folder: Path) -> None:
    (folder / "whole.txt").write_bytes(b"whole")


def _is_damaged(root: Path) -> bool:
    path = root / "whole.txt"
    return not path.is_file() or path.read_bytes() != b"whole"


def _refuse(root: Path) -> None:
    if _is_damaged(root):
        raise InputError(f"{root}: damaged")


def _silent(root: Path) -> None:
    if _is_damaged(root):
        raise InputError("")


def _hang(root: Path) -> None:
    while _is_damaged(root):
        pass


def _quietly(work: Callable[[], object]) -> None:
    with contextlib.suppress(OSError):
        work()


def _make_pickle(folder: Path) -> None:
    (folder / "whole.pkl").write_bytes(pickle.dumps([1, 2]))


def _unpickle(root: Path) -> None:
    with contextlib.suppress(Exception):
        pickle.loads((root / "whole.pkl").read_bytes())
