"""Look for many short strings of bytes in a whole tree at once.

A probe is 32 bytes. The first four of every place are hashed into a table of a megabyte; the few
places that the table lets pass are compared, so that the number of probes costs next to nothing.
"""

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.console import track
from ...core.errors import InputError
from .contents import Content, Opened, contents

PROBE_BYTES = 32
_BITS = 20
_SPREAD = np.uint32(2654435761)  # Knuth's multiplicative hash: 2^32 over the golden ratio
_BLOCK = 4 << 20
_LAST = PROBE_BYTES // 4 - 1  # words from a probe's first to its last


class Probes:
    """Strings of `PROBE_BYTES` bytes, ready to be looked for."""

    def __init__(self, probes: Collection[bytes]) -> None:
        self.probes = frozenset(probes)
        if any(len(probe) != PROBE_BYTES for probe in self.probes):
            raise ValueError(f"a probe has {PROBE_BYTES} bytes")
        starts = [int.from_bytes(probe[:4], "little") for probe in self.probes]
        ends = [int.from_bytes(probe[-4:], "little") for probe in self.probes]
        self._starts = np.unique(np.array(starts, np.uint32))
        self._ends = np.unique(np.array(ends, np.uint32))
        self._table = np.zeros(1 << _BITS, bool)
        self._table[_hashed(self._starts)] = True

    def __len__(self) -> int:
        return len(self.probes)

    def found_in(self, content: Content) -> set[bytes]:
        """Return the probes that stand anywhere in `content`."""
        found: set[bytes] = set()
        if not self.probes:
            return found
        for start in range(0, len(content), _BLOCK):
            block = content[start : start + _BLOCK + PROBE_BYTES - 1]
            if len(block) < PROBE_BYTES:
                break
            for place in self._candidates(block):
                piece = bytes(block[place : place + PROBE_BYTES])
                if piece in self.probes:
                    found.add(piece)
        return found

    def _candidates(self, block: bytes | memoryview) -> Iterator[int]:
        for shift in range(4):
            n = (len(block) - shift) // 4
            words: NDArray[np.uint32] = np.frombuffer(block, "<u4", count=n, offset=shift)
            maybe = np.flatnonzero(self._table[_hashed(words[: n - _LAST])])
            maybe = maybe[np.isin(words[maybe], self._starts)]
            maybe = maybe[np.isin(words[maybe + _LAST], self._ends)]
            yield from (maybe * 4 + shift).tolist()


def _hashed(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return (words * _SPREAD) >> np.uint32(32 - _BITS)


@dataclass(kw_only=True)
class Searched:
    """What a search came upon."""

    found: dict[str, int] = field(default_factory=dict)
    """File -> how many different probes are in it."""
    probes: set[bytes] = field(default_factory=set)
    """Those found anywhere."""
    mentions: list[str] = field(default_factory=list)
    """Files whose name or text has one of the words."""
    shut: list[str] = field(default_factory=list)
    """What could not be looked into, and why."""
    files: int = 0
    n_bytes: int = 0


def search(
    roots: Sequence[Path], probes: Probes, words: Collection[str] = (), *,
    hashes: Collection[str] = (), leave: Collection[Path] = (),
) -> Searched:  # fmt: skip
    """Look for probes in every file below the roots, and for whole words in names and text.

    Links are not followed: what they point to is of another tree, or met on the way.

    Parameters
    ----------
    hashes : collection of str
        Hexadecimal; a file that has one of them mentions what it is of.
    leave : collection of Path
        Files and folders that are not looked into.

    Raises
    ------
    InputError
        A folder cannot be listed: then nothing is proven.
    """
    result = Searched()
    texts = Probes({text[:PROBE_BYTES].encode() for text in hashes})
    everything = [path for root in roots for path in walk(root, leave=leave)]
    for path in track(everything, "searching"):
        if any(_stands_in(word.encode(), os.fsencode(path.name)) for word in words):
            result.mentions.append(str(path))
        try:
            is_file = stat.S_ISREG(path.lstat().st_mode)
        except FileNotFoundError:
            continue  # another process took it away
        if is_file:
            _search_file(path, (probes, texts), words, result)
    result.mentions = sorted(set(result.mentions))
    return result


def _search_file(
    path: Path, probes: tuple[Probes, Probes], words: Collection[str], result: Searched
) -> None:
    opened = Opened()
    found: set[bytes] = set()
    try:
        result.n_bytes += path.stat().st_size
        for content in contents(path, opened):
            found |= probes[0].found_in(content)
            # a few letters stand by chance in what is no text
            is_text = b"\0" not in content[:4096]
            named = is_text and any(_stands_in(word.encode(), content) for word in words)
            if named or (is_text and probes[1].found_in(content)):
                result.mentions.append(str(path))
    except OSError as error:
        opened.shut.append(error.strerror or str(error))
    result.files += 1
    result.probes |= found
    if found:
        result.found[str(path)] = len(found)
    result.shut += [f"{path}: {reason}" for reason in opened.shut]


def _stands_in(word: bytes, text: Content) -> bool:
    """Whether a word stands in a text, not as a part of a longer one."""
    at = text.find(word)
    while at >= 0:
        around = text[max(0, at - 1) : at] + text[at + len(word) : at + len(word) + 1]
        if not any(chr(letter).isalnum() for letter in around):
            return True
        at = text.find(word, at + 1)
    return False


def walk(root: Path, *, leave: Collection[Path] = ()) -> Iterator[Path]:
    """Yield everything below a folder, sorted, links as such; folders before what is in them.

    Raises
    ------
    InputError
        A folder cannot be listed.
    """

    def stop(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be listed ({error.strerror}); make it readable")

    for place, folders, files in os.walk(root, onerror=stop, followlinks=False):
        here = Path(place)
        kept = [name for name in sorted(folders) if here / name not in leave]
        links = [name for name in kept if (here / name).is_symlink()]
        folders[:] = [name for name in kept if name not in links]
        yield from (here / name for name in folders)
        yield from (here / name for name in sorted([*files, *links]) if here / name not in leave)
