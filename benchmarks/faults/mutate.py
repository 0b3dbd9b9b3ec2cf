"""Damage to the bytes of a file: flips, cuts, splices, absurd numbers. All from a given generator.

Each function takes content and a generator and returns other content; sizes stay within
`MOST_BYTES`, so that what grows is the reader's doing.
"""

import struct
from collections.abc import Callable, Sequence

import numpy as np

Mutation = Callable[[bytes, np.random.Generator], bytes]

MOST_BYTES = 1 << 22

INTEGERS = (
    0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
    0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF, 1 << 40,
)  # fmt: skip
"""Where arithmetic of sizes and signs goes wrong."""

FLOATS = (float("nan"), float("inf"), float("-inf"), -1.0, 0.0, 1e308, -1e308, 1e-320, 3.5e38)


def mutated(content: bytes, rng: np.random.Generator, mutations: Sequence[Mutation]) -> bytes:
    """Apply one to three of `mutations`."""
    for _ in range(int(rng.choice((1, 1, 1, 2, 3)))):
        content = mutations[int(rng.integers(len(mutations)))](content, rng)
    return content[:MOST_BYTES]


def flip_bits(content: bytes, rng: np.random.Generator) -> bytes:
    """Turn one to sixteen bits."""
    changed = bytearray(content)
    if changed:
        for at in rng.integers(0, 8 * len(changed), int(2 ** rng.integers(0, 5))):
            changed[int(at) // 8] ^= 1 << (int(at) % 8)
    return bytes(changed)


def flip_head(content: bytes, rng: np.random.Generator) -> bytes:
    """Turn bits among the first 128 bytes, where sizes and kinds stand."""
    return flip_bits(content[:128], rng) + content[128:]


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    """End early."""
    return content[: int(rng.integers(0, len(content) + 1))]


def cut_tail(content: bytes, rng: np.random.Generator) -> bytes:
    """Lose the last few bytes."""
    return content[: -int(rng.integers(1, 64))]


def drop(content: bytes, rng: np.random.Generator) -> bytes:
    """Lose a piece."""
    start, stop = _piece(content, rng)
    return content[:start] + content[stop:]


def repeat(content: bytes, rng: np.random.Generator) -> bytes:
    """Have a piece twice, or many times."""
    start, stop = _piece(content, rng)
    n = int(rng.choice((2, 2, 3, 50, 1000)))
    n = max(2, min(n, MOST_BYTES // max(1, stop - start)))
    return content[:start] + content[start:stop] * n + content[stop:]


def splice(content: bytes, rng: np.random.Generator) -> bytes:
    """Write a piece over another place."""
    start, stop = _piece(content, rng)
    at = int(rng.integers(0, len(content) + 1))
    return content[:at] + content[start:stop] + content[at + stop - start :]


def insert_noise(content: bytes, rng: np.random.Generator) -> bytes:
    """Put random bytes in between."""
    at = int(rng.integers(0, len(content) + 1))
    return content[:at] + rng.bytes(int(2 ** rng.integers(0, 13))) + content[at:]


def overwrite_noise(content: bytes, rng: np.random.Generator) -> bytes:
    """Put random bytes, zeros or ones over a piece."""
    start, stop = _piece(content, rng)
    n = stop - start
    filler = (rng.bytes(n), b"\0" * n, b"\xff" * n)[int(rng.integers(3))]
    return content[:start] + filler + content[stop:]


def overwrite_integer(content: bytes, rng: np.random.Generator) -> bytes:
    """Put an absurd integer of one to eight bytes somewhere, at the head as often as behind."""
    size = int(rng.choice((1, 2, 4, 8)))
    order = ("little", "big")[int(rng.integers(2))]
    value = INTEGERS[int(rng.integers(len(INTEGERS)))] & ((1 << (8 * size)) - 1)
    return _overwritten(content, value.to_bytes(size, order), rng)  # type: ignore[arg-type]


def overwrite_float(content: bytes, rng: np.random.Generator) -> bytes:
    """Put NaN, infinity or an absurd number over four or eight bytes."""
    value = FLOATS[int(rng.integers(len(FLOATS)))]
    packed = struct.pack("<d", value)
    if rng.integers(2):
        packed = np.float32(np.clip(value, -3e38, 3e38)).tobytes()
    return _overwritten(content, packed, rng)


def extend(content: bytes, rng: np.random.Generator) -> bytes:
    """Go on after the end: with noise, zeros, or all of it again."""
    more = (rng.bytes(257), b"\0" * 4096, content)[int(rng.integers(3))]
    return content + more


def empty(content: bytes, rng: np.random.Generator) -> bytes:
    """Leave nothing, or nothing but noise."""
    return b"" if rng.integers(2) else rng.bytes(int(rng.integers(1, 300)))


BYTES: tuple[Mutation, ...] = (
    flip_bits, flip_bits, flip_bits, flip_head, flip_head, cut, cut_tail, drop, repeat, splice,
    insert_noise, overwrite_noise, overwrite_integer, overwrite_integer, overwrite_integer,
    overwrite_float, extend, empty,
)  # fmt: skip
"""What can happen to any file; some more often."""


def _piece(content: bytes, rng: np.random.Generator) -> tuple[int, int]:
    start = int(rng.integers(0, len(content) + 1))
    return start, min(len(content), start + int(2 ** rng.integers(0, 12)))


def _overwritten(content: bytes, packed: bytes, rng: np.random.Generator) -> bytes:
    end = min(len(content), 256) if rng.integers(2) else len(content)
    at = int(rng.integers(0, end + 1))
    return content[:at] + packed + content[at + len(packed) :]
