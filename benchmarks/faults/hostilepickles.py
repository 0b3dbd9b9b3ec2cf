"""Files that would run code if they were read as pickles, or as YAML of Python's objects.

Each reader gets them in place of a sound file: bare, and put into what the file is otherwise (an
archive's member, an array of objects, a checkpoint).
"""

import io
import os
import pickle
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from .canary import Canary
from .hostilerun import Case
from .hostilestores import lay
from .parser import Parser

PARSERS = (
    "bfm-mat", "bfm-albedo", "flame-pkl", "flame-npz", "flame-parts", "ict-npz", "hrn-torch",
    "hrn-legacy", "deretouch-torch", "deretouch-safetensors", "training", "landmark-ids",
    "points-npy", "packed", "maps", "registered", "view", "take-landmarks", "case", "prediction",
    "multiview", "settings", "layout", "board", "leaderboard", "consent-form",
)  # fmt: skip
"""Readers, of those of damaged files, that could be asked to run something."""
_MARK = "ran"
_TAGS = (
    "!!python/object/apply:os.system ['touch {mark}']",
    "!!python/object/new:os.system ['touch {mark}']",
    "!!python/object/apply:subprocess.check_call [['touch', '{mark}']]",
    "!!python/object/apply:builtins.eval [\"open('{mark}', 'w')\"]",
    "!!python/object/new:facekit.benchmarks.faults.canary.sing []",
    "!!python/module:facekit.benchmarks.faults.canary",
    "!!python/name:os.system",
)


class Bomb:
    """Unpickled by pickle itself, it calls a function."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        """Ask for the call."""
        return self.call[0], self.call[1:]


def bombs(mark: Path) -> list[bytes]:
    """Return pickles that would make a file `mark`, or reach what a reader stands in for."""
    made = [
        Bomb(os.system, f"touch {mark}"),
        Bomb(subprocess.check_call, ["touch", str(mark)]),
        Bomb(eval, f"open({str(mark)!r}, 'w')"),
        Bomb(exec, f"open({str(mark)!r}, 'w')"),
        Bomb(open, str(mark), "w"),
        Bomb(getattr, "text", "format"),
        Bomb(__import__, "os"),
    ]
    by_hand = [
        f"cos\nsystem\n(S'touch {mark}'\ntR.".encode(),
        f"(S'touch {mark}'\nios\nsystem\n.".encode(),
        f"(cos\nsystem\nS'touch {mark}'\no.".encode(),
        b"\x80\x04\x8c\x05numpy\x8c\x13core.multiarray.save\x93.",
        b"\x80\x02cnumpy\nndarray.__reduce__\n.",
        # a state for a function, which would change its defaults
        b"c_codecs\nencode\n(N}S'__defaults__'\n(S'zip'\ntstb.",
        # a state for a stand-in's class
        b"cnumpy\nndarray\n}S'state'\nI1\nsb.",
        b"c_codecs\nencode\n(S'x'\nS'zip'\ntR.",
        b"c__builtin__\nbytes\n(I9999999999\ntR.",
        b"ccopy_reg\n_reconstructor\n(c__builtin__\nset\nc__builtin__\nobject\nNtR.",
    ]
    return [pickle.dumps({"a": bomb}, protocol=p) for bomb in made for p in (0, 2, 4)] + by_hand


def canaries() -> list[bytes]:
    """Return pickles that would leave word in `canary.sprung`, or run a command."""
    made = [Canary(kind) for kind in ("os", "module", "eval")]
    return [pickle.dumps(one, protocol) for one in made for protocol in (0, 2, 4)]


def pickle_cases(parsers: tuple[Parser, ...]) -> list[Case]:
    """Return a case for each reader, each of its files, and each trap that fits the file."""
    cases = []
    for parser in (p for p in parsers if p.name in PARSERS):
        for pattern in parser.damage:
            for number, trap in enumerate(_traps(Path(pattern).suffix or _suffix(parser.name))):
                cases.append(Case(
                    name=f"{parser.name}: {pattern} {trap.__name__} {number}",
                    make=partial(_make, parser, pattern, number), read=parser.read,
                    must_refuse=False,
                ))  # fmt: skip
    return cases


def _suffix(name: str) -> str:
    """Return the ending of the one file that a parser has, where any name is damaged."""
    of_names = {"flame-pkl": ".pkl", "flame-npz": ".npz", "ict-npz": ".npz", "hrn-torch": ".pth",
                "hrn-legacy": ".pth", "deretouch-torch": ".pth",
                "deretouch-safetensors": ".safetensors"}  # fmt: skip
    return of_names.get(name, ".yaml")


Trap = Callable[[bytes, Path], bytes]
"""What a sound file holds, and the file that would be made -> what the hostile one holds."""


def _traps(suffix: str) -> list[Trap]:
    """Return the traps for a kind of file; none for kinds that hold text alone."""
    if suffix in (".yaml", ".yml"):
        return [_named(partial(_tagged, n), "tag") for n in range(2 * len(_TAGS))]
    if suffix in (".json", ".jsonl", ".obj", ".txt", ".toml"):
        return []
    n_bare = len(canaries()) + len(bombs(Path("x")))
    traps = [_named(partial(_bare, n), "bare") for n in range(n_bare)]
    if suffix == ".npy":
        traps += [_named(partial(_objects, n), "objects") for n in range(len(canaries()))]
    if suffix in (".npz", ".pth"):
        traps += [_named(partial(_member, n), "member") for n in range(len(canaries()))]
    return traps


def _named(trap: Any, name: str) -> Trap:
    trap.__name__ = name
    return trap


def _make(parser: Parser, pattern: str, number: int, root: Path, outside: Path) -> None:
    lay(parser.make, root)
    suffix = Path(pattern).suffix or _suffix(parser.name)
    trap = _traps(suffix)[number]
    for path in sorted(root.rglob(pattern.rpartition("/")[2])):
        if path.is_file():
            path.write_bytes(trap(path.read_bytes(), outside / _MARK))


def _bare(number: int, content: bytes, mark: Path) -> bytes:
    del content
    return [*canaries(), *bombs(mark)][number]


def _objects(number: int, content: bytes, mark: Path) -> bytes:
    """Be an array of objects, as numpy pickles it."""
    del content, mark
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + canaries()[number]


def _member(number: int, content: bytes, mark: Path) -> bytes:
    """Put the trap into each member of an archive: arrays of objects, pickles."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return canaries()[number]
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as archive:
        for info in old.infolist():
            data = old.read(info)
            if info.filename.endswith(".npy"):
                data = _objects(number, data, mark)
            elif info.filename.endswith(".pkl"):
                data = canaries()[number]
            archive.writestr(info.filename, data)
    return out.getvalue()


def _tagged(number: int, content: bytes, mark: Path) -> bytes:
    """Be a tag, or have one as the last value."""
    tag = _TAGS[number % len(_TAGS)].format(mark=mark)
    if number < len(_TAGS):
        return tag.encode()
    return content + f"\ntrap: {tag}\n".encode()


def would_run() -> Mapping[str, bytes]:
    """Return one pickle of each kind, for who shows that the traps are no blanks."""
    return {"os": canaries()[1], "module": canaries()[4], "eval": canaries()[7]}
