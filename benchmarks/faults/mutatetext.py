"""Damage to text: absurd numbers and words, paths that lead out, lines lost, endless nesting."""

import json
import re
from typing import Any

import numpy as np

from .mutate import BYTES, Mutation

NUMBERS = (
    b"0", b"-1", b"nan", b"NaN", b"inf", b"-Infinity", b"1e308", b"1e400", b"-1e400", b"1e-320",
    b"2147483647", b"2147483648", b"4294967296", b"9223372036854775808", b"-9223372036854775809",
    b"1" * 400, b"1" * 5000, b"0x10", b"1_000", b"1.5", b"", b"true", b"null", b"1,5", b"+-1",
    "٣".encode(), b"999999999", b"100000000000", b"0b1", b"1e5", b"-0",
)  # fmt: skip

WORDS = (
    "../../../../etc/passwd", "/etc/passwd", "..", ".", "", "\0", "a\0b", "C:\\Windows\\x", "~",
    "\\\\server\\share", "con", "x" * 5000, "\u202egnp.exe", "e\u0301", "\ud800", "\U0001f600",
    "file:///etc/passwd", "http://127.0.0.1:9/x", "a/../../b", "null", "NaN", "-", " ", "\n",
    "%s%s%n", "{}", "../" * 200 + "tmp/x", "ﬀ", "ſ", "İ", "/dev/zero", "/proc/self/mem",
)  # fmt: skip

_NUMBER = re.compile(rb"[-+]?\d[\d.]*(?:[eE][-+]?\d+)?")
_WORD = re.compile(rb"[A-Za-z_][\w./-]*")
_DEPTHS = (50, 3000, 100_000)


def replace_number(content: bytes, rng: np.random.Generator) -> bytes:
    """Put an absurd number for one."""
    return _replaced(content, _NUMBER, NUMBERS[int(rng.integers(len(NUMBERS)))], rng)


def replace_word(content: bytes, rng: np.random.Generator) -> bytes:
    """Put a word that means harm for one."""
    word = WORDS[int(rng.integers(len(WORDS)))].encode("utf-8", "surrogatepass")
    return _replaced(content, _WORD, word, rng)


def swap_words(content: bytes, rng: np.random.Generator) -> bytes:
    """Put one word of the file for another."""
    found = _WORD.findall(content)
    word = found[int(rng.integers(len(found)))] if found else b"x"
    return _replaced(content, _WORD, word, rng)


def change_lines(content: bytes, rng: np.random.Generator) -> bytes:
    """Lose, double, move or cut a line."""
    lines = content.split(b"\n")
    at, to = (int(i) for i in rng.integers(0, len(lines), 2))
    match int(rng.integers(5)):
        case 0:
            del lines[at]
        case 1:
            lines.insert(to, lines[at])
        case 2:
            lines.insert(to, lines.pop(at))
        case 3:
            lines[at] = lines[at][: int(rng.integers(0, len(lines[at]) + 1))]
        case _:
            lines[at] = lines[at] + b" " + lines[to]
    return b"\n".join(lines)


def nest(content: bytes, rng: np.random.Generator) -> bytes:
    """Open brackets, mappings or elements without end at some place."""
    at = int(rng.integers(0, len(content) + 1))
    depth = _DEPTHS[int(rng.integers(len(_DEPTHS)))]
    opening, closing = ((b"[", b"]"), (b'{"a":', b"}"), (b"<a>", b"</a>"), (b"- ", b""))[
        int(rng.integers(4))
    ]
    piece = opening * depth + (b"1" + closing * depth if rng.integers(2) else b"")
    return content[:at] + piece + content[at:]


def spoil_encoding(content: bytes, rng: np.random.Generator) -> bytes:
    """Be another encoding, have a mark of order in front, or bytes that are no text."""
    text = content.decode("utf-8", "replace")
    match int(rng.integers(5)):
        case 0:
            return text.encode("utf-16")
        case 1:
            return b"\xef\xbb\xbf" + content
        case 2:
            at = int(rng.integers(0, len(content) + 1))
            return content[:at] + b"\xff\xfe\0\xc3\x28" + content[at:]
        case 3:
            return content.replace(b"\n", b"\r")
        case _:
            return text.encode("utf-32")


def change_json(content: bytes, rng: np.random.Generator) -> bytes:
    """Change one value of a JSON document, drop one, add one, or double one."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return replace_number(content, rng)
    document = changed_value(document, rng)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def changed_value(document: Any, rng: np.random.Generator) -> Any:
    """Return a document of lists, mappings and values with one of its places changed."""
    places = list(_places(document))
    if not places:
        return _odd_value(rng, document)
    holder, key = places[int(rng.integers(len(places)))]
    match int(rng.integers(8)):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.insert(int(rng.integers(0, len(holder) + 1)), holder[key])
        case 1:
            holder[str(key) + "_"] = holder[key]
        case 2:
            other, elsewhere = places[int(rng.integers(len(places)))]
            holder[key] = json.loads(json.dumps(other[elsewhere], default=str))
        case _:
            holder[key] = _odd_value(rng, holder[key])
    return document


def _odd_value(rng: np.random.Generator, old: Any) -> Any:
    numbers: tuple[Any, ...] = (
        0, -1, 1, 2**31, 2**32, 2**63, -(2**63) - 1, 10**400, 1e308, float("nan"), float("inf"),
        float("-inf"), 0.5, 1e-320, 10**9, 100_000,
    )  # fmt: skip
    others: tuple[Any, ...] = (
        None, True, False, [], {}, [[]], [None], {"": None}, "", "1", [old], {"a": old},
        [0] * 1000, "0" * 100_000,
    )  # fmt: skip
    kind = int(rng.integers(4))
    if kind == 0 or (kind == 3 and isinstance(old, (int, float))):
        return numbers[int(rng.integers(len(numbers)))]
    if kind == 1 or (kind == 3 and isinstance(old, str)):
        return WORDS[int(rng.integers(len(WORDS)))]
    return others[int(rng.integers(len(others)))]


def _places(document: Any) -> Any:
    """Yield holder and key of every value within a document."""
    waiting = [document] if isinstance(document, (list, dict)) else []
    while waiting:
        holder = waiting.pop()
        keys = range(len(holder)) if isinstance(holder, list) else list(holder)
        for key in keys:
            yield holder, key
            if isinstance(holder[key], (list, dict)):
                waiting.append(holder[key])


def _replaced(
    content: bytes, pattern: "re.Pattern[bytes]", new: bytes, rng: np.random.Generator
) -> bytes:
    found = list(pattern.finditer(content))
    if not found:
        return content + new
    one = found[int(rng.integers(len(found)))]
    return content[: one.start()] + new + content[one.end() :]


TEXT: tuple[Mutation, ...] = (
    replace_number, replace_number, replace_number, replace_word, replace_word, swap_words,
    change_lines, change_lines, change_lines, nest, spoil_encoding,
    *BYTES[:3], *BYTES[5:12],
)  # fmt: skip
"""What can happen to a text, damage to its bytes included."""

JSON: tuple[Mutation, ...] = (*(change_json,) * 12, *TEXT)
"""The same for JSON, its values mostly."""
